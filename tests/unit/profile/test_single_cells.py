"""Single cells: normalised by hand, distances of controls from other controls, what is chosen, and odd plates."""

import numpy as np
import pandas as pd
import pytest

from single_cells import FEATURES, plate_of
from wellspring.io import embeddings, tables
from wellspring.profile import single_cells


@pytest.fixture(scope="module")
def plate():
    rng = np.random.default_rng(5)

    def shifted(cells):
        return cells + np.where(np.arange(len(cells))[:, None] % 2, 6.0, 0.0)

    return plate_of(rng, treated={"half": 3, "none": 3}, effect={"half": shifted})


@pytest.fixture(scope="module")
def written(plate):
    frames, values = zip(*plate.cells(plate.basis()), strict=True)
    return pd.concat(frames, ignore_index=True), np.concatenate(values)


def test_cells_are_normalised_on_the_cells_of_the_controls(plate, written):
    frame, values = written
    key = ["Metadata_Well", "Metadata_Site", "Metadata_View"]
    raw = plate.vectors[plate.views.sort_values(key).index].astype(float)
    control = (frame["Metadata_pert_type"] == "negcon").to_numpy()
    # wells of at most 100 cells are taken whole, larger ones by 100 cells that are evenly spread
    sampled = []
    for _, rows in frame[control].groupby("Metadata_Well"):
        at = np.linspace(0, len(rows) - 1, min(100, len(rows))).round().astype(int)
        sampled.append(raw[rows.index.to_numpy()[at]])
    sample = np.concatenate(sampled)
    np.testing.assert_allclose(values, (raw - sample.mean(axis=0)) / sample.std(axis=0), rtol=1e-4, atol=1e-4)
    assert values.dtype == np.float32 and len(values) == len(plate.views)


def test_five_of_a_hundred_control_cells_are_beyond_and_half_of_a_half_shifted_treatment(plate, written):
    frame, _ = written
    beyond = (frame["Metadata_Distance"] > 1).groupby(frame["Metadata_Perturbation"]).mean()
    assert beyond["DMSO"] == pytest.approx(0.05, abs=0.01)
    assert 0.45 < beyond["half"] < 0.6
    assert beyond["none"] < 0.15
    shares = {row["Metadata_Well"]: row["Metadata_Share"] for row, _ in plate.summaries}
    by_well = (frame["Metadata_Distance"] > 1).groupby(frame["Metadata_Well"]).mean()
    assert shares == pytest.approx(by_well.to_dict())


def test_a_control_cell_is_measured_without_the_controls_of_its_fold():
    """The fits without a fold are those of a plate that never had its wells."""
    scores = np.random.default_rng(2).standard_normal((90, 3)) * [1, 2, 3]
    of = np.repeat(np.array(list("abcdef"), dtype=object), 15)
    places, centers, whiteners, limit = single_cells._folds(scores, of)
    distance = np.zeros(len(scores))
    for number, well in enumerate("abcdef"):
        fold = places[well]
        assert fold == number % 4
        others = scores[[places[one] != fold for one in of]]
        covariance = 0.98 * np.cov(others.T, ddof=0)
        covariance += 0.02 * np.trace(np.cov(others.T, ddof=0)) / 3 * np.eye(3)
        away = scores[of == well] - others.mean(axis=0)
        distance[of == well] = np.sqrt(np.einsum("ij,jk,ik->i", away, np.linalg.inv(covariance), away))
        np.testing.assert_allclose(centers[fold], others.mean(axis=0))
    assert limit == pytest.approx(np.quantile(distance, 0.95))
    assert whiteners.shape == (4, 3, 3)


def test_pictured_cells_are_typical_of_their_side(written):
    frame, _ = written
    for _, rows in frame.groupby("Metadata_Well"):
        for name, side in (("beyond", rows["Metadata_Distance"] > 1), ("within", rows["Metadata_Distance"] <= 1)):
            chosen = rows[rows["Metadata_Chosen"] == name]
            assert len(chosen) == min(2, side.sum())
            distance = rows.loc[side, "Metadata_Distance"]
            away = (distance - distance.median()).abs()
            nearest = away[chosen.index].max()
            assert nearest <= away.drop(chosen.index).min() + 1e-6 if len(away) > 2 else True


def test_a_plate_with_one_control_well_has_no_distances_and_gaps_stay_gaps():
    rng = np.random.default_rng(1)
    plate = plate_of(rng, controls=1, treated={"a": 2}, cells=(30, 40))
    plate.vectors[::5, 3] = np.nan
    plate.vectors[:, 7] = 2.5  # without spread
    frames, values = zip(*plate.cells(plate.basis()), strict=True)
    frame, values = pd.concat(frames), np.concatenate(values)
    assert frame["Metadata_Distance"].isna().all() and frame["Metadata_Chosen"].isna().all()
    assert all(row["Metadata_Share"] is None for row, _ in plate.summaries)
    assert np.isnan(values[:, 3]).sum() == np.isnan(plate.vectors[:, 3]).sum() > 0
    assert (values[:, 7] == 0).all()
    assert all(np.isfinite(described).all() for _, described in plate.summaries)


def test_a_plate_without_controls_has_the_reason_and_without_cells_no_basis():
    rng = np.random.default_rng(1)
    plate = plate_of(rng, controls=0, treated={"a": 2}, cells=(30, 40))
    assert plate.basis().normaliser.reason.startswith("too_few_to_normalise")
    empty = plate_of(rng, controls=2)
    empty.wells["Metadata_Verdict"] = "exclude"
    empty.__post_init__()
    assert empty.basis() is None and list(empty.wells["Metadata_Verdict"]) == ["exclude"] * 2


def test_tables_are_written_part_by_part_and_read_back(tmp_path):
    plate = plate_of(np.random.default_rng(6), treated={"a": 2})
    cells, distributions = tmp_path / "cells.parquet", tmp_path / "distributions.parquet"
    single_cells.write(plate, cells, distributions, provenance={}, verdict=tables.Verdict())
    frame, matrix = tables.read_embedding(cells)
    assert len(frame) == len(plate.views) and matrix.shape[1] == FEATURES
    assert embeddings.names_of(cells) == list(plate.names)
    rows, described = tables.read_embedding(distributions)
    assert rows["Metadata_Cells"].sum() == len(frame) and len(rows) == 10
    names = embeddings.names_of(distributions)
    assert described.shape[1] == len(names) and names[0] == "mean_0" and names[-1] == "shape_511"


@pytest.mark.parametrize(("controls", "keep"), [(0, True), (4, False)])
def test_a_plate_that_is_left_out_has_empty_tables_and_its_reason(tmp_path, controls, keep):
    plate = plate_of(np.random.default_rng(6), controls=controls, treated={"a": 2}, cells=(20, 30))
    verdict = tables.Verdict() if keep else tables.Verdict().because("no_embedding")
    paths = tmp_path / "cells.parquet", tmp_path / "distributions.parquet"
    found = single_cells.write(plate, *paths, provenance={}, verdict=verdict)
    assert not found.keep and found.reasons[0].startswith("no_embedding" if not keep else "too_few_to_normalise")
    for path in paths:
        assert tables.verdict(path) == found and len(tables.read_embedding(path)[0]) == 0


def test_random_features_give_the_gaussian_kernel():
    """The squared length of a mean of features is the mean of the kernel over all pairs of cells."""
    plate = plate_of(np.random.default_rng(4), treated={"a": 1}, cells=(50, 60))
    basis = plate.basis()
    rows = plate._rows["A09"]
    scores = basis.scores(plate.vectors[rows].astype(float))
    values, scatter = basis.summary(scores)
    chosen = np.array([name.startswith("all_") for name in basis.names()])
    squared = ((scores[:, None] - scores[None]) ** 2).sum(axis=2)
    # frequencies were drawn as N(0, 1 / width^2), so the kernel is exp(-d^2 / (2 width^2))
    width = np.sqrt(basis.frequencies.size / (basis.frequencies**2).sum())
    assert (values[chosen] ** 2).sum() == pytest.approx(np.exp(-squared / (2 * width**2)).mean(), abs=0.03)
    assert scatter == pytest.approx(np.var(scores, axis=0, ddof=1).sum())
