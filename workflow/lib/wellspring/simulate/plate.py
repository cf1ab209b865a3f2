"""Write a plate of a synthetic screen, a folder of TIFF planes and a platemap, from its description."""

import logging
from pathlib import Path

import numpy as np

from wellspring.simulate.cells import draw_field, place_cells, texture_bank
from wellspring.simulate.optics import expose, plate_optics, well_state
from wellspring.simulate.screen import Fault, Screen, layout, stream
from wellspring.simulate.traits import CHANNELS, draw_traits
from wellspring.simulate.truth import shifts

FIELD_STREAM = 0
LOGGER = logging.getLogger(__name__)


def write_plate(screen: Screen, plate: str, folder: str | Path, *, seed: int) -> None:
    """Write one plate: <well>_s<site>_<channel>.tif (uint16) and platemap.csv, faults included.

    The platemap has the columns of `layout`, with doses as concentration_uM, so that their unit is read, too. Every
    field depends only on the seed and its position: plates are independent, and the same seed gives the same bytes.
    Raises ValueError for a plate that the screen does not have.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    number = screen.plate_number(plate)
    platemap = layout(screen, seed=seed)[plate]
    written = platemap.rename(columns={"concentration": "concentration_uM"})
    written.to_csv(folder / "platemap.csv", index=False, lineterminator="\n")
    planted = shifts(screen, seed=seed)
    optics = plate_optics(screen, plate, seed=seed)
    bank = texture_bank(stream(seed, FIELD_STREAM, number))
    line = screen.plates[plate][1]
    faults = [fault for fault in screen.faults if fault.plate == plate]
    for row in platemap.itertuples():
        effect = planted.get((row.compound, row.concentration), {})
        well = well_state(screen, plate, row.well_position, optics, seed=seed)
        density = line.density * well.density * np.exp(effect.get("density", 0.0))
        for site in range(1, screen.sites + 1):
            rng = stream(seed, FIELD_STREAM, number, screen.wells.index(row.well_position), site)
            centres = place_cells(rng, field=screen.field, density=density)
            traits = draw_traits(effect, rng, count=len(centres), size=line.size, jitter=screen.cell_jitter)
            stain = draw_field(centres, traits, bank, rng, field=screen.field, stain_jitter=screen.stain_jitter)
            planes = expose(stain, optics, well, rng, nuisance=screen.nuisance)
            here = [fault for fault in faults if (fault.well, fault.site) == (row.well_position, str(site))]
            _write_field(planes, folder, f"{row.well_position}_s{site}", here, pixel_size=screen.pixel_size)
    LOGGER.info("%s: %d wells of %d sites, %d faults", plate, len(platemap), screen.sites, len(faults))


def _write_field(planes: np.ndarray, folder: Path, stem: str, faults: list[Fault], *, pixel_size: float) -> None:
    """Write the channels of a field (C, H, W) uint16, with their faults."""
    import tifffile

    per_centimetre = 1e4 / pixel_size
    for channel, plane in zip(CHANNELS, planes, strict=True):
        kinds = {fault.kind for fault in faults if channel in fault.channels}
        if "missing" in kinds:
            continue
        if "blank" in kinds:
            plane = np.zeros_like(plane)
        if "debris" in kinds:
            plane = _with_debris(plane)
        path = folder / f"{stem}_{channel}.tif"
        tifffile.imwrite(
            path,
            plane,
            compression="zlib",
            compressionargs={"level": 1},
            metadata=None,
            software=False,
            resolution=(per_centimetre, per_centimetre),
            resolutionunit="CENTIMETER",
        )
        if "truncated" in kinds:
            content = path.read_bytes()
            path.write_bytes(content[: int(0.6 * len(content))])


def _with_debris(plane: np.ndarray) -> np.ndarray:
    """Lay a saturated clump with a halo, a quarter of the field wide, over a plane (H, W) uint16."""
    height, width = plane.shape
    y = (np.arange(height)[:, None] / height - 0.62) / 0.13
    x = (np.arange(width)[None, :] / width - 0.40) / 0.17
    glow = np.exp(2.0 * (1 - np.hypot(y, x + 0.3 * np.sin(4 * y)))) * 65535
    covered: np.ndarray = np.clip(plane + np.minimum(glow, 2 * 65535), 0, 65535).astype(np.uint16)
    return covered
