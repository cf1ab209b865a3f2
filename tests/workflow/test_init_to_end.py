"""`wellspring init` on real data, then Snakemake: each screen runs to its end without an edit.

Networks are trained for four steps (`--steps`), all else is what init chose. A case of one or two wells takes some
150 s of processor time, mainly the starts of its 43 jobs; BBBC013 takes 400 s, the table of 55 plates 480 s.
"""

from pathlib import Path

import pytest

import screens
from wellspring.init.__main__ import main
from wellspring.io import tables

pytestmark = pytest.mark.slow
VENDORS = Path("vendor_layout_samples")
LJOSA = Path("bbbc021_ljosa_profiles")
BLACK = VENDORS / "CV8000/CV8000-Minimal-DataSet-2C-3W-4S-FP2-stack_20230918_135839"  # all of its pixels are 0
IMAGES = {  # folders below the shared data, with the numbers of plates, wells and fields
    "bbbc013": (Path("bbbc013/images"), 1, 48, 48),
    "lincs_a549": (Path("lincs_a549/images"), 2, 8, 40),
    "ImageXpress single": (VENDORS / "ImageXpress_exported/9987_Plate_3420", 1, 1, 1),
    "ImageXpress stack": (VENDORS / "ImageXpress_exported/9987_Plate_3434", 1, 2, 4),
    "ImageXpress time points": (VENDORS / "ImageXpress_exported/9987_Plate_3435", 1, 2, 4),
    "ImageXpress projections": (VENDORS / "ImageXpress/Projection-Mix", 1, 2, 4),
    "Operetta": (VENDORS / "operetta_plate", 1, 1, 2),
}


def run(folder: Path, *, wait: int = 5400) -> Path:
    """Run a screen to its end within `wait` seconds; return its results."""
    done = screens.snakemake("--cores", "all", cwd=folder, wait=wait)
    assert done.returncode == 0, done.stdout[-6000:]
    assert (folder / "results/report/index.html").stat().st_size > 10_000
    return folder / "results"


@pytest.mark.parametrize("name", IMAGES)
def test_images(shared_data, tmp_path, name):
    path, plates, wells, fields = IMAGES[name]
    if not (shared_data / path).exists():
        pytest.skip(f"{path} is not among the shared data")
    layout = shared_data / "bbbc013/plate_layout.csv"
    given = ["--platemap", str(layout)] if name == "bbbc013" else []
    assert main([str(shared_data / path), *given, "--out", str(tmp_path), "--yes", "--steps", "4"]) == 0
    results = run(tmp_path)
    names = screens.read_sheet(tmp_path)["plate"]
    assert len(names) == plates
    profiles = [tables.read(results / f"profile/classical/{plate}.aggregated.parquet") for plate in names]
    assert sum(map(len, profiles)) == wells
    surveyed = [tables.read(results / f"survey/{plate}.parquet") for plate in names]
    assert sum(len(one[["Metadata_Well", "Metadata_Site"]].drop_duplicates()) for one in surveyed) == fields
    if name == "bbbc013":
        (profile,) = profiles
        assert (profile["Metadata_Verdict"] == "keep").all()
        assert profile["Metadata_pert_type"].value_counts().to_dict() == {"trt": 36, "negcon": 8, "poscon": 4}
        assert set(profile["Metadata_Concentration_Unit"]) == {"nM"}


def test_an_export_of_black_images_ends_with_the_reason(shared_data, tmp_path, capsys):
    if not (shared_data / BLACK).exists():
        pytest.skip(f"{BLACK} is not among the shared data")
    assert main([str(shared_data / BLACK), "--out", str(tmp_path), "--yes", "--steps", "4"]) == 0
    shown = capsys.readouterr().out
    assert "3 wells, 12 fields, 96 planes of 2000 x 2000 uint16" in shown
    assert shown.count("images of ") == 2 and "none has two grey values" in shown
    done = screens.snakemake("--cores", "all", cwd=tmp_path, wait=5400)
    assert done.returncode != 0
    assert "expected at least one usable plate, found that all are left out (CV8000" in done.stdout
    excluded = (tmp_path / f"results/survey/{BLACK.name}.excluded.tsv").read_text()
    assert excluded.count("blank: every pixel is 0 (DNA, ER)") == 12


def test_a_table_of_another_tool(shared_data, tmp_path):
    home = shared_data / LJOSA
    table, layout = home / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz", home / "BBBC021_v1_image.csv.gz"
    assert main(["--tables", str(table), "--platemap", str(layout), "--out", str(tmp_path)]) == 0
    results = run(tmp_path, wait=14400)  # 226 jobs
    (aligned,) = (path for path in (results / "align").glob("*.parquet") if "consensus" not in path.name)
    profiles = tables.read(aligned)
    assert (profiles["Metadata_Plate"].nunique(), profiles["Metadata_Batch"].nunique()) == (55, 10)
    assert int((profiles["Metadata_pert_type"] == "negcon").sum()) == 330
