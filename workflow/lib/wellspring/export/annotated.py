"""AnnData of an encoder: writes its profiles of every level as one `.h5ad` file and reads the file back to check it.

X is the aligned profile of each well, `obs` the metadata of the wells, `var` the features; earlier levels of the same
features are layers. `obsm` has principal components (`X_pca`) and the place on the plate (`spatial`). The package
`anndata` is asked for only in this package.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.io.tables import atomic, features
from wellspring.screen.well_names import position

if TYPE_CHECKING:
    from anndata import AnnData

Array = npt.NDArray[Any]
PREFIX = "Metadata_"
INSTALL = "export.formats: anndata needs the package anndata (pip install anndata), or leave it out of the list"
COMPONENTS = 50  # most principal components in `obsm["X_pca"]`, scanpy's default


def observations(profiles: pd.DataFrame) -> pd.DataFrame:
    """Return the metadata without its prefix, indexed by plate/well: texts categorical, numbers as such."""
    columns = {}
    for name in profiles.columns:
        if name.startswith(PREFIX):
            column = profiles[name]
            text = not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
            columns[name.removeprefix(PREFIX)] = column.astype("category") if text else column
    names = profiles["Metadata_Plate"].astype(str) + "/" + profiles["Metadata_Well"].astype(str)
    return pd.DataFrame(columns).set_axis(pd.Index(names, dtype=object), axis=0)


def annotate(
    aligned: pd.DataFrame,
    table: pd.DataFrame,
    *,
    layers: Mapping[str, pd.DataFrame],
    provenance: Mapping[str, object],
) -> "AnnData":
    """Return an `anndata.AnnData` (wells, features).

    Parameters
    ----------
    aligned
        Joined aligned profiles, table `profile`; X is float32, NaN for wells without a profile.
    table
        Table `features`: kept features are in `var`, all of them in `uns["features"]`.
    layers
        Level -> joined profiles of the wells at that level; one that lacks a feature of `aligned` (which may be made
        of several) is left out.
    provenance
        Goes to `uns["provenance"]` as JSON.

    Raises
    ------
    ModuleNotFoundError
        anndata is not installed; the message names the remedy.
    ValueError
        A level lacks a well.
    """
    try:
        import anndata
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL) from error
    names, obs = features(aligned), observations(aligned)
    known = table.set_index("Metadata_Feature").rename(columns=lambda name: name.removeprefix(PREFIX))
    var = known.reindex(names)
    var.index = pd.Index(names, dtype=object)
    levels = {}
    for level, frame in layers.items():
        if set(names) <= set(frame.columns):
            rows = frame.set_axis(observations(frame).index, axis=0)
            absent = sorted(set(obs.index) - set(rows.index))
            if absent:
                raise ValueError(f"{level}: expected all wells of the aligned profiles, found none of {absent[:10]}")
            levels[level] = rows.loc[obs.index, names].to_numpy(dtype=np.float32)
    values = aligned[names].to_numpy(dtype=np.float32)
    components, ratio = principal(values)
    return anndata.AnnData(
        X=values,
        obs=obs,
        var=var,
        layers=levels,
        obsm={"X_pca": components, "spatial": _places(aligned["Metadata_Well"])},
        uns={
            "provenance": json.dumps(dict(provenance), sort_keys=True),
            "features": table.reset_index(drop=True),
            "pca": {"variance_ratio": ratio},
        },
    )


def principal(values: Array) -> tuple[Array, Array]:
    """Return principal components (n, k) float32 of profiles (n, d), and the share of the variance of each (k,).

    Profiles that are not finite have NaN. The largest loading of a component is positive.
    """
    finite = np.isfinite(values).all(axis=1)
    rows = values[finite].astype(np.float64)
    count = min(COMPONENTS, *rows.shape)
    result = np.full((len(values), count), np.nan, dtype=np.float32)
    if not count:
        return result, np.zeros(0)
    left, spread, axes = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    sign = np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])
    result[finite] = (left * spread * sign)[:, :count]
    total = float((spread**2).sum())
    return result, spread[:count] ** 2 / (total or 1.0)


def _places(wells: pd.Series) -> Array:
    """Return column and row (n, 2) float32 of each well on its plate, from 0: where scanpy draws it."""
    return np.array([position(well)[::-1] for well in wells], dtype=np.float32).reshape(-1, 2)


def write(data: "AnnData", path: str | Path) -> None:
    """Write an AnnData to `path` and read it back.

    Raises
    ------
    ValueError
        The file does not contain what was written.
    """
    import anndata

    with atomic(path) as temporary:
        data.write_h5ad(temporary, compression="gzip")
        again = anndata.read_h5ad(temporary)
        if not (again.obs_names.equals(data.obs_names) and again.var_names.equals(data.var_names)):
            raise ValueError(f"{path}: expected the wells and features that were written, found others")
        for name, written in {"X": data.X, **data.layers}.items():
            read = again.X if name == "X" else again.layers[name]
            if read.dtype != np.float32 or not np.array_equal(read, written, equal_nan=True):
                raise ValueError(f"{path}: {name}: expected the values that were written, found others")
