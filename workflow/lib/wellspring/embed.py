"""Embedding of a plate: an encoder and a plate's corrected pixels flow in, one vector a view flows out.

A view is a tile of a grid over the field, or a square around a cell. Each field is read once; views of several fields
share a batch.
"""

import logging
from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
import torch

from wellspring import views
from wellspring.encoder import Encoder, features, precise
from wellspring.intensity import scale
from wellspring.pixels import Pixels, foreground_level, standardise
from wellspring.store import PlateImages

logger = logging.getLogger(__name__)

COLUMNS = {
    "Metadata_Plate": "object",
    "Metadata_Well": "object",
    "Metadata_Site": "object",
    "Metadata_View": "int32",
    "Metadata_Center_Y": "float32",
    "Metadata_Center_X": "float32",
}


def embed(
    encoder: Encoder,
    plate: PlateImages,
    pixels: Pixels,
    *,
    cells: pd.DataFrame | None = None,
    device: torch.device,
    batch: int = 256,
    dtype: str = "float16",
    precision: str = "float32",
    tokens: str = "auto",
    layers: int = 1,
    stride: int | None = None,
    stain: str = "DNA",
    least_foreground: float = 0.02,
    leave_out: tuple[str, ...] = (),
) -> tuple[pd.DataFrame, np.ndarray]:
    """Encode all views of a plate.

    Parameters
    ----------
    encoder
        Network and card; the card says what a view is and the order of the channels.
    plate
        Corrected pixels.
    pixels
        The plate's intensity scale, in the encoder's channel order.
    cells
        Table `cells` of the plate; needed for views of cells.
    device
        Where to compute.
    batch
        Views a forward pass. The vectors do not depend on it beyond rounding.
    dtype
        `float16` or `float32` of the result.
    precision
        `float32` or `bfloat16` of the network.
    tokens, layers
        See `encoder.features`; `auto` is `class_and_patches` for SSLProfiler and `pooled` for the others.
    stride
        Step of the grid of tiles in pixels; None for the tile's edge.
    stain
        The channel that shows foreground (the first channel where the encoder has none of that name).
    least_foreground
        Tiles with a smaller share of foreground are left out.
    leave_out
        Cells with one of these flags are left out.

    Returns
    -------
    tuple
        Frame with plate, well, site, view (number of the tile, or of the cell), centre; and the matrix (rows, D).
        A plate without views gives no rows and the same D.
    """
    network = encoder.network.to(device).eval()
    if tokens == "auto":
        tokens = "class_and_patches" if encoder.card["kind"] == "sslprofiler" else "pooled"
    view, size = encoder.card["view"], encoder.card["input_size"]
    window = None
    if view["window"] is not None:
        window = torch.from_numpy(views.soft_window(view["size"], view["window"])).to(device)
    if view["kind"] == "cell":
        if cells is None:
            raise ValueError(f"{plate.plate}: expected a table of cells for an encoder of cells, found none")
        parts = _cells(plate, cells, encoder.channels, size=view["size"], leave_out=leave_out)
    else:
        stain = stain if stain in encoder.channels else encoder.channels[0]
        above = foreground_level(plate, stain=stain)
        step = stride or view["size"]
        options = {"size": view["size"], "stride": step, "stain": stain, "above": above, "least": least_foreground}
        parts = _tiles(plate, encoder.channels, **options)

    def encode(raw: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(scale(raw, pixels.low, pixels.high)).to(device)
        count = len(images)
        mean, std = (torch.from_numpy(each.copy()).to(device).expand(count, -1) for each in (pixels.mean, pixels.std))
        images = standardise(images, mean, std)
        images = images if window is None else images * window
        if images.shape[-1] != size:
            images = torch.nn.functional.interpolate(images, size=(size, size), mode="bilinear", antialias=True)
        with torch.inference_mode(), precise(device, precision):
            found = features(network, images, tokens=tokens, layers=layers)
        return found.cpu().numpy().astype(dtype)

    rows, vectors = [], []
    for frame, raw in _batched(parts, batch):
        rows.append(frame)
        vectors.append(encode(raw))
    if not rows:
        blank = np.zeros((1, len(encoder.channels), view["size"], view["size"]), dtype=np.uint16)
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()}), encode(blank)[:0]
    frame = pd.concat(rows, ignore_index=True).astype(COLUMNS)
    logger.info("%s: %d views of %d fields", plate.plate, len(frame), len(plate.fields))
    return frame, np.concatenate(vectors)


def options(section: Mapping[str, object]) -> dict[str, object]:
    """Turn the config section `embed` into keyword arguments of `embed`."""
    known = dict(section)
    known["leave_out"] = tuple(known["leave_out"])
    return known


def _tiles(
    plate: PlateImages, channels: list[str], *, size: int, stride: int, stain: str, above: float, least: float
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Yield each field's tiles (N, C, size, size) uint16 that hold foreground, and their rows."""
    for well, site in plate.fields:
        field = plate.read(well, site, channels)
        origins = views.tile_grid(*field.shape[1:], size, stride)
        number = {tuple(origin): view for view, origin in enumerate(origins.tolist(), start=1)}
        filled = views.tiles_with_foreground(field[channels.index(stain)] > above, origins, size, least=least)
        if len(filled):
            names = [number[tuple(origin)] for origin in filled.tolist()]
            yield _rows(plate.plate, well, site, names, filled + (size - 1) / 2), views.blocks(field, filled, size)


def _cells(
    plate: PlateImages, cells: pd.DataFrame, channels: list[str], *, size: int, leave_out: tuple[str, ...]
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Yield each field's cells (N, C, size, size) uint16 without a flag of `leave_out`, and their rows."""
    flagged = cells["Metadata_Flags"].fillna("").str.split(";").map(lambda flags: not set(leave_out).isdisjoint(flags))
    chosen = cells[~flagged.astype(bool)].sort_values("Metadata_Cell")
    by_field = dict(list(chosen.groupby(["Metadata_Well", "Metadata_Site"])))
    for well, site in plate.fields:
        if (well, site) in by_field:
            here = by_field[well, site]
            centres = here[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy(np.float64)
            field = plate.read(well, site, channels)
            yield _rows(plate.plate, well, site, here["Metadata_Cell"], centres), views.cut(field, centres, size)


def _rows(plate: str, well: str, site: str, names: object, centres: np.ndarray) -> pd.DataFrame:
    values = (plate, well, site, np.asarray(names), centres[:, 0], centres[:, 1])
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True)))


def _batched(parts: Iterator[tuple[pd.DataFrame, np.ndarray]], batch: int) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Regroup the views of fields into batches of one size, the last one smaller."""
    frames: list[pd.DataFrame] = []
    arrays: list[np.ndarray] = []
    for frame, array in parts:
        frames.append(frame)
        arrays.append(array)
        while sum(map(len, arrays)) >= batch:
            joined, stacked = pd.concat(frames, ignore_index=True), np.concatenate(arrays)
            yield joined.iloc[:batch], stacked[:batch]
            frames, arrays = [joined.iloc[batch:]], [stacked[batch:]]
    if sum(map(len, arrays)):
        yield pd.concat(frames, ignore_index=True), np.concatenate(arrays)
