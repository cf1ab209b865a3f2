"""Scores without a group where the update is more than a shorter list: votes, shares, purity, p, and their ceilings."""

import itertools

import numpy as np
import pandas as pd
import pytest
from test_jackknife import screen, without
from test_scores_in_loops import SEEDS, by_item, cosines, profiles, usable

from evaluation_tables import uneven
from wellspring.evaluate import consistency, multilabel, purity, wells
from wellspring.evaluate.hits import hits
from wellspring.evaluate.left_out import Listed
from wellspring.evaluate.neighbourhood_formulas import kernel
from wellspring.evaluate.neighbours import Nearest
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.precision import expected, p_value, shared_null
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.replicates import replicating
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.score import Score, benjamini_hochberg
from wellspring.evaluate.transfer import transfers


def test_lists_without_a_group_know_how_many_references_are_left():
    """Where some references of another label are barred, a group takes its share of those that are not."""
    labels = np.repeat(["a", "b", "c"], [4, 5, 3])
    near = Nearest(
        index=np.array([[1, 4, 2, 9], [0, 5, 6, 3], [8, 0, 5, 11]]),
        similarity=np.array([[0.9, 0.5, 0.4, 0.1], [0.8, 0.7, 0.2, -np.inf], [0.6, 0.5, 0.3, 0.2]]),
        allowed=np.array([7, 5, 9]),
        matching=np.array([3, 1, 4]),
    )
    queries = np.array([0, 1, 4])
    found = Listed(near, queries, labels, seed=0)
    size, same = {"a": 4, "b": 5, "c": 3}, {"a": 4, "b": 5, "c": 3}
    for row, query in enumerate(queries):
        own = labels[query]
        share = (near.allowed[row] - near.matching[row]) / (12 - same[own])
        for column, name in enumerate("abc"):
            kept = near.matching[row] if name == own else near.allowed[row] - size[name] * share
            assert found.allowed[row, column] == pytest.approx(max(kept, near.matching[row]))
            assert found.share[row, column] == pytest.approx(near.matching[row] / found.allowed[row, column])
    assert found.matching.tolist() == [[3], [1], [4]]
    right, count = found.right(2)
    # By group a, b and c: of the first two that are left, those with the query's label.
    assert right.tolist() == [[0, 2, 1], [0, 1, 1], [2, 0, 1]]
    assert count.tolist() == [[2, 2, 2], [2, 1, 2], [2, 2, 2]]
    assert found.right(4)[1].tolist() == [[2, 3, 3], [2, 1, 3], [3, 2, 3]]


@pytest.mark.parametrize("seed", SEEDS)
def test_precision_and_enrichment_have_the_ceiling_of_a_perfect_order(seed):
    x, meta = uneven(seed)
    about, _ = profiles(x, meta)
    names = sorted(about)
    for k in (2, 5):
        most, richest = [], []
        for name in names:
            pool = [other for other in names if about[other][1] != about[name][1]]
            same, reach = sum(about[other][2] == about[name][2] for other in pool), min(k, len(pool))
            most.append(min(same, reach) / reach)
            if same:
                richest.append(most[-1] / (same / len(pool)))
        hit, precision, enrichment = hits(x, meta, neighbours=(k,))
        assert hit.ceiling == 1 and precision.ceiling == pytest.approx(np.mean(most))
        assert enrichment.ceiling == pytest.approx(np.mean(richest))
        assert (hit.trials, precision.trials, enrichment.trials) == (1, k, k)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("label", ["mechanism", "compound"])
def test_a_gap_without_a_mechanism_is_that_of_the_table_without_it(k, label):
    x, meta = screen(7)
    given = {"between": ["Metadata_Batch"], "label": [label], "neighbours": (k,)}
    main, gap = transfers(x, meta, **given)
    (found,) = gap.jackknives
    for group, value in found.left_out.items():
        kept = (meta["Metadata_moa"] == group.split()[-1]).to_numpy()
        assert value == pytest.approx(transfers(*without(x, meta, kept), **given)[1].value, abs=1e-9), group
    assert main.jackknives[0].shared > 0 and found.population == "mechanisms"


def odds(counts, own, k):
    """Return the share of ordered draws of k references, by label, whose vote is `own`; a tie goes to the first."""
    pool = [name for name, count in counts.items() for _ in range(count)]
    won = total = 0
    for drawn in itertools.permutations(pool, min(k, len(pool))):
        most = max(drawn.count(name) for name in drawn)
        won += next(name for name in drawn if drawn.count(name) == most) == own
        total += 1
    return won / total


@pytest.mark.parametrize("k", [2, 3])
def test_the_chance_of_a_vote_is_that_of_all_orders_of_the_references(k):
    x, meta = screen(2, sizes=(2, 1, 2), plates=2, controls=0)
    moa, batch, compound = (meta[f"Metadata_{name}"] for name in ("moa", "Batch", "Compound"))
    main = transfers(x, meta, between=["Metadata_Batch"], label=["mechanism"], neighbours=(k,))[0]
    found = {}
    for i in meta.index:
        pool = moa[(batch != batch[i]) & (compound != compound[i])]
        counts = pool.value_counts().to_dict()
        found.setdefault(batch[i], []).append(odds(counts, moa[i], k))
    assert main.chance == pytest.approx(np.mean([np.mean(part) for part in found.values()]), abs=0.02)


@pytest.mark.parametrize("place", [0, 1, 4])
def test_votes_of_controls_without_a_plate_are_those_of_the_other_plates(place):
    x, meta = screen(11, controls=8)
    x = x + np.random.default_rng(3).standard_normal((5, 7))[meta["Metadata_Plate"].str[1:].astype(int)]
    score = nuisance(x, meta, neighbours=3)[place]
    (found,) = score.jackknives
    above = (1 - score.value) / (1 - score.chance)
    for plate, value in found.left_out.items():
        rest = nuisance(*without(x, meta, (meta["Metadata_Plate"] == plate).to_numpy()), neighbours=3)[place]
        assert value == pytest.approx(rest.value + above * (score.chance - rest.chance), abs=1e-9), plate


@pytest.mark.parametrize("seed", SEEDS)
def test_the_purity_of_neighbourhoods_without_a_family(seed):
    x, meta = uneven(seed)
    named = (meta["Metadata_pert_type"] == "trt") & meta["Metadata_moa"].notna()
    keep, near = np.flatnonzero(named & usable(x, meta)), cosines(x)
    moa, compound = meta["Metadata_moa"].to_numpy(), meta["Metadata_Compound"].to_numpy()
    k, names = len(keep) // 4, sorted(set(moa[keep]))

    def value(gone):
        found, count = [], len(names) - (gone is not None)
        for i in keep:
            pool = [j for j in keep if compound[j] != compound[i] and moa[j] != gone]
            if moa[i] != gone and len(pool) >= k:
                order = sorted(pool, key=lambda j, i=i: -near[i, j])[:k]
                weight = kernel(np.array([[np.sqrt(2 - 2 * near[i, j]) for j in order]]), k // 3)[0]
                shares = pd.Series(weight).groupby([moa[j] for j in order]).sum()
                found.append(1 - (1 / (shares**2).sum() - 1) / (count - 1))
        return np.median(found)

    score = clisi(x, meta)
    (found,) = score.jackknives
    assert found.left_out.index.tolist() == [f"mechanism {name}" for name in names]
    wanted = np.array([value(name) for name in names])
    np.testing.assert_allclose(found.left_out, wanted - wanted.mean() + score.value, atol=2e-4)
    two = named & meta["Metadata_moa"].isin(["m0", "m1"])
    assert clisi(x[two], meta[two].reset_index(drop=True), neighbours=12).jackknives == (), "one mechanism is left"


def test_places_among_the_wells_that_were_drawn():
    mine = np.array([2, 5, 6, 9])
    found = purity._inside(mine, np.array([[5, 2, 9], [0, 7, 11], [6, 3, 5]]))
    assert found.tolist() == [[1, 0, 3], [-1, -1, -1], [2, -1, 1]]


@pytest.mark.parametrize("queries", [30, 45])
def test_connectivity_of_drawn_compounds_is_that_of_all(queries):
    x, meta = uneven(1)
    whole, part = replicate_connectivity(x, meta, neighbours=4), replicate_connectivity(
        x, meta, neighbours=4, queries=queries, seed=2
    )  # fmt: skip
    theirs, ours = by_item(whole), by_item(part)
    assert 2 <= len(ours) < len(theirs) and by_item(part, "n").sum() <= queries
    assert ours.to_dict() == pytest.approx(theirs[ours.index].to_dict())
    assert part.notes[0].code == "sampled" and part.notes[0].values["total"] == whole.items["n"].sum() + 1
    for name, value in part.jackknives[0].left_out.items():
        assert np.isfinite(value), name


@pytest.mark.parametrize("seed", range(2))
def test_p_without_a_control_is_read_from_the_null_of_all(seed):
    x, meta = screen(seed, sizes=(2, 3), plates=3, controls=5)
    score = activity(x, meta, null_size=1000)
    name = meta["Metadata_Plate"] + " " + meta["Metadata_Well"]
    null, count = shared_null(3, 5, size=1000, seed=0), {"all": np.full(3, 5)}
    whole = float(expected(2, count["all"] + 2).mean())
    assert list(score.left_p.columns) == sorted(name[meta["Metadata_pert_type"] == "negcon"])
    for well in score.left_p.columns[::4]:
        rest = by_item(activity(*without(x, meta, (name == well).to_numpy()), null_size=1000))
        level = float(expected(2, np.array([4, 5, 5]) + 2).mean())
        for item, value in rest.items():
            assert score.left_p.loc[item, well] == p_value(value - (level - whole), null), (item, well)


def test_the_share_of_active_treatments_without_a_set_of_controls():
    names = list("abcdef")
    meta = pd.DataFrame({"Metadata_Compound": names, "Metadata_pert_type": ["trt"] * 5 + ["poscon"]})
    meta["Metadata_moa"] = ["m", "m", "n", None, None, "p"]
    p = np.array([0.001, 0.02, 0.03, 0.5, np.nan, 0.004])
    items = pd.DataFrame({"Metadata_Item": names, "value": 0.5, "p": p, "q": benjamini_hochberg(p)})
    rng = np.random.default_rng(5)
    left = pd.DataFrame(rng.uniform(0, 0.06, (6, 4)), index=names, columns=list("wxyz"))
    score = retrieved(Score("activity", items=items, left_p=left), meta)
    tested = ["a", "b", "c", "d"]
    q = dict(zip(names, benjamini_hochberg(p), strict=True))
    assert score.value == np.mean([q[name] < 0.05 for name in tested]) and (score.n, score.n_undefined) == (4, 1)
    assert score.units["cluster"].tolist() == ["mechanism m", "mechanism m", "mechanism n", "compound d"]
    own, controls = score.jackknives
    assert controls.population == "controls" and own.population == "items"
    known = [name for name in names if name != "e"]
    shares = {}
    for well in "wxyz":
        found = dict(zip(known, benjamini_hochberg(left.loc[known, well].to_numpy()), strict=True))
        shares[well] = np.mean([found[name] < 0.05 for name in tested])
    middle = np.mean(list(shares.values()))
    assert len(set(shares.values())) > 1
    assert controls.left_out.to_dict() == pytest.approx({w: s + score.value - middle for w, s in shares.items()})
    alone = retrieved(Score("activity", items=items), meta)
    assert len(alone.jackknives) == 1 and alone.value == score.value
    strict = retrieved(Score("activity", items=items.assign(q=[0.05, 0.2, 0.01, 0.05, np.nan, 0.0])), meta)
    assert strict.value == 0.25, "q must be below the threshold"


def test_a_correlation_that_ties_with_the_null_is_not_above_it():
    """Wells of a and b are alike: of pairs of two compounds out of five, one in ten ties with the replicates of a."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((5, 6))
    base[1] = base[0]
    meta = pd.DataFrame({"Metadata_Compound": np.repeat(list("abcde"), 2), "Metadata_pert_type": "trt"})
    x = np.repeat(base, 2, axis=0)
    score = replicating(x, meta, null_size=2000, seed=1)
    assert by_item(score).to_dict() == pytest.approx(dict.fromkeys("abcde", 1.0))
    p = by_item(score, "p")
    assert set(p) == {p["a"]} and p["a"] == pytest.approx(0.1, abs=0.025) and score.value == 0


def test_few_permutations_where_there_are_many_pairs(monkeypatch):
    x, meta = uneven(0)
    given = {"label": wells.MOA, "separator": "|"}
    for cells, rounds in ((0, 20), (25 * len(x) ** 2, 30)):
        monkeypatch.setattr(consistency, "PERMUTED_CELLS", cells)
        monkeypatch.setattr(multilabel, "CALLS", 0 if not cells else 10**6)
        _, dealt = consistency.consistency(x, meta, permutations=30)
        assert dealt.n == rounds and dealt.notes[0].values["rounds"] == rounds
        assert len(multilabel.consistency(x, meta, **given, permutations=30)[1]) == rounds
    assert consistency.consistency(x, meta, permutations=7)[1].n == 7
    monkeypatch.setattr(consistency, "PERMUTED_CELLS", 23 * 44 * 11)
    few = (meta["Metadata_pert_type"] == "trt").to_numpy().nonzero()[0]
    few = [place for place in few if meta["Metadata_moa"][place] is not None and usable(x, meta)[place]][:44]
    part = meta.iloc[few].reset_index(drop=True)
    assert consistency.consistency(x[few], part, permutations=99, queries=11)[1].n == 23


def test_labels_are_split_and_counted():
    assert multilabel.split("a||b ", "|") == ("a", "b") and multilabel.split("a|b", "") == ("a|b",)
    assert multilabel.split(" | ", "|") == () and multilabel.split(5, "|") == ("5",)
    member, names = multilabel.membership(np.array(["b|a", "c", "a"], dtype=object), "|")
    assert names == ["a", "b", "c"] and member.tolist() == [[1, 1, 0], [0, 0, 1], [1, 0, 0]]
    frame = pd.DataFrame({"Metadata_moa": ["a", "b|c"], "Metadata_pert_type": ["trt", "negcon"]})
    assert not multilabel.needed(frame, "Metadata_moa", "|"), "of treated wells alone"
    frame["Metadata_pert_type"] = "trt"
    assert multilabel.needed(frame, "Metadata_moa", "|") and not multilabel.needed(frame, "Metadata_moa", ";")
    assert not multilabel.needed(frame, "Metadata_moa", None)


def test_precisions_of_each_label_of_a_query():
    similar, allowed = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, True, True, True, False])
    member = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    values, shapes = multilabel.precisions(similar, allowed, np.array([True, True, False]), member)
    # Label 0: wells 0 and 3 against well 1 (which shares none). Label 1: well 2 against well 1.
    assert values == pytest.approx([(1 + 2 / 3) / 2, 1 / 2])
    assert shapes.tolist() == [[2, 3], [1, 2]], "positives, and all pairs"
    none = multilabel.precisions(similar, allowed & ~member[:, 0], np.array([True, False, False]), member)
    assert np.isnan(none[0]).all() and none[1].tolist() == [[0, 2]] and len(none[0]) == 1
