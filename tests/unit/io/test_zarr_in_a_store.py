"""OME-Zarr plates in an object store: the planes of each array are those on disk, and lost chunks are no zeros."""

import random

import boto3
import fsspec
import numpy as np
import pytest
import zarr
from moto.server import ThreadedMotoServer

import coded
import jump_lite
import random_plates
from options import options as section
from wellspring.index.readers import detect
from wellspring.io import object_store, raw_image, zarr_plane
from wellspring.io.ahead import ahead

BUCKET = "zarrs"


@pytest.fixture(scope="module")
def client():
    """Return a client of a store on this machine, which the library asks without credentials."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    keys = {"aws_access_key_id": "fake", "aws_secret_access_key": "fake"}
    made = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    made.create_bucket(Bucket=BUCKET)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_store, "PAUSES", ())
        patch.setitem(fsspec.config.conf, "s3", {"anon": True, "endpoint_url": address})
        yield made
    server.stop()


def uploaded(client, folder, prefix):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            key = f"{prefix}/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes(), ACL="public-read")
    return f"s3://{BUCKET}/{prefix}"


@pytest.mark.parametrize("seed", [0, 1, 2, 5])
def test_a_plate_is_indexed_and_read_as_on_disk(client, tmp_path, seed):
    chance = random.Random(seed)
    plan = random_plates.Plan(
        sites={"A01": (1, 2), "B03": (2,)}, planes={"A01": 2, "B03": 1}, channels=("DNA", "ER"), times=1, acquisitions=1
    )
    written = random_plates.omezarr(tmp_path / "P1", plan, chance)
    url = uploaded(client, tmp_path / "P1", f"seed{seed}/P1")
    options = {"channels": ["DNA", "ER"], "aliases": written.aliases, **written.options}
    near = coded.build(tmp_path / "P1", ["A01", "B03"], at=tmp_path, **options)
    far = coded.build(url, ["A01", "B03"], at=tmp_path, **options)
    kept = [name for name in near.table if name != "Metadata_Bytes"]
    assert near.table[kept].equals(far.table[kept])
    for path, page in zip(far.table["Metadata_Path"], far.table["Metadata_Page"], strict=True):
        if path is not None:
            found = raw_image.read(url, path, int(page))
            np.testing.assert_array_equal(found, raw_image.read(tmp_path / "P1", path, int(page)))


@pytest.mark.parametrize("form", ["v2", "v3", "shards"])
@pytest.mark.parametrize("absent", ["auto", "zeros", "missing"])
def test_lost_chunks_are_told_from_black_ones_as_on_disk(client, tmp_path, form, absent):
    rng = np.random.default_rng(3)
    pixels = rng.integers(100, 4000, (2, 48, 64)).astype(np.uint16)
    sizes = {"chunks": (1, 16, 16)} | ({"shards": (1, 32, 32)} if form == "shards" else {})
    zarr.create_array(tmp_path / "0", data=pixels, zarr_format=2 if form == "v2" else 3, fill_value=0, **sizes)
    chunks = sorted(path for path in (tmp_path / "0").rglob("*") if path.is_file() and "zarr" not in path.name)
    chunks = [path for path in chunks if path.name != ".zattrs"]
    chunks[-1].unlink()  # of the second plane
    url = uploaded(client, tmp_path, f"{form}{absent}")
    zarr_plane._remote.cache_clear()
    rules = raw_image.Rules(absent_chunks=absent)
    for page in (0, 1):
        near, far = (raw_image.status(place, "0", page, rules=rules) for place in (tmp_path, url))
        assert (near.status, far.status) == (("ok", "ok") if page == 0 or absent == "zeros" else ("truncated",) * 2)
        if near.pixels is not None:
            np.testing.assert_array_equal(near.pixels, far.pixels)
    assert raw_image.status(url, "0", 2, rules=rules).status == "missing"
    assert raw_image.status(url, "1", 0, rules=rules).status == "missing"


@pytest.mark.parametrize("codec", ["jpegxl_lossy_mq", "zstd"])
def test_a_store_of_sites_is_read_by_the_beginning_of_its_keys(client, tmp_path, codec):
    """One plate is listed, not the store; a dot in a name makes no file of an array; a lost chunk is no image."""
    rng = np.random.default_rng(1)
    plates = ("source_4__Batch1__BR1.5", "source_4__Batch1__BR1.55")
    keys = [f"{plate}__{well}__{site}" for plate in plates for well in ("A01", "B03") for site in (1, 2)]
    near = jump_lite.store(tmp_path, {key: jump_lite.field(rng) for key in keys}, codec=codec)
    (near / keys[3] / ("c/0/0/0" if codec == "zstd" else "0.0.0")).unlink()
    far = f"{uploaded(client, near, f'{codec}.zarr')}/{plates[0]}"
    options = section("index")
    found = detect.planes(far, plate="BR1.5", options=options)
    kept = [name for name in found if name != "bytes"]
    assert found[kept].equals(detect.planes(f"{near}/{plates[0]}", plate="BR1.5", options=options)[kept])
    assert set(found["path"]) == set(keys[:4])
    statuses = {}
    planes = found.to_dict("records")
    for row, plane in zip(
        planes, ahead(lambda row: raw_image.status(far, row["path"], row["page"]), planes, threads=8), strict=True
    ):
        statuses.setdefault(row["path"], set()).add(plane.status)
        if plane.status == "ok":
            expected = jump_lite.decoded(near / row["path"])[jump_lite.CHANNELS.index(row["channel"])]
            np.testing.assert_array_equal(plane.pixels, expected)
    assert statuses == {keys[0]: {"ok"}, keys[1]: {"ok"}, keys[2]: {"ok"}, keys[3]: {"missing"}}
    with pytest.raises(ValueError, match=r"s3://zarrs/.*zarr/source_4__Batch9__P__: expected a prefix"):
        detect.planes(far.replace(plates[0], "source_4__Batch9__P"), plate="P", options=options)
