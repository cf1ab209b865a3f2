"""A real plate, BBBC013, from its raw images to the report: dose response, control separation, notes."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

import screens
from wellspring.io import tables

HERE = Path(__file__).resolve().parent / "bbbc013"
ENCODERS = ("simclr", "sslprofiler", "random")
LEVELS = {"aggregated", "normalised", "aligned"}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(shared_data, tmp_path_factory):
    """Return the results of the plate, run in a folder of its own with the paths of its sheet made absolute."""
    if not (shared_data / "bbbc013" / "images").is_dir():
        pytest.skip(f"no images in {shared_data / 'bbbc013'}")
    folder = tmp_path_factory.mktemp("bbbc013")
    config = yaml.safe_load((HERE / "config.yaml").read_text())
    (folder / "config").mkdir()
    screens.write_config(folder, config)
    shutil.copy(HERE / "platemap.csv", folder)
    header, row = (HERE / config["plates"]).read_text().splitlines()
    sheet = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    sheet["images"] = str((HERE / sheet["images"]).resolve())
    (folder / config["plates"]).write_text("\n".join("\t".join(part) for part in (sheet, sheet.values())) + "\n")
    done = screens.snakemake("--cores", "all", cwd=folder, wait=3600)
    assert done.returncode == 0, done.stdout[-6000:]
    return folder / "results"


@pytest.fixture(scope="module")
def scores(results):
    """Return the metric table of each encoder by (metric, level)."""
    return {
        name: tables.read(results / f"evaluate/{name}.summary.parquet").set_index(["Metadata_Metric", "Metadata_Level"])
        for name in ENCODERS
    }


def test_every_well_has_cells(results):
    for name in ENCODERS:
        profiles = tables.read(results / f"align/{name}.parquet")
        assert len(profiles) == 48
        assert (profiles["Metadata_Count_Cells"] > 0).all()
        assert (profiles["Metadata_Verdict"] == "keep").all()


@pytest.mark.parametrize("level", ["normalised", "aligned"])
def test_simclr_orders_the_doses(scores, level):
    row = scores["simclr"].loc[("dose.spearman", level)]
    assert row["value"] > 0.7
    assert 0.5 < row["low"] < row["value"] < row["high"] <= 1
    assert row["n"] == 36
    assert row["chance"] == 0


@pytest.mark.parametrize("name", ENCODERS)
def test_dose_scores_are_there_at_every_level_and_name_the_column(scores, name):
    for metric in ("dose.spearman", "dose.z_prime"):
        assert set(scores[name].loc[metric].index) == LEVELS
    assert scores[name].loc["dose.spearman", "Metadata_Note"].str.contains("dose and column coincide").all()
    controls = scores[name].loc["dose.z_prime"]
    assert (controls["n"] == 8).all()  # 4 positive controls and half of the 8 negative ones, twice
    assert controls["Metadata_Note"].str.contains("fitted on all rows but one").all()


def test_controls_are_apart_along_their_axis(scores):
    for level in LEVELS:
        row = scores["simclr"].loc[("dose.z_prime", level)]
        assert 0.5 < row["value"] < 1
        assert row["low"] < row["value"] < row["high"] < 1


def test_what_one_plate_does_not_define_says_so(scores):
    for table in scores.values():
        undefined = table[table["value"].isna()]
        families = {name.split(".")[0] for name in undefined.index.get_level_values(0)}
        assert families == {"consistency", "nsc", "nscb", "transfer", "nuisance"}
        assert undefined["Metadata_Note"].str.len().gt(0).all()
        assert table.loc["activity", "Metadata_Note"].str.contains("no interval").all()


def test_the_ec50_of_wortmannin_is_that_of_the_literature(results):
    """Cross et al. 1995 (J. Biol. Chem.): half of the phosphatidylinositol 3,4,5-trisphosphate is left at 10 nM."""
    [row] = pd.read_csv(results / "report" / "curves.csv").to_dict("records")
    assert row["compound"] == "wortmannin" and row["unit"] == "nM" and pd.isna(row["no_fit_because"])
    assert 10 / 3 < row["ec50"] < 10 * 3
    assert row["ec50_low"] > 1 and row["ec50_high"] < 30


def test_the_report_shows_the_doses(results):
    page = (results / "report" / "index.html").read_text()
    assert "Dose" in page
    assert "wortmannin" in page
    limits = page.index("Not testable with this layout")
    assert limits < page.index("Dose and column coincide") < page.index('<section id="metrics">')
    assert "Dose monotonicity (Spearman): above chance" not in page  # a column alone could give it
