"""The benchmark of plans fakes the states it claims; the number of jobs per plate is a small constant."""

import pytest

import benchmarks_of
from wellspring.screen import platemap, sheet


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("dag_scale")


def test_a_screen_has_plates_of_384_wells(benchmark, tmp_path, monkeypatch):
    folder = benchmark.screen(tmp_path / "screen", 3, encoders=2)
    monkeypatch.chdir(folder)
    rows = sheet.read(folder / "config" / "plates.tsv")
    assert len(rows) == 3 and rows["batch"].nunique() == 1
    wells = platemap.read(folder / rows["platemap"].iloc[0], plate="P0000")
    assert len(wells) == 384
    assert set(wells["Metadata_pert_type"]) == {"negcon", "trt"}


@pytest.mark.parametrize("encoders", [1, 2])
def test_jobs_a_plate_are_a_small_constant(benchmark, tmp_path, encoders):
    """Six per plate and three per encoder and plate, for any number of wells and sites."""
    counts = {}
    for plates in (1, 4):
        folder = benchmark.screen(tmp_path / f"{plates}", plates, encoders=encoders)
        counts[plates] = benchmark.jobs(benchmark.planned(folder, benchmark.REPOSITORY / "Snakefile").said)
    assert counts[4] - counts[1] == 3 * (6 + 3 * encoders)
    assert counts[1] < 30


def test_records_of_a_finished_screen_agree(benchmark, tmp_path, monkeypatch):
    """One record per job of a plate, and of a plate and an encoder, as the rules have outputs."""
    monkeypatch.chdir(tmp_path)
    seconds, processor = benchmark.recorded(tmp_path / "finished", 2, encoders=3)
    assert processor > 0 and seconds > 0
    assert len(list((tmp_path / "finished").rglob(".*.made"))) == 2 * (6 + 3 * 3)
    rules = "".join(file.read_text() for file in (benchmark.REPOSITORY / "workflow" / "rules").glob("*.smk"))
    outputs = [output for outputs in (*benchmark.OF_A_PLATE, *benchmark.OF_AN_ENCODER) for output in outputs]
    for output in (each.replace("ENCODER", "{encoder}") for each in outputs if ".zarr/" not in each):
        assert output.replace("illumination/{plate}", "illumination/{optics}") in rules, output


def test_what_is_begun_has_its_index_and_survey(benchmark, tmp_path):
    folder = benchmark.screen(tmp_path / "screen", 2, encoders=1)
    workflow = benchmark.REPOSITORY / "Snakefile"
    fresh = benchmark.jobs(benchmark.planned(folder, workflow).said)
    benchmark.begin(folder, 2)
    assert benchmark.jobs(benchmark.planned(folder, workflow).said) == fresh - 2 * 2
