"""How well batch, plate and position are read from the negative controls: what a profile should not hold.

In flow well profiles, out flow scores named `nuisance.*`: balanced accuracy of nearest-neighbour reading (cosine, leave
one out) among negative controls. Batch and plate are read among the
controls of the same cell line; row, column and edge are read across plates (references on other plates only).
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.neighbours import Nearest, nearest, winners
from wellspring.evaluate.score import Score, absent

TARGETS = ("batch", "plate", "row", "column", "edge")


def nuisance(features: np.ndarray, metadata: pd.DataFrame, *, neighbours: int = 1) -> list[Score]:
    """Return the five nuisance scores; items are the classes (a batch, a plate, a row letter...) with their recall.

    The interval resamples wells. A target of which the references have one class only is absent with a note.
    """
    control = wells.kind(metadata, "negcon")
    keep = control & wells.defined(features, metadata)
    lost, rows = int(control.sum() - keep.sum()), wells.units(features[keep])
    place = wells.positions(metadata)[keep]
    plate, line, batch = (
        wells.column(metadata, name)[keep].astype(str) for name in (wells.PLATE, wells.LINE, wells.BATCH)
    )
    if len(rows) < 2:
        return [
            absent(f"nuisance.{name}", f"needs two negative controls, found {len(rows)}", n_undefined=lost)
            for name in TARGETS
        ]
    names = np.array([f"{p} {w}" for p, w in zip(plate, wells.column(metadata, "Metadata_Well")[keep], strict=True)])
    lines, plates, every = wells.codes(line), wells.codes(plate), np.arange(len(rows))
    near = nearest(
        rows,
        queries=every,
        references=every,
        k=neighbours,
        barred=lambda query: (lines[query, None] != lines[None, :]) | (query[:, None] == every[None, :]),
    )
    scores = []
    for name, truth in (("batch", batch), ("plate", plate)):
        own = wells.codes(truth)
        # Classes that a well finds among the others of its line: all there but its own where it is the only one.
        table = _counts(lines, own)[lines]
        table[every, own] -= 1
        scores.append(_score(name, near, truth, names, table, lost))
    known = np.flatnonzero(place["row"].notna().to_numpy())
    near = nearest(
        rows[known],
        queries=np.arange(len(known)),
        references=np.arange(len(known)),
        k=neighbours,
        barred=lambda query: plates[known][query, None] == plates[known][None, :],
    )
    for name in ("row", "column", "edge"):
        values = place[name].map(lambda value: str(int(value)) if pd.notna(value) else "").to_numpy(dtype=str)[known]
        own = wells.codes(values)
        total = _counts(np.zeros(len(known), dtype=int), own)
        table = (total - _counts(plates[known], own))[plates[known]]
        scores.append(_score(name, near, values, names[known], table, lost + len(rows) - len(known)))
    return scores


def _counts(context: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return how many wells there are of each class in each context (contexts, classes)."""
    table = np.zeros((int(context.max(initial=-1)) + 1, int(own.max(initial=-1)) + 1), dtype=np.int64)
    np.add.at(table, (context, own), 1)
    return table


def _score(name: str, near: Nearest, truth: np.ndarray, names: np.ndarray, references: np.ndarray, lost: int) -> Score:
    """Return the score of one target; `references` (n, classes) counts each well's allowed references by class."""
    metric, own = f"nuisance.{name}", wells.codes(truth)
    classes = (references > 0).sum(axis=1)
    # A class that no allowed reference has can not be read; one class alone is read by construction.
    readable = (classes > 1) & (references[np.arange(len(own)), own] > 0)
    if not readable.any():
        return absent(
            metric,
            f"needs two classes with references for each, found {sorted(map(str, set(truth)))[:4]}",
            n_undefined=lost + len(truth),
        )
    read = winners(own[near.index], near.valid) == own
    frame = pd.DataFrame(
        {
            "stratum": truth[readable],
            "cluster": names[readable],
            "value": read[readable].astype(float),
            "chance": (references[np.arange(len(own)), own] / references.sum(axis=1))[readable],
        }
    )
    by = frame.groupby("stratum", sort=True)
    items = (
        by.agg(value=("value", "mean"), n=("value", "size")).reset_index().rename(columns={"stratum": "Metadata_Item"})
    )
    return Score(
        metric,
        items=items,
        units=frame[["stratum", "cluster", "value"]],
        chance=float(by["chance"].mean().mean()),
        guard="frequency of the class among the references allowed",
        n=len(frame),
        n_undefined=lost + int((~readable).sum()),
        disjoint=True,
        proportion=True,
        note="lower is better",
    )
