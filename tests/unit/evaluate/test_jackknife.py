"""Intervals: leaving a group out by updates equals leaving its wells out of the table, and the interval is by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.grit import grit
from wellspring.evaluate.hits import hits
from wellspring.evaluate.jackknife import SETS, Groups, Jackknife, at_least, merged, share_interval, spread
from wellspring.evaluate.nearest import nsc
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.purity import replicate_connectivity
from wellspring.evaluate.retrieval import activity
from wellspring.evaluate.score import Score, interval, jackknives, row, wilson
from wellspring.evaluate.transfer import transfers


def screen(seed, sizes=(2, 3, 5, 4), plates=5, controls=6, features=7, effect=0.8):
    """Wells of compounds of mechanisms of unequal size, each once on every plate, in two batches."""
    rng = np.random.default_rng(seed)
    mechanism = np.repeat(np.arange(len(sizes)), sizes)
    common = rng.standard_normal((len(sizes), features))
    values, rows = [], []
    for plate in range(plates):
        of = np.concatenate([np.full(controls, -1), np.arange(len(mechanism))])
        for place, compound in enumerate(rng.permutation(of)):
            mean = 0.0 if compound < 0 else effect * common[mechanism[compound]]
            values.append(mean + rng.standard_normal(features))
            treated = compound >= 0
            rows.append(
                {
                    "Metadata_Plate": f"P{plate}",
                    "Metadata_Well": f"{'ABCD'[place // 7]}{place % 7 + 1:02d}",
                    "Metadata_Batch": f"B{plate % 2}",
                    "Metadata_pert_type": "trt" if treated else "negcon",
                    "Metadata_Compound": f"c{compound}" if treated else "DMSO",
                    "Metadata_moa": f"m{mechanism[compound]}" if treated else None,
                }
            )
    return np.array(values), pd.DataFrame(rows)


def without(features, metadata, gone):
    return features[~gone], metadata[~gone].reset_index(drop=True)


MECHANISMS = {
    "consistency": lambda x, m: consistency(x, m)[0],
    "nsc": nsc,
    "precision": lambda x, m: hits(x, m, neighbours=(3,))[1],
    "transfer": lambda x, m: transfers(x, m, between=["Metadata_Batch"], label=["mechanism"], neighbours=(1,))[0],
}


@pytest.mark.parametrize("name", MECHANISMS)
def test_a_score_without_a_mechanism_is_that_of_the_table_without_its_wells(name):
    x, meta = screen(3)
    score = MECHANISMS[name](x, meta)
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance)
    for group, value in found.left_out.items():
        rest = MECHANISMS[name](*without(x, meta, (meta["Metadata_moa"] == group.split()[-1]).to_numpy()))
        rise = score.value - rest.value - above * (score.chance - rest.chance)
        assert value == pytest.approx(score.value - rise, abs=1e-9), group


@pytest.mark.parametrize("place", range(5))
def test_a_batch_effect_without_a_plate_is_that_of_the_other_plates(place):
    x, meta = screen(5)
    x = x + np.random.default_rng(1).standard_normal((5, 7))[meta["Metadata_Plate"].str[1:].astype(int)]
    score = nuisance(x, meta)[place]
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance)
    for plate, value in found.left_out.items():
        rest = nuisance(*without(x, meta, (meta["Metadata_Plate"] == plate).to_numpy()))[place]
        rise = score.value - rest.value - above * (score.chance - rest.chance)
        assert value == pytest.approx(score.value - rise, abs=1e-9), plate


@pytest.mark.parametrize("metric", [lambda x, m: activity(x, m, null_size=1000), grit])
def test_a_score_without_a_control_well_is_that_of_the_table_without_it(metric):
    x, meta = screen(4)
    score = metric(x, meta)
    found = next(one for one in score.jackknives if one.population == "controls")
    above = (1 - score.value) / (1 - score.chance) if score.metric == "activity" else 0.0
    name = meta["Metadata_Plate"] + " " + meta["Metadata_Well"]
    for well, value in found.left_out.items():
        rest = metric(*without(x, meta, (name == well).to_numpy()))
        rise = score.value - rest.value - above * (score.chance - rest.chance)
        assert value == pytest.approx(score.value - rise, abs=1e-9), well


def test_connectivity_without_a_mechanism_moves_with_the_table_without_it():
    x, meta = screen(6, effect=1.5)
    score = replicate_connectivity(x, meta, neighbours=4)
    (found,) = score.jackknives
    rest = [
        replicate_connectivity(*without(x, meta, (meta["Metadata_moa"] == name.split()[-1]).to_numpy()), neighbours=4)
        for name in found.left_out.index
    ]
    values = np.array([one.value for one in rest])
    assert found.left_out.to_numpy() - found.left_out.mean() == pytest.approx(values - values.mean(), abs=1e-9)


def test_the_interval_of_clusters_is_the_logit_one_by_hand():
    rng = np.random.default_rng(0)
    units = pd.DataFrame({"stratum": "s", "cluster": [f"c{n % 6}" for n in range(24)], "value": rng.random(24) * 0.8})
    score = Score("x", units=units, n=24)
    left = np.array([units.loc[units["cluster"] != f"c{n}", "value"].mean() for n in range(6)])
    error = np.sqrt(5 / 6 * ((left - left.mean()) ** 2).sum())
    middle, half = np.log(score.value / (1 - score.value)), student.ppf(0.975, 5) * error
    half /= score.value * (1 - score.value)
    ends = [1 / (1 + np.exp(-(middle - half))), 1 / (1 + np.exp(-(middle + half)))]
    assert interval(score) == pytest.approx(ends)
    free = Score("x", units=units, n=24, unbounded=True)
    assert interval(free) == pytest.approx(
        [score.value - student.ppf(0.975, 5) * error, 2 * score.value - interval(free)[0]]
    )
    stored = json.loads(row(score, level="l")["Metadata_Left_Out"])["items"]["groups"]
    assert list(stored.values()) == pytest.approx(left, abs=1e-6)


def test_a_share_is_wilsons_for_as_many_items_as_have_its_error():
    # With the normal quantile and the binomial error of 50 independent items, Wilson's own interval.
    error = np.sqrt(0.3 * 0.7 / 50)
    low, high = share_interval(0.3, error, 1e9, groups=20, items=100_000)
    assert (low, high) == pytest.approx(wilson(15, 50), abs=1e-4)
    low, high = share_interval(1.0, 0.0, 7, groups=8, items=8)
    assert high == 1.0 and 0 < low < 1
    assert share_interval(0.0, 0.0, 7, groups=8, items=8)[0] == 0.0


def test_few_groups_have_no_interval_and_their_reason():
    x, meta = screen(2, sizes=(3, 2, 4))
    found = row(nsc(x, meta), level="l")
    assert np.isnan(found["low"]) and np.isnan(found["high"]) and np.isfinite(found["value"])
    assert 'too_few_groups_for_interval(population="mechanisms", found=3, needed=4)' in found["Metadata_Note"]


def test_many_groups_are_dealt_into_sets_of_nearly_equal_size():
    values = np.repeat([f"g{n:03d}" for n in range(101)], np.random.default_rng(0).integers(1, 9, 101))
    groups = Groups.of(values)
    assert len(groups) == SETS and len(set(groups.names)) == SETS
    for name in set(values):
        assert len(set(groups.code[values == name])) == 1
    sizes = np.bincount(groups.code)
    assert sizes.max() - sizes.min() <= 4


def test_jackknives_of_halves_average_what_both_have_and_keep_what_one_has():
    first = Jackknife("controls", pd.Series([0.5, 0.7], index=["a", "b"]), 0.01)
    second = Jackknife("controls", pd.Series([0.4, 0.2], index=["c", "b"]), 0.03)
    (both,) = merged([[first], [second]], [0.6, 0.3], [0.5, 0.5])
    assert both.left_out.to_dict() == pytest.approx({"a": 0.4, "b": 0.45, "c": 0.5})
    assert both.shared == pytest.approx(0.01)
    error, freedom, fewest = spread((both, both))
    assert error == pytest.approx(np.sqrt(2 * both.variance)) and freedom == pytest.approx(4) and fewest == 3


def test_the_interval_of_consistency_covers_what_new_mechanisms_have():
    values, ends = [], []
    for seed in range(60):
        score = consistency(*screen(seed + 100, sizes=(3,) * 8, plates=2, controls=2))[0]
        values.append(score.value)
        ends.append(interval(score))
    low, high = np.array(ends).T
    covered = np.mean((low <= np.mean(values)) & (np.mean(values) <= high))
    assert covered >= 0.87, "0.95 less three standard errors; resampled compounds covered 0.65"
    assert len(jackknives(score)) == 1


def test_mechanisms_of_unequal_size_have_fewer_degrees_of_freedom():
    """Student's t by hand, for as many groups as there are and as many equal ones as have this spread, in the mean."""
    score = consistency(*screen(7, sizes=(2, 2, 2, 8)))[0]
    size = np.array([2.0, 2, 2, 8])
    freedom = (4 + (size**2).sum() ** 2 / (size**4).sum()) / 2 - 1
    assert freedom == pytest.approx(1.697, abs=1e-3)
    half = student.ppf(0.975, freedom) * np.sqrt(jackknives(score)[0].variance) / (score.value * (1 - score.value))
    odds = np.log(score.value / (1 - score.value))
    assert interval(score) == pytest.approx([1 / (1 + np.exp(-odds + half)), 1 / (1 + np.exp(-odds - half))])
    connected = replicate_connectivity(*screen(7, sizes=(2, 2, 2, 8)), neighbours=3)
    assert jackknives(connected)[0].freedom == pytest.approx(freedom)


@pytest.mark.parametrize("treatments", [4, 8])
def test_the_interval_of_few_treatments_in_duplicate_covers_chance(treatments):
    """Average precision in random order is skewed: without a bound by chance 0.80 of such screens were covered."""
    found = []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        of = np.tile(np.concatenate([np.full(16, -1), np.arange(treatments)]), 2)
        table = pd.DataFrame(
            {
                "Metadata_Compound": [f"compound {c}" if c >= 0 else "DMSO" for c in of],
                "Metadata_pert_type": np.where(of >= 0, "trt", "negcon"),
                "Metadata_Plate": np.repeat(["P1", "P2"], len(of) // 2),
                "Metadata_Well": [f"A{place:02d}" for place in range(1, len(of) // 2 + 1)] * 2,
                "Metadata_moa": None,
            }
        )
        score = activity(rng.standard_normal((len(of), 24)), table, null_size=200)
        low, high = interval(score)
        found.append(low <= score.chance <= high)
    assert np.mean(found) >= 0.89, "0.95 less three standard errors"


def test_chance_does_not_widen_the_interval_of_a_high_score():
    score = activity(*screen(3, sizes=(2,) * 8), null_size=200)
    assert score.chance_error > 0
    assert interval(score) == interval(replace(score, chance_error=0.0))
    wide = replace(score, chance_error=10.0)
    error, freedom, _ = spread(jackknives(score))
    known = student.ppf(0.975, freedom) * at_least(error, 10.0, freedom) / (score.value * (1 - score.value))
    odds = np.log(score.value / (1 - score.value))
    assert interval(wide) == pytest.approx([1 / (1 + np.exp(-odds + known)), 1 / (1 + np.exp(-odds - known))])
