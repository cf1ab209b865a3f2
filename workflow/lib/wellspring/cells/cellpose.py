"""Fields in, label images of nuclei and cells by Cellpose 4 out: the only module that knows that library.

Weights are a local file whose sha256 the config states; both are checked before the library sees the path, since it
answers an unknown one by downloading its default network and running that. Its downloads are blocked here besides.
Nuclei are found on their channel alone, cells on cytoplasm and nuclei. Cellpose-SAM was trained with its channels
shuffled, so their order counts little; here cytoplasm is the first.
"""

import gc
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import torch

from wellspring.cells import model_files, segment
from wellspring.cells.matching import match

logger = logging.getLogger(__name__)

MEAN = 30.0  # px; the diameter of the objects that Cellpose scales fields to
TILE = 256  # px; edge of the squares that Cellpose-SAM sees
OVERLAP = 0.1  # of a tile; Cellpose's own
TOGETHER = 16  # fields a call at most, which bounds memory where fields are small
Pixels = tuple[np.ndarray, np.ndarray | None]


class Cellpose:
    """Two networks of Cellpose, or one for both, and what the config says of them.

    Parameters
    ----------
    options
        Section ``cells.cellpose`` of the config.
    scale
        Diameters (px) of nuclei and cells that are scaled to the 30 px of Cellpose; None leaves the pixels as they are.
    least
        Objects of fewer px are left out.
    spans
        High less low limit of the plate, of the nuclei's channel (counts) and of the cytoplasm.
    floor
        Share of the span that a field is stretched from at most (see `stretch`).
    growth
        How far cells reach from their nuclei where there is no cytoplasm.
    """

    def __init__(
        self,
        options: Mapping[str, object],
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
        self.batch = int(options["batch"])
        precise = options["precision"] == "float32"
        named = options["weights"]
        self.networks = {"nuclei": load(**named["nuclei"], key="cells.cellpose.weights.nuclei", precise=precise)}
        if cytoplasm and named["cells"]["path"] not in (None, named["nuclei"]["path"]):
            self.networks["cells"] = load(**named["cells"], key="cells.cellpose.weights.cells", precise=precise)
        logger.info("Cellpose on %s, %s. %s", self.networks["nuclei"].device, options["precision"], model_files.LICENCE)

    def together(self, shape: tuple[int, int]) -> int:
        """Return how many fields (H, W) are worth a call: as many as fill a batch of tiles."""
        factor = max(MEAN / diameter if diameter else 1.0 for diameter in self.scale.values())
        return min(TOGETHER, max(1, self.batch // tiles(shape, factor)))

    def __call__(self, fields: Sequence[Pixels]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return nuclei and cells (H, W) uint32 of each field: DNA (H, W) counts, cytoplasm (H, W) scaled, or None."""
        dna = np.stack([stretch(field[0], span=self.spans[0], floor=self.floor) for field in fields])
        nuclei = self._find("nuclei", dna[..., None])
        if fields[0][1] is None:
            found = [segment.relabel(each) for each in nuclei]
            return [(each, segment.grow_cells(each, None, options=self.growth)) for each in found]
        body = np.stack([stretch(field[1], span=self.spans[1], floor=self.floor) for field in fields])
        cells = self._find("cells", np.stack([body, dna], axis=-1))
        return [match(*pair) for pair in zip(nuclei, cells, strict=True)]

    def _find(self, kind: str, images: np.ndarray) -> np.ndarray:
        """Return label images (N, H, W) of images (N, H, W, C); none where the first channel is the same all over."""
        network = self.networks.get(kind, self.networks["nuclei"])
        while True:
            try:
                labels, *_ = network.eval(
                    images,
                    batch_size=self.batch,
                    channel_axis=-1,
                    normalize=False,
                    diameter=self.scale[kind],
                    flow_threshold=self.options["flow_threshold"],
                    cellprob_threshold=self.options["cellprob_threshold"],
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
        """Halve the batch; at 1 say what else could be done."""
        gc.collect()
        torch.cuda.empty_cache()
        if self.batch == 1:
            raise MemoryError(
                "cells.cellpose: a single tile of 256 px does not fit in the GPU's memory. Take a GPU with more of it, "
                f"or one that nobody else uses, and cells.cellpose.precision: bfloat16. ({str(error).splitlines()[0]})"
            ) from error
        self.batch //= 2
        logger.warning("out of GPU memory; going on with cells.cellpose.batch %d for the rest of the plate", self.batch)


def load(path: str, sha256: str, *, key: str, precise: bool = False) -> object:
    """Return the network (`cellpose.models.CellposeModel`) of a local file, on the GPU where there is one.

    Raises
    ------
    FileNotFoundError, ValueError
        No file, another content than `sha256`, a file of an older Cellpose or of no Cellpose, or weights missing in it:
        the library itself would start these at random.
    """
    file = model_files.check(path, sha256, key=key)
    library = _library()
    names = _names(file)
    if any(name.startswith("encoder.cls_token") for name in names) and find_spec("dinov3") is None:
        raise ValueError(
            f"{file}: expected a network of Cellpose-SAM, found one of the family cpdino, for which the package dinov3 "
            "(under the DINOv3 licence) is not installed here; take cpsam_v2, or install dinov3"
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
    """Return a field (H, W) as Cellpose was trained to see it: 1st and 99th percentile at 0 and 1, float32.

    Unlike Cellpose, a field that spans less than `floor` of the plate's `span` is not stretched further, so that the
    noise of an empty field stays small.
    """
    low, high = np.percentile(image, (1, 99))
    width = max(high - low, floor * span)
    return ((image - low) / width if width > 0 else np.zeros(image.shape)).astype(np.float32)


def tiles(shape: tuple[int, int], factor: float = 1.0) -> int:
    """Return the number of overlapping squares that Cellpose cuts a field (H, W), scaled by `factor`, into."""
    edges = [int(edge * factor) for edge in shape]
    return math.prod(1 if edge <= TILE else math.ceil((1 + 2 * OVERLAP) * edge / TILE) for edge in edges)


def _names(file: object) -> set[str]:
    """Return the names of the weights in a file of Cellpose 4."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # a file of anything else fails in as many ways as there are files
        found = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file}: expected a file of PyTorch weights, found {found}") from error
    names = {str(name).removeprefix("module.") for name in state} if isinstance(state, Mapping) else set()
    if "W2" not in names:
        older = any(name.startswith(("downsample.", "upsample.", "make_style")) for name in names)
        found = "one of Cellpose 3 or older" if older else f"weights of something else: {_some(names)}"
        raise ValueError(
            f"{file}: expected a network of Cellpose 4, found {found}. Such files cannot be converted: take cpsam_v2 "
            "(`snakemake weights`) or train again with Cellpose 4"
        )
    return names


def _some(names: Iterable[str]) -> list[str]:
    return sorted(names)[:3]


def _library() -> ModuleType:
    """Import Cellpose without its way to the network."""
    from cellpose import models, utils

    models.cache_model_path = utils.download_url_to_file = _refuse
    logging.getLogger("cellpose").setLevel(logging.ERROR)  # a warning a call that fields are no stack of planes
    return models


def _refuse(*arguments: object, **options: object) -> None:
    raise RuntimeError(f"Cellpose asked for a download, which this workflow never lets it do: {arguments}")
