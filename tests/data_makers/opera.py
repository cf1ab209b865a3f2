"""Miniature files of Opera (FLEX): a TIFF with all planes of a well, and the XML of version 1.8 in tag 65200."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tifffile

from wellspring.screen import well_names


def flex(
    path: Path,
    well: str,
    planes: Mapping[tuple[int, int, int], np.ndarray],
    *,
    cameras: Sequence[str] = ("Exp1Cam1", "Exp2Cam2"),
    plate: str = "P1",
    factors: Sequence[float] = (),
    stage: float = 1e-4,
) -> None:
    """Write planes (field, focal plane, channel, all from 1 -> (Y, X)), in their order, as the pages of a file."""
    row, column = (number + 1 for number in well_names.position(well))
    fields, depth = (sorted({key[place] for key in planes}) for place in (0, 1))
    images = arrays = ""
    for page, ((field, plane, channel), pixels) in enumerate(planes.items()):
        height, width = pixels.shape
        factor = factors[page] if factors else 1
        arrays += (
            f'<Array Name="{page + 1}_{cameras[channel - 1]}" Type="uchar" Width="{width}" Height="{height}" '
            f'BinningX="1" BinningY="1" Factor="{factor}" Description=""/>'
        )
        values = {
            "Sublayout": field,
            "ExposureNo": cameras[channel - 1][3],
            "Stack": plane,
            "CameraRef": cameras[channel - 1][4:],
            "LightSourceCombinationRef": f"L{channel}",
            "ObjectiveRef": "20x",
            "CameraBinningX": 1,
            "CameraBinningY": 1,
            "ImageWidth": width,
            "ImageHeight": height,
        }
        lengths = {
            "PositionX": stage * field,
            "PositionY": -stage * field,
            "PositionZ": 1e-6 * plane,
            "ImageResolutionX": 3.2e-7,
            "ImageResolutionY": 3.2e-7,
        }
        images += f'<Image BufferNo="{page}"><DateTime>2009-01-01T00:00:00</DateTime>'
        images += "".join(f"<{name}>{value}</{name}>" for name, value in values.items())
        images += "".join(f'<{name} Unit="m">{value!r}</{name}>' for name, value in lengths.items())
        images += f'<CameraExposureTime Unit="s">{0.1 * channel!r}</CameraExposureTime></Image>'
    layout = "".join(f'<Field No="{field}"><OffsetX Unit="m">{stage * field!r}</OffsetX></Field>' for field in fields)
    stacks = "".join(f'<Plane No="{plane}"><OffsetZ Unit="m">{1e-6 * plane!r}</OffsetZ></Plane>' for plane in depth)
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1"?><Root xmlns="http://www.perkinelmer.com/FLEX">'
        f'<FLEX version="1.8.1.0"><OperaDevice>Opera</OperaDevice><Sublayouts><Sublayout ID="1">{layout}</Sublayout>'
        f'</Sublayouts><Stacks><Stack ID="1">{stacks}</Stack></Stacks><Plate><PlateName>{plate}</PlateName>'
        f'<XSize>24</XSize><YSize>16</YSize></Plate><Well><WellCoordinate Row="{row}" Col="{column}"/>'
        f"<Images>{images}</Images></Well></FLEX><Arrays>{arrays}</Arrays></Root>"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tifffile.TiffWriter(path) as file:
        for page, pixels in enumerate(planes.values()):
            tags = [(65200, 2, len(text), text, True)] if page == 0 else []
            file.write(pixels, photometric="minisblack", metadata=None, extratags=tags)


def drawn(fields: int, depth: int, channels: int, *, seed: int = 0) -> dict[tuple[int, int, int], np.ndarray]:
    """Return planes (6, 10) uint8 by field, focal plane and channel."""
    rng = np.random.default_rng(seed)
    keys = itertools.product(range(1, fields + 1), range(1, depth + 1), range(1, channels + 1))
    return {key: rng.integers(0, 256, (6, 10)).astype(np.uint8) for key in keys}
