"""Make plates comparable: feature selection and sphering fitted on the negative controls of the plates that fit.

In flow normalised profiles, out flows an `Alignment` that is kept as a file; any plate, also one that came later, goes
through it without a new fit. Together with the scaling of each plate on its controls and, optionally, CORAL by batch
this is the typical variation normalisation (TVN) of Ando et al. 2017.

An alignment must not be judged on the controls that it was fitted on: `fit_alignment` takes the controls to use, so
that an evaluation fits it on one half of them and judges it on the other.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring import tables
from wellspring.normalise import controls_of
from wellspring.selection import select_features
from wellspring.sphering import Sphere, fit_sphere, inverse_root

logger = logging.getLogger(__name__)

POOLED = "*"
GROUPS = {None: None, "cell_line": "Metadata_Cell_Line", "batch": "Metadata_Batch"}


@dataclass(frozen=True)
class Alignment:
    """All that was fitted, and what became of each feature.

    Attributes
    ----------
    selection
        One row a feature, table `features`.
    column
        Metadata column whose values have a sphere of their own, "" for none.
    spheres
        By that value; the key `*` is fitted on all controls and serves values that have none.
    coral
        By batch, (kept, kept) float64; applied after the sphere, from the right.
    """

    selection: pd.DataFrame
    column: str
    spheres: dict[str, Sphere]
    coral: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def features(self) -> list[str]:
        """Names of the features that were kept, in their order."""
        return self.selection.loc[self.selection["Metadata_Kept"], "Metadata_Feature"].tolist()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the fit: method and strength by group, fallbacks with their reason."""
        return tuple(
            f"{group}: {sphere.reason}"
            if sphere.reason
            else f"{group}: {sphere.method}, {sphere.controls} controls, {len(sphere.gains)} directions, "
            f"largest variance {sphere.variance[:1].sum():.4g}, regularisation {sphere.regularisation:.4g}"
            for group, sphere in self.spheres.items()
        )

    def save(self, path: str | Path) -> None:
        """Write all of it to `path`, an .npz without pickles; the same fit gives the same bytes."""
        stored = {f"selection.{name}": _plain(self.selection[name]) for name in self.selection}
        stored |= {"column": np.asarray(self.column), "groups": np.asarray(list(self.spheres), dtype=str)}
        stored["batches"] = np.asarray(list(self.coral), dtype=str)
        for number, sphere in enumerate(self.spheres.values()):
            stored |= {f"{number}.{name}": np.asarray(value) for name, value in vars(sphere).items()}
        stored |= {f"coral.{number}": matrix for number, matrix in enumerate(self.coral.values())}
        with tables.atomic(path) as temporary:
            np.savez(temporary, **stored)

    @classmethod
    def load(cls, path: str | Path) -> "Alignment":
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            stored = {name: file[name] for name in file.files}
        spheres = {}
        for number, group in enumerate(stored["groups"].tolist()):
            values = {item.name: stored[f"{number}.{item.name}"] for item in fields(Sphere)}
            # A scalar comes back as an array without dimensions.
            spheres[group] = Sphere(**{name: value if value.ndim else value.item() for name, value in values.items()})
        coral = {batch: stored[f"coral.{number}"] for number, batch in enumerate(stored["batches"].tolist())}
        names = [name for name in stored if name.startswith("selection.")]
        selection = pd.DataFrame({name.removeprefix("selection."): stored[name] for name in names})
        for name in ("Metadata_Feature", "Metadata_Reason"):
            selection[name] = selection[name].astype(object)
        return cls(selection, str(stored["column"]), spheres, coral)


def fit_alignment(
    frame: pd.DataFrame,
    *,
    options: Mapping[str, object],
    features: list[str] | None = None,
    controls: np.ndarray | None = None,
) -> Alignment:
    """Fit feature selection, sphering and CORAL on negative controls.

    Parameters
    ----------
    frame
        Normalised profiles of the plates that fit, joined.
    options
        The config section `fit`.
    features
        The features to choose from; default all of the frame.
    controls
        (rows,) bool, the controls to use; default all. Rows that are no negative control with a profile never are.

    Returns
    -------
    Alignment
        Without controls or features one that changes nothing, and says so in `notes`.
    """
    names = tables.features(frame) if features is None else list(features)
    used = controls_of(frame) if controls is None else controls_of(frame) & np.asarray(controls, dtype=bool)
    selection = select_features(frame, names=names, controls=used, options=options)
    kept = selection.loc[selection["Metadata_Kept"], "Metadata_Feature"].tolist()
    column = GROUPS[options["by"]]
    values = _filled(frame.loc[used, kept].to_numpy(dtype=np.float64))
    groups = frame.loc[used, column].fillna("").to_numpy(dtype=str) if column else np.zeros(len(values), dtype=str)
    spheres = {POOLED: fit_sphere(values, options=options)}
    if len(set(groups)) > 1:
        spheres |= {group: fit_sphere(values[groups == group], options=options) for group in sorted(set(groups))}
    alignment = Alignment(selection, column if column and len(spheres) > 1 else "", spheres)
    if options["coral"] and len(values):
        aligned = apply_alignment(frame.loc[used], alignment)[kept].to_numpy(dtype=np.float64)
        batches = frame.loc[used, "Metadata_Batch"].fillna("").to_numpy(dtype=str)
        coral = _coral(aligned, batches, min_controls=int(options["min_controls"]))
        alignment = Alignment(selection, alignment.column, spheres, coral)
    for note in alignment.notes:
        logger.info("fit: %s", note)
    return alignment


def apply_alignment(frame: pd.DataFrame, alignment: Alignment) -> pd.DataFrame:
    """Return `frame` with its kept features aligned, float32, under their names; nothing is fitted.

    A value that is not finite, in a well that has a profile, counts as the controls' mean. Wells without a profile
    stay, with NaN. A cell line that no plate of the fit had goes through the sphere of all controls.

    Raises
    ------
    ValueError
        Names features of the fit that `frame` lacks.
    """
    names = alignment.features
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise ValueError(f"profile: expected the {len(names)} features of the fit, found none called {missing[:5]}")
    values = frame[names].to_numpy(dtype=np.float64)
    values = np.where(np.isfinite(values), values, np.nan)
    result = np.full(values.shape, np.nan)
    defined = (frame["Metadata_Verdict"] == "keep").to_numpy(dtype=bool)
    groups = _groups(frame, alignment.column)
    for group in sorted(set(groups[defined])):
        sphere = alignment.spheres.get(group, alignment.spheres[POOLED])
        if alignment.column and group not in alignment.spheres:
            logger.warning("%s %r: not among the plates of the fit, aligned by all controls", alignment.column, group)
        rows = defined & (groups == group)
        gaps = np.isnan(values[rows])
        if gaps.any():
            logger.warning("%d values that are not finite count as the controls' mean", int(gaps.sum()))
        result[rows] = sphere.apply(np.where(gaps, sphere.center, values[rows]))
    if alignment.coral:
        batches = _groups(frame, "Metadata_Batch")
        for batch in sorted(set(batches[defined])):
            if batch in alignment.coral:
                rows = defined & (batches == batch)
                result[rows] = result[rows] @ alignment.coral[batch]
            else:
                logger.warning("batch %r: no CORAL was fitted, left as it is", batch)
    metadata = frame[[name for name in frame.columns if name.startswith("Metadata_")]]
    return pd.concat([metadata, pd.DataFrame(result.astype(np.float32), columns=names, index=frame.index)], axis=1)


def _coral(values: np.ndarray, batches: np.ndarray, *, min_controls: int) -> dict[str, np.ndarray]:
    """Return `(C_batch + I)^-1/2 (C_all + I)^1/2` by batch, not centred again (Ando et al. 2017)."""
    whole = inverse_root(np.cov(values.T, bias=True), ridge=1.0, power=0.5)
    matrices = {}
    for batch in sorted(set(batches)):
        rows = values[batches == batch]
        if len(rows) < min_controls:
            logger.warning("batch %r: %d controls, %d needed for CORAL: left as it is", batch, len(rows), min_controls)
        else:
            matrices[batch] = inverse_root(np.cov(rows.T, bias=True), ridge=1.0, power=-0.5) @ whole
    return matrices


def _filled(values: np.ndarray) -> np.ndarray:
    """Return `values` with what is not finite replaced by its column's mean."""
    some = np.isfinite(values)
    mean = np.where(some, values, 0.0).sum(axis=0) / np.maximum(some.sum(axis=0), 1)
    return np.where(some, values, mean)


def _groups(frame: pd.DataFrame, column: str) -> np.ndarray:
    return frame[column].fillna("").to_numpy(dtype=str) if column else np.full(len(frame), POOLED)


def _plain(column: pd.Series) -> np.ndarray:
    return column.to_numpy(dtype=str) if column.dtype == object or str(column.dtype) == "str" else column.to_numpy()
