"""Pictures of the report: binned views, illumination fields and crops in, data addresses with their captions out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from wellspring.report import palette, thumbnails
from wellspring.report.gather import Screen, pick

LIGHTS = 40  # light paths and channels with pictures: 15 kB of the page each
SAMPLE = 400  # views a plate and channel in the mean before and after: more change it by less than a grey level


@dataclass(frozen=True)
class Picture:
    """One picture and its words."""

    address: str
    title: str
    lines: tuple[str, ...] = ()


def bin_to(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return (h, w) float64 area means of an (H, W) field at the size of the binned views."""
    if field.size == 1:  # an even light path without usable fields
        return np.full(size, float(field[0, 0]))
    edges = [
        np.linspace(0, length, parts + 1).round().astype(int)[:-1]
        for length, parts in zip(field.shape, size, strict=True)
    ]
    sums = np.add.reduceat(np.add.reduceat(field.astype(np.float64), edges[0], axis=0), edges[1], axis=1)
    counts = [np.diff([*edge, length]) for edge, length in zip(edges, field.shape, strict=True)]
    return sums / np.outer(*counts)


def light_paths(screen: Screen) -> dict[str, list[str]]:
    """Return light path -> its plates, by the sheet's column `optics` (the plate itself where it is not given)."""
    rows = screen.sheet
    optics = pick(rows, "optics").where(lambda found: found.notna() & (found.astype(str) != ""), rows["plate"])
    known = dict(zip(rows["plate"].astype(str), optics.astype(str), strict=True))
    paths: dict[str, list[str]] = {}
    for plate in screen.plates:
        paths.setdefault(known.get(plate, plate), []).append(plate)
    return paths


def mean_view(screen: Screen, plates: Sequence[str], rows: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Return the (h, w) mean of binned views over plates, `rows` of each evenly thinned; None without any."""
    total, count = None, 0
    for plate in plates:
        if plate not in screen.view_files or plate not in rows:
            continue
        chosen = rows[plate]
        if len(chosen) > SAMPLE:
            chosen = chosen[np.linspace(0, len(chosen) - 1, SAMPLE).round().astype(int)]
        views = np.load(screen.view_files[plate], mmap_mode="r", allow_pickle=False)[chosen]
        good = views[np.isfinite(views).all(axis=(1, 2))].astype(np.float64)
        if len(good) and (total is None or total.shape == good.shape[1:]):
            total, count = good.sum(axis=0) + (0 if total is None else total), count + len(good)
    return None if total is None else total / count


def illumination(screen: Screen, *, limit: int = LIGHTS) -> list[dict]:
    """Return one dict a light path and channel: method, fields, residuals, and pictures before, flat, after.

    Of more than `limit` those with the largest residuals have pictures.
    """
    paths, rows, kept = light_paths(screen), [], _kept(screen)
    views = {channel: {} for channel in screen.channels}
    if len(kept):
        for (channel, plate), found in kept.groupby(["Metadata_Channel", "Metadata_Plate"], sort=True)["Row"]:
            views.setdefault(channel, {})[plate] = found.to_numpy(dtype=int)
    for optics, path in screen.illumination.items():
        with np.load(path, allow_pickle=False) as stored:
            fields = {name: stored[name] for name in stored.files if name not in ("flat", "dark")}
        for number, channel in enumerate(fields["channel"].astype(str)):
            row = {"optics": optics, "channel": channel, "method": str(np.ravel(fields["method"])[0])}
            row["fields"] = int(np.ravel(fields["fields"])[min(number, fields["fields"].size - 1)])
            for name in ("residual_before", "residual_after"):
                row[name] = float(np.ravel(fields[name])[number]) if name in fields else float("nan")
            rows.append(row)
    worst = sorted(range(len(rows)), key=lambda place: -np.nan_to_num(rows[place]["residual_after"]))[:limit]
    for place, row in enumerate(rows):
        row["pictures"] = []
        if place in worst:
            before = mean_view(screen, paths.get(row["optics"], [row["optics"]]), views.get(row["channel"], {}))
            row["pictures"] = _before_and_after(screen.illumination[row["optics"]], row["channel"], before)
    return rows


def _kept(screen: Screen) -> pd.DataFrame:
    return screen.survey[screen.survey["Metadata_Verdict"] == "keep"] if len(screen.survey) else screen.survey


def _before_and_after(path: Path, channel: str, before: np.ndarray | None) -> list[Picture]:
    with np.load(path, allow_pickle=False) as fields:
        number = fields["channel"].astype(str).tolist().index(channel)
        flat, dark = fields["flat"][number], fields["dark"][number]
    size = before.shape if before is not None else tuple(min(length, 64) for length in flat.shape)
    flat, dark = bin_to(flat, size), bin_to(dark, size)
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


def bad_images(screen: Screen, *, limit: int) -> tuple[list[Picture], int]:
    """Return thumbnails of planes that were left out, spread over reasons and plates, and how many there are in all."""
    if screen.survey.empty:
        return [], 0
    bad = screen.survey[screen.survey["Metadata_Verdict"] != "keep"]
    kind = bad["Metadata_Reason"].fillna("").astype(str).str.split(":").str[0]  # what follows is of the image alone
    turn = bad.groupby([kind, "Metadata_Plate"]).cumcount()
    bad = bad.assign(Turn=turn, Place=bad.groupby([kind, turn]).cumcount())
    chosen = bad.sort_values(["Turn", "Place"], kind="stable").head(limit).sort_index()
    pictures = []
    for row in chosen.itertuples(index=False):
        found = row._asdict()
        place = " ".join(str(found[f"Metadata_{part}"]) for part in ("Plate", "Well"))
        where = f"site {found['Metadata_Site']}, {found['Metadata_Channel']}, plane {found['Metadata_Plane']}"
        reason = found["Metadata_Reason"] or found["Metadata_Status"]
        pictures.append(Picture(_thumbnail(screen, found["Metadata_Plate"], found["Row"]), place, (str(reason), where)))
    return pictures, len(bad)


def _thumbnail(screen: Screen, plate: str, row: int) -> str:
    if plate not in screen.view_files:
        return ""
    view = np.load(screen.view_files[plate], mmap_mode="r", allow_pickle=False)[row]
    return palette.data_address(palette.grey(_small(np.asarray(view))), kind="JPEG") if np.isfinite(view).any() else ""


def _small(view: np.ndarray, limit: int = 128) -> np.ndarray:
    step = max(1, -(-max(view.shape[-2:]) // limit))
    return view[..., ::step, ::step]


def treatments(screen: Screen, *, limit: int) -> list[tuple[str, pd.DataFrame]]:
    """Return (name, wells) of what samples are shown of: controls, then mechanisms, then compounds without one."""
    wells = screen.wells
    if wells.empty:
        return []
    kinds, groups = pick(wells, "Metadata_pert_type"), []
    for kind, name in (("negcon", "Negative control"), ("poscon", "Positive control")):
        groups += _named(wells[kinds == kind], "Metadata_Compound", f"{name}: ")[: max(1, limit // 4)]
    treated = wells[~kinds.isin(["negcon", "poscon", "empty"])]
    stated = pick(treated, "Metadata_moa").notna()
    groups += _named(treated[stated], "Metadata_moa", "") + _named(treated[~stated], "Metadata_Compound", "")
    return groups[:limit]


def _named(wells: pd.DataFrame, column: str, before: str) -> list[tuple[str, pd.DataFrame]]:
    names = pick(wells, column).where(lambda found: found.notna(), "not named").astype(str)
    return [(f"{before}{name}", wells[names == name]) for name in sorted(set(names))]


def samples(screen: Screen, *, groups: int, each: int, seed: int = 0) -> list[dict]:
    """Return one dict a treatment: its name and pictures of single cells, or of fields where there are no crops."""
    generator = np.random.default_rng(seed)
    kept, shown = pd.DataFrame() if screen.crops else _kept(screen), []
    sites = dict(list(kept.groupby(["Metadata_Plate", "Metadata_Well"]))) if len(kept) else {}
    for name, wells in treatments(screen, limit=groups):
        keys = set(zip(wells["Metadata_Plate"], wells["Metadata_Well"], strict=True))
        if screen.crops:
            pictures = _cells(screen, keys, each, generator)
        else:
            pictures = _fields(screen, keys, sites, min(each, 3), generator)
        if pictures:
            shown.append({"name": name, "pictures": pictures, "wells": len(wells)})
    return shown


def _cells(screen: Screen, keys: set, each: int, generator: np.random.Generator) -> list[Picture]:
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
        crop = np.load(screen.crop_files[plate], mmap_mode="r", allow_pickle=False)[int(row["Metadata_Row"])]
        low, high = _window(screen, plate, crop)
        pixels = palette.composite(_small(np.asarray(crop)), low=low, high=high)
        words = (f"site {row['Metadata_Site']}, cell {row['Metadata_Cell']}",)
        pictures.append(Picture(palette.data_address(pixels, kind="JPEG"), f"{plate} {row['Metadata_Well']}", words))
    return pictures


def _window(screen: Screen, plate: str, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (C,) intensities shown as black and full: the plate's own scale, or the picture's percentiles."""
    scale = thumbnails.intensity(screen, plate)
    if scale is not None and len(scale[0]) == len(image):
        return scale
    return tuple(np.nanpercentile(image.reshape(len(image), -1).astype(float), part, axis=1) for part in (1, 99.8))


def _fields(screen: Screen, keys: set, sites: Mapping, each: int, generator: np.random.Generator) -> list[Picture]:
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
            views = np.load(screen.view_files[plate], mmap_mode="r", allow_pickle=False)
            image = views[first.loc[present].to_numpy(dtype=int)]
            low, high = (np.nanpercentile(image.reshape(len(image), -1), part, axis=1) for part in (1, 99.8))
            pixels = palette.composite(_small(image), low=low, high=high)
            words = (f"site {site}",)
            pictures.append(Picture(palette.data_address(pixels, kind="JPEG"), f"{plate} {well}", words))
    return pictures
