"""After a run the list of failures has each failed job, until it succeeds; no run uses another screen's results."""

import pytest

import screens
from wellspring.workflow import failures

INDEX = ("--cores", "1", "--until", "index", "-k")


@pytest.fixture
def screen(tmp_path):
    """Return a screen of two plates, the second without images."""
    folder = tmp_path / "screen"
    folder.mkdir()
    sheet = screens.fabricate(folder, ["P1", "P2"])
    (folder / "raw" / "P2.csv").write_text("well_position,compound,pert_type\nB02,DMSO,negcon\n")
    screens.draw(folder, "P1", "A01")
    return screens.make(folder, sheet=sheet)


def test_a_crash_is_in_the_ledger_until_it_is_mended(screen):
    path = screen / "results" / "failures.tsv"
    done = screens.snakemake(*INDEX, cwd=screen)
    assert done.returncode != 0
    (row,) = failures.read(path).to_dict("records")
    assert (row["rule"], row["of"]) == ("index", "P2")
    assert row["reason"].startswith("ValueError: ")
    assert row["log"] == "results/logs/index/P2.log"
    assert row["reason"] in (screen / row["log"]).read_text()
    assert f"1 job failed (listed in results/failures.tsv):\nindex P2: {row['reason']}" in done.stdout, done.stdout
    screens.draw(screen, "P2", "B02")
    done = screens.snakemake(*INDEX, cwd=screen)
    assert done.returncode == 0, done.stdout
    assert not path.exists()


def test_results_of_another_screen_are_refused_before_any_job(screen, tmp_path):
    screens.draw(screen, "P2", "B02")
    assert screens.snakemake(*INDEX, cwd=screen).returncode == 0
    other = screens.make(tmp_path / "other", sheet=screens.fabricate(tmp_path / "other", ["P3", "P4"]))
    (other / "results").symlink_to(screen / "results")
    before = screens.digests(screen)
    done = screens.snakemake(*INDEX, cwd=other)
    assert done.returncode != 0
    assert f"found those of {screen}" in done.stdout, done.stdout
    assert "started: index" not in done.stdout and "done: index" not in done.stdout
    assert screens.digests(screen) == before
