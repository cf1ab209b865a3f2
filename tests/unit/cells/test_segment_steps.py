"""The steps of the segmentation, each against its definition object by object, on fields drawn at random."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops

from wellspring.cells import background, plausible, relief, segment
from wellspring.cells.flags import flag
from wellspring.cells.labels import drop_small, small
from wellspring.cells.matching import match
from wellspring.cells.segment import Options
from wellspring.io.notes import Note, loads
from wellspring.io.tables import Verdict
from wellspring.views.noise import noise_of

SEEDS = range(4)


def field(seed, shape=(110, 150), radius=7):
    """Return a field of nuclei of uneven size, height and place, some touching, on haze; and their centres' labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    image, truth = 100 + 40 * np.sin(columns / 40 + seed), np.zeros(shape, int)
    for number in range(1, 15):
        y, x, size = rng.integers(0, shape[0]), rng.integers(0, shape[1]), radius * rng.uniform(0.5, 1.3)
        inside = (rows - y) ** 2 + ((columns - x) * rng.uniform(0.7, 1.3)) ** 2 <= size**2
        image, truth = image + inside * rng.uniform(60, 900), np.where(inside, number, truth)
    image = ndimage.gaussian_filter(image, 1.2) + rng.normal(0, 4, shape)
    return image.astype(np.float32), truth


@pytest.mark.parametrize("seed", SEEDS)
def test_levels_are_the_median_below_otsu_of_roots(seed):
    image, _ = field(seed)
    low, cut = background.levels(image)
    roots = np.sqrt(image - image.min())
    wanted = threshold_otsu(roots, nbins=512) ** 2 + image.min()
    assert cut == pytest.approx(wanted) and low == pytest.approx(np.median(image[image <= wanted]))
    assert background.levels(image + 500)[1] == pytest.approx(cut + 500, rel=1e-4)


@pytest.mark.parametrize("diameter", [4, 13, 25])
def test_the_background_is_a_smoothed_opening_of_eight_diameters(diameter):
    image, _ = field(1, shape=(120, 170))
    smooth = background.smoothed(image, 1.0)
    np.testing.assert_allclose(smooth, ndimage.gaussian_filter(image, 1.0), rtol=1e-5)
    np.testing.assert_allclose(background.smoothed(image, 0.1), ndimage.gaussian_filter(image, 0.5), rtol=1e-5)
    step = max(1, diameter // 6)
    edge = max(3, round(8 * diameter / step) | 1)
    coarse = ndimage.gaussian_filter(smooth[::step, ::step], 1.0)
    eroded = ndimage.grey_erosion(coarse, size=(edge, edge), mode="reflect")
    wide = ndimage.grey_dilation(eroded, size=(edge, edge), mode="reflect")
    wide = ndimage.gaussian_filter(wide, edge / 4)
    found = smooth - background.flattened(smooth, diameter)
    np.testing.assert_allclose(found[::step, ::step], wide, rtol=1e-4, atol=1e-2)
    if step == 2:  # between the places of the coarse grid, the mean of the two beside
        np.testing.assert_allclose(found[1:-1:2, ::2], (found[:-2:2, ::2] + found[2::2, ::2]) / 2, rtol=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_heights_are_means_above_what_is_around(seed):
    image, truth = field(seed)
    truth[truth == 5] = 0
    diameter = 14
    far = ndimage.distance_transform_edt(truth == 0) > 1.4
    options = {"sigma": 7, "truncate": 3.0}
    weight = np.maximum(ndimage.gaussian_filter(far.astype(np.float32), **options), 1e-3)
    around = ndimage.gaussian_filter(image * far.astype(np.float32), **options) / weight
    found = relief.heights(truth, image, diameter)
    assert len(found) == truth.max() + 1 and found[5] == 0
    for number in np.unique(truth):
        assert found[number] == pytest.approx((image - around)[truth == number].mean(), rel=1e-4, abs=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("edge", [0.0, 0.4, 0.8])
def test_objects_end_at_a_share_of_their_own_height(seed, edge):
    image, truth = field(seed)
    diameter = 14
    outside = (truth == 0).astype(np.float32)
    weight = np.maximum(ndimage.gaussian_filter(outside, diameter, truncate=2.0), 1e-3)
    height = image - ndimage.gaussian_filter(image * outside, diameter, truncate=2.0) / weight
    kept = np.zeros(truth.shape, bool)
    for number in np.unique(truth[truth > 0]):
        own = truth == number
        upper = own & (height > height[own].mean())
        top = height[upper].sum() / max(upper.sum(), 1)
        pieces, _ = ndimage.label(own & (height > edge * top))
        sizes = np.bincount(pieces.ravel())[1:]
        kept |= np.isin(pieces, 1 + np.flatnonzero(sizes == sizes.max(initial=0)))
    wanted = np.where(ndimage.binary_fill_holes(kept), truth, 0)
    np.testing.assert_array_equal(relief.trim(truth, image, diameter=diameter, edge=edge), wanted)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_landscape_is_distance_and_relative_intensity(seed):
    image, truth = field(seed)
    mask, diameter = truth > 0, 14
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 0.12 * diameter) / (diameter / 2)
    weight = ndimage.gaussian_filter(mask.astype(float), diameter / 2, truncate=2.0)
    inside = ndimage.gaussian_filter(np.where(mask, image, 0.0), diameter / 2, truncate=2.0)
    relative = ndimage.gaussian_filter(image, 0.1 * diameter) / np.maximum(inside / np.maximum(weight, 1e-3), 1e-6)
    wanted = np.where(mask, distance + np.clip(relative, 0, 2) / 2, 0)
    found = relief.landscape(mask, image, diameter)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("noise", "floor", "ceiling"), [(0, 0, np.inf), (30, 0, np.inf), (0, 330, np.inf), (5, 0, 120)]
)
def test_the_foreground_is_above_the_local_mean_within_bounds(seed, noise, floor, ceiling):
    image, truth = field(seed)
    for within in (None, truth % 2 == 0):
        values = image if within is None else image[within]
        low, cut = background.levels(values)
        share = low + 0.7 * (cut - low)
        least = max(min(share, ceiling), low + 6 * noise, floor)
        weight = np.ones(image.shape) if within is None else within.astype(float)
        mean = ndimage.uniform_filter(image * weight, 20) / np.maximum(ndimage.uniform_filter(weight, 20), 1e-3)
        options = Options(diameter=5.0, ceiling=ceiling)
        found = segment._foreground(image, noise=noise, floor=floor, options=options, within=within)
        wanted = image > np.clip(mean, least, max(cut, least))
        assert (found != wanted).mean() < 1e-3, "pixels at the threshold may differ by rounding"
        plain = segment._foreground(image, noise=noise, floor=floor, options=options, within=within, local=False)
        np.testing.assert_array_equal(plain, image > max(share, low + 6 * noise, floor))
    narrow = Options(diameter=0.1)
    low, cut = background.levels(image)
    mean = ndimage.uniform_filter(image, 3)
    wanted = image > np.clip(mean, low + 0.7 * (cut - low), cut)
    assert (segment._foreground(image, noise=0, floor=0, options=narrow) != wanted).mean() < 1e-3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("flat", [False, True])
def test_the_floor_of_a_plate_is_of_a_grid_of_pixels(seed, share, flat):
    fields = [field(seed)[0], field(seed + 10, shape=(90, 130))[0]]
    for diameter in (3, 14, 30):
        step, parts = max(1, round(diameter / 8)), []
        for image in fields:
            smooth = ndimage.gaussian_filter(image, max(0.04 * diameter, 0.5))
            parts.append((background.flattened(smooth, diameter) if flat else smooth)[::step, ::step].ravel())
        low, cut = background.levels(np.concatenate(parts))
        found = segment.plate_floor(fields, diameter=diameter, share=share, flat=flat)
        assert found == pytest.approx(low + share * (cut - low), rel=1e-6)
    assert segment.plate_floor([np.full((9, 14), 7.0)], diameter=14) == 7.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_field_is_split_as_by_its_steps(seed):
    """Opening, holes, small objects, seeds at peaks apart by a quarter of `split` diameters, trimming, small again."""
    from skimage.feature import peak_local_max
    from skimage.segmentation import watershed

    image, _ = field(seed)
    for split, smallest in ((0.5, 0.1), (1.0, 0.4)):
        options = Options(diameter=14.0, split=split, smallest=smallest)
        mask = image > 180
        least = smallest * np.pi * 7**2
        clean = ndimage.binary_fill_holes(ndimage.binary_opening(mask))
        for part in regionprops(ndimage.label(clean)[0]):
            if part.area < least:
                clean[tuple(part.coords.T)] = False
        heights = relief.landscape(clean, image, 14.0)
        parts = ndimage.label(clean)[0]
        peaks = peak_local_max(heights, min_distance=max(1, round(split * 7)), labels=parts, exclude_border=False)
        seeds = np.zeros(mask.shape, int)
        for number, place in enumerate(peaks, start=1):
            seeds[tuple(place)] = number
        wanted = relief.trim(watershed(-heights, seeds, mask=clean), image, diameter=14.0, edge=options.edge)
        for number in np.unique(wanted):
            if (wanted == number).sum() < least:
                wanted[wanted == number] = 0
        np.testing.assert_array_equal(segment._split(mask, image, options=options), wanted)
    assert not segment._split(np.zeros((20, 30), bool), np.zeros((20, 30)), options=options).any()


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_are_the_stain_near_a_nucleus(seed):
    image, truth = field(seed)
    stain, _ = field(seed, radius=12)
    nuclei = np.where(truth % 3 == 1, truth, 0).astype(np.uint32)
    options = Options(diameter=14.0, reach=1.0, ring=0.2, hole=1.0, cytoplasm_floor=150.0)
    smooth = ndimage.gaussian_filter(stain, max(0.04 * 14, 0.5))
    low, cut = background.levels(smooth)
    least = max(low + 0.7 * (cut - low), low + 6 * noise_of(stain, 0.04 * 14), 150.0)
    filled = (smooth > least) | (nuclei > 0)
    holes = ndimage.label(~filled)[0]
    for part in regionprops(holes):
        if part.area < np.pi * 7**2:
            filled[tuple(part.coords.T)] = True
    near = ndimage.distance_transform_edt(nuclei == 0)
    mask = (filled & (near <= 14)) | (near <= 2.8)
    cells = segment.grow_cells(nuclei, stain, options=options)
    reached = np.zeros(mask.shape, bool)
    for part in regionprops(ndimage.label(mask)[0]):
        reached[tuple(part.coords.T)] = nuclei[tuple(part.coords.T)].any()
    np.testing.assert_array_equal(cells > 0, reached)
    assert (cells[nuclei > 0] == nuclei[nuclei > 0]).all() and cells.dtype == np.uint32
    grown = segment.grow_cells(nuclei, None, options=Options(diameter=14.0, growth=0.3))
    np.testing.assert_array_equal(grown > 0, near <= 4.2)
    assert np.abs(image).max() > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_small_objects_are_those_below_and_not_at_the_limit(seed):
    _, truth = field(seed)
    areas = np.bincount(truth.ravel())
    number = np.flatnonzero(areas[1:])[0] + 1
    for least in (areas[number], areas[number] + 1):
        found = small(truth, least)
        assert found.tolist() == [False, *(areas[1:] < least)] and found[number] == (areas[number] < least)
    mask = np.zeros((10, 14), bool)
    mask[1:3, 1:4], mask[5:8, 6:9] = True, True
    assert drop_small(mask, 6).sum() == 15 and drop_small(mask, 7).sum() == 9 and drop_small(mask, 10).sum() == 0


@pytest.mark.parametrize("seed", range(12))
def test_matching_is_that_of_a_loop(seed):
    rng = np.random.default_rng(seed)
    nuclei, cells = (ndimage.zoom(rng.integers(0, 7, (5, 7)), 3, order=0) for _ in range(2))
    cells = np.roll(cells, rng.integers(0, 3, 2), axis=(0, 1))
    first = {}
    for image, name in ((nuclei, "n"), (cells, "c")):
        for value in image.ravel():
            if value:
                first.setdefault((name, value), len(first))
    order = [value for name, value in first if name == "n"]
    owner = {}
    for cell in (value for name, value in first if name == "c"):
        overlaps = [(int(((nuclei == n) & (cells == cell)).sum()), -order.index(n), n) for n in order]
        held = [one for one in overlaps if 2 * one[0] > (nuclei == one[2]).sum()]
        if held:
            owner[cell] = max(held)[2]
    number = {("n", value): place for place, value in enumerate(order, start=1)}
    free = [value for name, value in first if name == "c" and value not in owner]
    number |= {("c", value): len(order) + place for place, value in enumerate(free, start=1)}
    number |= {("c", cell): number["n", nucleus] for cell, nucleus in owner.items()}
    ours_nuclei, ours_cells = match(nuclei, cells)
    wanted = np.vectorize(lambda value: number.get(("n", value), 0))(nuclei)
    bodies = np.vectorize(lambda value: number.get(("c", value), 0))(cells)
    paired = np.isin(nuclei, list(owner.values())) & (nuclei > 0)
    bodies = np.where(paired, wanted, bodies)
    present = np.unique(np.concatenate([wanted, bodies]))
    again = {value: place for place, value in enumerate(present[present > 0], start=1)} | {0: 0}
    np.testing.assert_array_equal(ours_nuclei, np.vectorize(again.get)(wanted))
    np.testing.assert_array_equal(ours_cells, np.vectorize(again.get)(bodies))


def rows(count=12, *, area=100, flags="", brightness=50.0, sharpness=6.0, well="A01"):
    frame = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": well, "Metadata_Site": "1"}, index=range(count))
    return frame.assign(
        Metadata_Nucleus_Area=area,
        Metadata_Flags=flags,
        Metadata_Nucleus_Brightness=brightness,
        Metadata_Nucleus_Sharpness=sharpness,
        Metadata_Nucleus_Contact=0.0,
    )


def codes(*frames, diameter=10.0, shape=(100, 160), large=4.0):
    """Return the codes of the notes by well, and the frame."""
    frame = pd.concat(frames, ignore_index=True)
    found = plausible.judge(frame, diameter=diameter, shape=shape, large=large)
    notes = found.groupby("Metadata_Well")[plausible.COLUMN].agg(
        lambda texts: {note.code for text in texts for note in loads(text)}
    )
    return notes.to_dict(), found


def mixed(values, **more):
    return rows(len(values), **more).assign(Metadata_Nucleus_Area=values)


def test_an_object_is_vast_above_its_share_and_where_it_is_large():
    for area, found in ((2400, set()), (2401, {"vast_object"})):
        notes, frame = codes(mixed([*[100] * 11, area]))
        assert notes == {"A01": found}
    (note,) = loads(frame[plausible.COLUMN].iloc[0])
    assert note.values["share"] == pytest.approx(2401 / 16000)
    assert codes(mixed([*[100] * 11, 2401]), large=31)[0] == {"A01": set()}, "not large: a disc of 10 px has 79 px"


@pytest.mark.parametrize(("ratio", "found"), [(2.4, False), (2.5, False), (2.6, True)])
def test_a_field_is_unlike_its_plate_beyond_its_factor(ratio, found):
    others = [rows(12, well=f"B0{number}") for number in range(1, 4)]
    for area, code in ((int(100 * ratio), "nuclei_larger"), (round(100 / ratio, 6), "nuclei_smaller")):
        for count in (9, 10, 12):
            notes, _ = codes(*others, mixed([area] * count))
            least = 10 if code == "nuclei_larger" else 12
            assert notes["A01"] == ({code} if found and count >= least else set()), (area, count)
    notes, frame = codes(*others, mixed([40.0 / 2] * 13))
    (note,) = loads(frame.loc[frame["Metadata_Well"] == "A01", plausible.COLUMN].iloc[0])
    assert note == Note("nuclei_smaller", {"ratio": 5.0, "found": 13})


@pytest.mark.parametrize(("sharpness", "count", "found"), [(4.0, 10, False), (3.99, 9, False), (3.99, 10, True)])
def test_a_field_is_noted_where_its_median_nucleus_is_blurred(sharpness, count, found):
    """Every field may be: the plate is kept, as objects may have soft edges."""
    notes, frame = codes(*(rows(count, sharpness=sharpness, well=f"A0{number}") for number in range(1, 4)))
    assert notes == dict.fromkeys(("A01", "A02", "A03"), {"nuclei_blurred"} if found else set())
    assert plausible.verdict(frame, Verdict()).keep


@pytest.mark.parametrize(("flagged", "found"), [(6, False), (7, True)])
def test_a_field_and_a_plate_are_noted_where_most_cells_are_flagged(flagged, found):
    flags = ["dim"] * flagged + ["border"] * 2 + [""] * (10 - flagged)
    notes, frame = codes(rows(12).assign(Metadata_Flags=flags))
    assert notes["A01"] == ({"cells_flagged", "most_cells_flagged"} if found else set())
    few, _ = codes(rows(9, flags="dim"))
    assert few["A01"] == set(), "9 cells are not judged"
    assert codes(rows(10, flags="dim;border"))[0]["A01"] == {"cells_flagged", "most_cells_flagged"}
    verdict = plausible.verdict(frame, Verdict())
    assert verdict.keep == (not found) and len(verdict.reasons) == found


@pytest.mark.parametrize(
    ("noted", "total", "found"), [(1, 1, False), (1, 2, False), (2, 3, True), (2, 4, False), (3, 4, True)]
)
def test_a_plate_is_left_out_where_most_of_its_fields_have_a_note(noted, total, found):
    frames = [rows(12, flags="dim" if number < noted else "", well=f"A0{number + 1}") for number in range(total)]
    frames.append(rows(1))
    frames[-1]["Metadata_Well"] = "A01"
    notes, _ = codes(*frames)
    assert all(("most_fields_noted" in of_well) == found for of_well in notes.values())


def test_a_plate_is_left_out_by_its_diameter_its_area_or_its_signal():
    for diameter, found in ((50.0, set()), (50.1, {"diameter_beyond_field"})):
        assert codes(rows(), diameter=diameter)[0] == {"A01": found}
    assert codes(rows(), diameter=50.1, shape=(160, 100))[0] == {"A01": {"diameter_beyond_field"}}
    assert codes(rows(area=2400), large=99)[0] == {"A01": set()}
    assert codes(rows(area=2401), large=99)[0] == {"A01": {"nuclei_fill_field"}}
    for level, found in ((0.0, {"no_nuclear_signal"}), (0.1, set()), (-1.0, {"no_nuclear_signal"})):
        assert codes(rows(brightness=level))[0] == {"A01": found}
    assert codes(rows(area=0))[0] == {"A01": set()}
    empty = plausible.judge(rows(0), diameter=10, shape=(9, 9), large=4)
    assert plausible.COLUMN in empty and plausible.verdict(empty, Verdict()).keep


def test_nuclei_are_flagged_beyond_multiples_of_the_median_of_those_with_a_nucleus():
    frame = rows(9).assign(
        Metadata_Nucleus_Brightness=[100.0, 100, 100, 100, 20, 19.9, 500, 501, 9000],
        Metadata_Nucleus_Sharpness=[2.0, 2, 2, 2, 2, 2, 0.9, 0.89, 0.0],
        Metadata_Flags=["", "", "", "", "", "border", "", "", "unmatched"],
        Metadata_Nucleus_Area=[9] * 8 + [0],
    )
    found = flag(frame)["Metadata_Flags"].tolist()
    assert found == ["", "", "", "", "", "border;dim", "", "bright;blurred", "unmatched"]
    skewed = rows(5).assign(Metadata_Nucleus_Brightness=[10.0, 10, 10, 40, 1000])
    assert flag(skewed)["Metadata_Flags"].tolist() == ["", "", "", "", "bright"], "4 of the median, not of the mean"
    skewed = rows(5).assign(Metadata_Nucleus_Sharpness=[2.0, 2, 2, 30, 900])
    assert flag(skewed)["Metadata_Flags"].tolist() == [""] * 5


def test_options_have_the_defaults_that_are_documented():
    found = Options(diameter=1.0)
    assert (found.smoothing, found.otsu_factor, found.window, found.edge, found.split) == (0.04, 0.7, 4.0, 0.4, 0.5)
    assert (found.reach, found.ring, found.hole, found.growth, found.smallest) == (2.0, 0.15, 4.0, 0.4, 0.1)
    assert (found.floor, found.cytoplasm_floor, found.ceiling) == (0.0, 0.0, np.inf)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_diameter_is_the_weighted_median_of_radii(seed):
    image, _ = field(seed, shape=(200, 260), radius=9)
    smooth = ndimage.gaussian_filter(image, 1.0)
    mask = ndimage.binary_fill_holes(smooth > background.levels(smooth)[1])
    distance, found = ndimage.distance_transform_edt(mask), []
    for part in regionprops(label(mask, connectivity=1)):
        if part.area >= 30:
            found += [distance[tuple(part.coords.T)].max()] * int(part.area)
    wanted = 2 * sorted(found)[(len(found) + 1) // 2 - 1]
    assert segment.estimate_diameter([image]) == pytest.approx(wanted, rel=1e-4)


def test_objects_below_thirty_pixels_do_not_count_in_the_diameter():
    counted = set()
    for edge in range(1, 8):
        image = np.full((110, 150), 100.0)
        image[50 : 50 + edge, 60 : 61 + edge] = 900.0
        smooth = ndimage.gaussian_filter(image, 1.0)
        area = (smooth > background.levels(smooth.astype(np.float32))[1]).sum()
        found = segment.estimate_diameter([image], fallback=77.0)
        assert (found == 77.0) == (area < 30), area
        counted.add(area < 30)
    assert counted == {False, True}
