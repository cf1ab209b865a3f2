"""Extreme fields behind the cells: what is cut, sampled and measured of them is defined, and none is lost."""

import numpy as np
import pytest
from test_cells import options
from test_cells_extremes import KEY, lattice, plate_of

from options import options as section
from wellspring.cells.run import segment_plate
from wellspring.io import ngff
from wellspring.measure import run
from wellspring.views import crops, fields, intensity

CHANNELS = ["DNA"]


def giant():
    rows, columns = np.mgrid[:300, :300]
    return (100 + 5000 * ((rows - 150) ** 2 + (columns - 150) ** 2 < 120**2))[None]


EXTREMES = {
    "empty field": ({("A01", "1"): lattice(4, 30, 9), ("A02", "1"): np.full((1, 120, 123), 100)}, {}, 16),
    "no cell at all": ({("A01", "1"): np.full((1, 90, 90), 100)}, {}, 0),
    "all saturated": ({("A01", "1"): np.full((1, 90, 90), 65535), ("A02", "1"): np.full((1, 90, 90), 65535)}, {}, 0),
    "one giant": ({("A01", "1"): giant()}, {"nucleus_diameter": 60, "split": 2.0}, 1),
    "saturated cells": ({("A01", "1"): np.where(lattice(4, 30, 9) > 1000, 65535, 100)}, {}, 16),
    "5,000 objects": ({("A01", "1"): lattice(71, 12, 4)}, {"nucleus_diameter": 8}, 5041),
}


@pytest.fixture(params=EXTREMES, scope="module")
def plate(request, tmp_path_factory):
    """Segment a plate; return its pixels, labels, intensity table, rows of cells, and how many there should be."""
    fields_, changes, count = EXTREMES[request.param]
    folder = tmp_path_factory.mktemp("plate")
    images, limits = plate_of(folder, fields_)
    frame = segment_plate(images, limits, folder / "labels.zarr", options=options(cytoplasm=[], **changes))
    counts = sum(intensity.counts(np.asarray(field, np.uint16)) for field in fields_.values())
    scale = intensity.summarise(counts, plate="P", channels=CHANNELS, fields=len(fields_))
    return images, ngff.open_labels(folder / "labels.zarr"), scale, frame, count


def test_every_cell_is_cut_once(plate):
    images, _, _, frame, count = plate
    parts = list(fields.cells(images, frame, CHANNELS, size=20))
    found = [(part.well, part.site, number) for part in parts for number in part.numbers.tolist()]
    assert len(frame) == len(found) == len(set(found)) == count
    assert sorted(found) == sorted(frame[KEY[1:]].itertuples(index=False, name=None))
    for part in parts:
        assert part.pixels.shape == (len(part.numbers), 1, 20, 20)
        middles = np.floor(part.centres + 0.5).astype(int)
        np.testing.assert_array_equal(part.pixels[:, 0, 10, 10], part.field[0][tuple(middles.T)])


def test_the_training_sample_takes_the_cells_without_flags(plate, tmp_path):
    images, _, _, frame, _ = plate
    rows = crops.sample(frame, seed=1, cells_per_well=10**6)
    expected = frame[frame["Metadata_Flags"].isin(["", "border"])]
    assert len(rows) == len(expected) and not rows.duplicated(KEY).any()
    crops.pack(images, rows, tmp_path / "crops.npy", size=20)
    assert np.load(tmp_path / "crops.npy").shape == (len(expected), 1, 20, 20)


def test_every_cell_is_measured_once(plate):
    images, labels, scale, frame, count = plate
    chosen = section("measure", families=["intensity", "shape"] if count < 1000 else ["intensity"])
    setting = run.settle(images, labels, scale, options=chosen)
    found = list(run.measure(setting, frame))
    rows = sum(len(part) for part, _ in found)
    assert rows == count
    for part, matrix in found:
        assert matrix.shape == (len(part), len(setting.names))
        assert not np.isinf(matrix).any()
        place = setting.names.index("Nuclei_Intensity_MeanIntensity_DNA")
        assert np.isfinite(matrix[:, place]).all()


def test_a_channel_that_the_plate_lacks_is_named(tmp_path):
    images, limits = plate_of(tmp_path, {("A01", "1"): lattice(4, 30, 9)})
    with pytest.raises(ValueError, match=r"P: cells.cytoplasm: no channel 'RNA'; there are \['DNA'\]"):
        segment_plate(images, limits, tmp_path / "labels.zarr", options=options(cytoplasm=["RNA"]))
    assert not (tmp_path / "labels.zarr").exists()
    table = segment_plate(images, limits, tmp_path / "labels.zarr", options=options(cytoplasm=[]))
    with pytest.raises(ValueError, match=r"P: expected channels of \['DNA'\] .*, found \['RNA'\]"):
        list(fields.cells(images, table, ["DNA", "RNA"], size=20))
