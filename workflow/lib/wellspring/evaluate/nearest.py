"""Nearest-neighbour mechanism scores of treatments: NSC, NSCB, and their difference.

Not-same-compound and not-same-compound-and-batch matching after Ljosa et al. 2013 and Ando et al. 2017. A treatment is
a compound at a concentration, and its profile is the median over its wells. Its nearest treatment by cosine is looked
up among the treatments of other compounds. NSCB also requires that the two treatments share no batch, and leaves out
the mechanisms that occur in one batch only.

Items are treatments. `Metadata_Group` of an item is the mechanism of its nearest neighbour, so that the items form the
confusion matrix.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, merged
from wellspring.evaluate.left_out import Listed, listed
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.neighbours import Nearest, nearest
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate


def treatment_profiles(
    features: Array, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median"
) -> tuple[Array, pd.DataFrame, int]:
    """Return the treatments' profiles (t, d), a frame about them, and the number of treatments without a profile.

    The profile is the median of the wells (Ando et al. 2017), or their `mean` (Ljosa et al. 2013). Wells with a
    compound and a label count, apart from negative controls and empty wells. The frame has the columns treatment,
    compound, label, batches (a frozenset) and wells.
    """
    keep = ~wells.kind(metadata, "negcon", "empty")
    compound, mechanism, batch = (wells.column(metadata, n) for n in ("Metadata_Compound", label, wells.BATCH))
    treatment = wells.treatments(metadata)
    keep &= np.array([t is not None and m is not None for t, m in zip(treatment, mechanism, strict=True)], dtype=bool)
    usable = keep & wells.directed(features, metadata)
    of: Callable[..., Array] = {"median": partial(np.median, axis=0), "mean": partial(np.mean, axis=0)}[operation]
    profiles, rows = [], []
    for name, places in pd.Series(np.flatnonzero(usable)).groupby(treatment[usable], sort=True):
        members = places.to_numpy()
        profiles.append(of(features[members]))
        batches = frozenset(batch[members])
        rows.append((name, compound[members[0]], mechanism[members[0]], batches, len(members)))
    frame = pd.DataFrame(rows, columns=["treatment", "compound", "label", "batches", "wells"])
    return np.array(profiles).reshape(len(rows), features.shape[1]), frame, len(set(treatment[keep])) - len(rows)


def nsc(features: Array, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median") -> Score:
    """Return NSC: share of treatments whose nearest treatment of another compound has their mechanism."""
    return nsc_permuted(features, metadata, label=label, operation=operation)[0]


def nsc_permuted(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    permutations: int = 0,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return NSC and, with permutations, `nsc.permuted`: NSC after mechanisms were permuted over compounds.

    With `queries`, at most that many treatments, drawn evenly over compounds, look for their nearest among all.
    """
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    taken = asked(frame, queries=queries, seed=seed)
    main, near = _score("nsc", profiles, frame, same_compound(frame), lost, taken)
    if not permutations:
        return [main]
    if near is None or not len(main.units):
        return [main, absent("nsc.permuted", *main.notes)]
    found, first, rng = near.valid[:, 0], near.index[:, 0], np.random.default_rng(seed)
    deals = dealt_labels(frame["compound"].to_numpy(), frame["label"].to_numpy(), permutations, rng)
    return [main, permuted(main, np.array([(dealt[first] == dealt[taken])[found].mean() for dealt in deals]))]


def nscb(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    queries: int | None = None,
    seed: int = 0,
) -> Score:
    """Return NSCB: NSC without treatments that share a batch, over the mechanisms that occur in several batches."""
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    spread = frame.groupby("label")["batches"].agg(lambda sets: len(frozenset().union(*sets))) if len(frame) else {}
    kept = np.array([spread[name] > 1 for name in frame["label"]], dtype=bool)
    dropped = int((~kept).sum())
    profiles, frame = profiles[kept], frame[kept].reset_index(drop=True)
    batches = sorted({str(name) for own in frame["batches"] for name in own})
    member = np.zeros((len(frame), len(batches)), dtype=np.float32)
    for row, own in enumerate(frame["batches"]):
        member[row, [batches.index(str(name)) for name in own]] = 1
    alike = same_compound(frame)
    taken = asked(frame, queries=queries, seed=seed)
    score, _ = _score("nscb", profiles, frame, lambda query: alike(query) | (member[query] @ member.T > 0), lost, taken)
    return score.noted(*([Note("mechanism_in_one_batch", {"treatments": dropped})] if dropped else []))


def drop(first: Score, second: Score) -> Score:
    """Return NSC minus NSCB; its interval leaves the same mechanisms out of both."""
    if not len(first.units) or not len(second.units):
        return absent("nsc.drop", Note("needs_metrics", {"metrics": "nsc, nscb"}))
    both = pd.concat([first.units.assign(stratum="nsc"), second.units.assign(stratum="nscb")], ignore_index=True)
    return Score(
        "nsc.drop",
        units=both,
        weights={"nsc": 1.0, "nscb": -1.0},
        n=second.n,
        n_undefined=second.n_undefined,
        jackknives=merged([first.jackknives, second.jackknives], [first.value, second.value], [1.0, -1.0]),
    )


def dealt_labels(compounds: Array, labels: Array, rounds: int, rng: np.random.Generator) -> Iterator[Array]:
    """Yield, `rounds` times, labels (n,) as codes after they were permuted over compounds."""
    _, first, code = np.unique(compounds.astype(str), return_index=True, return_inverse=True)
    owned = wells.codes(labels)[first]
    for _ in range(rounds):
        yield rng.permutation(owned)[code]


def permuted(score: Score, values: Array) -> Score:
    """Return the score `<metric>.permuted`: the values under permuted labels; its note has the p of the real value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return absent(f"{score.metric}.permuted", Note("no_permuted_value"))
    low, high = np.percentile(values, [2.5, 97.5])
    p = (1 + int((values >= score.value - 1e-12).sum())) / (1 + len(values))
    return Score(
        f"{score.metric}.permuted",
        chance=float(values.mean()),
        n=len(values),
        units=pd.DataFrame({"stratum": "permuted", "cluster": "", "value": values}),
        interval=(float(low), float(high)),
        notes=(Note("permuted", {"rounds": len(values), "p": float(f"{p:.3g}")}),),
    )


def same_compound(frame: pd.DataFrame) -> Callable[[Array], Array]:
    """Return the function from places of queries (q,) to a mask (q, n) of the treatments of the same compound."""
    code = wells.codes(frame["compound"].to_numpy())
    return lambda query: code[query, None] == code[None, :]


def asked(frame: pd.DataFrame, *, queries: int | None, seed: int) -> Array:
    """Return the places of the treatments that look for neighbours: all, or `queries` drawn evenly over compounds."""
    if queries is None:
        return np.arange(len(frame))
    return wells.drawn(frame["compound"].to_numpy(), at_most=queries, seed=seed)


def _score(
    metric: str,
    profiles: Array,
    frame: pd.DataFrame,
    barred: Callable[[Array], Array],
    lost: int,
    taken: Array,
) -> tuple[Score, Nearest | None]:
    if not len(frame):
        note = Note("no_labelled_treatments" if metric == "nsc" else "no_labelled_treatments_in_batches")
        return absent(metric, note, n_undefined=lost), None
    labels, every = frame["label"].to_numpy(), np.arange(len(frame))
    long = listed(Groups.of(labels), 1, len(labels))
    near = nearest(
        wells.units(profiles), queries=taken, references=every, k=long, barred=barred, labels=wells.codes(labels)
    )
    found, first, mine = near.valid[:, 0], near.index[:, 0], frame.iloc[taken].reset_index(drop=True)
    right = np.where(found, labels[first] == labels[taken], np.nan).astype(float)
    items = pd.DataFrame(
        {
            "Metadata_Item": mine["treatment"],
            "value": right,
            "n": mine["wells"],
            "n_undefined": (~found).astype(int),
            "Metadata_Group": np.where(found, labels[first], None),
        }
    )
    if not found.any():
        note = Note("single_compound" if metric == "nsc" else "single_compound_or_shared_batch")
        return Score(metric, items=items, n_undefined=lost + len(mine), notes=(note,)), near
    if not near.matching[found].any():  # no answer can be right
        note = Note("no_shared_mechanism")
        return Score(metric, items=items.assign(value=np.nan), n_undefined=lost + len(mine), notes=(note,)), near
    units = pd.DataFrame({"stratum": metric, "cluster": mine["compound"], "value": right})[found]
    chance = np.where(found, near.matching / np.maximum(near.allowed, 1), np.nan)
    without = Listed(near, taken, labels, seed=0)
    same, count = without.right(1)
    score = Score(
        metric,
        items=items,
        units=units,
        chance=float(np.nanmean(chance)),
        n=int(found.sum()),
        n_undefined=lost + int((~found).sum()),
        proportion=True,
        jackknives=without.jackknife(right, np.where(count > 0, same, np.nan), chance, without.share),
        notes=() if len(set(labels)) > 1 else (Note("single_mechanism"),),
    )
    return score.noted(*wells.sampling(len(taken), len(frame), "treatments")), near


def _compute_nsc(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(set(wells.treatments(metadata))), options.pairs)
    return nsc_permuted(
        features, metadata, label=options.label, permutations=options.permutations, queries=queries, seed=seed
    )


def _compute_nscb(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    queries = wells.most_queries(len(set(wells.treatments(metadata))), options.pairs)
    return [nscb(features, metadata, label=options.label, queries=queries, seed=seed)]


def _derive_drop(scores: Mapping[str, Score], metadata: pd.DataFrame, options: Evaluate) -> Score:
    return drop(scores["nsc"], scores["nscb"])


NSC = Metric(
    name="nsc",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="frequency of the mechanism among the treatments allowed",
    title="Mechanism of the nearest other compound (NSC)",
    meaning="Share of treatments whose nearest treatment of another compound has their mechanism.",
    compute=_compute_nsc,
    permuted=True,
    position_only=True,
    layout=True,
    main=True,
)
NSCB = Metric(
    name="nscb",
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="frequency of the mechanism among the treatments allowed",
    title="Mechanism of the nearest other compound in another batch (NSCB)",
    meaning="Share of treatments whose nearest treatment of another compound and another batch has their mechanism.",
    compute=_compute_nscb,
    position_only=True,
    layout=True,
    main=True,
)
DROP = Metric(
    name="nsc.drop",
    family="mechanisms",
    reads="treated",
    direction=-1,
    bounds=(-1.0, 1.0),
    chance="",
    title="Drop from NSC to NSCB",
    meaning="NSC minus NSCB: the part of NSC that is lost when the nearest treatment must come from another batch.",
    derive=_derive_drop,
    needs=("nsc", "nscb"),
)
