"""Small pictures of wells for the map, as tiles on sheets, made of crops or binned views.

A tile shows four cells of the well, or one field where cells were not cropped, on the plate's own intensity scale, so
that wells of a plate can be compared. Many tiles share one picture file: it is a third smaller than a file each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io import packed
from wellspring.io.keys import WELL_KEY
from wellspring.io.ngff import PlateImages
from wellspring.io.packed import Packed
from wellspring.report import palette
from wellspring.report.gather import Record, Screen, pick

TILE = 64  # pixels
ACROSS = 16  # tiles per row and rows per sheet
BUDGET = 3_000_000  # bytes of the page for all tiles; fewer wells are shown where more would be needed
SCALE_VIEWS = 64  # views per plate and channel that set its intensity scale


def sheets(screen: Screen, among: pd.DataFrame, *, limit: int, seed: int = 0) -> Record:
    """Return pictures of at most `limit` of the wells `among` (Plate, Well), taken from the treatments in turn.

    Returns
    -------
    dict
        `size` and `across` of the tiles, `sheets` (data addresses), `of` ("plate well" to number), `what` is shown.
        Empty where there are neither crops nor views.
    """
    wells = chosen(screen, among, limit=limit, seed=seed)
    make = _of_cells if screen.crops else _of_fields
    tiles: dict[str, NDArray[np.uint8]] = {}
    for plate, mine in wells.groupby("Metadata_Plate", sort=True) if len(wells) else ():
        tiles |= {f"{plate} {well}": tile for well, tile in make(screen, plate, mine["Metadata_Well"].tolist()).items()}
    if not tiles:
        return {}
    names, each = list(tiles), ACROSS * ACROSS
    found = []
    for start in range(0, len(names), each):
        part = names[start : start + each]
        sheet = np.zeros((-(-len(part) // ACROSS) * TILE, ACROSS * TILE, 3), dtype=np.uint8)
        for place, name in enumerate(part):
            y, x = TILE * (place // ACROSS), TILE * (place % ACROSS)
            sheet[y : y + TILE, x : x + TILE] = tiles[name]
        found.append(palette.data_address(sheet, kind="JPEG", quality=72))
    weight = sum(map(len, found))
    if weight > BUDGET:
        return sheets(screen, among, limit=int(0.97 * len(names) * BUDGET / weight), seed=seed)
    what = "four cells of the well" if screen.crops else "one field of the well"
    numbers = {name: number for number, name in enumerate(names)}
    return {"size": TILE, "across": ACROSS, "sheets": found, "of": numbers, "what": what}


def chosen(screen: Screen, among: pd.DataFrame, *, limit: int, seed: int = 0) -> pd.DataFrame:
    """Return Plate and Well of at most `limit` random wells of those `among`, the treatments in turn."""
    if screen.wells.empty or among.empty or not (screen.crops or screen.view_files):
        return pd.DataFrame(columns=WELL_KEY)
    wells = screen.wells.merge(among[WELL_KEY].drop_duplicates(), on=WELL_KEY)
    order = np.random.default_rng(seed).permutation(len(wells))
    wells = wells.iloc[order].reset_index(drop=True)
    named = pick(wells, "Metadata_Perturbation").astype(object).where(lambda found: found.notna(), "not named")
    turn = named.astype(str).groupby(named.astype(str)).cumcount()
    return wells.loc[turn.sort_values(kind="stable").index[:limit], WELL_KEY].sort_values(WELL_KEY)


def _of_cells(screen: Screen, plate: str, wells: list[str]) -> dict[str, NDArray[Any]]:
    """Return well -> tile of four crops; a well with fewer leaves the rest black, one without is left out."""
    table = screen.crops.get(plate, pd.DataFrame())
    if table.empty or plate not in screen.crop_files:
        return {}
    crops = Packed(screen.crop_files[plate])
    scale = intensity(screen, plate)
    found, half = {}, TILE // 2
    for well, rows in table[table["Metadata_Well"].isin(wells)].groupby("Metadata_Well", sort=True):
        numbers = rows["Metadata_Row"].to_numpy(dtype=int)
        numbers = numbers[np.linspace(0, len(numbers) - 1, min(4, len(numbers))).round().astype(int)]
        tile = np.zeros((TILE, TILE, 3), dtype=np.uint8)
        for place, number in enumerate(numbers):
            image = on_all(screen, plate, crops.read(int(number))).astype(np.float64)
            low, high = scale or percentiles(image[None])
            y, x = half * (place // 2), half * (place % 2)
            tile[y : y + half, x : x + half] = palette.composite(square(image, half), low=low, high=high)
        found[str(well)] = tile
    return found


def _of_fields(screen: Screen, plate: str, wells: list[str]) -> dict[str, NDArray[Any]]:
    """Return well -> tile of the first site of which no image was left out."""
    if plate not in screen.view_files or screen.survey.empty:
        return {}
    survey = screen.survey
    kept = survey[(survey["Metadata_Plate"] == plate) & (survey["Metadata_Verdict"] == "keep")]
    views = packed.mapped(screen.view_files[plate])
    ends = {channel: scale_of(views, rows["Row"]) for channel, rows in kept.groupby("Metadata_Channel")}
    found = {}
    for well, rows in kept[kept["Metadata_Well"].isin(wells)].groupby("Metadata_Well", sort=True):
        site = rows[rows["Metadata_Site"] == rows["Metadata_Site"].iloc[0]].drop_duplicates("Metadata_Channel")
        row = site.set_index("Metadata_Channel")["Row"].to_dict()
        there = [channel for channel in screen.channels if channel in row and channel in ends]
        if there:
            image = np.asarray(views[[row[channel] for channel in there]], dtype=np.float64)
            low, high = np.array([ends[channel] for channel in there]).T
            found[str(well)] = palette.composite(square(image, TILE), low=low, high=high)
    return found


def square(image: NDArray[Any], size: int) -> NDArray[np.float64]:
    """Return the (C, size, size) float64 area means of an image's central square; small ones repeat pixels."""
    edge = min(image.shape[-2:])
    y, x = ((length - edge) // 2 for length in image.shape[-2:])
    centre = image[:, y : y + edge, x : x + edge]
    if edge < size:
        at = np.arange(size) * edge // size
        return centre[:, at][:, :, at].astype(np.float64)
    starts = np.linspace(0, edge, size + 1).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(centre.astype(np.float64), starts[:-1], axis=1), starts[:-1], axis=2)
    means: NDArray[np.float64] = sums / np.outer(np.diff(starts), np.diff(starts))
    return means


def panel(screen: Screen, plate: str) -> list[str]:
    """Return the channels of a plate, in the screen's order; all of them where they were not measured."""
    table = screen.intensity
    known = set(table.loc[table["Metadata_Plate"] == plate, "Metadata_Channel"]) if len(table) else set()
    return [name for name in screen.channels if name in known] or list(screen.channels)


def on_all(screen: Screen, plate: str, images: NDArray[Any]) -> NDArray[Any]:
    """Return images (..., c, H, W) of a plate's channels with those of the screen that it lacks, as zeros."""
    mine = panel(screen, plate)
    if images.shape[-3] == len(screen.channels) or images.shape[-3] != len(mine):
        return images
    return _placed(screen, mine, images)


def read(
    screen: Screen,
    images: PlateImages,
    well: str,
    site: str,
    *,
    rows: slice = slice(None),
    columns: slice = slice(None),
) -> NDArray[Any]:
    """Return a part of a field (C, H, W) with the channels of the screen; those that the plate lacks are zeros."""
    stored = [name for name in screen.channels if name in images.channels]
    return _placed(screen, stored, images.read(well, site, stored, rows=rows, columns=columns))


def _placed(screen: Screen, channels: Sequence[str], images: NDArray[Any]) -> NDArray[Any]:
    """Return images (..., c, H, W) of these channels as (..., C, H, W) of those of the screen, zeros for the others."""
    found = np.zeros((*images.shape[:-3], len(screen.channels), *images.shape[-2:]), dtype=images.dtype)
    found[..., [screen.channels.index(name) for name in channels], :, :] = images
    return found


def intensity(screen: Screen, plate: str) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the (C,) grey values of a plate that are shown as black and as full, None where they were not measured.

    A channel that the plate lacks has 0 and 1.
    """
    table = screen.intensity
    rows = table[table["Metadata_Plate"] == plate].set_index("Metadata_Channel") if len(table) else table
    if not set(screen.channels) & set(rows.index):
        return None
    rows = rows.reindex(list(screen.channels)).fillna({"low": 0.0, "high": 1.0})
    return rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float)


def scale_of(views: NDArray[Any], rows: pd.Series) -> tuple[float, float]:
    """Return the grey values that are shown black and white, of some of the views in `rows`."""
    numbers = rows.to_numpy(dtype=int)
    numbers = numbers[np.linspace(0, len(numbers) - 1, min(SCALE_VIEWS, len(numbers))).round().astype(int)]
    low, high = percentiles(np.asarray(views[numbers], dtype=np.float64)[:, None])
    return float(low[0]), float(high[0])


def percentiles(images: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the (C,) 1st and 99.8th percentiles of (n, C, H, W) images, missing pixels apart."""
    values = images.swapaxes(0, 1).reshape(images.shape[1], -1)
    return tuple(np.nanpercentile(values, part, axis=1) for part in (1, 99.8))


def words(sheet: Mapping[str, Any], wells: int) -> str:
    """Return the map's sentence about its pictures."""
    if not sheet:
        return "There are no pictures of the wells: no images were read in this run."
    many = len(sheet["of"])
    if many >= wells:
        return f"Its picture shows {sheet['what']}."
    return (
        f"Pictures show {sheet['what']}: of {many:,} wells, spread over the treatments; "
        "for another well one of the same treatment is shown, and named."
    )
