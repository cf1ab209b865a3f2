"""The files of a folder: all of them, in one order, and none that a link leads to against the config."""

import os

import pytest

from wellspring.index.readers import listing


def _touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12")


def _list(folder, **options):
    return dict(listing.files(folder, **options))


def test_names_are_what_they_are(tmp_path):
    names = ["Plätte 1/été.tif", "$(rm -rf x);`y`/a'b\"c.tif", "-n.tif", "日本.tif", "new\nline.tif", "a#b?c%20.tif"]
    _touch(tmp_path, *names, ".hidden.tif", ".git/x.tif")
    assert _list(tmp_path) == dict.fromkeys(names, 2)
    assert list(_list(tmp_path)) == list(_list(tmp_path))


def test_a_name_that_is_no_text_is_told(tmp_path, caplog):
    _touch(tmp_path, "a.tif")
    try:
        (tmp_path / os.fsdecode(b"\xff.tif")).touch()
    except OSError:
        pytest.skip("the disk takes names of UTF-8 only")
    assert _list(tmp_path) == {"a.tif": 2}
    assert "is not UTF-8" in caplog.text


def test_links_within_the_folder_are_followed_once(tmp_path, caplog):
    _touch(tmp_path / "P", "a/x.tif")
    (tmp_path / "P" / "loop").symlink_to(tmp_path / "P")
    (tmp_path / "P" / "a" / "up").symlink_to("..")
    (tmp_path / "P" / "self").symlink_to("self")
    (tmp_path / "P" / "y.tif").symlink_to("a/x.tif")
    assert _list(tmp_path / "P") == {"self": 0, "y.tif": 2, "a/x.tif": 2}
    assert caplog.text.count("is already listed") == 2


@pytest.mark.parametrize("name", ["folder", "x.tif", "gone.tif"])
def test_links_to_elsewhere_are_an_error_that_says_what_to_do(tmp_path, name):
    _touch(tmp_path, "archive/folder/x.tif", "archive/x.tif", "P/y.tif")
    (tmp_path / "P" / name).symlink_to(tmp_path / "archive" / name)
    with pytest.raises(ValueError, match=rf"P/{name}: expected links .* found one to .*archive/{name} .*index.roots"):
        _list(tmp_path / "P")
    found = _list(tmp_path / "P", roots=[str(tmp_path / "archive"), "s3://bucket/archive"])
    assert (
        found
        == {"y.tif": 2} | {"folder": {"folder/x.tif": 2}, "x.tif": {"x.tif": 2}, "gone.tif": {"gone.tif": 0}}[name]
    )


def test_a_folder_whose_name_begins_like_a_root_is_none(tmp_path):
    assert listing.inside(tmp_path / "P1" / "x", tmp_path / "P1")
    assert not listing.inside(tmp_path / "P10" / "x", tmp_path / "P1")
    assert not listing.inside(tmp_path / "P1" / ".." / "x", tmp_path / "P1")
    assert listing.inside("/x", "/")


def test_a_plate_behind_a_link_is_the_plate(tmp_path):
    _touch(tmp_path, "archive/P/x.tif")
    (tmp_path / "P").symlink_to(tmp_path / "archive" / "P")
    assert _list(tmp_path / "P") == {"x.tif": 2}


def test_pipes_are_listed_for_the_survey_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "A01.tif")
    assert _list(tmp_path) == {"A01.tif": 0}


def test_a_folder_that_can_not_be_listed_is_an_error(tmp_path, monkeypatch):
    _touch(tmp_path, "a/x.tif")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", refuse)
    with pytest.raises(ValueError, match="/a: expected a folder that can be listed, found Permission denied"):
        _list(tmp_path)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("/home/u/P/Images/x.tif", "Images/x.tif"),
        ("D:\\P\\Images\\x.tif", "Images/x.tif"),
        ("Images/../../../x.tif", "Images/x.tif"),
        ("../../etc/passwd", None),
        ("y.tif", None),
        ("", None),
    ],
)
def test_the_longest_end(name, found):
    assert listing.named(name, {"x.tif": 1, "Images/x.tif": 1}) == found
