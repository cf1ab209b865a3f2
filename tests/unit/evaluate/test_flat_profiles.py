"""Profiles without a direction (all zero) or without a spread (all equal) are undefined, with the reason."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS, table
from wellspring.evaluate.populations import Population
from wellspring.evaluate.retrieval import activity
from wellspring.evaluate.run import judge
from wellspring.evaluate.score import filled
from wellspring.io import tables


def summary(frame):
    return judge(Population.of(frame, level="aligned"), options=OPTIONS)[1].set_index("Metadata_Metric")


def changed(frame, places, value):
    frame = frame.copy()
    frame.loc[frame.index[places], tables.features(frame)] = np.float32(value)
    return frame


def test_profiles_of_zeros_alone_have_no_score_and_the_reason_is_named():
    """Each similarity would be 0, so that all wells tie and the activity would be a plausible number."""
    found = summary(changed(table(1), slice(None), 0.0))
    read = [name for name in found.index if name.split(".")[0] not in ("dose",) and "position_only" not in name]
    assert len(read) > 10 and found.loc[read, "value"].isna().all()
    assert found.loc["activity", "Metadata_Note"].startswith("controls_without_profile(found=24)")
    for name in ("activity", "consistency", "nsc", "grit", "nuisance.plate"):
        assert "profile_zero(wells=48, total=48)" in found.loc[name, "Metadata_Note"], name


@pytest.mark.parametrize("value", [0.0, 3.5])
def test_a_flat_profile_is_undefined_and_other_scores_are_those_without_it(value):
    whole = table(2, effect=1.0, per_plate=2)
    places = [0, 7, 20, 33]  # controls and treated wells of several plates
    kinds = set(whole["Metadata_pert_type"].iloc[places])
    assert kinds == {"negcon", "trt"}
    found, gone = summary(changed(whole, places, value)), summary(whole.drop(index=whole.index[places]))
    correlations, cosines = ["grit", "replicating", "matching"], ["activity", "consistency", "nsc", "clisi"]
    same = correlations + (cosines if value == 0 else [])
    np.testing.assert_allclose(found.loc[same, "value"].astype(float), gone.loc[same, "value"].astype(float))
    code = "profile_zero" if value == 0 else "profile_constant"
    assert f"{code}(wells=4, total={len(whole)})" in found.loc["grit", "Metadata_Note"]


def test_a_treatment_counts_its_flat_wells_as_undefined():
    frame = table(4)
    mine = np.flatnonzero(frame["Metadata_Compound"] == "c1")
    flat = changed(frame, mine[:1], 0.0)
    metadata = pd.DataFrame(flat[[name for name in flat if name.startswith("Metadata_")]])
    items = filled(activity(flat[tables.features(flat)].to_numpy(float), metadata).items)
    row = items.set_index("Metadata_Item").loc["c1@1.0"]
    assert (row["n"], row["n_undefined"]) == (len(mine) - 1, 1)
