"""Make plates comparable: a list of steps, each fitted on the output of those before it, on the plates that fit.

In flow normalised profiles, out flows an `Alignment` that is kept as a file; any plate, also one that came later, goes
through it without a new fit (but for `harmony`). By default features are selected and sphered on the negative controls.

An alignment must not be judged on the controls that it was fitted on: `fit_alignment` takes the controls to use, and an
evaluation fits it anew (`wellspring.evaluate.crossfit`).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.align.steps import (
    cell_count,
    coral,
    frames,
    harmony,
    rank_normal,
    select,
    sphere,
    standardize,
    well_position,
)
from wellspring.align.steps.state import State
from wellspring.io import tables
from wellspring.profile.normalise import controls_of

logger = logging.getLogger(__name__)

# Each a module with `fit` and `apply`, and the class of its state.
STEPS = {
    "select": (select, select.Selection),
    "sphere": (sphere, sphere.Spheres),
    "coral": (coral, coral.Coral),
    "well_position": (well_position, well_position.Positions),
    "cell_count": (cell_count, cell_count.Lines),
    "rank_normal": (rank_normal, rank_normal.Ranks),
    "standardize": (standardize, standardize.Scales),
    "harmony": (harmony, harmony.Corrected),
}


@dataclass(frozen=True)
class Alignment:
    """All that was fitted, and what became of each feature.

    Attributes
    ----------
    selection
        One row a feature that was offered, table `features`.
    steps
        Name and state of each step, in the order in which they are applied.
    """

    selection: pd.DataFrame
    steps: tuple[tuple[str, State], ...]

    @property
    def features(self) -> list[str]:
        """Names of the features that were kept, in their order."""
        return self.selection.loc[self.selection["Metadata_Kept"], "Metadata_Feature"].tolist()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the fit, by step: strength by group, fallbacks with their reason."""
        return tuple(f"{name} {note}" for name, state in self.steps for note in state.notes)

    def save(self, path: str | Path) -> None:
        """Write all of it to `path`, an .npz without pickles; the same fit gives the same bytes."""
        stored = {f"selection.{name}": _plain(self.selection[name]) for name in self.selection}
        stored["steps"] = np.asarray([name for name, _ in self.steps], dtype=str)
        for number, (_, state) in enumerate(self.steps):
            stored |= {f"{number}.{name}": value for name, value in state.pack().items()}
        with tables.atomic(path) as temporary:
            np.savez(temporary, **stored)

    @classmethod
    def load(cls, path: str | Path) -> "Alignment":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        steps = []
        for number, name in enumerate(stored["steps"].tolist()):
            prefix = f"{number}."
            own = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
            steps.append((name, STEPS[name][1].unpack(own)))
        names = [name for name in stored if name.startswith("selection.")]
        selection = pd.DataFrame({name.removeprefix("selection."): stored[name] for name in names})
        for name in ("Metadata_Feature", "Metadata_Reason"):
            selection[name] = selection[name].astype(object)
        return cls(selection, tuple(steps))


def chain(steps: Sequence[str | Mapping[str, Mapping]]) -> list[tuple[str, dict]]:
    """Return name and own options of each entry of `fit.steps`: a name, or a mapping of one name to options.

    Raises
    ------
    ValueError
        Names an entry that is neither.
    """
    found = []
    for number, entry in enumerate(steps):
        named = {entry: {}} if isinstance(entry, str) else dict(entry)
        if len(named) != 1 or next(iter(named)) not in STEPS:
            raise ValueError(f"fit.steps.{number}: expected one of {list(STEPS)}, found {entry!r}")
        found += [(name, dict(own or {})) for name, own in named.items()]
    return found


def fit_alignment(
    frame: pd.DataFrame,
    *,
    options: Mapping[str, object],
    features: list[str] | None = None,
    controls: np.ndarray | None = None,
) -> Alignment:
    """Fit the steps of the config, each on the profiles as the steps before it leave them.

    Parameters
    ----------
    frame
        Normalised profiles of the plates that fit, joined.
    options
        The config section `fit`: `steps`, and what they read. An entry's own options stand before the section's.
    features
        The features to choose from; default all of the frame.
    controls
        (rows,) bool, the controls to use; default all. Rows that are no negative control with a profile never are.

    Returns
    -------
    Alignment
        A step without enough controls or features changes nothing, and says so in `notes`.
    """
    names = tables.features(frame) if features is None else list(features)
    used = controls_of(frame) if controls is None else controls_of(frame) & np.asarray(controls, dtype=bool)
    values = frames.matrix(frame, names)
    selection = pd.DataFrame({"Metadata_Feature": names, "Metadata_Kept": True, "Metadata_Reason": ""})
    selection["spread"] = frames.deviation_of(values[used]).astype(np.float32)
    frame, steps = frames.replaced(frame, names, values), []
    entries = chain(options["steps"])
    for number, (name, own) in enumerate(entries):
        module = STEPS[name][0]
        state = module.fit(frame, controls=used, options={**options, **own})
        steps.append((name, state))
        if isinstance(state, select.Selection):
            lost = selection["Metadata_Feature"].isin(state.dropped)
            selection.loc[lost, "Metadata_Kept"] = False
            selection.loc[lost, "Metadata_Reason"] = list(state.reasons)
        if number + 1 < len(entries):
            frame = module.apply(frame, state)
    alignment = Alignment(selection, tuple(steps))
    for note in alignment.notes:
        logger.info("fit: %s", note)
    return alignment


def apply_alignment(frame: pd.DataFrame, alignment: Alignment) -> pd.DataFrame:
    """Return `frame` with its kept features aligned, float32, under their names; nothing is fitted.

    Wells without a profile stay, with NaN. What a step makes of a value that is not finite, and of a cell line or batch
    that no plate of the fit had, stands with the step.

    Raises
    ------
    ValueError
        Names features of the fit that `frame` lacks.
    """
    for name, state in alignment.steps:
        frame = STEPS[name][0].apply(frame, state)
    names = alignment.features
    return frames.replaced(frame, names, frames.matrix(frame, names).astype(np.float32))


def _plain(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=str) if column.dtype == object or str(column.dtype) == "str" else column.to_numpy()
