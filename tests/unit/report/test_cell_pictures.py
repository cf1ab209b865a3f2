"""Single cells in the panels: words with the right numbers, tiles of the chosen cells at the scale of their plate."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from report_screen import CHANNELS, fabricate
from wellspring.io import ngff, packed
from wellspring.report import active, cell_pictures, gather, panel
from wellspring.report.takeaway import hits

ROW = {
    "cells": 1234,
    "wells": 3,
    "share": 0.234,
    "share_lowest": 0.05,
    "share_highest": 0.4,
    "share_controls": 0.0812,
    "q_mean": 0.2,
    "q_distribution": 0.0004,
    "q_shape": 0.03,
    "Metadata_Reason": "",
}


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """Return a screen of ready-made crops with tests of single cells and chosen cells of its first encoder."""
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), plates=2, bad=0, rows=4, columns=8, treatments=4)
    made = gather.gather(inputs, **names)
    found = active.population(made, encoder="sslprofiler", level="aligned", alpha=0.05)
    tests = pd.DataFrame([{**ROW, "Metadata_Item": one.item} for one in found.everything])
    parts = []
    for table in made.crops.values():
        keys = table.rename(columns={"Metadata_Cell": "Metadata_View"})
        keys = keys[["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_View"]]
        turn = keys.groupby("Metadata_Well").cumcount()
        keys = keys.assign(Metadata_Chosen=np.where(turn == 0, "beyond", "within"), Metadata_Distance=1.0)
        parts.append(keys[turn < 3])
    chosen = pd.concat(parts, ignore_index=True)
    shown = {"cell_tests": {"sslprofiler": tests}, "chosen_cells": {"sslprofiler": chosen}}
    return replace(made, image_files={}, **shown)


@pytest.fixture(scope="module")
def found(screen):
    return active.population(screen, encoder="sslprofiler", level="aligned", alpha=0.05)


def test_words_have_share_range_and_tests():
    assert cell_pictures.words(ROW) == (
        "1,234 single cells in 3 wells: 23 % lie beyond the limit of 95 % of the control cells (5.0 to 40 % by "
        "well; 95 % of the control wells have at most 8.1 %); any difference of the distribution: q <0.001, of the "
        "mean: q 0.200, about the mean: q 0.030."
    )
    reason = "too_few_exchanges(found=7, needed=20)"
    few = cell_pictures.words({**ROW, "share": None, "wells": 1, "Metadata_Reason": reason})
    assert few == "1,234 single cells in 1 well; not tested: 7 exchanges of treated and control wells, 20 are needed."


def test_a_tile_has_the_chosen_crops_at_the_scale_of_the_plate(screen, found):
    tiles = cell_pictures.tiles(screen, found, size=32)
    one = found.strongest()[0]
    chosen = screen.chosen_cells["sslprofiler"]
    wells = pd.MultiIndex.from_tuples(one.wells)
    mine = chosen[pd.MultiIndex.from_frame(chosen[["Metadata_Plate", "Metadata_Well"]]).isin(wells)]
    first = mine[mine["Metadata_Chosen"] == "beyond"].iloc[0]
    table = screen.crops[first["Metadata_Plate"]]
    same = table["Metadata_Well"].eq(first["Metadata_Well"]) & table["Metadata_Site"].eq(first["Metadata_Site"])
    row = table[same & table["Metadata_Cell"].eq(first["Metadata_View"])].iloc[0]
    crop = packed.Packed(screen.crop_files[first["Metadata_Plate"]]).read(int(row["Metadata_Row"])).astype(float)
    levels = screen.intensity[screen.intensity["Metadata_Plate"] == first["Metadata_Plate"]]
    levels = levels.set_index("Metadata_Channel")
    edge = crop.shape[-1]
    assert edge % 16 == 0
    means = crop.reshape(len(CHANNELS), 16, edge // 16, 16, edge // 16).mean(axis=(2, 4))
    low, high = (levels.loc[list(CHANNELS), end].to_numpy()[:, None, None] for end in ("low", "high"))
    grey = np.clip((means - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(tiles["beyond", one.item][:, :16, :16], grey, atol=1)
    assert {plate for side, plate in tiles if side == cell_pictures.CONTROLS} == {plate for plate, _ in one.wells}


def test_cells_are_cut_out_of_corrected_fields(screen, tmp_path):
    """A square at the border is continued by its last pixels."""
    field = np.arange(2 * 40 * 50, dtype=np.uint16).reshape(2, 40, 50)
    with ngff.PlateWriter(tmp_path / "P.zarr", plate="P", channels=["a", "b"]) as writer:
        writer.write("A01", "1", field)
    screen = replace(
        screen, channels=("a", "b"), image_files={"P": tmp_path / "P.zarr" / "zarr.json"}, crop_files={}, crops={}
    )
    row = {"Metadata_Plate": "P", "Metadata_Well": "A01", "Metadata_Site": "1"}
    read = cell_pictures._Cells(screen)._image({**row, "Metadata_Center_Y": 10.6, "Metadata_Center_X": 45.0})
    wide = np.pad(field, ((0, 0), (64, 64), (64, 64)), mode="edge")
    centres = {"Metadata_Center_Y": np.nan, "Metadata_Center_X": np.nan}
    assert cell_pictures._Cells(screen)._image({**row, **centres}) is None, "a foreign table has no centres"
    np.testing.assert_array_equal(read, wide[:, 64 + 11 - 32 : 64 + 11 + 32, 64 + 45 - 32 : 64 + 45 + 32])


def test_panels_and_hits_have_them_and_no_screen_needs_them(screen, found):
    made = panel.pictures(screen, found)
    rows = {row["item"]: row for row in panel.block(screen, found, made)["treatments"]}
    strongest = rows[found.strongest()[0].item]["cells"]
    assert strongest["words"].startswith("1,234 single cells")
    assert [title for title, _ in strongest["strips"]][:2] == ["cells beyond the limit", "cells within"]
    numbers = [number for _, number in strongest["strips"]]
    assert len(set(numbers)) == len(numbers) == 3 and max(numbers) < len(made[0].numbers)
    table = hits.table(screen, encoder="sslprofiler")
    assert (table.loc[table["population"] == "screen", "cells_beyond"] == 0.234).all()
    assert (table.loc[table["population"] == "screen", "cells_q"] == 0.0004).all()
    without = replace(screen, cell_tests={}, chosen_cells={})
    assert cell_pictures.tiles(without, found, size=32) == {}
    assert all(
        row["cells"] is None for row in panel.block(without, found, panel.pictures(without, found))["treatments"]
    )
