"""Embedding of a plate: one vector per view, by a network and its card.

A view is a tile of a grid over the field, or a square around a cell. Each field is read once, while the network works
on earlier ones. Views of several fields share a batch. A few fields and one batch are in memory.
"""

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from wellspring.encoders import cards
from wellspring.encoders.encoder import Encoder, features, precise
from wellspring.io.ngff import PlateImages
from wellspring.io.progress import track
from wellspring.screen.sections import Embed
from wellspring.views import cutting, fields
from wellspring.views.packed_cells import PackedCells
from wellspring.views.scaling import BY_VIEW, IntensityScale, foreground_level, prepare

logger = logging.getLogger(__name__)

COLUMNS = {
    "Metadata_Plate": "object",
    "Metadata_Well": "object",
    "Metadata_Site": "object",
    "Metadata_View": "int32",
    "Metadata_Center_Y": "float32",
    "Metadata_Center_X": "float32",
}
BY_TOKENS = ("sslprofiler", "dino")  # objectives that train patch tokens, or need a backbone with them
READERS = 16  # maximum number of threads that read fields


@dataclass(frozen=True)
class PlateInputs:
    """The files of a plate that embedding reads.

    Attributes
    ----------
    images
        Corrected pixels, or ready-made cells.
    scale
        The intensity scale of the plate, in the channel order of the encoder. Every network, also one that was trained
        on other images, gets pixels of mean 0 and standard deviation 1 by plate and channel.
    cells
        Table `cells` of the plate; needed for views of cells.
    labels
        Label images of the plate: pixels outside the cell become background (the low limit of the scale). None keeps
        them.
    """

    images: PlateImages | PackedCells
    scale: IntensityScale
    cells: pd.DataFrame | None = None
    labels: PlateImages | None = None


def stream(
    encoder: Encoder, plate: PlateInputs, options: Embed, *, device: torch.device
) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    """Encode all views of a plate, in the order of its fields and, within a field, of tiles or cells.

    Parameters
    ----------
    encoder
        Network and card; the card states the view and the channel order.
    plate
        See `PlateInputs`.
    options
        Config section `embed`. `tokens: auto` is `class_and_patches` for sslprofiler and dino, `pooled` otherwise. With
        `field: joined`, the whole field, resized to the (square) input of the network, is encoded too
        and joined to the vector of each of its tiles, each block normalised to length 1 (multi-granularity).
    device
        Where to compute.

    Yields
    ------
    tuple
        Rows of a batch (plate, well, site, number of the tile or cell, centre), and its matrix (rows, D) of the dtype
        `options.dtype`. A plate without views gives one empty batch with the same D. Vectors do not depend on the batch
        size beyond rounding.

    Raises
    ------
    ValueError
        Views of cells without a table of cells or with `field: joined`, or an unknown option.
    """
    view = encoder.card["view"]
    if options.field not in ("none", "joined"):
        raise ValueError(f"embed.field: expected 'none' or 'joined', found {options.field!r}")
    if view["kind"] == "cell" and options.field == "joined":
        raise ValueError("embed.field: expected none for an encoder of cells, which have no second scale, found joined")
    if options.field == "joined" and not options.untrained_scale and isinstance(plate.images, PlateImages):
        _demand_scale(encoder, plate.images)
    name, count = plate.images.plate, 0
    vectors = _Vectors(encoder, plate.scale, options, device)
    seen = track(
        _parts(encoder, plate, options, readers=_readers(device)), total=len(plate.images.fields), unit="fields"
    )
    parts = fields.batches(seen, options.batch)
    for frame, found in _one_behind(parts, vectors, plate=name):
        count += len(frame)
        yield frame, found.cpu().numpy().astype(options.dtype)
    if not count:
        blank = np.zeros((1, len(encoder.channels), encoder.embedded, encoder.embedded), dtype=np.uint16)
        part = fields.Part("", "", np.ones(1), np.zeros((1, 2)), blank, blank[0])
        yield _rows(name, [part]).iloc[:0], vectors([part]).cpu().numpy().astype(options.dtype)[:0]
    logger.info("%s: %d views of %d fields", name, count, len(plate.images.fields))


def embed(
    encoder: Encoder, plate: PlateInputs, options: Embed, *, device: torch.device
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return everything that `stream` yields at once: the rows, and their vectors (rows, D)."""
    frames, matrices = zip(*stream(encoder, plate, options, device=device), strict=True)
    return pd.concat(frames, ignore_index=True), np.concatenate(matrices)


def tokens_of(encoder: Encoder, options: Embed) -> str:
    """Return which output of the network is a view's vector: `pooled`, `class_and_patches`, or `channels`.

    `auto` is resolved. Raises ValueError where each channel has an embedding and the plate lacks channels.
    """
    if options.channels == "each" and encoder.card.get("stem") == "adaptive":
        if encoder.card.get("lacking"):
            raise ValueError(
                f"embed.channels: expected joint for plates that lack channels of {encoder.card['name']}, whose "
                f"vectors would be shorter, found each (lacking {', '.join(encoder.card['lacking'])})"
            )
        return "channels"
    if options.tokens != "auto":
        return options.tokens
    objective = encoder.card.get("objective", encoder.card["kind"])
    return "class_and_patches" if objective in BY_TOKENS and encoder.card.get("stem") != "adaptive" else "pooled"


def embed_images(encoder: Encoder, images: np.ndarray, scale: IntensityScale, options: Embed) -> np.ndarray:
    """Encode views (N, C, H, W) of corrected pixels, uint16, to vectors (N, D) float32, on the CPU."""
    encode = _Vectors(encoder, scale, options, torch.device("cpu"))
    found = []
    for start in range(0, len(images), options.batch):
        views = images[start : start + options.batch]
        part = fields.Part("", "", np.arange(len(views)), np.zeros((len(views), 2)), views, views[0])
        found.append(encode([part]).float().numpy())
    return np.concatenate(found)


def _parts(encoder: Encoder, plate: PlateInputs, options: Embed, *, readers: int) -> Iterator[fields.Part]:
    """Yield the views of each field that the card and the options ask for."""
    images, channels, size = plate.images, encoder.channels, encoder.embedded
    if isinstance(images, PackedCells):
        if encoder.card["view"]["kind"] != "cell":
            raise ValueError(f"{images.plate}: expected an encoder of cells for ready-made cells, found one of tiles")
        return images.parts(channels, size=size)
    if encoder.card["view"]["kind"] == "cell":
        if plate.cells is None:
            raise ValueError(f"{images.plate}: expected a table of cells for an encoder of cells, found none")
        return fields.cells(
            images,
            plate.cells,
            channels,
            size=size,
            leave_out=options.leave_out,
            labels=plate.labels,
            background=np.rint(plate.scale.low),
            readers=readers,
        )
    stain = options.stain if options.stain in channels else channels[0]
    return fields.tiles(
        images,
        channels,
        size=size,
        stride=options.stride or size,
        stain=stain,
        above=foreground_level(images, stain=stain),
        least=options.least_foreground,
        readers=readers,
    )


def _demand_scale(encoder: Encoder, images: PlateImages) -> None:
    """Refuse whole fields that the network would see smaller or larger than any crop in its training."""
    trained = encoder.card.get("magnification")
    if not trained or not images.fields:
        return
    height, width = images.shape[1:]
    shown = encoder.card["input_size"] / max(height, width)
    if not trained[0] / cards.SCALES <= shown <= trained[1] * cards.SCALES:
        raise ValueError(
            f"embed.field: expected fields that are magnified {trained[0]:.2f} to {trained[1]:.2f} times, as the crops "
            f"in training, found {shown:.2f} times for fields of {width} x {height} px in {images.plate}; set "
            "embed.field to none, or embed.untrained_scale to true"
        )


class _Vectors:
    """Encodes the views of a batch: parts of fields to vectors (views, D) on the device."""

    def __init__(self, encoder: Encoder, scale: IntensityScale, options: Embed, device: torch.device) -> None:
        view = encoder.card["view"]
        self.scale, self.options, self.device = scale, options, device
        self.size = int(encoder.card["input_size"])
        self.network = encoder.network.to(device).eval()
        self.tokens = tokens_of(encoder, options)
        self.window = None
        if view["window"] is not None:
            self.window = torch.from_numpy(cutting.soft_window(encoder.embedded, view["window"])).to(device)
        self.by_view = BY_VIEW[view.get("pixels", "plate")]
        self._buffer = _Buffer(device)

    @torch.inference_mode()
    def __call__(self, parts: list[fields.Part]) -> Tensor:
        """Encode the views, each with its whole field where the options ask for it."""
        found = self._encode(self._ready([part.pixels for part in parts]))
        if self.options.field == "none":
            return found
        whole = self._encode(torch.cat([self._ready([part.field[None]]).clone() for part in parts]))
        counts = torch.tensor([len(part.numbers) for part in parts], device=self.device)
        blocks = found, whole.repeat_interleave(counts, dim=0)
        # Class token and patches are normalised already.
        return torch.cat([normalize(block, dim=1) if self.tokens == "pooled" else block for block in blocks], dim=1)

    def _ready(self, arrays: list[np.ndarray]) -> Tensor:
        """Turn corrected pixels (n, C, H, W) into the input of the network (n, C, size, size)."""
        images = self.by_view(prepare(self._buffer(arrays), self.scale))
        images = images if self.window is None else images.mul_(self.window)
        if images.shape[2:] == (self.size, self.size):
            return images
        return interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)

    def _encode(self, images: Tensor) -> Tensor:
        with precise(self.device, self.options.precision):
            return features(self.network, images, tokens=self.tokens, layers=self.options.layers)


def _one_behind(
    batches: Iterator[list[fields.Part]], encode: Callable[[list[fields.Part]], Tensor], *, plate: str
) -> Iterator[tuple[pd.DataFrame, Tensor]]:
    """Yield rows and vectors of each batch after the next one was sent to the device, so that it never waits."""
    last = None
    for parts in batches:
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


class _Buffer:
    """Joins arrays (n, C, H, W) uint16 on the device, as float32.

    A GPU gets uint16 from pinned memory, without waiting. On a CPU, one buffer is reused, and overwritten by the next
    call, since touching new memory takes longer than the copy.
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
        return joined.to(self.device, non_blocking=True).float()  # converted on the device, to send half the bytes


def _readers(device: torch.device) -> int:
    """Return the number of threads that read fields: all with a GPU, half of them where the network runs on the CPU."""
    threads = torch.get_num_threads()
    return min(threads if device.type == "cuda" else max(threads // 2, 1), READERS)
