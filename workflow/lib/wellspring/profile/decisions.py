"""What was decided about a plate's table without being asked: features, `auto` choices, gaps, a second normalisation.

Each decision is a note. The rule `profile` logs them and stores them with the table, and the report shows them.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from wellspring.io.notes import Note, in_words
from wellspring.io.tables import features
from wellspring.profile.aggregate import classical
from wellspring.profile.normalise import Array, center_and_spread, controls_of
from wellspring.screen.sections import Profile

logger = logging.getLogger(__name__)

# Of raw measurements hardly any feature is centred at 0 with a spread of 1, of normalised ones nearly all are. The
# limits are wide, because a table may have been normalised over several plates, or its features transformed since.
NEAR_CENTRE, NEAR_SPREAD, SHARE = 0.5, 2.0, 0.8
FEWEST = 4  # wells in which a centre and a spread are judged
LISTED = 10  # names of columns in a note


def decisions(
    frame: pd.DataFrame, *, options: Profile, method: str, operation: str, foreign: Mapping[str, object] | None = None
) -> tuple[Note, ...]:
    """Return, and log, the notes on a plate: those of `decided`, of the same parameters."""
    found = decided(frame, options=options, method=method, operation=operation, foreign=foreign)
    for note in found:
        logger.log(logging.WARNING if note.code == "already_normalised" else logging.INFO, "%s", in_words([note]))
    return found


def decided(
    frame: pd.DataFrame, *, options: Profile, method: str, operation: str, foreign: Mapping[str, object] | None = None
) -> tuple[Note, ...]:
    """Return the notes on a plate.

    Parameters
    ----------
    frame
        The aggregated profiles of the plate.
    options
        The config section `profile`.
    method, operation
        The normalisation and the aggregation that were used.
    foreign
        Of the provenance of a table of another tool: `rule`, `features` and `not_features`.
    """
    names, found = features(frame), list[Note]()
    if foreign and "rule" in foreign:
        found.append(of_rule(foreign))
    if "auto" in (options.normalise, options.operation) and names:
        counts = {"classical": classical(names), "total": len(names)}
        found.append(Note("decided_by_majority", {**counts, "operation": operation, "normalise": method}))
    gaps = missing(frame)
    found += [gaps] if gaps is not None else []
    twice = already_normalised(frame) if method != "none" else None
    found += [twice] if twice is not None else []
    return tuple(found)


def of_rule(foreign: Mapping[str, object]) -> Note:
    """Return the note on the features of a foreign table: the rule, their number, and the columns that it left."""
    left = foreign.get("not_features")
    names = [str(name) for name in left] if isinstance(left, Sequence) else []
    listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
    return Note(
        "features_by_rule",
        {
            "rule": str(foreign["rule"]),
            "features": int(str(foreign["features"])),
            "left": len(names),
            "names": listed,
        },
    )


def missing(frame: pd.DataFrame) -> Note | None:
    """Return the note on values that are not finite among wells with a profile; None without any."""
    kept = frame.loc[(frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool), features(frame)]
    gaps = ~np.isfinite(kept.to_numpy(dtype=np.float64))
    if not gaps.any():
        return None
    counts = {"values": int(gaps.sum()), "features": int(gaps.any(axis=0).sum()), "wells": int(gaps.any(axis=1).sum())}
    return Note("values_missing", {**counts, "empty": int(gaps.all(axis=0).sum())})


def already_normalised(frame: pd.DataFrame) -> Note | None:
    """Return a note if the profiles of a plate look normalised: centred at 0 with a spread of 1.

    Negative controls and all wells are tested, by median and MAD and by mean and standard deviation. The note has the
    largest share of features that are within `NEAR_CENTRE` of 0 and whose spread is within a factor `NEAR_SPREAD` of 1.
    """
    values = frame[features(frame)].to_numpy(dtype=np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    kept, best, where = (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool), 0.0, ""
    for on, rows in (("negcon", controls_of(frame)), ("all", kept)):
        if rows.sum() < FEWEST:
            continue
        for method in ("mad_robustize", "standardize"):
            share = _near(*center_and_spread(values[rows], method))
            best, where = max((best, where), (share, on))
    if best < SHARE:
        return None
    return Note("already_normalised", {"share": round(best, 3), "on": where})


def _near(center: Array, spread: Array) -> float:
    alive = np.isfinite(spread) & (spread > 0)
    if not alive.any():
        return 0.0
    near = (np.abs(center[alive]) < NEAR_CENTRE) & (np.abs(np.log(spread[alive])) < np.log(NEAR_SPREAD))
    return float(near.mean())
