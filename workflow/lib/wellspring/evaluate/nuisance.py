"""How well batch, plate and position are read from the negative controls: what a profile should not hold.

In flow well profiles, out flow scores named `nuisance.*`: balanced accuracy of nearest-neighbour reading (cosine, leave
one out) among negative controls, with one over the number of classes as chance. Batch and plate are read among the
controls of the same cell line; row, column and edge are read across plates (references on other plates only).
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.transfer import vote

TARGETS = ("batch", "plate", "row", "column", "edge")


def nuisance(features: np.ndarray, metadata: pd.DataFrame, *, neighbours: int = 1) -> list[Score]:
    """Return the five nuisance scores; items are the classes (a batch, a plate, a row letter...) with their recall.

    The interval resamples wells. A target of which the references have one class only is absent with a note.
    """
    control = wells.kind(metadata, "negcon")
    keep = control & wells.defined(features, metadata)
    lost, rows = int(control.sum() - keep.sum()), wells.units(features)[keep]
    place = wells.positions(metadata)[keep]
    plate, line, batch = (
        wells.column(metadata, name)[keep].astype(str) for name in (wells.PLATE, wells.LINE, wells.BATCH)
    )
    if len(rows) < 2:
        return [
            absent(f"nuisance.{name}", f"needs two negative controls, found {len(rows)}", n_undefined=lost)
            for name in TARGETS
        ]
    other = ~np.eye(len(rows), dtype=bool)
    same_line, other_plate = other & (line[:, None] == line[None, :]), plate[:, None] != plate[None, :]
    names = np.array([f"{p} {w}" for p, w in zip(plate, wells.column(metadata, "Metadata_Well")[keep], strict=True)])
    scores = [
        _score("batch", rows, batch, names, same_line, lost, neighbours),
        _score("plate", rows, plate, names, same_line, lost, neighbours),
    ]
    known = place["row"].notna().to_numpy()
    for name in ("row", "column", "edge"):
        values = place[name].map(lambda value: str(int(value)) if pd.notna(value) else "").to_numpy(dtype=str)
        open_ = other_plate[np.ix_(known, known)]
        scores.append(
            _score(name, rows[known], values[known], names[known], open_, lost + int((~known).sum()), neighbours)
        )
    return scores


def _score(
    name: str, rows: np.ndarray, truth: np.ndarray, names: np.ndarray, allowed: np.ndarray, lost: int, neighbours: int
) -> Score:
    metric = f"nuisance.{name}"
    classes = np.array([len(set(truth[open_])) for open_ in allowed], dtype=int)
    # A class that no allowed reference has can not be read; one class alone is read by construction.
    readable = np.array(
        [classes[i] > 1 and bool((truth[allowed[i]] == truth[i]).any()) for i in range(len(truth))], dtype=bool
    )
    if not readable.any():
        return absent(
            metric,
            f"needs two classes with references for each, found {sorted(map(str, set(truth)))[:4]}",
            n_undefined=lost + len(truth),
        )
    predicted, _, _ = vote(rows[readable], rows, truth, truth[readable], allowed[readable], (neighbours,))
    frame = pd.DataFrame(
        {
            "stratum": truth[readable],
            "cluster": names[readable],
            "value": (predicted[neighbours] == truth[readable]).astype(float),
            "chance": 1 / classes[readable],
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
        guard="one over the number of classes",
        n=len(frame),
        n_undefined=lost + int((~readable).sum()),
        disjoint=True,
        proportion=True,
        note="lower is better",
    )
