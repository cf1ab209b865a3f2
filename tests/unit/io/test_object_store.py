"""A plate in an object store on this machine: the same index, survey and pixels as on disk."""

import io
import socket
import tempfile
from pathlib import Path

import boto3
import fsspec
import numpy as np
import pandas as pd
import pytest
import tifffile
from moto.server import ThreadedMotoServer

from options import options as section
from wellspring.illumination import estimate
from wellspring.images import run as images
from wellspring.index import run as index
from wellspring.index.readers import detect
from wellspring.io import ngff, object_store, raw_image
from wellspring.screen import config, sections
from wellspring.survey import run as survey

SHEET = {"plate": "P1", "batch": "B1", "cell_line": "U2OS", "role": "fit", "optics": "P1"}
CHANNELS = ["DNA", "ER"]
BUCKET = "plates"


@pytest.fixture(scope="module")
def address():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


@pytest.fixture
def bucket(address, monkeypatch):
    """Return a client of an empty bucket that anyone may read, and have the library ask there, without credentials."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "fake")
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    _ask(monkeypatch, address)
    yield client
    for found in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=found["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def plate(tmp_path):
    """Return a folder with a tiny plate: 2 wells, 2 sites, 2 channels, one file that ends early, and its platemap."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "P1"
    (folder / "Images").mkdir(parents=True)
    for well in ("A01", "A02"):
        for site in (1, 2):
            for channel in ("DNA", "ER"):
                pixels = (200 + rng.gamma(2, 200, (48, 56))).astype(np.uint16)
                tifffile.imwrite(folder / "Images" / f"{well}_s{site}_{channel}.tif", pixels, compression="zlib")
    broken = folder / "Images" / "A02_s2_ER.tif"
    broken.write_bytes(broken.read_bytes()[:2000])
    (folder / "notes.txt").write_text("of the microscopist")
    (tmp_path / "map.csv").write_text("well,compound\nA01,DMSO\nA02,drug\n")
    return folder


@pytest.fixture
def image_bytes():
    stream = io.BytesIO()
    tifffile.imwrite(stream, np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    return stream.getvalue()


def _ask(monkeypatch, endpoint):
    monkeypatch.setattr(object_store, "PAUSES", ())
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True, "endpoint_url": endpoint})


def _upload(client, folder, prefix, **options):
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            _put(client, f"{prefix}/{path.relative_to(folder).as_posix()}", path.read_bytes(), **options)


def _put(client, key, content=b"12", *, access="public-read"):
    client.put_object(Bucket=BUCKET, Key=key, Body=content, ACL=access)


def _through(place, plate, zarr, **options):
    """Return index, survey and corrected pixels of a plate whose images are at `place`."""
    table = {"kind": "table", "files": "x.parquet"}
    index_options = {"pattern": r"(?P<well>[A-Z]\d+)_s(?P<site>\d)_(?P<channel>\w+)\.tif", **options}
    whole = config.resolve({"encoders": {"jump": table}, "index": index_options, "illumination": {"method": "none"}})
    sheet = SHEET | {"images": str(place), "platemap": str(plate.parent / "map.csv")}
    found = index.build(sheet, CHANNELS, sections.read(sections.Index, whole["index"]))
    seen = survey.run(
        found.table, sheet["images"], options=sections.read(sections.Survey, whole["survey"]), verdict=found.verdict
    )
    light = estimate.light_path(
        [seen.table],
        [seen.views],
        channels=CHANNELS,
        options=sections.read(sections.Illumination, whole["illumination"]),
    )
    images.write(
        zarr,
        index=found.table,
        surveyed=seen.table,
        light=light,
        folder=sheet["images"],
        plate="P1",
        channels=CHANNELS,
        options=sections.read(sections.Images, whole["images"]),
    )
    return found, seen, ngff.open_plate(zarr)


def test_a_plate_in_a_store_is_the_plate_on_disk(bucket, plate, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    _upload(bucket, plate, "screen/P1")
    here, near, own = _through(plate, plate, tmp_path / "near.zarr")
    there, far, its = _through(f"s3://{BUCKET}/screen/P1", plate, tmp_path / "far.zarr")
    pd.testing.assert_frame_equal(here.table, there.table)
    assert here.listing == there.listing
    pd.testing.assert_frame_equal(near.table, far.table)
    assert (far.table["Metadata_Status"] == "truncated").sum() == 1
    assert own.fields == its.fields
    assert len(its.fields) == 3
    for field in its.fields:
        np.testing.assert_array_equal(own.read(*field), its.read(*field))
    assert not list(scratch.iterdir())  # what was staged is gone


def test_what_a_store_says_of_a_file_is_a_status(bucket, image_bytes):
    _put(bucket, "P1/x.tif", image_bytes)
    _put(bucket, "P1/secret.tif", image_bytes, access="private")
    folder = f"s3://{BUCKET}/P1/"
    assert raw_image.status(folder, "x.tif").status == "ok"
    assert raw_image.status("anywhere", f"s3://{BUCKET}/P1/x.tif").status == "ok"
    assert raw_image.status(folder, "gone.tif").status == "missing"
    found = raw_image.status(folder, "secret.tif")
    assert (found.status, "Forbidden" in found.reason or "denied" in found.reason.lower()) == ("unreadable", True)


def test_a_store_that_stays_away_is_no_property_of_the_data(monkeypatch):
    _ask(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match="s3://plates/x.tif"):
        raw_image.status("s3://plates", "x.tif")


def test_a_store_that_never_answers_ends(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        _ask(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setattr(object_store, "WHOLE", 2)
        with pytest.raises(ConnectionError, match="s3://plates/x.tif: FSTimeoutError"):
            raw_image.status("s3://plates", "x.tif")


def test_a_vendors_export_in_a_store_is_the_export_on_disk(bucket, shared_data):
    export = shared_data / "vendor_layout_samples" / "operetta_plate"
    options = section("index", pattern="(?P<well>x)")
    _upload(bucket, export, "P1")
    here = detect.planes(str(export), plate="P1", options=options)
    there = detect.planes(f"s3://{BUCKET}/P1", plate="P1", options=options)
    pd.testing.assert_frame_equal(here, there)
    assert here["pixel_size"].notna().all()
    row = there.iloc[0]
    found = raw_image.read(f"s3://{BUCKET}/P1", row["path"], row["page"])
    np.testing.assert_array_equal(found, raw_image.read(export, row["path"], row["page"]))


def test_a_store_that_is_away_for_a_moment_is_asked_again(bucket, image_bytes, monkeypatch):
    _put(bucket, "x.tif", image_bytes)
    pauses, call, failures = [], object_store._call, iter([TimeoutError("slow"), OSError("reset")])

    def shaky(system, method, *arguments, **options):
        for error in failures:
            raise error
        return call(system, method, *arguments, **options)

    monkeypatch.setattr(object_store, "PAUSES", (1.0, 4.0, 16.0))
    monkeypatch.setattr(object_store.time, "sleep", pauses.append)
    monkeypatch.setattr(object_store, "_call", shaky)
    assert raw_image.status(f"s3://{BUCKET}", "x.tif").status == "ok"
    assert pauses == [1.0, 4.0]


def test_an_empty_answer_is_not_an_empty_file(bucket, image_bytes, monkeypatch, tmp_path):
    _put(bucket, "x.tif", image_bytes)
    _put(bucket, "empty.tif", b"")
    call = object_store._call

    def empty(system, method, *arguments, **options):
        if method == "get_file":
            return Path(arguments[1]).touch()
        return call(system, method, *arguments, **options)

    monkeypatch.setattr(object_store, "_call", empty)
    with pytest.raises(ConnectionError, match="found an empty answer"):
        raw_image.status(f"s3://{BUCKET}", "x.tif")
    assert raw_image.status(f"s3://{BUCKET}", "empty.tif").status == "truncated"


def test_a_stand_in_lists_like_the_prefix(bucket, caplog):
    for key in ("P1/a/B02_s1_w1.tif", "P1/.hidden", "P1/x", "P1/x/y.tif", "P1/a/../../../up.tif", "P2/other.tif"):
        _put(bucket, key)
    _put(bucket, "P1/a/Index.xml", b"<Plate/>")
    with object_store.stand_in(f"s3://{BUCKET}/P1") as folder:
        found = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*.*")}
        assert found == {"a/B02_s1_w1.tif": 2, "a/Index.xml": 8}
        assert (folder / "a" / "Index.xml").read_text() == "<Plate/>"
        assert (folder / "x").stat().st_size == 2
    assert not folder.exists()
    assert "P1/x/y.tif is left" in caplog.text
    with pytest.raises(
        ValueError, match="s3://plates/P3: expected a prefix that can be listed, found FileNotFoundError"
    ):
        object_store.listing(f"s3://{BUCKET}/P3")


def test_loaddata_names_urls_below_the_roots_only(bucket, tmp_path, image_bytes, caplog):
    for key in ("in/a 1.tif", "in/b.tif", "out/c.tif"):
        _put(bucket, key, image_bytes)
    _put(bucket, "tables/P1.csv", b"")
    urls = ["in/a%201.tif", "in/b.tif", "in/gone.tif", "out/c.tif", "in/../out/c.tif", "inside/c.tif"]
    rows = [f"P1,A0{number + 1},1,s3://{BUCKET}/{url}" for number, url in enumerate(urls)]
    text = "Metadata_Plate,Metadata_Well,Metadata_Site,URL_OrigDNA\n" + "\n".join(rows)
    _put(bucket, "tables/P1.csv", text.encode())
    table = f"s3://{BUCKET}/tables/{{plate}}.csv"
    options = section("index", pattern="(?P<well>x)", loaddata=table, roots=[f"s3://{BUCKET}/in"])
    found = detect.planes(str(tmp_path), plate="P1", options=options)
    paths = dict(zip(found["well"], found["path"], strict=True))
    assert paths == {
        "A01": f"s3://{BUCKET}/in/a 1.tif",
        "A02": f"s3://{BUCKET}/in/b.tif",
        **dict.fromkeys(("A03", "A04", "A05", "A06")),
    }
    assert found["bytes"].tolist() == [len(image_bytes)] * 2 + [0] * 4
    assert raw_image.status(tmp_path, paths["A01"]).status == "ok"


def test_a_key_is_a_key_and_no_chain_of_stores(bucket, image_bytes, tmp_path):
    (tmp_path / "secret.tif").write_bytes(image_bytes)
    for key in ("a::b.tif", "a#b?c d%20é.tif", "$(id);`x`.tif"):
        _put(bucket, f"P1/{key}", image_bytes)
        assert raw_image.status(f"s3://{BUCKET}/P1", key).reason == "", key
    assert raw_image.status(f"s3://{BUCKET}/P1", f"x.tif::file://{tmp_path}/secret.tif").status == "missing"


def test_where_nothing_can_be_listed_files_are_taken_to_be_there():
    assert object_store.sizes(["https://example.org/P1/x.tif"]) == {"https://example.org/P1/x.tif": 0}


def test_readers_that_open_images_refuse_a_store(bucket):
    _put(bucket, "P1/A01.ome.tif")
    options = section("index", pattern="(?P<well>[A-Z]\\d+).ome.tif")
    with pytest.raises(ValueError, match="P1: expected a folder on disk, since ometiff opens the images"):
        detect.planes(f"s3://{BUCKET}/P1", plate="P1", options=options)


@pytest.mark.parametrize(
    ("path", "url", "plain", "climbs"),
    [
        ("/a/b", False, "/a/b", False),
        ("file:///a/b%20c", False, "/a/b c", False),
        ("s3://bucket/a%20b", True, "s3://bucket/a%20b", False),
        ("s3://bucket/a/%2e%2e/b", True, "s3://bucket/a/%2e%2e/b", True),
        ("s3://bucket/a..b", True, "s3://bucket/a..b", False),
        ("http://[", True, "http://[", False),
    ],
)
def test_urls(path, url, plain, climbs):
    assert (object_store.is_url(path), object_store.plain(path), object_store.climbs(path)) == (url, plain, climbs)


def test_a_folder_is_that_of_the_table(tmp_path):
    (tmp_path / "table.csv").touch()
    assert object_store.home(tmp_path) == str(tmp_path)
    assert object_store.home(tmp_path / "table.csv") == str(tmp_path)
    assert object_store.home("s3://bucket/P1/load_data.csv.gz") == "s3://bucket/P1"
    assert object_store.home("s3://bucket/P1") == "s3://bucket/P1"


def test_the_config_reaches_fsspec_and_the_users_own_stays(monkeypatch):
    monkeypatch.setenv("FSSPEC_S3", '{"requester_pays": true, "anon": true}')
    stated = object_store.environment(anonymous=False, endpoint="http://127.0.0.1:1")
    read = {}
    fsspec.config.set_conf_env(read, stated)
    assert read["s3"] == {"requester_pays": True, "anon": False, "endpoint_url": "http://127.0.0.1:1"}


def test_sizes_of_files_are_asked_with_one_listing_of_each_folder_alone(monkeypatch):
    """What lies in the folders below, as other plates of a screen, is not listed."""
    asked = []

    def call(system, name, root, **given):
        asked.append((name, root, given["maxdepth"]))
        return {f"{root}/{file}": {"type": "file", "size": size} for file, size in (("a.tif", 7), ("b.tif", 9))}

    monkeypatch.setattr(object_store, "_system", lambda url: (None, url.removeprefix("s3://")))
    monkeypatch.setattr(object_store, "_call", call)
    urls = ["s3://bucket/P1/a.tif", "s3://bucket/P2/b.tif", "s3://bucket/P1/gone.tif"]
    assert object_store.sizes(urls) == {urls[0]: 7, urls[1]: 9}
    assert asked == [("find", "bucket/P1", 1), ("find", "bucket/P2", 1)]
