"""`wellspring init` for names without wells, by a list of positions, and for plates of different channels."""

import csv
import itertools
import random

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from test_init import field

from wellspring.init import positions
from wellspring.init.__main__ import main
from wellspring.io.raw_image import read

WELLS = [f"{row}{column:02d}" for row in "AB" for column in (1, 2, 3)]


def keyence(folder, *, sites=(1,)):
    """Write images as Keyence names them, six positions of two channels; return the first pixels."""
    rng, values = np.random.default_rng(0), {}
    folder.mkdir(parents=True)
    for place, site, channel in itertools.product(range(1, 7), sites, (1, 2)):
        pixels = field(rng, nuclei=channel == 1)
        pixels[0, 0] = 1000 + 100 * place + 10 * site + channel
        name = f"XY{place:02d}_{f'{site:05d}_' if len(sites) > 1 else ''}CH{channel}.tif"
        tifffile.imwrite(folder / name, pixels)
        values[f"XY{place:02d}", str(site), f"CH{channel}"] = int(pixels[0, 0])
    return values


@pytest.mark.parametrize("sites", [(1,), (1, 2)])
def test_names_without_wells_become_a_list_of_positions_that_is_filled_in(tmp_path, capsys, sites):
    folder, out = tmp_path / "raw" / "P1", tmp_path / "screen"
    values = keyence(folder, sites=sites)
    layout = tmp_path / "layout.csv"
    layout.write_text("well,compound\n" + "".join(f"{well},{'DMSO' if well[0] == 'A' else 'x'}\n" for well in WELLS))
    given = [str(folder), "--platemap", str(layout), "--out", str(out), "--yes"]
    assert main(given) == 2
    words = capsys.readouterr().err
    place = out / "config" / "positions" / "P1.csv"
    for word in ("expected a well in each file name", "XY01", "fill in the column Metadata_Well", str(place)):
        assert word in words
    assert f"wellspring init {folder} --positions {place.parent}" in words
    table = pd.read_csv(place, dtype=str, keep_default_na=False)
    assert table["position"].tolist() == [f"XY{n:02d}" for n in range(1, 7) for _ in sites]
    assert set(table["Metadata_Well"]) == {""}
    wells = {f"XY{n:02d}": well for n, well in zip(range(1, 7), random.Random(1).sample(WELLS, 6), strict=True)}
    table["Metadata_Well"] = table["position"].map(wells)
    table.to_csv(place, index=False)
    assert main(given) == 2  # what was filled in stays
    assert pd.read_csv(place, dtype=str)["Metadata_Well"].tolist() == table["Metadata_Well"].tolist()
    assert main([*given, "--positions", str(place.parent)]) == 0
    written = yaml.safe_load((out / "config" / "config.yaml").read_text())
    assert written["index"]["loaddata"] == "config/positions/{plate}.csv"
    for (position, site, channel), value in values.items():
        row = table[(table["position"] == position) & (table["Metadata_Site"] == site)].iloc[0]
        assert int(read(folder, row[f"FileName_{channel}"], 0)[0, 0]) == value
        assert row["Metadata_Well"] == wells[position]
    assert f"6 wells, {6 * len(sites)} fields, {12 * len(sites)} planes" in capsys.readouterr().out


def test_a_list_that_is_not_filled_in_is_named(tmp_path, capsys):
    folder, out = tmp_path / "raw" / "P1", tmp_path / "screen"
    keyence(folder)
    main([str(folder), "--out", str(out), "--yes"])
    assert main([str(folder), "--out", str(out), "--yes", "--positions", str(out / "config" / "positions")]) == 2
    words = capsys.readouterr().err.splitlines()[-1]
    assert "P1.csv" in words and "well" in words.lower()


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Image_0001_DAPI.tif", "Image_0001_GFP.tif", "Image_0002_DAPI.tif", "Image_0002_GFP.tif"],
         [["0001", "1"], ["0002", "1"]]),
        (["Series001_z1_ch00.tif", "Series001_z1_ch01.tif", "Series002_z1_ch00.tif", "Series002_z1_ch01.tif"],
         [["Series001", "1"], ["Series002", "1"]]),
        (["1/pos1.tif", "1/pos2.tif", "2/pos1.tif"], [["1/pos1", "1"], ["1/pos2", "1"], ["2/pos1", "1"]]),
        (["img1.tif", "img2.tif"], [["img1", "1"], ["img2", "1"]]),
    ],
)  # fmt: skip
def test_positions_of_other_names(names, expected):
    rows = list(csv.reader((positions.draft(names) or "").splitlines()))[1:]
    assert [[row[0], row[2]] for row in rows] == expected
    assert sorted(cell for row in rows for cell in row[3:]) == sorted(names)


@pytest.mark.parametrize("names", [[], ["a.tif", "b.tif"], ["notes.txt"]])
def test_names_that_do_not_vary_by_numbers_have_no_positions(names):
    assert positions.draft(names) is None


def test_plates_of_different_channels_have_a_panel_each(tmp_path, capsys):
    rng = np.random.default_rng(0)
    stains = {"P1": ("DAPI", "GFP", "Cy5"), "P2": ("DAPI", "GFP")}
    for plate, names in stains.items():
        (tmp_path / plate).mkdir()
        for row, column, name in itertools.product("AB", range(1, 7), names):
            pixels = field(rng, nuclei=name == "DAPI")
            tifffile.imwrite(tmp_path / plate / f"{plate}_{row}{column:02d}_s1_{name}.tif", pixels)
    layout, out = tmp_path / "layout.csv", tmp_path / "screen"
    cells = ",".join(["DMSO", "x"] * 3)
    layout.write_text(f"compound,1,2,3,4,5,6\nA,{cells}\nB,{cells}\n")
    folders = [str(tmp_path / plate) for plate in stains]
    status = main([*folders, "--platemap", str(layout), "--out", str(out), "--yes"])
    text = capsys.readouterr().out
    assert status == 0, text
    sheet = pd.read_csv(out / "config" / "plates.tsv", sep="\t", dtype=str, keep_default_na=False)
    written = yaml.safe_load((out / "config" / "config.yaml").read_text())
    renamed = written["index"].get("channels", {})
    mine = {
        plate: [name for name in written["channels"] if renamed.get(name, name) in stains[plate]] for plate in stains
    }
    assert len(written["channels"]) == 3
    assert sheet.set_index("plate")["panel"].to_dict() == {"P1": "", "P2": ", ".join(mine["P2"])}
    assert written["cells"]["nuclei"] in mine["P2"]
    assert written["encoders"]["simclr"]["stem"] == "adaptive"
    assert written["encoders"]["intensity"]["channels"] == mine["P2"]
    assert "panels: plates have different channels" in text


def test_plates_of_the_same_channels_have_no_column_panel(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for plate in ("P1", "P2"):
        (tmp_path / plate).mkdir()
        for row, column in itertools.product("AB", range(1, 7)):
            tifffile.imwrite(tmp_path / plate / f"{plate}_{row}{column:02d}_s1_DAPI.tif", field(rng, nuclei=True))
    layout, out = tmp_path / "layout.csv", tmp_path / "screen"
    cells = ",".join(["DMSO", "x"] * 3)
    layout.write_text(f"compound,1,2,3,4,5,6\nA,{cells}\nB,{cells}\n")
    main([str(tmp_path / "P1"), str(tmp_path / "P2"), "--platemap", str(layout), "--out", str(out), "--yes"])
    assert "panel" not in (out / "config" / "plates.tsv").read_text()
