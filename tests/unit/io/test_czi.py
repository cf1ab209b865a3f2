"""Zeiss CZI: planes and pixels are those that were written, as two foreign readers give them."""

import itertools

import numpy as np
import pytest

import coded
import zeiss
from wellspring.io import container, czi, raw_image

SCENES = [("P1", "B2"), ("P2", "B2"), ("P1", "C11")]
CHANNELS = ("DAPI", "EGFP")


def drawn(sizes=(3, 1, 2, 2, 2), dtype=np.uint16, shape=(24, 40)):
    """Return planes by (scene, tile, time, focal plane, channel)."""
    rng = np.random.default_rng(3)
    top = 2**16 if dtype == np.uint16 else 2**8
    return {key: rng.integers(0, top, shape).astype(dtype) for key in itertools.product(*map(range, sizes))}


def written(path, planes, **options):
    zeiss.czi(path, planes, scenes=SCENES, channels=CHANNELS, **options)
    return planes


@pytest.mark.parametrize("compression", ["raw", "zstd", "zstd plain", "zstd packed", "jpegxr"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_each_plane_is_the_one_that_was_written(tmp_path, compression, dtype):
    if dtype == np.uint8 and compression == "zstd packed":
        pytest.skip("bytes have no halves")
    path = tmp_path / "scan.czi"
    planes = written(path, drawn(dtype=dtype), compression=compression, pyramid=True)
    frames = container.frames(path)
    assert len(frames) == len(planes)
    for page, frame in enumerate(frames):
        key = (frame.number, 0, frame.time - 1, frame.plane - 1, CHANNELS.index(frame.channel))
        name, well = SCENES[frame.number]
        assert frame.position == f"{well}_{name}" and frame.pixel_size == pytest.approx(0.325)
        found = raw_image.read(tmp_path, "scan.czi", page)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, planes[key])


def test_tiles_of_a_scene_are_positions_of_their_own(tmp_path):
    planes = written(tmp_path / "scan.czi", drawn((2, 3, 1, 1, 1)))
    frames = container.frames(tmp_path / "scan.czi")
    assert [frame.position for frame in frames] == [
        f"B2_{scene}_{tile}" for scene in ("P1", "P2") for tile in (1, 2, 3)
    ]
    assert [frame.number for frame in frames] == list(range(6))
    for page, key in enumerate(planes):
        np.testing.assert_array_equal(czi.read(tmp_path / "scan.czi", page, largest=10**6), planes[key])


def test_openreadout_and_czifile_agree(tmp_path):
    openreadout, czifile = pytest.importorskip("openreadout"), pytest.importorskip("czifile")
    path = tmp_path / "scan.czi"
    planes = written(path, drawn())
    said = openreadout.info(str(path))["images"]
    assert [image["size_c"] for image in said] == [2] * len(said)
    with openreadout.File(str(path)) as file:
        for (scene, _, time, plane, channel), pixels in planes.items():
            np.testing.assert_array_equal(file.read_plane(image=scene, t=time, c=channel, z=plane), pixels)
    with czifile.CziFile(str(path)) as file:
        entries = list(file.filtered_subblock_directory)
        assert len(entries) == len(planes)
        for entry in entries:
            at = {str(one.dimension).strip("\0"): one.start for one in entry.dimension_entries}
            key = tuple(at[axis] for axis in "SMTZC")
            np.testing.assert_array_equal(np.squeeze(entry.data_segment().data()), planes[key])


def test_zstandard_is_as_openreadout_reads_it(tmp_path):
    openreadout = pytest.importorskip("openreadout")
    for how in ("zstd", "zstd plain", "zstd packed"):
        path = tmp_path / f"{how}.czi"
        planes = written(path, drawn((3, 1, 1, 1, 2)), compression=how)
        with openreadout.File(str(path)) as file:
            for (scene, _, _, _, channel), pixels in planes.items():
                np.testing.assert_array_equal(file.read_plane(image=scene, t=0, c=channel, z=0), pixels)


def test_a_plate_of_scenes_is_indexed_by_its_wells(tmp_path):
    (tmp_path / "P1").mkdir()
    planes = written(tmp_path / "P1" / "scan.czi", drawn((3, 1, 1, 1, 2)))
    aliases = {"DNA": "DAPI", "ER": "EGFP"}
    found = coded.build(tmp_path / "P1", ["B02", "C11"], channels=["DNA", "ER"], aliases=aliases, at=tmp_path).table
    assert found[["Metadata_Well", "Metadata_Site"]].drop_duplicates().to_numpy().tolist() == [
        ["B02", "1"],
        ["B02", "2"],
        ["C11", "1"],
    ]
    scenes = {("B02", "1"): 0, ("B02", "2"): 1, ("C11", "1"): 2}
    for row in found.to_dict("records"):
        scene = scenes[row["Metadata_Well"], row["Metadata_Site"]]
        pixels = raw_image.read(tmp_path / "P1", row["Metadata_Path"], int(row["Metadata_Page"]))
        np.testing.assert_array_equal(pixels, planes[scene, 0, 0, 0, ["DNA", "ER"].index(row["Metadata_Channel"])])


def test_a_file_per_well_without_a_plate_is_named_by_its_file(tmp_path):
    (tmp_path / "P1").mkdir()
    for well in ("A01", "B02"):
        planes = drawn((2, 1, 1, 1, 1))
        zeiss.czi(tmp_path / f"P1/{well}.czi", planes, scenes=[("P1", None), ("P2", None)], channels=["DAPI"])
    found = coded.build(tmp_path / "P1", ["A01", "B02"], channels=["DNA"], aliases={"DNA": "DAPI"}, at=tmp_path).table
    assert found["Metadata_Well"].tolist() == ["A01", "A01", "B02", "B02"]
    assert found["Metadata_Path"].tolist() == ["A01.czi", "A01.czi", "B02.czi", "B02.czi"]


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
def test_a_cut_or_changed_file_is_refused_or_lacks_planes(tmp_path, part):
    path = tmp_path / "scan.czi"
    planes = written(path, drawn())
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    statuses = {raw_image.status(tmp_path, "scan.czi", page).status for page in range(len(planes))}
    assert statuses <= {"truncated", "unreadable"}


def test_changed_bytes_end_in_a_status_or_the_pixels_of_their_place(tmp_path):
    path = tmp_path / "scan.czi"
    planes = list(written(path, drawn((2, 1, 1, 1, 2)), compression="zstd packed").values())
    content, rng = bytearray(path.read_bytes()), np.random.default_rng(8)
    for _ in range(60):
        changed = content.copy()
        for place in rng.integers(0, len(content), 3):
            changed[place] = rng.integers(0, 256)
        path.write_bytes(bytes(changed))
        czi._planes.cache_clear()
        for page in range(4):
            found = raw_image.status(tmp_path, "scan.czi", page)
            assert found.status in ("ok", "missing", "unreadable", "truncated", "dtype", "shape", "blank")
            assert found.pixels is None or found.pixels.shape == planes[page].shape or found.status != "ok"


def test_a_jpeg_xr_plane_whose_end_was_overwritten_by_zeros_is_truncated(tmp_path):
    written(tmp_path / "scan.czi", drawn((1, 1, 1, 1, 1), shape=(96, 128)), compression="jpegxr")
    content = bytearray((tmp_path / "scan.czi").read_bytes())
    end = content.index(b"ZISRAWDIRECTORY")
    content[end - 2000 : end] = bytes(2000)
    (tmp_path / "scan.czi").write_bytes(bytes(content))
    assert raw_image.status(tmp_path, "scan.czi").status == "truncated"


@pytest.mark.parametrize("start", [0, 3])
def test_an_axis_of_one_item_changes_nothing(tmp_path, start):
    planes = written(tmp_path / "scan.czi", drawn((1, 1, 1, 1, 1)), further={"H": start})
    np.testing.assert_array_equal(raw_image.read(tmp_path, "scan.czi"), next(iter(planes.values())))


def test_other_files_and_unfinished_ones_are_named(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"PK\3\4" + bytes(600))
    with pytest.raises(container.ContainerError, match=r"a.czi: expected the segment ZISRAWFILE at byte 0"):
        container.frames(tmp_path / "a.czi")
    written(tmp_path / "b.czi", drawn((1, 1, 1, 1, 1)))
    content = bytearray((tmp_path / "b.czi").read_bytes())
    content[32 + 52 : 32 + 60] = bytes(8)
    (tmp_path / "b.czi").write_bytes(bytes(content))
    with pytest.raises(container.ContainerError, match="b.czi: expected a directory of subblocks, found none"):
        container.frames(tmp_path / "b.czi")
