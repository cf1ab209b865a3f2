"""Ready-made crops of single cells in the forms in which they are published, with the pixels that were written."""

from collections.abc import Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import tifffile
import zarr

CHANNELS = ("DNA", "ER", "Mito")
SHAPE = (3, 40, 36)  # (C, Y, X): not square
FORMS = (
    "side by side",
    "colours",
    "pages",
    "file per channel",
    "numpy per crop",
    "numpy per site",
    "array",
    "array, channels last",
    "archive",
    "zarr",
    "zarr group",
)


def crop(
    rng: np.random.Generator, shape: Sequence[int] = SHAPE, *, strength: Sequence[float] = (1, 1, 1)
) -> np.ndarray:
    """Return a cell, (C, Y, X) uint16: a spot per channel on noise, brighter by `strength`."""
    y, x = np.ogrid[: shape[1], : shape[2]]
    spot = np.exp(-((y - shape[1] / 2) ** 2 + (x - shape[2] / 2) ** 2) / rng.uniform(30, 60))
    bright = np.array(strength)[:, None, None] * rng.uniform(800, 1200, (shape[0], 1, 1))
    return (rng.normal(300, 20, shape) + bright * spot).clip(0, 65535).astype(np.uint16)


def keys(plates: Sequence[str], wells: Sequence[str], *, sites: int = 2, cells: int = 3) -> pd.DataFrame:
    """Return a table with a row per cell, shuffled; wells in another form than the platemap's."""
    rows = [
        (plate, f"{well[0].lower()}{int(well[1:])}", site, cell)
        for plate in plates
        for well in wells
        for site in range(1, sites + 1)
        for cell in range(1, cells + 1)
    ]
    table = pd.DataFrame(rows, columns=["Plate", "Well", "Site", "ObjectNumber"])
    return table.sample(frac=1, random_state=4).reset_index(drop=True)


def write(folder: Path, form: str, table: pd.DataFrame, pixels: np.ndarray) -> dict[str, object]:
    """Write crops (N, C, Y, X) in one of FORMS and their table; return the config section `crops.given`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = table.copy()
    given: dict[str, object] = {"table": "cells.csv"}
    names = [f"img/{row.Plate}_{row.Well}_{row.Site}_{row.ObjectNumber}" for row in table.itertuples()]
    (folder / "img").mkdir(exist_ok=True)
    if form == "side by side":
        table["file_path"] = [f"{name}.png" for name in names]
        given["layout"] = "side_by_side"
        for name, one in zip(table["file_path"], pixels, strict=True):
            (folder / name).write_bytes(imagecodecs.png_encode(np.concatenate(list(one), axis=1)))
    elif form == "colours":
        table["image"] = [f"{name}.png" for name in names]
        for name, one in zip(table["image"], pixels, strict=True):
            (folder / name).write_bytes(imagecodecs.png_encode(np.ascontiguousarray(np.moveaxis(one, 0, -1))))
    elif form == "pages":
        table["path"] = [f"{name}.tif" for name in names]
        for name, one in zip(table["path"], pixels, strict=True):
            tifffile.imwrite(folder / name, one, photometric="minisblack")
    elif form == "file per channel":
        for number, channel in enumerate(CHANNELS):
            table[f"path_{channel}"] = [f"{name}_{channel}.tif" for name in names]
            for name, one in zip(table[f"path_{channel}"], pixels, strict=True):
                tifffile.imwrite(folder / name, one[number])
    elif form == "numpy per crop":
        table["file"] = [f"{name}.npy" for name in names]
        for name, one in zip(table["file"], pixels, strict=True):
            np.save(folder / name, one)
    elif form == "numpy per site":
        table["file"] = [f"img/{row.Plate}_{row.Well}_{row.Site}.npy" for row in table.itertuples()]
        table["item"] = table.groupby("file").cumcount()
        for name, rows in table.groupby("file"):
            np.save(folder / name, pixels[rows.index])
    else:
        given["array"] = _array(folder, form, table, pixels)
        if form == "archive":
            return {"table": given["array"], "array": given["array"]}
    table.to_csv(folder / "cells.csv", index=False)
    return given


def _array(folder: Path, form: str, table: pd.DataFrame, pixels: np.ndarray) -> str:
    if form == "archive":
        vectors = {name: table[name].to_numpy().astype("U" if table[name].dtype == object else int) for name in table}
        np.savez_compressed(folder / "cells.npz", images=pixels, **vectors)
        return "cells.npz"
    if form in ("zarr", "zarr group"):
        path = folder / "crops.zarr"
        name = None if form == "zarr" else "images"
        store = zarr.open_group(path, mode="w") if name else None
        options = {"shape": pixels.shape, "dtype": pixels.dtype, "chunks": (4, 1, *pixels.shape[2:])}
        array = store.create_array(name, **options) if store is not None else zarr.create_array(path, **options)
        array[:] = pixels
        return "crops.zarr"
    np.save(folder / "crops.npy", np.moveaxis(pixels, 1, -1) if form.endswith("last") else pixels)
    return "crops.npy"
