"""Matrices as drawings: coloured cells with numbers, or a picture whose values travel beside it."""

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.report.charts import short
from wellspring.report.gather import pick
from wellspring.report.palette import contrast, data_address, to_hex, viridis
from wellspring.report.svg import LINE, MUTED, PAPER, document, fixed, number, text

LARGE = 20  # columns above which a matrix is a picture: its numbers would not be read


def matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[Any],
    *,
    title: str,
    row_label: str,
    column_label: str,
    top: float,
) -> str:
    """Return a matrix of numbers in cells coloured from 0 to `top`; (rows, columns), NaN is a dash.

    One of more than `LARGE` columns is a picture without numbers, whose values travel beside it for the page.
    """
    if max(len(rows), len(columns)) > LARGE:
        return _large(rows, columns, values, title=title, row_label=row_label, column_label=column_label, top=top)
    left = 16 + min(6.2 * max((len(name) for name in (*rows, f"{row_label} ↓")), default=0), 160)
    head = 34 + 4.2 * min(max((len(name) for name in columns), default=0), 24)
    size_x, size_y = max(30, min(64, 480 / max(len(columns), 1))), 28
    body = [text(left, 12, f"{column_label} →", fill=MUTED), text(4, head - 6, f"{row_label} ↓", fill=MUTED)]
    for j, name in enumerate(columns):
        x = left + size_x * (j + 0.5)
        body.append(text(x, head - 6, short(name, 24), extra=f'transform="rotate(-40 {x:.1f} {head - 6:.1f})"'))
    for i, name in enumerate(rows):
        body.append(text(left - 6, head + size_y * (i + 0.5) + 4, short(name, 24), anchor="end"))
        for j, column in enumerate(columns):
            value = values[i, j]
            where = f'x="{left + size_x * j:.1f}" y="{head + size_y * i:.1f}"'
            where += f' width="{size_x - 1:.1f}" height="{size_y - 1}"'
            middle = left + size_x * (j + 0.5), head + size_y * (i + 0.5) + 4
            if not np.isfinite(value):
                tip = f'data-tip="{escape(str(name))} → {escape(str(column))}: undefined"'
                body.append(f'<rect {where} fill="{PAPER}" stroke="{LINE}" {tip}/>')
                body.append(text(*middle, "–", anchor="middle", fill=MUTED, extra='pointer-events="none"'))
                continue
            colour = viridis(np.array(value / (top or 1)))
            tip = f'data-tip="{escape(str(name))} → {escape(str(column))}: {fixed(value)}"'
            body.append(f'<rect {where} fill="{to_hex(colour)}" {tip}/>')
            body.append(
                text(
                    *middle,
                    fixed(value, 2),
                    anchor="middle",
                    fill=contrast(colour),
                    extra='pointer-events="none"',
                )
            )
    width = left + size_x * len(columns) + min(3.6 * max((len(name) for name in columns), default=0), 90)
    return document("".join(body), width=width, height=head + size_y * len(rows) + 6, title=title)


def _large(
    rows: Sequence[str],
    columns: Sequence[str],
    values: NDArray[Any],
    *,
    title: str,
    row_label: str,
    column_label: str,
    top: float,
) -> str:
    pixels = np.zeros((*values.shape, 4), dtype=np.uint8)
    known = np.isfinite(values)
    pixels[known, :3], pixels[known, 3] = viridis(values[known] / (top or 1)), 255
    shown = [[float(f"{one:.3g}") if np.isfinite(one) else None for one in row] for row in values]
    parts = {"rows": list(map(str, rows)), "columns": list(map(str, columns)), "values": shown}
    width, height = 420, 420 * len(rows) / len(columns)
    box = f'x="4" y="36" width="{width}" height="{height:.1f}"'
    size = f"{len(rows)} × {len(columns)}, 0 (dark) to {number(top)} (bright)"
    body = [text(4, 12, f"{row_label} ↓, {column_label} →", fill=MUTED), text(4, 27, size, fill=MUTED)]
    body.append(f'<rect {box} fill="none" stroke="{LINE}"/>')
    body.append(
        f'<image {box} href="{data_address(pixels)}" preserveAspectRatio="none" style="image-rendering:pixelated" '
        f'data-matrix="{escape(json.dumps(parts, separators=(",", ":")))}"/>'
    )
    return document("".join(body), width=width + 8, height=height + 42, title=title)


def each_line(items: pd.DataFrame) -> pd.DataFrame:
    """Return the items with one row per prediction: of each cell line, where lines were judged apart."""
    by_line = [json.loads(text) if isinstance(text, str) else {} for text in pick(items, "Metadata_Group_By_Line")]
    groups = [list(lines.values()) or [group] for lines, group in zip(by_line, items["Metadata_Group"], strict=True)]
    places = np.repeat(np.arange(len(items)), [len(some) for some in groups])
    found = items.iloc[places].reset_index(drop=True)
    return found.assign(Metadata_Group=[group for some in groups for group in some])
