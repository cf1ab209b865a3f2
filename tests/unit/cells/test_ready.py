"""Ready-made crops: every form gives the pixels that were written, and what is wrong with a table is named."""

import numpy as np
import pandas as pd
import pytest
import tifffile

import ready_crops
from wellspring.cells.ready import listing, pack
from wellspring.cells.ready.settings import Settings, chosen
from wellspring.io import packed
from wellspring.screen import config, platemap
from wellspring.workflow import ready_crops as check
from wellspring.workflow.plate_check import Plate

WELLS = ("B02", "C03", "D11")
SIZE = 32
BASE = {
    "channels": list(ready_crops.CHANNELS),
    "encoders": {"one": {"kind": "intensity", "view": {"kind": "cell", "size": SIZE}}},
}


def settings(given, **more):
    written = {**BASE, "crops": {"size": SIZE, "cells_per_well": 4, "given": given}, **more}
    return Settings.of(chosen(config.resolve(written)))


def drawn(table, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([ready_crops.crop(rng) for _ in range(len(table))])


def packed_plate(folder, given, plate="P1", wells=WELLS, **more):
    found = pack.pack(
        folder / "out.npy", folder=str(folder), plate=plate, wells=wells, settings=settings(given, **more), batch="B"
    )
    return found, packed.Packed(folder / "out.npy")


@pytest.mark.parametrize("form", ready_crops.FORMS)
def test_each_form_gives_the_pixels_that_were_written(tmp_path, form):
    table = ready_crops.keys(("P1", "P2"), WELLS)
    pixels = drawn(table)
    given = ready_crops.write(tmp_path, form, table, pixels)
    found, array = packed_plate(tmp_path, given)
    mine = table[table["Plate"] == "P1"]
    assert len(found.table) == len(mine) == 18 and not found.lost and found.verdict.keep
    written = {
        (well.upper().replace("B2", "B02").replace("C3", "C03"), str(site), cell): pixels[number]
        for number, well, site, cell in mine[["Well", "Site", "ObjectNumber"]].itertuples(name=None)
    }
    for row in found.table.itertuples():
        one = written[row.Metadata_Well, row.Metadata_Site, row.Metadata_Cell]
        np.testing.assert_array_equal(array.read(row.Metadata_Row), one[:, 4:36, 2:34])
    assert found.table["Metadata_Sample"].groupby(found.table["Metadata_Well"]).sum().tolist() == [4, 4, 4]
    assert found.table["Metadata_Batch"].unique().tolist() == ["B"]


def test_the_intensity_scale_is_of_the_packed_pixels(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    given = ready_crops.write(tmp_path, "array", table, drawn(table))
    found, array = packed_plate(tmp_path, given, images={"low": 0.01, "high": 0.99})
    every = array.take(range(len(array)))
    for row, channel in zip(found.intensity.itertuples(), range(3), strict=True):
        values = np.sort(every[:, channel].ravel())
        assert row.low == values[int(np.ceil(0.01 * len(values))) - 1]
        assert row.high == values[int(np.ceil(0.99 * len(values))) - 1]


def test_channels_in_another_order_and_further_ones_are_named(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    pixels = drawn(table)
    given = ready_crops.write(tmp_path, "array", table, pixels)
    given["channels"] = ["Mito", "other", "DNA"]
    _, array = packed_plate(tmp_path, given, channels=["DNA", "Mito"])
    assert array.shape[1] == 2
    order = table.assign(Well=table["Well"].str.zfill(3)).sort_values(["Well", "Site", "ObjectNumber"]).index
    rows = [pixels[number][[2, 0], 4:36, 2:34] for number in order]
    np.testing.assert_array_equal(array.take(range(len(array))), np.stack(rows))


def test_floats_need_a_range(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    pixels = drawn(table)
    given = ready_crops.write(tmp_path, "array", table, (pixels / 65535).astype(np.float64))
    found, _ = packed_plate(tmp_path, given)
    assert found.lost == {"dtype": 18} and not found.verdict.keep and found.table.empty
    found, array = packed_plate(tmp_path, given, index={"range": [0, 1]})
    first = found.table.iloc[0]
    number = table.index[(table["Well"] == "b2") & (table["Site"] == 1) & (table["ObjectNumber"] == 1)][0]
    np.testing.assert_array_equal(array.read(first["Metadata_Row"]), pixels[number][:, 4:36, 2:34])


def test_crops_that_cannot_be_used_are_left_out_and_counted(tmp_path):
    table = ready_crops.keys(("P1",), WELLS, cells=20)
    given = ready_crops.write(tmp_path, "numpy per crop", table, drawn(table))
    names = pd.read_csv(tmp_path / "cells.csv")["file"]
    (tmp_path / names[0]).unlink()
    (tmp_path / names[1]).write_bytes((tmp_path / names[1]).read_bytes()[:200])
    np.save(tmp_path / names[2], np.zeros(ready_crops.SHAPE, dtype=np.uint16))
    np.save(tmp_path / names[3], np.ones((3, 20, 36), dtype=np.uint16))
    np.save(tmp_path / names[4], np.ones((4, 40, 36), dtype=np.uint16))
    found, _ = packed_plate(tmp_path, given)
    assert found.lost == {"blank": 1, "missing": 1, "shape": 2, "unreadable": 1}
    assert len(found.table) == 115 and found.verdict.keep
    for name in names[5:40]:
        (tmp_path / name).unlink()
    found, _ = packed_plate(tmp_path, given)
    assert found.verdict.notes[0].code == "crops_lost" and found.verdict.notes[0].values["lost"] == 40


def test_the_row_of_a_well_is_no_number_of_a_crop(tmp_path):
    """CellProfiler's tables have the row and column of a well, which are numbers of crops of other wells."""
    table = ready_crops.keys(("P1",), ("B02", "A03"), sites=1, cells=1)
    pixels = drawn(table)
    given = ready_crops.write(tmp_path, "array", table, pixels)
    named = pd.read_csv(tmp_path / "cells.csv")
    rows = named["Well"].str.lower().map({"b2": 1, "a3": 0})
    crops = {}
    for column in ("Metadata_Col", "other"):
        named.assign(Metadata_Row=rows, **{column: 1}).to_csv(tmp_path / "cells.csv", index=False)
        found, array = packed_plate(tmp_path, given, wells=("A03", "B02"))
        assert found.table["Metadata_Well"].tolist() == ["A03", "B02"]
        crops[column] = array.take([0, 1])
    number = {well: place for place, well in enumerate(table["Well"])}
    in_order = pixels[[number["a3"], number["b2"]]][:, :, 4:36, 2:34]
    np.testing.assert_array_equal(crops["Metadata_Col"], in_order)
    np.testing.assert_array_equal(crops["other"], pixels[:, :, 4:36, 2:34])  # the numbers of our own tables


def test_files_that_are_no_arrays_of_crops_are_left_out(tmp_path):
    np.save(tmp_path / "scalar.npy", np.array(3))
    np.save(tmp_path / "good.npy", drawn([0]))
    paths = ["good.npy", "scalar.npy", f"{'a' * 5000}.npy"]
    pd.DataFrame({"well": WELLS, "path": paths, "item": 0}).to_csv(tmp_path / "cells.csv", index=False)
    found, _ = packed_plate(tmp_path, {"table": "cells.csv"})
    assert found.table["Metadata_Well"].tolist() == ["B02"] and found.lost == {"missing": 2}
    words = "\n".join(one.words for one in checked(tmp_path, {"table": "cells.csv"}))
    assert "1 of 3 crops have no file" in words


def test_a_lost_chunk_of_zarr_is_no_black_cell(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    given = ready_crops.write(tmp_path, "zarr", table, drawn(table))
    (tmp_path / "crops.zarr" / "c" / "0" / "1" / "0" / "0").unlink()
    found, _ = packed_plate(tmp_path, given)
    assert found.lost == {"missing": 4} and len(found.table) == 14


def doubled(table):
    return pd.concat([table, table.iloc[:1]])


MISTAKES = {
    "no table": (lambda table: None, "expected the table of crops here"),
    "no wells": (lambda table: table.drop(columns="Well"), "expected a column of well"),
    "no files": (lambda table: table.drop(columns="path"), "expected a column of file"),
    "an odd well": (lambda table: table.assign(Well=["Q"] + ["b2"] * 17), "well 'Q': expected a row"),
    "an empty well": (lambda table: table.assign(Well=[""] + ["b2"] * 17), "expected a well in each row"),
    "a cell twice": (doubled, "expected each cell once, found 1 again, the first is cell"),
    "a file twice": (
        lambda table: table.assign(path=[table["path"].iloc[1], *table["path"].iloc[1:]]),
        "expected each file once",
    ),
    "another plate": (lambda table: table.assign(Plate="P7"), "expected rows of plate P1 in column 'Plate'"),
    "a path outside": (lambda table: table.assign(path="../" + table["path"]), "or index.roots, found the folder"),
    "a number of a file twice": (
        lambda table: table.assign(path="a.npy", Metadata_Row=4),
        "a file once in 'Metadata_Row'",
    ),
    "a number too large": (lambda table: table.assign(item=10.0**20), "expected numbers from 0 in 'item'"),
    "a number below 0": (
        lambda table: table.assign(item=[-1, *range(17)]),
        "expected numbers from 0 in 'item', found '-1'",
    ),
    "no number": (lambda table: table.assign(item=["x", *range(17)]), "expected numbers from 0 in 'item', found 'x'"),
    "half a number": (
        lambda table: table.assign(item=[0.5, *range(17)]),
        "expected numbers from 0 in 'item', found '0.5'",
    ),
    "an odd site": (lambda table: table.assign(Site="s/1"), "expected sites of letters and digits"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_the_table_are_named_by_the_check(tmp_path, mistake):
    table = ready_crops.keys(("P1",), WELLS)
    given = ready_crops.write(tmp_path, "pages", table, drawn(table))
    change, words = MISTAKES[mistake]
    changed = change(pd.read_csv(tmp_path / "cells.csv"))
    (tmp_path / "cells.csv").unlink()
    if changed is not None:
        changed.to_csv(tmp_path / "cells.csv", index=False)
    [finding] = [one for one in checked(tmp_path, given) if one.grade == "problem"]
    assert words in finding.words and "P1" in finding.words


def checked(folder, given, wells=WELLS, **more):
    (folder / "map.csv").write_text("well,compound\n" + "".join(f"{well},DMSO\n" for well in wells))
    complete = config.resolve({**BASE, "crops": {"size": SIZE, "given": given}, **more})
    reading = platemap.of_plate(str(folder / "map.csv"), plate="P1", options=config.typed(complete).index)
    return check.plates([{"images": str(folder)}], [Plate("P1", (), wells=reading)], complete)


def test_the_check_counts_crops_and_names_lost_files_wells_and_sizes(tmp_path):
    table = ready_crops.keys(("P1",), WELLS, cells=20)
    given = ready_crops.write(tmp_path, "pages", table, drawn(table))
    [finding] = checked(tmp_path, given)
    assert finding.grade == "ok"
    assert finding.words == "120 crops of 3 wells and 6 sites: 40 x 36 px uint16, DNA, ER, Mito"
    names = pd.read_csv(tmp_path / "cells.csv")["path"]
    (tmp_path / names[0]).unlink()
    tifffile.imwrite(tmp_path / names[1], np.arange(3 * 50 * 50, dtype=np.uint16).reshape(3, 50, 50))
    tifffile.imwrite(tmp_path / names[2], np.arange(3 * 20 * 50, dtype=np.uint16).reshape(3, 20, 50))
    tifffile.imwrite(tmp_path / names[3], np.arange(4 * 40 * 36, dtype=np.uint16).reshape(4, 40, 36))
    found = checked(tmp_path, given, wells=("B02", "C03", "E05"))
    words = "\n".join(f"{one.grade} {one.words}" for one in found)
    assert "problem" in words and "1 wells have crops and no row in the platemap: ['D11']" in words
    assert "warning 1 wells of the platemap have no crops: E05" in words
    assert f"1 of 120 crops have no file: {names[0]!r}" in words
    assert "expected crops of one size and type" in words and "50 x 50 px uint16': 1" in words
    assert "2 of 120 opened crops are left out (shape)" in words


def test_a_number_of_crops_that_differs_from_the_rows_is_named(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    given = ready_crops.write(tmp_path, "array", table, drawn(table)[1:])
    [finding] = [one for one in checked(tmp_path, given) if one.grade == "problem"]
    assert "found 18 rows in" in finding.words and "17 crops in" in finding.words


def test_axes_that_are_in_doubt_are_asked_for(tmp_path):
    table = ready_crops.keys(("P1",), WELLS)
    rng = np.random.default_rng(1)
    pixels = np.stack([ready_crops.crop(rng, (3, 40, 3)) for _ in range(len(table))])
    given = ready_crops.write(tmp_path, "array", table, pixels)
    [finding] = [one for one in checked(tmp_path, given) if one.grade == "problem"]
    assert "expected one axis of 3 channels" in finding.words and "crops.given.layout" in finding.words


CONFIGS = {
    "tiles": ({"encoders": {"one": {"kind": "intensity"}}}, "encoders.one.view.kind: expected cell for ready-made"),
    "classical": ({"encoders": {"one": {"kind": "classical"}}}, "encoders.one.kind: expected a network"),
    "large views": (
        {"encoders": {"one": {"kind": "intensity", "view": {"kind": "cell", "size": 64}}}},
        "encoders.one.view.size: expected at most crops.size, 32 px",
    ),
    "micrometres": ({"crops": {"size": 32, "unit": "um", "given": {"table": "t.csv"}}}, "crops.unit: expected px"),
    "masked": (
        {"crops": {"size": 32, "neighbours": "masked", "given": {"table": "t.csv"}}},
        "crops.neighbours: expected kept",
    ),
    "a channel that the crops lack": (
        {"crops": {"size": 32, "given": {"table": "t.csv", "channels": ["DNA", "ER"]}}},
        "crops.given.channels: expected all of channels",
    ),
    "no table": ({"crops": {"size": 32, "given": {"array": "a.npy"}}}, "crops.given.table: expected the table"),
}


@pytest.mark.parametrize("mistake", CONFIGS)
def test_contradictions_of_the_config_are_named(mistake):
    change, words = CONFIGS[mistake]
    with pytest.raises(ValueError, match=words):
        config.resolve({**BASE, "crops": {"size": SIZE, "given": {"table": "t.csv"}}, **change})


def test_a_parquet_table_may_hold_boxes_and_labels_as_lists(tmp_path):
    table = pd.DataFrame({"well": ["B02", "C03"], "path": ["a.tif", "b.tif"], "target": [["EGFR", "HER2"], None]})
    table["bbox"], table["embedding"] = [[1, 2, 3, 4]] * 2, [[0.5, 1.5]] * 2
    table.to_parquet(tmp_path / "cells.parquet", index=False)
    found = listing.cells_of(tmp_path / "cells.parquet")
    assert found.to_dict("list") == {
        "well": ["B02", "C03"], "path": ["a.tif", "b.tif"], "target": ["EGFR|HER2", None],
    }  # fmt: skip
