"""Nearest-neighbour mechanism scores of treatments: NSC, NSCB, and their difference.

In flow well profiles with compound, concentration, batch and mechanism, out flow one score each; items are treatments
and `Metadata_Group` of an item is the mechanism that its nearest neighbour has, so the items are the confusion matrix.

Not-same-compound and not-same-compound-and-batch matching after Ljosa et al. 2013 and Ando et al. 2017: treatment =
(compound, concentration), its profile the median over its wells; nearest by cosine among the treatments of other
compounds; for NSCB also of those whose set of batches has nothing in common with its own, after leaving out the
mechanisms that occur in one batch only.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
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
    named = sorted(set(treatment[keep]))
    usable = keep & wells.defined(features, metadata)
    of = {"median": np.median, "mean": np.mean}[operation]
    profiles, rows = [], []
    for name in named:
        members = np.flatnonzero(usable & (treatment == name))
        if len(members):
            profiles.append(of(features[members], axis=0))
            batches = frozenset(batch[members])
            rows.append((name, compound[members[0]], mechanism[members[0]], batches, len(members)))
    frame = pd.DataFrame(rows, columns=["treatment", "compound", "label", "batches", "wells"])
    return np.array(profiles).reshape(len(rows), features.shape[1]), frame, len(named) - len(rows)


def nsc(features: np.ndarray, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median") -> Score:
    """Return NSC: share of treatments whose nearest treatment of another compound has their mechanism."""
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    return _score("nsc", profiles, frame, _same_compound(frame), lost)


def nscb(features: np.ndarray, metadata: pd.DataFrame, *, label: str = wells.MOA, operation: str = "median") -> Score:
    """Return NSCB: as NSC, with every treatment that shares a batch barred, over mechanisms in several batches."""
    profiles, frame, lost = treatment_profiles(features, metadata, label=label, operation=operation)
    spread = frame.groupby("label")["batches"].agg(lambda sets: len(frozenset().union(*sets))) if len(frame) else {}
    kept = np.array([spread[name] > 1 for name in frame["label"]], dtype=bool)
    dropped = int((~kept).sum())
    profiles, frame = profiles[kept], frame[kept].reset_index(drop=True)
    barred = _same_compound(frame)
    for i, own in enumerate(frame["batches"]):
        barred[i] |= np.array([bool(own & other) for other in frame["batches"]], dtype=bool)
    score = _score("nscb", profiles, frame, barred, lost)
    return score.noted(f"{dropped} treatments left out: their mechanism occurs in one batch only" if dropped else "")


def drop(first: Score, second: Score) -> Score:
    """Return NSC minus NSCB, with the interval of compounds resampled in both."""
    if not len(first.units) or not len(second.units):
        return absent("nsc.drop", "needs both NSC and NSCB")
    both = pd.concat([first.units.assign(stratum="nsc"), second.units.assign(stratum="nscb")], ignore_index=True)
    return Score("nsc.drop", units=both, weights={"nsc": 1.0, "nscb": -1.0}, n=second.n, n_undefined=second.n_undefined)


def permuted_nsc(
    features: np.ndarray,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    operation: str = "median",
    permutations: int = 200,
    seed: int = 0,
) -> list[Score]:
    """Return `nsc.permuted`, NSC after mechanisms are dealt anew to whole compounds; empty without permutations."""
    if not permutations:
        return []
    main = nsc(features, metadata, label=label, operation=operation)
    if not len(main.units):
        return [absent("nsc.permuted", main.note)]
    profiles, frame, _ = treatment_profiles(features, metadata, label=label, operation=operation)
    rows, barred = wells.units(profiles), _same_compound(frame)
    nearest = np.where(barred, -np.inf, wells.cosine(rows, rows)).argmax(axis=1)
    found, rng = ~barred.all(axis=1), np.random.default_rng(seed)
    deals = [permuted_labels(frame["compound"].to_numpy(), frame["label"].to_numpy(), rng) for _ in range(permutations)]
    return [permuted(main, np.array([(dealt[nearest] == dealt)[found].mean() for dealt in deals]))]


def permuted_labels(compounds: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return labels (n,) after the mechanisms have been dealt anew to whole compounds."""
    names, first, code = np.unique(compounds.astype(str), return_index=True, return_inverse=True)
    return labels[first][rng.permutation(len(names))][code]


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


def _same_compound(frame: pd.DataFrame) -> np.ndarray:
    compound = frame["compound"].to_numpy()
    return compound[:, None] == compound[None, :]


def _score(metric: str, profiles: np.ndarray, frame: pd.DataFrame, barred: np.ndarray, lost: int) -> Score:
    if not len(frame):
        return absent(
            metric,
            "no treatment has a compound and a mechanism label (and several batches, for NSCB)",
            n_undefined=lost,
        )
    labels = frame["label"].to_numpy()
    rows = wells.units(profiles)
    similarity = np.where(barred, -np.inf, wells.cosine(rows, rows))
    found = np.isfinite(similarity).any(axis=1)
    nearest = similarity.argmax(axis=1)
    right = np.where(found, labels[nearest] == labels, np.nan).astype(float)
    same = (labels[:, None] == labels[None, :]) & ~barred
    items = pd.DataFrame(
        {
            "Metadata_Item": frame["treatment"],
            "value": right,
            "n": frame["wells"],
            "n_undefined": (~found).astype(int),
            "Metadata_Group": np.where(found, labels[nearest], None),
        }
    )
    if not found.any():
        reason = "every other treatment is of the same compound" + (" or shares a batch" if metric == "nscb" else "")
        return Score(metric, items=items, n_undefined=lost + len(frame), note=f"undefined: {reason}")
    units = pd.DataFrame({"stratum": metric, "cluster": frame["compound"], "value": right})[found]
    return Score(
        metric,
        items=items,
        units=units,
        chance=float((same.sum(axis=1)[found] / (~barred).sum(axis=1)[found]).mean()),
        guard="frequency of the mechanism among the treatments allowed",
        n=int(found.sum()),
        n_undefined=lost + int((~found).sum()),
        proportion=True,
        note="" if len(set(labels)) > 1 else "one mechanism only: right by construction",
    )
