"""Small vector drawings as SVG text: scales, axes, marks, and numbers in words.

Colours are style sheet variables with the light theme's colour as fallback, so that a figure follows the page's theme
and is right as a file of its own. Every text passes `escape`; numbers are rounded, so that the same figure
has the same bytes.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

INK, MUTED, LINE, PAPER = (
    "var(--ink, #1f2328)",
    "var(--muted, #59636e)",
    "var(--line, #d1d9e0)",
    "var(--paper, #ffffff)",
)
ARM = 0.42  # half the width of the bars of a plus
# shape of a mark -> its corners, in units of the mark's size, y downwards; the circle has none
SHAPES: dict[str, list[tuple[float, float]]] = {
    "circle": [],
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1.15), (1.1, 0.85), (-1.1, 0.85)],
    "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    "plus": [
        *((-ARM, -1.3), (ARM, -1.3), (ARM, -ARM), (1.3, -ARM), (1.3, ARM), (ARM, ARM)),
        *((ARM, 1.3), (-ARM, 1.3), (-ARM, ARM), (-1.3, ARM), (-1.3, -ARM), (-ARM, -ARM)),
    ],
    "down": [(0, 1.15), (1.1, -0.85), (-1.1, -0.85)],
    "cross": [
        *((0, -0.6), (0.6, -1.2), (1.2, -0.6), (0.6, 0), (1.2, 0.6), (0.6, 1.2)),
        *((0, 0.6), (-0.6, 1.2), (-1.2, 0.6), (-0.6, 0), (-1.2, -0.6), (-0.6, -1.2)),
    ],
    "bowtie": [(-1.2, -1), (1.2, 1), (1.2, -1), (-1.2, 1)],
}


def shape(code: int) -> str:
    """Return the shape of a category: neighbours differ, and with eight colours so do 64 pairs of shape and colour."""
    return [*SHAPES][(code + code // len(SHAPES)) % len(SHAPES)]


def number(value: float | None, *, digits: int = 3, zeros: bool = False) -> str:
    """Return a short text of a number: `–` for none, no exponent from 1e-3 to 1e6, no trailing zeros unless asked."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
        return f"{mantissa}e{int(power)}".replace("-", "−")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text and not zeros else text).replace("-", "−")


def fixed(value: float | None, decimals: int = 3) -> str:
    """Return a number with a fixed number of decimals, for columns; `–` for none, as `number` from 1e6 on."""
    if value is None or not math.isfinite(value):
        return "–"
    if abs(value) >= 1e6:
        return number(value)
    # NumPy rounds 0.7875 to 0.788, Python to 0.787: a score has one text whichever of them holds it.
    return f"{round(float(value), decimals) + 0.0:.{decimals}f}".replace("-", "−")


def probability(value: float | None) -> str:
    """Return a p or q value with three decimals, `<0.001` below; one just below 0.05 is not rounded up to it."""
    if value is not None and 0.0495 <= value < 0.05:
        return f"{min(value, 0.0499):.4f}"
    return "<0.001" if value is not None and value < 5e-4 else fixed(value)


def tick_labels(values: Sequence[float]) -> list[str]:
    """Return the labels of an axis, all with the same decimals: 0.0, 0.5, 1.0."""
    step = min((b - a for a, b in pairwise(values)), default=0.0)
    top = max(map(abs, values), default=0.0)
    if step <= 0 or step < 1e-4 or top >= 1e6:
        return [number(value) for value in values]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [fixed(value, decimals) for value in values]


def place(value: float) -> str:
    """Return a coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def ticks(low: float, high: float, *, count: int = 5) -> list[float]:
    """Return round values (1, 2 or 5 times a power of ten apart) inside [low, high]."""
    if not high > low:
        return [low]
    raw = (high - low) / count
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * part for part in (1, 2, 5, 10) if power * part >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def extent(values: Sequence[float], *, include: Sequence[float] = (), pad: float = 0.05) -> tuple[float, float]:
    """Return the padded (low, high) of the finite values; (0, 1) where there are none."""
    finite = [float(value) for value in [*values, *include] if value is not None and math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    margin = (high - low) * pad or abs(high) * 0.1 or 0.5
    return low - margin, high + margin


def document(body: str, *, width: float, height: float, title: str, css: str = "figure", least: float = 0) -> str:
    """Return the <svg> element around `body`, with an accessible title; `least`: its least width on a phone, in px."""
    size = f'viewBox="0 0 {place(width)} {place(height)}" width="{place(width)}"'
    name = escape(title, quote=True)
    style = f'style="--least: {place(least)}px" ' if least else ""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="{css}" role="img" aria-label="{name}" {size} {style}'
        f'font-family="system-ui, sans-serif" font-size="11">{body}</svg>'
    )


def nest(svg: str, *, x: float, y: float, width: float, height: float) -> str:
    """Return a drawing placed inside another one."""
    spot = f'x="{place(x)}" y="{place(y)}" width="{place(width)}" height="{place(height)}"'
    return re.sub(r' width="[^"]*"', f" {spot}", svg, count=1)


def standalone(svg: str) -> str:
    """Return a drawing as a separate file, with a white background."""
    head, tail = svg.split(">", 1)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><rect width="100%" height="100%" fill="#ffffff"/>{tail}\n'


def text(x: float, y: float, value: object, *, anchor: str = "start", fill: str = INK, extra: str = "") -> str:
    """Return a text mark; `value` is escaped."""
    where = f'x="{place(x)}" y="{place(y)}"'
    return (
        f'<text {where} text-anchor="{anchor}" fill="{fill}"{" " + extra if extra else ""}>{escape(str(value))}</text>'
    )


def line(x0: float, y0: float, x1: float, y1: float, *, stroke: str = LINE, extra: str = "") -> str:
    """Return a straight line."""
    ends = f'x1="{place(x0)}" y1="{place(y0)}" x2="{place(x1)}" y2="{place(y1)}"'
    return f'<line {ends} stroke="{stroke}"{" " + extra if extra else ""}/>'


def mark(
    x: float, y: float, *, fill: str, shape: str = "circle", size: float = 3.5, hollow: bool = False, tip: str = ""
) -> str:
    """Return a point; `tip` is shown when it is pointed at."""
    paint = f'fill="{PAPER}" stroke="{fill}" stroke-width="1.5"' if hollow else f'fill="{fill}" fill-opacity=".85"'
    note = f' data-tip="{escape(tip, quote=True)}"' if tip else ""
    if shape == "circle":
        return f'<circle cx="{place(x)}" cy="{place(y)}" r="{place(size)}" {paint}{note}/>'
    points = " ".join(f"{place(x + size * right)},{place(y + size * down)}" for right, down in SHAPES[shape])
    return f'<polygon points="{points}" {paint}{note}/>'


@dataclass
class Panel:
    """An x-y frame inside a drawing: values to coordinates, axes, and the marks that were added to it."""

    left: float
    top: float
    width: float
    height: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    body: list[str] = field(default_factory=list)

    def x(self, value: float) -> float:
        """Return the horizontal coordinate of a value."""
        low, high = self.x_range
        return self.left + self.width * (value - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        """Return the vertical coordinate of a value."""
        low, high = self.y_range
        return self.top + self.height * (1 - (value - low) / ((high - low) or 1))

    def axes(self, *, x_label: str = "", y_label: str = "", x_count: int = 5, y_count: int = 4) -> None:
        """Add both axes with light grid lines and labels."""
        bottom, right = self.top + self.height, self.left + self.width
        up = ticks(*self.y_range, count=y_count) if y_count else []
        for value, label in zip(up, tick_labels(up), strict=True):
            self.body.append(line(self.left, self.y(value), right, self.y(value)))
            self.body.append(text(self.left - 5, self.y(value) + 3.5, label, anchor="end", fill=MUTED))
        along = ticks(*self.x_range, count=x_count) if x_count else []
        for value, label in zip(along, tick_labels(along), strict=True):
            self.body.append(line(self.x(value), self.top, self.x(value), bottom))
            self.body.append(text(self.x(value), bottom + 14, label, anchor="middle", fill=MUTED))
        if x_label:
            self.body.append(text(self.left + self.width / 2, bottom + 29, x_label, anchor="middle"))
        if y_label:
            turn = f'transform="rotate(-90 {place(self.left - 38)} {place(self.top + self.height / 2)})"'
            self.body.append(text(self.left - 38, self.top + self.height / 2, y_label, anchor="middle", extra=turn))

    def path(
        self, xs: Sequence[float], ys: Sequence[float], *, stroke: str, width: float = 1.6, dash: str = ""
    ) -> None:
        """Add a line through the finite points; it is broken where a value is missing."""
        parts, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                parts.append(f"{pen}{place(self.x(x))} {place(self.y(y))}")
                pen = "L"
            else:
                pen = "M"
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        if parts:
            self.body.append(
                f'<path d="{"".join(parts)}" fill="none" stroke="{stroke}" stroke-width="{width}"{dashes}/>'
            )
