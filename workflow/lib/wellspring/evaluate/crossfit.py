"""Align each plate by the controls of other plates, so that nothing is judged by a transform that saw it.

In flow normalised profiles and the published aligned ones, out flow the same wells, aligned anew to be judged. Sphering
judged on the controls that it was fitted on makes noise look active. So the plates that fit are dealt into folds; for
each fold the alignment is fitted on the plates outside of it, and then all plates are judged together, each with all of
its controls. This is honest because a control and an inactive treatment of its plate go through one transform that saw
neither of them, and the negatives of a well are the controls of its own plate. It keeps power because the spheres are
symmetric (ZCA), so that an axis is the same feature in every fold, and because most of their controls are the same.

Profiles of one plate are so compared with each other; those of different plates go through transforms that differ a
little, which costs activity some power, and would let a plate be told from its transform: on plates without any effect
of their own (4 of 16 controls, 128 features) it was read from the controls for .96, with a chance of .25. Scores that
compare the controls of different plates therefore read all plates by halves, whose controls have one transform, and
scores of treated wells alone read the published profiles: no fit knows one treatment from another.

Features are selected once, by the published alignment: selection looks at all wells alike, treated or not, and folds
of unlike features could not be compared. Plates that do not fit are taken as they were published.

Plates are halved (aligned twice, by one half of their own controls each time, and judged with the other half) where
there is no other plate of their group to fit on, outside of their fold: the only plate of a screen, or of a cell line
that has a sphere of its own. And where replicates are on one plate for the most part, for what `levels` says of it.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.alignment import apply_alignment, chain, fit_alignment
from wellspring.align.steps.frames import GROUPS
from wellspring.evaluate import wells
from wellspring.evaluate.levels import by_place, defined_controls, fitting, halves, kept, recentred
from wellspring.io import tables

logger = logging.getLogger(__name__)

# Steps that are fitted by cell line or batch as the option `by` says; `coral` is by the column `batches`.
BY_GROUP = ("sphere", "cell_count", "standardize")
# Share of a treatment's pairs of replicates that may lie on one plate. Of inactive treatments on 2 plates (8 controls,
# 768 features; normalised) p < .05 reach 2 % with a third (2 wells a plate), 9 % with .4 (3), 24 % with .43 (4).
SAME_PLATE = 1 / 3
HALVES = "mean of two halves of the negative controls; p is the larger of the two"


@dataclass(frozen=True)
class Deal:
    """Which plates are judged by which fit.

    `folds` holds the names of the plates of each fold, `halved` those that are judged by halves of their own controls,
    for the `reason`; `columns` are the metadata columns in whose groups the alignment is fitted.
    """

    folds: tuple[frozenset[str], ...]
    halved: frozenset[str]
    columns: tuple[str, ...]
    reason: str = ""

    def by_halves(self) -> "Deal":
        """Return the deal by which all of its plates are halved."""
        return Deal((), self.halved.union(*self.folds), self.columns, self.reason)

    @property
    def note(self) -> str:
        """How the controls that are judged were kept out of the fit, in words; "" where no plate fits."""
        parts = []
        if self.folds:
            parts.append(f"cross-fitted: plates aligned by the controls of others, in {len(self.folds)} folds")
        if self.halved:
            parts.append(f"cross-fitted by halves ({self.reason}): each half aligned by the other; {HALVES}")
        return "; ".join(parts)


def deal(
    frame: pd.DataFrame, *, options: Mapping[str, object], folds: int, replicates_share: tuple[str, ...] = ()
) -> Deal:
    """Deal the plates that fit into folds, spread over their batches and the groups of the alignment.

    Parameters
    ----------
    frame
        Normalised profiles, joined. Dealt are the plates of role `fit` (all, where no plate has a role) that have a
        defined negative control.
    options
        The config section `fit`.
    folds
        The most there may be. With as many plates or fewer each is a fold of its own.
    replicates_share
        As of `retrieval.activity`.
    """
    columns = grouped_by(options)
    spread = tuple(dict.fromkeys((*columns, wells.BATCH)))
    keys = pd.DataFrame({name: wells.column(frame, name) for name in (wells.PLATE, *spread)}).astype(str)
    plates = keys[fitting(frame) & defined_controls(frame)].drop_duplicates(wells.PLATE)
    rows = plates.sort_values(wells.PLATE).to_dict("records")
    if any(name == "harmony" for name, _ in chain(options["steps"])):
        reason = "harmony can not be applied to wells that it did not see"
        return Deal((), frozenset(plates[wells.PLATE]), columns, reason)
    dealt = [[] for _ in range(min(folds, len(rows)))]
    for plate in rows:
        mates = [sum(plate[name] == other[name] for other in fold for name in spread) for fold in dealt]
        min(zip(mates, map(len, dealt), dealt, strict=True), key=lambda each: each[:2])[2].append(plate)
    alone = set()
    for fold in dealt:
        outside = [other for each in dealt if each is not fold for other in each]
        for plate in fold:
            if not outside or not all(any(plate[name] == other[name] for other in outside) for name in columns):
                alone.add(plate[wells.PLATE])
    crowded = crowded_plates(frame, replicates_share=replicates_share)
    total = frame[wells.PLATE].nunique()
    reasons = {"no other plate of their group": alone, "replicates on one plate": crowded - alone}
    reason = ", ".join(f"{why}: {len(names)} of {total} plates" for why, names in reasons.items() if names)
    named = (frozenset(plate[wells.PLATE] for plate in fold) - alone - crowded for fold in dealt)
    return Deal(tuple(fold for fold in named if fold), frozenset(alone | crowded), columns, reason)


def crowded_plates(frame: pd.DataFrame, *, replicates_share: tuple[str, ...] = ()) -> set[str]:
    """Return the plates with controls that hold treatments (`trt`) of which too many replicates are on one plate."""
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


def crossfitted(
    frame: pd.DataFrame,
    dealt: Deal,
    *,
    options: Mapping[str, object],
    seed: int,
    published: pd.DataFrame | None = None,
    recentre: bool = True,
    fit: Callable = fit_alignment,
    apply: Callable = apply_alignment,
) -> tuple[pd.DataFrame, ...]:
    """Return the profiles aligned by fits that did not see them: one frame, or two that differ in halved controls.

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
        The same wells as published; default: aligned here by all controls that fit.
    recentre
        Whether halved plates are centred on the half that fits (`levels.recentred`).
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

    def aligned(frame: pd.DataFrame, mine: np.ndarray, source: np.ndarray, chosen: np.ndarray) -> pd.DataFrame:
        """Return the rows `mine`, aligned by a fit on the rows `source`, of which `chosen` are the controls."""
        share = _share(frame, dealt.columns, mine=mine, whole=fits & control, chosen=chosen)
        state = fit(
            frame[source].reset_index(drop=True),
            features=features,
            options=for_fold(options, share=share),
            controls=chosen[source],
        )
        return apply(frame[mine].reset_index(drop=True), state)

    halved, rest = np.isin(plate, sorted(dealt.halved)), sorted(set(plate).difference(dealt.halved, *dealt.folds))
    parts = [published[np.isin(wells.column(published, wells.PLATE).astype(str), rest)]]
    for fold in dealt.folds:
        mine = np.isin(plate, sorted(fold))
        parts.append(aligned(frame, mine, fits & ~mine, fits & ~mine & control))
    if not dealt.halved:
        return (_joined(parts),)
    results = []
    for half in halves(frame, plates=dealt.halved, seed=seed):
        chosen = fits & control & (~halved | half)
        centred = recentred(frame, half) if recentre else frame
        results.append(_joined([*parts, aligned(centred, halved & ~half, fits, chosen)]))
    return tuple(results)


def grouped_by(options: Mapping[str, object]) -> tuple[str, ...]:
    """Return the metadata columns in whose groups the alignment is fitted, by the config section `fit`."""
    columns = []
    for name, own in chain(options["steps"]):
        merged = {**options, **own}
        if name in BY_GROUP:
            columns.append(GROUPS[merged["by"]])
        if name == "coral":
            columns.append(str(merged["batches"]))
    return tuple(dict.fromkeys(name for name in columns if name))


def for_fold(options: Mapping[str, object], *, share: float) -> dict[str, object]:
    """Return the section `fit` for a fold that has this share of the controls: nothing is selected by it anew.

    `min_controls` shrinks with the controls, so that a group is sphered in a fold where it was in the published fit.
    """

    def least(given: Mapping[str, object]) -> dict[str, object]:
        # 1e-9: a third of twelve is four, not five.
        if "min_controls" not in given:
            return dict(given)
        return dict(given) | {"min_controls": max(2, int(np.ceil(int(given["min_controls"]) * share - 1e-9)))}

    steps = [{name: least(own)} for name, own in chain(options["steps"]) if name != "select"]
    return least(options) | {"steps": steps}


def _share(
    frame: pd.DataFrame, columns: tuple[str, ...], *, mine: np.ndarray, whole: np.ndarray, chosen: np.ndarray
) -> float:
    """Return the least share of the controls of a group of the rows `mine` that are `chosen`."""
    shares = [chosen.sum() / whole.sum()]
    for name in columns:
        of = wells.column(frame, name).astype(str)
        shares += [(chosen & (of == value)).sum() / (whole & (of == value)).sum() for value in set(of[mine])]
    return float(min(shares))


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return all rows by plate and well, with the features that every part has."""
    parts = [part for part in parts if len(part)]
    common = set.intersection(*(set(tables.features(part)) for part in parts))
    dropped = {name for part in parts for name in tables.features(part)} - common
    if dropped:
        logger.warning("%d features have no spread in the controls of a fold and are not judged", len(dropped))
    frame = pd.concat([part.drop(columns=list(dropped), errors="ignore") for part in parts], ignore_index=True)
    return by_place(frame)
