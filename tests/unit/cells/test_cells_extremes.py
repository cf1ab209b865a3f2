"""Cells at the extremes and under every order of work: a defined result or a named error, nothing lost or doubled."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from test_cells import options

from wellspring.cells import run
from wellspring.io import ngff
from wellspring.views import crops

LABELS = hnp.arrays(np.uint32, (8, 10), elements=st.integers(0, 6))
KEY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Cell"]


def plate_of(folder, fields, *, channels=("DNA",)):
    """Write fields (C, H, W), by well and site, in their order; returns the plate and its intensity table."""
    with ngff.PlateWriter(folder / "P.zarr", plate="P", channels=list(channels)) as writer:
        for (well, site), field in fields.items():
            writer.write(well, site, np.asarray(field, np.uint16))
    limits = pd.DataFrame({"Metadata_Channel": list(channels), "low": 80.0, "high": 9000.0})
    return ngff.open_plate(folder / "P.zarr"), limits


def segmented(folder, fields, name="labels.zarr", *, threads=1, **changes):
    images, limits = plate_of(folder, fields)
    chosen = options(cytoplasm=[], **changes)
    frame = run.segment_plate(images, limits, folder / name, options=chosen, threads=threads)
    return frame, ngff.open_labels(folder / name)


def lattice(count, step, radius, *, height=2000.0):
    """Return a field of count x count discs, with a wider margin at its right."""
    rows, columns = np.mgrid[: count * step, : count * step + step // 8]
    inside = (rows % step - step // 2) ** 2 + (columns % step - step // 2) ** 2 <= radius**2
    noise = np.random.default_rng(0).normal(0, 5, inside.shape)
    return (100 + height * inside + noise)[None]


def test_five_thousand_objects_are_five_thousand_rows(tmp_path):
    frame, labels = segmented(tmp_path, {("A01", "1"): lattice(71, 12, 4)}, nucleus_diameter=8)
    assert len(frame) == 71**2 == 5041
    assert frame["Metadata_Cell"].tolist() == list(range(1, 5042))
    assert len(np.unique(labels.read("A01", "1", "nuclei"))) == 5042


def test_one_giant_object_is_flagged_and_stays(tmp_path):
    rows, columns = np.mgrid[:300, :340]
    giant = 100 + 5000 * ((rows - 150) ** 2 + (columns - 150) ** 2 < 120**2)
    frame, _ = segmented(tmp_path, {("A01", "1"): giant[None]}, nucleus_diameter=60, split=2.0)
    assert frame["Metadata_Flags"].tolist() == ["large"]
    assert frame["Metadata_Nucleus_Area"].iloc[0] == pytest.approx(np.pi * 120**2, rel=0.1)


@pytest.mark.parametrize("value", [0, 65535])
def test_black_and_saturated_fields_have_no_cells_beside_those_that_do(tmp_path, value):
    full = lattice(6, 30, 9)
    fields = {("A01", "1"): full, ("A02", "1"): np.full(full.shape, value), ("A03", "1"): full}
    frame, labels = segmented(tmp_path, fields)
    assert frame.groupby("Metadata_Well").size().to_dict() == {"A01": 36, "A03": 36}
    assert labels.fields == sorted(fields) and not labels.read("A02", "1", "cells").any()


def test_a_plate_all_saturated_is_empty(tmp_path):
    fields = {("A01", "1"): np.full((1, 90, 70), 65535), ("A02", "1"): np.full((1, 90, 70), 65535)}
    frame, _ = segmented(tmp_path, fields, nucleus_diameter=None)
    assert len(frame) == 0 and "Metadata_Flags" in frame


def test_order_of_fields_and_number_of_workers_do_not_count(tmp_path):
    generator = np.random.default_rng(1)
    fields = {
        (f"{row}0{column}", site): lattice(4, 30, 9)[:, : 90 + 0, :] + generator.normal(0, 30, (1, 90, 123))
        for row in "AB" for column in (1, 2) for site in "12"
    }  # fmt: skip
    found = []
    for number, order in enumerate((sorted(fields), generator.permutation(len(fields)))):
        names = order if number == 0 else [sorted(fields)[place] for place in order]
        folder = tmp_path / str(number)
        folder.mkdir()
        frame, labels = segmented(folder, {name: fields[name] for name in names}, threads=1 + 3 * number)
        ordered = frame.sort_values(KEY).reset_index(drop=True)
        found.append((ordered, np.stack([labels.read(*name, "nuclei") for name in sorted(fields)])))
    pd.testing.assert_frame_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    assert not found[0][0].duplicated(KEY).any()


@settings(deadline=None, max_examples=150)
@given(LABELS, LABELS)
def test_labels_and_table_agree_whatever_the_labels(nuclei, grown):
    frame = run.table(nuclei, grown, dna=nuclei, diameter=3)
    present = np.union1d(nuclei[nuclei > 0], grown[grown > 0])
    np.testing.assert_array_equal(frame["Metadata_Cell"], present)
    assert frame["Metadata_Nucleus_Area"].sum() == (nuclei > 0).sum()
    assert frame["Metadata_Cell_Area"].sum() == (grown > 0).sum()
    for row in frame.itertuples():
        inside = (nuclei == row.Metadata_Cell) if row.Metadata_Nucleus_Area else (grown == row.Metadata_Cell)
        assert row.Metadata_Nucleus_Area == (nuclei == row.Metadata_Cell).sum()
        assert row.Metadata_Matched == (row.Metadata_Nucleus_Area > 0 and row.Metadata_Cell_Area > 0)
        np.testing.assert_allclose(
            (row.Metadata_Center_Y, row.Metadata_Center_X), np.argwhere(inside).mean(axis=0), rtol=1e-5, atol=1e-6
        )
        rows, columns = np.nonzero((nuclei == row.Metadata_Cell) | (grown == row.Metadata_Cell))
        assert (row.Metadata_Box_Y0, row.Metadata_Box_Y1) == (rows.min(), rows.max() + 1)
        assert (row.Metadata_Box_X0, row.Metadata_Box_X1) == (columns.min(), columns.max() + 1)


@settings(deadline=None, max_examples=60)
@given(LABELS, LABELS, st.permutations(range(1, 7)))
def test_relabelled_cells_have_the_same_rows(nuclei, grown, numbers):
    mapping = np.array([0, *numbers], np.uint32)
    before = run.table(nuclei, grown, dna=nuclei > 0, diameter=3)
    after = run.table(mapping[nuclei], mapping[grown], dna=nuclei > 0, diameter=3)
    before["Metadata_Cell"] = mapping[before["Metadata_Cell"]].astype(np.int32)
    pd.testing.assert_frame_equal(before.sort_values("Metadata_Cell").reset_index(drop=True), after)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["A01", "A02", "B07"]), st.sampled_from("123"), st.integers(1, 40)),
                unique=True, max_size=60), st.integers(1, 12), st.randoms())  # fmt: skip
def test_samples_hold_no_cell_twice_and_do_not_hang_on_order(rows, wanted, random):
    frame = pd.DataFrame(rows, columns=KEY[1:]).assign(Metadata_Plate="P", Metadata_Flags="")
    frame = frame.assign(Metadata_Center_Y=1.0, Metadata_Center_X=1.0).astype({"Metadata_Cell": "int32"})
    drawn = crops.sample(frame, seed=3, cells_per_well=wanted)
    assert not drawn.duplicated(KEY).any()
    expected = frame.groupby("Metadata_Well").size().clip(upper=wanted).to_dict()
    assert drawn.groupby("Metadata_Well").size().to_dict() == expected
    shuffled = frame.sample(frac=1, random_state=random.randrange(1000)) if len(frame) else frame
    pd.testing.assert_frame_equal(crops.sample(shuffled, seed=3, cells_per_well=wanted), drawn)
