"""Plate montages: one picture per plate and channel with the survey's binned view of every well in its position.

The picture begins at the first and ends at the last row and column with a well. A well is shown by one field, a kept
one if it has any. Black and white are the same in all wells of a picture, so that a dim row, an emptied well or a shade
across the plate stands out; they are written with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io import packed
from wellspring.report import naming, palette, plates, svg
from wellspring.report.gather import Screen
from wellspring.views import binning

WIDE = 576  # pixels of a picture: 48 per well of 96, 24 of 384, 12 of 1536; 75 to 105 kB of the page
DRAWN = 480  # width of a picture in units of the drawing
ENDS = (0.5, 99.8)  # percentiles of a plate's and channel's views that are shown black and white


@dataclass(frozen=True)
class Montage:
    """One plate in one channel: the drawing and its words."""

    plate: str
    channel: str
    drawing: str
    words: str


def montages(screen: Screen, *, limit: int) -> list[Montage]:
    """Return at most `limit` pictures, all channels of each plate that is shown."""
    found = []
    for plate in chosen(screen, limit=limit):
        rows = screen.survey[screen.survey["Metadata_Plate"] == plate]
        views = packed.mapped(screen.view_files[plate])
        for channel in screen.channels:
            mine = rows[rows["Metadata_Channel"] == channel]
            if len(mine):
                found.append(_montage(views, mine, plate=plate, channel=channel))
    return found


def chosen(screen: Screen, *, limit: int) -> list[str]:
    """Return the plates that are shown, in order: of too many those left out first, then by the share of bad images."""
    if screen.survey.empty or limit < 1:
        return []
    bad = (screen.survey["Metadata_Verdict"] != "keep").groupby(screen.survey["Metadata_Plate"]).mean()
    there = [plate for plate in screen.plates if plate in screen.view_files and plate in bad]
    worst = sorted(there, key=lambda plate: (plate in screen.kept, -bad[plate]))
    return sorted(worst[: max(1, limit // max(1, len(screen.channels)))], key=screen.plates.index)


def fields(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the row of a channel's survey that shows each well: kept, then by site, then the sharpest of a stack."""
    place = {site: number for number, site in enumerate(sorted(rows["Metadata_Site"].unique(), key=naming.natural))}
    order = pd.DataFrame(
        {
            "Unread": rows["Metadata_Status"] != "ok",
            "Out": rows["Metadata_Verdict"] != "keep",
            "Site": rows["Metadata_Site"].map(place),
            "Blur": -rows["sharpness"].astype(float),
        }
    )
    return rows.loc[order.sort_values(list(order), kind="stable").index].drop_duplicates("Metadata_Well").sort_index()


def picture(views: NDArray[Any], spots: list[tuple[int, int]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return grey values (H, W) float32 of `size` (rows, columns) wells, views (n, h, w) at `spots`, NaN elsewhere."""
    wide = min(views.shape[2], max(4, WIDE // size[1]))
    tall = max(4, round(wide * views.shape[1] / views.shape[2]))
    whole = np.full((size[0] * tall, size[1] * wide), np.nan, dtype=np.float32)
    for view, (row, column) in zip(views, spots, strict=True):
        whole[row * tall : (row + 1) * tall, column * wide : (column + 1) * wide] = _resized(view, (tall, wide))
    return whole


def _montage(views: NDArray[Any], rows: pd.DataFrame, *, plate: str, channel: str) -> Montage:
    shown = fields(rows)
    spots = np.array([plates.position(well) or (-1, -1) for well in shown["Metadata_Well"]])
    shown, spots = shown[spots[:, 0] >= 0], spots[spots[:, 0] >= 0]
    first, last = spots.min(axis=0), spots.max(axis=0)
    size = tuple((last - first + 1).tolist())
    spots = spots - first
    seen = (shown["Metadata_Status"] == "ok").to_numpy()
    whole = picture(np.asarray(views[shown.loc[seen, "Row"].to_numpy(dtype=int)]), spots[seen].tolist(), size)
    grey, words = np.zeros(whole.shape, dtype=np.uint8), "no image could be read"
    if seen.any():
        low, high = np.nanpercentile(whole, ENDS)
        grey = palette.grey(whole, low=low, high=high)
        words = f"black {low:,.0f}, white {high:,.0f} counts"
    bad = shown["Metadata_Well"].isin(rows.loc[rows["Metadata_Verdict"] != "keep", "Metadata_Well"]).to_numpy()
    words += f"; wells with an image left out: {bad.sum()}" if bad.any() else ""
    tall = DRAWN * whole.shape[0] / whole.shape[1]
    lines = [range(start, end + 1) for start, end in zip(first.tolist(), last.tolist(), strict=True)]
    body = plates.names(*lines, box=(20, 20, DRAWN, tall)) + _body(grey, size, spots, seen=seen, bad=bad, tall=tall)
    title = f"{channel} of plate {plate}, one field per well"
    return Montage(plate, channel, svg.document("".join(body), width=DRAWN + 24, height=tall + 24, title=title), words)


def _body(
    grey: NDArray[Any],
    size: tuple[int, int],
    spots: NDArray[Any],
    *,
    seen: NDArray[Any],
    bad: NDArray[Any],
    tall: float,
) -> list[str]:
    """Return the picture, lines between wells, paper where there is none, frames on bad ones, crosses on unseen."""
    step = (tall / size[0], DRAWN / size[1])
    box = f'x="20" y="20" width="{DRAWN}" height="{svg.place(tall)}"'
    there, line = set(map(tuple, spots.tolist())), svg.place(min(0.8, 0.04 * min(step)))
    bare = [place for place in np.ndindex(size) if place not in there]
    across = "".join(f"M20 {svg.place(20 + step[0] * row)}h{DRAWN}" for row in range(1, size[0]))
    down = "".join(f"M{svg.place(20 + step[1] * column)} 20v{svg.place(tall)}" for column in range(1, size[1]))
    address = palette.data_address(grey, kind="JPEG", quality=70)
    return [
        f'<image {box} href="{address}" preserveAspectRatio="none"/>',
        f'<path d="{across}{down}" stroke="{svg.PAPER}" stroke-width="{line}" fill="none"/>',
        _frames(bare, step, style=f'fill="{svg.PAPER}" stroke="{svg.PAPER}"'),
        plates.crosses(spots[~seen].tolist(), step=step, top=20),
        _frames(spots[bad].tolist(), step, style='fill="none" stroke="var(--bad, #b3261e)" stroke-width="1.5"'),
        f'<rect {box} fill="none" stroke="{svg.LINE}"/>',
    ]


def _frames(spots: Sequence[Sequence[int]], step: tuple[float, float], *, style: str) -> str:
    corners = [(20 + step[1] * column, 20 + step[0] * row) for row, column in spots]
    sides = f"h{svg.place(step[1])}v{svg.place(step[0])}h{svg.place(-step[1])}z"
    outline = "".join(f"M{svg.place(x)} {svg.place(y)}{sides}" for x, y in corners)
    return f'<path d="{outline}" {style}/>' if outline else ""


def _resized(view: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return a view at another size: area means where it is larger, repeated pixels where it is smaller."""
    if view.shape[0] >= shape[0] and view.shape[1] >= shape[1]:
        binned: NDArray[Any] = binning.bin_area(view, shape)
        return binned
    rows, columns = (np.arange(new) * old // new for new, old in zip(shape, view.shape, strict=True))
    repeated: NDArray[Any] = view[rows][:, columns]
    return repeated
