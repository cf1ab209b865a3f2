"""Check the ready-made crops of a plate before any job: their table, files, wells, sizes and types."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wellspring.cells.ready import pack
from wellspring.cells.ready.listing import Listing
from wellspring.cells.ready.pixels import Crops, is_file
from wellspring.cells.ready.settings import Settings
from wellspring.io import raw_image
from wellspring.workflow.finding import Finding, message
from wellspring.workflow.plate_check import Plate

OPENED = 2000  # crops of a plate that are opened, spread over its table
SHOWN = 5  # crops, wells or plates that a finding names


def plates(sheet: Sequence[Mapping[str, object]], checked: Sequence[Plate], config: Mapping[str, Any]) -> list[Finding]:
    """Return the findings of all plates; ``checked`` are those of their platemaps, ``config`` is complete."""
    settings = Settings.of(config)
    found, owners = [], dict[Path, list[str]]()
    for row, one in zip(sheet, checked, strict=True):
        what = f"crops of {one.name}"
        try:
            listed, pixels = pack.opened(settings, str(row["images"]), one.name)
        except Exception as error:  # whatever a reader raises is a problem of the plate
            found.append(Finding("problem", what, message(error)))
            continue
        if not listed.by_plate:
            owners.setdefault(listed.table.resolve(), []).append(one.name)
        found += [Finding(grade, what, words) for grade, words in _plate(listed, pixels, one, settings)]
    for table, names in owners.items():
        if len(names) > 1:
            words = (
                f"{table}: expected a column of plates in a table of the plates {', '.join(names[:SHOWN])}, found none"
            )
            found.append(Finding("problem", "crops", words))
    return found


def _plate(listed: Listing, pixels: Crops, one: Plate, settings: Settings) -> list[tuple[Any, str]]:
    found = _wells(listed, one, settings)
    rows = listed.rows
    if listed.array is None:
        lost = [name for files in rows["files"] if (name := _absent(pixels.folder, files)) is not None]
        if lost:
            words = f"{len(lost)} of {len(rows)} crops have no file: {', '.join(map(repr, lost[:SHOWN]))}"
            found.append(("warning", words + _left_out(len(lost), len(rows), settings)))
    forms: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(OPENED, len(rows))).astype(int))
    for number in chosen.tolist():
        files, item = rows["files"].iloc[number], int(rows["item"].iloc[number])
        try:
            crop = pixels.read(files, item)
            forms[f"{crop.shape[1]} x {crop.shape[2]} px {crop.dtype}"] += 1
            pack.middle(crop, settings.edge)
        except raw_image.PlaneError as error:
            if error.status != "missing" or listed.array is not None:
                wrong.setdefault(error.status, []).append(str(error))
    for status, some in wrong.items():
        grade = "problem" if len(some) == len(chosen) else "warning"
        text = f"{len(some)} of {len(chosen)} opened crops are left out ({status}): {some[0]}"
        found.append((grade, text + _left_out(len(some), len(chosen), settings)))
    if len(forms) > 1:
        found.append(("warning", f"expected crops of one size and type, found {dict(forms.most_common())}"))
    sites = len(rows[["Metadata_Well", "Metadata_Site"]].drop_duplicates())
    if not any(grade == "problem" for grade, _ in found) and forms:
        words = f"{len(rows):,} crops of {rows['Metadata_Well'].nunique()} wells and {sites:,} sites"
        found.append(("ok", f"{words}: {forms.most_common(1)[0][0]}, {', '.join(settings.order)}"))
    return found


def _wells(listed: Listing, one: Plate, settings: Settings) -> list[tuple[Any, str]]:
    """Compare the wells of the crops with those of the platemap."""
    if one.wells is None:
        return []
    found: list[tuple[Any, str]] = []
    frame = one.wells.frame
    mapped, cropped = set(frame["Metadata_Well"]), set(listed.rows["Metadata_Well"])
    try:
        pack.known(listed.rows, sorted(mapped), settings.lost_wells, str(listed.table))
    except ValueError as error:
        found.append(("problem", str(error)))
    bare = sorted(mapped - cropped - set(frame.loc[frame["Metadata_pert_type"] == "empty", "Metadata_Well"]))
    if bare:
        found.append(("warning", f"{len(bare)} wells of the platemap have no crops: {', '.join(bare[:10])}"))
    controls = set(frame.loc[frame["Metadata_pert_type"] == "negcon", "Metadata_Well"])
    if controls and not controls & cropped:
        found.append(("warning", "no well of a negative control has crops: the plate will be left out"))
    return found


def _absent(folder: Path, files: tuple[str, ...]) -> str | None:
    """Return the first file of a crop that does not exist, or None."""
    return next((name for name in files if not name or not is_file(folder / name)), None)


def _left_out(lost: int, of: int, settings: Settings) -> str:
    """Return that the plate will be left out, if so many of its crops are lost."""
    if lost <= settings.max_excluded * of:
        return ""
    return f" (the plate will be left out: survey.max_excluded is {100 * settings.max_excluded:g} %)"
