"""Doubts about a screen: keys of the config without effect, and what config, sheet and platemaps state differently.

Each function returns sentences, none if nothing is to report.
"""

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.index.readers import loaddata
from wellspring.io import object_store
from wellspring.io.phrases import listed
from wellspring.screen import stain_names
from wellspring.screen.platemap import Reading
from wellspring.screen.sections import Config, Index

logger = logging.getLogger(__name__)
SHOWN = 5  # names that a sentence lists
ANNOTATIONS = {"Metadata_moa": "mechanisms", "Metadata_target": "targets"}
SEVERAL = 0.1  # share of the larger of two plates' images by which their size may differ: a few rows of a crop


def of_keys(config: Config, rows: Sequence[Mapping[str, object]], readings: Sequence[Reading]) -> list[str]:
    """Return which keys of the section `index` swap two channels or have no effect; ``rows`` are those of the sheet."""
    options, found = config.index, []
    for name, other in stain_names.swapped(config.channels, options.channels):
        found.append(
            f"index.channels: {name} takes the channel that the files call {options.channels[name]!r}, which is the "
            f"name or the stain of {other}: are the two swapped?"
        )
    for root in options.roots:
        if not object_store.is_url(root) and not Path(root).is_dir():
            found.append(f"index.roots: expected a folder, found none at {root!r} (correct or remove it)")
    return [*found, *_types(options, readings), *_moved(options, rows)]


def _types(options: Index, readings: Sequence[Reading]) -> list[str]:
    """Return the words of `index.pert_types` that no platemap has in its column of types."""
    known = {word for reading in readings for word in reading.types}
    unused = sorted(set(options.pert_types) - known)
    if not unused or not readings:
        return []
    there = f"types are {sorted(known)[:10]}" if known else "none has a column of types (set index.columns.pert_type)"
    return [f"index.pert_types: no platemap has the types {unused[:SHOWN]}, {there}: correct or remove them"]


def _moved(options: Index, rows: Sequence[Mapping[str, object]]) -> list[str]:
    """Return the folders of `index.moved` that no LoadData table names, and the new ones that do not exist."""
    if not options.moved:
        return []
    unused, new = set(options.moved), dict.fromkeys(options.moved.values())
    for row in rows:
        try:
            unused &= loaddata.unused(str(row["images"]), plate=str(row["plate"]), options=options)
        except (ValueError, OSError) as error:  # a problem of the plate, which has its own line
            logger.info("%s: %s", row["plate"], error)
            unused.clear()
    words = "is the beginning of no path in the LoadData tables: write the folder as the tables do, or remove it"
    found = [f"index.moved: {old!r} {words}" for old in sorted(unused)]
    lost = [
        place
        for place in new
        if not object_store.is_url(place)
        and not any(Path(place.replace("{plate}", str(row["plate"]))).exists() for row in rows)
    ]
    return found + [f"index.moved: expected a folder, found none at {place!r} (correct or remove it)" for place in lost]


def annotations(readings: Sequence[Reading]) -> list[str]:
    """Return compounds with several mechanisms or targets, or with one in some wells and none in others."""
    found = []
    for column, what in ANNOTATIONS.items():
        parts = [
            each.frame.loc[each.frame["Metadata_pert_type"].isin(["trt", "poscon"]), ["Metadata_Compound", column]]
            for each in readings
        ]
        if not parts:
            continue
        values = pd.concat(parts).groupby("Metadata_Compound")[column].unique()
        texts = {str(name): [str(value) for value in some if not pd.isna(value)] for name, some in values.items()}
        several = [f"{name} ({', '.join(some[:SHOWN])})" for name, some in texts.items() if len(some) > 1]
        gaps = [str(name) for name, some in values.items() if len(some) > 1 and len(texts[str(name)]) == 1]
        if several:
            found.append(
                f"compounds with several {what}: {listed(several, SHOWN)}; each well counts for its own: make "
                "them agree"
            )
        if gaps:
            found.append(
                f"compounds with {what} in some wells and none in others: {listed(gaps, SHOWN)}; fill in the "
                "empty cells"
            )
    return found


def cell_lines(rows: Sequence[Mapping[str, object]], readings: Sequence[Reading]) -> list[str]:
    """Return plates whose sheet and platemap name different cell lines; that of the platemap is taken."""
    stated = {str(row["plate"]): str(row.get("cell_line") or "unknown") for row in rows}
    found = []
    for each in readings:
        own = sorted(each.frame["Metadata_Cell_Line"].dropna().unique())
        line = stated.get(each.plate, "unknown")
        if own and line not in (*own, "unknown"):
            found.append(
                f"{each.plate}: the sheet has the cell line {line!r}, the platemap {own[:SHOWN]}, which is taken: "
                "correct one of them"
            )
    return found


def sizes(of_plates: Mapping[str, tuple[int, int]]) -> list[str]:
    """Return that the images of plates, name to height and width, differ in size, as by another binning."""
    areas = {form: form[0] * form[1] for form in of_plates.values()}
    if not areas or min(areas.values()) >= (1 - SEVERAL) * max(areas.values()):
        return []
    names = {form: [plate for plate, own in of_plates.items() if own == form] for form in areas}
    parts = [f"{height} x {width} ({listed(names[height, width], SHOWN)})" for height, width in sorted(areas)]
    return [
        f"the plates have images of different sizes: {', '.join(parts)}: with another binning or objective their cells "
        "have other sizes in pixels, and features differ by plate"
    ]


def lengths(config: Config, unscaled: Sequence[str]) -> list[str]:
    """Return which lengths are in micrometres, though the images of the plates `unscaled` state no pixel size."""
    cells, cellpose = config.cells, config.cells.cellpose.diameters
    given = {"cells.nucleus_diameter": cells.nucleus_diameter}
    if cells.method == "cellpose":
        given |= {f"cells.cellpose.diameters.{key}": value for key, value in dataclasses.asdict(cellpose).items()}
    keys = [key for key, value in given.items() if value is not None] if cells.unit == "um" and cells.activate else []
    if config.crops.unit == "um" and any(entry.view.kind == "cell" for entry in config.encoders.values()):
        keys.append("crops.size")
    if not keys or not unscaled or config.survey.pixel_size:
        return []
    return [
        f"{listed(keys)} in um: the images of {listed(unscaled, SHOWN)} state no pixel size; set survey.pixel_size "
        "(micrometres per pixel), or write the length in px"
    ]
