"""A stored plate as one archive: what was written is read again, elsewhere and by other readers."""

import json
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from wellspring.io import ngff, zipped

FIELDS = [("A01", "1"), ("B12", "1"), ("B12", "2")]


def pixels(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 4000, (2, 40, 56)).astype(np.uint16)


def write(folder: Path) -> None:
    with ngff.PlateWriter(folder, plate="P1", channels=["DNA", "ER"]) as writer:
        for number, field in enumerate(FIELDS):
            writer.write(*field, pixels(number))


def archived(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipped.written(path) as folder:
        write(folder)
    return path


def test_on_a_shared_folder_nothing_is_packed(tmp_path):
    declared = tmp_path / "images" / "P1.zarr" / "zarr.json"
    with zipped.written(declared) as folder:
        write(folder)
    assert zipped.opened(declared) == folder == declared.parent
    assert [each.name for each in declared.parents[1].iterdir()] == ["P1.zarr"]


def test_raw_images_are_a_folder_or_an_archive_of_it(tmp_path):
    """Moved to another place, as a storage provider does; what is no archive stays as it is."""
    for declared in (tmp_path / "demo" / "P1", tmp_path / "demo" / "P1.zip"):
        with zipped.raw_written(declared) as folder:
            (folder / "A01_s1_DNA.tif").write_bytes(b"pixels")
            (folder / "deep").mkdir()
            (folder / "deep" / "platemap.csv").write_text("well")
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["P1", "P1.zip"]
    moved = (tmp_path / "demo" / "P1.zip").rename(tmp_path / "P1.zip")
    found = zipped.raw(str(moved))
    assert found != tmp_path / "demo" / "P1" and found.name == "P1"
    for folder in (found, tmp_path / "demo" / "P1"):
        assert (folder / "A01_s1_DNA.tif").read_bytes() == b"pixels"
        assert (folder / "deep" / "platemap.csv").read_text() == "well"
    (tmp_path / "export.zip").mkdir()  # a person's folder
    assert zipped.raw(tmp_path / "export.zip") == tmp_path / "export.zip"
    assert zipped.raw(None) is zipped.raw([]) is None and zipped.raw("s3://b/P1.zarr") == "s3://b/P1.zarr"
    moved.write_bytes(moved.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"P1.zip: expected a zipped plate"):
        zipped.unpack(moved, tmp_path / "out")


def test_an_archive_has_the_pixels_that_were_written(tmp_path):
    """Moved to another place, as a storage provider does, and read by a process that did not write it."""
    path = archived(tmp_path / "here" / "images" / "P1.ozx")
    moved = path.rename(tmp_path / "P2.ozx")
    plate = ngff.open_plate(zipped.opened(moved))
    assert plate.fields == FIELDS
    for number, field in enumerate(FIELDS):
        np.testing.assert_array_equal(plate.read(*field), pixels(number))


def test_other_readers_read_the_archive(tmp_path):
    path = archived(tmp_path / "images" / "P1.ozx")
    store = zarr.storage.ZipStore(path, mode="r")
    group = zarr.open_group(store, mode="r")
    assert group.attrs["ome"]["plate"]["field_count"] == 2
    np.testing.assert_array_equal(group["B/12/2/0"][:], pixels(2))


def test_an_archive_is_as_the_standard_has_it(tmp_path):
    """RFC-9: not compressed; the root's metadata first, then the other metadata from the top down; a comment."""
    with zipfile.ZipFile(archived(tmp_path / "images" / "P1.ozx")) as archive:
        names = archive.namelist()
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert json.loads(archive.comment)["ome"] == {
            "version": "0.5", "zipFile": {"centralDirectory": {"jsonFirst": True}}
        }  # fmt: skip
    metadata = [name for name in names if name.endswith("zarr.json")]
    assert names[: len(metadata)] == metadata
    depths = [name.count("/") for name in metadata]
    assert depths == sorted(depths) and depths[0] == 0
    assert len(names) == len(set(names)) > len(metadata)


def test_the_same_plate_gives_the_same_bytes(tmp_path):
    first = archived(tmp_path / "a" / "images" / "P1.ozx")
    with zipped.written(tmp_path / "b" / "P1.ozx") as folder:
        write(folder)
        for file in folder.rglob("*"):
            os.utime(file, (10**9, 10**9))
    assert first.read_bytes() == (tmp_path / "b" / "P1.ozx").read_bytes()


def test_labels_name_their_pixels_as_on_a_shared_folder(tmp_path):
    """The folder of images is beside that of cells in both, so the stored path from one to the other is the same."""
    images = ngff.open_plate(zipped.opened(archived(tmp_path / "images" / "P9.ozx")))
    (tmp_path / "cells").mkdir()
    with (
        zipped.written(tmp_path / "cells" / "P9.ozx") as folder,
        ngff.LabelWriter(folder, plate="P9", source=images.path) as writer,
    ):
        writer.write("A01", "1", {name: np.ones((40, 56), np.uint32) for name in ("nuclei", "cells")})
    labels = ngff.open_labels(zipped.opened(tmp_path / "cells" / "P9.ozx"))
    assert labels.source == "../../images/P9.zarr"


def test_a_failed_job_leaves_no_archive(tmp_path):
    path = tmp_path / "images" / "P3.ozx"
    path.parent.mkdir()
    with pytest.raises(RuntimeError), zipped.written(path) as folder:
        write(folder)
        raise RuntimeError
    assert list(path.parent.iterdir()) == []


def test_linked_pixels_are_in_the_archive(tmp_path):
    """A plate for viewers has links to pixels, which are elsewhere; who gets the archive has no such place."""
    write(tmp_path / "P1.zarr")
    joined = tmp_path / "joined"
    joined.mkdir()
    (joined / "pixels").symlink_to(tmp_path / "P1.zarr", target_is_directory=True)
    zipped.pack(joined, tmp_path / "P1.ozx")
    zipped.unpack(tmp_path / "P1.ozx", tmp_path / "out")
    np.testing.assert_array_equal(ngff.open_plate(tmp_path / "out" / "pixels").read("B12", "1"), pixels(1))


@pytest.mark.parametrize("part", [0.0, 0.4, 0.99])
def test_a_truncated_archive_is_named(tmp_path, part):
    path = archived(tmp_path / "images" / "P4.ozx")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(ValueError, match=r"P4\.ozx: expected a zipped plate, found BadZipFile.*Delete it"):
        zipped.opened(path)


def test_a_changed_byte_is_found(tmp_path):
    path = archived(tmp_path / "images" / "P5.ozx")
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("A/01/1/0/c/0/0/0")
    content = bytearray(path.read_bytes())
    content[entry.header_offset + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"P5\.ozx: expected a zipped plate.*CRC"):
        zipped.opened(path)


def rewritten(path: Path, change) -> None:
    """Write an archive anew, with the comment that it had and the members (name, bytes) of `change`."""
    with zipfile.ZipFile(path) as archive:
        members, comment = [(name, archive.read(name)) for name in archive.namelist()], archive.comment
    with zipfile.ZipFile(path, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        archive.comment = comment
        for name, content in change(members):
            archive.writestr(name, content)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda members: members[:-1], id="without the last"),
        pytest.param(lambda members: members[1:], id="without the root"),
        pytest.param(lambda members: [*members, members[-1]], id="the last twice"),
        pytest.param(lambda members: [*members, (members[-1][0], b"other")], id="the last replaced"),
        pytest.param(lambda members: [*members, ("/tmp/more", b"")], id="an absolute name"),
        pytest.param(lambda members: [*members, ("../more", b"")], id="a name that leads out"),
        pytest.param(lambda members: [(f"./{name}", content) for name, content in members], id="longer names"),
        pytest.param(lambda members: [(f"P1/{name}", content) for name, content in members], id="a folder deeper"),
        pytest.param(lambda members: [*members, ("more", b"")], id="one more"),
    ],
)
def test_an_archive_with_other_members_is_refused(tmp_path, change):
    path = archived(tmp_path / "images" / "P7.ozx")
    rewritten(path, change)
    with pytest.raises(ValueError, match=r"P7\.ozx: expected a zipped plate.*member.*Delete it"):
        zipped.unpack(path, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "more").exists()


def test_random_damage_is_refused_or_harmless(tmp_path):
    """Bits of the data and of the archive's directory, and bytes that are lost; no other exception, no other file."""
    path = archived(tmp_path / "P8.ozx")
    content, random = path.read_bytes(), np.random.default_rng(12)
    zipped.unpack(path, tmp_path / "whole")
    whole = {file.relative_to(tmp_path / "whole"): file.read_bytes() for file in contents(tmp_path / "whole")}
    directory = int.from_bytes(content[content.rfind(b"PK\x05\x06") + 16 :][:4], "little")
    refused = 0
    for number in range(150):
        damaged = bytearray(content)
        place = int(random.integers(directory if number % 3 else 0, len(content)))
        if number % 5:
            damaged[place] ^= 1 << int(random.integers(8))
        else:
            del damaged[place : place + int(random.integers(1, 200))]
        path.write_bytes(damaged)
        out = tmp_path / f"out{number}"
        try:
            zipped.unpack(path, out)
        except ValueError as error:
            assert str(error).startswith(f"{path}: expected a zipped plate")
            refused += 1
        else:
            assert {file.relative_to(out): file.read_bytes() for file in contents(out)} == whole
    assert refused > 75


def contents(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


def test_a_process_leaves_no_temporary_files(tmp_path):
    path = archived(tmp_path / "images" / "P6.ozx")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = (
        "import sys; from wellspring.io import zipped; folder = zipped.opened(sys.argv[1]);"
        " assert (folder / 'zarr.json').exists(); print(folder)"
    )
    own = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run([sys.executable, "-c", code, str(path)], env=own, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(str(scratch))
    assert list(scratch.iterdir()) == []
