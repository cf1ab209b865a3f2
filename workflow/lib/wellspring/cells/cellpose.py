"""Segmentation of nuclei and cells by Cellpose 4.

Weights are a local file with a sha256 in the config. Both are verified before Cellpose gets the path, since Cellpose
downloads and runs its default network for an unknown path; its downloads are blocked, too. Nuclei are segmented on
their channel alone, cells on cytoplasm and nuclei. Cellpose-SAM was trained with shuffled channels, so that their order
matters little; here cytoplasm is first.
"""

import gc
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch

from wellspring.cells import model_files, segment
from wellspring.cells.labels import relabel
from wellspring.cells.matching import match
from wellspring.screen.sections import Cellpose as CellposeOptions
from wellspring.screen.sections import WeightsFile

logger = logging.getLogger(__name__)

MEAN = 30.0  # px; Cellpose scales fields so that objects have this diameter
TILE = 256  # px; edge of the tiles of Cellpose-SAM
OVERLAP = 0.1  # of a tile; Cellpose's default
TOGETHER = 16  # maximum number of fields per call, which bounds memory for small fields
Pixels = tuple[np.ndarray, np.ndarray | None]


class Cellpose:
    """Two networks of Cellpose, or one for nuclei and cells, with their options.

    Parameters
    ----------
    options
        Section ``cells.cellpose`` of the config.
    scale
        Diameters (px) of nuclei and cells, which are scaled to the 30 px of Cellpose; None does not scale.
    least
        Objects of fewer pixels are left out.
    spans
        High minus low limit of the plate, of the channel of nuclei (counts) and of the cytoplasm.
    floor
        Minimum range for stretching, as a share of the span (see `stretch`).
    growth
        Options by which cells are grown from nuclei, without a cytoplasm channel.
    cytoplasm
        Whether there is a cytoplasm channel.
    """

    def __init__(
        self,
        options: CellposeOptions,
        *,
        scale: Mapping[str, float | None],
        least: int,
        spans: tuple[float, float],
        floor: float,
        growth: segment.Options,
        cytoplasm: bool,
    ) -> None:
        self.options, self.scale, self.least = options, scale, least
        self.spans, self.floor, self.growth = spans, floor, growth
        self.batch = options.batch
        named = {"nuclei": options.weights.nuclei}
        if cytoplasm and options.weights.cells.path not in (None, options.weights.nuclei.path):
            named["cells"] = options.weights.cells
        precise = options.precision == "float32"
        self.networks = {
            kind: load(file, key=f"cells.cellpose.weights.{kind}", precise=precise) for kind, file in named.items()
        }
        logger.info("Cellpose on %s, %s. %s", self.networks["nuclei"].device, options.precision, model_files.LICENCE)

    def together(self, shape: tuple[int, int]) -> int:
        """Return the number of fields (H, W) per call: as many as fill a batch of tiles."""
        factor = max(MEAN / diameter if diameter else 1.0 for diameter in self.scale.values())
        return min(TOGETHER, max(1, self.batch // tiles(shape, factor)))

    def __call__(self, fields: Sequence[Pixels]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return nuclei and cells (H, W) uint32 per field; a field is DNA (counts) and scaled cytoplasm or None."""
        dna = np.stack([stretch(field[0], span=self.spans[0], floor=self.floor) for field in fields])
        nuclei = self._find("nuclei", dna[..., None])
        stains = [stain for _, stain in fields if stain is not None]
        if not stains:
            found = [relabel(each) for each in nuclei]
            return [(each, segment.grow_cells(each, None, options=self.growth)) for each in found]
        body = np.stack([stretch(stain, span=self.spans[1], floor=self.floor) for stain in stains])
        cells = self._find("cells", np.stack([body, dna], axis=-1))
        return [match(*pair) for pair in zip(nuclei, cells, strict=True)]

    def _find(self, kind: str, images: np.ndarray) -> np.ndarray:
        """Return label images (N, H, W) of images (N, H, W, C); no objects where the first channel is constant."""
        network = self.networks.get(kind, self.networks["nuclei"])
        while True:
            try:
                labels, *_ = network.eval(
                    images,
                    batch_size=self.batch,
                    channel_axis=-1,
                    normalize=False,
                    diameter=self.scale[kind],
                    flow_threshold=self.options.flow_threshold,
                    cellprob_threshold=self.options.cellprob_threshold,
                    min_size=self.least,
                    max_size_fraction=1.0,  # large objects are flagged, not dropped
                    tile_overlap=OVERLAP,
                )
                break
            except torch.OutOfMemoryError as error:
                self._shrink(error)
        labels = np.asarray(labels).reshape(images.shape[:3])
        return np.where(np.ptp(images[..., 0], axis=(1, 2))[:, None, None] > 0, labels, 0)

    def _shrink(self, error: Exception) -> None:
        """Halve the batch; at a batch of 1, raise a MemoryError with the remedies."""
        gc.collect()
        torch.cuda.empty_cache()
        if self.batch == 1:
            raise MemoryError(
                "cells.cellpose: a single tile of 256 px does not fit in the GPU's memory. Use a larger GPU, a GPU "
                f"without other jobs, or cells.cellpose.precision: bfloat16. ({str(error).splitlines()[0]})"
            ) from error
        self.batch //= 2
        logger.warning("out of GPU memory; continuing with cells.cellpose.batch %d for this plate", self.batch)


def load(weights: WeightsFile, *, key: str, precise: bool = False) -> Any:
    """Return the network (`cellpose.models.CellposeModel`, which has no types) of a local file, on a GPU if any.

    Parameters
    ----------
    weights
        Path and sha256.
    key
        Their config key, for messages.
    precise
        float32 in place of bfloat16.

    Raises
    ------
    FileNotFoundError, ValueError
        No file is named or found, its sha256 differs, it is of an older Cellpose or of another tool, or weights are
        missing in it, which Cellpose itself would initialise at random.
    """
    if weights.path is None or weights.sha256 is None:
        raise ValueError(f"{key}: expected path and sha256, found {weights}")
    file = model_files.check(weights.path, weights.sha256, key=key)
    library = _library()
    names = _names(file)
    if any(name.startswith("encoder.cls_token") for name in names) and find_spec("dinov3") is None:
        raise ValueError(
            f"{file}: expected a network of Cellpose-SAM, found one of the family cpdino, which needs the package "
            "dinov3 (DINOv3 licence); use cpsam_v2, or install dinov3"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        network = library.CellposeModel(pretrained_model=str(file), device=device, use_bfloat16=not precise)
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(
            f"{file}: expected the shapes of Cellpose-SAM: {' '.join(str(error).split())[:300]}"
        ) from error
    missing = sorted(network.net.state_dict().keys() - names)
    if missing:
        found = f"found none for {len(missing)} of them: {missing[:3]}"
        raise ValueError(f"{file}: expected all weights of {network.backbone}, {found}")
    return network


def stretch(image: np.ndarray, *, span: float, floor: float) -> np.ndarray:
    """Scale a field (H, W) as in Cellpose's training: 1st and 99th percentile to 0 and 1, float32.

    Unlike in Cellpose, the range is at least `floor` times `span` of the plate, so that the noise of an empty field
    stays small.
    """
    low, high = np.percentile(image, (1, 99))
    width = max(high - low, floor * span)
    return ((image - low) / width if width > 0 else np.zeros(image.shape)).astype(np.float32)


def tiles(shape: tuple[int, int], factor: float = 1.0) -> int:
    """Return the number of overlapping tiles into which Cellpose cuts a field (H, W) scaled by `factor`."""
    edges = [int(edge * factor) for edge in shape]
    return math.prod(1 if edge <= TILE else math.ceil((1 + 2 * OVERLAP) * edge / TILE) for edge in edges)


def _names(file: Path) -> set[str]:
    """Return the names of the weights in a file of Cellpose 4; refuse other files."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # other files raise various exceptions
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file}: expected a file of PyTorch weights, found {found}") from error
    names = {str(name).removeprefix("module.") for name in state} if isinstance(state, Mapping) else set()
    if "W2" not in names:
        older = any(name.startswith(("downsample.", "upsample.", "make_style")) for name in names)
        found = "one of Cellpose 3 or older" if older else f"weights of something else: {_some(names)}"
        raise ValueError(
            f"{file}: expected a network of Cellpose 4, found {found}. Such files cannot be converted: use cpsam_v2 "
            "(`snakemake weights`), or train again with Cellpose 4"
        )
    return names


def _some(names: Iterable[str]) -> list[str]:
    return sorted(names)[:3]


def _library() -> ModuleType:
    """Import Cellpose with its downloads blocked."""
    from cellpose import models, utils

    models.cache_model_path = utils.download_url_to_file = _refuse
    logging.getLogger("cellpose").setLevel(logging.ERROR)  # it warns in each call that fields are not a z-stack
    library: ModuleType = models
    return library


def _refuse(*arguments: object, **options: object) -> None:
    raise RuntimeError(f"Cellpose tried to download {arguments}; downloads in jobs are blocked")
