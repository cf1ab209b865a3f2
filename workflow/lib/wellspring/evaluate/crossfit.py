"""Cross-fitting: align each plate with the controls of other plates, so that no well is judged by a fit that saw it.

Sphering judged on the controls that it was fitted on makes noise look active. The plates that fit are therefore dealt
into folds. For each fold the alignment is fitted on the plates outside of it; then all plates are judged together, each
with all of its controls. The comparison is fair: a control and an inactive treatment of its plate go through the same
transform, which saw neither, and the negatives of a well are the controls of its own plate. Power is kept because the
spheres are symmetric (ZCA), so that an axis is the same feature in every fold, and because the folds share most of
their controls.

Profiles of different plates go through slightly different transforms. This costs activity some power, and it would
identify the plates: on plates without any effect of their own (4 plates of 16 controls, 128 features) the plate was
predicted from the controls with 0.96, with a chance of 0.25. Scores that compare the controls of different plates
therefore judge all plates by halves, whose controls have one transform. Scores of treated wells alone use the published
profiles, because no fit distinguishes treatments.

Features are selected once, by the published alignment: selection treats all wells alike, and folds with different
features could not be compared. Plates that do not fit are used as published.

Plates are halved (aligned twice, with one half of their own controls each time, and judged with the other half) where
no plate of their group is left to fit on outside of their fold: the only plate of a screen, or of a cell line with a
sphere of its own. They are also halved where most replicates are on one plate (see `wellspring.evaluate.levels`).
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from wellspring.align.alignment import apply_alignment, chain, fit_alignment, with_own
from wellspring.align.steps.frames import GROUPS
from wellspring.evaluate import wells
from wellspring.evaluate.exchange import SAME_PLATE
from wellspring.evaluate.levels import by_place, defined_controls, fitting, halves, kept, recentred
from wellspring.evaluate.wells import Array
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit, StepEntry

logger = logging.getLogger(__name__)

# The fit of a fold: what it leaves of the spread is measured for the published alignment alone.
UNCHECKED = partial(fit_alignment, checked=False)
ROWS_AT_ONCE = 20_000  # wells of a large screen that are aligned together: in float64, with copies
# Steps that are fitted in the groups of the option `by`; `coral` is fitted by the column `batches`.
BY_GROUP = ("sphere", "cell_count", "standardize")


@dataclass(frozen=True)
class Deal:
    """Assignment of plates to fits.

    Attributes
    ----------
    folds
        Names of the plates of each fold.
    halved
        Names of the plates that are judged by halves of their own controls.
    columns
        Metadata columns in whose groups the alignment is fitted.
    reasons
        Why plates are halved.
    share
        Smallest share of the controls of the published alignment that fit a fold.
    """

    folds: tuple[frozenset[str], ...]
    halved: frozenset[str]
    columns: tuple[str, ...]
    reasons: tuple[Note, ...] = ()
    share: float = 1.0

    def by_halves(self) -> "Deal":
        """Return the deal in which all plates are halved."""
        return Deal((), self.halved.union(*self.folds), self.columns, self.reasons)

    @property
    def notes(self) -> tuple[Note, ...]:
        """How the controls that are judged were kept out of the fit; empty where no plate fits."""
        values = {"folds": len(self.folds), "percent": int(100 * self.share + 1e-9)}
        folds = (Note("cross_fitted", values),) if self.folds else ()
        return (*folds, *self.reasons, Note("two_halves")) if self.halved else folds


def deal(frame: pd.DataFrame, *, options: Fit, folds: int, replicates_share: tuple[str, ...] = ()) -> Deal:
    """Deal the plates that fit into folds, spread over their batches and the groups of the alignment.

    Parameters
    ----------
    frame
        Normalised profiles, joined. The plates of role `fit` (all, where no plate has a role) with a defined negative
        control are dealt.
    options
        The config section `fit`.
    folds
        Largest number of folds. With as many plates or fewer, each plate is a fold of its own.
    replicates_share
        As of `wellspring.evaluate.retrieval.activity`.
    """
    columns = grouped_by(options)
    spread = tuple(dict.fromkeys((*columns, wells.BATCH)))
    keys = pd.DataFrame({name: wells.column(frame, name) for name in (wells.PLATE, *spread)}).astype(str)
    plates = keys[fitting(frame) & defined_controls(frame)].drop_duplicates(wells.PLATE)
    rows = plates.sort_values(wells.PLATE).to_dict("records")
    if any(name == "harmony" for name, _ in chain(options.steps)):
        return Deal((), frozenset(plates[wells.PLATE]), columns, (_by_halves("harmony", len(rows), len(rows)),))
    dealt: list[list[dict[str, str]]] = [[] for _ in range(min(folds, len(rows)))]
    for plate in rows:
        mates = [sum(plate[name] == other[name] for other in fold for name in spread) for fold in dealt]
        min(zip(mates, map(len, dealt), dealt, strict=True), key=lambda each: each[:2])[2].append(plate)
    alone = set[str]()
    for fold in dealt:
        outside = [other for each in dealt if each is not fold for other in each]
        for plate in fold:
            if not outside or not all(any(plate[name] == other[name] for other in outside) for name in columns):
                alone.add(plate[wells.PLATE])
    crowded = crowded_plates(frame, replicates_share=replicates_share)
    total = frame[wells.PLATE].nunique()
    halved = {"no_other_plate_of_group": alone, "replicates_on_one_plate": crowded - alone}
    reasons = tuple(_by_halves(why, len(names), total) for why, names in halved.items() if names)
    named = (frozenset(plate[wells.PLATE] for plate in fold) - alone - crowded for fold in dealt)
    found = tuple(fold for fold in named if fold)
    counts = keys.loc[fitting(frame) & defined_controls(frame), wells.PLATE].value_counts(normalize=True)
    share = 1 - max((float(counts[sorted(fold)].sum()) for fold in found), default=0.0)
    return Deal(found, frozenset(alone | crowded), columns, reasons, share)


def _by_halves(reason: str, plates: int, total: int) -> Note:
    return Note("cross_fitted_by_halves", {"reason": reason, "plates": plates, "total": total})


def crowded_plates(frame: pd.DataFrame, *, replicates_share: tuple[str, ...] = ()) -> set[str]:
    """Return the plates with controls and with treatments (`trt`) that have too many replicates on one plate."""
    plate = pd.Series(wells.column(frame, wells.PLATE), dtype=object).astype(str)
    treated = wells.kind(frame, "trt") & kept(frame)
    by = [pd.Series(wells.column(frame, name), dtype=object).astype(str)[treated] for name in replicates_share]
    name = pd.Series(wells.perturbations(frame), dtype=object).astype(str)[treated]
    counts = plate[treated].groupby([name, *by]).value_counts()
    levels = list(range(1 + len(by)))
    total = counts.groupby(level=levels).transform("sum")
    same = (counts * (counts - 1)).groupby(level=levels).transform("sum")
    crowded = counts[(same > SAME_PLATE * total * (total - 1) + 1e-9) & (counts > 1)]
    return set(crowded.index.get_level_values(-1)) & set(plate[defined_controls(frame)])


def crossfitted(frame: pd.DataFrame, dealt: Deal, **given: Any) -> tuple[pd.DataFrame, ...]:
    """Return the profiles of `crossfitted_beside`: one frame, or two that differ in halved controls."""
    return crossfitted_beside(frame, dealt, **given)[0]


def crossfitted_beside(
    frame: pd.DataFrame,
    dealt: Deal,
    *,
    options: Fit,
    seed: int,
    published: pd.DataFrame | None = None,
    recentre: bool = True,
    fit: Callable[..., Any] = UNCHECKED,
    apply: Callable[[pd.DataFrame, Any], pd.DataFrame] = apply_alignment,
) -> tuple[tuple[pd.DataFrame, ...], tuple[pd.DataFrame, ...]]:
    """Return the profiles aligned by fits that did not see them: one frame, or two that differ in halved controls.

    Beside them stand the controls that each frame lacks, aligned as its wells are.

    Parameters
    ----------
    frame
        Normalised profiles, joined.
    dealt
        Of `deal`.
    options
        The config section `fit`.
    seed
        Of the halves (`levels.halves`).
    published
        The same wells as published; by default they are aligned here with all controls that fit.
    recentre
        Whether halved plates are centred on the half that fits (`wellspring.evaluate.levels.recentred`).
    fit, apply
        `fit(frame, features=, options=, controls=)` and `apply(frame, state)`.
    """
    plate, fits, control = (
        wells.column(frame, wells.PLATE).astype(str),
        fitting(frame),
        defined_controls(frame),
    )
    if published is None:
        source = frame[fits].reset_index(drop=True)
        published = apply(frame, fit(source, features=tables.features(frame), options=options, controls=control[fits]))
    features = tables.features(published)

    def aligned(frame: pd.DataFrame, mine: Array, source: Array, chosen: Array) -> pd.DataFrame:
        """Return the rows `mine`, aligned by a fit on the rows `source`, of which `chosen` are the controls."""
        share = _share(frame, dealt.columns, mine=mine, whole=fits & control, chosen=chosen)
        own = for_fold(options, share=share)
        source = source & chosen if of_controls(own) else source
        state = fit(frame[source].reset_index(drop=True), features=features, options=own, controls=chosen[source])
        places = np.flatnonzero(mine)
        parts = [places[start : start + ROWS_AT_ONCE] for start in range(0, len(places), ROWS_AT_ONCE)] or [places]
        return pd.concat([apply(frame.take(part).reset_index(drop=True), state) for part in parts], ignore_index=True)

    halved, rest = np.isin(plate, sorted(dealt.halved)), sorted(set(plate).difference(dealt.halved, *dealt.folds))
    parts = [published[np.isin(wells.column(published, wells.PLATE).astype(str), rest)]]
    for fold in dealt.folds:
        mine = np.isin(plate, sorted(fold))
        parts.append(aligned(frame, mine, fits & ~mine, fits & ~mine & control))
    if not dealt.halved:
        return (_joined(parts),), (published.iloc[:0],)
    results, beside = [], []
    for half in halves(frame, plates=dealt.halved, seed=seed):
        chosen = fits & control & (~halved | half)
        centred = recentred(frame, half) if recentre else frame
        found, own = aligned(centred, halved, fits, chosen), half[halved]
        results.append(_joined([*parts, found[~own]]))
        beside.append(found[own].reset_index(drop=True))
    return tuple(results), tuple(beside)


def grouped_by(options: Fit) -> tuple[str, ...]:
    """Return the metadata columns in whose groups the alignment is fitted, by the config section `fit`."""
    columns = []
    for name, own in chain(options.steps):
        merged = with_own(options, own)
        if name in BY_GROUP:
            columns.append(GROUPS[merged.by])
        if name == "coral":
            columns.append(merged.batches)
    return tuple(dict.fromkeys(name for name in columns if name))


def for_fold(options: Fit, *, share: float) -> Fit:
    """Return the section `fit` for a fold with this share of the controls; it selects no features anew.

    `min_controls` shrinks with the controls, so that a group is sphered in a fold where it was in the published fit.
    """

    def least(needed: int) -> int:
        # 1e-9: a third of twelve is four, not five.
        return max(2, int(np.ceil(needed * share - 1e-9)))

    steps: tuple[StepEntry, ...] = tuple({name: own} for name, own in chain(options.steps) if name != "select")
    return replace(options, steps=steps, min_controls=least(options.min_controls))


def of_controls(options: Fit) -> bool:
    """Return whether the fit without selection reads the controls alone: harmony reads all wells."""
    steps = [(name, with_own(options, own)) for name, own in chain(options.steps)]
    return all(name not in ("select", "harmony") and own.fit_on == "negcon" for name, own in steps)


def _share(frame: pd.DataFrame, columns: tuple[str, ...], *, mine: Array, whole: Array, chosen: Array) -> float:
    """Return the smallest share of `chosen` controls among the groups of the rows `mine`."""
    shares = [chosen.sum() / whole.sum()]
    for name in columns:
        of = wells.column(frame, name).astype(str)
        shares += [(chosen & (of == value)).sum() / (whole & (of == value)).sum() for value in set(of[mine])]
    return float(min(shares))


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return all rows by plate and well, with the features that all parts have."""
    parts = [part for part in parts if len(part)]
    common = set.intersection(*(set(tables.features(part)) for part in parts))
    dropped = {name for part in parts for name in tables.features(part)} - common
    if dropped:
        logger.warning("%d features have no spread in the controls of a fold and are not judged", len(dropped))
    frame = pd.concat([part.drop(columns=list(dropped), errors="ignore") for part in parts], ignore_index=True)
    return by_place(frame)
