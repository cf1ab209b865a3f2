"""Well position: take away what a well has for its place on the plate, the same on every plate.

In flow profiles, out flow the same less the mean of their position (A01 and so on) over the plates that fit, as the
JUMP consortium's recipe does with all wells. It is for layouts that differ from plate to plate. Where a position holds
the same treatment on every plate, place and treatment are one: fitted on `all` wells this subtracts the treatment's own
effect, and fitted on controls it cleans the positions of controls alone, and treatments keep what their place adds (6
simulated plates of 16 controls and 48 inactive treatments, 32 features, position effects of half the noise: 93 % of
treatments reach p < .05 without the step and fitted on controls, none fitted on all; where positions are dealt anew, 4
to 7 % in each case). The notes say how many positions are so.

Few plates give poor means. Each is therefore shrunk towards the mean of all, as the best linear unbiased prediction
of a random effect: by `n / (n + within / between)` with the number n of wells at the position and the two components
of variance of a one-way layout (ANOVA estimates, feature by feature; Searle, Casella, McCulloch 1992).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import State
from wellspring.io import tables

# With one well at a position its mean is the well itself: less it, nothing would be left.
LEAST = 2


@dataclass(frozen=True)
class Positions(State):
    """`effects` (wells, d) to subtract at each of `wells`; `elsewhere` (d,) at the others."""

    wells: tuple[str, ...]
    effects: np.ndarray
    elsewhere: np.ndarray


def fit(frame: pd.DataFrame, *, controls: np.ndarray, options: Mapping[str, object]) -> Positions:
    """Fit a mean a position and feature.

    Parameters
    ----------
    frame
        Profiles, with Metadata_Well.
    controls
        (rows,) bool, the controls of this fit.
    options
        fit_on (`negcon` or `all`); shrink_positions: false gives plain means, as JUMP's. A position with fewer than
        two values of a feature has no effect of its own.
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
    weight = np.where(count >= LEAST, _weight(count, means, squares) if options["shrink_positions"] else 1.0, 0.0)
    notes = [f"{len(wells)} positions of {int(rows.sum())} wells"]
    if options["shrink_positions"] and weight.size:
        notes.append(f"of the positions' deviations {np.median(weight):.2f} is subtracted, by the median")
    notes += _confounded(frame, rows)
    return Positions(names, tuple(notes), tuple(wells.tolist()), overall + weight * means, overall)


def apply(frame: pd.DataFrame, state: Positions) -> pd.DataFrame:
    """Return `frame` less the effect of each well's position; a value that is not finite stays NaN."""
    values, known = frames.matrix(frame, state.features), {well: place for place, well in enumerate(state.wells)}
    place = np.array([known.get(well, len(known)) for well in frames.text(frame, "Metadata_Well")], dtype=np.int64)
    return frames.replaced(frame, state.features, values - np.vstack([state.effects, state.elsewhere])[place])


def _weight(count: np.ndarray, means: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Return the share of each deviation (wells, d) that is the position's, by the one-way layout of each feature."""
    total, positions = count.sum(axis=0), (count > 0).sum(axis=0)
    within = np.maximum(squares - count * means**2, 0.0).sum(axis=0) / np.maximum(total - positions, 1)
    grand = (count * means).sum(axis=0) / np.maximum(total, 1)
    spread = (count * (means - grand) ** 2).sum(axis=0) / np.maximum(positions - 1, 1)
    typical = (total - (count**2).sum(axis=0) / np.maximum(total, 1)) / np.maximum(positions - 1, 1)
    between = np.maximum(spread - within, 0.0) / np.where(typical > 0, typical, 1.0)
    # Nothing tells the two apart where no position has two wells, or there is but one position.
    between = np.where((total > positions) & (positions > 1), between, 0.0)
    signal = count * between
    return np.divide(signal, signal + within, out=np.zeros_like(signal), where=signal + within > 0)


def _confounded(frame: pd.DataFrame, rows: np.ndarray) -> list[str]:
    """Return a note where positions of several wells always hold the same treatment, else nothing."""
    treated = frames.defined(frame) & (frame["Metadata_pert_type"] != "negcon").to_numpy(dtype=bool)
    if "Metadata_Perturbation" not in frame.columns or not treated.any():
        return []
    held = frame.loc[treated].groupby("Metadata_Well")["Metadata_Perturbation"].agg(["size", "nunique"])
    held = held[held["size"] >= LEAST]
    fixed = int((held["nunique"] <= 1).sum())
    if not fixed:
        return []
    what = "their effect goes with the position's" if (treated & rows).any() else "they keep what their position adds"
    return [f"{fixed} of {len(held)} positions of treatments hold the same one on every plate: {what}"]
