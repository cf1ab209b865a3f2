"""Make plates comparable: a list of steps, each fitted on the output of the steps before it, on the plates that fit.

The fit of normalised profiles is an `Alignment`, which is stored as a file. Any plate, including later ones, is aligned
with it without a new fit (except for `harmony`). By default features are selected and sphered on the negative controls.

An alignment must not be judged on the controls of its fit: `fit_alignment` takes the controls to use, and the
evaluation fits it anew (`wellspring.evaluate.crossfit`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from wellspring.align import odd_plates
from wellspring.align.steps import (
    cell_count,
    coral,
    frames,
    harmony,
    limit,
    rank_normal,
    select,
    sphere,
    standardize,
    well_position,
)
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note, in_words
from wellspring.io.packed import archive
from wellspring.profile.normalise import controls_of
from wellspring.screen.section_reader import frozen
from wellspring.screen.sections import Fit, StepEntry

logger = logging.getLogger(__name__)

# The module of each step, and the class of its state.
STEPS: dict[str, tuple[Any, type[State]]] = {
    "select": (select, select.Selection),
    "sphere": (sphere, sphere.Spheres),
    "coral": (coral, coral.Coral),
    "well_position": (well_position, well_position.Positions),
    "cell_count": (cell_count, cell_count.Lines),
    "rank_normal": (rank_normal, rank_normal.Ranks),
    "standardize": (standardize, standardize.Scales),
    "harmony": (harmony, harmony.Corrected),
}
# Part of every alignment, and no entry of the config.
BEFORE_STEPS = "limit"
FITTED: dict[str, tuple[Any, type[State]]] = {BEFORE_STEPS: (limit, limit.Limits), **STEPS}


@dataclass(frozen=True)
class Alignment:
    """The fitted steps, and for each feature whether it was kept.

    Attributes
    ----------
    selection
        One row per feature of the input, table `features`.
    steps
        Name and state of each step, in the order in which they are applied; the first is `limit`, not in the config.
    """

    selection: pd.DataFrame
    steps: tuple[tuple[str, State], ...]

    @property
    def features(self) -> list[str]:
        """Names of the features that were kept, in their order."""
        return list(self.selection.loc[self.selection["Metadata_Kept"], "Metadata_Feature"])

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes of the steps, each with the name of its step: strength by group, fallbacks with their reason."""
        return tuple(
            Note(note.code, {"step": name, **note.values}) for name, state in self.steps for note in state.notes
        )

    def save(self, path: str | Path) -> None:
        """Write the alignment to `path`, an .npz without pickles; the same fit gives the same bytes."""
        stored = {f"selection.{name}": _plain(self.selection[name]) for name in self.selection}
        stored["steps"] = np.asarray([name for name, _ in self.steps], dtype=str)
        for number, (_, state) in enumerate(self.steps):
            stored |= {f"{number}.{name}": value for name, value in state.pack().items()}
        with tables.atomic(path) as temporary:
            np.savez(temporary, allow_pickle=False, **stored)

    @classmethod
    def load(cls, path: str | Path) -> "Alignment":
        """Read an alignment that `save` wrote."""
        stored = archive(path)
        steps = []
        for number, name in enumerate(stored["steps"].tolist()):
            prefix = f"{number}."
            own = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
            steps.append((name, FITTED[name][1].unpack(own)))
        names = [name for name in stored if name.startswith("selection.")]
        selection = pd.DataFrame({name.removeprefix("selection."): stored[name] for name in names})
        for name in ("Metadata_Feature", "Metadata_Reason"):
            selection[name] = selection[name].astype(object)
        return cls(selection, tuple(steps))


def chain(steps: Sequence[StepEntry]) -> list[tuple[str, dict[str, object]]]:
    """Return the name and own options of each entry of `fit.steps`: a name, or a mapping of one name to options.

    Raises
    ------
    ValueError
        An entry is neither; the message names it.
    """
    found: list[tuple[str, dict[str, object]]] = []
    for number, entry in enumerate(steps):
        named = {entry: {}} if isinstance(entry, str) else dict(entry)
        if len(named) != 1 or next(iter(named)) not in STEPS:
            raise ValueError(f"fit.steps.{number}: expected one of {list(STEPS)}, found {entry!r}")
        found += [(name, dict(own or {})) for name, own in named.items()]
    return found


def with_own(options: Fit, own: Mapping[str, object]) -> Fit:
    """Return the section `fit` with an entry's own options in place of its own."""
    return replace(options, **{key: cast(Any, frozen(value)) for key, value in own.items()})


def fit_alignment(
    frame: pd.DataFrame,
    *,
    options: Fit,
    features: list[str] | None = None,
    controls: Array | None = None,
    checked: bool = True,
) -> Alignment:
    """Fit the steps of the config, each on the profiles as the steps before it leave them.

    Parameters
    ----------
    frame
        Normalised profiles of the plates that fit, joined.
    options
        The config section `fit`. An entry's own options override those of the section.
    features
        The features to choose from; default all of the frame.
    controls
        (rows,) bool, the controls to use; all by default. Only negative controls with a profile are used.
    checked
        Whether a sample of wells is aligned, for a note if no spread is left; cross-fitting does without it.

    Returns
    -------
    Alignment
        A step without enough controls or features uses a fallback, which `notes` records. They also name the wells and
        plates that are unlike all others and therefore not part of the fit (`wellspring.align.odd_plates`).
    """
    names = tables.features(frame) if features is None else list(features)
    used = controls_of(frame) if controls is None else controls_of(frame) & np.asarray(controls, dtype=bool)
    entries = chain(options.steps)
    frame = source = frames.replaced(frame, names, frames.matrix(frame, names))
    usable, notes = odd_plates.used_wells(source, controls=used, options=options)
    used = used & usable
    low, high = odd_plates.limits(source, controls=used, options=options)
    selection = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": True, "Metadata_Reason": ""})
    selection["spread"] = frames.deviation_of(frames.matrix(source[used], names)).astype(np.float32)
    if not usable.all():
        frame = limit.apply(frame, limit.Limits(tuple(names), (), low, high))
    steps: list[tuple[str, State]] = []
    for number, (name, own) in enumerate(entries):
        module, part = STEPS[name][0], with_own(options, own)
        fitting = frame if usable.all() else frame[usable].reset_index(drop=True)
        state = module.fit(fitting, controls=used[usable], options=part)
        if isinstance(state, harmony.Corrected) and not usable.all():
            state = harmony.joined(state, harmony.fit(frame, controls=used, options=part))
        steps.append((name, state))
        if isinstance(state, select.Selection):
            lost = selection["Metadata_Feature"].isin(state.dropped)
            selection.loc[lost, "Metadata_Kept"] = False
            selection.loc[lost, "Metadata_Reason"] = list(state.reasons)
        if number + 1 < len(entries):
            frame = module.apply(frame, state)
    first = steps[0][1].features if steps else tuple(names)
    taken = pd.Index(names).get_indexer(pd.Index(first))
    limits = limit.Limits(first, notes, low[taken], high[taken])
    alignment = Alignment(selection, ((BEFORE_STEPS, limits), *steps))
    if checked:
        alignment = _checked(alignment, odd_plates.sample(source, usable), limits)
    for note in alignment.notes:
        logger.info("fit: %s", in_words([note]))
    return alignment


def _checked(alignment: Alignment, before: pd.DataFrame, limits: limit.Limits) -> Alignment:
    """Return the alignment, with a note if it leaves the wells `before` without spread."""
    lost_spread = odd_plates.lost_spread(before, apply_alignment(before, alignment), names=alignment.features)
    if lost_spread is None:
        return alignment
    limits = replace(limits, notes=(*limits.notes, lost_spread))
    return Alignment(alignment.selection, ((BEFORE_STEPS, limits), *alignment.steps[1:]))


def apply_alignment(frame: pd.DataFrame, alignment: Alignment) -> pd.DataFrame:
    """Return `frame` with its kept features aligned, float32, under their names; nothing is fitted.

    Wells without a profile stay, with NaN. Each step documents its handling of values that are not finite, and of
    cell lines or batches that were not in the fit.

    Raises
    ------
    ValueError
        `frame` lacks features of the fit; the message names them.
    """
    for name, state in alignment.steps:
        frame = FITTED[name][0].apply(frame, state)
    names = alignment.features
    return frames.replaced(frame, names, frames.matrix(frame, names).astype(np.float32))


def _plain(column: pd.Series) -> Array:
    result: Array = (
        column.to_numpy(dtype=str) if column.dtype == object or str(column.dtype) == "str" else column.to_numpy()
    )
    return result
