"""Training images: crops from their file and blocks of fields, against plain slicing of the same arrays."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import blobs
from wellspring.io import ngff, tables
from wellspring.io.packed import Packed
from wellspring.views import intensity

CHANNELS = ["RNA", "DNA"]


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS)


def test_a_packed_array_is_read_item_by_item(tmp_path):
    array = np.random.default_rng(0).integers(0, 60000, (40, 2, 9, 9)).astype(np.uint16)
    np.save(tmp_path / "a.npy", array)
    packed = Packed(tmp_path / "a.npy")
    assert (packed.shape, packed.dtype) == (array.shape, array.dtype)
    with ThreadPoolExecutor(4) as pool:
        for item, found in zip(range(40), pool.map(packed.read, range(40)), strict=True):
            np.testing.assert_array_equal(found, array[item])
    with pytest.raises(ValueError, match="expected 324 bytes of item 40, found 0"):
        packed.read(40)
    np.save(tmp_path / "b.npy", np.asfortranarray(array))
    with pytest.raises(ValueError, match="C order"):
        Packed(tmp_path / "b.npy")


def test_a_packed_array_is_one_open_file_and_goes_to_other_processes(tmp_path):
    def held():
        return sum(each.resolve() == tmp_path / "a.npy" for each in Path("/proc/self/fd").iterdir())

    array = np.arange(48, dtype=np.uint16).reshape(3, 4, 4)
    np.save(tmp_path / "a.npy", array)
    packed = Packed(tmp_path / "a.npy")
    for item in [0, 2, 1] * 3:
        np.testing.assert_array_equal(packed.read(item), array[item])
    assert held() == 1
    copy = pickle.loads(pickle.dumps(packed))
    del packed
    np.testing.assert_array_equal(copy.read(1), array[1])
    del copy
    assert held() == 0


def test_crops_are_scaled_by_their_own_plate(screen):
    source = blobs.source(screen, blobs.entry(), channels=CHANNELS)
    items = np.random.default_rng(0).permutation(len(source.frame))[:20]
    arrays = [np.load(path) for path in screen["crops"]]
    assert len(set(source.plate[items])) == 2
    for item, found in zip(items, source.read(items, np.random.default_rng(0)), strict=True):
        scales = source.pixels[source.plate[item]]
        crop = arrays[source.plate[item]][source.frame["Metadata_Row"][item]]
        np.testing.assert_array_equal(found, intensity.scale(crop, scales.low, scales.high))


@pytest.mark.parametrize("least", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("cache_mb", [0, 100])
def test_a_block_is_the_first_place_with_enough_foreground_or_the_best(screen, least, cache_mb):
    entry = blobs.entry(kind="sslprofiler", view={"kind": "tile", "size": 20})
    source = blobs.source(screen, entry, channels=CHANNELS, cache_mb=cache_mb, least_foreground=least)
    found = source.read(np.array([3, 1]), np.random.default_rng(5), sites=1)
    rng = np.random.default_rng(5)
    for item, block in zip([3, 1], found, strict=True):
        field = ngff.open_plate(screen["images"][0]).read(*source.fields[item])
        best, most = None, -1.0
        for _ in range(source.tries):
            y, x = (int(rng.integers(0, 96 - 20 + 1)) for _ in range(2))
            share = (field[CHANNELS.index("DNA"), y : y + 20, x : x + 20] > source.above[0]).mean()
            if share > most:
                best, most = (y, x), share
            if share >= least:
                break
        y, x = best
        scales = source.pixels[0]
        expected = intensity.scale(field[:, y : y + 20, x : x + 20], scales.low, scales.high)
        np.testing.assert_array_equal(block, expected)


def test_scaling_goes_where_it_is_told():
    pixels = np.random.default_rng(0).integers(0, 999, (2, 5, 5)).astype(np.uint16)
    low, high = np.array([3, 100]), np.array([700, 100])
    out = np.full((2, 5, 5), np.nan, dtype=np.float32)
    assert intensity.scale(pixels, low, high, out=out) is out
    np.testing.assert_array_equal(out, intensity.scale(pixels, low, high))
    assert (out[1] == 0).all()


@pytest.mark.parametrize("asked", [["RNA", "AGP", "DNA"], ["DNA", "RNA"], ["AGP"]])
def test_crops_give_each_channel_its_own_pixels_and_scale(tmp_path, asked):
    """The array has the channels in the order of the config, the table of the scale sorted by name."""
    names = ["RNA", "AGP", "DNA"]
    paths = blobs.plate(tmp_path, channels=names)
    stored = np.load(paths["crops"])
    stored[:] = np.array([100, 400, 900], np.uint16)[None, :, None, None]
    np.save(paths["crops"], stored)
    scale = tables.read(paths["intensity"])
    assert scale["Metadata_Channel"].tolist() == sorted(names)
    scale["low"], scale["high"] = np.float32(0), np.float32(1000)
    tables.write(scale, paths["intensity"], table="intensity", provenance={})
    source = blobs.source({kind: [path] for kind, path in paths.items()}, blobs.entry(), channels=asked)
    found = source.read(np.array([0, 5]), np.random.default_rng(0))
    expected = {"RNA": 0.1, "AGP": 0.4, "DNA": 0.9}
    for place, name in enumerate(asked):
        np.testing.assert_allclose(found[:, place], expected[name], rtol=1e-6)


def test_crops_that_do_not_name_their_channels_are_taken_as_those_of_the_encoder_or_refused(tmp_path):
    paths = blobs.plate(tmp_path, channels=["RNA", "AGP", "DNA"])
    table = tables.read(paths["crop_tables"])
    tables.write(table, paths["crop_tables"], table="crops", provenance={})
    kinds = {kind: [path] for kind, path in paths.items()}
    assert len(blobs.source(kinds, blobs.entry(), channels=["RNA", "AGP", "DNA"]).frame) == len(table)
    with pytest.raises(ValueError, match="expected the channels of the crops, found a table of an earlier version"):
        blobs.source(kinds, blobs.entry(), channels=["RNA"])


@pytest.mark.parametrize("stem", ["widened", "adaptive"])
def test_crops_without_a_channel_that_the_plate_has_are_refused(tmp_path, stem):
    """Only a channel that the plate itself lacks may be absent; a lost one would be NaN in every image."""
    paths = blobs.plate(tmp_path, channels=["RNA", "AGP", "DNA"])
    table = tables.read(paths["crop_tables"])
    tables.write(table, paths["crop_tables"], table="crops", provenance={"channels": ["RNA", "DNA"]})
    kinds = {kind: [path] for kind, path in paths.items()}
    with pytest.raises(ValueError, match=r"expected crops with the channels \['AGP'\], found \['RNA', 'DNA'\]"):
        blobs.source(kinds, blobs.entry(stem=stem), channels=["RNA", "AGP"])


def test_of_ready_made_cells_the_sample_is_trained_on(tmp_path):
    paths = blobs.plate(tmp_path, channels=["RNA", "AGP"])
    table = tables.read(paths["crop_tables"])
    sample = np.arange(len(table)) % 3 == 0
    marked = table.assign(Metadata_Sample=sample)
    tables.write(marked, paths["crop_tables"], table="crops", provenance={"channels": ["RNA", "AGP"]})
    source = blobs.source({kind: [path] for kind, path in paths.items()}, blobs.entry(), channels=["RNA", "AGP"])
    assert source.row.tolist() == table["Metadata_Row"][sample].tolist()
