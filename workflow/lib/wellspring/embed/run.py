"""Embedding of a plate: an encoder and a plate's corrected pixels flow in, one vector a view flows out, batch by batch.

A view is a tile of a grid over the field, or a square around a cell. Each field is read once, while the network is at
work on the ones before; views of several fields share a batch, and no more than a few fields and one batch are in
memory.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from wellspring.encoders.encoder import Encoder, features, precise
from wellspring.io.ngff import PlateImages
from wellspring.views import cutting, fields
from wellspring.views.scaling import IntensityScale, foreground_level, prepare

logger = logging.getLogger(__name__)

COLUMNS = {
    "Metadata_Plate": "object",
    "Metadata_Well": "object",
    "Metadata_Site": "object",
    "Metadata_View": "int32",
    "Metadata_Center_Y": "float32",
    "Metadata_Center_X": "float32",
}
BY_TOKENS = ("sslprofiler", "dino")  # kinds whose patch tokens are trained, or come from a backbone that has them
READERS = 16  # threads that read fields, at most


def stream(
    encoder: Encoder,
    plate: PlateImages,
    pixels: IntensityScale,
    *,
    cells: pd.DataFrame | None = None,
    device: torch.device,
    batch: int = 256,
    dtype: str = "float16",
    precision: str = "float32",
    tokens: str = "auto",
    layers: int = 1,
    field: str = "none",
    stride: int | None = None,
    stain: str = "DNA",
    least_foreground: float = 0.02,
    leave_out: tuple[str, ...] = (),
    labels: PlateImages | None = None,
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Encode all views of a plate, in the order of its fields and, within a field, of tiles or cells.

    Parameters
    ----------
    encoder
        Network and card; the card says what a view is and the order of the channels.
    plate
        Corrected pixels.
    pixels
        The plate's intensity scale, in the encoder's channel order. Every network, also one that was trained on other
        images, gets pixels of mean 0 and deviation 1 by plate and channel.
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
        See `encoder.features`; `auto` is `class_and_patches` for SSLProfiler and DINO, `pooled` for the others.
    field
        `joined`: the whole field, resized to the network's input (both edges, whatever its aspect), is encoded too and
        joined to the vector of each of its tiles, each block brought to length 1 (multi-granularity at a second scale).
        `none`: the tile alone.
    stride
        Step of the grid of tiles in pixels; None for the tile's edge.
    stain
        The channel that shows foreground (the first channel where the encoder has none of that name).
    least_foreground
        Tiles with a smaller share of foreground are left out.
    leave_out
        Cells with one of these flags are left out.
    labels
        The plate's label images: what is not the cell is shown as background, the scale's low end. None keeps it.

    Yields
    ------
    tuple
        A batch's frame with plate, well, site, view (number of the tile, or of the cell), centre; and its matrix
        (rows, D). A plate without views gives one empty batch of the same D.

    Raises
    ------
    ValueError
        Views of cells without a table of cells, or with the field joined; an unknown option.
    """
    view, size = encoder.card["view"], encoder.card["input_size"]
    if field not in ("none", "joined"):
        raise ValueError(f"embed.field: expected 'none' or 'joined', found {field!r}")
    if view["kind"] == "cell" and field == "joined":
        raise ValueError("embed.field: expected none for an encoder of cells, which has no second scale, found joined")
    if tokens == "auto":
        tokens = "class_and_patches" if encoder.card.get("objective", encoder.card["kind"]) in BY_TOKENS else "pooled"
    network = encoder.network.to(device).eval()
    window = None
    if view["window"] is not None:
        window = torch.from_numpy(cutting.soft_window(view["size"], view["window"])).to(device)
    pick = {"readers": _readers(device), "size": view["size"]}
    if view["kind"] == "cell":
        if cells is None:
            raise ValueError(f"{plate.plate}: expected a table of cells for an encoder of cells, found none")
        masked = {"labels": labels, "background": np.rint(pixels.low)}
        parts = fields.cells(plate, cells, encoder.channels, leave_out=leave_out, **masked, **pick)
    else:
        stain = stain if stain in encoder.channels else encoder.channels[0]
        above, step = foreground_level(plate, stain=stain), stride or view["size"]
        parts = fields.tiles(
            plate, encoder.channels, stride=step, stain=stain, above=above, least=least_foreground, **pick
        )

    sent = _Sender(device)

    def ready(arrays: list[np.ndarray]) -> Tensor:
        """Turn corrected pixels (n, C, H, W) into the network's input (n, C, size, size)."""
        images = prepare(sent(arrays), pixels)
        images = images if window is None else images.mul_(window)
        if images.shape[2:] == (size, size):
            return images
        return interpolate(images, size=(size, size), mode="bilinear", antialias=True)

    def encode(images: Tensor) -> Tensor:
        with precise(device, precision):
            return features(network, images, tokens=tokens, layers=layers)

    @torch.inference_mode()
    def vectors(together: list[fields.Part]) -> Tensor:
        """Encode the views of a batch: (views, D)."""
        found = encode(ready([part.pixels for part in together]))
        if field == "none":
            return found
        whole = encode(torch.cat([ready([part.field[None]]).clone() for part in together]))
        counts = torch.tensor([len(part.numbers) for part in together], device=device)
        blocks = found, whole.repeat_interleave(counts, dim=0)
        return torch.cat([normalize(block, dim=1) if tokens == "pooled" else block for block in blocks], dim=1)

    count = 0
    for frame, found in _one_behind(fields.batches(parts, batch), vectors, plate=plate.plate):
        count += len(frame)
        yield frame, found.cpu().numpy().astype(dtype)
    if not count:
        blank = np.zeros((1, len(encoder.channels), view["size"], view["size"]), dtype=np.uint16)
        part = fields.Part("", "", np.ones(1), np.zeros((1, 2)), blank, blank[0])
        yield _rows(plate.plate, [part]).iloc[:0], vectors([part]).cpu().numpy().astype(dtype)[:0]
    logger.info("%s: %d views of %d fields", plate.plate, count, len(plate.fields))


def embed(
    encoder: Encoder, plate: PlateImages, pixels: IntensityScale, **options: object
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return all that `stream` yields at once: the rows, and their vectors (rows, D)."""
    frames, matrices = zip(*stream(encoder, plate, pixels, **options), strict=True)
    return pd.concat(frames, ignore_index=True), np.concatenate(matrices)


def options(section: Mapping[str, object]) -> dict[str, object]:
    """Turn the config section `embed` into keyword arguments of `stream`."""
    known = dict(section)
    known["leave_out"] = tuple(known["leave_out"])
    return known


def _one_behind(
    together: Iterator[list[fields.Part]], encode: Callable[[list[fields.Part]], Tensor], *, plate: str
) -> Iterator[tuple[pd.DataFrame, Tensor]]:
    """Yield rows and vectors of each batch when the next one has been handed to the device, which so never waits."""
    last = None
    for parts in together:
        now = _rows(plate, parts), encode(parts)
        if last is not None:
            yield last
        last = now
    if last is not None:
        yield last


def _rows(plate: str, parts: list[fields.Part]) -> pd.DataFrame:
    counts = [len(part.numbers) for part in parts]
    centres = np.concatenate([part.centres for part in parts])
    values = (
        plate,
        np.repeat(np.array([part.well for part in parts], dtype=object), counts),
        np.repeat(np.array([part.site for part in parts], dtype=object), counts),
        np.concatenate([part.numbers for part in parts]),
        centres[:, 0],
        centres[:, 1],
    )
    return pd.DataFrame(dict(zip(COLUMNS, values, strict=True))).astype(COLUMNS)


class _Sender:
    """Joins arrays (n, C, H, W) uint16 on the device, as float32.

    To a GPU they go as they are, from pinned memory, without waiting. On a CPU they are converted into memory that is
    kept, and overwritten by the next call, since memory that is touched for the first time costs more than the copy.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._kept = torch.empty(0)

    def __call__(self, arrays: list[np.ndarray]) -> Tensor:
        shape = (sum(map(len, arrays)), *arrays[0].shape[1:])
        if self.device.type == "cpu":
            if self._kept.numel() < math.prod(shape):
                self._kept = torch.empty(math.prod(shape))
            joined = self._kept[: math.prod(shape)].view(shape)
        else:
            joined = torch.empty(shape, dtype=torch.uint16, pin_memory=self.device.type == "cuda")
        start = 0
        for array in arrays:
            joined[start : start + len(array)].copy_(torch.from_numpy(array))
            start += len(array)
        return joined.to(self.device, non_blocking=True).float()  # converted there, so that half as much is sent


def _readers(device: torch.device) -> int:
    """Return the number of threads that read: all beside a GPU, half of them beside a network on the CPU."""
    threads = torch.get_num_threads()
    return min(threads if device.type == "cuda" else max(threads // 2, 1), READERS)
