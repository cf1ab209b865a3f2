"""Check whether a screen can run, before any job starts.

Each plate is listed and joined with its platemap by the code of the rule `index`, and one image per channel is opened.
Nothing is written. All problems are collected, so that one check shows all of them.
"""

import dataclasses
import importlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import pandas as pd

from wellspring.cells import model_files
from wellspring.encoders.factory import Factory
from wellspring.index import run as index
from wellspring.io import raw_image
from wellspring.screen import config_checks
from wellspring.screen.encoder_kinds import trains
from wellspring.screen.sections import Config, Index
from wellspring.workflow import disk_space, foresight
from wellspring.workflow.disk_space import Size

SHOWN = 300  # characters of an error that are shown


@dataclass(frozen=True)
class Finding:
    """One result: ``ok``, ``warning`` (the screen can run) or ``problem`` (it cannot), of ``what``, in ``words``.

    ``notes``: reasons as text (:mod:`wellspring.io.notes`), which follow the words.
    """

    grade: Literal["ok", "warning", "problem"]
    what: str
    words: str
    notes: str = ""


@dataclass(frozen=True)
class Plate:
    """The findings of a plate, its size if its images could be read, and its index if that could be made."""

    name: str
    findings: tuple[Finding, ...]
    size: Size | None = None
    table: pd.DataFrame | None = None


def run(
    sheet: Sequence[Mapping[str, object]],
    *,
    config: Config,
    results: str | Path,
    simulated: Sequence[str] = (),
    processes: int = 1,
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
    """
    rows = [row for row in sheet if row["plate"] not in simulated]
    look = partial(plate, channels=config.channels, options=config.index)
    if processes > 1 and len(rows) > 1:
        with ProcessPoolExecutor(min(processes, len(rows))) as pool:
            plates = list(pool.map(look, rows))
    else:
        plates = [look(row) for row in rows]
    found = [Finding("ok", f"plate {name}", "simulated by this workflow") for name in simulated]
    found += [finding for one in plates for finding in one.findings]
    found += foreseen(plates, config=config)
    found += [Finding("warning", "cells will fail", text) for text in config_checks.unknown_channels(config)]
    found += trained(config) + own_networks(config) + foreign(config, [str(row["plate"]) for row in sheet])
    return [*found, *room(plates, config=config, results=Path(results)), *gpu(config)]


def plate(sheet: Mapping[str, object], channels: Sequence[str], options: Index) -> Plate:
    """Check a plate: list it, join it with its platemap, and open the first image of each channel."""
    name = str(sheet["plate"])
    try:
        built = index.build(sheet, channels, options)
        rules = raw_image.Rules.of({"range": options.range, "absent_chunks": options.absent_chunks})
        return dataclasses.replace(_looked(name, sheet, built, rules), table=built.table)
    except Exception as error:  # whatever a reader raises for one plate, the other plates are checked too
        return Plate(name, (Finding("problem", f"plate {name}", _message(error)),))


def foreseen(plates: Sequence[Plate], *, config: Config) -> list[Finding]:
    """Warn of plates that will be left out, and of layouts in which treatment and position coincide."""
    found, tables = [], [one.table for one in plates if one.table is not None]
    for one in plates:
        if one.table is not None:
            words = foresight.too_few_controls(one.table, config.profile)
            words += foresight.too_many_lost(one.table, config.survey.max_excluded) if one.size else []
            found += [Finding("warning", f"profiles of {one.name}", text) for text in words]
    return found + [Finding("warning", "layout", text) for text in foresight.one_place(tables)]


def trained(config: Config) -> list[Finding]:
    """Check that the files of weights can be read and have the sha256 of the config."""
    found = []
    for name, entry in config.encoders.items():
        if entry.weights is not None:
            file, what = entry.weights, f"encoder {name}"
            try:
                model_files.check(file.path, file.sha256, key=f"encoders.{name}.weights")
                found.append(Finding("ok", what, f"{file.path}: readable, sha256 {file.sha256} as in the config"))
            except (ValueError, OSError) as error:
                found.append(Finding("problem", what, _message(error)))
    if config.cells.activate and config.cells.method == "cellpose":
        found += _cellpose(config)
    return found


def _cellpose(config: Config) -> list[Finding]:
    found = []
    key, weights = "cells.cellpose.weights", config.cells.cellpose.weights
    try:
        model_files.named(dataclasses.asdict(weights), key=key)
        for kind, file in (("nuclei", weights.nuclei), ("cells", weights.cells)):
            if file.path is not None and file.sha256 is not None:
                model_files.check(file.path, file.sha256, key=f"{key}.{kind}")
                found.append(Finding("ok", "cells", f"{file.path}: readable, sha256 as in the config"))
    except (ValueError, OSError) as error:
        found.append(Finding("problem", "cells", _message(error)))
    return found


def own_networks(config: Config) -> list[Finding]:
    """Build each network of kind module on the CPU, and check its output; without PyTorch, only find its source."""
    found = []
    for name, entry in config.encoders.items():
        if entry.kind != "module" or entry.factory is None:
            continue
        what, factory = f"encoder {name}", Factory.read(entry.factory, key=f"encoders.{name}.factory")
        try:
            files = len(factory.sources())
            if importlib.util.find_spec("torch") is None:
                words = f"{factory}: found ({files} source files), not built: PyTorch is not installed here"
                found.append(Finding("warning", what, words))
                continue
            # By name, since the conda environment of the check has no PyTorch, which these modules import.
            build, settings = map(importlib.import_module, ("wellspring.train.build", "wellspring.train.settings"))
            setting = settings.resolve(entry, seed=config.seed)
            network = build.network(setting, channels=len(config.channels))
            weights = sum(each.numel() for each in network.parameters())
            found.append(Finding("ok", what, f"{factory}: built, with {weights:,} weights"))
        except (ValueError, OSError) as error:
            found.append(Finding("problem", what, _message(error)))
    return found


def foreign(config: Config, plates: Sequence[str]) -> list[Finding]:
    """Check that the tables of encoders of kind table exist, one per plate or one for all."""
    found: list[Finding] = []
    for name, entry in config.encoders.items():
        if entry.kind == "table" and entry.files is not None:
            files = {plate: Path(entry.files.replace("{plate}", plate)) for plate in plates}
            lost = [
                f"{plate}: expected a table at {path}, found none"
                for plate, path in files.items()
                if not path.is_file()
            ]
            found += [Finding("problem", f"encoder {name}", words) for words in lost]
            found += [] if lost else [Finding("ok", f"encoder {name}", f"{len(set(files.values()))} tables found")]
    return found


def room(plates: Sequence[Plate], *, config: Config, results: Path) -> list[Finding]:
    """Check that the results folder can be written, and that the plates without stored images fit on the disk."""
    place = disk_space.existing(results)
    if not os.access(place, os.W_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return [Finding("problem", "disk", f"{place}: cannot be written")]
    sizes = [
        one.size for one in plates if one.size and not (results / "images" / f"{one.name}.zarr" / "zarr.json").exists()
    ]
    by_folder = pd.DataFrame([disk_space.expected(size, config) for size in sizes]).sum()
    needed, files = int(by_folder.sum()), sum(disk_space.files(size, config) for size in sizes)
    free, left = disk_space.free(results)
    parts = ", ".join(f"{name} {_bytes(some)}" for name, some in by_folder.items())
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


def require(found: Sequence[Finding], *, worded: Callable[[str], str] = str) -> None:
    """Raise `ValueError` with all problems, if there are any."""
    problems = [one for one in found if one.grade == "problem"]
    if problems:
        counted = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        raise ValueError(f"Cannot run: {counted}\n{table(problems, worded=worded)}")


def _looked(name: str, sheet: Mapping[str, object], found: index.Index, rules: raw_image.Rules) -> Plate:
    what = f"plate {name}"
    table, verdict = found.table, found.verdict
    wells = table["Metadata_Well"].nunique()
    findings = [Finding("warning", what, "will be left out: ", reason) for reason in verdict.reasons]
    if not sheet["images"]:
        return Plate(name, (*findings, Finding("ok", what, f"{wells} wells, no images")))
    there = table["Metadata_Path"].notna()
    if not there.all():
        lost = table.loc[~there, "Metadata_Well"].unique().tolist()
        words = f"{(~there).sum():,} of {len(table):,} planes have no file, in {len(lost)} wells"
        findings.append(Finding("warning", what, f"{words}: {', '.join(lost[:10])}"))
    opened = _opened(table[there], str(sheet["images"]), rules)
    pixels = {channel: plane.pixels for channel, plane in opened.items() if plane.pixels is not None}
    forms = sorted({f"{array.shape[0]} x {array.shape[1]}" for array in pixels.values()})
    bad = [f"the first image of {name}: {one.reason}" for name, one in opened.items() if name not in pixels]
    bad += [f"expected images of one size, found {', '.join(forms)}"] if len(forms) > 1 else []
    findings += [Finding("problem", what, words) for words in bad]
    if bad or not pixels:
        return Plate(name, tuple(findings))
    fields = len(table.loc[there, ["Metadata_Well", "Metadata_Site"]].drop_duplicates())
    height, width = next(iter(pixels.values())).shape
    size = Size(wells, fields, int(there.sum()), len(pixels), height, width)
    kinds = ", ".join(sorted({str(array.dtype) for array in pixels.values()}))
    counts = f"{wells} wells, {size.fields:,} fields, {size.planes:,} planes of {forms[0]} {kinds}"
    return Plate(name, (*findings, Finding("ok", what, f"{counts}: {', '.join(pixels)}")), size)


def _opened(table: pd.DataFrame, images: str, rules: raw_image.Rules) -> dict[str, raw_image.Plane]:
    first = table.drop_duplicates("Metadata_Channel")
    return {
        row["Metadata_Channel"]: raw_image.status(images, row["Metadata_Path"], int(row["Metadata_Page"]), rules=rules)
        for row in first.to_dict("records")
    }


def _message(error: Exception) -> str:
    words = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    return words if len(words) <= SHOWN else f"{words[:SHOWN]} …"


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
