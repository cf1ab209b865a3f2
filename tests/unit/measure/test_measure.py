"""Classical features: cp_measure's values under CellProfiler's names, whatever the labels' numbers and the workers."""

import re

import numpy as np
import pandas as pd
import pytest
from skimage.measure import regionprops

from options import options as section
from wellspring.io import embeddings, ngff, tables
from wellspring.measure import field, run
from wellspring.views import intensity

CHANNELS = ["DNA", "RNA", "ER_2"]
FAST = ["intensity", "shape", "correlation", "neighbours"]


def options(**over):
    return section("measure", **over)


def discs(rng, *, side=96, places=((24, 24), (24, 60), (66, 30), (64, 66)), size=14):
    """Return pixels (C, H, W), nuclei and cells: touching cells with a nucleus each, off their middle."""
    shape = side, side + 20
    grid = np.mgrid[: shape[0], : shape[1]]
    nuclei, cells = np.zeros((2, *shape), dtype=np.uint32)
    nearest = np.full(shape, np.inf)
    for number, (y, x) in enumerate(places, start=1):
        away = np.hypot(grid[0] - y, (grid[1] - x) * 0.8)
        mine = (away < size + 4 * (number % 2)) & (away < nearest)
        cells[mine], nearest[mine] = number, away[mine]
        nuclei[np.hypot(grid[0] - y - 2, grid[1] - x) < 5 + number % 2] = number
    nuclei[cells == 0] = 0
    pixels = rng.random((len(CHANNELS), *shape)) * (0.2 + (cells > 0) + (nuclei > 0))
    return pixels, nuclei, cells


def measured(pixels, nuclei, cells, numbers=None, **over):
    numbers = np.unique(cells)[1:] if numbers is None else np.asarray(numbers)
    return field.measure(pixels, nuclei, cells, numbers=numbers, channels=CHANNELS, options=options(**over))


@pytest.fixture(scope="module")
def scene():
    return discs(np.random.default_rng(0))


@pytest.fixture(scope="module")
def whole(scene):
    return measured(*scene)


def test_names_are_cellprofilers(whole):
    from pycytominer.cyto_utils import infer_cp_features

    names = field.names(CHANNELS, options=options())
    assert list(whole) == names == sorted(names)
    assert infer_cp_features(pd.DataFrame(columns=names)) == names
    for kind in ("Nuclei", "Cells", "Cytoplasm"):
        for name in (
            "AreaShape_Area",
            "AreaShape_Zernike_4_2",
            "AreaShape_MaxFeretDiameter",
            "Intensity_MADIntensity_RNA",
            "Texture_Contrast_DNA_3_00_256",
            "Granularity_16_RNA",
            "RadialDistribution_FracAtD_DNA_1of4",
            "RadialDistribution_ZernikeMagnitude_ER_2_4_2",
            "Correlation_Correlation_DNA_RNA",
            "Correlation_Manders_DNA_ER_2",
            "Correlation_Manders_ER_2_DNA",
            "Correlation_RWC_RNA_DNA",
        ):
            assert f"{kind}_{name}" in whole
    assert "Cells_Neighbors_NumberOfNeighbors_Adjacent" in whole
    costes = field.names(CHANNELS, options=options(families=["costes"]))
    assert len(costes) == 3 * 3 * 2
    assert "Cells_Correlation_Costes_RNA_DNA" in costes


def test_nothing_says_where_a_cell_lies(scene):
    pixels, nuclei, cells = scene
    moved = [np.pad(each, [(0, 0)] * (each.ndim - 2) + [(8, 0), (16, 0)]) for each in (pixels, nuclei, cells)]
    # Not granularity, whose background follows the image's border.
    families = ["intensity", "shape", "texture", "radial", "correlation", "neighbours"]
    one, two = measured(*scene, families=families), measured(*moved, families=families)
    assert not [name for name in one if re.search("Location|Center_|Minimum_|Orientation|Phase|ObjectNumber", name)]
    for name in one:
        # Zernike's circle goes through pixels' centres, so rounding decides whether these are within.
        tolerance = 1e-2 if "Zernike" in name else 1e-5
        np.testing.assert_allclose(one[name], two[name], rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("kind", ["Nuclei", "Cells", "Cytoplasm"])
def test_values_are_those_of_a_direct_call(scene, whole, kind):
    from cp_measure.core.measuregranularity import get_granularity
    from cp_measure.core.measureobjectintensitydistribution import get_radial_distribution
    from cp_measure.core.measuretexture import get_texture

    pixels, nuclei, cells = scene
    labels = {"Nuclei": nuclei, "Cells": cells, "Cytoplasm": np.where(nuclei == 0, cells, 0)}[kind].astype(np.int32)
    props = regionprops(labels, pixels[1])
    direct = {
        "AreaShape_Area": [each.area for each in props],
        "AreaShape_Eccentricity": [each.eccentricity for each in props],
        "AreaShape_Solidity": [each.solidity for each in props],
        "Intensity_MeanIntensity_RNA": [each.intensity_mean for each in props],
        "Intensity_MaxIntensity_RNA": [each.intensity_max for each in props],
        "Intensity_MedianIntensity_RNA": [np.median(pixels[1][labels == each.label]) for each in props],
        "Correlation_Correlation_DNA_RNA": [
            np.corrcoef(pixels[0][labels == each.label], pixels[1][labels == each.label])[0, 1] for each in props
        ],
        "Granularity_2_RNA": get_granularity(labels, pixels[1])["Granularity_2"],
        "RadialDistribution_RadialCV_RNA_2of4": get_radial_distribution(labels, pixels[1])[
            "RadialDistribution_RadialCV_2of4"
        ],
        "Texture_Entropy_RNA_3_01_256": get_texture(labels, np.minimum(pixels[1], 1))["Entropy_3_01_256"],
    }
    for name, expected in direct.items():
        np.testing.assert_allclose(whole[f"{kind}_{name}"], expected, rtol=1e-5, err_msg=name)


def test_bright_pixels_count_in_full_but_for_grey_levels(scene):
    pixels, nuclei, cells = scene
    one = measured(pixels, nuclei, cells, families=["intensity", "texture"])
    brighter = np.where(pixels > 1, 2 * pixels, pixels)
    two = measured(brighter, nuclei, cells, families=["intensity", "texture"])
    for name in one:
        same = np.allclose(one[name], two[name], equal_nan=True)
        assert same if "Texture" in name else True
    assert (two["Nuclei_Intensity_MaxIntensity_DNA"] > one["Nuclei_Intensity_MaxIntensity_DNA"]).all()


def test_numbers_of_the_labels_do_not_count(scene, whole):
    pixels, nuclei, cells = scene
    place = np.array([0, 9, 700, 2, 41], dtype=np.uint32)
    order = np.array([3, 0, 1, 2])
    again = measured(pixels, place[nuclei], place[cells], numbers=place[1:][order])
    for name, values in whole.items():
        np.testing.assert_allclose(again[name], values[order], rtol=1e-5, atol=1e-6, err_msg=name)


def test_cells_that_are_left_out_are_neighbours_only(scene, whole):
    some = measured(*scene, numbers=[4, 2])
    for name, values in whole.items():
        np.testing.assert_allclose(some[name], values[[3, 1]], rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_cell_without_cytoplasm_or_nucleus_has_no_values_there(scene):
    pixels, nuclei, cells = (each.copy() for each in scene)
    nuclei[cells == 1] = 1
    nuclei[nuclei == 2] = 0
    found = measured(pixels, nuclei, cells, families=FAST)
    for name, values in found.items():
        empty = {"Cytoplasm": [0], "Nuclei": [1], "Cells": []}[name.split("_")[0]]
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(values)), empty, err_msg=name)
    np.testing.assert_allclose(found["Nuclei_AreaShape_Area"][0], found["Cells_AreaShape_Area"][0])


def test_odd_cells_are_measured_too():
    """A cell of one pixel, of a line, with a hole, at the corner, dark: undefined values are NaN, nothing fails."""
    rng = np.random.default_rng(1)
    cells = np.zeros((64, 64), dtype=np.uint32)
    cells[0, 0], cells[5, 3:30], cells[20:40, 20:40], cells[50:63, 50:64] = 1, 2, 3, 4
    cells[25:30, 25:30] = 0
    nuclei = np.where(np.isin(cells, [1, 3]), cells, 0)
    pixels = rng.random((3, 64, 64))
    pixels[:, cells == 4] = 0
    found = measured(pixels, nuclei, cells, families=list(field.FAMILIES))
    assert set(found) <= set(field.names(CHANNELS, options=options(families=list(field.FAMILIES))))
    assert all(np.isfinite(values[2]) or "Cytoplasm" in name or "Costes" in name for name, values in found.items())
    assert not any(np.isinf(values).any() for values in found.values())
    assert found["Cells_AreaShape_EulerNumber"][2] == 0
    assert np.isnan(found["Cells_RadialDistribution_FracAtD_DNA_1of4"][3])


@pytest.mark.parametrize("count", [1, 2])
def test_few_neighbours(scene, count):
    pixels, nuclei, cells = scene
    cells = np.where(cells <= count, cells, 0)
    found = measured(pixels, np.where(cells, nuclei, 0), cells, families=["neighbours"])
    np.testing.assert_array_equal(found["Cells_Neighbors_NumberOfNeighbors_Adjacent"], [count - 1.0] * count)
    assert np.isnan(found["Cells_Neighbors_AngleBetweenNeighbors_Adjacent"]).all()
    first = found["Cells_Neighbors_FirstClosestDistance_Adjacent"]
    if count == 1:
        assert np.isnan(first).all()
    else:
        centres = [np.argwhere(cells == number).mean(axis=0) for number in (1, 2)]
        np.testing.assert_allclose(first, np.linalg.norm(np.subtract(*centres)), rtol=1e-5)


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Write a plate of 3 wells x 2 sites, one field empty; return its stores and tables."""
    from wellspring.cells.run import table

    folder, rng = tmp_path_factory.mktemp("plate"), np.random.default_rng(2)
    counts = np.zeros((len(CHANNELS), 65536), dtype=np.int64)
    rows = []
    with (
        ngff.PlateWriter(folder / "images.zarr", plate="P1", channels=CHANNELS) as images,
        ngff.LabelWriter(folder / "cells.zarr", plate="P1", source=folder / "images.zarr") as labels,
    ):
        for well in ("A01", "A02", "B01"):
            for site in ("1", "2"):
                pixels, nuclei, cells = discs(rng)
                if (well, site) == ("A02", "1"):
                    nuclei, cells = np.zeros_like(nuclei), np.zeros_like(cells)
                pixels = (100 + 2000 * pixels).astype(np.uint16)
                counts += intensity.counts(pixels)
                images.write(well, site, pixels)
                labels.write(well, site, {"nuclei": nuclei, "cells": cells})
                key = {"Metadata_Plate": "P1", "Metadata_Well": well, "Metadata_Site": site}
                rows.append(table(nuclei, cells, dna=pixels[0], diameter=11.0).assign(**key))
    cells = pd.concat(rows, ignore_index=True)
    cells.loc[0, "Metadata_Flags"] = "border;large"
    scale = intensity.summarise(counts, plate="P1", channels=CHANNELS, fields=6)
    return ngff.open_plate(folder / "images.zarr"), ngff.open_labels(folder / "cells.zarr"), scale, cells


def settled(plate, **over):
    return run.settle(*plate[:3], options=options(families=FAST, **over))


def test_rows_are_those_of_embed_and_workers_do_not_count(plate, tmp_path):
    setting, cells = settled(plate), plate[3]
    files = []
    for workers, frame in ((1, cells), (3, cells.sample(frac=1, random_state=0))):
        parts = run.measure(setting, frame, leave_out=["large"], workers=workers)
        files.append(tmp_path / f"{workers}.parquet")
        count = embeddings.write_parts(parts, files[-1], names=setting.names, table="embed", provenance={})
        assert count == len(cells) - 1
    assert files[0].read_bytes() == files[1].read_bytes()
    frame, matrix = tables.read_embedding(files[0])
    assert embeddings.names_of(files[0]) == list(setting.names)
    assert matrix.dtype == np.float32
    assert matrix.shape == (len(cells) - 1, len(setting.names))
    key = ["Metadata_Well", "Metadata_Site", "Metadata_View"]
    expected = cells.iloc[1:].rename(columns={"Metadata_Cell": "Metadata_View"}).sort_values(key)
    for name in (*key, "Metadata_Center_Y", "Metadata_Center_X"):
        assert frame[name].tolist() == expected[name].tolist()
    area = matrix[:, setting.names.index("Cells_AreaShape_Area")]
    np.testing.assert_array_equal(area, expected["Metadata_Cell_Area"])


def test_pixels_are_scaled_by_the_plate(plate):
    images, labels, scale, cells = plate
    well, site = images.fields[0]
    matrix = next(run.measure(settled(plate), cells))[1]
    counts, nuclei = images.read(well, site)[1].astype(np.float64), labels.read(well, site, "nuclei")
    low, high = scale.set_index("Metadata_Channel").loc["RNA", ["low", "high"]]
    expected = [((counts[nuclei == number] - low).clip(0) / (high - low)).mean() for number in range(1, 5)]
    place = settled(plate).names.index("Nuclei_Intensity_MeanIntensity_RNA")
    np.testing.assert_allclose(matrix[:, place], expected, rtol=1e-5)


def test_a_plate_without_cells_gives_an_empty_table(plate, tmp_path):
    setting = settled(plate)
    parts = run.measure(setting, plate[3].iloc[:0])
    assert embeddings.write_parts(parts, tmp_path / "e.parquet", names=setting.names, table="embed", provenance={}) == 0
    frame, matrix = tables.read_embedding(tmp_path / "e.parquet")
    assert len(frame) == 0
    assert matrix.shape == (0, len(setting.names))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_field_that_fails_is_named(plate, workers):
    cells = plate[3].copy()
    cells.loc[cells["Metadata_Well"] == "B01", "Metadata_Cell"] += 50
    with pytest.raises(
        RuntimeError, match=r"P1 B01 site 1: .*cells \[51, 52, 53, 54\] of the table are not in the label images"
    ):
        list(run.measure(settled(plate), cells, workers=workers))
