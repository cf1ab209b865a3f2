"""AnnData of single cells: writes the normalised cells of a plate as one `.h5ad` file for scanpy.

X is the normalised features of each cell, `obs` its metadata, `obsm["spatial"]` its centre (x, y) in the field, px, and
`uns["cell_tests"]` the tests of the treatments. Only profiles of single cells (`profile.single_cell`) have it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.export.annotated import INSTALL, observations, write
from wellspring.io import embeddings, tables

if TYPE_CHECKING:
    from anndata import AnnData


def annotate_cells(cells: str | Path, tests: str | Path, *, provenance: Mapping[str, object]) -> "AnnData":
    """Return an `anndata.AnnData` (cells, features) of tables `single_cells` and `cell_tests`.

    Raises
    ------
    ModuleNotFoundError
        anndata is not installed; the message names the remedy.
    """
    try:
        import anndata
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL) from error
    frame, matrix = tables.read_embedding(cells)
    names = embeddings.names_of(cells) or []
    obs = observations(frame)
    view = frame["Metadata_View"].astype(str)
    keys = pd.Series(obs.index.to_numpy(), dtype=object) + "/" + frame["Metadata_Site"].astype(str) + "/" + view
    obs.index = pd.Index(keys, dtype=object)
    centres = frame[["Metadata_Center_X", "Metadata_Center_Y"]].to_numpy(dtype=np.float32)
    return anndata.AnnData(
        X=np.ascontiguousarray(matrix, dtype=np.float32),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(names, dtype=object)),
        obsm={"spatial": centres},
        uns={"provenance": json.dumps(dict(provenance), sort_keys=True), "cell_tests": _plain(tables.read(tests))},
    )


def write_cells(
    cells: str | Path, tests: str | Path, path: str | Path, *, provenance: Mapping[str, object]
) -> tuple[int, ...]:
    """Write the AnnData of a plate's cells to `path`, and return its shape."""
    data = annotate_cells(cells, tests, provenance={"export": dict(provenance), "cells": tables.provenance(cells)})
    write(data, path)
    shape: tuple[int, ...] = data.shape
    return shape


def _plain(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose texts have no null, since HDF5 stores none."""
    texts = [name for name in table if table[name].dtype == object]
    return table.assign(**{name: table[name].fillna("").astype(str) for name in texts}).reset_index(drop=True)
