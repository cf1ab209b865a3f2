"""Pictures of the report, made of binned views and crops: data addresses with captions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io.keys import WELL_KEY
from wellspring.io.packed import Packed
from wellspring.report import palette, thumbnails, wording
from wellspring.report.gather import Record, Screen, pick

DYES = 3  # of a sample: with five, cells saturate to white; a treatment's panel has each channel


@dataclass(frozen=True)
class Picture:
    """One picture and its words."""

    address: str
    title: str
    lines: tuple[str, ...] = ()


def _kept(screen: Screen) -> pd.DataFrame:
    return screen.survey[screen.survey["Metadata_Verdict"] == "keep"] if len(screen.survey) else screen.survey


def bad_images(screen: Screen, *, limit: int) -> tuple[list[Picture], int]:
    """Return thumbnails of planes that were left out, spread over reasons and plates, and how many there are in all."""
    if screen.survey.empty:
        return [], 0
    bad = screen.survey[screen.survey["Metadata_Verdict"] != "keep"]
    kind = bad["Metadata_Reason"].fillna("").astype(str).map(wording.kinds)
    turn = bad.groupby([kind, "Metadata_Plate"]).cumcount()
    bad = bad.assign(Turn=turn, Place=bad.groupby([kind, turn]).cumcount())
    chosen = bad.sort_values(["Turn", "Place"], kind="stable").head(limit).sort_index()
    pictures = []
    for row in chosen.itertuples(index=False):
        found = row._asdict()
        place = " ".join(str(found[f"Metadata_{part}"]) for part in ("Plate", "Well"))
        where = f"site {found['Metadata_Site']}, {found['Metadata_Channel']}, plane {found['Metadata_Plane']}"
        reason = wording.worded(found["Metadata_Reason"] or "") or found["Metadata_Status"]
        pictures.append(Picture(_thumbnail(screen, found["Metadata_Plate"], found["Row"]), place, (str(reason), where)))
    return pictures, len(bad)


def _thumbnail(screen: Screen, plate: str, row: int) -> str:
    if plate not in screen.view_files:
        return ""
    view = Packed(screen.view_files[plate]).read(row)
    return palette.data_address(palette.grey(_small(np.asarray(view))), kind="JPEG") if np.isfinite(view).any() else ""


def _small(view: NDArray[Any], limit: int = 128) -> NDArray[Any]:
    step = max(1, -(-max(view.shape[-2:]) // limit))
    return view[..., ::step, ::step]


def treatments(screen: Screen, *, limit: int) -> list[tuple[str, pd.DataFrame]]:
    """Return (name, wells) of the treatments with samples: controls, then mechanisms, then compounds without one."""
    wells = screen.wells
    if wells.empty:
        return []
    kinds, groups = pick(wells, "Metadata_pert_type"), []
    for kind, name in (("negcon", "Negative control"), ("poscon", "Positive control")):
        groups += _named(wells[kinds == kind], "Metadata_Compound", f"{name}: ", limit=max(1, limit // 4))
    treated = wells[~kinds.isin(["negcon", "poscon", "empty"])]
    stated = pick(treated, "Metadata_moa").notna()
    groups += _named(treated[stated], "Metadata_moa", "", limit=limit)
    groups += _named(treated[~stated], "Metadata_Compound", "", limit=limit)
    return groups[:limit]


def _named(wells: pd.DataFrame, column: str, before: str, *, limit: int) -> list[tuple[str, pd.DataFrame]]:
    """Return (name, wells) of the first `limit` names in a column; a large screen has tens of thousands."""
    names = pick(wells, column).where(lambda found: found.notna(), "not named").astype(str)
    return [(f"{before}{name}", wells[names == name]) for name in sorted(set(names))[:limit]]


def samples(screen: Screen, *, groups: int, each: int, seed: int = 0) -> list[Record]:
    """Return one dict per treatment: its name and pictures of single cells, or of fields where there are no crops."""
    generator = np.random.default_rng(seed)
    kept, shown = pd.DataFrame() if screen.crops else _kept(screen), []
    sites = dict(list(kept.groupby(WELL_KEY))) if len(kept) else {}
    for name, wells in treatments(screen, limit=groups):
        keys = set(zip(wells["Metadata_Plate"], wells["Metadata_Well"], strict=True))
        if screen.crops:
            pictures = _cells(screen, keys, each, generator)
        else:
            pictures = _fields(screen, keys, sites, min(each, 3), generator)
        if pictures:
            shown.append({"name": name, "pictures": pictures, "wells": len(wells)})
    return shown


def _cells(screen: Screen, keys: set[tuple[str, str]], each: int, generator: np.random.Generator) -> list[Picture]:
    found = []
    for plate, table in screen.crops.items():
        if plate in screen.crop_files and len(table):
            mine = [key in keys for key in zip(table["Metadata_Plate"], table["Metadata_Well"], strict=True)]
            found.append(table[mine])
    rows = pd.concat(found, ignore_index=True) if found else pd.DataFrame()
    chosen = rows.iloc[np.sort(generator.permutation(len(rows))[:each])] if len(rows) else rows
    pictures = []
    for row in chosen.to_dict("records"):
        plate = row["Metadata_Plate"]
        crop = Packed(screen.crop_files[plate]).read(int(row["Metadata_Row"]))
        low, high = _window(screen, plate, crop)
        pixels = palette.composite(_small(np.asarray(crop))[:DYES], low=low[:DYES], high=high[:DYES])
        words = (f"site {row['Metadata_Site']}, cell {row['Metadata_Cell']}",)
        pictures.append(Picture(palette.data_address(pixels, kind="JPEG"), f"{plate} {row['Metadata_Well']}", words))
    return pictures


def _window(screen: Screen, plate: str, image: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the (C,) intensities shown as black and full: the plate's own scale, or the picture's percentiles."""
    scale = thumbnails.intensity(screen, plate)
    if scale is not None and len(scale[0]) == len(image):
        return scale
    return tuple(np.nanpercentile(image.reshape(len(image), -1).astype(float), part, axis=1) for part in (1, 99.8))


def _fields(
    screen: Screen,
    keys: set[tuple[str, str]],
    sites: Mapping[tuple[str, str], pd.DataFrame],
    each: int,
    generator: np.random.Generator,
) -> list[Picture]:
    """Return a random field of each of some random wells; `sites`: (plate, well) -> kept survey rows."""
    known = sorted(key for key in keys if key in sites and key[0] in screen.view_files)
    pictures = []
    for number in np.sort(generator.permutation(len(known))[:each]):
        plate, well = known[number]
        rows = sites[plate, well]
        site = generator.choice(np.unique(rows["Metadata_Site"]))
        first = (
            rows[rows["Metadata_Site"] == site].drop_duplicates("Metadata_Channel").set_index("Metadata_Channel")["Row"]
        )
        present = [channel for channel in screen.channels if channel in first.index]
        if present:
            views = Packed(screen.view_files[plate])
            image = views.take(first.loc[present[:DYES]])
            low, high = (np.nanpercentile(image.reshape(len(image), -1), part, axis=1) for part in (1, 99.8))
            pixels = palette.composite(_small(image), low=low, high=high)
            words = (f"site {site}",)
            pictures.append(Picture(palette.data_address(pixels, kind="JPEG"), f"{plate} {well}", words))
    return pictures
