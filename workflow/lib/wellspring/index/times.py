"""Time points as a dimension: each time point of a plate's images becomes a plate of its own, with the same wells.

With ``index.timepoint: all`` a row of the sheet becomes one row per time point that its images have. The wells of a
time point are normalised on the controls of the same time point, and scores compare replicates of one time point
(``Metadata_Timepoint`` joins ``profile.group_by`` and ``evaluate.replicates_share``). All time points of a plate share
its light path.
"""

import json
import re
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import replace

from wellspring.io import object_store
from wellspring.io.keys import TIME
from wellspring.screen import sections

ALL = "all"  # value of `index.timepoint`
IMAGED = "imaged_plate"  # column of expanded rows: the plate as the sheet names it
FOUND = "WELLSPRING_TIMES"  # variable by which the main process gives its jobs the time points that it found
READ_BY = ("profile", "group_by"), ("evaluate", "replicates_share")
Row = Mapping[str, str]


def imaged(sheet: Mapping[str, object]) -> str:
    """Return the name that a plate's images and platemap have: that of its row before `expanded`."""
    return str(sheet.get(IMAGED) or sheet["plate"])


def chosen(sheet: Mapping[str, object], options: sections.Index) -> object:
    """Return the time point of a plate: its own in the sheet, or `index.timepoint`."""
    return sheet.get("timepoint") or options.timepoint


def expanded(
    rows: Sequence[Row],
    options: sections.Index,
    *,
    simulated: Sequence[str] = (),
    known: MutableMapping[str, str] | None = None,
    again: bool = True,
) -> list[dict[str, str]]:
    """Return the rows of the sheet, one per plate and time point where `index.timepoint` is `all`.

    A row with its own ``timepoint``, a simulated plate and one without images stay as they are. A new row has the name
    ``PLATE_T<time point>``, ``timepoint``, the light path of the plate, and the plate's name in ``imaged_plate``.

    Parameters
    ----------
    rows
        Rows of :func:`wellspring.screen.sheet.read`.
    simulated
        Plates that have no images yet.
    known
        Variables of the environment; what is found is noted there as ``FOUND``.
    again
        Whether folders are listed even if ``known`` has their time points.

    Raises
    ------
    ValueError
        A folder cannot be read, two rows get the same name.
    """
    if options.timepoint != ALL:
        return [dict(row) for row in rows]
    noted: dict[str, list[str]] = json.loads((known or {}).get(FOUND, "{}"))
    found: dict[str, list[str]] = {}
    result = []
    for row in rows:
        plate = row["plate"]
        if plate in simulated or not row["images"] or row.get("timepoint"):
            result.append(dict(row))
            continue
        key = f"{plate} {row['images']}"
        found[key] = noted[key] if key in noted and not again else times(row, options)
        result += [_at(row, time) for time in found[key]]
    if known is not None:
        known[FOUND] = json.dumps(found)
    names = [row["plate"] for row in result]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(
            f"index.timepoint: expected names that differ for all plates and time points, found {doubled} more than "
            "once (give the plates other names in the sheet)"
        )
    return result


def times(row: Row, options: sections.Index) -> list[str]:
    """Return the time points of a plate's images, as the files name them, in their order."""
    # Here, since it imports the libraries of all formats, which no other start of Snakemake needs.
    from wellspring.index.readers import detect

    images, plate = object_store.plain(row["images"]), row["plate"]
    acquisition = row.get("acquisition") or options.acquisition
    own = None if acquisition is None else str(acquisition).replace("{plate}", plate)
    planes = detect.planes(images, plate=plate, options=replace(options, acquisition=own))
    return sorted(planes["timepoint"].astype(str).unique(), key=lambda time: (len(time), time))


def _at(row: Row, time: str) -> dict[str, str]:
    label = re.sub(r"[^A-Za-z0-9]+", "-", time).strip("-") or "0"
    return {**row, "plate": f"{row['plate']}_T{label}", "timepoint": time, IMAGED: row["plate"]}


def grouped(config: Mapping[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """Return the sections of a complete config that compare wells by time point, where `index.timepoint` is `all`."""
    result: dict[str, dict[str, object]] = {}
    if config["index"]["timepoint"] != ALL:
        return result
    for section, key in READ_BY:
        columns = config[section][key]
        listed = list(columns) if isinstance(columns, list | tuple) else []
        result[section] = {**config[section], key: list(dict.fromkeys([*listed, TIME]))}
    return result
