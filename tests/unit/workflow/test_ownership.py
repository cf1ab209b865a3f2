"""Results belong to one screen: another is refused by name, a moved or copied one goes on."""

import shutil

import pytest

from wellspring.workflow.ownership import FILE, claim


@pytest.fixture
def screen(tmp_path):
    (tmp_path / "a").mkdir()
    claim(tmp_path / "a" / "results", tmp_path / "a")
    return tmp_path / "a"


def test_its_own_screen_may_run_again(screen):
    before = (screen / "results" / FILE).stat().st_mtime_ns
    claim(screen / "results", screen)
    assert (screen / "results" / FILE).stat().st_mtime_ns == before


def test_another_screen_is_refused_by_path_and_by_link(screen, tmp_path):
    other = tmp_path / "b"
    other.mkdir()
    (other / "results").symlink_to(screen / "results")
    for path in (screen / "results", other / "results"):
        with pytest.raises(ValueError, match=f"found those of {screen}"):
            claim(path, other)
    claim(screen / "results", screen)


def test_a_folder_above_is_another_screen_too(screen, tmp_path):
    with pytest.raises(ValueError, match="found those of"):
        claim(screen / "results", tmp_path)


def test_a_moved_and_a_copied_screen_keep_their_results(screen, tmp_path):
    copied = shutil.copytree(screen, tmp_path / "copied")
    claim(copied / "results", copied)
    moved = screen.rename(tmp_path / "moved")
    claim(moved / "results", moved)
    claim(copied / "results", copied)
    assert (moved / "results" / FILE).read_text() == f"{moved}\n"


def test_shared_results_of_a_screen_that_is_gone_are_taken_over(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    claim(tmp_path / "shared", tmp_path / "a")
    with pytest.raises(ValueError, match="Two screens need two folders"):
        claim(tmp_path / "shared", tmp_path / "b")
    (tmp_path / "a").rmdir()
    claim(tmp_path / "shared", tmp_path / "b")


def test_results_that_can_not_be_written_are_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written: "):
        claim(tmp_path / "file" / "results", tmp_path)
