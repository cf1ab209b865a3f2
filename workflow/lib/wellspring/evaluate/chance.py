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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.precision import average_precision, expected
from wellspring.evaluate.score import Score
from wellspring.evaluate.wells import Array

ROUNDS, FEWEST, CELLS = 60, 12, 30_000_000  # rounds, fewer for many values of controls
LEAST = 4  # controls that a plate must keep: of fewer, the centre is too uncertain
# Places of the controls of a plate that are taken, and of its others, in; both, as they are without those taken, out.
Renewed = Callable[[Array, Array], tuple[Array, Array]]
CENTRED = 1e-4  # largest centre of the controls on a plate that was centred on them


def excess(
    features: Array,
    metadata: pd.DataFrame,
    *,
    replicates_share: tuple[str, ...] = (),
    seed: int = 0,
    renewed: Renewed | None = None,
) -> tuple[float, float]:
    """Return by how much activity and grit of controls in the place of treatments exceed chance; NaN with too few.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows of the wells that are judged together.
    replicates_share
        As of `wellspring.evaluate.retrieval.activity`.
    renewed
        How controls look on a plate that was processed without those taken (`Renewed`); by default normalised by the
        others (`anew`). A round with values that are not finite does not count.
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
        found.append(_round(features, mine, own, rng, renewed=renewed))
    table = np.array([row for row in found if np.isfinite(row).all()]).reshape(-1, 2)
    return (float(table[:, 0].mean()), float(table[:, 1].mean())) if len(table) else (float("nan"), float("nan"))


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
    features: Array,
    controls: Mapping[str, Array],
    layout: Array,
    rng: np.random.Generator,
    *,
    renewed: Renewed | None = None,
) -> tuple[float, float]:
    """Return what controls have more than chance: mean average precision, and grit.

    `layout` (m,) are the plates of the wells that they stand for.
    """
    plates, counts = np.unique(layout, return_counts=True)
    wanted = dict(zip(plates, counts, strict=True))
    members, rest, of = [], [], []
    for name, places in sorted(controls.items()):
        count = wanted.get(name, 0)
        chosen = rng.choice(places, count, replace=False)
        others = np.setdiff1d(places, chosen)
        values, kept = features[chosen], features[others]
        if count:
            values, kept = anew(values, kept) if renewed is None else renewed(chosen, others)
        members.append(values)
        rest.append(kept)
        of += [name] * count
    if not np.isfinite(np.concatenate(members)).all():
        return float("nan"), float("nan")
    rows, against = wells.units(np.concatenate(members)), wells.units(np.concatenate(rest))
    home = np.repeat(sorted(controls), [len(each) for each in rest])
    between, apart = wells.cosine(rows, rows), wells.cosine(rows, against)
    precision = []
    for place, name in enumerate(of):
        negative = apart[place, home == name]
        level = float(expected(len(of) - 1, len(negative) + len(of) - 1))
        precision.append(average_precision(np.delete(between[place], place), negative) - level)
    rows, against = wells.correlated(np.concatenate(members)), wells.correlated(np.concatenate(rest))
    between, products = rows @ rows.T, rows @ against.T
    likeness = (between.sum(axis=1) - np.diag(between)) / (len(rows) - 1)
    grit = (likeness - products.mean(axis=1)) / products.std(axis=1)
    return float(np.mean(precision)), float(grit.mean())


def with_chance(scores: Sequence[Score], moved: Mapping[str, float], *, least: float = -np.inf) -> list[Score]:
    """Return the scores with the chance levels of those that `moved` has by name moved by its values, at least `least`.

    Values that are not finite move nothing.
    """
    return [
        replace(score, chance=max(least, score.chance + moved[score.metric]))
        if np.isfinite(moved.get(score.metric, np.nan))
        else score
        for score in scores
    ]
