"""Every field of the scores of uneven screens, against loops over wells: lost wells, rare classes, ties of votes."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chisquare, hypergeom
from sklearn.metrics import silhouette_samples

from evaluation_tables import uneven
from wellspring.evaluate import wells
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.hits import hits
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.nearest import nsc, nscb
from wellspring.evaluate.neighbourhood_formulas import connectivity, kernel
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.precision import average_precision, expected, p_value, shared_null
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.replicates import null_medians, replicating
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.transfer import transfers

SEEDS = [0, 1, 2]


def cosines(x):
    rows = np.nan_to_num(x)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
    return rows @ rows.T


def usable(x, meta):
    return np.isfinite(x).all(axis=1) & (meta["Metadata_Verdict"] == "keep").to_numpy()


def vote(names):
    """Return the most frequent name; of several, the first."""
    most = max(Counter(names).values())
    return next(name for name in names if names.count(name) == most)


def by_item(score, column="value"):
    return score.items.set_index("Metadata_Item")[column]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [1, 3])
def test_nuisance(seed, k):
    x, meta = uneven(seed)
    near, good = cosines(x), usable(x, meta)
    control = meta.index[(meta["Metadata_pert_type"] == "negcon")]
    mine, lost = [i for i in control if good[i]], sum(not good[i] for i in control)
    place = meta["Metadata_Well"].str.extract(r"^([A-H])(\d+)$")
    labels = pd.DataFrame({"batch": meta["Metadata_Batch"], "plate": meta["Metadata_Plate"]})
    labels["row"], labels["column"] = place[0].map(lambda r: str(ord(r) - 64), na_action="ignore"), place[1]
    labels["column"] = labels["column"].map(lambda c: str(int(c)), na_action="ignore")
    number = place[1].astype(float)
    outer = place[0].isin(["A", "G"]) | number.isin([number.min(), number.max()])
    assert {"A", "G"} <= set(place[0].dropna()) <= set("ABCDEFG")
    labels["edge"] = outer.map({True: "1", False: "0"})
    line, plate = meta["Metadata_Cell_Line"], meta["Metadata_Plate"]
    for score in nuisance(x, meta, neighbours=k):
        name = score.metric.split(".")[1]
        truth, right, chance, bad = labels[name], {}, {}, lost
        across = name in ("row", "column", "edge")
        for i in mine:
            pool = [j for j in mine if j != i and (plate[j] != plate[i] if across else line[j] == line[i])]
            pool = [j for j in pool if not across or place[0].notna()[j]]
            counts = Counter(truth[j] for j in pool)
            if (across and place[0].isna()[i]) or len(counts) < 2 or not counts[truth[i]]:
                bad += 1
                continue
            first = [truth[j] for j in sorted(pool, key=lambda j, i=i: -near[i, j])[:k]]
            right.setdefault(truth[i], []).append(float(vote(first) == truth[i]))
            chance.setdefault(truth[i], []).append(counts[truth[i]] / len(pool))
        recall = {label: np.mean(found) for label, found in right.items()}
        assert by_item(score).to_dict() == pytest.approx(recall)
        assert by_item(score, "n").to_dict() == {label: len(found) for label, found in right.items()}
        assert score.value == pytest.approx(np.mean(list(recall.values())))
        assert score.chance == pytest.approx(np.mean([np.mean(found) for found in chance.values()]))
        assert (score.n, score.n_undefined) == (sum(map(len, right.values())), bad)
        assert score.disjoint and not score.proportion and not score.median
        wanted = {f"{plate[i]} {meta['Metadata_Well'][i]}" for i in mine}
        assert set(score.units["cluster"]) <= wanted and score.units["cluster"].is_unique


def test_nuisance_needs_two_controls_and_two_classes():
    x, meta = uneven(0)
    control = np.flatnonzero((meta["Metadata_pert_type"] == "negcon").to_numpy() & usable(x, meta))
    for count in (1, 2):
        part = meta.iloc[control[:count]].reset_index(drop=True).assign(Metadata_Plate="p")
        scores = nuisance(x[control[:count]], part)
        codes = {score.notes[0].code for score in scores}
        assert codes == {"too_few_controls" if count == 1 else "too_few_classes"}
        assert all(np.isnan(score.value) for score in scores)
        assert [score.n_undefined for score in scores] == [0 if count == 1 else 2] * 5


def mixed(x, meta, *, neighbours, tested, seed):
    """Return value, chance, number, and wells without a value by the name of each score of neighbourhoods."""
    near, good, found = cosines(x), usable(x, meta), {}
    kinds = {"controls": meta["Metadata_pert_type"] == "negcon", "wells": meta["Metadata_pert_type"] != "empty"}
    for scope, member in kinds.items():
        keep = np.flatnonzero(member & good)
        for target, column in (("batch", "Metadata_Batch"), ("plate", "Metadata_Plate")):
            values, chances = {"kbet": [], "ilisi": []}, {"kbet": [], "ilisi": []}
            for line in meta["Metadata_Cell_Line"].iloc[keep].unique():
                here = [i for i in keep if meta["Metadata_Cell_Line"][i] == line]
                reach, truth = len(here) // 4, meta[column].astype(str).to_numpy()[here]
                names, code = np.unique(truth, return_inverse=True)
                if reach < 10 or len(names) < 2:
                    continue
                k, size = min(neighbours, reach), min(tested, reach)
                order = [
                    sorted((b for b in range(len(here)) if b != a), key=lambda b, a=a: -near[here[a], here[b]])
                    for a in range(len(here))
                ]
                far = np.array(
                    [[np.sqrt(2 - 2 * near[here[a], here[b]]) for b in order[a][:k]] for a in range(len(here))]
                )
                weight, share = kernel(far, k // 3), np.bincount(code) / len(code)

                def kbet(dealt, order=order, size=size, share=share):
                    counts = [
                        np.bincount(dealt[[a, *row[: size - 1]]], minlength=len(share)) for a, row in enumerate(order)
                    ]
                    return [float(chisquare(one, share * size).pvalue >= 0.05) for one in counts]

                def ilisi(dealt, order=order, k=k, weight=weight, names=names):
                    inverse = []
                    for a, row in enumerate(order):
                        parts = np.bincount(dealt[row[:k]], weights=weight[a], minlength=len(names))
                        inverse.append((1 / (parts**2).sum() - 1) / (len(names) - 1))
                    return inverse

                for kind, read in (("kbet", kbet), ("ilisi", ilisi)):
                    rng = np.random.default_rng(seed)
                    values[kind] += read(code)
                    chances[kind].append([read(rng.permutation(code)) for _ in range(20)])
            for kind, middle in (("kbet", np.mean), ("ilisi", np.median)):
                if values[kind]:
                    dealt = np.concatenate([np.array(part) for part in chances[kind]], axis=1)
                    chance = np.mean([middle(row) for row in dealt])
                    lost = int(member.sum()) - len(values[kind])
                    found[f"mixing.{kind}.{target}.{scope}"] = middle(values[kind]), chance, len(values[kind]), lost
    return found


@pytest.mark.parametrize(("neighbours", "tested"), [(90, 12), (11, 50)])
def test_mixing_of_neighbourhoods(neighbours, tested):
    x, meta = uneven(3, controls=23)
    reference = mixed(x, meta, neighbours=neighbours, tested=tested, seed=5)
    scores = {score.metric: score for score in mixing(x, meta, neighbours=neighbours, tested=tested, seed=5)}
    assert len(reference) == 8
    for name, (value, chance, number, lost) in reference.items():
        score = scores[name]
        assert score.value == pytest.approx(value, abs=1e-4) and score.chance == pytest.approx(chance, abs=1e-3)
        assert (score.n, score.n_undefined) == (number, lost)
        assert score.disjoint == name.endswith("controls") and score.proportion == ("kbet" in name)
        assert score.median == ("ilisi" in name)
        target = "Metadata_Batch" if "batch" in name else "Metadata_Plate"
        assert set(score.items["Metadata_Item"]) <= set(meta[target]) and score.items["n"].sum() == number
        weighted = (score.items["value"] * score.items["n"]).sum() / number
        assert score.units["value"].mean() == pytest.approx(weighted)
        assert score.units["cluster"].isin(meta["Metadata_Plate"]).all(), "plates are left out"


def test_silhouettes_of_replicates():
    x, meta = uneven(4)
    good = usable(x, meta)
    rows = x / np.linalg.norm(x, axis=1, keepdims=True)
    scores = {score.metric: score for score in mixing(x, meta, seed=6)}
    kinds = {"controls": meta["Metadata_pert_type"] == "negcon", "wells": meta["Metadata_pert_type"] != "empty"}
    names = meta["Metadata_Perturbation"].where(meta["Metadata_pert_type"] != "negcon", "control").astype(str)
    for scope, member in kinds.items():
        keep = np.flatnonzero(member & good)
        lines = list(dict.fromkeys(meta["Metadata_Cell_Line"].iloc[keep]))
        groups = names + "|" + meta["Metadata_Cell_Line"].map(lines.index).astype(str)
        parts = {name: part.index for name, part in meta.iloc[keep].groupby(groups)}
        rounds = max(3, 20 // len(parts))
        for target in ("batch", "plate"):
            truth, sets, chances = meta[f"Metadata_{target.title()}"].to_numpy(), {}, []
            rng = np.random.default_rng(6)

            def overlap(index, labels):
                return 1 - np.abs(silhouette_samples(rows[index], labels, metric="cosine"))

            for name, index in sorted(parts.items()):
                labels = truth[index]
                if 1 < len(set(labels)) < len(labels):
                    sets[name] = overlap(index, labels)
                    chances.append(np.mean([overlap(index, rng.permutation(labels)).mean() for _ in range(rounds)]))
            score = scores[f"mixing.silhouette.{target}.{scope}"]
            assert score.value == pytest.approx(np.mean([found.mean() for found in sets.values()]))
            assert score.chance == pytest.approx(np.mean(chances))
            assert score.n == sum(map(len, sets.values())) and score.n_undefined == int(member.sum()) - score.n
            assert score.disjoint == (scope == "controls") and set(score.units["stratum"]) == set(sets)


def test_a_neighbourhood_needs_forty_wells_of_a_line():
    x, meta = uneven(3, controls=23)
    control = np.flatnonzero((meta["Metadata_pert_type"] == "negcon").to_numpy() & usable(x, meta))
    for count in (39, 40):
        part = meta.iloc[control[:count]].reset_index(drop=True).assign(Metadata_Cell_Line="one")
        scores = {score.metric: score for score in mixing(x[control[:count]], part)}
        score = scores["mixing.kbet.plate.controls"]
        assert np.isfinite(score.value) == (count == 40)
        if count == 39:
            assert score.notes[0].code == "too_few_wells_of_a_cell_line" and score.n_undefined == 39
            assert score.notes[0].values == {"found": 39, "needed": 40}
        alone = mixing(x[control[:count]], part.assign(Metadata_Plate="p"))
        score = next(one for one in alone if one.metric == "mixing.ilisi.plate.wells")
        assert score.notes[0].code == ("too_few_wells_of_a_cell_line" if count == 39 else "single_label_per_cell_line")


@pytest.mark.parametrize("seed", SEEDS)
def test_clisi(seed):
    x, meta = uneven(seed)
    named = (meta["Metadata_pert_type"] == "trt") & meta["Metadata_moa"].notna()
    keep = np.flatnonzero(named & usable(x, meta))
    near, moa = cosines(x), meta["Metadata_moa"].to_numpy()
    compound, k = meta["Metadata_Compound"].to_numpy(), len(keep) // 4
    count, values, sources = len(set(moa[keep])), [], []
    for i in keep:
        order = sorted((j for j in keep if compound[j] != compound[i]), key=lambda j: -near[i, j])[:k]
        weight = kernel(np.array([[np.sqrt(2 - 2 * near[i, j]) for j in order]]), k // 3)[0]
        shares = pd.Series(weight).groupby([moa[j] for j in order]).sum()
        values.append(1 - (1 / (shares**2).sum() - 1) / (count - 1))
        sources.append(moa[i])
    score = clisi(x, meta)
    assert score.value == pytest.approx(np.median(values), abs=1e-4) and score.median
    assert (score.n, score.n_undefined) == (len(keep), int(named.sum()) - len(keep))
    means = pd.Series(values).groupby(sources).mean().to_dict()
    assert by_item(score).to_dict() == pytest.approx(means, abs=1e-4)
    assert score.units["cluster"].tolist() == compound[keep].tolist()
    assert abs(score.chance - score.value) < 0.3
    few = clisi(x[keep[:39]], meta.iloc[keep[:39]].reset_index(drop=True))
    assert few.notes[0].code == "too_few_labelled_wells" and few.n_undefined == 39
    assert np.isfinite(clisi(x[keep[:40]], meta.iloc[keep[:40]].reset_index(drop=True)).value)


@pytest.mark.parametrize("seed", SEEDS)
def test_connectivity_of_compounds(seed):
    x, meta = uneven(seed)
    named = meta["Metadata_pert_type"] == "trt"
    keep = np.flatnonzero(named & usable(x, meta))
    near, values, sizes, alone = cosines(x), {}, {}, 0
    for line in sorted(set(meta["Metadata_Cell_Line"].iloc[keep])):
        here = [i for i in keep if meta["Metadata_Cell_Line"][i] == line]
        k = min(5, len(here) // 4)
        order = [sorted((b for b in range(len(here)) if b != a), key=lambda b: -near[here[a], here[b]])[:k]
                 for a in range(len(here))]  # fmt: skip
        names, code = np.unique(meta["Metadata_Compound"].iloc[here].astype(str), return_inverse=True)
        found, size = connectivity(np.array(order), code), np.bincount(code)
        alone += int((size == 1).sum())
        values |= {f"{names[label]}|{line}": value for label, value in found.items() if size[label] > 1}
        sizes |= {f"{names[label]}|{line}": size[label] for label in found if size[label] > 1}
    score = replicate_connectivity(x, meta, neighbours=5)
    assert by_item(score).to_dict() == pytest.approx(values) and by_item(score, "n").to_dict() == sizes
    assert score.n == len(values) and score.n_undefined == int(named.sum()) - len(keep) + alone
    moa = meta.drop_duplicates("Metadata_Compound").set_index("Metadata_Compound")["Metadata_moa"]
    owners = [name.split("|")[0] for name in by_item(score).index]
    wanted = [f"mechanism {moa[name]}" if pd.notna(moa[name]) else f"compound {name}" for name in owners]
    assert score.units["cluster"].tolist() == wanted, "mechanisms are left out"
    assert score.value == pytest.approx(np.mean(list(values.values()))) and 0 < score.chance < 1


def profiles(x, meta):
    """Return the median, compound, mechanism and batches of each treatment, and how many have no profile."""
    good, found = usable(x, meta), {}
    named = ~meta["Metadata_pert_type"].isin(["negcon", "empty"]) & meta["Metadata_moa"].notna()
    for name, part in meta[named & good].groupby("Metadata_Perturbation"):
        first = part.iloc[0]
        batches = set(part["Metadata_Batch"])
        found[name] = (
            np.median(x[part.index], axis=0),
            first["Metadata_Compound"],
            first["Metadata_moa"],
            batches,
            len(part),
        )
    return found, meta.loc[named, "Metadata_Perturbation"].nunique() - len(found)


@pytest.mark.parametrize("seed", SEEDS)
def test_nearest_treatments(seed):
    x, meta = uneven(seed)
    number = meta["Metadata_Compound"].str.extract(r"c(\d)")[0].astype(float)
    meta["Metadata_Batch"] = meta["Metadata_Batch"].where(
        (number == 4) | number.isna(), "B" + (number // 3).astype(str)
    )
    about, lost = profiles(x, meta)
    names = sorted(about)
    near = cosines(np.array([about[name][0] for name in names]))
    spread = {}
    for _, _, moa, batches, _ in about.values():
        spread.setdefault(moa, set()).update(batches)
    for score, strict in ((nsc(x, meta), False), (nscb(x, meta), True)):
        mine = [name for name in names if not strict or len(spread[about[name][2]]) > 1]
        right, shares, group = {}, [], {}
        for name in mine:
            pool = [other for other in mine if about[other][1] != about[name][1]]
            pool = [other for other in pool if not strict or not about[other][3] & about[name][3]]
            if pool:
                best = max(pool, key=lambda other, name=name: near[names.index(name), names.index(other)])
                right[name], group[name] = float(about[best][2] == about[name][2]), about[best][2]
                shares.append(np.mean([about[other][2] == about[name][2] for other in pool]))
        assert (
            by_item(score).dropna().to_dict() == right and by_item(score, "Metadata_Group").dropna().to_dict() == group
        )
        assert score.chance == pytest.approx(np.mean(shares))
        assert (score.n, score.n_undefined) == (len(right), lost + len(mine) - len(right))
        assert by_item(score, "n").to_dict() == {name: about[name][4] for name in mine}
        assert by_item(score, "n_undefined").to_dict() == {name: int(name not in right) for name in mine}
        assert score.units["cluster"].tolist() == [about[name][1] for name in mine if name in right]
        assert score.proportion and not score.disjoint
        dropped = [note.values["treatments"] for note in score.notes if note.code == "mechanism_in_one_batch"]
        assert dropped == ([len(names) - len(mine)] if strict and len(mine) < len(names) else [])


@pytest.mark.parametrize("seed", SEEDS)
def test_hits_with_mechanisms_of_one_compound(seed):
    x, meta = uneven(seed)
    about, lost = profiles(x, meta)
    names = sorted(about)
    near = cosines(np.array([about[name][0] for name in names]))
    for k in (2, 5):
        chance, gained, precise = [], [], []
        for i, name in enumerate(names):
            pool = [j for j, other in enumerate(names) if about[other][1] != about[name][1]]
            same = [about[names[j]][2] == about[name][2] for j in sorted(pool, key=lambda j, i=i: -near[i, j])]
            reach = min(k, len(same))
            chance.append(1 - hypergeom(len(same), sum(same), reach).pmf(0))
            precise.append(np.mean(same))
            if any(same):
                gained.append(np.mean(same[:reach]) / np.mean(same))
        hit, precision, enrichment = hits(x, meta, neighbours=(k,))
        assert hit.chance == pytest.approx(np.mean(chance)) and precision.chance == pytest.approx(np.mean(precise))
        assert enrichment.chance == 1 and enrichment.value == pytest.approx(np.mean(gained))
        alone = len(names) - len(gained)
        assert (enrichment.n, enrichment.n_undefined) == (len(gained), lost + alone)
        assert (hit.n, hit.n_undefined, precision.n) == (len(names), lost, len(names))
        assert all(score.proportion for score in (hit, precision, enrichment)), "shares, with Wilson's interval"
        few = [note.values for note in hit.notes if note.code == "mechanism_of_one_compound"]
        assert few == ([{"treatments": alone, "total": len(names)}] if alone else [])


@pytest.mark.parametrize("seed", SEEDS)
def test_activity_and_its_share(seed):
    x, meta = uneven(seed)
    near, good, kind = cosines(x), usable(x, meta), meta["Metadata_pert_type"]
    plate, values, p, chances, number = meta["Metadata_Plate"], {}, {}, [], {}
    for name, part in meta[kind.isin(["trt", "poscon"])].groupby("Metadata_Perturbation"):
        against = {
            i: [j for j in meta.index if kind[j] == "negcon" and good[j] and plate[j] == plate[i]] for i in part.index
        }
        mine = [i for i in part.index if good[i] and against[i]]
        number[name] = len(mine), len(part) - len(mine)
        if len(mine) < 2:
            continue
        own = [average_precision(near[i, [j for j in mine if j != i]], near[i, against[i]]) for i in mine]
        values[name] = np.mean(own)
        null = shared_null(len(mine), min(len(against[i]) for i in mine), size=1000, seed=0)
        p[name] = p_value(values[name], null) if p_value(1.0, null) < 0.05 else np.nan
        if kind[part.index[0]] == "trt":
            chances.append(np.mean([expected(len(mine) - 1, len(against[i]) + len(mine) - 1) for i in mine]))
    score = activity(x, meta, null_size=1000)
    assert by_item(score).dropna().to_dict() == pytest.approx(values)
    assert by_item(score, "p").dropna().to_dict() == pytest.approx({n: one for n, one in p.items() if np.isfinite(one)})
    assert by_item(score, "n").to_dict() == {name: counts[0] for name, counts in number.items()}
    assert by_item(score, "n_undefined").to_dict() == {name: counts[1] for name, counts in number.items()}
    assert score.chance == pytest.approx(np.mean(chances)) and score.n == len(chances)
    assert score.n_undefined == len(number) - len(values)
    treated = set(meta.loc[kind == "trt", "Metadata_Perturbation"])
    assert score.value == pytest.approx(np.mean([value for name, value in values.items() if name in treated]))
    group = by_item(score, "Metadata_Group")
    assert {group[name] for name in set(number) - treated} == {"m9"}
    nameless = activity(x, meta.assign(Metadata_moa=None), null_size=1000)
    assert set(by_item(nameless, "Metadata_Group")) == {"poscon", "trt"}
    q, share = by_item(score, "q"), retrieved(score, meta)
    tested = [name for name in sorted(treated) if np.isfinite(q[name])]
    assert share.value == pytest.approx(np.mean([q[name] < 0.05 for name in tested])) and share.n == len(tested)
    assert share.n_undefined == len(treated) - len(tested) and share.proportion and share.chance == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_consistency(seed):
    x, meta = uneven(seed)
    named = (meta["Metadata_pert_type"] == "trt") & meta["Metadata_moa"].notna()
    keep = np.flatnonzero(named & usable(x, meta))
    near, moa, compound = cosines(x), meta["Metadata_moa"].to_numpy(), meta["Metadata_Compound"].to_numpy()
    values, chances, undefined = {}, {}, 0
    for i in keep:
        pool = [j for j in keep if compound[j] != compound[i]]
        same = np.array([moa[j] == moa[i] for j in pool])
        if not same.any():
            undefined += 1
            continue
        values.setdefault(compound[i], []).append(average_precision(near[i, pool][same], near[i, pool][~same]))
        chances.setdefault(compound[i], []).append(float(expected(int(same.sum()), len(pool))))
    (score,) = consistency(x, meta)
    means = {name: np.mean(found) for name, found in values.items()}
    assert by_item(score).dropna().to_dict() == pytest.approx(means)
    assert score.value == pytest.approx(np.mean(list(means.values())))
    assert score.chance == pytest.approx(np.mean([np.mean(found) for found in chances.values()]))
    assert (score.n, score.n_undefined) == (len(means), int(named.sum()) - len(keep) + undefined)
    lost = meta.loc[named & ~usable(x, meta), "Metadata_Compound"].value_counts()
    assert by_item(score, "n_undefined").to_dict() == {name: lost.get(name, 0) for name in by_item(score).index}


@pytest.mark.parametrize("seed", SEEDS)
def test_replicates_above_random_groups(seed):
    x, meta = uneven(seed)
    treated = (meta["Metadata_pert_type"] == "trt").to_numpy()
    keep, r = np.flatnonzero(treated & usable(x, meta)), np.corrcoef(x)
    rows = wells.units(x[keep] - x[keep].mean(axis=1, keepdims=True))
    score = replicating(x, meta, null_size=200, seed=3)
    p, wins = {}, []
    for name, part in meta[treated].groupby("Metadata_Perturbation"):
        mine = [i for i in part.index if i in set(keep)]
        if len(mine) > 1:
            middle = np.median([r[a, b] for place, a in enumerate(mine) for b in mine[:place]])
            null = null_medians(rows, meta["Metadata_Compound"].to_numpy()[keep], len(mine), draws=200, seed=3)
            p[name] = (1 + (null >= middle - 1e-12).sum()) / 201
            wins.append(p[name] <= 0.05)
    assert by_item(score, "p").dropna().to_dict() == pytest.approx(p)
    assert score.value == pytest.approx(np.mean(wins)) and score.chance == 0.05
    count = meta.loc[treated, "Metadata_Perturbation"].nunique()
    assert (score.n, score.n_undefined) == (len(p), count - len(p)) and score.proportion


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("label", ["mechanism", "compound"])
def test_transfer_between_batches(seed, label):
    x, meta = uneven(seed)
    target = meta["Metadata_moa" if label == "mechanism" else "Metadata_Compound"]
    named = (meta["Metadata_pert_type"] == "trt") & target.notna()
    keep, near = np.flatnonzero(named & usable(x, meta)), cosines(x)
    batch, plate, compound = (meta[f"Metadata_{name}"] for name in ("Batch", "Plate", "Compound"))
    for k in (1, 2, 3):
        right, shares, few = {}, {}, 0
        for i in keep:
            for source in sorted(set(batch[keep])):
                pool = [j for j in keep if batch[j] == source and (batch[i] != source or plate[i] != plate[j])]
                pool = [j for j in pool if label == "compound" or compound[i] != compound[j]]
                if not pool:
                    continue
                names = [target[j] for j in sorted(pool, key=lambda j, i=i: -near[i, j])[:k]]
                pair, partners = f"{source}->{batch[i]}", sum(target[j] == target[i] for j in pool)
                right.setdefault(pair, []).append(float(vote(names) == target[i]))
                shares.setdefault(pair, []).append(partners / len(pool))
                few += partners < (k + 1) // 2
        main, gap = transfers(x, meta, between=("Metadata_Batch",), label=(label,), neighbours=(k,), seed=seed)
        off = {pair: np.mean(found) for pair, found in right.items() if len(set(pair.split("->"))) > 1}
        on = {pair: np.mean(found) for pair, found in right.items() if pair not in off}
        assert by_item(main).dropna().to_dict() == pytest.approx(off | on)
        assert main.value == pytest.approx(np.mean(list(off.values())))
        assert gap.value == pytest.approx(np.mean(list(on.values())) - main.value)
        chance = np.mean([np.mean(shares[pair]) for pair in off])
        assert main.chance == pytest.approx(chance, abs=1e-9 if k == 1 else 0.2)
        lost = int(named.sum()) - len(keep)
        total = len(keep) * (len(set(batch[keep])) - 1)
        assert main.n == sum(len(right[pair]) for pair in off) and main.n_undefined == lost + total - main.n
        assert gap.n == sum(map(len, right.values())) and gap.n_undefined == lost and gap.chance == 0
        weak = [note.values for note in main.notes if note.code == "too_few_references"]
        assert weak == ([{"queries": few, "total": gap.n, "votes": k}] if few else [])
        items = main.items.set_index("Metadata_Item")
        assert {pair: n for pair, n in items["n"].items() if n} == {pair: len(found) for pair, found in right.items()}
        sizes = {pair: int((batch[keep] == pair.split("->")[1]).sum()) for pair in items.index}
        assert (items["n"] + items["n_undefined"]).to_dict() == sizes
