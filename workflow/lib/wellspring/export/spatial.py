"""SpatialData of a field: pixels, label images of nuclei and cells, and the table of its cells, as one Zarr store.

python -m wellspring.export.spatial results PLATE B03 1 field.zarr

Needs the package spatialdata, which is in no environment of the workflow: spatialdata 0.7 asks for a dask that ome-zarr
0.18 excludes. In an environment of its own with jsonschema, imagecodecs and pyyaml, and with
`PYTHONPATH=CLONE/workflow/lib`, this command runs.
"""

import argparse
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wellspring.export.annotated import PREFIX
from wellspring.io import ngff, tables
from wellspring.io.keys import SITE_KEY

INSTALL = "SpatialData needs the package spatialdata (pip install spatialdata, into an environment of its own)"
REGION = "cells"  # the label image whose objects are the rows of the table


def field(results: str | Path, *, plate: str, well: str, site: str) -> Any:
    """Return a `spatialdata.SpatialData` of a field.

    Images: `pixels` (C, H, W) uint16 with the names of the channels. Labels: `nuclei`, `cells` (H, W) uint32. Tables:
    `cells_table`, a row per segmented cell, `obsm["spatial"]` its centre (x, y) in px. The coordinate system `global`
    is in micrometres where the size of a pixel is known, else in px.

    Parameters
    ----------
    results
        Folder of results with segmented cells (`images` and `cells`).
    plate, well, site
        The field.

    Raises
    ------
    ModuleNotFoundError
        spatialdata is not installed; the message names the remedy.
    KeyError
        The plate has no such field.
    """
    try:
        models, transformations, spatialdata, anndata = (
            importlib.import_module(name)
            for name in ("spatialdata.models", "spatialdata.transformations", "spatialdata", "anndata")
        )
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(INSTALL) from error
    folders = [Path(results) / kind / f"{plate}.zarr" for kind in ("images", "cells")]
    images, labels = ngff.open_plate(folders[0]), ngff.open_labels(folders[1])
    scale = images.pixel_size or 1.0
    placed = {"global": transformations.Scale([scale, scale], axes=("y", "x"))}
    pixels = models.Image2DModel.parse(
        images.read(well, site), dims=("c", "y", "x"), c_coords=images.channels, transformations=placed
    )
    found = {
        name: models.Labels2DModel.parse(labels.read(well, site, name), dims=("y", "x"), transformations=placed)
        for name in labels.channels
    }
    cells = tables.read(Path(results) / "cells" / f"{plate}.parquet")
    cells = cells[(cells[list(SITE_KEY)].astype(str) == [plate, well, site]).all(axis=1)]
    obs = cells.rename(columns=lambda name: name.removeprefix(PREFIX)).reset_index(drop=True)
    obs = obs.assign(region=pd.Categorical([REGION] * len(obs))).set_axis(obs["Cell"].astype(str), axis=0)
    obs.index.name = None
    centres = cells[["Metadata_Center_X", "Metadata_Center_Y"]].to_numpy(dtype=np.float64)
    table = models.TableModel.parse(
        anndata.AnnData(obs=obs, obsm={"spatial": centres}), region=REGION, region_key="region", instance_key="Cell"
    )
    unit = "micrometre" if images.pixel_size else "pixel"
    about = {"plate": plate, "well": well, "site": site, "unit": unit}
    return spatialdata.SpatialData(
        images={"pixels": pixels}, labels=found, tables={f"{REGION}_table": table}, attrs=about
    )


def main(given: list[str] | None = None) -> None:
    """Write the SpatialData of a field."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of results")
    parser.add_argument("plate")
    parser.add_argument("well")
    parser.add_argument("site")
    parser.add_argument("path", type=Path, help="Zarr store to write, which must not exist")
    asked = parser.parse_args(given)
    if asked.path.exists():
        parser.error(f"{asked.path}: expected a path that does not exist, found one that does")
    try:
        found = field(asked.results, plate=asked.plate, well=asked.well, site=asked.site)
    except (ModuleNotFoundError, KeyError, ValueError, OSError) as error:
        parser.error(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    found.write(asked.path)


if __name__ == "__main__":
    main()
