"""Cells: labels and table agree, flags are right, the plate's segmentation does not depend on the workers."""

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops_table
from test_segment import GRID, discs

from options import options as section
from wellspring.cells import run
from wellspring.io import ngff, tables

CHANNELS = ["DNA", "RNA", "AGP"]


def options(**changes):
    """Return the config section with its defaults and changes."""
    return section("cells", **{"nucleus_diameter": 18} | changes)


@pytest.fixture
def plate(tmp_path):
    """Return a plate of three fields, the second of them empty, and its intensity table."""
    path = tmp_path / "P1.zarr"
    with ngff.PlateWriter(path, plate="P1", channels=CHANNELS, pixel_size=0.5) as writer:
        for number, (well, site) in enumerate([("A01", "1"), ("A02", "1"), ("B01", "2")]):
            centres = [] if well == "A02" else GRID
            nuclear, _ = discs(centres, radius=9, seed=number)
            body, _ = discs(centres, radius=14, height=300, seed=number + 9)
            writer.write(well, site, np.stack([nuclear, body, body]))
    limits = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Channel": CHANNELS, "low": 80.0, "high": 700.0})
    return ngff.open_plate(path), limits


def test_labels_and_table_agree(plate, tmp_path):
    images, limits = plate
    frame = run.segment_plate(images, limits, tmp_path / "labels.zarr", options=options())
    labels = ngff.open_labels(tmp_path / "labels.zarr")
    assert labels.fields == images.fields
    assert frame.groupby("Metadata_Well").size().to_dict() == {"A01": len(GRID), "B01": len(GRID)}
    for well, site in images.fields:
        rows = frame[frame["Metadata_Well"] == well]
        for name, column in (("nuclei", "Metadata_Nucleus_Area"), ("cells", "Metadata_Cell_Area")):
            image = labels.read(well, site, name)
            assert image.dtype == np.uint32
            np.testing.assert_array_equal(np.bincount(image.ravel())[1:], rows[column])
    assert frame["Metadata_Matched"].all()
    tables.write(frame, tmp_path / "cells.parquet", table="cells", provenance={})
    assert len(tables.read(tmp_path / "cells.parquet")) == len(frame)


def test_neither_labels_nor_rows_depend_on_the_workers(plate, tmp_path):
    images, limits = plate
    frames = []
    for threads in (1, 4):
        frames.append(run.segment_plate(images, limits, tmp_path / f"{threads}", options=options(), threads=threads))
    pd.testing.assert_frame_equal(*frames)
    first, second = (
        {
            path.relative_to(tmp_path / name): path.read_bytes()
            for path in (tmp_path / name).rglob("*")
            if path.is_file()
        }
        for name in ("1", "4")
    )
    assert first == second


def test_table_agrees_with_scikit_image():
    generator = np.random.default_rng(0)
    _, truth = discs(GRID[:12], radius=13)
    nuclei = np.where(generator.random(truth.shape) < 0.9, truth, 0).astype(np.uint32)
    frame = run.table(nuclei, truth.astype(np.uint32), dna=nuclei, diameter=26)
    nucleus = regionprops_table(nuclei, properties=("label", "area", "centroid"))
    cell = regionprops_table(truth, properties=("area", "bbox"))
    for column, expected in {
        "Metadata_Cell": nucleus["label"],
        "Metadata_Nucleus_Area": nucleus["area"],
        "Metadata_Cell_Area": cell["area"],
        "Metadata_Center_Y": nucleus["centroid-0"],
        "Metadata_Center_X": nucleus["centroid-1"],
        "Metadata_Box_Y0": cell["bbox-0"],
        "Metadata_Box_X0": cell["bbox-1"],
        "Metadata_Box_Y1": cell["bbox-2"],
        "Metadata_Box_X1": cell["bbox-3"],
    }.items():
        np.testing.assert_allclose(frame[column], expected, rtol=1e-6)


def test_flags_name_what_is_out_of_range_and_drop_nothing():
    nuclei = np.zeros((100, 130), np.uint32)
    grown = np.zeros((100, 130), np.uint32)
    for number, (top, left, edge) in enumerate([(10, 10, 10), (0, 30, 10), (60, 10, 3), (50, 50, 40)], start=1):
        nuclei[top : top + edge, left : left + edge] = number
        grown[max(top - 2, 0) : top + edge + 2, left - 2 : left + edge + 2] = number
    grown[40:44, 2:6] = 6  # a cell without a nucleus
    nuclei[90:100, 2:12] = 9  # a nucleus without a cell, at the border
    frame = run.table(nuclei, grown, dna=nuclei, diameter=11)
    assert frame["Metadata_Cell"].tolist() == [1, 2, 3, 4, 6, 9]
    assert frame["Metadata_Flags"].tolist() == ["", "border", "small", "large", "unmatched", "border;unmatched"]
    assert frame["Metadata_Matched"].tolist() == [True] * 4 + [False] * 2
    assert frame.loc[4, ["Metadata_Center_Y", "Metadata_Center_X"]].tolist() == [41.5, 3.5]
    assert frame.loc[5, ["Metadata_Box_Y0", "Metadata_Box_Y1"]].tolist() == [90, 100]


def test_brightness_stands_with_its_nucleus_where_numbers_are_missing():
    """Nuclei 2 and 4 of cells 2, 4 and 6: means above the median outside of cells, by hand; none without a nucleus."""
    nuclei, grown, dna = np.zeros((30, 46), np.uint32), np.zeros((30, 46), np.uint32), np.full((30, 46), 50)
    for number, (top, left, counts) in {2: (5, 5, 450), 4: (5, 20, 250), 6: (18, 30, 900)}.items():
        grown[top - 2 : top + 8, left - 2 : left + 8] = number
        dna[top : top + 6, left : left + 6] = counts
        if number < 6:
            nuclei[top : top + 6, left : left + 6] = number
    frame = run.table(nuclei, grown, dna=dna, diameter=7)
    assert frame["Metadata_Cell"].tolist() == [2, 4, 6]
    assert frame["Metadata_Nucleus_Brightness"].tolist() == [400, 200, 0]
    first, second, none = frame["Metadata_Nucleus_Sharpness"]
    assert first == pytest.approx(second, rel=1e-5) and first > 1 and none == 0


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_a_cell_is_at_the_border_of_its_field_whatever_its_shape(shape):
    """Boxes that end at row `width` or column `height` of a field that is not square are inside it."""
    height, width = shape
    least = min(shape)
    corners = {1: (0, 10), 2: (20, 0), 3: (height - 5, 20), 4: (20, width - 5), 5: (10, 20)}
    if height > width:
        corners[6] = (least - 5, 5)
    else:
        corners[6] = (5, least - 5)
    labels = np.zeros(shape, np.uint32)
    for number, (y, x) in corners.items():
        labels[y : y + 5, x : x + 5] = number
    frame = run.table(labels, labels, dna=labels, diameter=6)
    assert frame["Metadata_Border"].tolist() == [True, True, True, True, False, False]
    assert frame["Metadata_Flags"].tolist() == ["border"] * 4 + ["", ""]


def test_areas_at_the_limits_of_small_and_large():
    """A nucleus of exactly the limit is not flagged, one of a single pixel is, and a missing one is not small."""
    labels = np.zeros((40, 60), np.uint32)
    labels[5:10, 5:25] = 1  # 100 px
    labels[20, 30] = 2
    cells = labels.copy()
    cells[30:35, 40:50] = 3
    disc = np.pi / 4 * 10**2
    exact = run.table(labels, cells, dna=labels, diameter=10, small=100 / disc, large=100 / disc)
    assert exact["Metadata_Flags"].tolist() == ["", "small", "unmatched"]
    near = run.table(labels, cells, dna=labels, diameter=10, small=100.1 / disc, large=99.9 / disc)
    assert near["Metadata_Flags"].tolist() == ["small;large", "small", "unmatched"]


def test_table_of_an_empty_field_has_its_columns():
    empty = np.zeros((20, 30), np.uint32)
    frame = run.table(empty, empty, dna=empty, diameter=10)
    assert len(frame) == 0 and "Metadata_Flags" in frame


def test_missing_channel_is_named_with_those_there_are(plate):
    images, limits = plate
    with pytest.raises(ValueError, match=r"P1: cells.cytoplasm: no channel 'ER'; there are \['DNA', 'RNA', 'AGP'\]"):
        run.settle(images, limits, options=options(cytoplasm=["RNA", "ER"]))
    with pytest.raises(ValueError, match="cells.nuclei: no channel 'Hoechst'"):
        run.settle(images, limits, options=options(nuclei="Hoechst"))


def test_micrometres_are_converted_and_the_diameter_is_estimated(plate):
    images, limits = plate
    given = run.settle(images, limits, options=options(nucleus_diameter=9, unit="um"))
    assert given.options.diameter == 18
    estimated = run.settle(images, limits, options=options(nucleus_diameter=None, cytoplasm=[]))
    assert estimated.options.diameter == pytest.approx(18, rel=0.2)
    assert estimated.cytoplasm == ()


def test_a_plate_without_fields_gives_an_empty_table(tmp_path):
    with ngff.PlateWriter(tmp_path / "P.zarr", plate="P", channels=CHANNELS):
        pass
    limits = pd.DataFrame({"Metadata_Channel": CHANNELS, "low": 0.0, "high": 1.0})
    images = ngff.open_plate(tmp_path / "P.zarr")
    frame = run.segment_plate(images, limits, tmp_path / "labels.zarr", options=options(nucleus_diameter=None))
    tables.write(frame, tmp_path / "cells.parquet", table="cells", provenance={})
    assert len(tables.read(tmp_path / "cells.parquet")) == 0
    assert ngff.open_labels(tmp_path / "labels.zarr").fields == []


def test_the_default_limits_of_areas_are_those_of_the_config():
    labels = np.zeros((40, 60), np.uint32)
    labels[5:27, 5:27] = 1  # 5.1 discs
    labels[5:24, 35:54] = 2  # 3.8 discs
    labels[32:37, 5:10] = 3  # 0.263 discs
    labels[32:36, 20:25] = 4  # 0.21 discs
    frame = run.table(labels, labels, dna=labels, diameter=11)
    assert frame["Metadata_Flags"].tolist() == ["large", "", "", "small"]
    assert (options().small, options().large) == (0.25, 4.0)
