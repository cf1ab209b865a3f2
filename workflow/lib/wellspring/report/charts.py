"""The report's charts. Input: short lists of values. Output: SVG text, whose colours follow the theme (see `svg`)."""

from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from wellspring.report.palette import category
from wellspring.report.svg import (
    INK,
    MUTED,
    PAPER,
    Panel,
    document,
    extent,
    fixed,
    line,
    mark,
    number,
    probability,
    text,
)
from wellspring.report.svg import shape as shape_of

CROWDED = 60  # wells of a compound above which a dose panel shows medians and quartiles instead of every well
FLOOR = 1e-5  # the smallest q that is drawn; the default null of 10,000 draws cannot give less
SHRINK = 0.85  # of its width, to which a plot of rows shrinks on a phone before it scrolls: its text stays readable


def interval(value: float, low: float, high: float, chance: float, *, scale: tuple[float, float]) -> str:
    """Return a value with its interval as one line mark, and its chance level as a dashed tick; for a table cell."""
    panel = Panel(3, 0, 114, 16, scale, (0, 1))
    body = [line(3, 8, 117, 8)]
    if np.isfinite(chance):
        body.append(line(panel.x(chance), 1, panel.x(chance), 15, stroke=INK, extra='stroke-dasharray="2 2"'))
    if np.isfinite(low) and np.isfinite(high):
        body.append(
            line(panel.x(low), 8, panel.x(high), 8, stroke=category(0), extra='stroke-width="4" stroke-opacity=".45"')
        )
    if np.isfinite(value):
        body.append(mark(panel.x(value), 8, fill=category(0), size=3.2))
    name = f"{fixed(value)}, interval {fixed(low)} to {fixed(high)}, chance {fixed(chance)}"
    return document("".join(body), width=120, height=16, title=name, css="figure interval")


def volcano(
    names: Sequence[str],
    values: Sequence[float],
    q: Sequence[float],
    *,
    chance: float,
    alpha: float,
    title: str,
    x_label: str,
    apart: Collection[str] = (),
) -> str:
    """Return the activity figure: score against -log10 q, filled where q < alpha, the chance level dashed.

    Names in `apart` are squares.
    """
    strength = -np.log10(np.clip(np.asarray(q, dtype=float), FLOOR, 1))
    include = [0, chance] if np.isfinite(chance) else [0]
    top = max(float(np.nanmax(strength, initial=0)), -np.log10(alpha)) * 1.08
    panel = Panel(48, 14, 300, 190, extent(values, include=include), (-0.06 * top, top))
    panel.axes(x_label=x_label, y_label="significance, −log₁₀ q")
    limit, size = panel.y(-np.log10(alpha)), 3.5 if len(values) < 300 else 2.2
    panel.body.append(
        line(panel.left, limit, panel.left + panel.width, limit, stroke=INK, extra='stroke-dasharray="4 3"')
    )
    at = panel.x(chance) if np.isfinite(chance) else None
    if at is not None:
        panel.body.append(line(at, panel.top, at, panel.top + panel.height, stroke=INK, extra='stroke-dasharray="2 2"'))
    for name, value, height, one in zip(names, values, strength, q, strict=True):
        if np.isfinite(value) and np.isfinite(height):
            active = one < alpha
            tip = f"{name}\nmAP {fixed(value)}, q {probability(one)}"
            fill, centre = category(0) if active else category(6), (panel.x(value), panel.y(height))
            shape = "square" if name in apart else "circle"
            drawn = mark(*centre, fill=fill, shape=shape, size=size, hollow=not active, tip=tip)
            panel.body.append(drawn.replace("/>", f' data-item="{escape(name, quote=True)}"/>'))
    # names last and on a halo of paper, so that no point hides them
    halo = f'stroke="{PAPER}" stroke-width="3" paint-order="stroke"'
    panel.body.append(text(panel.left + 4, limit - 4, f"q = {number(alpha)}", fill=MUTED, extra=halo))
    if at is not None:
        beyond = at + 44 > panel.left + panel.width  # the label would leave the panel
        spot, anchor = (at - 4, "end") if beyond else (at + 4, "start")
        panel.body.append(text(spot, panel.top + 9, "chance", anchor=anchor, fill=MUTED, extra=halo))
    return document("".join(panel.body), width=360, height=242, title=title)


def dots(
    rows: Sequence[tuple[str, Sequence[tuple[str, float, bool, str]]]],
    *,
    series: Sequence[str],
    chance: Mapping[str, float],
    title: str,
    x_label: str,
) -> str:
    """Return a dot plot with one row per label and one mark (series, value, filled, tip) per value."""
    every = [value for _, marks in rows for _, value, _, _ in marks]
    known = [value for value in chance.values() if np.isfinite(value)]
    left = min(12 + 6.2 * max((len(label) for label, _ in rows), default=0), 248)
    panel = Panel(left, 8, 300, 19 * max(len(rows), 1), extent(every, include=[0, *known]), (0, max(len(rows), 1)))
    panel.axes(x_label=x_label, y_count=0, x_count=6)
    for value in sorted(set(known)):
        at = panel.x(value)
        panel.body.append(line(at, panel.top, at, panel.top + panel.height, stroke=INK, extra='stroke-dasharray="2 2"'))
    for number_, (label, marks) in enumerate(rows):
        y = panel.top + 19 * number_ + 9.5
        panel.body.append(line(panel.left, y, panel.left + panel.width, y))
        panel.body.append(text(panel.left - 8, y + 3.5, short(label, 38), anchor="end"))
        for name, value, filled, tip in marks:
            if np.isfinite(value):
                slot = series.index(name)
                shape = shape_of(slot)
                panel.body.append(mark(panel.x(value), y, fill=category(slot), shape=shape, hollow=not filled, tip=tip))
    width = left + panel.width + 16
    return document("".join(panel.body), width=width, height=panel.height + 48, title=title, least=SHRINK * width)


def levels(
    names: Sequence[str],
    points: Mapping[str, Sequence[tuple[float, float, float, float]]],
    *,
    series: Sequence[str],
    title: str,
) -> str:
    """Return a panel of one metric over the profile levels: (value, low, high, chance) per level and series.

    A line joins a series' values, a bar is the interval, a dashed tick the chance level.
    """
    every = [part for found in points.values() for point in found for part in point]
    inside = all(0 <= part <= 1 for part in every if np.isfinite(part))
    panel = Panel(40, 10, 206, 112, (-0.5, len(names) - 0.5), (0.0, 1.0) if inside else extent(every))
    panel.axes(x_count=0)
    for place, name in enumerate(names):
        panel.body.append(text(panel.x(place), 138, name, anchor="middle", fill=MUTED))
        known = sorted({point[place][3] for point in points.values() if np.isfinite(point[place][3])})
        for chance in known:
            ends = panel.x(place - 0.42), panel.x(place + 0.42)
            height = panel.y(chance)
            panel.body.append(line(ends[0], height, ends[1], height, stroke=INK, extra='stroke-dasharray="2 2"'))
    step = min(0.16, 0.6 / max(len(points), 1))
    for name, values in points.items():
        slot = series.index(name)
        at = [place + step * (slot - (len(series) - 1) / 2) for place in range(len(names))]
        panel.path(at, [value[0] for value in values], stroke=category(slot))
        for level, x, (value, low, high, chance) in zip(names, at, values, strict=True):
            if np.isfinite(low) and np.isfinite(high):
                whisker = 'stroke-width="3" stroke-opacity=".4"'
                panel.body.append(
                    line(panel.x(x), panel.y(low), panel.x(x), panel.y(high), stroke=category(slot), extra=whisker)
                )
            if np.isfinite(value):
                tip = f"{name}, {level}\n{fixed(value)} ({fixed(low)} to {fixed(high)}), chance {fixed(chance)}"
                shape = shape_of(slot)
                panel.body.append(mark(panel.x(x), panel.y(value), fill=category(slot), shape=shape, tip=tip))
    return document("".join(panel.body), width=256, height=146, title=title)


def curves(steps: Sequence[float], lines: Mapping[str, Sequence[float]], *, title: str, y_label: str) -> str:
    """Return one panel of curves over training steps; their names are below it."""
    every = [value for values in lines.values() for value in values]
    panel = Panel(46, 12, 230, 120, extent(steps, pad=0), extent(every))
    panel.axes(x_label="step", x_count=4)
    panel.body.append(text(panel.left, 9, y_label))
    for slot, (name, values) in enumerate(lines.items()):
        dash = "" if slot < 4 else "4 2"
        panel.path(steps, values, stroke=category(slot), width=2.0 if slot == 0 else 1.3, dash=dash)
        if len(lines) > 1:
            x, y = 46 + 118 * (slot % 2), 176 + 14 * (slot // 2)
            panel.body.append(line(x, y - 4, x + 14, y - 4, stroke=category(slot), extra='stroke-width="2"'))
            panel.body.append(text(x + 18, y, short(name, 18), fill=MUTED))
    height = 166 + (14 * -(-len(lines) // 2) if len(lines) > 1 else 0)
    return document("".join(panel.body), width=290, height=height, title=title)


def doses(
    points: Mapping[str, Sequence[tuple[float, float, str]]], *, series: Sequence[str], title: str, unit: str = ""
) -> str:
    """Return a dose panel: (concentration, response, tip) points by series on a logarithmic axis, a line their medians.

    A series of more than `CROWDED` wells is drawn as medians with their quartiles.
    """
    every = [point for found in points.values() for point in found]
    positive = [dose for dose, _, _ in every if dose > 0]
    zero = (np.log10(min(positive)) if positive else 0.0) - 0.5  # where a concentration of 0 is drawn
    place = {dose: float(np.log10(dose)) if dose > 0 else zero for dose, _, _ in every}
    panel = Panel(
        52,
        20,
        190,
        100,
        extent(list(place.values()), pad=0.08),
        extent([score for _, score, _ in every], include=[0]),
    )
    of_unit = f" ({unit})" if unit else " (platemap's unit)"
    panel.axes(x_label=f"log₁₀ concentration{of_unit}", y_label="SD of the controls", x_count=4)
    panel.body.append(text(panel.left, 12, short(title, 30)))
    for name, found in points.items():
        slot = series.index(name)
        scores: dict[float, list[float]] = {}
        for dose, score, _ in sorted(found):
            scores.setdefault(dose, []).append(score)
        medians = [float(np.median(values)) for values in scores.values()]
        panel.path([place[dose] for dose in scores], medians, stroke=category(slot))
        shape = shape_of(slot)
        if len(found) > CROWDED:
            for (dose, values), median in zip(scores.items(), medians, strict=True):
                low, high = np.percentile(values, [25, 75])
                at, tip = (
                    panel.x(place[dose]),
                    f"{name}: median {fixed(median)}, quartiles {fixed(low)} and {fixed(high)}",
                )
                panel.body.append(line(at, panel.y(low), at, panel.y(high), stroke=category(slot)))
                panel.body.append(mark(at, panel.y(median), fill=category(slot), shape=shape, size=2.6, tip=tip))
            continue
        for dose, score, tip in found:
            spot = panel.x(place[dose]), panel.y(score)
            panel.body.append(mark(*spot, fill=category(slot), shape=shape, size=2.6, tip=tip))
    return document("".join(panel.body), width=252, height=156, title=f"dose curve of {title}")


def short(name: object, length: int) -> str:
    """Return a name of at most `length` characters: a long one without its middle, since names differ at both ends."""
    whole, end = str(name), length // 3
    return whole if len(whole) <= length else f"{whole[: length - 1 - end]}…{whole[-end:]}"
