"""`snakemake check`: all problems in one table before any job, and no file in the folder of results."""

import screens


def test_all_problems_are_printed_and_nothing_is_made(tmp_path):
    folder = screens.make(tmp_path, sheet=screens.fabricate(tmp_path, ["P1", "P2"]))
    done = screens.snakemake("--cores", "1", "check", cwd=folder)
    assert done.returncode != 0
    for name in ("P1", "P2"):
        assert f"problem  plate {name}" in done.stdout, done.stdout
    assert "Cannot run: 2 problems" in done.stdout
    assert not (folder / "results").exists()


def test_the_shipped_screen_passes(tmp_path):
    folder = screens.make(tmp_path)
    done = screens.snakemake("--cores", "1", "check", cwd=folder)
    assert done.returncode == 0, done.stdout
    assert "ok       plate B1_U2OS" in done.stdout
    assert not (folder / "results").exists()
