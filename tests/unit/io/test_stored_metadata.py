"""Stored metadata, key by key: NGFF metadata, notes, tables' types, row groups, provenance."""

import errno
import hashlib
import json
import subprocess

import imagecodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_embeddings import WRITTEN, part
from test_tables import profiles

from wellspring.io import (
    disk,
    embeddings,
    ngff,
    ngff_metadata,
    notes,
    object_store,
    provenance,
    spreadsheet,
    tables,
    zarr_shard,
)
from wellspring.io.shipped import CLONE, TABLE_SCHEMAS


@pytest.mark.parametrize("size", [None, 0.325, 2.0])
def test_a_field_has_its_scale_in_micrometres_or_pixels(size):
    described = ngff_metadata.image("f", pixel_size=size)["multiscales"][0]
    step = 1.0 if size is None else size
    assert described["datasets"] == [
        {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1.0, step, step]}]}
    ]
    assert [axis["name"] for axis in described["axes"]] == ["c", "y", "x"]
    assert [axis["type"] for axis in described["axes"]] == ["channel", "space", "space"]
    assert ["unit" in axis for axis in described["axes"]] == [False, size is not None, size is not None]


def test_channels_have_a_colour_of_their_own_and_limits():
    names = ["ER", "a", "b", "DNA", *"cdefgh"]
    shown = ngff_metadata.display("p", names, windows={"ER": (3, 9)}, dtype=np.dtype(np.uint16))["omero"]
    found = {one["label"]: one for one in shown["channels"]}
    assert [one["label"] for one in shown["channels"]] == names and all(one["active"] for one in found.values())
    assert found["ER"]["window"] == {"min": 0.0, "max": 65535.0, "start": 3.0, "end": 9.0}
    assert found["a"]["window"] == {"min": 0.0, "max": 65535.0, "start": 0.0, "end": 65535.0}
    assert found["ER"]["color"] == "00FF00" and found["DNA"]["color"] == "0000FF"
    others = [found[name]["color"] for name in "abcdefgh"]
    wanted = [ngff_metadata.FALLBACK[place % 8] for place in (1, 2, 4, 5, 6, 7, 8, 9)]
    assert others == wanted


def test_wells_are_at_their_row_and_column(tmp_path):
    fields = [("B10", "1"), ("A02", "1"), ("AA02", "1"), ("B10", "2"), ("B10", "x3")]
    plate = ngff_metadata.write_wells(tmp_path, fields, name="P")["plate"]
    assert [row["name"] for row in plate["rows"]] == ["A", "B", "AA"]
    assert [column["name"] for column in plate["columns"]] == ["02", "10"]
    places = {well["path"]: (well["rowIndex"], well["columnIndex"]) for well in plate["wells"]}
    assert places == {"B/10": (1, 1), "A/02": (0, 0), "AA/02": (2, 0)} and plate["field_count"] == 3
    stored = json.loads((tmp_path / "B/10/zarr.json").read_text())
    assert stored["attributes"]["ome"]["well"]["images"] == [{"path": site} for site in ("1", "2", "x3")]
    assert (stored["zarr_format"], stored["node_type"]) == (3, "group")
    for well, site in (("03", "1"), ("B", "1"), ("B03", "a/b"), ("B03", "")):
        with pytest.raises(ValueError, match="a well like B03"):
            ngff_metadata.path_of(well, site)
    assert ngff_metadata.path_of("B03", "1") == "B/03/1"


@given(st.integers(1, 4000), st.integers(1, 4000), st.sampled_from([None, 100, 360]))
@settings(max_examples=80, deadline=None)
def test_tiles_divide_a_field_evenly(height, width, edge):
    target = 360 if edge is None else edge
    for full, tile in zip((height, width), ngff.tile_of((height, width), edge=edge), strict=True):
        count = -(-full // tile)
        assert count == max(1, round(full / target)) or (count - 1) * tile >= full - tile
        assert tile * count - full < count and (full <= target) <= (tile == full)


def test_chunks_are_compressed_by_zstd_with_separated_bits(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 900, (2, 30, 50)).astype(np.uint16)
    zarr_shard.write(tmp_path / "0", pixels, tile=(15, 50))
    described = json.loads((tmp_path / "0" / "zarr.json").read_text())["codecs"][0]["configuration"]
    names = [codec["name"] for codec in described["codecs"]]
    assert names == ["bytes", "blosc", "crc32c"]
    blosc = described["codecs"][1]["configuration"]
    assert {key: blosc[key] for key in ("cname", "clevel", "shuffle", "typesize")} == {
        "cname": "zstd",
        "clevel": 1,
        "shuffle": "bitshuffle",
        "typesize": 2,
    }
    stored = (tmp_path / "0" / "c/0/0/0").read_bytes()
    index = np.frombuffer(stored[-4 - 4 * 16 : -4], "<u8").reshape(4, 2)
    assert index[0, 0] == 0 and (index[1:, 0] == index[:-1].sum(axis=1)).all()
    for (offset, length), wanted in zip(index.tolist(), pixels.reshape(4, 15, 50), strict=True):
        chunk = imagecodecs.blosc_decode(stored[offset : offset + length - 4])
        np.testing.assert_array_equal(np.frombuffer(chunk, "<u2").reshape(15, 50), wanted)
        flags = stored[offset + 2]
        assert flags & 0b100 and not flags & 0b1, "bits are shuffled, not bytes"
    assert ngff.TILE == 360 and zarr_shard.LARGEST_BLOCK == 2_097_152


def test_an_absent_chunk_of_a_field_with_checksums_is_damage(tmp_path):
    pixels = np.ones((1, 8, 12), np.uint16)
    zarr_shard.write(tmp_path / "0", pixels, tile=(8, 6))
    path = tmp_path / "0" / "c/0/0/0"
    stored = path.read_bytes()
    index = np.frombuffer(stored[-36:-4], "<u8").copy()
    for place, value, message in ((0, zarr_shard.ABSENT, "found 1 absent"), (0, len(stored), "found one that ends")):
        changed = index.copy()
        changed[place] = value
        path.write_bytes(stored[:-36] + changed.tobytes() + zarr_shard._checksum(changed.tobytes()))
        with pytest.raises(ValueError, match=message):
            zarr_shard.read(tmp_path / "0", [0], slice(None), slice(None))
    assert zarr_shard.ABSENT == 2**64 - 1


def test_a_shard_has_an_index_and_its_checksum_at_least(tmp_path):
    zarr_shard.write(tmp_path / "0", np.ones((1, 8, 12), np.uint16), tile=(8, 6))
    path = tmp_path / "0" / "c/0/0/0"
    stored, least = path.read_bytes(), 2 * 16 + 4
    for size in (0, least - 9, least - 1, least, least + 1):
        path.write_bytes(stored[:size])
        message = (
            f"expected a shard of more than {least} bytes, found {size}$" if size < least else "index that matches"
        )
        with pytest.raises(ValueError, match=message):
            zarr_shard.read(tmp_path / "0", [0], slice(None), slice(None))


def test_stores_are_asked_with_limits_of_time(monkeypatch):
    """Seconds of pauses, connection and answer, and the number of attempts, which the documentation of S3 advises."""
    assert (object_store.CONNECT, object_store.READ, object_store.WHOLE) == (10, 60, 300)
    assert object_store.PAUSES == (1.0, 4.0, 16.0) and object_store.LARGEST == 2**30
    given_options = {}

    class Store:
        _strip_protocol = staticmethod(lambda url: url.partition("://")[2])
        _get_kwargs_from_urls = staticmethod(lambda url: {})

        def __init__(self, **options):
            given_options.update(options)

    monkeypatch.setattr("fsspec.get_filesystem_class", lambda name: Store)
    system, path = object_store._system("s3://bucket/a::b")
    assert path == "bucket/a::b" and isinstance(system, Store)
    limits = {"connect_timeout": 10, "read_timeout": 60, "retries": {"mode": "standard", "max_attempts": 2}}
    assert given_options == {"config_kwargs": limits | {"max_pool_connections": 64}}
    given_options["config_kwargs"]["retries"].clear()  # botocore changes it in place; the next store has its own
    object_store._system("s3://bucket/a::b")
    assert given_options == {"config_kwargs": limits | {"max_pool_connections": 64}}


def test_a_store_is_asked_again_after_each_pause(monkeypatch):
    waited, asked = [], []
    monkeypatch.setattr(object_store.time, "sleep", waited.append)

    def fail():
        asked.append(1)
        raise RuntimeError("busy")

    with pytest.raises(ConnectionError, match="u: RuntimeError: busy"):
        object_store.persist(fail, "u")
    assert waited == [1.0, 4.0, 16.0] and len(asked) == 4
    for kind in (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError):
        with pytest.raises(kind):
            object_store.persist(lambda kind=kind: (_ for _ in ()).throw(kind("x")), "u")
    assert len(waited) == 3


def test_sizes_are_those_of_each_folder(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    for name, size in (("/s/a/x", 3), ("/s/a/y", 5), ("/s/a/deeper/z", 7), ("/s/b/x", 9), ("/s/b/.hidden", 2)):
        store.pipe(name, bytes(size))
    urls = ["memory://s/a/x", "memory://s/b/x", "memory://s/a/gone", "http://h/c/1", "https://h/d/2", "http://h/c/3"]
    wanted = {"memory://s/a/x": 3, "memory://s/b/x": 9, "http://h/c/1": 0, "https://h/d/2": 0, "http://h/c/3": 0}
    assert object_store.sizes(urls) == wanted
    assert object_store.sizes(["memory://s/nowhere/x"]) == {}
    assert object_store.listing("memory://s") == {"a/deeper/z": 7, "a/x": 3, "a/y": 5, "b/x": 9}

    def refuse(url, depth=None):
        if url.endswith("/a"):
            raise PermissionError("no")
        return {"x": 9}

    monkeypatch.setattr(object_store, "_listing", refuse)
    assert object_store.sizes(urls[:3]) == {"memory://s/a/x": 0, "memory://s/a/gone": 0, "memory://s/b/x": 9}


def test_a_prefix_is_stood_in_for_by_its_names_and_sizes(monkeypatch):
    from fsspec.implementations.memory import MemoryFileSystem

    store = MemoryFileSystem()
    monkeypatch.setattr(object_store, "LARGEST", 10)
    for name, size in (
        ("/t/x.tif", 30),
        ("/t/a.csv", 10),
        ("/t/b.CSV", 11),
        ("/t/sub/c.xml", 4),
        ("/t/" + "y" * 300, 1),
    ):
        store.pipe(name, b"z" * size)
    with object_store.stand_in("memory://t/") as folder:
        found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found.keys() == {"x.tif", "a.csv", "b.CSV", "sub/c.xml"}
    assert found["a.csv"] == b"z" * 10 and found["sub/c.xml"] == b"zzzz"
    assert found["x.tif"] == bytes(30) and found["b.CSV"] == bytes(11), "sparse: images, and tables that are too large"


@pytest.mark.parametrize(
    ("images", "home"),
    [
        ("s3://b/p/load.csv", "s3://b/p"),
        ("s3://b/p/load.CSV.GZ", "s3://b/p"),
        ("s3://b/p", "s3://b/p"),
        ("/data/none.csv", "/data/none.csv"),
        ("file:///a%20b/c", "/a b/c"),
        ("local://x/y", "/x/y"),
    ],
)
def test_the_home_of_images(images, home):
    assert object_store.home(images) == home


def test_the_home_of_a_table_is_its_folder(tmp_path, monkeypatch):
    (tmp_path / "load.parquet").touch()
    assert object_store.home(tmp_path / "load.parquet") == str(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert object_store.home("load.parquet") == "." and object_store.home("other.parquet") == "other.parquet"
    known = {"s3://a/../b": True, "s3://a/%2e%2e/b": True, "s3://a\\..\\b": True, "s3://a/..b": False}
    for url, climbs in known.items():
        assert object_store.climbs(url) == climbs


scalar = st.one_of(st.text(max_size=12), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False))
word = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)


@given(
    st.lists(st.tuples(st.lists(word, min_size=1, max_size=2), st.dictionaries(word, scalar, max_size=3)), max_size=4)
)
@settings(max_examples=200, deadline=None)
def test_any_notes_come_back(given_notes):
    wanted = [notes.Note(".".join(code), values) for code, values in given_notes]
    text = notes.dumps([*wanted, *wanted[:1]])
    assert notes.loads(text) == tuple(dict.fromkeys(wanted))
    assert len({hash(note) for note in wanted}) == len(set(wanted))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("A", 0), ("a;b", 1), ("a; ", None), ("a; B", 3), ("a(b)", 2), ("a(b=1;c=2)", 5), ("a(b=1) c", 6),
        ("a(b=1, C=2)", 7),
    ],
)  # fmt: skip
def test_text_that_is_no_note_is_refused_at_its_place(text, place):
    if place is None:
        assert notes.loads(text) == (notes.Note("a"),)
        return
    with pytest.raises(ValueError, match=f"at character {place}, found"):
        notes.loads(text)


@pytest.mark.parametrize(("code", "key"), [("A", "b"), ("a b", "b"), ("a.", "b"), ("a", "B"), ("a", "b c"), ("", "b")])
def test_codes_and_keys_are_lower_case_words(code, key):
    with pytest.raises(ValueError, match="lower-case words"):
        notes.Note(code, {key: 1})


def test_columns_beyond_the_schema_have_the_type_of_their_values():
    frame = profiles(3).assign(
        Metadata_Flag=[True, False, True],
        Metadata_Count=[1, 2, 3],
        Metadata_Share=[0.5, np.nan, 1.5],
        Metadata_Empty=np.nan,
        Metadata_Text=["x", None, 3],
        e_0=[1, 2, 3],
        e_1=[0.5, np.nan, 2.5],
    )
    found = tables.conform(frame, table="profile")
    kinds = {name: str(found.schema.field(name).type) for name in frame.columns}
    assert {name: kinds[f"Metadata_{name}"] for name in ("Flag", "Count", "Share", "Empty", "Text")} == {
        "Flag": "bool",
        "Count": "int64",
        "Share": "double",
        "Empty": "string",
        "Text": "string",
    }
    assert kinds["e_0"] == kinds["e_1"] == "float"
    assert found.column("Metadata_Text").to_pylist() == ["x", None, "3"]
    assert found.column("e_1").to_pylist() == [0.5, None, 2.5]
    names = found.column_names
    assert names[: len(tables.schema("profile")["columns"])] == list(tables.schema("profile")["columns"])
    assert names[-2:] == ["e_0", "e_1"] and tables.features(frame) == ["e_0", "e_1"]


def test_a_refusal_names_at_most_so_many():
    frame = profiles(30)
    doubled = pd.concat([frame, frame])
    with pytest.raises(ValueError, match="found doubled") as error:
        tables.conform(doubled, table="profile")
    assert str(error.value).count("A") >= 10 and "A10" in str(error.value) and "A11" not in str(error.value)
    assert all((TABLE_SCHEMAS / f"{name}.yaml").exists() for name in ("profile", "embed", "crops"))
    with pytest.raises(ValueError, match="expected 3 vectors, found 2"):
        tables.with_vectors(part("A01", 3)[0], np.zeros((2, 5), np.float32), table="embed")


def test_vectors_are_stored_plain_and_text_as_a_dictionary(tmp_path):
    embeddings.write_parts([part("A01", 9, width=5)], tmp_path / "a.parquet", **WRITTEN)
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    assert columns["embedding.list.element"].compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" in columns["Metadata_Well"].encodings and columns["Metadata_Well"].compression == "ZSTD"
    assert "RLE_DICTIONARY" not in columns["Metadata_Center_Y"].encodings
    kind = pq.read_schema(tmp_path / "a.parquet").field("embedding").type
    assert kind.list_size == 5 and not kind.value_field.nullable
    opened = embeddings.Vectors(tmp_path / "a.parquet")
    assert len(opened) == 9 and embeddings.VALUES == 2**21


def test_groups_are_read_ahead_in_order_and_one_at_a_time_else(tmp_path, monkeypatch):
    parts = [part(f"A{number:02d}", 2) for number in range(1, 9)]
    embeddings.write_parts(parts, tmp_path / "a.parquet", values=6, **WRITTEN)
    opened, read = embeddings.Vectors(tmp_path / "a.parquet"), []
    original = opened._read
    monkeypatch.setattr(opened, "_read", lambda number: read.append(number) or original(number))
    matrix = np.concatenate([matrix for _, matrix in parts])
    for row, begun in ((0, {0, 1, 2}), (1, {0, 1, 2}), (2, {0, 1, 2, 3}), (12, {0, 1, 2, 3, 6}), (5, {0, 1, 2, 3, 6})):
        np.testing.assert_array_equal(opened[np.array([row])], matrix[[row]])
        assert set(opened._ahead) | set(read) >= begun and len(opened._ahead) <= 2
        assert row != 12 or not opened._ahead, "out of order, nothing is read ahead"
    assert read.count(0) == 1


def test_a_table_of_others_is_refused(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="expected a table of this workflow"):
        tables.metadata(tmp_path / "a.parquet")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_keeps_its_number(tmp_path, number):
    error = disk.full("x", tmp_path, OSError(number, "no"))
    assert error.errno == number and "MB free" in str(error)
    assert disk.full("x", tmp_path, OSError("No space left on device")).errno == errno.ENOSPC
    assert "free space unknown" in str(disk.full("x", tmp_path / "gone", OSError(number, "no")))
    assert disk.is_full(OSError(number, "no")) and not disk.is_full(OSError(errno.EIO, "broken"))
    assert disk.is_full(OSError("5 requested and 3 written")) and disk.is_full(OSError("DISK QUOTA EXCEEDED"))


def test_free_space_is_in_megabytes(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 7_654_321})
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda folder: usage)
    assert "(7 MB free; a quota may be smaller)" in str(disk.full("x", tmp_path, OSError(errno.ENOSPC, "no")))


def test_space_is_reserved_for_the_whole_file(tmp_path, monkeypatch):
    reserved = []
    monkeypatch.setattr(disk.os, "posix_fallocate", lambda number, start, size: reserved.append((start, size)))
    for size in (0, 1, 4096):
        (tmp_path / "a").write_bytes(bytes(size))
        disk.reserve(tmp_path / "a")
    assert reserved == [(0, 1), (0, 4096)]


def test_the_error_of_a_full_disk_is_told_once(tmp_path):
    for raised, kind in ((OSError(errno.ENOSPC, "x"), disk.DiskFullError), (OSError(errno.EIO, "x"), OSError)):
        with pytest.raises(OSError, match="x") as error, disk.filling(tmp_path / "a.parquet"):
            raise raised
        assert type(error.value) is kind
    first = disk.full("a", tmp_path, OSError(errno.ENOSPC, "x"))
    with pytest.raises(disk.DiskFullError) as error, disk.filling(tmp_path / "b.parquet"):
        raise first
    assert error.value is first


def test_formulas_are_text_in_cells_and_names():
    values = ["=1", " +x", "@y", "-a", "+1.5", "-2e-3", "-.5", "5", "", None, "a=b", "-1.", "- 1", "+1e"]
    shown = spreadsheet.as_text(pd.DataFrame({"=n": values, "c": pd.Categorical(values), "d": range(14)}))
    text = ["'=1", "' +x", "'@y", "'-a", "+1.5", "-2e-3", "-.5", "5", "", None, "a=b", "-1.", "'- 1", "'+1e"]
    assert [None if pd.isna(one) else one for one in shown["'=n"]] == text
    assert [None if pd.isna(one) else one for one in shown["c"]] == text
    assert shown["d"].tolist() == list(range(14))


class Job:
    rule, params = "crops", {"size": 5, "code": "abc", "seed": 3}
    input = ("b.parquet", "a.json", "notes.txt", "/somewhere/c.parquet")


def test_provenance_names_inputs_options_and_packages(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.parquet", "a.json", "notes.txt"):
        (tmp_path / name).write_bytes(name.encode())
    found = provenance.of(Job())
    digests = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("a.json", "b.parquet")}
    assert found["inputs"] == digests and list(found["inputs"]) == ["a.json", "b.parquet"]
    assert found["code"] == "abc" and found["seed"] == 3 and found["rule"] == "crops"
    assert found["options"] == provenance.digest({"seed": 3, "size": 5}) != provenance.digest({"seed": 3, "size": 6})
    assert found["packages"] == {"pyarrow": pa.__version__, "numpy": np.__version__, "zarr": found["packages"]["zarr"]}
    Job.rule = "unheard"
    assert list(provenance.of(Job())["packages"]) == ["pyarrow", "numpy", "pandas"]
    assert provenance._version("no-such-package") == "absent"


def test_the_commit_is_the_clone_s_own(tmp_path):
    def run(*words):
        return subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True, text=True)

    run("init", "-q")
    run("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")
    head = run("rev-parse", "HEAD").stdout.strip()
    (tmp_path / "inner").mkdir()
    (tmp_path / ("ab" * 20)).mkdir()
    assert provenance.commit(tmp_path.resolve()) == head
    assert provenance.commit((tmp_path / "inner").resolve()) == "unknown"
    assert provenance.commit((tmp_path / ("ab" * 20)).resolve()) == "ab" * 20
    assert (CLONE / "workflow" / "Snakefile").is_file()
