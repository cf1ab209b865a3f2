"""Light paths of the report: mean images before and after the correction, flat fields, and their unevenness."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wellspring.illumination.evenness import MEASURES
from wellspring.illumination.flatfield import FEW
from wellspring.io.packed import Packed, archive
from wellspring.report import palette
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.pictures import Picture
from wellspring.report.svg import fixed
from wellspring.report.wording import worded
from wellspring.views.binning import bin_area

LIGHTS = 40  # light paths and channels with pictures: 15 kB of the page per picture
SAMPLE = 400  # views per plate and channel in the means; more change them by less than one grey level


def light_paths(screen: Screen) -> dict[str, list[str]]:
    """Return light path -> its plates, by the sheet's column `optics` (the plate itself where it is not given)."""
    rows = screen.sheet
    optics = pick(rows, "optics").where(lambda found: found.notna() & (found.astype(str) != ""), rows["plate"])
    known = dict(zip(rows["plate"].astype(str), optics.astype(str), strict=True))
    paths: dict[str, list[str]] = {}
    for plate in screen.plates:
        paths.setdefault(known.get(plate, plate), []).append(plate)
    return paths


def mean_view(screen: Screen, plates: Sequence[str], rows: Mapping[str, NDArray[Any]]) -> NDArray[Any] | None:
    """Return the (h, w) mean of binned views over plates, `rows` of each evenly thinned; None without any."""
    total, count = None, 0
    for plate in plates:
        if plate not in screen.view_files or plate not in rows:
            continue
        chosen = rows[plate]
        if len(chosen) > SAMPLE:
            chosen = chosen[np.linspace(0, len(chosen) - 1, SAMPLE).round().astype(int)]
        views = Packed(screen.view_files[plate]).take(chosen)
        good = views[np.isfinite(views).all(axis=(1, 2))].astype(np.float64)
        if len(good) and (total is None or total.shape == good.shape[1:]):
            total, count = good.sum(axis=0) + (0 if total is None else total), count + len(good)
    return None if total is None else total / count


def fields(screen: Screen, *, limit: int = LIGHTS) -> list[Record]:
    """Return one dict per light path and channel: method, fields, figures, warnings, and pictures before, flat, after.

    Figures are those of :mod:`wellspring.illumination.evenness`, (3,) each. Of more light paths and channels than
    `limit`, those with the largest residuals have pictures.
    """
    paths, rows = light_paths(screen), []
    kept = screen.survey[screen.survey["Metadata_Verdict"] == "keep"] if len(screen.survey) else screen.survey
    views: dict[str, Record] = {channel: {} for channel in screen.channels}
    if len(kept):
        for (channel, plate), found in kept.groupby(["Metadata_Channel", "Metadata_Plate"], sort=True)["Row"]:
            views.setdefault(channel, {})[plate] = found.to_numpy(dtype=int)
    for optics, path in screen.illumination.items():
        known = archive(path)
        for place, channel in enumerate(known["channel"].astype(str)):
            row = {"optics": optics, "channel": channel, "method": str(known["method"])}
            row |= {"fields": int(known["fields"][place])}
            row |= {name: known[name][place] if name in known else np.full(3, np.nan) for name in MEASURES}
            row |= (
                {"applied": bool(known["applied"][place]), "notes": str(known["notes"][place])}
                if "notes" in known
                else {}
            )
            rows.append(row | {"warnings": warnings(row), "figures": figures(row)})
    worst = sorted(range(len(rows)), key=lambda place: -np.nan_to_num(rows[place]["residual_after"][0]))[:limit]
    for place, row in enumerate(rows):
        row["pictures"] = []
        if place in worst:
            before = mean_view(screen, paths.get(row["optics"], [row["optics"]]), views.get(row["channel"], {}))
            row["pictures"] = _before_and_after(screen.illumination[row["optics"]], row["channel"], before)
    return rows


def warnings(row: Mapping[str, Any]) -> list[str]:
    """Return the warnings of a light path in one channel; `row` is one of :func:`fields`."""
    said, fitted = [], row["method"] in ("basic", "median")
    if fitted and row["fields"] < FEW:
        said.append(f"fewer than {FEW} fields: weak estimate, restricted to a smooth bowl")
    if row.get("notes"):
        said.append(worded(row["notes"]))
    if not row.get("applied", True):
        return said
    _, low, high = row["residual_change"]
    if low > 0:
        said.append("made held-out fields less even")
    elif row["method"] != "none" and high >= 0:
        said.append("no significant gain on held-out fields")
    return said


def figures(row: Mapping[str, Any]) -> list[str]:
    """Return the residuals of a light path in one channel and its edges beside its centre, before and after."""
    if not np.isfinite(row["residual_before"][0]):
        return ["too few fields to measure a residual"]
    parts = {"residual": "uneven", "edge": "edge"}
    parts |= {"objects": "objects"} if np.isfinite(row["objects_before"][0]) else {}
    return [
        f"{words}, %: {' → '.join(_percent(row[f'{name}_{when}']) for when in ('before', 'after'))}"
        for name, words in parts.items()
    ]


def _percent(value: NDArray[Any]) -> str:
    found, low, high = (fixed(100 * float(part), 1) for part in value)
    return f"{found} ({low} to {high})"


def _before_and_after(path: Path, channel: str, before: NDArray[Any] | None) -> list[Picture]:
    """Return pictures of the mean view (h, w) before and after with the flat field between them."""
    fields = archive(path)
    number = fields["channel"].astype(str).tolist().index(channel)
    flat, dark = fields["flat"][number], fields["dark"][number]
    size = before.shape if before is not None else tuple(min(length, 64) for length in flat.shape)
    if flat.size == 1:  # an even light path without usable fields
        flat, dark = np.full(size, flat.item()), np.full(size, dark.item())
    flat, dark = bin_area(flat, size), bin_area(dark, size)
    low, high = min(0.8, float(flat.min())), max(1.2, float(flat.max()))
    shown = [("flat field", flat, f"{flat.min():.2f} to {flat.max():.2f}")]
    if before is not None:
        after = (before - dark) / np.maximum(flat, 1e-6)
        # both on the flat field's scale, relative to their own mean, so that the three pictures can be compared
        raw, done = (before - dark) / max((before - dark).mean(), 1e-9), after / max(after.mean(), 1e-9)
        shown = [
            ("mean before", raw, f"{raw.min():.2f} to {raw.max():.2f}"),
            *shown,
            ("mean after", done, f"{done.min():.2f} to {done.max():.2f}"),
        ]
    scaled = [(name, palette.viridis((field - low) / (high - low)), words) for name, field, words in shown]
    return [Picture(palette.data_address(pixels), name, (words,)) for name, pixels, words in scaled]
