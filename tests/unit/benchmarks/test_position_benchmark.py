"""The benchmark of position: the layout in blocks, the effects, and a screen that position alone makes active."""

import numpy as np
import pytest

from benchmarks_of import load
from wellspring.evaluate import wells
from wellspring.simulate.features import feature_screen

position = load("position")
SMALL = {"active": 2, "inactive": 6, "mechanisms": 2, "features": 24, "edge_shift": 0.0}


def test_replicates_follow_each_other_and_keep_their_profiles():
    frame, _ = feature_screen(seed=2, **(position.ONE | SMALL))
    moved = position.in_blocks(frame)
    control = frame["Metadata_pert_type"] == "negcon"
    kept = moved["Metadata_pert_type"] == "negcon"
    assert moved[kept].reset_index(drop=True).equals(frame[control].reset_index(drop=True))
    assert set(moved["Metadata_Well"]) == set(frame["Metadata_Well"])
    by_treatment = ["Metadata_Compound", "x_0"]
    again = [each[by_treatment].sort_values(by_treatment, ignore_index=True) for each in (frame, moved)]
    assert again[0].equals(again[1])
    place = wells.positions(moved)[~kept]
    order = moved[~kept].iloc[np.lexsort((place["row"], place["column"]))]["Metadata_Compound"].tolist()
    assert order == [name for name in sorted(set(order)) for _ in range(4)]


@pytest.mark.parametrize("effect", position.EFFECTS)
def test_effects_are_those_of_the_position_on_every_plate(effect):
    frame, _ = feature_screen(seed=3, **(position.PLATES | SMALL | {"controls": 12}))
    found = position.shift(frame, effect, np.random.default_rng(1))
    place = wells.positions(frame)
    high, wide = (2 * (one - one.min()) / (one.max() - one.min()) - 1 for one in (place["row"], place["column"]))
    parts = {"linear": [high, wide, place["edge"].astype(float)], "bowl": [high**2 + wide**2], "none": []}[effect]
    same = frame.groupby("Metadata_Well")["x_0"].transform("size") == 4
    assert same.all() and found.shape == (len(frame), 24)
    assert all(np.ptp(found[frame["Metadata_Well"] == well], axis=0).max() == 0 for well in set(frame["Metadata_Well"]))
    if not parts:
        assert not found.any()
        return
    design = np.column_stack(parts)
    slopes, *_ = np.linalg.lstsq(design, found, rcond=None)
    np.testing.assert_allclose(design @ slopes, found, atol=1e-9)
    size = 1.5 if effect == "bowl" else 1.0
    np.testing.assert_allclose(np.sqrt((slopes**2).mean(axis=1)), size * position.STRENGTH)


def test_position_alone_makes_treatments_active_until_it_is_adjusted_for(monkeypatch, capsys):
    small = position.PLATES | SMALL | {"controls": 32, "inactive": 30}
    monkeypatch.setitem(position.DESIGNS, "32", small)
    found = [position.screen(4, "32", "linear")]
    level = found[0]["normalised", "activity"], found[0]["normalised", "activity.adjusted"]
    assert level[0]["inactive"] > 0.6 and level[1]["inactive"] < 0.2
    assert level[0]["judged"] == 1.0 and level[1]["judged"] > 0.9
    figures = position.summarised(found * 2, "32", "linear")
    assert figures["32.linear.normalised.activity.inactive"][0] == pytest.approx(level[0]["inactive"])
    assert figures["32.linear.normalised.difference"][0] == pytest.approx(level[1]["active"] - level[0]["active"])
    assert "adjusted less plain" in capsys.readouterr().out
