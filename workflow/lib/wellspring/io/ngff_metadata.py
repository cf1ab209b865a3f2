"""The metadata of an OME-Zarr plate: NGFF 0.5 attributes of its root, wells and fields, as zarr 3 groups."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

NGFF = "0.5"
COLOURS = {
    "DNA": "0000FF", "DAPI": "0000FF", "ER": "00FF00", "RNA": "FFFF00", "AGP": "FF8000", "Mito": "FF0000",
    "GFP": "00FF00", "Actin": "FF0000", "Tubulin": "00FF00",
}  # fmt: skip
FALLBACK = ("FFFFFF", "00FFFF", "FF00FF", "FFFF00", "00FF00", "FF0000", "0000FF", "FF8000")


def path_of(well: str, site: str) -> str:
    """Return the path of a field in the plate: ``B/03/1`` for well ``B03``, site ``1``."""
    row = well.rstrip("0123456789")
    if not row or row == well or not site.isalnum():
        raise ValueError(f"well {well!r}, site {site!r}: expected a well like B03 and an alphanumeric site")
    return f"{row}/{well[len(row) :]}/{site}"


def write_group(folder: Path, attributes: Mapping[str, object]) -> None:
    """Write a zarr group: its folder with a ``zarr.json`` of these attributes."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"attributes": attributes, "zarr_format": 3, "node_type": "group"}, indent=1)
    (folder / "zarr.json").write_text(text)


def write_wells(folder: Path, fields: Sequence[tuple[str, str]], *, name: str) -> dict[str, object]:
    """Write the groups of the rows and wells of a plate, and return the NGFF metadata of its root."""
    wells: dict[str, list[str]] = {}
    for well, site in fields:
        wells.setdefault(path_of(well, site).rsplit("/", 1)[0], []).append(site)
    rows = sorted({path.split("/")[0] for path in wells}, key=lambda row: (len(row), row))
    columns = sorted({path.split("/")[1] for path in wells})
    for row in rows:
        write_group(folder / row, {})
    for path, sites in wells.items():
        described = {"version": NGFF, "images": [{"path": site} for site in sites]}
        write_group(folder / path, {"ome": {"version": NGFF, "well": described}})
    plate: dict[str, object] = {
        "version": NGFF,
        "name": name,
        "rows": [{"name": row} for row in rows],
        "columns": [{"name": column} for column in columns],
        "wells": [
            {"path": path, "rowIndex": rows.index(row), "columnIndex": columns.index(column)}
            for path, (row, column) in ((path, path.split("/")) for path in wells)
        ],
    }
    if fields:  # the standard requires at least 1
        plate["field_count"] = max(len(sites) for sites in wells.values())
    return {"version": NGFF, "plate": plate}


def image(
    name: str, *, pixel_size: float | None, factors: Sequence[int] = (1,), channels: bool = True
) -> dict[str, object]:
    """Return the NGFF metadata of a field (C, Y, X), without `channels` (Y, X); `pixel_size` in micrometres.

    `factors` has, for each resolution level, the edge in px of the squares that are one of its pixels.
    """
    unit = {} if pixel_size is None else {"unit": "micrometer"}
    step = pixel_size or 1.0
    return {
        "version": NGFF,
        "multiscales": [
            {
                "name": name,
                "axes": ([{"name": "c", "type": "channel"}] if channels else [])
                + [{"name": axis, "type": "space", **unit} for axis in ("y", "x")],
                "datasets": [
                    {"path": str(level), "coordinateTransformations": _placed(step, factor, channels)}
                    for level, factor in enumerate(factors)
                ],
            }
        ],
    }


def _placed(step: float, factor: int, channels: bool) -> list[dict[str, object]]:
    """Return scale and, for a level of squares, the translation of its first centre."""
    scale: dict[str, object] = {"type": "scale", "scale": [1.0] * channels + [step * factor, step * factor]}
    shift = step * (factor - 1) / 2
    moved = [0.0] * channels + [shift, shift]
    return [scale, {"type": "translation", "translation": moved}] if factor > 1 else [scale]


def display(
    name: str, channels: Sequence[str], *, windows: Mapping[str, tuple[float, float]], dtype: np.dtype[np.integer]
) -> dict[str, object]:
    """Return the display settings of a field: colour and limits of each channel, for viewers."""
    top = float(np.iinfo(dtype).max)
    described = []
    for number, channel in enumerate(channels):
        low, high = windows.get(channel, (0.0, top))
        colour = COLOURS.get(channel, FALLBACK[number % len(FALLBACK)])
        window = {"min": 0.0, "max": top, "start": float(low), "end": float(high)}
        described.append({"label": channel, "color": colour, "active": True, "window": window})
    return {"omero": {"name": name, "channels": described, "rdefs": {"model": "color"}}}
