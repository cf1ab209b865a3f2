"""Segmentation of a plate: label images of nuclei and cells, and a table with one row per cell.

The table is the same for all methods, thresholds and networks: a nucleus and a cell with the same number are one cell.
Cells at the border, of unusual size or brightness, or out of focus are flagged and kept. Nucleus diameter and threshold
floors are estimated once per plate on a sample of its fields, so that an empty field stays empty.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.cells import plausible, segment
from wellspring.cells.flags import flag
from wellspring.cells.table import table
from wellspring.io.ngff import LabelWriter, PlateImages
from wellspring.io.tables import Verdict
from wellspring.screen.sections import Cells
from wellspring.views.cutting import length_in_pixels
from wellspring.views.intensity import scale

logger = logging.getLogger(__name__)

SAMPLE = 24  # fields for estimates of diameter and floors; more changed neither on the plates tried
RESIZED_ON = 6  # of these, on which the network settles the diameter
LARGER = 3.0  # a diameter above this multiple of the objects' is wrong if it leaves hardly any nucleus
METHODS = ("threshold", "network", "cellpose")
PLAIN = ("otsu_factor", "smoothing", "window", "edge", "split", "reach", "ring", "hole", "growth", "smallest")


@dataclass(frozen=True)
class Setting:
    """How one plate is segmented.

    Attributes
    ----------
    nuclei, cytoplasm
        Names of the channels.
    span
        High minus low limit of the channel of nuclei, counts.
    low, high
        (c,) limits of the cytoplasm channels, counts.
    options
        Of the segmentation, with the plate's diameter and floors.
    small, large
        Nuclei below or above these multiples of the typical area are flagged.
    """

    nuclei: str
    cytoplasm: tuple[str, ...]
    span: float
    low: np.ndarray
    high: np.ndarray
    options: segment.Options
    small: float
    large: float

    def read(self, images: PlateImages, well: str, site: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Read DNA (H, W) uint16, and cytoplasm (H, W) float32 (mean of its scaled channels) or None."""
        field = images.read(well, site, [self.nuclei, *self.cytoplasm])
        if not self.cytoplasm:
            return field[0], None
        return field[0], scale(field[1:], self.low, self.high).mean(axis=0)


def settle(images: PlateImages, intensity: pd.DataFrame, *, options: Cells) -> Setting:
    """Return the setting of a plate, estimated on a sample of its fields.

    Parameters
    ----------
    images
        Corrected pixels.
    intensity
        Table `intensity` of the plate.
    options
        Config section `cells`.

    Raises
    ------
    ValueError
        The plate lacks a channel, the method is unknown, or a length in micrometres has no pixel size.
    """
    if options.method not in METHODS:
        raise ValueError(f"cells.method: expected {', '.join(METHODS[:-1])} or {METHODS[-1]}, found {options.method!r}")
    chosen = options.cytoplasm or ()
    cytoplasm = (chosen,) if isinstance(chosen, str) else tuple(chosen)
    for key, names in (("nuclei", (options.nuclei,)), ("cytoplasm", cytoplasm)):
        for name in names:
            if name not in images.channels:
                raise ValueError(f"{images.plate}: cells.{key}: no channel {name!r}; there are {images.channels}")
    limits = intensity.set_index("Metadata_Channel").loc[[options.nuclei, *cytoplasm], ["low", "high"]].to_numpy()
    plain: dict[str, float] = {name: getattr(options, name) for name in PLAIN}
    setting = Setting(
        nuclei=options.nuclei,
        cytoplasm=cytoplasm,
        span=float(limits[0, 1] - limits[0, 0]),
        low=limits[1:, 0],
        high=limits[1:, 1],
        options=segment.Options(diameter=1.0, **plain),
        small=options.small,
        large=options.large,
    )
    fields = _sample(images, setting)
    dna = [field[0] for field in fields]
    if options.nucleus_diameter is None:
        diameter = segment.estimate_diameter(dna)
        logger.info("%s: nucleus diameter estimated at %.1f px on %d fields", images.plate, diameter, len(dna))
    else:
        diameter = length_in_pixels(
            options.nucleus_diameter,
            unit=options.unit,
            pixel_size=images.pixel_size,
            key=f"{images.plate}: cells.nucleus_diameter",
        )
        if diameter > min(images.shape[1:]):
            raise ValueError(
                f"{images.plate}: cells.nucleus_diameter: {diameter:.0f} px is more than the fields have, "
                f"{images.shape[1]} x {images.shape[2]} px; set the diameter of one object, and cells.unit to its unit"
            )
    floors = _floors(dna, diameter=diameter, share=options.floor)
    if options.nucleus_diameter is None and options.method == "network":
        from wellspring.cells import network

        looked = dna[:: max(1, len(dna) // RESIZED_ON)]
        settled = network.settled_diameter(looked, options=segment.Options(diameter=diameter, **floors, **plain))
        if settled != diameter:
            logger.info("%s: nuclei of %.1f px found on %d fields", images.plate, settled, len(looked))
            diameter, floors = settled, _floors(dna, diameter=settled, share=options.floor)
    if cytoplasm:
        stains = [stain for _, stain in fields if stain is not None]
        floors["cytoplasm_floor"] = segment.plate_floor(stains, diameter=diameter, share=options.floor)
    return replace(setting, options=segment.Options(diameter=diameter, **floors, **plain))


def _sample(images: PlateImages, setting: Setting) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Read DNA and cytoplasm of `SAMPLE` fields at most, evenly spaced over the plate."""
    spread = np.unique(np.linspace(0, len(images.fields) - 1, SAMPLE).round().astype(int)).tolist()
    return [setting.read(images, *images.fields[number]) for number in spread if images.fields]


def _refuse_unseen(images: PlateImages, setting: Setting, found: int) -> None:
    """Raise `ValueError` if the diameter of the config is a multiple of that of the objects in the images."""
    diameter = setting.options.diameter
    seen = segment.estimate_diameter([dna for dna, _ in _sample(images, setting)], fallback=diameter)
    if diameter > LARGER * seen:
        raise ValueError(
            f"{images.plate}: {found} nuclei of cells.nucleus_diameter, {diameter:.0f} px, found in "
            f"{len(images.fields)} fields, which hold objects of {seen:.0f} px; set the diameter of one object, and "
            "cells.unit to its unit"
        )


def _floors(dna: Sequence[np.ndarray], *, diameter: float, share: float) -> dict[str, float]:
    """Return the least and the highest threshold of nuclei (counts) of a plate's DNA images (H, W)."""
    least, highest = (segment.plate_floor(dna, diameter=diameter, share=part, flat=True) for part in (share, 1.0))
    return {"floor": least, "ceiling": highest if dna and highest > least else np.inf}


def segment_plate(
    images: PlateImages, intensity: pd.DataFrame, path: str | Path, *, options: Cells, threads: int = 1
) -> pd.DataFrame:
    """Segment all fields of a plate, write the label images to `path`, and return the table ``cells``.

    Parameters
    ----------
    images, intensity, options
        See `settle`.
    path
        The OME-Zarr plate (HCS) of labels to write.
    threads
        Fields that are processed at the same time; neither labels nor rows depend on it.

    Raises
    ------
    ValueError
        As `settle`; or hardly any nucleus was found, since the diameter of the config is a multiple of the objects'.
    """
    setting = settle(images, intensity, options=options)
    with (
        LabelWriter(path, plate=images.plate, source=images.path, pixel_size=images.pixel_size) as writer,
        ThreadPoolExecutor(max(1, threads)) as pool,
    ):
        diameter, limits = setting.options.diameter, {"small": setting.small, "large": setting.large}

        def finish(field: tuple[str, str], dna: np.ndarray, nuclei: np.ndarray, cells: np.ndarray) -> pd.DataFrame:
            well, site = field
            writer.write(well, site, {"nuclei": nuclei, "cells": cells})
            rows = table(nuclei, cells, dna=dna, diameter=diameter, **limits)
            return rows.assign(Metadata_Plate=images.plate, Metadata_Well=well, Metadata_Site=site)

        def work(field: tuple[str, str]) -> pd.DataFrame:
            dna, cytoplasm = setting.read(images, *field)
            nuclei = find(dna, options=setting.options)
            return finish(field, dna, nuclei, segment.grow_cells(nuclei, cytoplasm, options=setting.options))

        if options.method != "cellpose":
            find = _finder(options.method)
            frames = list(pool.map(work, images.fields))
        else:
            labelled = _networks(images, setting, options=options, pool=pool)
            frames = [frame for group in labelled for frame in pool.map(finish, *zip(*group, strict=True))]
    empty = np.zeros((1, 1), dtype=np.uint32)
    key = {"Metadata_Plate": images.plate, "Metadata_Well": "", "Metadata_Site": ""}
    # A plate without fields has an empty table with the same columns.
    nothing = table(empty, empty, dna=empty, diameter=1.0).assign(**key)
    frame = pd.concat(frames or [nothing], ignore_index=True)
    frame = flag(frame, dim=options.dim, bright=options.bright, blurred=options.blurred)
    frame = plausible.judge(frame, diameter=setting.options.diameter, shape=images.shape[1:], large=setting.large)
    if options.nucleus_diameter is not None and len(frame) < plausible.FEW and plausible.verdict(frame, Verdict()).keep:
        _refuse_unseen(images, setting, len(frame))
    counts = frame["Metadata_Flags"].str.split(";").explode().value_counts().drop("", errors="ignore")
    logger.info("%s: %d cells in %d fields; flags: %s", images.plate, len(frame), len(images.fields), counts.to_dict())
    return frame


def _finder(method: str) -> Callable[..., np.ndarray]:
    """Return the function that finds nuclei, as `segment.find_nuclei` does."""
    if method == "threshold":
        return segment.find_nuclei
    import torch

    from wellspring.cells import network

    torch.set_num_threads(1)  # fields are processed at the same time instead
    network.network()
    return network.find_nuclei


def _networks(
    images: PlateImages, setting: Setting, *, options: Cells, pool: ThreadPoolExecutor
) -> Iterator[list[tuple[tuple[str, str], np.ndarray, np.ndarray, np.ndarray]]]:
    """Yield groups of (field, DNA, nuclei, cells) by Cellpose; the next group is read while the networks run."""
    from wellspring.cells.cellpose import Cellpose

    step, unit, own = images.pixel_size, options.unit, options.cellpose
    diameters = {
        kind: given and length_in_pixels(given, unit=unit, pixel_size=step, key=f"cells.cellpose.diameters.{kind}")
        for kind, given in {"nuclei": own.diameters.nuclei, "cells": own.diameters.cells}.items()
    }
    segmenter = Cellpose(
        own,
        scale=diameters,
        least=round(options.smallest * np.pi / 4 * setting.options.diameter**2),
        spans=(setting.span, 1.0),
        floor=options.floor,
        growth=setting.options,
        cytoplasm=bool(setting.cytoplasm),
    )

    def start(fields: list[tuple[str, str]]) -> list[Future[tuple[np.ndarray, np.ndarray | None]]]:
        return [pool.submit(setting.read, images, *field) for field in fields]

    together = segmenter.together(images.shape[1:])
    groups = [images.fields[first : first + together] for first in range(0, len(images.fields), together)]
    ahead = start(groups[0]) if groups else []
    for number, group in enumerate(groups):
        fields = [future.result() for future in ahead]
        ahead = start(groups[number + 1]) if number + 1 < len(groups) else []
        labels = segmenter(fields)
        yield [(field, read[0], *found) for field, read, found in zip(group, fields, labels, strict=True)]
