"""The chance levels of activity and grit at a level of processing: those of controls that are treated as a treatment.

The chance of a random ranking assumes that all similarities have one distribution. They have not: before normalisation,
wells of one plate are more alike than wells of two, and after it a plate is centred and scaled by a few controls. On 4
plates of 8 controls (64 features), inactive treatments have an activity of 0.22 before normalisation and 0.40 after it,
a random ranking has 0.42; the method of this module finds 0.22 and 0.40.

In each round, as many controls as a treatment of the screen has wells are taken from the same plates, these plates are
normalised again on the other controls, and the value is read against these. The mean excess over a random ranking is
added to the chance level. A plate whose controls have the median 0 is normalised by median and median absolute
deviation, one with the mean 0 by mean and standard deviation; any other stays as it is, because its controls took no
part in its centre (by halves) or it has none. Aligned profiles have the excess of the normalised ones: the controls of
a plate took part in the fits of all other plates, so that aligned controls cannot stand for treatments.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.precision import average_precision, expected
from wellspring.evaluate.wells import Array

ROUNDS, FEWEST, CELLS = 60, 12, 30_000_000  # rounds, fewer for many values of controls
LEAST = 4  # controls that a plate must keep: of fewer, the centre is too uncertain
SHARE = 6  # controls per well of a mechanism that they stand for, at least
CENTRED = 1e-4  # largest centre of the controls on a plate that was centred on them


def excess(
    features: Array, metadata: pd.DataFrame, *, replicates_share: tuple[str, ...] = (), seed: int = 0
) -> tuple[float, float]:
    """Return by how much activity and grit of controls in the place of treatments exceed chance; NaN with too few.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows of the wells that are judged together.
    replicates_share
        As of `wellspring.evaluate.retrieval.activity`.
    """
    usable = wells.directed(features, metadata) & (wells.varied(features, metadata) | (features.shape[1] < 2))
    plate = wells.column(metadata, wells.PLATE).astype(str)
    control = usable & wells.kind(metadata, "negcon")
    mine = _by_plate(control, plate)
    names, treated = wells.replicate_names(metadata, replicates_share), usable & wells.kind(metadata, "trt")
    layouts = [
        own.to_numpy() for _, own in pd.Series(plate[treated], dtype=object).groupby(names[treated]) if len(own) > 1
    ]
    layouts = [own for own in layouts if all(_spare(mine, own))]
    if not layouts:
        return float("nan"), float("nan")
    rng, found = np.random.default_rng([seed, 29]), []
    for _ in range(_rounds(control, features)):
        own = layouts[rng.integers(len(layouts))]
        found.append(_round(features, mine, own, np.arange(len(own)), rng))
    activity, grit = np.array(found).T
    return float(activity.mean()), float(grit.mean())


def mechanism_excess(
    features: Array, metadata: pd.DataFrame, *, label: str = wells.MOA, seed: int = 0
) -> dict[str, float]:
    """Return by how much grit by mechanism of controls in the place of compounds exceeds chance; empty with too few.

    Compounds of a mechanism share plates, and all wells of a plate share the error of its centre. At most one in
    `SHARE` controls of a plate, and two at least, stand for wells of the mechanism.
    """
    usable = wells.directed(features, metadata) & wells.varied(features, metadata)
    plate = wells.column(metadata, wells.PLATE).astype(str)
    control, named = (
        usable & wells.kind(metadata, "negcon"),
        usable & wells.labelled(metadata, label, "Metadata_Compound"),
    )
    mine = _by_plate(control, plate)
    value, compound = (wells.column(metadata, name)[named].astype(str) for name in (label, "Metadata_Compound"))
    owner, at, rng = wells.codes(compound), plate[named], np.random.default_rng([seed, 41])
    sets = [own for own in wells.places(value).values() if len(set(owner[own])) > 1]
    found = []
    for number in rng.integers(len(sets), size=_rounds(control, features)) if sets else ():
        order = rng.permutation(sets[number])
        turn = pd.Series(at[order]).groupby(at[order]).cumcount().to_numpy()
        size = np.array([len(mine.get(name, ())) for name in at[order]])
        own = order[turn < np.minimum(np.maximum(size // SHARE, 2), size - LEAST)]
        if len(set(owner[own])) > 1:
            found.append(_round(features, mine, at[own], owner[own], rng)[1])
    return {"grit.mechanism": float(np.mean(found))} if found else {}


def anew(taken: Array, kept: Array) -> tuple[Array, Array]:
    """Return the controls that were taken (k, d) and the others (m, d), normalised by the others."""
    whole = np.concatenate([taken, kept])
    if (np.abs(np.median(whole, axis=0)) < CENTRED).all():
        centre = np.median(kept, axis=0)
        before, after = np.median(np.abs(whole), axis=0), np.median(np.abs(kept - centre), axis=0)
    elif (np.abs(whole.mean(axis=0)) < CENTRED).all():
        centre = kept.mean(axis=0)
        before, after = whole.std(axis=0), kept.std(axis=0)
    else:
        return taken, kept
    scale = np.divide(before, after, out=np.ones_like(before), where=after > 0)
    return (taken - centre) * scale, (kept - centre) * scale


def _by_plate(control: Array, plate: Array) -> dict[str, Array]:
    """Return the places of the controls (n,) bool of each plate."""
    return {name: np.flatnonzero(control)[own] for name, own in wells.places(plate[control]).items()}


def _rounds(control: Array, features: Array) -> int:
    """Return the number of rounds, fewer for many values of controls."""
    return int(np.clip(CELLS // max(int(control.sum()) * features.shape[1], 1), FEWEST, ROUNDS))


def _spare(controls: Mapping[str, Array], own: Array) -> list[bool]:
    """Return for each plate of a treatment whether it keeps enough controls beside as many as the treatment has."""
    plates, counts = np.unique(own, return_counts=True)
    return [len(controls.get(name, ())) - count >= LEAST for name, count in zip(plates, counts, strict=True)]


def _round(
    features: Array, controls: Mapping[str, Array], layout: Array, owner: Array, rng: np.random.Generator
) -> tuple[float, float]:
    """Return what controls have more than chance: mean average precision, and grit over pairs of different owners.

    `layout` (m,) are the plates of the wells that they stand for, and `owner` (m,) whose wells these are.
    """
    order = np.argsort(layout, kind="stable")
    plates, counts = np.unique(layout, return_counts=True)
    wanted = dict(zip(plates, counts, strict=True))
    members, rest, of, whose = [], [], [], owner[order]
    for name, places in sorted(controls.items()):
        count = wanted.get(name, 0)
        chosen = rng.choice(places, count, replace=False)
        others = np.setdiff1d(places, chosen)
        values, kept = features[chosen], features[others]
        if count:
            values, kept = anew(values, kept)
        members.append(values)
        rest.append(kept)
        of += [name] * count
    rows, against = wells.units(np.concatenate(members)), wells.units(np.concatenate(rest))
    home = np.repeat(sorted(controls), [len(each) for each in rest])
    between, apart = wells.cosine(rows, rows), wells.cosine(rows, against)
    precision = []
    for place, name in enumerate(of):
        negative = apart[place, home == name]
        level = float(expected(len(of) - 1, len(negative) + len(of) - 1))
        precision.append(average_precision(np.delete(between[place], place), negative) - level)
    rows, against = wells.correlated(np.concatenate(members)), wells.correlated(np.concatenate(rest))
    pairs = whose[:, None] != whose[None, :]
    some = pairs.any(axis=1)
    likeness = (pairs * (rows @ rows.T)).sum(axis=1)[some] / pairs.sum(axis=1)[some]
    products = rows[some] @ against.T
    grit = (likeness - products.mean(axis=1)) / products.std(axis=1)
    return float(np.mean(precision)), float(grit.mean())
