"""JUMP-Lite's stores of site arrays: pixels are those of an independent decode, and what is damaged is named."""

import json
import logging
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import pytest
import zarr

import coded
import jump_lite
from options import options as section
from wellspring.index.readers import detect, jumplite
from wellspring.io import jpegxl, raw_image, shared, zarr_plane

PLATE = "source_4__2021_04_26_Batch1__BR00117035"
OTHERS = ("source_4__2021_04_26_Batch1__BR00117036", "source_13__20220914_Run1__CP-CC9-R1-01")
SITES = [f"{PLATE}__{well}__{site}" for well in ("A01", "B03") for site in (1, 2)]


def drawn(keys, seed=0):
    rng = np.random.default_rng(seed)
    return {key: jump_lite.field(rng) for key in keys}


def build(images, wells=("A01", "B03"), *, at, **options):
    options = {"reader": "auto", **options}
    return coded.build(images, wells, channels=list(jump_lite.CHANNELS), at=at, plate="BR00117035", **options)


@pytest.mark.parametrize("codec", jump_lite.CODECS)
def test_pixels_are_those_of_an_independent_decode(tmp_path, codec):
    keys = [*SITES, *(f"{other}__A01__1" for other in OTHERS)]
    written = drawn(keys)
    store = jump_lite.store(tmp_path, written, codec=codec)
    for images in (store, f"{store}/{PLATE}"):
        table = build(images, at=tmp_path).table
        assert len(table) == 4 * 5 and table["Metadata_Path"].notna().all()
        for row in table.to_dict("records"):
            key = f"{PLATE}__{row['Metadata_Well']}__{row['Metadata_Site']}"
            found = raw_image.read(images, row["Metadata_Path"], row["Metadata_Page"])
            expected = jump_lite.decoded(store / key)[jump_lite.CHANNELS.index(row["Metadata_Channel"])]
            np.testing.assert_array_equal(found, expected)
            if codec == "zstd":
                np.testing.assert_array_equal(found, written[key][jump_lite.CHANNELS.index(row["Metadata_Channel"])])


def test_channels_are_named_in_the_order_of_the_arrays(tmp_path):
    pixels = np.stack([np.full(jump_lite.SHAPE, value, dtype=np.uint16) for value in (10, 20, 30, 40, 50)])
    pixels[:, 0, 0] = 0
    store = jump_lite.store(tmp_path, {f"{PLATE}__A01__1": pixels}, codec="zstd")
    table = build(store, ["A01"], at=tmp_path).table
    values = {
        row["Metadata_Channel"]: int(raw_image.read(store, row["Metadata_Path"], row["Metadata_Page"]).max())
        for row in table.to_dict("records")
    }
    assert values == {"AGP": 10, "DNA": 20, "ER": 30, "Mito": 40, "RNA": 50}


@pytest.mark.parametrize("seed", range(6))
def test_random_stores_give_the_planes_of_one_plate(tmp_path, seed):
    chance = random.Random(seed)
    name = lambda: "".join(chance.choices("ABz09-._", k=chance.randint(1, 8))).strip("_") or "P"  # noqa: E731
    plates = [f"source_{chance.randint(1, 15)}__{name()}__{name()}" for _ in range(3)]
    plates = list(dict.fromkeys(plates))
    wells = chance.sample(["A01", "H12", "P24", "C07", "AF48"], 3)
    expected = {
        f"{plates[0]}__{well}__{site}" for well in wells for site in chance.sample(range(1, 10), chance.randint(1, 4))
    }
    others = {f"{plate}__{well}__1" for plate in plates[1:] for well in wells}
    store = jump_lite.store(tmp_path, drawn([*expected, *others], seed), codec=chance.choice(list(jump_lite.CODECS)))
    found = detect.planes(f"{store}/{plates[0]}", plate="any", options=section("index"))
    assert set(found["path"]) == expected and len(found) == 5 * len(expected)
    for row in found.to_dict("records"):
        assert row["path"] == f"{plates[0]}__{row['well']}__{row['site']}"


def damaged(store, key, how):
    array = store / key
    chunk = array / "0.0.0"
    if how == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-40])
    elif how == "zeros":
        chunk.write_bytes(bytes(chunk.stat().st_size))
    elif how == "empty":
        chunk.write_bytes(b"")
    elif how == "text":
        chunk.write_bytes(b"<Error>NoSuchKey</Error>")
    elif how == "another size":  # as many pixels, other rows and columns: nothing may be reshaped
        pixels = jump_lite.field(np.random.default_rng(1), jump_lite.SHAPE[::-1])
        chunk.write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=False, distance=3.0))
    elif how == "another type":  # 8 bit of twice the columns has as many bytes
        pixels = np.zeros((5, jump_lite.SHAPE[0], 2 * jump_lite.SHAPE[1]), dtype=np.uint8)
        chunk.write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    elif how == "fewer channels":
        chunk.write_bytes(imagecodecs.jpegxl_encode(jump_lite.field(np.random.default_rng(1))[:4], lossless=True))
    elif how == "gone":
        chunk.unlink()
    elif how == "unknown codec":
        spec = json.loads((array / ".zarray").read_text())
        spec["compressor"] = {"id": "imagecodecs_unheard_of"}
        (array / ".zarray").write_text(json.dumps(spec))


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ("cut", "unreadable"),
        ("zeros", "unreadable"),
        ("empty", "unreadable"),
        ("text", "unreadable"),
        ("another size", "unreadable"),
        ("another type", "unreadable"),
        ("fewer channels", "unreadable"),
        ("gone", "missing"),
        ("unknown codec", "unreadable"),
    ],
)  # fmt: skip
def test_a_damaged_array_is_no_image_in_all_its_channels(tmp_path, how, status):
    store = jump_lite.store(tmp_path, drawn(SITES), codec="jpegxl_lossy_mq")
    damaged(store, SITES[1], how)
    table = build(store, at=tmp_path).table
    for row in table.to_dict("records"):
        found = raw_image.status(store, row["Metadata_Path"], row["Metadata_Page"])
        assert found.status == (status if row["Metadata_Path"] == SITES[1] else "ok")
        if found.status != "ok":
            assert found.pixels is None
            assert SITES[1] in found.reason or "chunks are missing" in found.reason


def test_a_lost_site_and_arrays_of_another_shape_are_missing_planes(tmp_path, caplog):
    store = jump_lite.store(tmp_path, drawn(SITES))
    shutil.rmtree(store / SITES[0])
    shutil.rmtree(store / SITES[2])
    jump_lite.store(tmp_path, {SITES[2]: jump_lite.field(np.random.default_rng(2))[:4]})
    (store / SITES[3] / ".zarray").write_text("{not json")
    with caplog.at_level(logging.WARNING):
        found = build(f"{store}/{PLATE}", at=tmp_path, sites=["1", "2"])
    lost = found.table[found.table["Metadata_Path"].isna()]
    assert set(zip(lost["Metadata_Well"], lost["Metadata_Site"], strict=True)) == {
        ("A01", "1"),
        ("B03", "1"),
        ("B03", "2"),
    }
    assert len(lost) == 15
    missing = found.audit.set_index("Metadata_Well")["Metadata_Channels_Missing"]
    assert missing["A01"] == "1:AGP;1:DNA;1:ER;1:Mito;1:RNA"
    assert (
        "1 sites count as missing: expected the shape (channels AGP, DNA, ER, Mito, RNA; y; x), found [4, 48, 64]"
        in caplog.text
    )
    assert "1 sites count as missing: expected metadata of an array, found JSONDecodeError" in caplog.text


@pytest.mark.parametrize(
    "name",
    [
        f"{PLATE}__A01",
        f"{PLATE}__A01__1__2",
        f"{PLATE}__ZZ99__1",
        f"{PLATE}__A01__..",
        f"{PLATE}__A01__1 2",
        f"{PLATE}____1",
        f"{PLATE}__A01__\N{SUPERSCRIPT TWO}",
    ],
)
def test_hostile_names_are_left_out_and_listed(tmp_path, caplog, name):
    store = jump_lite.store(tmp_path, drawn(SITES))
    (store / name).mkdir()
    shutil.copy(store / SITES[0] / ".zarray", store / name)
    with caplog.at_level(logging.WARNING):
        table = build(f"{store}/{PLATE}", at=tmp_path).table
    assert set(table["Metadata_Path"]) == set(SITES)
    assert f"1 entries of {store} are not named SOURCE__BATCH__PLATE__WELL__SITE" in caplog.text


def test_keys_of_one_place_are_doubled_planes(tmp_path):
    store = jump_lite.store(tmp_path, drawn([*SITES, f"{PLATE}__a1__1", f"{PLATE}__B03__02"]))
    with pytest.raises(ValueError, match=r"2 wells .*\['A01', 'B03'\]"):
        build(store, at=tmp_path)


def test_plates_of_one_name_are_told_apart_by_the_sheet(tmp_path):
    other = PLATE.replace("source_4", "source_5")
    store = jump_lite.store(tmp_path, drawn([*SITES, f"{other}__A01__1"]))
    with pytest.raises(ValueError, match=rf"found 2; write one of \['{store}/{PLATE}', '.*{other}'\]"):
        build(store, at=tmp_path)
    assert set(build(f"{store}/{other}", ["A01"], at=tmp_path).table["Metadata_Path"]) == {f"{other}__A01__1"}


def test_links_that_lead_out_are_refused(tmp_path):
    store = jump_lite.store(tmp_path / "a", drawn(SITES[1:]))
    outside = jump_lite.store(tmp_path / "b", drawn(SITES[:1]))
    (store / SITES[0]).symlink_to(outside / SITES[0])
    with pytest.raises(ValueError, match=r"expected links within .* index.roots, found one to .*/b/"):
        build(store, at=tmp_path)
    assert len(build(store, at=tmp_path, roots=[str(tmp_path / "b")]).table) == 20
    (store / SITES[0]).unlink()
    shutil.copytree(store / SITES[1], store / SITES[0])
    (store / SITES[0] / "0.0.0").unlink()
    (store / SITES[0] / "0.0.0").symlink_to(outside / SITES[0] / "0.0.0")
    with pytest.raises(ValueError, match=r"0.0.0: expected links within .*index.roots"):
        build(store, at=tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    store = jump_lite.store(tmp_path, drawn(SITES))
    options = section("index")
    with pytest.raises(ValueError, match=r"P: expected arrays source_4__Batch9__P__WELL__SITE in .*mq.zarr, "):
        detect.planes(f"{store}/source_4__Batch9__P", plate="P", options=options)
    with pytest.raises(ValueError, match=r"P9: expected arrays SOURCE__BATCH__P9__WELL__SITE"):
        jumplite.planes(store, plate="P9")
    with pytest.raises(ValueError, match=r"P: expected a store .*none.zarr, found nothing"):
        detect.planes(f"{tmp_path}/none.zarr/{PLATE}", plate="P", options=options)
    with pytest.raises(ValueError, match="P: expected a folder for the reader harmony, found .*BR00117035"):
        detect.planes(f"{store}/{PLATE}", plate="P", options=section("index", reader="harmony"))
    masks = tmp_path / "masks.zarr"
    zarr.create_array(store=masks, name=SITES[0], data=np.zeros((1, *jump_lite.SHAPE), dtype=np.uint16), zarr_format=3)
    with pytest.raises(ValueError, match=r"no site of .*masks.zarr can be read: expected the shape .*\[1, 48, 64\]"):
        detect.planes(f"{masks}/{PLATE}", plate="BR00117035", options=options)


def test_a_site_is_decoded_once_for_its_channels(tmp_path, monkeypatch):
    store = jump_lite.store(tmp_path, drawn(SITES))
    calls, lock = [], threading.Lock()
    decode = jpegxl.JpegXl.decode

    def counted(codec, buf, out=None):
        with lock:
            calls.append(len(buf))
        return decode(codec, buf, out)

    monkeypatch.setattr(jpegxl.JpegXl, "decode", counted)
    monkeypatch.setattr(zarr_plane, "BLOCKS", shared.Blocks())
    planes = [(key, page) for key in SITES for page in range(5)]
    with ThreadPoolExecutor(8) as pool:
        read = list(pool.map(lambda plane: raw_image.read(store, *plane), planes))
    assert len(calls) == len(SITES)
    for (key, page), pixels in zip(planes, read, strict=True):
        np.testing.assert_array_equal(pixels, jump_lite.decoded(store / key)[page])
    assert not zarr_plane.BLOCKS._held  # each of its planes was taken, so that none stays in memory
    first = raw_image.read(store, SITES[0], 0)
    shutil.copy(store / SITES[1] / "0.0.0", store / SITES[0] / "0.0.0")  # replaced while a block is held
    np.testing.assert_array_equal(raw_image.read(store, SITES[0], 1), jump_lite.decoded(store / SITES[1])[1])
    assert not np.array_equal(first, raw_image.read(store, SITES[0], 0))
