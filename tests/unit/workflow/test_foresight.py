"""Plates that will be left out, and layouts without valid scores, are reported before any job."""

import numpy as np
import pandas as pd
import pytest

from options import options
from wellspring.workflow import foresight


def _index(place, *, plate="P", rows="ABCD", columns=6, sites=2, controls=4):
    """Return an index whose treatment of a well is `place(row, column)`; the first `controls` wells are controls."""
    found = []
    for number, (row, column) in enumerate((row, column) for row in rows for column in range(1, columns + 1)):
        kind = "negcon" if number < controls else "trt"
        for site in range(sites):
            well, name = f"{row}{column:02d}", "DMSO" if number < controls else str(place(row, column))
            found.append((plate, well, str(site), name, 1.0, kind, "x.tif"))
    names = ["Plate", "Well", "Site", "Compound", "Concentration", "pert_type", "Path"]
    return pd.DataFrame(found, columns=[f"Metadata_{name}" for name in names])


@pytest.mark.parametrize(("controls", "left"), [(0, False), (3, False), (4, True), (5, True)])
def test_too_few_controls(controls, left):
    table = _index(lambda _, column: column, controls=controls)
    said = foresight.too_few_controls(table, options("profile", min_controls=4))
    reason = f"will be left out: {controls} of the 4 negative controls that profile.min_controls asks for"
    assert said == ([] if left else [reason])


def test_controls_without_images_do_not_count():
    table = _index(lambda _, column: column)
    table.loc[table["Metadata_Well"] == "A01", "Metadata_Path"] = None
    assert foresight.too_few_controls(table, options("profile", min_controls=4))


@pytest.mark.parametrize("seed", range(5))
def test_lost_sites_are_counted_against_the_limit(seed):
    rng = np.random.default_rng(seed)
    table = _index(lambda _, column: column, sites=int(rng.integers(1, 5)))
    table.loc[rng.random(len(table)) < rng.uniform(0, 0.5), "Metadata_Path"] = None
    lost = table["Metadata_Path"].isna().mean()  # one plane per site
    for limit in (lost - 0.01, lost + 0.01):
        assert bool(foresight.too_many_lost(table, limit)) == (lost > limit)


def test_layouts_in_which_position_is_the_treatment():
    (by_column,) = foresight.one_place([_index(lambda _, column: column)])
    assert by_column.startswith("each treatment is in one column only on P:")
    (by_row,) = foresight.one_place([_index(lambda row, _: row)])
    assert by_row.startswith("each treatment is in one row only on P:")
    fixed = [_index(lambda row, column: f"{row}{column}", plate=plate) for plate in "PQ"]
    assert foresight.one_place(fixed) == [
        "each treatment is in the same well on all of its plates: scores cannot separate treatment from position"
    ]


def _series(place, *, plates="P", seed=0):
    """Return plates on which `place(row, column)` gives compound and dose of a well, each once."""
    tables = []
    for plate in plates:
        table = _index(lambda row, column: "@".join(map(str, place(row, column))), plate=plate, sites=1, controls=0,
                       rows="ABCDEFGH", columns=12)  # fmt: skip
        parts = table["Metadata_Compound"].str.split("@", expand=True)
        tables.append(table.assign(Metadata_Compound=parts[0], Metadata_Concentration=parts[1].astype(float)))
    return tables


def test_dose_series_in_lines_of_one_plate():
    """No treatment has replicates: the compound is the row, and the dose is the column."""
    found = foresight.one_place(_series(lambda row, column: (row, 2.0**column)))
    assert found == [
        f"{words} only on P: scores cannot separate treatment from position"
        for words in ("each compound (with its concentrations) is in one row", "each concentration is in one column")
    ]
    dealt = iter(np.random.default_rng(1).permutation([(f"c{n % 8}", 2.0 ** (n // 8)) for n in range(96)]).tolist())
    assert foresight.one_place(_series(lambda *_: next(dealt))) == []


def test_one_treatment_elsewhere_does_not_hide_a_layout():
    swapped = {("A", 1): "H12", ("H", 12): "A1"}
    at = {"rows": "ABCDEFGH", "columns": 12, "sites": 1, "controls": 0}
    fixed = [
        _index(lambda row, column: f"{row}{column}", **at),
        _index(lambda row, column: swapped.get((row, column), f"{row}{column}"), plate="Q", **at),
    ]
    (found,) = foresight.one_place(fixed)
    assert found.startswith("nearly each treatment (94 of 96) is in the same well on all of its plates:")
    moved = {("A", 1): 12, ("A", 12): 1}
    table = _index(
        lambda row, column: moved.get((row, column), column), rows="ABCDEFGH", columns=24, sites=1, controls=0
    )
    (found,) = foresight.one_place([table])
    assert found.startswith("nearly each treatment (22 of 24) is in one column only on P:")


def test_a_plate_without_treatments_has_no_layout():
    assert foresight.one_place([_index(lambda _, column: column, controls=24)]) == []


def _rows(**places):
    return [{"plate": plate, "images": images, "platemap": wells} for plate, (images, wells) in places.items()]


def test_folders_and_platemaps_of_another_plate_of_the_sheet_are_named():
    swapped = _rows(P1=("/data/P2__run1/Images", "P1.csv"), P2=("/data/P1__run1/Images", "p2_map.csv"))
    assert [text.partition(" (")[0] for text in foresight.crossed(swapped)] == ["the images of P1", "the images of P2"]
    maps = _rows(P1=("P1", "maps/P2.csv"), P2=("P2", "maps/P1.csv"))
    assert foresight.crossed(maps)[0] == (
        "the platemap of P1 (maps/P2.csv) has the name of the plate P2 of this sheet: are two rows swapped?"
    )


def test_shared_platemaps_and_usual_folders_are_not_crossed():
    assert foresight.crossed(_rows(P1=("/P2/P1", "P1.csv"), P2=("s3://data/P2/images", "P1.csv"))) == []
    assert foresight.crossed(_rows(P1=("/d/P1_P2", "map.csv"), P2=("", "map.csv"))) == []
    assert foresight.crossed(_rows(**{"1": ("day 2", "m.csv"), "2": ("day 1", "m.csv"), "10": ("P10", "10.csv")})) == []


def _block(height, width):
    return lambda row, column: f"{'ABCDEFGH'.index(row) // height} {(column - 1) // width}"


@pytest.mark.parametrize(
    ("height", "width", "words"),
    [(1, 2, "is in one row only"), (2, 1, "is in one column only"), (2, 2, "fills a block of wells of its own"),
     (2, 3, "fills a block of wells of its own")],
)  # fmt: skip
def test_treatments_in_areas_of_one_plate(height, width, words):
    """Neighbours as replicates: rectangles of any form."""
    table = _index(_block(height, width), rows="ABCDEFGH", columns=12, sites=1, controls=0)
    (found,) = foresight.one_place([table])
    assert found == f"each treatment {words} on P: scores cannot separate treatment from position"


def test_one_scattered_treatment_does_not_hide_areas():
    block = _block(2, 2)

    def scattered(row, column):
        return block("B", 12) if (row, column) == ("H", 1) else block("H", 1) if (row, column) == ("B", 12) else ""

    table = _index(lambda *at: scattered(*at) or block(*at), rows="ABCDEFGH", columns=12, sites=1, controls=0)
    assert "block of wells of its own" in foresight.one_place([table])[0]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("replicates", [2, 3, 4])
def test_replicates_that_are_dealt_over_a_plate_are_fine(seed, replicates):
    """Also few treatments on a small plate, of which some lie together by chance."""
    rng = np.random.default_rng(seed)
    count = 24 // replicates if seed % 2 else 4
    dealt = iter(rng.permutation(np.repeat(np.arange(count), replicates)))
    table = _index(lambda *_: next(dealt), rows="ABCD", columns=count * replicates // 4, sites=1, controls=0)
    assert not any("area" in text for text in foresight.one_place([table]))


@pytest.mark.parametrize("seed", range(5))
def test_random_layouts_are_fine(seed):
    rng = np.random.default_rng(seed)
    tables = [_index(lambda *_: rng.integers(6), plate=plate, sites=1) for plate in "PQ"]
    assert foresight.one_place(tables) == []
    assert foresight.one_place([]) == []


def test_plates_that_take_the_same_images_are_named(tmp_path):
    table = pd.DataFrame({"Metadata_Path": ["a.tif", "b.tif", None], "Metadata_Page": [0, 0, 0]})
    (tmp_path / "one").mkdir()
    (tmp_path / "two").symlink_to(tmp_path / "one")
    other = table.assign(Metadata_Page=1)
    own = {"P1": (str(tmp_path / "one"), table), "P2": (str(tmp_path / "one"), other)}
    assert foresight.shared_images(own) == []
    found = foresight.shared_images(own | {"P3": (str(tmp_path / "two"), table)})
    assert len(found) == 1
    assert found[0].startswith("expected images of one plate each, found 2 that the plates P1, P3 take")


def test_a_word_like_none_for_the_controls_is_meant_and_for_treated_wells_is_reported():
    table = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": ["A01", "A02", "B01", "B02"],
            "Metadata_Compound": ["none", "none", "n/a", "x"],
            "Metadata_pert_type": ["negcon", "negcon", "trt", "trt"],
        }
    )
    assert [text.split(" is read")[0] for text in foresight.slips([table])] == ["'n/a' (1 well)"]
    mixed = table.assign(Metadata_pert_type=["negcon", "trt", "trt", "trt"])
    assert any("'none' (2 wells)" in text for text in foresight.slips([mixed]))
