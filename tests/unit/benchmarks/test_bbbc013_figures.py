"""The pure parts of the benchmark on a real plate: entries by seed, paired intervals, and their text."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import benchmarks_of
from wellspring.evaluate.dose import z_prime
from wellspring.io import ngff
from wellspring.screen import config as configuration

SEEDS = [1, 2, 3]


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("bbbc013")


@pytest.mark.parametrize("quick", [True, False])
def test_entries_differ_in_seed_and_twins_in_steps(benchmark, quick):
    entries = configuration.resolve(benchmark.settings(SEEDS, quick=quick))["encoders"]
    for name, twin in benchmark.TRAINED.items():
        for seed in SEEDS:
            trained, untrained = entries[f"{name}_{seed}"], entries[f"{twin}_{seed}"]
            assert trained["seed"] == seed
            assert {key for key in trained if trained[key] != untrained[key]} == {"steps"}
            assert trained["steps"] > untrained["steps"] == 0
    whole = configuration.resolve(benchmark.settings(SEEDS, quick=False))["encoders"]["simclr_1"]["steps"]
    assert entries["simclr_1"]["steps"] == whole // (4 if quick else 1)


def rows(encoder: str, seed: int, *, noise: float, folds: int = 2) -> pd.DataFrame:
    """Scores of 12 treated wells and 8 controls that follow the dose, with noise."""
    rng = np.random.default_rng([seed, len(encoder)])
    parts = []
    for level in ("normalised", "aligned"):
        for fold in range(folds):
            treated = pd.DataFrame(
                {"well": [f"A{n:02d}" for n in range(12)], "dose": 2.0 ** np.arange(12), "kind": "trt"}
            )
            treated["score"] = np.arange(12) + rng.normal(0, noise, 12)
            kinds = ["poscon"] * 4 + ["negcon"] * 4
            controls = pd.DataFrame({"well": [f"B{n:02d}" for n in range(8)], "dose": np.nan, "kind": kinds})
            controls["score"] = np.where(controls["kind"] == "poscon", 20.0, 0.0) + rng.normal(0, 0.5, 8)
            frame = pd.concat([treated, controls]).sample(frac=1, random_state=seed)
            parts.append(frame.assign(level=level, fold=fold))
    return pd.concat(parts, ignore_index=True).assign(encoder=encoder, seed=seed)


@pytest.fixture(scope="module")
def found(benchmark):
    frames = [rows(name, seed, noise=1.0) for name in ("simclr", "sslprofiler") for seed in SEEDS]
    frames += [rows(name, seed, noise=8.0) for name in ("random", "random_tiles") for seed in SEEDS]
    frames += [rows("ratio", 0, noise=2.0, folds=1), rows("classical", 0, noise=2.0)]
    frame = pd.concat(frames, ignore_index=True)
    keys = frame[["encoder", "seed"]].drop_duplicates().itertuples(index=False, name=None)
    ends = {key: dict.fromkeys(benchmark.LEVELS, (key[1], key[1] + 1)) for key in keys}
    return frame, benchmark.figures(frame, ends, draws=500)


def test_values_are_means_over_folds_and_seeds(benchmark, found):
    frame, figures = found
    mine = frame[(frame["level"] == "aligned") & (frame["encoder"] == "random")]
    treated = mine[mine["kind"] == "trt"].groupby(["seed", "fold"])[["score", "dose"]]
    each = treated.apply(lambda rows: stats.spearmanr(rows["score"], rows["dose"]).statistic)
    value, low, high, count = figures["aligned.dose.spearman.random"]
    assert (value, count) == (pytest.approx(each.mean()), 12)
    assert low < value < high
    assert figures["aligned.dose.spearman.random.seed_2"] == pytest.approx(each.loc[2].mean())
    by_kind = [fold.groupby("kind")["score"] for _, fold in mine.groupby(["seed", "fold"])]
    gaps = [z_prime(group.get_group("poscon"), group.get_group("negcon")) for group in by_kind]
    assert figures["aligned.dose.z_prime.random"] == [pytest.approx(np.mean(gaps)), 2.0, 3.0, 8]
    assert "aligned.dose.spearman.ratio.seed_0" not in figures


def test_differences_are_paired(benchmark, found):
    frame, figures = found
    value, low, high, count = figures["aligned.dose.spearman.simclr_minus_random"]
    apart = [figures[f"aligned.dose.spearman.{name}"][0] for name in ("simclr", "random")]
    assert (value, count) == (pytest.approx(apart[0] - apart[1]), 12)
    assert 0 < low < value < high
    same = frame[frame["encoder"] == "simclr"].assign(encoder="random")
    ends = {
        key: dict.fromkeys(benchmark.LEVELS, (0, 1)) for key in [(n, s) for n in ("simclr", "random") for s in SEEDS]
    }
    twins = benchmark.figures(pd.concat([frame[frame["encoder"] == "simclr"], same]), ends, draws=100)
    assert twins["aligned.dose.spearman.simclr_minus_random"] == [0, 0, 0, 12]
    assert twins["aligned.dose.z_prime.simclr_minus_random"] == [0, 0, 0, 3]
    assert twins["aligned.dose.residual.simclr_minus_random"] == [0, 0, 0, 3]


def bent(ec50: float, noise: float, *, seed: int = 0) -> pd.DataFrame:
    """Two folds of a plate whose wells follow a curve from 0 to 1 with a slope of 2."""
    rng = np.random.default_rng(seed)
    dose = np.repeat(150 / 2.0 ** np.arange(9), 4)
    rows = [pd.DataFrame({"dose": dose, "kind": "trt", "score": dose**2 / (dose**2 + ec50**2)})]
    rows += [
        pd.DataFrame({"dose": np.nan, "kind": kind, "score": height}, index=range(4))
        for kind, height in (("negcon", 0.0), ("poscon", 1.0))
    ]
    frame = pd.concat(rows, ignore_index=True)
    folds = [frame.assign(fold=fold, score=frame["score"] + rng.normal(0, noise, len(frame))) for fold in (0, 1)]
    return pd.concat(folds, ignore_index=True)


def test_residual_and_width_follow_the_noise_and_not_the_plateau(benchmark):
    """Noise of 0.03 and 0.12 of the range; where the EC50 lies matters little, as it would for a rank correlation."""
    figures = {(ec50, noise): benchmark.curve(bent(ec50, noise)) for ec50 in (3.0, 20.0) for noise in (0.03, 0.12)}
    for (_, noise), (residual, width) in figures.items():
        assert residual == pytest.approx(noise, rel=0.3)
        assert 0 < width < 1
    assert all(figures[(ec50, 0.12)][1] > 2 * figures[(ec50, 0.03)][1] for ec50 in (3.0, 20.0))
    flat = bent(3.0, 0.1)
    flat["score"] = np.random.default_rng(1).normal(0, 0.2, len(flat))
    residual, width = benchmark.curve(flat)
    assert residual == pytest.approx(0.2, rel=0.3)
    assert width == pytest.approx(np.log10(2.0**8 * 100))


def test_other_wells_are_refused(benchmark, found):
    frame, _ = found
    broken = frame.drop(frame[(frame["encoder"] == "random") & (frame["well"] == "A03")].index)
    with pytest.raises(ValueError, match="treated wells: expected the same ones"):
        benchmark.figures(broken, {})


def test_the_ratio_is_of_nucleus_and_rest_of_the_cell(benchmark, tmp_path):
    nuclei, cells, stain = np.zeros((20, 20), int), np.zeros((20, 20), int), np.full((2, 20, 20), 7, np.uint16)
    for label, (start, inside, around) in enumerate([(0, 60, 20), (7, 50, 50), (14, 90, 45)], start=1):
        cells[start : start + 6, :6], stain[1, start : start + 6, :6] = label, around
        nuclei[start + 2 : start + 4, 2:4], stain[1, start + 2 : start + 4, 2:4] = label, inside
    nuclei[12, 12] = 4  # a nucleus without a cell
    with ngff.PlateWriter(tmp_path / "images/BBBC013.zarr", plate="BBBC013", channels=["DNA", "GFP"]) as writer:
        writer.write("A01", "1", stain)
    source = tmp_path / "images/BBBC013.zarr"
    with ngff.LabelWriter(tmp_path / "cells/BBBC013.zarr", plate="BBBC013", source=source) as writer:
        writer.write("A01", "1", {"nuclei": nuclei, "cells": cells})
    assert benchmark.ratio(tmp_path).to_dict() == {"A01": pytest.approx(2.0)}


def test_a_profile_of_one_feature_is_scored_between_its_controls(benchmark):
    wells = [f"{row}{column:02d}" for row in "ABCD" for column in range(1, 13)]
    kinds = {1: "negcon", 2: "negcon", 12: "poscon"}
    frame = pd.DataFrame({"Metadata_Well": wells, "Metadata_Plate": "P", "Metadata_Compound": "drug"})
    column = frame["Metadata_Well"].str[1:].astype(int)
    frame["Metadata_pert_type"] = column.map(kinds).fillna("trt")
    frame["Metadata_Concentration"] = np.where(frame["Metadata_pert_type"] == "trt", 2.0**column, np.nan)
    frame["ratio"] = column.where(column != 2, 1) + np.random.default_rng(0).normal(0, 0.1, 48)
    pair = {"aligned": (frame, frame.sample(frac=1, random_state=0))}
    found = benchmark.scores(pair)
    assert len(found) == 2 * 48
    treated = found[found["kind"] == "trt"].groupby("fold")
    assert (treated.apply(lambda rows: rows["score"].corr(np.log2(rows["dose"])), include_groups=False) > 0.99).all()
    assert found[found["kind"] == "negcon"]["score"].mean() == pytest.approx(0, abs=0.05)
    low, high = benchmark.ends(pair)["aligned"]
    assert low < benchmark.apart(found) < high < 1


def test_the_interval_over_seeds_is_students(benchmark):
    values = [0.1, 0.3, 0.2]
    low, high = stats.t.interval(0.95, 2, loc=0.2, scale=stats.sem(values))
    assert benchmark.over_seeds(values) == pytest.approx([0.2, low, high, 3])
    assert np.isnan(benchmark.over_seeds([0.1])[1])


def test_the_table_tells_what_is_told_apart(benchmark, found, capsys):
    benchmark.show(found[1], SEEDS)
    text = capsys.readouterr().out
    assert "aligned, dose.spearman: simclr against itself untrained: better" in text
    assert "aligned, dose.residual: simclr against itself untrained: better" in text
    assert text.count("simclr_minus_random ") == 8


def test_without_images_it_is_skipped(benchmark, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["bbbc013.py", "--images", str(tmp_path)])
    benchmark.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("skipped")
    assert lines[-1] == '{"benchmark": "bbbc013", "quick": false, "skipped": true}'
