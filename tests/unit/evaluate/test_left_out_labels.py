"""Compounds with several labels: a score without a compound is that of the table without its wells."""

import numpy as np
import pytest
from test_jackknife import screen

from wellspring.evaluate import multilabel
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.score import interval

TARGETS = ["a|b", "b", "a|c", "c", "d|a|b", "d", "e|d", "b|e", "e", "a", "c|d", "b|c", "e|c", "d"]


def several(seed):
    x, meta = screen(seed, plates=3)
    targets = dict(zip([f"c{n}" for n in range(14)], TARGETS, strict=True))
    return x, meta.assign(Metadata_moa=meta["Metadata_Compound"].map(targets))


GIVEN = {"label": "Metadata_moa", "separator": "|"}
SCORES = {
    "consistency": lambda x, m: multilabel.consistency(x, m, **GIVEN)[0],
    "nsc": lambda x, m: multilabel.nearest_labels(x, m, **GIVEN)[0],
    "hit": lambda x, m: multilabel.nearest_labels(x, m, neighbours=(3,), **GIVEN)[0],
    "precision": lambda x, m: multilabel.nearest_labels(x, m, neighbours=(3,), **GIVEN)[1],
    "enrichment": lambda x, m: multilabel.nearest_labels(x, m, neighbours=(3,), **GIVEN)[2],
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_without_a_compound_is_that_of_the_table_without_its_wells(name):
    x, meta = several(3)
    score = SCORES[name](x, meta)
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance) if score.chance < 1 else 0.0
    assert found.population == "compounds" and len(found.left_out) == 14
    for group, value in found.left_out.items():
        mine = (meta["Metadata_Compound"] != group).to_numpy()
        rest = SCORES[name](x[mine], meta[mine].reset_index(drop=True))
        rise = score.value - rest.value - above * (score.chance - rest.chance)
        assert value == pytest.approx(score.value - rise, abs=1e-9), group


@pytest.mark.parametrize("labels", ["one", "several"])
def test_grit_by_mechanism_without_a_group_or_a_control_is_that_of_the_rest(labels):
    x, meta = several(5) if labels == "several" else screen(5, plates=3)
    score = grit_mechanism(x, meta)
    groups, controls = score.jackknives
    column = "Metadata_Compound" if labels == "several" else "Metadata_moa"
    assert groups.population == ("compounds" if labels == "several" else "mechanisms")
    for group, value in groups.left_out.items():
        mine = (meta[column] != group).to_numpy()
        assert value == pytest.approx(grit_mechanism(x[mine], meta[mine].reset_index(drop=True)).value, abs=1e-6)
    name = meta["Metadata_Plate"] + " " + meta["Metadata_Well"]
    for well, value in controls.left_out.items():
        mine = (name != well).to_numpy()
        assert value == pytest.approx(grit_mechanism(x[mine], meta[mine].reset_index(drop=True)).value, abs=1e-6)


def test_the_interval_of_grit_by_mechanism_is_not_cut_at_one():
    x, meta = screen(6, effect=6.0)
    score = grit_mechanism(x, meta)
    low, high = interval(score)
    assert score.value > 1 and low < score.value < high


def test_labels_that_no_two_compounds_share_have_no_value_and_no_jackknife():
    x, meta = several(1)
    meta["Metadata_moa"] = (
        meta["Metadata_Compound"].where(meta["Metadata_moa"].notna()) + "|own " + meta["Metadata_Compound"]
    )
    score = multilabel.consistency(x, meta, **GIVEN)[0]
    assert np.isnan(score.value) and score.notes[0].code == "no_shared_mechanism" and score.jackknives == ()
    score = multilabel.nearest_labels(x, meta, **GIVEN)[0]
    assert np.isnan(score.value) and score.notes[0].code == "no_shared_mechanism" and score.jackknives == ()
