"""Screens of features: sizes, well columns, and effects that can be found again."""

import numpy as np
import pytest

from wellspring.simulate.features import feature_screen


def matrix(profiles):
    return profiles.filter(regex="^x_").to_numpy()


def test_sizes_and_columns():
    profiles, truth = feature_screen(
        seed=1,
        batches=2,
        cell_lines=2,
        plates=1,
        controls=20,
        active=6,
        inactive=4,
        mechanisms=3,
        replicates=2,
        features=16,
    )
    assert len(profiles) == 4 * (20 + 2 * 10) and matrix(profiles).shape[1] == 16
    assert not profiles.duplicated(["Metadata_Plate", "Metadata_Well"]).any()
    assert truth["active"].sum() == 6 and truth["mechanism"].nunique() == 3
    assert profiles.loc[profiles["Metadata_pert_type"] == "negcon", "Metadata_moa"].isna().all()
    assert (profiles.groupby(["Metadata_Plate", "Metadata_Compound"]).size().drop("DMSO", level=1) == 2).all()
    assert matrix(profiles).dtype == np.float32


def test_same_seed_same_table():
    first, again, other = (feature_screen(seed=seed, active=4, inactive=2, mechanisms=2)[0] for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)


def test_effect_is_in_units_of_control_spread():
    profiles, truth = feature_screen(
        seed=1,
        batches=1,
        plates=1,
        controls=600,
        active=8,
        inactive=8,
        mechanisms=4,
        replicates=40,
        features=32,
        effect=2.0,
        edge_shift=0.0,
        plate_scale=0.0,
    )
    values = matrix(profiles)
    control = values[profiles["Metadata_pert_type"] == "negcon"]
    assert control.std(axis=0).mean() == pytest.approx(1, abs=0.1)
    shift = {
        name: np.sqrt(((values[profiles["Metadata_Compound"] == name].mean(0) - control.mean(0)) ** 2).mean())
        for name in truth["compound"]
    }
    found = truth["compound"].map(shift)
    assert found[truth["active"]].to_numpy() == pytest.approx(2.0, abs=0.25)
    assert (found[~truth["active"]] < 0.4).all()


def test_only_controls():
    profiles, truth = feature_screen(seed=1, active=0, inactive=0)
    assert len(truth) == 0 and set(profiles["Metadata_Compound"]) == {"DMSO"}


def test_fixed_layout_is_shared():
    profiles, _ = feature_screen(seed=1, active=4, inactive=4, mechanisms=2, fixed_layout=True)
    assert profiles.groupby("Metadata_Well")["Metadata_Compound"].nunique().eq(1).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"active": 2, "mechanisms": 3}, "mechanisms"),
        ({"controls": 2000}, "1536"),
        ({"correlation": 1.0}, "correlation"),
    ],
)
def test_wrong_sizes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        feature_screen(seed=1, **options)
