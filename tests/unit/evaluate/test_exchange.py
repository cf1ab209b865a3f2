"""The null by exchange: all ways of dealing the names counted by hand, its size on null screens, and what differs."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS, screen
from wellspring.evaluate import run
from wellspring.evaluate.exchange import Exchange
from wellspring.evaluate.populations import Population
from wellspring.evaluate.precision import expected, p_value, shared_null
from wellspring.evaluate.retrieval import activity
from wellspring.evaluate.score import benjamini_hochberg


def table(seed, plates, controls, treated, features=3, ties=False):
    rng, rows = np.random.default_rng(seed), []
    for plate in range(plates):
        rows += [(f"P{plate}", f"A{n + 1:02d}", "negcon", "DMSO") for n in range(controls)]
        rows += [(f"P{plate}", f"B{n + 1:02d}", "trt", "c") for n in range(treated)]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in ("Plate", "Well", "pert_type", "Compound")])
    meta["Metadata_Perturbation"] = meta["Metadata_Compound"]
    values = rng.integers(0, 2, (len(meta), features)) if ties else rng.standard_normal((len(meta), features))
    return values.astype(float), meta


def precision(x, plate, chosen, mates):
    """Mean average precision of `chosen` by counting, ties together; negatives are the other wells of the plate."""
    length = np.linalg.norm(x, axis=1)
    unit = np.divide(x, length[:, None], out=np.zeros_like(x), where=length[:, None] > 0)
    similar, values = np.round(unit @ unit.T, 10), []
    for a, i in enumerate(chosen):
        good = [similar[i, j] for b, j in enumerate(chosen) if mates[a, b]]
        bad = [similar[i, k] for k in range(len(x)) if plate[k] == plate[i] and k not in chosen]
        per = [sum(g >= s for g in good) / (sum(g >= s for g in good) + sum(n >= s for n in bad)) for s in good]
        values.append(np.mean(per))
    return np.mean(values)


@pytest.mark.parametrize(("plates", "treated", "ties"), [(1, 3, False), (2, 2, False), (1, 3, True), (2, 1, True)])
def test_the_null_is_the_distribution_over_all_ways_of_dealing_the_names(plates, treated, ties):
    x, meta = table(3, plates, 4, treated, ties=ties)
    plate, kind = (meta[f"Metadata_{name}"].to_numpy() for name in ("Plate", "pert_type"))
    members = np.flatnonzero(kind == "trt")
    mates = ~np.eye(len(members), dtype=bool)
    if plates == 2 and treated == 2:
        mates &= plate[members][:, None] != plate[members][None, :]
    controls = {name: np.flatnonzero((plate == name) & (kind == "negcon")) for name in sorted(set(plate))}
    length = np.linalg.norm(x, axis=1, keepdims=True)
    rows = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    null = Exchange(rows, controls, meta).null(members, mates, draws=6000, seed=[1])
    pools = [list(combinations(np.flatnonzero(plate == name), treated)) for name in sorted(set(plate))]
    ways = [tuple(one) for one in pools[0]] if plates == 1 else [a + b for a in pools[0] for b in pools[1]]
    exact = np.array([precision(x, plate, way, mates) for way in ways])
    for value in np.unique(np.round(exact, 9)):
        assert (null >= value - 1e-7).mean() == pytest.approx((exact >= value - 1e-7).mean(), abs=0.03)
    assert null.mean() == pytest.approx(exact.mean(), abs=0.01)


def test_null_screens_of_one_plate_have_no_more_findings_than_the_level_allows():
    """Wells along one direction, with noise: groups are alike more often than similarities drawn on their own."""
    found = {"both": [], "alone": []}
    for seed in range(40):
        rng = np.random.default_rng([seed, 5])
        _, meta = screen(seed=seed, plates=1, controls=24, treatments=6, per_plate=4)
        x = rng.standard_normal((len(meta), 1)) @ rng.standard_normal((1, 24))
        items = activity(x + 0.2 * rng.standard_normal(x.shape), meta, null_size=2000, seed=seed).items
        null = shared_null(4, 24, size=2000, seed=seed)
        alone = np.array([p_value(value, null) for value in items["value"]])
        assert (items["p"] >= alone - 1e-12).all()
        found["both"].append((items["q"] < 0.05).any())
        found["alone"].append((benjamini_hochberg(alone) < 0.05).any())
    assert np.mean(found["both"]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 40)
    assert np.mean(found["alone"]) > 0.12, "more than the level allows, by two standard errors"


def test_what_is_active_on_one_plate_is_still_found():
    x, meta = screen(seed=2, plates=1, controls=16, treatments=8, per_plate=4, effect=3.0)
    items = activity(x, meta, null_size=2000).items
    assert (items["q"] < 0.01).all()


def test_replicates_that_differ_are_copairs_pos_diffby():
    from copairs.map import average_precision as foreign

    x, meta = screen(seed=4, plates=3, controls=7, per_plate=2, effect=0.6)
    meta["control"] = meta["Metadata_pert_type"] == "negcon"
    names = meta["Metadata_Perturbation"].where(~meta["control"], [f"control {n}" for n in range(len(meta))])
    for differ in (["Metadata_Plate"], ["Metadata_Batch"], ["Metadata_Plate", "Metadata_Well"]):
        peer = foreign(
            meta.assign(unique=names), x, ["unique"], differ, ["Metadata_Plate"], ["control"], progress_bar=False
        )
        peer = peer[~peer["control"] & (peer["n_pos_pairs"] > 0)]
        theirs = peer.groupby("unique")["average_precision"].mean()
        score = activity(x, meta, null_size=1000, replicates_differ=tuple(differ))
        ours = score.items.set_index("Metadata_Item")
        np.testing.assert_allclose(ours["value"][theirs.index], theirs, atol=1e-6)
        assert ours["n"].to_dict() == peer.groupby("unique").size().to_dict()
        level = [expected(m, m + 7) for m in peer["n_pos_pairs"]]
        assert score.chance == pytest.approx(np.mean(level))


def test_a_null_of_replicates_that_differ_is_that_of_their_own_pairs():
    mates = np.array([[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]], dtype=bool)
    null, rng = shared_null(4, 5, size=4000, seed=0, mates=mates.tobytes()), np.random.default_rng(1)
    drawn = []
    for _ in range(4000):
        pairs = np.triu(rng.random((4, 4)), 1)
        pairs, negative = pairs + pairs.T, rng.random((4, 5))
        each = []
        for own, row, bad in zip(mates, pairs, negative, strict=True):
            good = row[own]
            each.append(np.mean([(good >= s).sum() / ((good >= s).sum() + (bad >= s).sum()) for s in good]))
        drawn.append(np.mean(each))
    for share in (0.5, 0.9, 0.99):
        assert np.quantile(null, share) == pytest.approx(np.quantile(drawn, share), abs=0.03)


def test_a_layout_that_marks_every_treatment_is_seen_through_where_wells_must_differ():
    rng = np.random.default_rng(0)
    x, meta = screen(seed=6, plates=4, treatments=12, controls=8)
    place = {name: f"C{number + 1:02d}" for number, name in enumerate(sorted(set(meta["Metadata_Compound"])))}
    treated = meta["Metadata_pert_type"] == "trt"
    column = {well: rng.standard_normal(x.shape[1]) for well in place.values()}
    meta.loc[treated, "Metadata_Well"] = meta.loc[treated, "Metadata_Compound"].map(place)
    x[treated] += 2 * np.array([column[well] for well in meta.loc[treated, "Metadata_Well"]])
    frame = pd.concat([meta, pd.DataFrame(x, columns=[f"x_{n}" for n in range(x.shape[1])])], axis=1)
    from dataclasses import replace

    chosen = replace(OPTIONS, metrics=["activity"])
    population = Population.of(frame, level="aligned")
    plain, differ = (
        run.judge(population, options=replace(chosen, replicates_differ=columns))[1].set_index("Metadata_Metric")
        for columns in ((), ("Metadata_Well",))
    )
    assert plain.loc["activity", "value"] > 0.9
    assert np.isnan(differ.loc["activity", "value"]) and differ.loc["activity", "n_undefined"] == 12
