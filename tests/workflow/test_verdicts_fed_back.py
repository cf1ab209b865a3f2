"""The survey's exclusions fed back by the config: only plates that the file names are surveyed again."""

import numpy as np
import pandas as pd
import pytest
import tifffile

import screens
from wellspring.io import tables

PLATES = ("P1", "P2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a screen of two plates of two wells, surveyed; an image of each is half saturated."""
    folder = tmp_path_factory.mktemp("fed_back")
    sheet = screens.fabricate(folder, PLATES)
    rng = np.random.default_rng(0)
    for plate in PLATES:
        (folder / "raw" / f"{plate}.csv").write_text("well_position,compound,pert_type\nA01,DMSO,negcon\nA02,X,trt\n")
        for well in ("A01", "A02"):
            for channel in ("DNA", "ER", "RNA", "AGP", "Mito"):
                pixels = rng.poisson(200, (32, 32)).astype(np.uint16)
                pixels[: 16 if (well, channel) == ("A02", "ER") else 0] = 65535
                tifffile.imwrite(folder / "raw" / plate / f"{well}_s1_{channel}.tif", pixels)
    screens.make(folder, changes={"survey": {"max_excluded": 1.0}, "track_code": False}, sheet=sheet)
    done = screens.snakemake("--cores", "2", "--until", "survey", cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    return folder


def again(folder, text):
    """Write the exclusion list and return the planned jobs up to the survey."""
    (folder / "verdicts.tsv").write_text(text)
    screens.change(folder, {"survey": {"exclusions": "verdicts.tsv"}})
    return screens.planned(folder, "--until", "survey")


def test_exclusions_come_back_and_rerun_their_plates_only(folder):
    results = folder / "results" / "survey"
    found = {plate: (results / f"{plate}.excluded.tsv").read_text() for plate in PLATES}
    code, why = "saturated(share=0.5, limit=0.01)", "saturated: 50.0 % of the pixels, more than 1.0 %"
    assert found["P1"] == f"plate\twell\tsite\tverdict\treason\nP1\tA02\t1\texclude\t{why} (ER)\n"
    assert "planes excluded: saturated (saturated)" in (folder / "results" / "logs" / "survey" / "P1.log").read_text()
    assert again(folder, "# nothing yet\n" + found["P1"].splitlines()[0] + "\n") == {}
    assert again(folder, found["P1"].replace("exclude", "keep")) == {"survey": 1}
    assert again(folder, found["P1"].replace("exclude", "keep") + found["P2"]) == {"survey": 2}
    done = screens.snakemake("--cores", "2", "--until", "survey", cwd=folder)
    assert done.returncode == 0, done.stdout[-4000:]
    assert (results / "P1.excluded.tsv").read_text() == "plate\twell\tsite\tverdict\treason\n"
    assert (results / "P2.excluded.tsv").read_text() == found["P2"]
    kept = tables.read(results / "P1.parquet")["Metadata_Reason"]
    assert kept[kept != ""].tolist() == [f'kept_as_listed(reason="{why} (ER)"); {code}']
    # a comment, and the lines of the two plates in another order
    assert again(folder, "# looked at\n" + found["P2"] + found["P1"].replace("exclude", "keep")) == {}


def test_a_line_about_no_plate_stops_before_any_job(folder):
    (folder / "verdicts.tsv").write_text("plate\twell\tsite\tverdict\treason\nP3\t\t\texclude\t\n")
    screens.change(folder, {"survey": {"exclusions": "verdicts.tsv"}})
    done = screens.snakemake("-n", "--cores", "2", cwd=folder)
    assert done.returncode != 0 and "Job stats" not in done.stdout
    assert "verdicts.tsv: line 2: expected a plate of the sheet, found 'P3'" in done.stdout


def test_a_plate_of_role_no_may_stay_on_the_list(folder):
    (folder / "verdicts.tsv").write_text("plate\twell\tsite\tverdict\treason\nP2\t\t\texclude\tdust\n")
    screens.change(folder, {"survey": {"exclusions": "verdicts.tsv"}})
    sheet = screens.read_sheet(folder)
    screens.write_sheet(folder, pd.concat([sheet[:1], sheet[1:].assign(role="no")]))
    try:
        assert "survey" not in screens.planned(folder, "--until", "index")
    finally:
        screens.write_sheet(folder, sheet)
