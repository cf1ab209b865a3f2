"""Activity adjusted for position: row, column and edge effects of each plate, estimated on its negative controls.

On each plate and for each feature, a straight line over rows, one over columns and a step at the edge are fitted to the
negative controls by least squares, and subtracted from all wells. The controls' mean stays, so that nothing else about
a plate changes. This needs controls that are spread over rows, columns and edge, at least `LEAST` of them; a well so
far from them that the error of the fit would be more than `MOST` of a well's variance is undefined.

No control gains by its own fit: its residual by a fit without it is the residual by the fit with it times 1 / (1 - h),
the same for all features, which changes no cosine similarity. A residual of a control and that of a treated well of its
plate share no error either, because least squares takes as much from the one covariance as it adds. Treated wells of
one plate do share the error of the fit. Where most replicates are on one plate, plates are judged by halves
(`wellspring.evaluate.levels`), and the fit is that of the half of the controls that is not judged, so that it errs for
controls and treated wells alike.

Effects that are neither straight nor at the edge stay. `evaluate.replicates_differ` keeps those of one well position
from passing for effects of a treatment.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from wellspring.evaluate import chance, wells
from wellspring.evaluate.levels import defined_controls
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.retrieval import ACTIVITY, activity
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

NAME = "activity.adjusted"
LEAST = 12  # controls of a plate that are fitted: three for each slope
MOST = 0.5  # largest variance of the fit at a well, in variances of a well
STATE = "Metadata_Position"  # of each well: one of the following
OWN, HALF, FEW, NARROW, FAR = "own", "half", "few", "narrow", "far"


def terms(metadata: pd.DataFrame) -> Array:
    """Return (n, 3) of each well: row and column between -1 and 1 over the table, and 1 at the edge, else 0.

    NaN without a position.
    """
    place = wells.positions(metadata)
    columns = []
    for name in ("row", "column"):
        values = place[name].to_numpy(dtype=float)
        known = values[np.isfinite(values)]
        low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
        columns.append(2 * (values - low) / max(high - low, 1.0) - 1)
    edge = np.where(np.isfinite(columns[0]), place["edge"].to_numpy(dtype=float), np.nan)
    return np.column_stack([*columns, edge])


def fitted(controls: Array, values: Array, others: Array) -> tuple[Array, Array] | None:
    """Return what to subtract from wells at the terms `others` (n, k), (n, d), and the variance of the fit (n,).

    `controls` (m, k) are the terms of the controls and `values` (m, d) their profiles. None where the terms of the
    controls are collinear. A term that is the same for all wells is left out.
    """
    every = np.concatenate([controls, others])
    used = np.ptp(every, axis=0) > 0
    middle = controls[:, used].mean(axis=0)
    design = controls[:, used] - middle
    if np.linalg.matrix_rank(design) < used.sum():
        return None
    inverse = np.linalg.pinv(design.T @ design)
    away = others[:, used] - middle
    slopes = inverse @ (design.T @ values)
    return away @ slopes, np.einsum("ij,jk,ik->i", away, inverse, away)


def adjusted(frame: pd.DataFrame, beside: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the profiles without effects of position, NaN where these cannot be estimated, with the column `STATE`.

    `beside` has the controls that the frame lacks because its plates are judged by halves, treated as its wells were;
    these plates are fitted on them, others on their own controls.
    """
    names = tables.features(frame)
    values, plate = frame[names].to_numpy(dtype=np.float64, copy=True), wells.column(frame, wells.PLATE).astype(str)
    state, where = np.full(len(frame), OWN, dtype=object), terms(frame)
    control = defined_controls(frame) & np.isfinite(where).all(axis=1) & np.isfinite(values).all(axis=1)
    other, there, theirs = np.zeros((0, len(names))), np.zeros((0, 3)), np.zeros(0, dtype=object)
    if beside is not None and len(beside):
        both = pd.concat([frame, beside], ignore_index=True)
        there = terms(both)[len(frame) :]
        other = both[names].to_numpy(dtype=np.float64)[len(frame) :]
        sound = np.isfinite(there).all(axis=1) & np.isfinite(other).all(axis=1)
        other, there, theirs = other[sound], there[sound], wells.column(beside, wells.PLATE).astype(str)[sound]
    halved = set(theirs)
    for name, mine in wells.places(plate).items():
        half = name in halved
        chosen = theirs == name if half else mine[control[mine]]
        points, profiles = (there[chosen], other[chosen]) if half else (where[chosen], values[chosen])
        placed = np.isfinite(where[mine]).all(axis=1)
        found = fitted(points, profiles, where[mine[placed]]) if len(points) >= LEAST else None
        if found is None:
            state[mine], values[mine] = FEW if len(points) < LEAST else NARROW, np.nan
            continue
        effect, variance = found
        values[mine[placed]] -= effect
        far = np.ones(len(mine), dtype=bool)
        far[placed] = variance > MOST
        state[mine] = np.where(far, FAR, HALF if half else OWN)
        values[mine[far]] = np.nan
    metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]].assign(**{STATE: state})
    return pd.concat([metadata, pd.DataFrame(values, columns=names, index=frame.index)], axis=1)


def excess(frame: pd.DataFrame, *, replicates_share: tuple[str, ...] = (), seed: int = 0) -> float:
    """Return by how much the score of adjusted controls in the place of treatments exceeds that of a random ranking.

    `frame` is of `adjusted`. Plates that were fitted on their own controls are fitted anew on those that stay.
    """
    features, metadata = wells.split(frame)
    where, own = terms(metadata), (wells.column(metadata, STATE) == OWN)

    def renewed(taken: Array, kept: Array) -> tuple[Array, Array]:
        """Return the controls that were taken and those that stay, normalised and adjusted by those that stay."""
        first, rest = chance.anew(features[taken], features[kept])
        if not own[kept].all():
            return first, rest
        found = fitted(where[kept], rest, np.concatenate([where[taken], where[kept]]))
        if found is None or (found[1][: len(taken)] > MOST).any():
            return np.full_like(first, np.nan), rest
        return first - found[0][: len(taken)], rest - found[0][len(taken) :]

    return chance.excess(features, metadata, replicates_share=replicates_share, seed=seed, renewed=renewed)[0]


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> Sequence[Score]:
    state, plate = wells.column(metadata, STATE), wells.column(metadata, wells.PLATE).astype(str)
    notes = tuple(_notes(state, plate, wells.kind(metadata, "trt", "poscon")))
    if not np.isin(state, (OWN, HALF)).any():
        lost = len(set(wells.replicate_names(metadata, options.replicates_share)[wells.kind(metadata, "trt")]))
        return [absent(NAME, *notes, n_undefined=lost)]
    score = activity(
        features,
        metadata,
        label=options.label,
        replicates_share=options.replicates_share,
        replicates_differ=options.replicates_differ,
        null_size=options.null_size,
        threshold=options.threshold,
        seed=seed,
    )
    return [score.named(NAME).noted(*notes)]


def _notes(state: Array, plate: Array, treated: Array) -> list[Note]:
    """Return the reasons why plates and treated wells are not adjusted."""
    total, found = len(set(plate)), list[Note]()
    few, narrow = (len(set(plate[state == one])) for one in (FEW, NARROW))
    if few:
        found.append(Note("position_few_controls", {"plates": few, "total": total, "needed": LEAST}))
    if narrow:
        found.append(Note("position_controls_not_spread", {"plates": narrow, "total": total}))
    far = int(((state == FAR) & treated).sum())
    if far:
        found.append(Note("position_far_from_controls", {"wells": far, "total": int(treated.sum())}))
    return found


METRIC = Metric(
    name=NAME,
    family="replicates",
    reads="adjusted",
    direction=1,
    chance=ACTIVITY.chance,
    level="adjusted",
    title="Phenotypic activity, adjusted for position (mAP)",
    meaning="Phenotypic activity after effects of row, column and edge, estimated on the negative controls of each "
    "plate, are subtracted; undefined where controls are not spread over the plate.",
    compute=_compute,
    layout=True,
)
