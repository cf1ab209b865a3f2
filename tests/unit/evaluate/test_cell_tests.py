"""Tests of single cells: they hold their level, see a mixture that the mean hides, and count by hand."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from single_cells import described, plate_of
from wellspring.evaluate import cell_tests as tested


def spread_out(cells):
    """Half of the cells go one way and half the other: the mean stays."""
    away = np.zeros(cells.shape[1])
    away[:3] = 3.0
    return cells + np.where(np.arange(len(cells))[:, None] % 2, away, -away)


def moved(cells):
    return cells + np.where(np.arange(cells.shape[1]) < 4, 3.0, 0.0)


EFFECT = {"mixed": spread_out, "moved": moved}


def relaid(plate, number):
    """Return a plate with wells of other names, as in a layout of its own."""

    def named(frame):
        return frame.assign(
            Metadata_Well=[f"{well[0]}{int(well[1:]) + 12 * number:02d}" for well in frame["Metadata_Well"]]
        )

    return tested.PlateCells(named(plate.rows), plate.values, plate.names, named(plate.wells))


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(8)
    treated = {"mixed": 1, "moved": 1, **{f"none{number}": 1 for number in range(10)}}
    plates = [
        relaid(described(plate_of(rng, f"P{n}", controls=12, treated=treated, effect=EFFECT)), n) for n in range(4)
    ]
    return tested.cell_tests(plates, seed=1).set_index("Metadata_Item")


def test_a_mixture_is_seen_in_the_shape_and_not_in_the_mean(table):
    assert table.loc["mixed", "p_mean"] > 0.05
    assert table.loc["mixed", "p_distribution"] < 0.001 and table.loc["mixed", "p_shape"] < 0.001
    assert table.loc["mixed", "q_shape"] < 0.05
    assert table.loc["mixed", "share"] > 0.3 > table.loc["mixed", "share_controls"]


def test_a_shift_is_seen_in_the_mean_and_not_in_the_shape(table):
    assert table.loc["moved", "p_mean"] < 0.001 and table.loc["moved", "p_distribution"] < 0.001
    assert table.loc["moved", "p_shape"] > 0.05


def test_numbers_of_a_treatment(table):
    row = table.loc["moved"]
    assert (row["wells"], row["plates"]) == (4, 4) and 240 <= row["cells"] < 480
    assert row["share_lowest"] <= row["share"] <= row["share_highest"]
    assert set(table.index) == {"mixed", "moved", *(f"none{number}" for number in range(10))}


def test_treatments_without_effect_hold_the_level_even_with_few_cells(monkeypatch):
    """Half of the treatments have a tenth of the cells of the controls."""
    monkeypatch.setattr(tested, "DRAWS", 499)
    rng, found = np.random.default_rng(11), []
    for _ in range(4):
        plates = []
        for name in ("P1", "P2"):
            plate = plate_of(rng, name, controls=10, treated={f"t{n}": 1 for n in range(20)}, cells=(100, 140))
            few = plate.views["Metadata_Well"].isin(plate.wells["Metadata_Well"][10:20])
            keep = ~few | (np.arange(len(few)) % 10 == 0)
            plate.views, plate.vectors = plate.views[keep].reset_index(drop=True), plate.vectors[keep.to_numpy()]
            plate.__post_init__()
            plates.append(relaid(described(plate), len(plates)))
        found.append(tested.cell_tests(plates, seed=2))
    table = pd.concat(found)
    for test in tested.TESTS:
        assert (table[f"p_{test}"] < 0.05).mean() < 0.1, test
        assert table[f"p_{test}"].mean() > 0.4, test


@pytest.mark.slow
def test_the_level_is_held_over_many_screens(monkeypatch):
    """1,200 tests; those of one screen share its controls, so that the standard error is that of the screens."""
    monkeypatch.setattr(tested, "DRAWS", 399)
    rng, treated = np.random.default_rng([77, 9]), {f"t{number}": 1 for number in range(20)}
    tables = []
    for screen in range(60):
        plates = [described(plate_of(rng, f"P{n}", controls=10, treated=treated, cells=(40, 60))) for n in range(2)]
        tables.append(tested.cell_tests([relaid(plate, n) for n, plate in enumerate(plates)], seed=screen))
    for test in tested.TESTS:
        shares = [(table[f"p_{test}"] <= 0.05).mean() for table in tables]
        error = np.std(shares, ddof=1) / np.sqrt(len(shares))
        print(f"{test}: {np.mean(shares):.4f}, standard error {error:.4f}")
        assert error > np.sqrt(0.05 * 0.95 / 1200), "tests of one screen depend on each other"
        assert np.mean(shares) <= 0.05 + 2.5 * error, test


@pytest.mark.parametrize("jitter", [0.0, 1.0], ids=["wells alike", "strong effects of wells"])
@pytest.mark.parametrize("cells", [(12, 25), (300, 400)], ids=["few", "many"])
def test_treatments_without_effect_whose_wells_all_have_other_numbers_of_cells_hold_the_level(
    monkeypatch, jitter, cells
):
    """As of a toxic compound: all treated wells have a tenth of the cells of the controls, or the reverse."""
    monkeypatch.setattr(tested, "DRAWS", 199)
    rng, found = np.random.default_rng(21), []
    for _ in range(40):
        usual = (100, 140) if cells[0] < 100 else (40, 60)
        plate, other = (plate_of(rng, controls=12, treated={"a": 2}, cells=n, jitter=jitter) for n in (usual, cells))
        parts = [one.views["Metadata_Well"].isin(["B01", "B02"]).to_numpy() for one in (plate, other)]
        plate.views = pd.concat([plate.views[~parts[0]], other.views[parts[1]]], ignore_index=True)
        plate.vectors = np.concatenate([plate.vectors[~parts[0]], other.vectors[parts[1]]])
        plate.__post_init__()
        found.append(tested.cell_tests([described(plate)]))
    table = pd.concat(found)
    for test in tested.TESTS:
        assert (table[f"p_{test}"] < 0.05).sum() <= 6, f"{test}: with 40 tests, 7 and more come about in 0.3 %"


@pytest.mark.slow
def test_wells_alike_but_for_few_cells_hold_the_level(monkeypatch):
    """All treated wells have a sixth of the controls' cells, and wells do not differ otherwise; plates of their own."""
    monkeypatch.setattr(tested, "DRAWS", 199)
    rng, found = np.random.default_rng([77, 5]), []
    for _ in range(500):
        plates = [plate_of(rng, controls=12, treated={"a": 2}, cells=n, jitter=0.0) for n in ((100, 140), (12, 25))]
        treated = [one.views["Metadata_Well"].isin(["B01", "B02"]).to_numpy() for one in plates]
        parts = [(~treated[0], plates[0]), (treated[1], plates[1])]
        views = pd.concat([one.views[mine] for mine, one in parts], ignore_index=True)
        plates[0].views, plates[0].vectors = views, np.concatenate([one.vectors[mine] for mine, one in parts])
        plates[0].__post_init__()
        found.append(tested.cell_tests([described(plates[0])], seed=len(found)))
    table = pd.concat(found)
    for test in tested.TESTS:
        print(f"{test}: {(table[f'p_{test}'] <= 0.05).mean():.3f} of {len(table)}")
        assert (table[f"p_{test}"] <= 0.05).mean() <= 0.06, test


def test_the_p_is_that_of_all_exchanges():
    """Two treated wells and five controls of one plate have 21 exchanges, which can be listed."""
    plate = described(plate_of(np.random.default_rng(3), controls=5, treated={"a": 2}))
    p = tested.cell_tests([plate], seed=1).loc[0, "p_mean"]
    chosen = [name.startswith("mean_") for name in plate.names]
    values, cells = plate.values[:, chosen], plate.rows["Metadata_Cells"].to_numpy()
    caused = plate.rows["Metadata_Scatter"].to_numpy() / cells  # by the number of cells
    treated = [place for place, kind in enumerate(plate.wells["Metadata_pert_type"]) if kind == "trt"]

    def distance(pair):
        rest = [place for place in range(7) if place not in pair]
        pair = list(pair)
        apart = values[pair].mean(axis=0) - values[rest].mean(axis=0)
        scatter = known = 0.0
        for own in (pair, rest):  # wells count by their precision
            weight = 1 / caused[own]
            mean = weight @ values[own] / weight.sum()
            scatter += (weight * ((values[own] - mean) ** 2).sum(axis=1)).sum() - (len(own) - 1)
            known += weight.sum() - (weight**2).sum() / weight.sum()
        between = max(scatter / known, 0)
        expected = (between + caused[pair]).sum() / 4 + (between + caused[rest]).sum() / 25
        return (apart**2).sum() / expected

    every = {pair: distance(pair) for pair in combinations(range(7), 2)}
    exact = np.mean([value >= every[tuple(treated)] - 1e-12 for value in every.values()])
    assert p == pytest.approx(exact, abs=0.01)


def test_too_few_exchanges_give_no_p_and_their_reason():
    plate = described(plate_of(np.random.default_rng(3), controls=6, treated={"a": 1}))
    row = tested.cell_tests([plate]).loc[0]
    assert np.isnan(row["p_mean"]) and np.isnan(row["q_shape"])
    assert row["Metadata_Reason"] == "too_few_exchanges(found=7, needed=20)"
    assert row["share"] > 0


def test_plates_of_one_layout_are_exchanged_alike():
    """A treatment whose position has an effect on all plates is found by plates alone, not by their common layout."""
    rng = np.random.default_rng(9)
    treated = {"a": 1, "b": 1}
    plates = [described(plate_of(rng, f"P{n}", controls=5, treated=treated)) for n in range(3)]
    row = tested.cell_tests(plates).set_index("Metadata_Item").loc["a"]
    assert row["Metadata_Reason"] == "too_few_exchanges(found=6, needed=20)", "three plates of one layout"
    moved = plates[2].wells.assign(Metadata_Well=[f"H{number + 1:02d}" for number in range(7)])
    place = dict(zip(plates[2].wells["Metadata_Well"], moved["Metadata_Well"], strict=True))
    rows = plates[2].rows.assign(Metadata_Well=plates[2].rows["Metadata_Well"].map(place))
    other = tested.PlateCells(rows, plates[2].values, plates[2].names, moved)
    row = tested.cell_tests([*plates[:2], other]).set_index("Metadata_Item").loc["a"]
    assert row["Metadata_Reason"] == "" and row["p_mean"] >= 1 / 36 - 0.01, "two layouts: 36 exchanges"


def test_held_out_plates_and_wells_of_few_cells_are_left_out():
    rng = np.random.default_rng(3)
    plate = plate_of(rng, controls=8, treated={"a": 1, "b": 1}, cells=(40, 50))
    keep = (plate.views["Metadata_Well"] != "A10") | (plate.views["Metadata_View"] < 5)
    plate.views, plate.vectors = plate.views[keep].reset_index(drop=True), plate.vectors[keep.to_numpy()]
    plate.__post_init__()
    other = plate_of(rng, "P2", controls=8, treated={"c": 2})
    other.wells["Metadata_Role"] = "heldout"
    table = tested.cell_tests([described(plate), described(other)])
    assert table["Metadata_Item"].tolist() == ["a"]
    assert tested.cell_tests([]).empty


def test_chosen_cells_of_several_plates():
    frame = pd.DataFrame({name: ["x", "y"] for name in ("Metadata_Plate", "Metadata_Well", "Metadata_Site")})
    frame = frame.assign(Metadata_View=[1, 2], Metadata_Center_Y=0.0, Metadata_Center_X=0.0, Metadata_Distance=0.5)
    found = tested.chosen_cells([frame.assign(Metadata_Chosen=[None, "within"])] * 2)
    assert found["Metadata_Well"].tolist() == ["y", "y"]
