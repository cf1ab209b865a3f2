"""kBET, LISI, silhouette, connectivity: against the papers read slowly, scikit-learn, scib-metrics; chance; guards."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from evaluation_tables import screen
from wellspring.evaluate import wells
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.neighbourhood_formulas import connectivity, kbet, kernel, lisi, silhouettes
from wellspring.evaluate.neighbours import nearest
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.score import interval


def cloud(*, seed, n=120, d=6, labels=3, apart=0.0):
    rng = np.random.default_rng(seed)
    code = rng.integers(0, labels, n)
    return wells.units(rng.standard_normal((n, d)) + apart * np.eye(labels, d)[code]), code


def neighbours(rows, k):
    """Places and Euclidean distances (n, k) of the nearest, the row itself first."""
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    index = np.argsort(distance, axis=1, kind="stable")[:, :k]
    return index, np.take_along_axis(distance, index, axis=1)


def slow_lisi(distances, labels, perplexity):
    """One neighbourhood after Korsunsky et al. 2019: the width by a fine search for the entropy."""
    best = None
    for beta in np.geomspace(0.1, 1e3, 5000):
        weight = np.exp(-(distances - distances.min()) * beta)
        weight /= weight.sum()
        entropy = -(weight * np.log(weight, out=np.zeros_like(weight), where=weight > 0)).sum()
        if best is None or abs(entropy - np.log(perplexity)) < best[0]:
            best = abs(entropy - np.log(perplexity)), weight
    return 1 / sum(best[1][labels == name].sum() ** 2 for name in set(labels))


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_lisi_and_kbet_are_those_of_the_papers(apart):
    rows, code = cloud(seed=1, apart=apart)
    index, distance = neighbours(rows, 31)
    ours = lisi(kernel(distance[:, 1:], 10), index[:, 1:], code, count=3)
    for row in range(0, 120, 30):
        assert ours[row] == pytest.approx(slow_lisi(distance[row, 1:], code[index[row, 1:]], 10), rel=5e-3)
    share = np.bincount(code) / len(code)
    p = kbet(index, code, share)
    for row in range(120):
        counts = np.bincount(code[index[row]], minlength=3)
        statistic = sum((found - 31 * part) ** 2 / (31 * part) for found, part in zip(counts, share, strict=True))
        assert p[row] == pytest.approx(chi2.sf(statistic, 2))


def test_lisi_counts_labels_of_even_and_of_pure_neighbourhoods():
    weights, index = np.full((1, 12), 1 / 12), np.arange(12)[None]
    assert lisi(weights, index, np.arange(12) % 4, count=4)[0] == pytest.approx(4)
    assert lisi(weights, index, np.zeros(12, dtype=int), count=4)[0] == pytest.approx(1)
    same = kernel(np.zeros((2, 9)), 3)  # no kernel of even distances is narrower than all of them
    np.testing.assert_allclose(same, 1 / 9)


@pytest.mark.parametrize("apart", [0.0, 2.0])
def test_silhouettes_are_those_of_scikit_learn(apart):
    from sklearn.metrics import silhouette_samples

    rows, code = cloud(seed=2, apart=apart, labels=5)
    code[0] = 7  # a label of one row
    np.testing.assert_allclose(silhouettes(rows, code), silhouette_samples(rows, code, metric="cosine"), atol=1e-9)


def test_connectivity_is_that_of_a_walk():
    rows, code = cloud(seed=3, n=60, apart=0.5)
    index, _ = neighbours(rows, 4)
    ours = connectivity(index[:, 1:], code)

    def reached(start, edges):
        seen, front = {start}, [start]
        while front:
            front = [b for a in front for b in edges[a] if b not in seen and not seen.add(b)]
        return seen

    forward = {a: [b for b in index[a, 1:] if code[b] == code[a]] for a in range(60)}
    back = {a: [b for b in range(60) if a in forward[b]] for a in range(60)}
    for label in range(3):
        mine = np.flatnonzero(code == label)
        largest = max(len(reached(a, forward) & reached(a, back)) for a in mine)
        assert ours[label] == pytest.approx(largest / len(mine))


def test_the_formulas_are_those_of_scib_metrics():
    scib = pytest.importorskip("scib_metrics", reason="scib-metrics is not installed: skipped")
    from scib_metrics.nearest_neighbors import NeighborsResults

    for seed in range(3):
        rows, code = cloud(seed=seed, n=300, d=8, labels=4, apart=0.4 * seed)
        index, distance = neighbours(rows, 50)
        graph = NeighborsResults(indices=index, distances=distance)
        theirs = scib.lisi_knn(graph, code)  # leaves the row itself out of the list that it is given
        ours = lisi(kernel(distance[:, 1:], 50 // 3), index[:, 1:], code, count=4)
        np.testing.assert_allclose(ours, theirs, rtol=2e-4)
        assert (np.median(ours) - 1) / 3 == pytest.approx(scib.ilisi_knn(graph, code), abs=2e-4)
        assert (4 - np.median(ours)) / 3 == pytest.approx(scib.clisi_knn(graph, code), abs=2e-4)
        accepted, _, p = scib.kbet(graph, code)
        own = kbet(index, code, np.bincount(code) / len(code))
        np.testing.assert_allclose(own, p, atol=2e-5)
        assert (own >= 0.05).mean() == pytest.approx(accepted)
        assert np.mean(list(connectivity(index, code).values())) == pytest.approx(scib.graph_connectivity(graph, code))
        labels = np.zeros(len(code))
        theirs = scib.silhouette_batch(rows, labels, code, metric="cosine")
        assert (1 - np.abs(silhouettes(rows, code))).mean() == pytest.approx(theirs, abs=1e-5)


def test_nearest_are_those_of_a_sort_with_ties_by_row():
    rng = np.random.default_rng(0)
    rows = wells.units(rng.integers(-1, 2, (40, 3)).astype(float))
    group = rng.integers(0, 9, 40)
    for k in (1, 5, 30):
        near = nearest(
            rows, queries=np.arange(5, 25), references=np.arange(40), k=k, barred=lambda q: group[q, None] == group
        )
        for place, query in enumerate(range(5, 25)):
            open_ = [j for j in range(40) if group[j] != group[query]]
            order = sorted(open_, key=lambda j: (-round(rows[query] @ rows[j], 10), j))[:k]
            assert near.index[place][near.valid[place]].tolist() == order
            assert near.allowed[place] == len(open_)


def batched(**given):
    """A screen in one line, of four batches of a plate each, with 40 controls per plate."""
    x, meta = screen(controls=40, treatments=8, features=16, **given)
    return x, meta.assign(Metadata_Cell_Line="one", Metadata_Batch=meta["Metadata_Plate"].str.replace("P", "B"))


def test_mixing_of_random_features_is_at_chance_and_falls_with_a_batch_effect():
    covered, mixed = {}, {}
    for seed in range(8):
        for score in mixing(*batched(seed=seed)):
            if np.isfinite(score.value):
                low, high = interval(score)
                covered.setdefault(score.metric, []).append(low - 0.02 <= score.chance <= high + 0.02)
                mixed.setdefault(score.metric, []).append(score.value - score.chance)
    assert {"mixing.kbet.batch.controls", "mixing.ilisi.plate.wells", "mixing.silhouette.plate.controls"} <= set(mixed)
    assert all(np.mean(found) >= 0.6 for found in covered.values())
    assert all(abs(np.mean(gaps)) < 0.03 for gaps in mixed.values())
    x, meta = batched(seed=0)
    moved = x + 4 * np.random.default_rng(1).standard_normal((4, 16))[meta["Metadata_Plate"].str[1:].astype(int)]
    found = {score.metric: score for score in mixing(moved, meta)}
    assert found["mixing.kbet.batch.controls"].value < 0.1 and found["mixing.kbet.plate.wells"].value < 0.1
    assert found["mixing.ilisi.batch.controls"].value < 0.1
    assert found["mixing.silhouette.batch.controls"].value < found["mixing.silhouette.batch.controls"].chance - 0.2


def test_clisi_and_connectivity_are_at_chance_for_noise_and_high_for_planted_mechanisms():
    gaps, joined = [], []
    for seed in range(6):
        x, meta = screen(seed=seed, treatments=32, plates=4)
        scores = clisi(x, meta), replicate_connectivity(x, meta)
        gaps.append(scores[0].value - scores[0].chance)
        joined.append(scores[1].value - scores[1].chance)
    assert abs(np.mean(gaps)) < 0.02 and abs(np.mean(joined)) < 0.05
    x, meta = screen(seed=0, treatments=32, plates=4, effect=20.0)
    meta["Metadata_Cell_Line"] = "one"
    meta["Metadata_moa"] = meta["Metadata_moa"].map(lambda name: name if name is None else f"m{int(name[1:]) % 2}")
    shift = np.where(meta["Metadata_moa"] == "m0", 300.0, -300.0)[:, None] * np.eye(1, 32)
    assert clisi(x + shift, meta).value == pytest.approx(1.0)
    assert replicate_connectivity(x, meta).value > 0.9


def test_a_part_of_the_wells_gives_nearly_what_all_give_and_says_so():
    x, meta = batched(seed=3)
    x = x + 0.7 * np.random.default_rng(1).standard_normal((4, 16))[meta["Metadata_Plate"].str[1:].astype(int)]
    for whole, part in zip(mixing(x, meta), mixing(x, meta, queries=150), strict=True):
        if np.isfinite(whole.value) and np.isfinite(part.value):
            assert part.value == pytest.approx(whole.value, abs=0.12)
            # The controls are one set of replicates, of which a silhouette takes all.
            assert "silhouette" in part.metric or (part.n <= 150 and part.notes[0].code == "sampled")


@pytest.mark.parametrize("loss", ["controls", "one plate", "nan", "two wells", "one mechanism", "nothing"])
def test_what_can_not_be_told_is_there_with_a_note(loss):
    x, meta = batched(seed=0)
    if loss == "controls":
        keep = (meta["Metadata_pert_type"] != "negcon").to_numpy()
    else:
        keep = {"one plate": (meta["Metadata_Plate"] == "P0").to_numpy(), "two wells": np.arange(len(meta)) < 2}.get(
            loss, np.full(len(meta), loss != "nothing")
        )
    if loss == "nan":
        x = np.full_like(x, np.nan)
    if loss == "one mechanism":
        meta["Metadata_moa"] = meta["Metadata_moa"].where(meta["Metadata_moa"].isna(), "m")
    x, meta = x[keep], meta[keep].reset_index(drop=True)
    scores = [*mixing(x, meta), clisi(x, meta), replicate_connectivity(x, meta)]
    assert len(scores) == 14 and len({score.metric for score in scores}) == 14
    undefined = [score for score in scores if np.isnan(score.value)]
    assert undefined and all(score.notes for score in undefined)
    if loss in ("nan", "two wells", "nothing"):
        assert len(undefined) == 14


def test_connectivity_draws_whole_compounds():
    groups = np.repeat([f"c{n}" for n in range(30)], 5)
    taken = wells.drawn_whole(groups, at_most=42, seed=0)
    assert len(taken) == 40 and pd.Series(groups[taken]).value_counts().eq(5).all()
    even = wells.drawn(groups, at_most=45, seed=0)
    assert sorted(pd.Series(groups[even]).value_counts().unique()) == [1, 2] and len(set(groups[even])) == 30
