"""Images in a notebook: read a stored plate, segment a field, embed views with a trained encoder, aggregate vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.cells import segment as segmenting
from wellspring.cells import table as cell_table
from wellspring.cells.flags import flag
from wellspring.embed.run import embed_images
from wellspring.encoders import encoder as encoders
from wellspring.io import ngff
from wellspring.profile import aggregate as aggregating
from wellspring.screen import config, sections
from wellspring.views import intensity
from wellspring.views.scaling import intensity_scale


def read_plate(path: str | Path) -> ngff.PlateImages:
    """Open a plate that the stage `images` (or a `PlateWriter`) stored as OME-Zarr.

    Returns
    -------
    wellspring.io.ngff.PlateImages
        `fields` lists (well, site); `read(well, site, channels)` gives (C, H, W) uint16 counts.

    Raises
    ------
    FileNotFoundError, ValueError
        No stored plate of this workflow at `path`.

    Examples
    --------
    >>> import tempfile
    >>> import wellspring as ws
    >>> from wellspring.io.ngff import PlateWriter
    >>> path = Path(tempfile.mkdtemp(), "P1.zarr")
    >>> with PlateWriter(path, plate="P1", channels=["DNA", "ER"]) as writer:
    ...     writer.write("B03", "1", np.full((2, 40, 60), 100, dtype=np.uint16))
    >>> plate = ws.read_plate(path)
    >>> plate.fields, plate.read("B03", "1", ["ER"]).shape
    ([('B03', '1')], (1, 40, 60))
    """
    return ngff.open_plate(path)


def segment(
    field: NDArray[Any],
    channels: Sequence[str],
    *,
    nuclei: str = "DNA",
    cytoplasm: str | Sequence[str] | None = None,
    diameter: float | None = None,
) -> tuple[dict[str, NDArray[Any]], pd.DataFrame]:
    """Segment the nuclei and cells of one field with thresholds, as the method `threshold` of the stage `cells`.

    Parameters
    ----------
    field
        (C, H, W) counts of any real dtype.
    channels
        Names of the channels, in the order of `field`.
    nuclei, cytoplasm
        Channels that show them; of several cytoplasm channels the mean is taken, without one cells are grown nuclei.
    diameter
        Typical diameter of a nucleus, px; None estimates it on this field.

    Returns
    -------
    tuple
        Label images (H, W) uint32 by name (`nuclei`, `cells`; 0 is background), and the table of cells with
        `Metadata_Cell`, centres, boxes, areas (px) and flags.

    Raises
    ------
    ValueError
        The field and its channels do not agree, or a channel is not among them.

    Examples
    --------
    >>> import wellspring as ws
    >>> field = np.full((1, 60, 80), 100.0)
    >>> field[0, 20:32, 30:42] = 900.0
    >>> labels, cells = ws.segment(field, ["DNA"], diameter=12)
    >>> labels["nuclei"].shape, len(cells), bool(cells["Metadata_Border"].any())
    ((60, 80), 1, False)
    """
    if field.ndim != 3 or len(field) != len(channels):
        raise ValueError(f"field: expected (C, H, W) with the channels {list(channels)}, found {field.shape}")
    stains = [cytoplasm] if isinstance(cytoplasm, str) else list(cytoplasm or [])
    unknown = [name for name in (nuclei, *stains) if name not in channels]
    if unknown:
        raise ValueError(f"channels: expected {unknown} among them, found {list(channels)}")
    dna = field[list(channels).index(nuclei)]
    body = np.mean([field[list(channels).index(name)] for name in stains], axis=0) if stains else None
    size = segmenting.estimate_diameter([dna]) if diameter is None else float(diameter)
    found = segmenting.threshold(dna, body, options=segmenting.Options(diameter=size))
    options = config.default(sections.Cells)
    table = cell_table.table(*found, dna=dna, diameter=size, small=options.small, large=options.large)
    table = flag(table, dim=options.dim, bright=options.bright, blurred=options.blurred)
    return dict(zip(("nuclei", "cells"), found, strict=True)), table


@dataclass(frozen=True)
class Encoder:
    """A trained encoder of the stage `train`.

    Examples
    --------
    >>> import tempfile
    >>> import wellspring as ws
    >>> from wellspring.encoders import encoder as encoders
    >>> options = {"embed_dim": 16, "depth": 1, "num_heads": 2, "patch_size": 8}
    >>> network = encoders.build("vit_tiny_patch16_224", channels=2, size=32, options=options)
    >>> card = {"backbone": "vit_tiny_patch16_224", "backbone_options": options, "channels": ["DNA", "ER"]}
    >>> card |= {"kind": "simclr", "input_size": 32, "view": {"kind": "cell", "size": 32, "window": None}}
    >>> folder = Path(tempfile.mkdtemp())
    >>> encoders.save(network, card, folder / "encoder.safetensors", folder / "encoder.json")
    >>> images = np.random.default_rng(0).integers(100, 900, (3, 2, 32, 32)).astype(np.uint16)
    >>> ws.Encoder.load(folder).embed(images).shape
    (3, 16)
    """

    encoder: encoders.Encoder

    @classmethod
    def load(cls, folder: str | Path) -> "Encoder":
        """Load an encoder from a folder such as `results/train/simclr`, or from an exported model.

        `FileNotFoundError` names a missing file, `ValueError` weights that do not match the card.
        """
        exported = Path(folder, "rdf.yaml").is_file()
        weights, card = ("model.safetensors", "config.json") if exported else ("encoder.safetensors", "encoder.json")
        return cls(encoders.load(Path(folder, weights), Path(folder, card)))

    @property
    def channels(self) -> list[str]:
        """Names of the channels, in the order of the input."""
        return self.encoder.channels

    def embed(self, images: NDArray[Any], *, intensities: pd.DataFrame | None = None) -> NDArray[np.float32]:
        """Return one vector per view, (N, D) float32.

        Parameters
        ----------
        images
            (N, C, H, W) uint16 corrected counts, channels in the order of `channels`; resized to the network's input.
        intensities
            The table `intensity` of the plate (`results/images/PLATE.parquet`); None takes the scale of these images,
            which is that of their plate only if they are a fair sample of it.
        """
        if images.ndim != 4 or images.shape[1] != len(self.channels) or images.dtype != np.uint16:
            expected = f"(N, {len(self.channels)}, H, W) of uint16 with the channels {self.channels}"
            raise ValueError(f"images: expected {expected}, found {images.shape} of {images.dtype}")
        if intensities is None:
            histograms = intensity.counts(np.concatenate(list(images), axis=1))
            intensities = intensity.summarise(histograms, plate="", channels=self.channels, fields=len(images))
        scale = intensity_scale(intensities, self.channels)
        found: NDArray[np.float32] = embed_images(self.encoder, images, scale, config.default(sections.Embed))
        return found

    def export(
        self,
        folder: str | Path,
        *,
        intensities: pd.DataFrame,
        title: str,
        license: str,
        authors: Sequence[str] = (),
        summary: pd.DataFrame | None = None,
    ) -> None:
        """Write the encoder for BioImage.IO, Hugging Face, ONNX Runtime and PyTorch, as `export.formats: [models]`.

        Needs the packages of the extra `models`. `ModuleNotFoundError` names a package that is not installed,
        `ValueError` a form whose features differ from those of `embed` by more than 1e-5; nothing is then written.

        Parameters
        ----------
        folder
            Where to write; replaced if it is there.
        intensities
            Tables `intensity` of the plates (`results/images/PLATE.parquet`), joined.
        title, license, authors
            Of the model card; the licence is an address.
        summary
            Table `summary` of the encoder (`results/evaluate/ENCODER.summary.parquet`), for the card.
        """
        from wellspring.export.model import write_model
        from wellspring.export.model_card import About

        about = About(title=title, license=license, authors=authors, intensities=intensities, summary=summary)
        write_model(self.encoder, folder, options=config.default(sections.Embed), about=about)


def aggregate(
    views: pd.DataFrame, vectors: NDArray[Any], *, kind: str = "cell", operation: str = "mean", prefix: str = "x"
) -> pd.DataFrame:
    """Aggregate vectors of views to one profile per well.

    Parameters
    ----------
    views
        One row per view: Metadata_Plate, Metadata_Well, Metadata_Site, Metadata_View; further Metadata_ columns
        that are equal within a well are kept.
    vectors
        (views, D) floats. A value that is not finite is left out of its feature's mean.
    kind
        `cell`: cells to their well. `tile`: tiles to their site, sites to their well.
    operation
        `mean` or `median`.
    prefix
        Features are named `<prefix>_0` and so on.

    Returns
    -------
    pandas.DataFrame
        One row per well: its metadata, counts of sites and views, and float32 features.

    Examples
    --------
    >>> import wellspring as ws
    >>> key = {"Metadata_Plate": "P1", "Metadata_Well": ["A01", "A01", "A02"], "Metadata_Site": "1"}
    >>> views = pd.DataFrame(key | {"Metadata_View": [1, 2, 1]})
    >>> ws.aggregate(views, np.array([[1.0], [3.0], [5.0]]))["x_0"].tolist()
    [2.0, 5.0]
    """
    known = [name for name in views if name.startswith("Metadata_") and name not in ("Metadata_Site", "Metadata_View")]
    known = [name for name in known if not name.startswith("Metadata_Center_")]
    return aggregating.aggregate(
        views, np.asarray(vectors), aggregating.wells_of(views[known]), prefix=prefix, kind=kind, operation=operation
    )
