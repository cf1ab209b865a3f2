"""AnnData of an encoder: writes its profiles of every level as one `.h5ad` file and reads the file back to check it.

X is the aligned profile of each well, `obs` the metadata of the wells, `var` the features; earlier levels of the same
features are layers. The package `anndata` is asked for only here.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.io.tables import atomic, features

if TYPE_CHECKING:
    from anndata import AnnData

PREFIX = "Metadata_"


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
        message = "export.formats: anndata needs the package anndata (pip install anndata), or leave it out of the list"
        raise ModuleNotFoundError(message) from error
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
    return anndata.AnnData(
        X=aligned[names].to_numpy(dtype=np.float32),
        obs=obs,
        var=var,
        layers=levels,
        uns={"provenance": json.dumps(dict(provenance), sort_keys=True), "features": table.reset_index(drop=True)},
    )


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
