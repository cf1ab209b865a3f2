"""Colour scales, and pictures encoded as data addresses.

Categories use the Okabe-Ito colours without their yellow (it vanishes on white); the page's style sheet holds a lighter
set for dark screens under the same numbers. Quantities use viridis. Both suit colour vision
deficiency.
"""

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#b5588f", "#b07d00", "#3d9bd0", "#6b6b6b", "#8b5a2b")
# every sixteenth of the colour map: linear between them it is within one percent of the original
VIRIDIS = (
    *("440154", "48186a", "472d7b", "424086", "3b528b", "33638d", "2c728e", "26828e", "21918c"),
    *("1fa088", "28ae80", "3fbc73", "5ec962", "84d44b", "addc30", "d8e219", "fde725"),
)
# additive colours of up to five channels in order: DNA-like blue first, as a Cell Painting composite is usually shown
CHANNELS = ((70, 110, 255), (60, 220, 90), (255, 215, 70), (255, 95, 50), (235, 80, 220))


def category(number: int) -> str:
    """Return the fill of category `number`: a style sheet variable with the light theme's colour as its fallback."""
    slot = number % len(CATEGORIES)
    return f"var(--c{slot}, {CATEGORIES[slot]})"


def viridis(values: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return (…, 3) uint8 colours of values in [0, 1]; values outside are clipped, NaN is the low end."""
    anchors = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in VIRIDIS], dtype=np.float64)
    place = np.clip(np.nan_to_num(np.asarray(values, dtype=np.float64)), 0, 1) * (len(anchors) - 1)
    low = np.minimum(place.astype(int), len(anchors) - 2)
    part = (place - low)[..., None]
    colours: NDArray[np.float64] = np.rint(anchors[low] * (1 - part) + anchors[low + 1] * part)
    return colours.astype(np.uint8)


def to_hex(colour: NDArray[np.uint8]) -> str:
    """Return `#rrggbb` of a (3,) uint8 colour."""
    return "#" + "".join(f"{int(part):02x}" for part in colour)


def contrast(colour: NDArray[np.uint8]) -> str:
    """Return the text colour, black or white, that is readable on a (3,) uint8 colour (WCAG relative luminance)."""
    part = np.asarray(colour, dtype=np.float64) / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    return "#000" if linear @ np.array([0.2126, 0.7152, 0.0722]) > 0.18 else "#fff"


def composite(image: NDArray[Any], *, low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the (H, W, 3) uint8 additive composite of the first five channels of a (C, H, W) image.

    `low` and `high` (C,) are the intensities shown as black and as the channel's full colour. One channel
    is shown grey.
    """
    count = min(len(image), len(CHANNELS))
    spread = np.maximum(np.asarray(high, dtype=np.float64) - low, 1e-9)[:count, None, None]
    scaled = np.clip(
        (np.nan_to_num(image[:count].astype(np.float64)) - np.asarray(low)[:count, None, None]) / spread, 0, 1
    )
    colours = np.array(CHANNELS[:count], dtype=np.float64) if count > 1 else np.full((1, 3), 255.0)
    # five additive channels saturate white where they overlap: a soft shoulder keeps structure visible there
    light = np.einsum("chw,ck->hwk", scaled**0.8, colours) / 255
    pixels: NDArray[np.float64] = np.rint(255 * np.clip(light / (1 + 0.25 * np.maximum(light - 0.6, 0)), 0, 1))
    return pixels.astype(np.uint8)


def grey(image: NDArray[Any], *, low: float | None = None, high: float | None = None) -> NDArray[np.uint8]:
    """Return an (H, W) uint8 picture between two intensities (default: the 1st and 99.5th percentile)."""
    finite = image[np.isfinite(image)]
    if not finite.size:
        return np.zeros(image.shape, dtype=np.uint8)
    bottom = float(np.percentile(finite, 1)) if low is None else low
    top = float(np.percentile(finite, 99.5)) if high is None else high
    scaled = (np.nan_to_num(image, nan=bottom) - bottom) / max(top - bottom, 1e-9)
    pixels: NDArray[np.float64] = np.rint(255 * np.clip(scaled, 0, 1))
    return pixels.astype(np.uint8)


def data_address(pixels: NDArray[np.uint8], *, kind: str = "PNG", quality: int = 82) -> str:
    """Return the `data:` address of (H, W), (H, W, 3) or (H, W, 4) uint8 pixels; same pixels, same bytes."""
    from PIL import Image

    stream = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if kind == "JPEG":
        image.save(stream, "JPEG", quality=quality, subsampling=0, optimize=True)
    else:
        image.save(stream, "PNG", optimize=True)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
