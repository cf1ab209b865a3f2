"""What cannot travel to jobs without a shared folder is named before the first job, with the remedy."""

import subprocess

import pandas as pd
import pytest
import yaml

from wellspring.io.shipped import CLONE
from wellspring.screen import config
from wellspring.workflow import travel

SHEET = pd.DataFrame({"images": {"P1": "s3://bucket/P1", "P2": "gs://bucket/P2", "P3": "results/demo/P3"}})


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """Return a function: the shipped config with changes; the folder is a repository that tracks the sheet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "plates.tsv").write_text("plate\n")
    subprocess.run(["git", "init", "-q", "."], check=True)
    subprocess.run(["git", "add", "."], check=True)
    written = yaml.safe_load((CLONE / "config" / "config.yaml").read_text())

    def changed(**changes):
        merged = {
            key: {**value, **changes.get(key, {})} if isinstance(value, dict) else value
            for key, value in written.items()
        }
        return config.typed(config.resolve(merged))

    return changed


def found(settings, sheet=SHEET):
    return travel.obstacles(settings, sheet, simulated=["P3"])


def test_plates_in_stores_and_simulated_ones_travel(screen):
    assert found(screen()) == []


def test_a_folder_of_images_does_not(screen):
    sheet = pd.concat([SHEET, pd.DataFrame({"images": {"P4": "/data/P4"}})])
    (line,) = found(screen(), sheet)
    assert "plate P4" in line and "'/data/P4'" in line and "config/plates.tsv" in line


def test_flat_fields_of_files_do_not(screen):
    given = {"method": "given", "given": "flat/{optics}_{channel}.npy"}
    (line,) = found(screen(illumination=given))
    assert line.startswith("illumination.method: ") and "docs/cloud.md" in line


def test_several_nodes_do_not(screen):
    (line,) = found(screen(train={"nodes": 2}))
    assert line.startswith("train.nodes: expected 1") and "found 2" in line


def test_a_table_of_another_tool_does_not(screen):
    table = {"kind": "table", "files": "tables/{plate}.parquet", "view": {"kind": "well"}}
    (line,) = found(screen(encoders={"cellprofiler": table}))
    assert line.startswith("encoders.cellprofiler: ")


def test_a_sheet_that_git_does_not_track_reaches_no_job(screen, tmp_path):
    exclusions = tmp_path / "config" / "exclusions.tsv"
    exclusions.write_text("plate\twell\tsite\tverdict\treason\n")
    settings = screen(survey={"exclusions": "config/exclusions.tsv"})
    (line,) = travel.untracked(settings)
    assert line.startswith("config/exclusions.tsv: ") and "git add config/exclusions.tsv" in line
    subprocess.run(["git", "add", "."], check=True)
    assert travel.untracked(settings) == []


def test_a_folder_without_a_repository_is_refused(screen, tmp_path):
    settings = screen()
    (tmp_path / ".git").rename(tmp_path / "away")
    (line,) = travel.untracked(settings)
    assert line.startswith(f"{tmp_path}: expected a git repository")
