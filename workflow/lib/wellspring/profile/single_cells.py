"""Profiles of single cells: normalised on the plate's control cells, with distances and distributions per well.

Input: the cells of a plate (table `embed`) and its normalised wells. Output: the cells one well after another, so that
one well is in memory, and a row per well with the distribution of its cells (table `distributions`).

A distribution is described by means over the cells: of whitened principal components, and of random Fourier features
of a Gaussian kernel (Rahimi and Recht 2007), whose squared difference between two wells is their maximum mean
discrepancy (Gretton et al. 2012). Neither knows which wells are controls, so that wells can be exchanged in a test.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from wellspring.io import tables
from wellspring.io.embeddings import Vectors, write_parts
from wellspring.io.keys import SITE_KEY, WELL_KEY
from wellspring.profile.normalise import Array, Normaliser, fit_normaliser, method_for
from wellspring.screen.sections import Profile

logger = logging.getLogger(__name__)

SAMPLE = 100  # cells per well that centre, spread, components and limit are taken from
COMPONENTS = 32  # most principal components
CELLS_PER_COMPONENT = 10  # fewest control cells per component, so that their covariance is known
PAIRED = 1000  # cells whose median distance is the width of the kernel
FREQUENCIES = 256  # of the random Fourier features
FOLDS = 4  # of the control wells: a control cell is measured from wells of other folds
LIMIT = 0.95  # share of the control cells within the limit
PICTURED = 2  # cells per well that are pictured, beyond the limit and within
EXTREME = 10.0  # standard deviations at which a feature is cut for the components, since classical ones have long tails
SHRUNK = 0.02  # weight of the mean variance in the control cells' covariance


@dataclass(frozen=True)
class Basis:
    """What is fitted on a sample of the cells of a plate.

    Attributes
    ----------
    normaliser
        Centre and scale of the control cells.
    center, spread, axes
        (d,), (d,) and (d, k): standardisation, and whitened principal components of all cells.
    frequencies
        (k, f) of the random Fourier features.
    places
        Control well -> its fold.
    centers, whiteners
        (folds, k) and (folds, k, k): the control cells without those of each fold; no folds with fewer than two control
        wells.
    limit
        Distance within which 95 % of the control cells lie, measured from the wells of other folds.
    """

    normaliser: Normaliser
    center: Array
    spread: Array
    axes: Array
    frequencies: Array
    places: dict[str, int]
    centers: Array
    whiteners: Array
    limit: float

    def scores(self, cells: Array) -> Array:
        """Return the whitened principal components (n, k) of raw cells (n, d)."""
        values = np.nan_to_num((cells - self.center) / self.spread, nan=0.0, posinf=0.0, neginf=0.0)
        result: Array = np.clip(values, -EXTREME, EXTREME) @ self.axes
        return result

    def distances(self, scores: Array, well: str) -> Array:
        """Return the distance (n,) of cells from the control cells in units of the limit; NaN without folds."""
        if not len(self.centers):
            return np.full(len(scores), np.nan)
        folds = [self.places[well]] if well in self.places else range(len(self.centers))
        each = [np.linalg.norm((scores - self.centers[fold]) @ self.whiteners[fold], axis=1) for fold in folds]
        result: Array = np.mean(each, axis=0) / self.limit
        return result

    def summary(self, scores: Array) -> tuple[Array, float]:
        """Return the description of a well's distribution (k + 4 f,), and the sum of the variances of its cells."""
        mean, count = scores.mean(axis=0), len(scores)
        wide = np.sqrt(count / max(count - 1, 1))  # the mean is the cells' own
        parts = [mean, self._waves(scores), self._waves((scores - mean) * wide)]
        return np.concatenate(parts), float(scores.var(axis=0, ddof=1).sum()) if count > 1 else 0.0

    def names(self) -> list[str]:
        """Return the names of the values of `summary`."""
        count, waves = self.axes.shape[1], 2 * self.frequencies.shape[1]
        sizes = {"mean": count, "all": waves, "shape": waves}
        return [f"{name}_{number}" for name, size in sizes.items() for number in range(size)]

    def _waves(self, scores: Array) -> Array:
        phase = scores @ self.frequencies
        waves = np.concatenate([np.cos(phase).mean(axis=0), np.sin(phase).mean(axis=0)])
        result: Array = waves / np.sqrt(self.frequencies.shape[1])
        return result


@dataclass
class Plate:
    """The cells of a plate, read well by well.

    Attributes
    ----------
    views, vectors, names
        Table `embed` of an encoder of cells, its matrix (n, d), and the names of the d features.
    wells
        The plate's normalised wells, table `profile`; only wells of verdict keep are read.
    options
        Config section `profile`.
    seed
        Of the random Fourier features.
    summaries
        One row per well, and its description, after `cells` has run to its end.
    """

    views: pd.DataFrame
    vectors: Array | Vectors
    names: Sequence[str]
    wells: pd.DataFrame
    options: Profile
    seed: int = 0
    summaries: list[tuple[dict[str, object], Array]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Sort the cells by well."""
        if len(self.views) != len(self.vectors):
            raise ValueError(f"single cells: expected {len(self.views)} vectors, found {len(self.vectors)}")
        kept = self.wells[self.wells["Metadata_Verdict"] == "keep"].sort_values(WELL_KEY)
        order = self.views.sort_values([*SITE_KEY, "Metadata_View"], kind="stable").index.to_numpy()
        place = pd.Series(order).groupby(self.views["Metadata_Well"].to_numpy()[order], sort=False)
        rows = {str(well): found.to_numpy() for well, found in place}
        self._rows = {well: rows[well] for well in kept["Metadata_Well"].astype(str) if well in rows}
        self._about = kept.set_index(kept["Metadata_Well"].astype(str))

    def basis(self) -> Basis | None:
        """Return what is fitted on a sample of the cells, `SAMPLE` per well; None for a plate without cells."""
        if not self._rows:
            return None
        parts = {well: self.vectors[_spread(rows)].astype(np.float64) for well, rows in self._rows.items()}
        sample = np.concatenate(list(parts.values()))
        sample[~np.isfinite(sample)] = np.nan
        of = np.repeat(np.array(list(parts), dtype=object), [len(part) for part in parts.values()])
        control = (self._about["Metadata_pert_type"] == "negcon").reindex(of).to_numpy(dtype=bool)
        normaliser = self._normaliser(sample, control)
        # Wells count alike: one of few cells would lie outside of what the others vary in, and stand out.
        weight = np.concatenate([np.full(len(part), 1 / len(part)) for part in parts.values()])
        finite = np.isfinite(sample)
        total = np.maximum(weight @ finite, 1e-300)
        center = weight @ np.where(finite, sample, 0.0) / total
        spread = np.sqrt(weight @ np.square(np.where(finite, sample - center, 0.0)) / total)
        spread = np.where(spread > 1e-6 * np.abs(center), spread, np.inf)  # rounding becomes 0
        values = np.clip(np.nan_to_num((sample - center) / spread), -EXTREME, EXTREME)
        fewest = control.sum() if control.any() else len(sample)
        axes = _axes(values, weight, int(max(1, min(COMPONENTS, fewest // CELLS_PER_COMPONENT))))
        scores = values @ axes
        width = float(np.median(pdist(_spread(scores, PAIRED)))) if len(scores) > 1 else 1.0
        rng = np.random.default_rng(self.seed)
        frequencies = rng.standard_normal((axes.shape[1], FREQUENCIES)) / (width or 1.0)
        places, centers, whiteners, limit = _folds(scores[control], of[control])
        return Basis(normaliser, center, spread, axes, frequencies, places, centers, whiteners, limit)

    def cells(self, basis: Basis) -> Iterator[tuple[pd.DataFrame, Array]]:
        """Yield rows (table `single_cells`) and normalised features of each well, and fill `summaries`."""
        for well, rows in self._rows.items():
            raw = np.asarray(self.vectors[rows])
            scores = basis.scores(raw.astype(np.float64))
            distance = basis.distances(scores, well)
            described, scatter = basis.summary(scores)
            about = self._about.loc[well]
            known = bool(np.isfinite(distance).all())
            row = {"Metadata_Plate": about["Metadata_Plate"], "Metadata_Well": well, "Metadata_Cells": len(rows)}
            share = float((distance > 1).mean()) if known else None
            self.summaries.append((row | {"Metadata_Share": share, "Metadata_Scatter": scatter}, described))
            frame = self.views.iloc[rows].assign(
                Metadata_Perturbation=about["Metadata_Perturbation"],
                Metadata_pert_type=about["Metadata_pert_type"],
                Metadata_Distance=distance,
                Metadata_Chosen=_chosen(distance),
            )
            yield frame.reset_index(drop=True), basis.normaliser.of(raw.astype(np.float64)).astype(np.float32)

    def _normaliser(self, sample: Array, control: Array) -> Normaliser:
        metadata = pd.DataFrame(
            {"Metadata_Verdict": "keep", "Metadata_pert_type": np.where(control, "negcon", "trt")}, index=None
        )
        frame = pd.concat([metadata, pd.DataFrame(sample, columns=list(self.names))], axis=1)
        return fit_normaliser(
            frame,
            method=method_for(self.options.normalise, list(self.names)),
            on=self.options.normalise_on,
            min_controls=1,  # wells are counted where the plate was judged
            spread_floor=self.options.spread_floor,
            epsilon=self.options.epsilon,
        )


def write(
    plate: Plate,
    cells: str | Path,
    distributions: str | Path,
    *,
    provenance: Mapping[str, object],
    verdict: tables.Verdict,
) -> tables.Verdict:
    """Write the tables `single_cells` and `distributions` of a plate, and return its verdict.

    Both tables of a plate that is left out, or whose controls have no cells, are empty.
    """
    basis = plate.basis() if verdict.keep else None
    if basis is not None and basis.normaliser.reason:
        verdict, basis = verdict.because(basis.normaliser.reason), None
    parts = plate.cells(basis) if basis is not None else ()
    names = {"single_cells": list(plate.names), "distributions": basis.names() if basis is not None else ["mean_0"]}
    written = partial(write_parts, provenance=provenance, verdict=verdict)
    count = written(parts, cells, names=names["single_cells"], table="single_cells")
    rows = [(pd.DataFrame([row]), values[None].astype(np.float32)) for row, values in plate.summaries]
    written(rows, distributions, names=names["distributions"], table="distributions")
    logger.info("%d cells of %d wells", count, len(rows))
    return verdict


def _spread(rows: Array, most: int = SAMPLE) -> Array:
    """Return at most `most` of the rows, evenly spread."""
    result: Array = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]
    return result


def _axes(values: Array, weight: Array, count: int) -> Array:
    """Return the whitened principal axes (d, k) of standardised cells (n, d), of directions with a variance."""
    found, axes = np.linalg.eigh(values.T @ (values * weight[:, None]) / weight.sum())
    found, axes = found[::-1][:count], axes[:, ::-1][:, :count]
    real = found > 1e-9 * max(float(found[0]), 1e-300)
    real[0] = True
    axes = axes[:, real] * np.sign(axes[:, real][np.abs(axes[:, real]).argmax(axis=0), np.arange(real.sum())])
    result: Array = axes / np.sqrt(np.maximum(found[real], 1e-12))
    return result


def _folds(scores: Array, of: Array) -> tuple[dict[str, int], Array, Array, float]:
    """Return the folds of control wells, the fits (centre, whitener) without each fold, and the limit."""
    wells = sorted(set(of.tolist()))
    count, size = min(FOLDS, len(wells)), scores.shape[1]
    places = {well: number % max(count, 1) for number, well in enumerate(wells)}
    if count < 2:
        return {}, np.zeros((0, size)), np.zeros((0, size, size)), float("nan")
    fold = np.array([places[well] for well in of])
    centers, whiteners, distance = np.zeros((count, size)), np.zeros((count, size, size)), np.zeros(len(scores))
    for number in range(count):
        others = scores[fold != number]
        centers[number] = others.mean(axis=0)
        covariance = np.atleast_2d(np.cov(others.T, ddof=0))
        mean = max(float(np.trace(covariance)) / size, 1e-12)
        variance, axes = np.linalg.eigh((1 - SHRUNK) * covariance + SHRUNK * mean * np.eye(size))
        whiteners[number] = axes / np.sqrt(variance)
        own = fold == number
        distance[own] = np.linalg.norm((scores[own] - centers[number]) @ whiteners[number], axis=1)
    return places, centers, whiteners, max(float(np.quantile(distance, LIMIT)), 1e-12)


def _chosen(distance: Array) -> Array:
    """Return `beyond` and `within` for the cells (n,) nearest to the median distance of their side, else None."""
    result = np.full(len(distance), None, dtype=object)
    for name, side in (("beyond", distance > 1), ("within", distance <= 1)):
        places = np.flatnonzero(side)
        if len(places):
            away = np.abs(distance[places] - np.median(distance[places]))
            result[places[np.argsort(away, kind="stable")[:PICTURED]]] = name
    return result
