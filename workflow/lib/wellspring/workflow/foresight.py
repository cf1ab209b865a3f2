"""What an index reveals about results before any job runs: controls, lost sites, and the layout of treatments.

Each function takes tables with one row per plane of the index and returns sentences, none if nothing is to report.
"""

import dataclasses
import os
import posixpath
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from wellspring.index.readers import origin
from wellspring.io import object_store
from wellspring.io.keys import SITE_KEY, WELL_KEY
from wellspring.io.phrases import count
from wellspring.io.tables import schema as schema_of_table
from wellspring.screen import references
from wellspring.screen.config import schema
from wellspring.screen.platemap_columns import BLIND
from wellspring.screen.sections import Config, Profile
from wellspring.screen.spellings import placeholders, variants
from wellspring.screen.well_names import position

TREATMENT = ["Metadata_Compound", "Metadata_Concentration"]
SHOWN = 8  # pairs of names that a sentence lists
MOST = 0.9  # share of the treatments with one place, from which a plate is a layout of such places
AREAS = 0.9  # share of the treatments with an area of their own, from which a plate is a layout of areas
SHUFFLED = 200  # random layouts of the same wells, of which at most one may have as many such treatments
FEWEST = 3  # replicated treatments from which their places are called a layout


def too_few_controls(table: pd.DataFrame, options: Profile) -> list[str]:
    """Return that a plate will be left out for having fewer wells with images than `profile.min_controls`."""
    if options.normalise == "none":
        return []
    there = table["Metadata_Path"].notna() if "Metadata_Path" in table else pd.Series(False, index=table.index)
    imaged = table[there] if there.any() else table  # a screen of tables has no images
    chosen, what = imaged, "wells"
    if options.normalise_on == "negcon":
        chosen, what = imaged[imaged["Metadata_pert_type"] == "negcon"], "negative controls"
    count = chosen["Metadata_Well"].nunique()
    if count >= options.min_controls:
        return []
    return [f"will be left out: {count} of the {options.min_controls} {what} that profile.min_controls asks for"]


def too_many_lost(table: pd.DataFrame, limit: float) -> list[str]:
    """Return that a plate will be left out for sites without all of their files, more than `survey.max_excluded`."""
    whole = table["Metadata_Path"].notna().groupby([table[name] for name in SITE_KEY]).all()
    lost = int((~whole).sum())
    if not len(whole) or lost <= limit * len(whole):
        return []
    share = f"{lost} of {len(whole)} sites lack a file ({100 * lost / len(whole):.1f} %)"
    words = f"will be left out: {share}, survey.max_excluded is {100 * limit:.1f} %"
    return [f"{words} (wells never imaged: remove their rows from the platemap, or give them the type `empty`)"]


def shared_images(tables: Mapping[str, tuple[str, pd.DataFrame]]) -> list[str]:
    """Return which plates take the same images; ``tables`` is plate to its images in the sheet and its index."""
    owners: dict[tuple[str, int], list[str]] = {}
    for plate, (images, table) in tables.items():
        there = table[table["Metadata_Path"].notna()]
        folder = object_store.home(images)
        folder = folder if object_store.is_url(folder) else os.path.realpath(folder)
        for path, page in zip(there["Metadata_Path"], there["Metadata_Page"], strict=True):
            owners.setdefault((posixpath.join(folder, path), int(page)), []).append(plate)
    counts = Counter(tuple(plates) for plates in owners.values() if len(plates) > 1)
    return [
        f"expected images of one plate each, found {count} that the plates {', '.join(plates)} take (the column "
        "`images` of the sheet must name their own folders, or `acquisition` their measurements)"
        for plates, count in counts.items()
    ]


def crossed(rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return which rows of the sheet have a folder or a platemap with the name of another plate of the sheet."""
    plates = [str(row["plate"]) for row in rows]
    found = []
    for column, verb in (("images", "have"), ("platemap", "has")):
        for row in rows:
            own, place = str(row["plate"]), str(row[column])
            parts = (
                [PurePosixPath(place).stem]
                if column == "platemap"
                else origin.measurement((*origin.folders(f"{place}/x"),))
            )
            others = [name for name in plates if name != own and parts and _called(parts[-1], name)]
            others = [name for name in others if column == "images" or rows[plates.index(name)][column] != place]
            if others and not any(_called(part, own) for part in parts):
                found.append(
                    f"the {column} of {own} ({place}) {verb} the name of the plate {others[0]} of this sheet: are two "
                    "rows swapped?"
                )
    return found


def _called(part: str, plate: str) -> bool:
    """Return whether a folder or file has a plate's name: its whole name, or one of its words if that is no number."""
    part, plate = part.casefold(), plate.casefold()
    words = re.search(rf"(?<![a-z0-9]){re.escape(plate)}(?![a-z0-9])", part) is not None
    return part == plate or (words and not BLIND.fullmatch(plate))


def same_pixels(digests: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return which plates have the same pixels in the opened image of every channel; plate to channel to digest."""
    owners: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for plate, each in digests.items():
        if each:
            owners.setdefault(tuple(sorted(each.items())), []).append(plate)
    return [
        f"{', '.join(plates)} have the same pixels in the first image of each channel: is one folder a copy of another?"
        for plates in owners.values()
        if len(plates) > 1
    ]


def unknown_columns(tables: Sequence[pd.DataFrame], config: Config) -> list[str]:
    """Return the keys of the config that name a column which no plate and no profile has, with the nearest one."""
    known = {*schema_of_table("profile")["columns"]}.union(*(table.columns for table in tables))
    found = []
    for key, name in references.columns(dataclasses.asdict(config), schema()) if tables else ():
        if name not in known:
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.8)
            found.append(f"{key}: no plate has the column {name!r}" + (f" (did you mean {near[0]!r}?)" if near else ""))
    return found


def slips(tables: Sequence[pd.DataFrame]) -> list[str]:
    """Return names of compounds, mechanisms, targets and cell lines that may be slips, over all plates."""
    columns = {
        "Compound": "compound",
        "moa": "mechanism",
        "target": "target",
        "Cell_Line": "cell line",
        "Batch": "batch",
    }
    found = []
    for column, what in columns.items():
        name = f"Metadata_{column}"
        parts = [table.drop_duplicates(WELL_KEY)[name].dropna() for table in tables if name in table]
        counts = pd.concat(parts).astype(str).value_counts().to_dict() if parts else {}
        pairs = [
            f"{rare!r} ({count(counts[rare], 'well')}) and {usual!r} ({counts[usual]})"
            for rare, usual in variants(counts)
        ]
        if pairs:
            found.append(
                f"one {what} in two spellings? {'; '.join(pairs[:SHOWN])}: they count as two; correct one of them"
            )
        ours: tuple[str, ...] = ("unknown",) if column in ("Cell_Line", "Batch") else ()  # the default of these
        if column == "Compound":
            ours = _controls(tables)
        words = [f"{name!r} ({count(counts[name], 'well')})" for name in placeholders(counts) if name not in ours]
        if words:
            remedy = "or give these wells the type empty" if column == "Compound" else "as for those without one"
            found.append(f"{', '.join(words)} is read as the name of one {what}: empty the cells, {remedy}")
    return found


def _controls(tables: Sequence[pd.DataFrame]) -> tuple[str, ...]:
    """Return compounds of which all wells are negative controls: for these, a word like 'none' is meant."""
    rows = [table[["Metadata_Compound", "Metadata_pert_type"]].dropna() for table in tables]
    if not rows:
        return ()
    wells = pd.concat(rows)
    control = wells["Metadata_pert_type"].eq("negcon").groupby(wells["Metadata_Compound"]).all()
    return tuple(control.index[control].astype(str))


def one_place(tables: Sequence[pd.DataFrame]) -> list[str]:
    """Return that treatments coincide with positions: by row, column or area of a plate, or by well over the plates."""
    columns = [*WELL_KEY, *TREATMENT, "Metadata_pert_type"]
    parts = [table[columns].drop_duplicates(WELL_KEY) for table in tables if set(columns) <= set(table)]
    if not parts:
        return []
    wells = pd.concat(parts, ignore_index=True)
    wells = wells[wells["Metadata_pert_type"] == "trt"]
    if wells.empty:
        return []
    wells = wells.assign(Treatment=wells[TREATMENT].astype(str).agg("@".join, axis=1))
    wells["row"], wells["column"] = wells["Metadata_Well"].str[:-2], wells["Metadata_Well"].str[-2:]
    found = _lines(wells, "Treatment", "treatment")
    on_plate = wells[wells.duplicated(["Metadata_Plate", "Treatment"], keep=False)]
    areas = [str(plate) for plate, rows in on_plate.groupby("Metadata_Plate") if not found and _areas(rows)]
    if areas:
        found.append(f"each treatment fills a block of wells of its own on {', '.join(areas[:8])}")
    doses = wells.groupby(["Metadata_Plate", "Metadata_Compound"])["Metadata_Concentration"].transform("nunique")
    series = wells[doses >= FEWEST]
    if not found:
        found += _lines(series, "Metadata_Compound", "compound (with its concentrations)")
        found += _lines(series, "Metadata_Concentration", "concentration")
    repeated = wells.groupby("Treatment").filter(lambda rows: rows["Metadata_Plate"].nunique() > 1)
    places = repeated.groupby("Treatment")["Metadata_Well"].nunique()
    if len(places) >= FEWEST and (places == 1).mean() >= MOST:
        found.append(f"{_share(places == 1, 'treatment')} is in the same well on all of its plates")
    return [f"{words}: scores cannot separate treatment from position" for words in found]


def _lines(wells: pd.DataFrame, column: str, what: str) -> list[str]:
    """Return on which plates the values of a column that several wells have are in one row, or one column, each."""
    several, found = wells[wells.duplicated(["Metadata_Plate", column], keep=False)], []
    for axis in ("row", "column"):
        plates, shares = [], []
        for plate, rows in several.groupby("Metadata_Plate"):
            one = rows.groupby(column)[axis].nunique() == 1
            if len(one) >= FEWEST and rows[axis].nunique() > 1 and one.mean() >= MOST:
                plates.append(str(plate))
                shares.append(one)
        if plates:
            found.append(f"{_share(pd.concat(shares), what)} is in one {axis} only on {', '.join(plates[:8])}")
    return found


def _share(true: pd.Series, what: str) -> str:
    """Return `each`, or what share of the values, with their name."""
    return f"each {what}" if true.all() else f"nearly each {what} ({int(true.sum())} of {len(true)})"


def _areas(wells: pd.DataFrame) -> bool:
    """Return whether replicates of treatments lie together: in rectangles that hold no well of another treatment.

    `wells` are the replicated treated wells of a plate. Small plates have such rectangles by chance, so that random
    layouts of the same wells must not have as many.
    """
    treatment, names = pd.factorize(wells["Treatment"])
    if len(names) < FEWEST:
        return False
    places = np.array([position(name) for name in wells["Metadata_Well"]])
    count = _alone(treatment, places)
    if count < AREAS * len(names):
        return False
    rng = np.random.default_rng(0)
    return sum(_alone(rng.permutation(treatment), places) >= count for _ in range(SHUFFLED)) <= 1


def _alone(treatment: np.ndarray, places: np.ndarray) -> int:
    """Return how many treatments (n,) have a bounding box of their places (n, 2) without wells of others."""
    order = np.argsort(treatment, kind="stable")
    starts = np.flatnonzero(np.diff(treatment[order], prepend=-1))
    low, high = (find.reduceat(places[order], starts, axis=0) for find in (np.minimum, np.maximum))
    inside = ((places[:, None] >= low) & (places[:, None] <= high)).all(axis=2).sum(axis=0)
    return int((inside == np.bincount(treatment)).sum())
