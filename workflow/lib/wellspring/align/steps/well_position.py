"""Well position: subtract the effect of the position on the plate, which is the same on every plate.

Subtracts the mean of each position (A01 and so on) over the plates that fit, as the JUMP consortium's recipe does with
all wells. The step is for layouts that differ between plates. Where a position holds the same treatment on every plate,
position and treatment cannot be separated. Fitted on `all` wells, it subtracts the effect of the treatment. Fitted
on controls, it corrects the positions of controls only, and treatments keep the effect of their position. On 6
simulated plates (16 controls and 48 inactive treatments, 32 features, position effects of half the noise), 93 % of
treatments reach p < 0.05 without the step and with a fit on controls, none with a fit on all wells; with positions
shuffled between plates, 4 to 7 % in each case. The notes give the number of such positions.

Means over few plates are uncertain. Each is therefore shrunk towards the mean of all positions, as the best linear
unbiased prediction of a random effect: by `n / (n + within / between)` with the number n of wells at the position and
the two variance components of a one-way layout (ANOVA estimates per feature; Searle, Casella, McCulloch 1992).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State
from wellspring.io import tables
from wellspring.io.notes import Note
from wellspring.screen.sections import Fit

# With one well at a position the mean is the well itself, and subtracting it would leave nothing.
LEAST = 2


@dataclass(frozen=True)
class Positions(State):
    """`effects` (wells, d) to subtract at each of `wells`; `elsewhere` (d,) at the others."""

    wells: tuple[str, ...]
    effects: Array
    elsewhere: Array


def fit(frame: pd.DataFrame, *, controls: Array, options: Fit) -> Positions:
    """Fit one mean per position and feature.

    Parameters
    ----------
    frame
        Profiles, with Metadata_Well.
    controls
        (rows,) bool, the controls of this fit.
    options
        fit_on (`negcon` or `all`); shrink_positions: false gives plain means, as in JUMP's recipe. A position with
        fewer than two values of a feature has no effect of its own.
    """
    names = tuple(tables.features(frame))
    rows = frames.fitted(frame, controls=controls, options=options)
    values, at = frames.matrix(frame.loc[rows], names), frames.text(frame, "Metadata_Well")[rows]
    wells, first = np.unique(np.sort(at), return_index=True)
    overall, some = frames.mean_of(values), np.isfinite(values)
    deviations = np.where(some, values - overall, 0.0)[np.argsort(at, kind="stable")]
    some = some[np.argsort(at, kind="stable")].astype(np.float64)
    count, sums, squares = (
        np.add.reduceat(each, first) if len(first) else np.zeros((0, len(names)))
        for each in (some, deviations, deviations**2)
    )
    means = sums / np.maximum(count, 1)
    weight = np.where(count >= LEAST, _weight(count, means, squares) if options.shrink_positions else 1.0, 0.0)
    notes = [Note("positions_fitted", {"positions": len(wells), "wells": int(rows.sum())})]
    if options.shrink_positions and weight.size:
        notes.append(Note("positions_shrunk", {"share": round(float(np.median(weight)), 2)}))
    notes += _confounded(frame, rows)
    return Positions(names, tuple(notes), tuple(wells.tolist()), overall + weight * means, overall)


def apply(frame: pd.DataFrame, state: Positions) -> pd.DataFrame:
    """Return `frame` minus the effect of each well's position; a value that is not finite stays NaN."""
    values, known = frames.matrix(frame, state.features), {well: place for place, well in enumerate(state.wells)}
    place = np.array([known.get(well, len(known)) for well in frames.text(frame, "Metadata_Well")], dtype=np.int64)
    return frames.replaced(frame, state.features, values - np.vstack([state.effects, state.elsewhere])[place])


def _weight(count: Array, means: Array, squares: Array) -> Array:
    """Return the share of each deviation (wells, d) that is due to the position, by a one-way layout per feature."""
    total, positions = count.sum(axis=0), (count > 0).sum(axis=0)
    within = np.maximum(squares - count * means**2, 0.0).sum(axis=0) / np.maximum(total - positions, 1)
    grand = (count * means).sum(axis=0) / np.maximum(total, 1)
    spread = (count * (means - grand) ** 2).sum(axis=0) / np.maximum(positions - 1, 1)
    typical = (total - (count**2).sum(axis=0) / np.maximum(total, 1)) / np.maximum(positions - 1, 1)
    between = np.maximum(spread - within, 0.0) / np.where(typical > 0, typical, 1.0)
    # The two components cannot be separated where no position has two wells, or with a single position.
    between = np.where((total > positions) & (positions > 1), between, 0.0)
    signal = count * between
    result: Array = np.divide(signal, signal + within, out=np.zeros_like(signal), where=signal + within > 0)
    return result


def _confounded(frame: pd.DataFrame, rows: Array) -> list[Note]:
    """Return a note where positions of several wells always hold the same treatment, else nothing."""
    treated = frames.defined(frame) & (frame["Metadata_pert_type"] != "negcon").to_numpy(dtype=bool)
    if "Metadata_Perturbation" not in frame.columns or not treated.any():
        return []
    held = frame.loc[treated].groupby("Metadata_Well")["Metadata_Perturbation"].agg(["size", "nunique"])
    held = held[held["size"] >= LEAST]
    fixed = int((held["nunique"] <= 1).sum())
    if not fixed:
        return []
    subtracted = bool((treated & rows).any())
    return [Note("treatment_fixed_to_position", {"fixed": fixed, "total": len(held), "subtracted": subtracted})]
