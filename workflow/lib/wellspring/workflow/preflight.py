"""Check whether a screen can run, before any job starts.

Each plate is checked by :mod:`wellspring.workflow.plate_check`: by the code of the rule `index`, which opens an image
per channel.
Nothing is written. All problems are collected, so that one check shows all of them.
"""

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from wellspring.screen import config_checks, treatments
from wellspring.screen.encoder_kinds import needs_images, ready_made, trains
from wellspring.screen.platemap import Reading
from wellspring.screen.sections import Config, Index
from wellspring.workflow import disk_space, doubts, foresight, ready_crops
from wellspring.workflow.encoder_check import foreign, networks, own_networks, trained
from wellspring.workflow.finding import Finding, message
from wellspring.workflow.plate_check import Plate, plate
from wellspring.workflow.platemap_words import described, doubtful_controls, lacking_controls, merged, without_doses

# Keys by which platemaps are read, and by which images are listed: all others of the section.
WELLS = tuple(f"index.{key}" for key in ("columns", "pert_types", "negcon", "poscon", "unit"))
IMAGES = tuple(key for key in (f"index.{field.name}" for field in dataclasses.fields(Index)) if key not in WELLS)


def run(
    sheet: Sequence[Mapping[str, object]],
    *,
    config: Config,
    results: str | Path,
    simulated: Sequence[str] = (),
    processes: int = 1,
    unknown: Collection[str] = (),
) -> list[Finding]:
    """Check a screen.

    Parameters
    ----------
    sheet
        Rows of the plate sheet.
    config
        The complete config.
    results
        The folder of the results; it need not exist.
    simulated
        Plates that the workflow simulates, which have no images yet.
    processes
        Number of plates that are checked in parallel.
    unknown
        Keys that were removed from the config because they are wrong: what depends on them is not checked.
    """
    given = [row for row in sheet if row["plate"] not in simulated]
    ready = needs_images(config.encoders) and ready_made(config.crops)
    seen = not any(key == "channels" or key == "index" or key.startswith(IMAGES) for key in unknown)
    mapped = not any(key == "index" or key.startswith(WELLS) for key in unknown)
    rows = [{**row, "images": ""} for row in given] if ready or not seen else given
    needed = config.profile.normalise_on == "negcon"
    look = partial(plate, channels=config.channels, options=config.index, controls=needed, mapped=mapped)
    if processes > 1 and len(rows) > 1:
        with ProcessPoolExecutor(min(processes, len(rows))) as pool:
            plates = list(pool.map(look, rows))
    else:
        plates = [look(row) for row in rows]
    found = [Finding("ok", f"plate {name}", "simulated by this workflow") for name in simulated]
    found += of_plates(plates)
    checks: list[tuple[str, Callable[[], list[Finding]]]] = []
    if ready and seen and mapped:
        checks.append(("crops", lambda: ready_crops.plates(given, plates, dataclasses.asdict(config))))
    if mapped:
        checks.append(("layout", lambda: foreseen(plates, config=config, columns=not unknown)))
        checks.append(("config", lambda: _doubtful(rows, plates, config)))
    names = [str(row["plate"]) for row in sheet]
    checks += [
        ("images", lambda: _same(rows, plates)),
        ("weights", lambda: trained(config)),
        ("encoders", lambda: networks(config)),
        ("encoders", lambda: own_networks(config)),
        ("encoders", lambda: foreign(config, names)),
        ("disk", lambda: room(plates, config=config, results=Path(results))),
        ("GPU", lambda: gpu(config)),
    ]
    if not unknown:
        words = config_checks.unknown_channels(config)
        checks.append(("cells", lambda: [Finding("warning", "cells will fail", text) for text in words]))
        unscaled = [one.name for one in plates if not one.scaled]
        checks.append(
            ("lengths", lambda: [Finding("problem", "lengths", text) for text in doubts.lengths(config, unscaled)])
        )
        differ = config_checks.two_thresholds(config)
        checks.append(("thresholds", lambda: [Finding("warning", "thresholds", text) for text in differ]))
    for what, check in checks:
        found += _tried(what, check)
    return found


def _tried(what: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return the findings of a check; whatever it raises is a problem, so that the other checks are made."""
    try:
        return check()
    except Exception as error:
        return [Finding("problem", what, f"cannot be checked: {message(error)}")]


def _same(rows: Sequence[Mapping[str, object]], plates: Sequence[Plate]) -> list[Finding]:
    """Find plates that take the same files or the same pixels, or whose folder is named as another plate."""
    taken = {
        one.name: (str(row["images"]), one.table)
        for row, one in zip(rows, plates, strict=True)
        if row["images"] and one.table is not None
    }
    found = [Finding("problem", "plates", text) for text in foresight.shared_images(taken)]
    found += [Finding("warning", "plates", text) for text in foresight.crossed(rows)]
    digests = {one.name: one.digests for one in plates}
    return found + [Finding("warning", "images", text) for text in foresight.same_pixels(digests)]


def _doubtful(rows: Sequence[Mapping[str, object]], plates: Sequence[Plate], config: Config) -> list[Finding]:
    """Find keys without effect, and what config, sheet and platemaps state differently."""
    readings = [one.wells for one in plates if one.wells is not None]
    imaged = [row for row in rows if row["images"]]
    found = [Finding("warning", "config", text) for text in doubts.of_keys(config, imaged, readings)]
    found += [Finding("warning", "treatments", text) for text in doubts.annotations(readings)]
    found += [Finding("warning", "cell lines", text) for text in doubts.cell_lines(rows, readings)]
    forms = {one.name: (one.size.height, one.size.width) for one in plates if one.size is not None}
    return found + [Finding("warning", "images", text) for text in doubts.sizes(forms)]


def of_plates(plates: Sequence[Plate]) -> list[Finding]:
    """Return how the platemaps were read, those that are alike together, and the findings of each plate."""
    read = described([one.wells for one in plates if one.wells is not None])
    found = [Finding("ok", f"platemap of {names}", words) for names, words in read]
    return found + [finding for one in plates for finding in one.findings]


def foreseen(plates: Sequence[Plate], *, config: Config, columns: bool = True) -> list[Finding]:
    """Find plates that will be left out, unknown columns, and layouts in which treatment and position coincide.

    Without `columns` those that the config names are not looked for.
    """
    found, tables = [], [one.table for one in plates if one.table is not None]
    for one in plates:
        if one.table is not None:
            words = foresight.too_few_controls(one.table, config.profile)
            words += foresight.too_many_lost(one.table, config.survey.max_excluded) if one.size else []
            found += [Finding("warning", f"profiles of {one.name}", text) for text in words]
    lost = [one for one in plates if one.table is not None and _left_out(one, found)]
    if lost and len(lost) == len(plates):
        ending = "all will be left out, as above: no scores and no hits, and the run will end with an error"
        found.append(Finding("problem", "plates", ending))
    found += screen_wide([one.wells for one in plates if one.wells is not None], config)
    grade: Literal["warning", "problem"] = "problem" if len(tables) == len(plates) else "warning"
    unknown = foresight.unknown_columns(tables, config) if columns else []
    found += [Finding(grade, "column", text) for text in unknown]
    found += [Finding("warning", "names", text) for text in foresight.slips(tables)]
    return found + [Finding("warning", "layout", text) for text in foresight.one_place(tables)]


def _left_out(one: Plate, foreseen: Sequence[Finding]) -> bool:
    """Return whether a plate has a warning that it will be left out."""
    profiles = [each for each in foreseen if each.what == f"profiles of {one.name}"]
    return any(each.words.startswith("will be left out") for each in [*one.findings, *profiles])


def screen_wide(readings: Sequence[Reading], config: Config) -> list[Finding]:
    """Check what all platemaps share: a unit of concentrations, and negative controls."""
    found = []
    try:
        treatments.check_units(
            pd.concat([one.frame.assign(Metadata_Plate=one.plate) for one in readings], ignore_index=True)
            if readings
            else pd.DataFrame()
        )
    except ValueError as error:
        found.append(Finding("problem", "concentrations", message(error)))
    found += [Finding("warning", "concentrations", text) for text in without_doses(readings)]
    found += [Finding("warning", "treatments", text) for text in merged(readings, config.profile.group_by)]
    doubtful = doubtful_controls(readings, config.index.negcon, config.index.poscon)
    found += [Finding("warning", "controls", text) for text in doubtful]
    controlled = any((one.frame["Metadata_pert_type"] == "negcon").any() for one in readings)
    if readings and not controlled and config.profile.normalise_on == "negcon":
        found.append(Finding("problem", "controls", lacking_controls(readings, config.index.negcon)))
    return found


def room(plates: Sequence[Plate], *, config: Config, results: Path) -> list[Finding]:
    """Check that the results folder can be written, and that what is not yet in it fits on the disk.

    These are the results of plates without stored images, and the checkpoints of encoders without weights.
    """
    place = disk_space.existing(results)
    if not os.access(place, os.W_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return [Finding("problem", "disk", f"{place}: cannot be written")]
    sizes = [
        one.size for one in plates if one.size and not (results / "images" / f"{one.name}.zarr" / "zarr.json").exists()
    ]
    by_folder = {
        name: int(some)
        for name, some in pd.DataFrame([disk_space.expected(size, config) for size in sizes]).sum().items()
    }
    try:
        by_folder["checkpoints"] = disk_space.checkpoints(config, results)
    except ValueError as error:
        return [Finding("problem", "encoders", message(error))]
    needed, files = sum(by_folder.values()), sum(disk_space.files(size, config) for size in sizes)
    free, left = disk_space.free(results)
    parts = ", ".join(f"{name} {_bytes(some)}" for name, some in by_folder.items() if some)
    space = f"about {_bytes(needed)} needed ({parts})" if parts else "no further space needed"
    words = f"{place}: {space}, {_bytes(free)} free"
    found = [Finding("problem" if needed > free else "ok", "disk", words)]
    if left is not None and files > left:
        found.append(Finding("problem", "disk", f"{place}: about {files:,} files needed, {left:,} free"))
    return found


def gpu(config: Config) -> list[Finding]:
    """Check whether a GPU is visible, if the config has a network that uses one."""
    networks = [name for name, entry in config.encoders.items() if trains(entry) or entry.kind == "timm"]
    networks += ["cells"] if config.cells.activate and config.cells.method == "cellpose" else []
    if not networks:
        return []
    command = shutil.which("nvidia-smi")
    done = subprocess.run([command, "-L"], capture_output=True, text=True, check=False) if command else None
    if done is not None and done.returncode == 0 and done.stdout.strip():
        return [Finding("ok", "GPU", "; ".join(line.split(" (UUID")[0] for line in done.stdout.strip().splitlines()))]
    words = "no GPU visible here: fine if jobs run on other nodes, else these networks run on the CPU"
    return [Finding("warning", "GPU", f"{words}: {', '.join(networks)}")]


def table(found: Iterable[Finding], *, worded: Callable[[str], str] = str) -> str:
    """Return the findings as lines of text, in columns; `worded` gives the sentences of notes."""
    texts = [(one, one.words + (worded(one.notes) if one.notes else "")) for one in found]
    rows = [(one.grade, one.what, line) for one, text in texts for line in text.splitlines() or [""]]
    wide = max((len(what) for _, what, _ in rows), default=0)
    return "\n".join(f"{grade:<8} {what:<{wide}}  {words}" for grade, what, words in rows)


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
