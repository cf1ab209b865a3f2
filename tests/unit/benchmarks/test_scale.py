"""The screens of the benchmark of scale: their layout, growth and truth; every step on one layout of five plates."""

import numpy as np
import pytest

import benchmarks_of
from wellspring.io import tables


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("scale")


def test_a_plate_has_the_layout_of_jump(benchmark):
    first, second, other = (benchmark.plate(number, 8) for number in (10, 14, 15))
    assert first["Metadata_pert_type"].value_counts().to_dict() == {"trt": 320, "negcon": 32, "poscon": 32}
    positive = first[first["Metadata_pert_type"] == "poscon"]["Metadata_Compound"].value_counts()
    assert len(positive) == 8 and set(positive) == {4}
    assert first["Metadata_Compound"].tolist() == second["Metadata_Compound"].tolist(), "five plates have one layout"
    assert first["Metadata_Batch"][0] != second["Metadata_Batch"][0]
    treated = [set(frame.loc[frame["Metadata_pert_type"] == "trt", "Metadata_Compound"]) for frame in (first, other)]
    assert not treated[0] & treated[1]
    labelled = first.loc[first["Metadata_pert_type"] == "trt", "Metadata_moa"]
    assert labelled.notna().mean() == pytest.approx(0.2) and set(labelled.value_counts()) == {8}


def test_compounds_of_a_mechanism_have_like_shifts(benchmark):
    together, alone, none = (benchmark.shift(number, 400) for number in (0, 9, 30))
    same, other = benchmark.shift(7, 400), benchmark.shift(40, 400)
    cosine = [float(together @ one / np.linalg.norm(together) / np.linalg.norm(one)) for one in (same, other, alone)]
    assert cosine[0] == pytest.approx(0.7, abs=0.1) and max(map(abs, cosine[1:])) < 0.2
    assert not none.any() and benchmark.about(30) == (False, None) and benchmark.about(9) == (True, None)


def test_every_step_leaves_its_figures(benchmark, tmp_path):
    found = benchmark.measure(tmp_path, 5, features=6, again=())
    assert tuple(found) == benchmark.STEPS and all(own["processor_seconds"] > 0 for own in found.values())
    assert tables.read(tmp_path / "joined.parquet")["Metadata_Plate"].nunique() == 5
    sizes = benchmark.sizes(tmp_path)
    assert min(sizes.values()) > 0
    rows = benchmark.table({5: found}, {5: sizes})
    assert rows["step"].tolist()[:2] == ["evaluate", "report"] and (rows["wells"] == 1920).all()
    kept = (tmp_path / "measured.json").stat().st_mtime_ns
    assert benchmark.measure(tmp_path, 5, features=6, again=()) == found, "nothing is measured twice"
    assert (tmp_path / "measured.json").stat().st_mtime_ns == kept
