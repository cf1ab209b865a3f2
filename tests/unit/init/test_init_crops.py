"""`wellspring init` on ready-made crops of cells in each of their forms: the check passes without an edit."""

import numpy as np
import pytest
import yaml

import ready_crops
from wellspring.init import ready
from wellspring.init.__main__ import main

WELLS = [f"{row}{column:02d}" for row in "BC" for column in (2, 3, 4)]


def write(folder, form, plates=("P1", "007")):
    table = ready_crops.keys(plates, WELLS, cells=2)
    rng = np.random.default_rng(1)
    pixels = np.stack([ready_crops.crop(rng) for _ in range(len(table))])
    ready_crops.write(folder / "crops", form, table, pixels)
    lines = [f"{well},{'DMSO' if well[1:] == '02' else 'x'}" for well in WELLS]
    (folder / "layout.csv").write_text("\n".join(["well,compound", *lines]) + "\n")
    return folder / "crops", pixels


@pytest.mark.parametrize("form", ready_crops.FORMS)
def test_each_form_of_crops_becomes_a_screen_that_can_run(tmp_path, capsys, form):
    folder, _ = write(tmp_path, form)
    out = tmp_path / "screen"
    names = ["DNA", "ER", "Mito"]
    given = [] if form == "file per channel" else ["--channels", *(f"{n}={k}" for k, n in enumerate(names, 1))]
    arguments = [str(folder), "--platemap", str(tmp_path / "layout.csv"), "--out", str(out), "--yes", "--steps", "3"]
    assert main([*arguments, *given]) == 0, capsys.readouterr().out
    assert "Can run" in capsys.readouterr().out
    written = yaml.safe_load((out / "config" / "config.yaml").read_text())
    assert written["channels"] == names
    assert written["crops"]["size"] == 36 and written["encoders"]["simclr"]["view"]["size"] == 24
    sheet = [line.split("\t")[:2] for line in (out / "config" / "plates.tsv").read_text().splitlines()[1:]]
    assert sheet == [["007", str(folder)], ["P1", str(folder)]]


def test_a_folder_of_fields_is_no_folder_of_crops(tmp_path):
    (tmp_path / "load_data.csv").write_text("Metadata_Well,FileName_DNA\nA01,a.tif\n")
    (tmp_path / "map.csv").write_text("well,compound\nA01,x\n")
    (tmp_path / "profiles.csv").write_text("Metadata_Well,Metadata_Plate,Cells_a\nA01,P1,0.5\n")
    assert ready.recognised(tmp_path) is None


def test_crops_side_by_side_that_are_not_square_ask_for_their_channels(tmp_path, capsys):
    folder, _ = write(tmp_path, "side by side")
    assert main([str(folder), "--out", str(tmp_path / "screen"), "--yes"]) == 2
    shown = capsys.readouterr().err
    assert "found images of (40, 108)" in shown and "--channels DNA=1 ER=2" in shown
