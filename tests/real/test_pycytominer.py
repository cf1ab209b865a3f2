"""Normalisation and feature selection equal pycytominer's, on real plates and against tables that others published."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from options import options
from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.io.tables import features
from wellspring.profile.normalise import apply_normaliser, fit_normaliser

PLATES = ("BR00147001", "BR00147002", "BR00147003")
OPTIONS = options("fit")
NOTHING = {"blocklist": None, "max_missing": 1, "max_equal": 1, "max_correlation": None}
FREQUENCY = {"select": NOTHING | {"freq_cut": 0.05, "unique_cut": 0.01}}
CORRELATION = {"select": NOTHING | {"max_correlation": 0.9}}
BLOCKLIST = {"select": NOTHING | {"blocklist": "default"}}


def missing(share):
    return {"select": NOTHING | {"max_missing": share}}


def real(shared_data, name):
    path = shared_data / name
    if not path.is_dir():
        pytest.skip(f"no {name} beside the clone")
    return path


def marked(table, controls=False):
    """Return the metadata and then the features of a foreign table, every well with a profile."""
    known = {
        "Metadata_pert_type": np.where(controls, "negcon", "trt"),
        "Metadata_Verdict": "keep",
        "Metadata_Reason": "",
    }
    meta = table[[name for name in table if name.startswith("Metadata_")]].assign(**known)
    return pd.concat([meta, table[[name for name in table if not name.startswith("Metadata_")]]], axis=1)


def matrix(frame, names):
    return frame[list(names)].to_numpy(dtype=np.float64)


def equal(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-9, equal_nan=True)


def equal_but_for_twins(ours, theirs, frame):
    """Two selections are equal, except for pairs of features of which either may stay."""
    swapped = sorted(set(ours) ^ set(theirs))
    assert len(ours) == len(theirs)
    assert len(swapped) <= 2
    for name in swapped:
        others = [other for other in swapped if (other in ours) != (name in ours)]
        assert frame[others].corrwith(frame[name]).max() > 0.9999


@pytest.mark.parametrize("plate", PLATES)
def test_equals_the_published_normalised_plate(shared_data, plate):
    folder = real(shared_data, "pccma_bulk_profiles")
    frame = marked(pd.read_parquet(folder / f"R3_{plate}_bulk_annotated.parquet"))
    published = pd.read_parquet(folder / f"R3_{plate}_bulk_normalized.parquet")
    names = features(published)
    assert len(names) == 2996
    ours = apply_normaliser(frame, fit_normaliser(frame, method="standardize", on="all", spread_floor=0))
    equal(matrix(ours.set_index("Metadata_Well").loc[published["Metadata_Well"]], names), matrix(published, names))


@pytest.mark.parametrize("on", ["negcon", "all"])
@pytest.mark.parametrize("method", ["standardize", "robustize", "mad_robustize"])
def test_normalisation_equals_pycytominer(shared_data, method, on):
    from pycytominer import normalize

    path = real(shared_data, "pccma_bulk_profiles") / f"R3_{PLATES[0]}_bulk_annotated.parquet"
    table = pd.read_parquet(path)
    frame = marked(table, table["Metadata_cell_line"] == "U2-OS")
    names = features(frame)
    samples = "all" if on == "all" else "Metadata_pert_type == 'negcon'"
    theirs = normalize(frame, features=names, meta_features=["Metadata_Well"], samples=samples, method=method)
    normaliser = fit_normaliser(frame, method=method, on=on, spread_floor=0)
    # Where the spread is zero they divide a MAD's by 1e-18; ours is only centred.
    same = normaliser.spread > 0 if method == "mad_robustize" else np.full(len(names), True)
    assert same.sum() > 2600
    equal(matrix(apply_normaliser(frame, normaliser), names)[:, same], matrix(theirs, names)[:, same])


@pytest.mark.parametrize("plate", PLATES)
def test_selection_equals_the_published_one(shared_data, plate):
    """Theirs, in the order in which they asked: frequency, correlation, blocklist, missing values."""
    folder = real(shared_data, "pccma_bulk_profiles")
    frame = marked(pd.read_parquet(folder / f"R3_{plate}_bulk_normalized.parquet"))
    published = features(pd.read_parquet(folder / f"R3_{plate}_bulk_feature_selected.parquet"))
    steps = [FREQUENCY, CORRELATION, BLOCKLIST, missing(0)]
    alignment = fit_alignment(frame, options=replace(OPTIONS, steps=steps))
    equal_but_for_twins(alignment.features, published, frame)
    reasons = alignment.selection.set_index("Metadata_Feature")["Metadata_Reason"]
    assert (reasons[[name for name in reasons.index if name not in alignment.features]] != "").all()


@pytest.mark.parametrize("step", [False, True])
def test_reproduces_the_table_of_bbbc021_that_others_made(shared_data, step):
    """Median and MAD over all wells of all plates at once, then 189 of 516 features: values and choice."""
    folder = real(shared_data, "bbbc021_ljosa_profiles")
    table = pd.read_csv(folder / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    frame = marked(table.rename(columns=lambda name: name.removeprefix("Image_")))
    theirs = pd.read_csv(folder / "peer" / "BBBC021_feature_selected_mad_robustize.csv")
    key, names = ["Metadata_Plate", "Metadata_Well"], features(theirs)
    assert len(names) == 189
    if step:
        alone = {"standardize": {"fit_on": "all", "by": None}}
        ours = apply_alignment(frame, fit_alignment(frame, options=replace(OPTIONS, steps=[alone])))
    else:
        ours = apply_normaliser(frame, fit_normaliser(frame, on="all", spread_floor=0, epsilon=0))
    placed = ours.set_index(key).loc[pd.MultiIndex.from_frame(theirs[key])]
    equal(matrix(placed, names), matrix(theirs, names))
    steps = [FREQUENCY, CORRELATION, BLOCKLIST, missing(0.05)]
    equal_but_for_twins(fit_alignment(ours, options=replace(OPTIONS, steps=steps)).features, names, ours)
