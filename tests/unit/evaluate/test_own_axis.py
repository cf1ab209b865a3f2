"""A treatment's own axis, against loops: which controls and replicates each well's axis is fitted on."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate import own_axis, wells
from wellspring.io.keys import TIME


def screen(seed, *, plates=4, lines=2, wide=5):
    """Return features and metadata: per plate 3 rows of 3 controls, and on its last column a well of the treatment."""
    rng, rows = np.random.default_rng(seed), []
    for plate in range(plates):
        for row in "BCD":
            for column in (2, 5, 7):
                rows.append((f"p{plate}", f"line{plate % lines}", f"{row}{column:02d}", "negcon"))
            rows.append((f"p{plate}", f"line{plate % lines}", f"{row}11", "trt"))
    names = ["Metadata_Plate", "Metadata_Cell_Line", "Metadata_Well", "Metadata_pert_type"]
    metadata = pd.DataFrame(rows, columns=names).sample(frac=1, random_state=seed).reset_index(drop=True)
    treated = metadata["Metadata_pert_type"].eq("trt").to_numpy()
    features = rng.normal(size=(len(rows), wide)) + np.outer(treated, np.arange(wide)) * 0.7
    return features.astype(np.float32), metadata, treated


def by_loops(features, metadata, treated, *, fold, top):
    """Project each well in turn on the axis of the wells of the other folds, of its own line where these hold both."""
    line = metadata["Metadata_Cell_Line"].to_numpy()
    positions = np.full(len(metadata), np.nan)
    for number in range(len(metadata)):
        others = [other for other in range(len(metadata)) if fold[other] != fold[number]]
        same = [other for other in others if line[other] == line[number]]
        if any(top[other] for other in same) and any(not treated[other] for other in same):
            others = same
        wide = features.astype(np.float64)
        start = np.mean([wide[other] for other in others if not treated[other]], axis=0)
        axis = np.mean([wide[other] for other in others if top[other]], axis=0) - start
        positions[number] = sum((wide[number] - start) * axis) / np.sqrt(sum(axis**2))
    spread, freedom = 0.0, 0
    for plate in set(metadata["Metadata_Plate"]):
        mine = (metadata["Metadata_Plate"] == plate).to_numpy()
        own = positions[mine & ~treated]
        if not len(own):
            continue
        positions[mine] -= own.mean()
        spread, freedom = spread + np.sum((own - own.mean()) ** 2), freedom + len(own) - 1
    return positions / np.sqrt(spread / freedom)


@pytest.mark.parametrize(("plates", "lines"), [(4, 2), (6, 3), (3, 1), (4, 4)])
def test_axes_of_other_plates(plates, lines):
    features, metadata, treated = screen(plates + lines, plates=plates, lines=lines)
    fold = wells.codes(metadata["Metadata_Plate"].to_numpy())
    found = own_axis.project(features, metadata, member=treated, top=treated)
    expected = by_loops(features, metadata, treated, fold=fold, top=treated)
    np.testing.assert_array_equal(found.rows, np.arange(len(metadata)))
    np.testing.assert_array_equal(found.control, ~treated)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.treated, found.score[treated])


def test_the_axis_points_to_the_top_wells_alone():
    features, metadata, treated = screen(3, plates=3, lines=1)
    top = treated & metadata["Metadata_Well"].str.startswith("B").to_numpy()
    fold = wells.codes(metadata["Metadata_Plate"].to_numpy())
    found = own_axis.project(features, metadata, member=treated, top=top)
    expected = by_loops(features, metadata, treated, fold=fold, top=top)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5, atol=1e-6)


def test_wells_of_other_treatments_take_no_part():
    features, metadata, treated = screen(8, plates=4, lines=1)
    other = treated & metadata["Metadata_Plate"].isin(["p1", "p3"]).to_numpy() & (np.arange(len(treated)) % 2 == 0)
    other[np.flatnonzero(treated)[0]] = True
    kept = np.flatnonzero(~other & np.isin(metadata["Metadata_Plate"], metadata["Metadata_Plate"][treated & ~other]))
    rest = metadata.iloc[kept].reset_index(drop=True)
    fold = wells.codes(rest["Metadata_Plate"].to_numpy())
    found = own_axis.project(features, metadata, member=treated & ~other, top=treated & ~other)
    expected = by_loops(features[kept], rest, treated[kept], fold=fold, top=treated[kept])
    np.testing.assert_array_equal(found.rows, kept)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5, atol=1e-6)


def test_on_one_plate_the_axis_is_of_its_other_rows():
    features, metadata, treated = screen(4, plates=1, lines=1)
    fold = metadata["Metadata_Well"].str[0].map({"B": 0, "C": 1, "D": 2}).to_numpy()
    found = own_axis.project(features, metadata, member=treated, top=treated)
    expected = by_loops(features, metadata, treated, fold=fold, top=treated)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5, atol=1e-6)


def test_a_well_without_a_profile_takes_no_part():
    features, metadata, treated = screen(6, plates=4, lines=1)
    lost = [np.flatnonzero(treated)[2], np.flatnonzero(~treated)[4]]
    features[lost] = np.nan
    kept = np.setdiff1d(np.arange(len(metadata)), lost)
    rest = metadata.iloc[kept].reset_index(drop=True)
    fold = wells.codes(rest["Metadata_Plate"].to_numpy())
    found = own_axis.project(features, metadata, member=treated, top=treated)
    expected = by_loops(features[kept], rest, treated[kept], fold=fold, top=treated[kept])
    np.testing.assert_array_equal(found.rows, kept)
    np.testing.assert_allclose(found.score, expected, rtol=1e-5, atol=1e-6)


def test_a_line_without_controls_of_its_own_is_read_on_the_axis_of_all():
    features, metadata, treated = screen(7, plates=4, lines=2)
    kept = treated | (metadata["Metadata_Plate"] != "p2").to_numpy()
    features, metadata, treated = features[kept], metadata[kept].reset_index(drop=True), treated[kept]
    fold = wells.codes(metadata["Metadata_Plate"].to_numpy())
    found = own_axis.project(features, metadata, member=treated, top=treated)
    expected = by_loops(features, metadata, treated, fold=fold, top=treated)
    assert set(metadata["Metadata_Plate"].iloc[found.rows]) == {"p0", "p1", "p3"}
    np.testing.assert_allclose(found.score, expected[found.rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kept", [(1, 9), (3, 3)])
def test_too_few_wells_have_no_axis(kept):
    features, metadata, treated = screen(5, plates=1, lines=1)
    order = [*np.flatnonzero(treated)[: kept[0]], *np.flatnonzero(~treated)[: kept[1]]]
    few = metadata.iloc[order].reset_index(drop=True)
    own = few["Metadata_pert_type"].eq("trt").to_numpy()
    assert own_axis.project(features[order], few, member=own, top=own) is None


def test_two_times_make_two_lines_and_two_series():
    frame = pd.DataFrame(
        {
            "Metadata_Compound": ["a", None, "b"],
            "Metadata_Cell_Line": ["U2OS", "A549", "U2OS"],
            TIME: ["24", "24", "48"],
        }
    )
    assert len(set(wells.lines(frame))) == 3 and len(set(wells.lines(frame[:2]))) == 2
    assert wells.lines(frame[:2]).tolist() == ["U2OS", "A549"]
    several, one = wells.series(frame).tolist(), wells.series(frame[:2]).tolist()
    assert one == ["a", None] and several[1] is None and "a" not in several and several[0] != several[2]
