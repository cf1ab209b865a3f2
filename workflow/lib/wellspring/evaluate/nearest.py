"""Nearest-neighbour mechanism scores of treatments: NSC, NSCB, and their difference.

In flow well profiles with compound, concentration, batch and mechanism, out flow one score each; items are treatments
and `Metadata_Group` of an item is the mechanism that its nearest neighbour has, so the items are the confusion matrix.

Not-same-compound and not-same-compound-and-batch matching after Ljosa et al. 2013 and Ando et al. 2017: treatment =
(compound, concentration), its profile the median over its wells; nearest by cosine among the treatments of other
compounds; for NSCB also of those whose set of batches has nothing in common with its own, after leaving out the
mechanisms that occur in one batch only.
"""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.neighbours import Nearest, nearest
from wellspring.evaluate.score import Score, absent


def treatment_profiles(
    features: np.ndarray, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median"
) -> tuple[np.ndarray, pd.DataFrame, int]:
    """Return the treatments' profiles (t, d), a frame about them, and how many treatments have none.

    The profile is the median of the wells (Ando et al. 2017), or their `mean` (Ljosa et al. 2013). Treatments are all
    wells but negative controls and empty ones that have a compound and a label. The frame has
    treatment, compound, label, batches (a frozenset), wells.
    """
    keep = ~wells.kind(metadata, "negcon", "empty")
    compound, mechanism, batch = (wells.column(metadata, n) for n in ("Metadata_Compound", label, wells.BATCH))
    treatment = wells.treatments(metadata)
    keep &= np.array([t is not None and m is not None for t, m in zip(treatment, mechanism, strict=True)], dtype=bool)
    usable = keep & wells.defined(features, metadata)
    of = {"median": np.median, "mean": np.mean}[operation]
    profiles, rows = [], []
    for name, places in pd.Series(np.flatnonzero(usable)).groupby(treatment[usable], sort=True):
        members = places.to_numpy()
        profiles.append(of(features[members], axis=0))
        batches = frozenset(batch[members])
        rows.append((name, compound[members[0]], mechanism[members[0]], batches, len(members)))
    frame = pd.DataFrame(rows, columns=["treatment", "compound", "label", "batches", "wells"])
    return np.array(profiles).reshape(len(rows), features.shape[1]), frame, len(set(treatment[keep])) - len(rows)


def nsc(features: np.ndarray, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median") -> Score:
    """Return NSC: share of treatments whose nearest treatment of another compound has their mechanism."""
    return nsc_permuted(features, metadata, label=label, operation=operation)[0]


def nsc_permuted(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    permutations: int = 0,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return NSC and, with permutations, `nsc.permuted`: NSC after mechanisms are dealt anew to whole compounds.

    With `queries`, so many treatments at most, drawn evenly over compounds, look for their nearest among all.
    """
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    taken = asked(frame, queries=queries, seed=seed)
    main, near = _score("nsc", profiles, frame, same_compound(frame), lost, taken)
    if not permutations:
        return [main]
    if near is None or not len(main.units):
        return [main, absent("nsc.permuted", main.note)]
    found, first, rng = near.valid[:, 0], near.index[:, 0], np.random.default_rng(seed)
    deals = dealt_labels(frame["compound"].to_numpy(), frame["label"].to_numpy(), permutations, rng)
    return [main, permuted(main, np.array([(dealt[first] == dealt[taken])[found].mean() for dealt in deals]))]


def nscb(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    queries: int | None = None,
    seed: int = 0,
) -> Score:
    """Return NSCB: as NSC, with every treatment that shares a batch barred, over mechanisms in several batches."""
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
    return score.noted(f"{dropped} treatments left out: their mechanism occurs in one batch only" if dropped else "")


def drop(first: Score, second: Score) -> Score:
    """Return NSC minus NSCB, with the interval of compounds resampled in both."""
    if not len(first.units) or not len(second.units):
        return absent("nsc.drop", "needs both NSC and NSCB")
    both = pd.concat([first.units.assign(stratum="nsc"), second.units.assign(stratum="nscb")], ignore_index=True)
    return Score("nsc.drop", units=both, weights={"nsc": 1.0, "nscb": -1.0}, n=second.n, n_undefined=second.n_undefined)


def dealt_labels(
    compounds: np.ndarray, labels: np.ndarray, rounds: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield, `rounds` times, labels (n,) as codes after they have been dealt anew to whole compounds."""
    _, first, code = np.unique(compounds.astype(str), return_index=True, return_inverse=True)
    owned = wells.codes(labels)[first]
    for _ in range(rounds):
        yield rng.permutation(owned)[code]


def permuted(score: Score, values: np.ndarray) -> Score:
    """Return the score `<metric>.permuted`: the values that permuted labels gave, with the p of the real one."""
    values = values[np.isfinite(values)]
    if not len(values):
        return absent(f"{score.metric}.permuted", "no permutation gave a value")
    p = (1 + int((values >= score.value - 1e-12).sum())) / (1 + len(values))
    return Score(
        f"{score.metric}.permuted",
        chance=float(values.mean()),
        guard="label permutation",
        n=len(values),
        units=pd.DataFrame({"stratum": "permuted", "cluster": "", "value": values}),
        note=f"mean of {len(values)} permutations of mechanisms over compounds, interval their 95 % range; p = {p:.3g}",
    )


def same_compound(frame: pd.DataFrame) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from places of queries (q,) to a mask (q, n) of the treatments of the same compound."""
    code = wells.codes(frame["compound"].to_numpy())
    return lambda query: code[query, None] == code[None, :]


def asked(frame: pd.DataFrame, *, queries: int | None, seed: int) -> np.ndarray:
    """Return the places of the treatments that look for neighbours: all, or `queries` drawn evenly over compounds."""
    if queries is None:
        return np.arange(len(frame))
    return wells.drawn(frame["compound"].to_numpy(), at_most=queries, seed=seed)


def _score(
    metric: str,
    profiles: np.ndarray,
    frame: pd.DataFrame,
    barred: Callable[[np.ndarray], np.ndarray],
    lost: int,
    taken: np.ndarray,
) -> tuple[Score, Nearest | None]:
    if not len(frame):
        note = "no treatment has a compound and a mechanism label (and several batches, for NSCB)"
        return absent(metric, note, n_undefined=lost), None
    labels, every = frame["label"].to_numpy(), np.arange(len(frame))
    near = nearest(
        wells.units(profiles), queries=taken, references=every, k=1, barred=barred, labels=wells.codes(labels)
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
        reason = "every other treatment is of the same compound" + (" or shares a batch" if metric == "nscb" else "")
        return Score(metric, items=items, n_undefined=lost + len(mine), note=f"undefined: {reason}"), near
    units = pd.DataFrame({"stratum": metric, "cluster": mine["compound"], "value": right})[found]
    score = Score(
        metric,
        items=items,
        units=units,
        chance=float((near.matching[found] / near.allowed[found]).mean()),
        guard="frequency of the mechanism among the treatments allowed",
        n=int(found.sum()),
        n_undefined=lost + int((~found).sum()),
        proportion=True,
        note="" if len(set(labels)) > 1 else "one mechanism only: right by construction",
    )
    return score.noted(wells.sampling(len(taken), len(frame), "treatments")), near
