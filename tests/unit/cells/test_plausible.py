"""Implausible segmentation: notes on bad fields and plates drawn at random, none on good ones."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.io import imread

from options import options as section
from wellspring.cells import background, plausible, run, segment
from wellspring.cells.flags import flag
from wellspring.cells.table import table
from wellspring.io import ngff, tables
from wellspring.io.notes import loads
from wellspring.io.tables import Verdict
from wellspring.report.wording import worded
from wellspring.views import intensity

SHAPE, DIAMETER = (210, 264), 22.0


def picture(rng, *, count=22, diameter=DIAMETER, bodies=0.0, haze=0.0, light=800.0, times=10):
    """Return counts (H, W) uint16 of discs of several sizes and brightnesses, and the true labels."""
    grid, places = np.mgrid[: SHAPE[0], : SHAPE[1]], []
    for _ in range(3000):
        place = rng.uniform(diameter / 2, np.array(SHAPE) - diameter / 2)
        if len(places) < count and all(np.hypot(*(place - other)) > diameter for other in places):
            places.append(place)
    dead = set(rng.permutation(len(places))[: int(np.ceil(bodies * len(places)))].tolist())
    labels, signal = np.zeros(SHAPE, np.uint32), np.zeros(SHAPE)
    for number, place in enumerate(places):
        radius = diameter / 2 * rng.uniform(0.85, 1.05) * (0.6 if number in dead else 1)
        inside = np.hypot(grid[0] - place[0], (grid[1] - place[1]) * rng.uniform(1, 1.2)) < radius
        labels[inside], signal[inside] = number + 1, light * rng.uniform(0.6, 1.4) * (times if number in dead else 1)
    veil = ndimage.gaussian_filter(rng.random(SHAPE), 45)
    veil = (veil - veil.min()) / np.ptp(veil)
    mean = 100 + ndimage.gaussian_filter(signal, 1.2) + haze * light * veil
    return np.clip(rng.normal(mean, 8 + 0.6 * np.sqrt(mean)), 0, 65535).astype(np.uint16), labels


def found_share(labels, nuclei):
    """Return the share of true objects that an object of `nuclei` covers with an IoU above 0.5."""
    hits = 0
    for number in range(1, labels.max() + 1):
        inside = nuclei[labels == number]
        best = np.bincount(inside)[1:].argmax() + 1 if inside.any() else 0
        both = np.count_nonzero((labels == number) & (nuclei == best)) if best else 0
        hits += best > 0 and both > 0.5 * np.count_nonzero((labels == number) | (nuclei == best))
    return hits / max(labels.max(), 1)


@pytest.mark.parametrize("bodies", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("haze", [0.0, 1.0])
def test_bright_bodies_and_haze_hide_no_nuclei(bodies, haze):
    rng = np.random.default_rng([int(100 * bodies), int(haze)])
    for _ in range(3):
        dna, labels = picture(rng, bodies=bodies, haze=haze)
        nuclei = segment.find_nuclei(dna, options=segment.Options(diameter=DIAMETER))
        assert found_share(labels, nuclei) >= 0.85
        assert nuclei.max() <= 1.15 * labels.max()


def test_the_plates_threshold_is_a_cap():
    """Half of the nuclei are as bright as usual, half ten times: too many bodies to be outnumbered."""
    dna, labels = picture(np.random.default_rng(3), bodies=0.5)
    usual = [picture(np.random.default_rng(seed))[0] for seed in range(4)]
    ceiling = segment.plate_floor(usual, diameter=DIAMETER, share=1.0, flat=True)
    shares = [
        found_share(labels, segment.find_nuclei(dna, options=segment.Options(diameter=DIAMETER, ceiling=limit)))
        for limit in (np.inf, ceiling)
    ]
    assert shares[1] >= 0.9
    assert shares[1] >= shares[0]


@pytest.mark.parametrize("seed", range(4))
def test_bright_bodies_in_most_fields_of_a_plate_hide_no_nuclei(seed):
    """Bodies 25 times as bright in three of four fields raise the plate's threshold, not its floor."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.05, 0.25)
    fields = [picture(rng, count=30, bodies=bodies, times=25) for bodies in (0, share, share, share)]
    pixels = [dna for dna, _ in fields]
    limits = [segment.plate_floor(pixels, diameter=DIAMETER, share=of, flat=True) for of in (0.3, 1.0)]
    usual = segment.plate_floor(pixels[:1], diameter=DIAMETER, share=0.3, flat=True)
    assert limits[0] < 1.5 * usual
    options = segment.Options(diameter=DIAMETER, floor=limits[0], ceiling=limits[1])
    assert min(found_share(labels, segment.find_nuclei(dna, options=options)) for dna, labels in fields) >= 0.8


@pytest.mark.parametrize("seed", range(4))
def test_noise_and_plates_without_bodies_keep_their_threshold(seed):
    rng = np.random.default_rng(seed)
    noise = rng.normal(rng.uniform(0, 300), rng.uniform(1, 20), 40_000)
    plain = picture(rng, count=25, haze=rng.uniform(0, 0.5))[0].astype(float).ravel()
    for values in (noise, plain, np.append(noise, noise.mean() + rng.uniform(500, 5000, 900))):
        assert background.plate_levels(values) == background.levels(values)


def plate(fields, *, diameter=DIAMETER):
    """Return the judged table of fields, each nuclei (H, W) and counts."""
    rows = []
    for number, (nuclei, dna) in enumerate(fields):
        key = {"Metadata_Plate": "P", "Metadata_Well": f"A{number // 2 + 1:02}", "Metadata_Site": str(number % 2 + 1)}
        rows.append(table(nuclei, nuclei, dna=dna, diameter=diameter).assign(**key))
    frame = flag(pd.concat(rows, ignore_index=True))
    return plausible.judge(frame, diameter=diameter, shape=SHAPE, large=4.0)


def codes(frame):
    return {note.code for text in frame[plausible.COLUMN] for note in loads(text)}


@pytest.mark.parametrize("seed", range(4))
def test_good_plates_have_no_notes(seed):
    """Sparse and crowded fields, dead cells among them, segmented by the method itself."""
    rng, fields = np.random.default_rng(seed), []
    for _ in range(6):
        dna, _ = picture(rng, count=int(rng.integers(3, 40)), bodies=rng.choice([0, 0.05]), haze=rng.uniform(0, 0.5))
        fields.append((segment.find_nuclei(dna, options=segment.Options(diameter=DIAMETER)), dna))
    frame = plate(fields)
    assert codes(frame) == set()
    assert plausible.verdict(frame, Verdict()) == Verdict()


@pytest.mark.parametrize("seed", range(3))
def test_a_plate_that_is_out_of_focus_as_a_whole_is_noted_and_kept(seed):
    """No field is unlike the others: only edges against brightness and diameter show it."""
    rng, fields = np.random.default_rng(seed), []
    for _ in range(4):
        dna, _ = picture(rng, count=30)
        soft = ndimage.gaussian_filter(dna.astype(float), DIAMETER / 5)
        dna = np.clip(rng.normal(soft, 0.6 * np.sqrt(soft)), 0, 65535).astype(np.uint16)
        fields.append((segment.find_nuclei(dna, options=segment.Options(diameter=DIAMETER)), dna))
    frame = plate(fields)
    assert codes(frame) == {"nuclei_blurred"}
    assert frame[plausible.COLUMN].str.contains("nuclei_blurred").all()
    assert plausible.verdict(frame, Verdict()).keep


def test_real_fields_in_focus_are_not_noted_and_blurred_ones_are(shared_data):
    files = sorted((shared_data / "lincs_a549" / "images" / "SQ00015230").glob("r01c*ch1sk1fk1fl1.png"))[:3]
    if not files:
        pytest.skip(f"no images in {shared_data / 'lincs_a549'}")
    for blur, expected in ((0.0, set()), (26 / 5, {"nuclei_blurred"})):
        fields = []
        for path in files:
            dna = ndimage.gaussian_filter(imread(path).astype(float), blur)
            fields.append((segment.find_nuclei(dna, options=segment.Options(diameter=26)), dna))
        assert codes(plate(fields, diameter=26)) == expected


def bad(kind, rng):
    """Return nuclei and counts of one bad field."""
    dna, labels = picture(rng, count=30)
    if kind == "vast_object":
        labels[20:150, 30:200] = labels.max() + 1
    elif kind == "nuclei_larger":
        dna, labels = picture(rng, count=14, diameter=2 * DIAMETER)
    elif kind == "nuclei_smaller":
        dna, labels = picture(rng, count=70, diameter=11)
    elif kind == "cells_flagged":
        labels[ndimage.distance_transform_edt(labels > 0) < 7] = 0
    return labels, dna


@pytest.mark.parametrize("kind", ["vast_object", "nuclei_larger", "nuclei_smaller", "cells_flagged"])
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_field_is_noted_and_no_other(kind, seed):
    rng = np.random.default_rng(seed)
    good = [picture(rng) for _ in range(5)]
    frame = plate([*((labels, dna) for dna, labels in good), bad(kind, rng)])
    there = (frame["Metadata_Well"] == "A03") & (frame["Metadata_Site"] == "2")
    assert kind in codes(frame[there])
    assert codes(frame[~there]) == set()
    assert plausible.verdict(frame, Verdict()).keep


def odd(kind, rng):
    """Return the counts of a field of which one in four spoils a plate: precipitate, dark nuclei, a confluent glow."""
    dna, _ = picture(rng)
    if kind == "precipitate":
        grains = np.zeros(SHAPE)
        grains[tuple(rng.integers(0, edge, 300) for edge in SHAPE)] = 1
        dna = dna + ndimage.gaussian_filter(grains, 2) * 4e5
    elif kind == "dark nuclei":
        dna = 1.2 * dna.max() - dna
    elif kind == "glow":
        dna = rng.normal(100 + 400 * (np.arange(SHAPE[1]) > rng.uniform(100, 160)), 9, SHAPE)
    return np.clip(dna, 0, 65535).astype(np.uint16)


@pytest.mark.parametrize("kind", ["precipitate", "dark nuclei", "glow"])
@pytest.mark.parametrize("seed", range(3))
def test_two_odd_fields_of_eight_do_not_set_what_is_usual_on_their_plate(kind, seed):
    rng = np.random.default_rng(seed)
    good = [picture(rng) for _ in range(6)]
    dna = [image for image, _ in good] + [odd(kind, rng) for _ in range(2)]
    diameter = segment.estimate_diameter(dna)
    assert diameter == pytest.approx(segment.estimate_diameter(dna[:6]), rel=0.1)
    options = segment.Options(diameter=diameter, **run._floors(dna, diameter=diameter, share=0.3))
    frame = plate([(segment.find_nuclei(image, options=options), image) for image in dna], diameter=diameter)
    usual = frame["Metadata_Well"] != "A04"
    assert usual.sum() == pytest.approx(sum(int(labels.max()) for _, labels in good), rel=0.05)
    assert not frame.loc[usual, "Metadata_Flags"].str.contains("dim|bright|blurred|small|large").any()
    assert codes(frame[usual]) == set()
    assert codes(frame[~usual])
    assert plausible.verdict(frame, Verdict()).keep


@pytest.mark.parametrize(
    ("code", "diameter"),
    [("diameter_beyond_field", 190.0), ("most_cells_flagged", 80.0), ("nuclei_fill_field", 22.0)],
)
def test_a_plate_that_cannot_be_is_left_out_with_what_to_set(code, diameter):
    rng = np.random.default_rng(5)
    fields = [picture(rng)[::-1] for _ in range(4)]
    if code == "nuclei_fill_field":
        fields = [(np.pad(np.ones((200, 250), np.uint32), ((5, 5), (7, 7))), dna) for _, dna in fields]
    frame = plate(fields, diameter=diameter)
    verdict = plausible.verdict(frame, Verdict())
    assert not verdict.keep
    assert code in {note.code for note in verdict.notes}
    assert all("cells.nucleus_diameter" in worded(str(note)) for note in verdict.notes)


def test_nuclei_darker_than_the_background_are_neither_dim_nor_bright():
    rng = np.random.default_rng(6)
    fields = [(labels, 20000 - dna) for dna, labels in (picture(rng) for _ in range(3))]
    frame = plate(fields)
    assert not frame["Metadata_Flags"].str.contains("dim|bright").any()
    verdict = plausible.verdict(frame, Verdict())
    assert [note.code for note in verdict.notes] == ["no_nuclear_signal"]
    assert "cells.nuclei" in worded(verdict.reasons[0])


def test_a_table_without_cells_has_no_notes():
    empty = np.zeros(SHAPE, np.uint32)
    frame = plate([(empty, empty.astype(np.uint16))])
    assert plausible.COLUMN in frame
    assert plausible.verdict(frame, Verdict(False, ("blank",))) == Verdict(False, ("blank",))


def test_a_given_diameter_beyond_the_field_is_refused_and_notes_are_stored(tmp_path):
    rng, counts = np.random.default_rng(7), np.zeros((1, 65536), dtype=np.int64)
    with ngff.PlateWriter(tmp_path / "i.zarr", plate="P1", channels=["DNA"]) as images:
        for site in ("1", "2"):
            dna, _ = picture(rng)
            counts += intensity.counts(dna[None])
            images.write("A01", site, dna[None])
    scale = intensity.summarise(counts, plate="P1", channels=["DNA"], fields=2)
    opened = ngff.open_plate(tmp_path / "i.zarr")
    with pytest.raises(ValueError, match=r"P1: cells.nucleus_diameter: 486 px is more than .* 210 x 264 px; set"):
        run.settle(opened, scale, options=section("cells", cytoplasm=[], nucleus_diameter=486))
    options = section("cells", cytoplasm=[], nucleus_diameter=150)
    frame = run.segment_plate(opened, scale, tmp_path / "l.zarr", options=options)
    tables.write(frame, tmp_path / "cells.parquet", table="cells", provenance={})
    assert len(frame) == 0 or "diameter_beyond_field" in codes(tables.read(tmp_path / "cells.parquet"))


def stored(path, fields):
    """Return a stored plate of one well with the counts (H, W) of fields, and its intensity scale."""
    counts = np.zeros((1, 65536), dtype=np.int64)
    with ngff.PlateWriter(path, plate="P1", channels=["DNA"]) as images:
        for number, dna in enumerate(fields):
            counts += intensity.counts(dna[None])
            images.write("A01", str(number + 1), dna[None])
    return ngff.open_plate(path), intensity.summarise(counts, plate="P1", channels=["DNA"], fields=len(fields))


@pytest.mark.parametrize(("diameter", "few"), [(95, False), (75, True)])
def test_a_given_diameter_at_which_objects_vanish_is_refused(tmp_path, diameter, few):
    """Nuclei of 11 px are below the least area at these diameters; two large objects are above it."""
    rng = np.random.default_rng(11)
    fields = [picture(rng, count=60, diameter=11)[0] for _ in range(3)]
    if few:
        fields[0] = np.maximum(fields[0], picture(rng, count=2, diameter=60)[0])
    opened, scale = stored(tmp_path / "i.zarr", fields)
    options = section("cells", cytoplasm=[], nucleus_diameter=diameter)
    with pytest.raises(ValueError, match=rf"P1: \d nuclei of cells.nucleus_diameter, {diameter} px, .* of 1\d px; set"):
        run.segment_plate(opened, scale, tmp_path / "l.zarr", options=options)


def test_a_sparse_plate_of_the_right_diameter_and_one_without_objects_are_taken(tmp_path):
    rng = np.random.default_rng(12)
    for name, count in (("sparse", 2), ("empty", 0)):
        opened, scale = stored(tmp_path / f"{name}.zarr", [picture(rng, count=count)[0] for _ in range(3)])
        options = section("cells", cytoplasm=[], nucleus_diameter=20)
        frame = run.segment_plate(opened, scale, tmp_path / f"{name}_l.zarr", options=options)
        assert len(frame) == 3 * count
