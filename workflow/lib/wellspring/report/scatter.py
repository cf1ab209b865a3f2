"""The map of the profiles: two axes per well, before and after alignment.

The page gets both levels of the same wells as data; the drawing shows the aligned profiles.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.io.phrases import count
from wellspring.report.gather import Record, pick
from wellspring.report.palette import category
from wellspring.report.svg import MUTED, Panel, document, mark, text
from wellspring.report.svg import shape as shape_of

COLUMNS = {
    "Metadata_moa": "Mechanism",
    "Metadata_pert_type": "Type",
    "Metadata_Compound": "Compound",
    "Metadata_Plate": "Plate",
    "Metadata_Batch": "Batch",
    "Metadata_Cell_Line": "Cell line",
}
KINDS = {"negcon": "negative control", "poscon": "positive control", "trt": "treatment"}
COMPONENTS = 30  # principal components that t-SNE starts from


def axes(features: NDArray[Any], *, method: str = "pca", seed: int = 0) -> NDArray[np.float64]:
    """Return two axes (n, 2) float64 of features (n, d).

    `pca` is the first two principal components, signs fixed so that each has its largest weight positive; `tsne` is
    t-SNE (scikit-learn, PCA start, one thread) of at most 30 components. Too few rows for an axis give zeros.
    """
    values = np.asarray(features, dtype=np.float64)
    if len(values) < 2:
        return np.zeros((len(values), 2))
    centred = values - values.mean(axis=0)
    if centred.shape[1] <= len(centred):  # far quicker than decomposing thousands of wells
        weights = np.linalg.eigh(centred.T @ centred)[1][:, ::-1].T
    else:
        weights = np.linalg.svd(centred, full_matrices=False)[2]
    weights = weights[:COMPONENTS]
    signs = np.sign(weights[np.arange(len(weights)), np.abs(weights).argmax(axis=1)])
    scores = centred @ (weights * np.where(signs == 0, 1, signs)[:, None]).T
    if method == "tsne" and len(values) >= 10:
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        with threadpool_limits(1):
            perplexity = min(30.0, (len(values) - 1) / 3)
            model = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=seed, n_jobs=1)
            placed: NDArray[np.float64] = model.fit_transform(scores).astype(np.float64)
            return placed
    return np.pad(scores[:, :2], ((0, 0), (0, max(0, 2 - scores.shape[1]))))


def place(aligned: pd.DataFrame, *, method: str = "pca", limit: int = 10000, seed: int = 0) -> pd.DataFrame:
    """Return the wells that have a profile, evenly thinned to `limit`, with X and Y; undefined wells are left out."""
    names = tables.features(aligned)
    if aligned.empty or not names:
        return aligned.assign(X=[], Y=[]).head(0)
    matrix = aligned[names].to_numpy(dtype=np.float64)
    rows = np.flatnonzero(np.isfinite(matrix).all(axis=1))
    if len(rows) > limit:
        rows = rows[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    spots = axes(matrix[rows], method=method, seed=seed)
    kept = aligned.iloc[rows].drop(columns=names).reset_index(drop=True)
    return kept.assign(X=spots[:, 0], Y=spots[:, 1])


def before(
    paths: Sequence[Path], placed: pd.DataFrame, *, method: str = "pca", seed: int = 0
) -> NDArray[np.float64] | None:
    """Return the axes (n, 2) of the placed wells in the tables before alignment, NaN where they have no profile there.

    The axes are those of these profiles alone. None without a well that has one.
    """
    wanted = placed[WELL_KEY].assign(Place=range(len(placed)))
    found = []
    for path in paths:
        if tables.verdict(path).keep and len(mine := tables.read(path).merge(wanted, on=WELL_KEY)):
            found.append(mine)
    if not found:
        return None
    joined = pd.concat(found, ignore_index=True)
    names = [name for name in tables.features(joined) if name != "Place"]
    matrix = joined[names].to_numpy(dtype=np.float64)
    matrix = matrix[:, np.isfinite(matrix).any(axis=0)]
    good = np.isfinite(matrix).all(axis=1)
    spots = np.full((len(placed), 2), np.nan)
    spots[joined["Place"].to_numpy()[good]] = axes(matrix[good], method=method, seed=seed)
    return spots if good.any() else None


def block(placed: pd.DataFrame, earlier: NDArray[np.float64] | None = None) -> Record:
    """Return the data of the page's map: whole coordinates 0 to 1000 by level, coded columns, wells."""
    result: Record = {"n": len(placed), "columns": {}, "numbers": {}, "levels": {}}
    if earlier is not None:
        result["levels"]["normalised"] = _spread(earlier)
    result["levels"]["aligned"] = _spread(placed[["X", "Y"]].to_numpy(dtype=float))
    for column, name in COLUMNS.items():
        texts = pick(placed, column).astype(object).where(lambda found: found.notna(), "not stated")
        texts = texts.replace(KINDS) if name == "Type" else texts
        levels = sorted({str(value) for value in texts}, key=lambda level: (level == "not stated", level))
        if levels and levels != ["not stated"]:
            code = {level: number for number, level in enumerate(levels)}
            result["columns"][name] = {"levels": levels, "codes": [code[str(value)] for value in texts]}
    doses = pd.to_numeric(pick(placed, "Metadata_Concentration"), errors="coerce")
    result["numbers"]["Concentration"] = [None if pd.isna(value) else float(f"{value:.6g}") for value in doses]
    result["wells"] = pick(placed, "Metadata_Well", "").astype(str).tolist()
    return result


def _spread(spots: NDArray[Any]) -> dict[str, list[int | None]]:
    """Return whole coordinates `x` and `y`, 0 to 1000 over the finite ones, None for the others."""
    found = {}
    for name, values in zip("xy", np.asarray(spots, dtype=float).reshape(-1, 2).T, strict=True):
        finite = values[np.isfinite(values)]
        low, span = (finite.min(), np.ptp(finite) or 1.0) if len(finite) else (0.0, 1.0)
        found[name] = [int(round(1000 * (one - low) / span)) if np.isfinite(one) else None for one in values]
    return found


def drawing(placed: Mapping[str, pd.DataFrame], *, limit: int = 2000) -> str:
    """Return the map as one drawing, one panel per encoder, coloured by mechanism (by type where none is stated).

    More than `limit` wells per panel are evenly thinned, since further points would hide each other.
    """
    body, size, gap = [], 250, 24
    across = min(max(len(placed), 1), 3)
    named = [name for name, frame in placed.items() if len(frame)]
    column = (
        "Metadata_moa"
        if any(pick(placed[name], "Metadata_moa").notna().any() for name in named)
        else "Metadata_pert_type"
    )
    labels = sorted({str(value) for name in named for value in pick(placed[name], column).dropna()})
    for slot, (name, frame) in enumerate(placed.items()):
        left, top = 10 + (size + gap) * (slot % across), 26 + (size + gap + 12) * (slot // across)
        body.append(text(left, top - 8, f"{name} ({count(len(frame), 'well')})"))
        box = f'x="{left}" y="{top}" width="{size}" height="{size}"'
        body.append(f'<rect {box} fill="none" stroke="{MUTED}" stroke-opacity=".4"/>')
        panel = Panel(left + 6, top + 6, size - 12, size - 12, _range(frame, "X"), _range(frame, "Y"))
        frame = frame.iloc[:: max(1, -(-len(frame) // limit))]
        for x, y, label in zip(pick(frame, "X"), pick(frame, "Y"), pick(frame, column).astype(object), strict=True):
            number = labels.index(str(label)) if str(label) in labels else None
            fill = MUTED if number is None else category(number)
            shape = shape_of(number or 0)
            body.append(mark(panel.x(x), panel.y(y), fill=fill, shape=shape, size=2.4 if number is not None else 1.6))
    down = 26 + (size + gap + 12) * -(-max(len(placed), 1) // across)
    for number, label in enumerate(labels[:48]):
        x, y = 16 + (size + gap) * (number % across), down + 15 * (number // across)
        body.append(mark(x, y - 3.5, fill=category(number), shape=shape_of(number), size=3))
        body.append(text(x + 9, y, label[:36], fill=MUTED))
    height = down + 15 * -(-len(labels[:48]) // across) + 4
    return document(
        "".join(body), width=20 + across * (size + gap) - gap, height=height, title="Map of the aligned profiles"
    )


def _range(frame: pd.DataFrame, axis: str) -> tuple[float, float]:
    values = pick(frame, axis).astype(float)
    return (float(values.min()), float(values.max())) if len(values) and values.max() > values.min() else (0.0, 1.0)
