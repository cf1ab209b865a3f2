"""Whether a screen can run, before any job: the sheet, the config and a results folder in, one finding a thing out.

Every plate is listed and joined with its platemap just as `index` will do it, and one image of each of its channels is
opened. Nothing is written, and all that is wrong is found in one go.
"""

import importlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from wellspring.cells import model_files
from wellspring.encoders.factory import Factory
from wellspring.index import run as index
from wellspring.io import raw_image
from wellspring.screen.config import trains
from wellspring.workflow import disk_space
from wellspring.workflow.disk_space import Size

GRADES = ("ok", "warning", "problem")
SHOWN = 300  # characters of an error that are shown


@dataclass(frozen=True)
class Finding:
    """What was found: ``grade`` is ok, warning (it may run) or problem (it can not); ``what`` was looked at."""

    grade: str
    what: str
    words: str


@dataclass(frozen=True)
class Plate:
    """A plate's findings, and its size where that is known."""

    name: str
    findings: tuple[Finding, ...]
    size: Size | None = None


def run(
    sheet: Sequence[Mapping[str, object]],
    *,
    config: Mapping,
    results: str | Path,
    simulated: Sequence[str] = (),
    processes: int = 1,
) -> list[Finding]:
    """Look at a screen.

    Parameters
    ----------
    sheet
        Rows of the plate sheet.
    config
        Complete, see `wellspring.screen.config.resolve`.
    results
        The folder of the results; it need not be there.
    simulated
        The plates that the workflow makes itself, which have no images yet.
    processes
        How many plates are looked at side by side.
    """
    rows = [row for row in sheet if row["plate"] not in simulated]
    look = partial(plate, channels=config["channels"], options=config["index"])
    if processes > 1 and len(rows) > 1:
        with ProcessPoolExecutor(min(processes, len(rows))) as pool:
            plates = list(pool.map(look, rows))
    else:
        plates = [look(row) for row in rows]
    found = [Finding("ok", f"plate {name}", "made by this workflow") for name in simulated]
    found += [finding for one in plates for finding in one.findings]
    found += trained(config) + own_networks(config) + foreign(config, [str(row["plate"]) for row in sheet])
    return [*found, *room(plates, config=config, results=Path(results)), *gpu(config)]


def plate(sheet: Mapping[str, object], channels: Sequence[str], options: Mapping[str, object]) -> Plate:
    """Look at a plate: list it, join it with its platemap, and open the first image of each channel."""
    name = str(sheet["plate"])
    try:
        return _looked(name, sheet, index.build(sheet, channels, options))
    except Exception as error:  # whatever one plate's files make a reader say, the others are looked at too
        return Plate(name, (Finding("problem", f"plate {name}", _said(error)),))


def trained(config: Mapping) -> list[Finding]:
    """Look at files of weights: those of encoders are there, those that segment have the sha256 that is stated."""
    found = []
    for name, entry in config["encoders"].items():
        if entry.get("weights"):
            ok = os.access(entry["weights"], os.R_OK)
            words = f"{entry['weights']}: {'there' if ok else 'can not be read'}"
            found.append(Finding("ok" if ok else "problem", f"encoder {name}", words))
    cells = config["cells"]
    if cells["activate"] and cells["method"] == "cellpose":
        key = "cells.cellpose.weights"
        try:
            model_files.named(cells["cellpose"]["weights"], key=key)
            for kind, each in cells["cellpose"]["weights"].items():
                if each["path"] is not None:
                    model_files.check(each["path"], each["sha256"], key=f"{key}.{kind}")
                    found.append(Finding("ok", "cells", f"{each['path']}: there, with the sha256 that is stated"))
        except (ValueError, OSError) as error:
            found.append(Finding("problem", "cells", _said(error)))
    return found


def own_networks(config: Mapping) -> list[Finding]:
    """Build each network of kind module on the CPU, and check its output; without PyTorch, only find its source."""
    entries = {name: entry for name, entry in config["encoders"].items() if entry["kind"] == "module"}
    found = []
    for name, entry in entries.items():
        what, factory = f"encoder {name}", Factory.read(entry["factory"], key=f"encoders.{name}.factory")
        try:
            files = len(factory.sources())
            if importlib.util.find_spec("torch") is None:
                words = f"{factory}: found ({files} source files), not built: PyTorch is not installed here"
                found.append(Finding("warning", what, words))
                continue
            # By name, since the conda environment of the check has no PyTorch, which these modules import.
            training, settings = map(importlib.import_module, ("wellspring.train.run", "wellspring.train.settings"))
            network = training.build(settings.resolve(entry, seed=config["seed"]), channels=len(config["channels"]))
            weights = sum(each.numel() for each in network.parameters())
            found.append(Finding("ok", what, f"{factory}: built, with {weights:,} weights"))
        except (ValueError, OSError) as error:
            found.append(Finding("problem", what, _said(error)))
    return found


def foreign(config: Mapping, plates: Sequence[str]) -> list[Finding]:
    """Look for the files that encoders of the kind table name, one a plate or one for all."""
    found = []
    for name, entry in config["encoders"].items():
        if entry["kind"] == "table":
            files = {plate: Path(entry["files"].replace("{plate}", plate)) for plate in plates}
            lost = [
                f"{plate}: expected a table at {path}, found none"
                for plate, path in files.items()
                if not path.is_file()
            ]
            found += [Finding("problem", f"encoder {name}", words) for words in lost]
            found += [] if lost else [Finding("ok", f"encoder {name}", f"{len(set(files.values()))} tables are there")]
    return found


def room(plates: Sequence[Plate], *, config: Mapping, results: Path) -> list[Finding]:
    """Compare what the plates without stored images will take with what is free, and try whether it may be written."""
    place = disk_space.existing(results)
    if not os.access(place, os.W_OK) or os.statvfs(place).f_flag & os.ST_RDONLY:
        return [Finding("problem", "disk", f"{place}: expected a folder that may be written, found one that may not")]
    sizes = [
        one.size for one in plates if one.size and not (results / "images" / f"{one.name}.zarr" / "zarr.json").exists()
    ]
    by_folder = pd.DataFrame([disk_space.expected(size, config) for size in sizes]).sum()
    needed, files = int(by_folder.sum()), sum(disk_space.files(size, config) for size in sizes)
    free, left = disk_space.free(results)
    parts = ", ".join(f"{name} {_bytes(some)}" for name, some in by_folder.items())
    words = f"{place}: some {_bytes(needed)} more to come ({parts or 'nothing'}), {_bytes(free)} free"
    found = [Finding("problem" if needed > free else "ok", "disk", words)]
    if left is not None and files > left:
        found.append(Finding("problem", "disk", f"{place}: some {files:,} files more to come, {left:,} may be made"))
    return found


def gpu(config: Mapping) -> list[Finding]:
    """Tell whether the GPU that a network would use is visible here."""
    networks = [name for name, entry in config["encoders"].items() if trains(entry) or entry["kind"] == "timm"]
    networks += ["cells"] if config["cells"]["activate"] and config["cells"]["method"] == "cellpose" else []
    if not networks:
        return []
    command = shutil.which("nvidia-smi")
    said = subprocess.run([command, "-L"], capture_output=True, text=True, check=False) if command else None
    if said is not None and said.returncode == 0 and said.stdout.strip():
        return [Finding("ok", "GPU", "; ".join(line.split(" (UUID")[0] for line in said.stdout.strip().splitlines()))]
    words = "none is visible here: as it should be where others run the jobs (a login node), else networks take the CPU"
    return [Finding("warning", "GPU", f"{words}: {', '.join(networks)}")]


def table(found: Iterable[Finding]) -> str:
    """Return the findings as lines of text, in columns."""
    rows = [(one.grade, one.what, line) for one in found for line in one.words.splitlines() or [""]]
    wide = max((len(what) for _, what, _ in rows), default=0)
    return "\n".join(f"{grade:<8} {what:<{wide}}  {words}" for grade, what, words in rows)


def require(found: Sequence[Finding]) -> None:
    """Raise `ValueError` with all problems, where there are any."""
    problems = [one for one in found if one.grade == "problem"]
    if problems:
        raise ValueError(f"expected a screen that can run, found {len(problems)} problems:\n{table(problems)}")


def _looked(name: str, sheet: Mapping[str, object], found: index.Index) -> Plate:
    what = f"plate {name}"
    table, verdict = found.table, found.verdict
    wells = table["Metadata_Well"].nunique()
    findings = [Finding("warning", what, f"will be left out: {reason}") for reason in verdict.reasons]
    if not sheet["images"]:
        return Plate(name, (*findings, Finding("ok", what, f"{wells} wells, no images")))
    there = table["Metadata_Path"].notna()
    if not there.all():
        some = table.loc[~there, "Metadata_Well"].unique().tolist()
        words = (
            f"{(~there).sum():,} of {len(table):,} planes have no file, in {len(some)} wells: {', '.join(some[:10])}"
        )
        findings.append(Finding("warning", what, words))
    opened = _opened(table[there], sheet["images"])
    pixels = {channel: plane.pixels for channel, plane in opened.items() if plane.pixels is not None}
    forms = sorted({f"{array.shape[0]} x {array.shape[1]}" for array in pixels.values()})
    bad = [f"the first image of {name}: {one.reason}" for name, one in opened.items() if name not in pixels]
    bad += [f"expected images of one size, found {', '.join(forms)}"] if len(forms) > 1 else []
    findings += [Finding("problem", what, words) for words in bad]
    if bad or not pixels:
        return Plate(name, tuple(findings))
    fields = len(table.loc[there, ["Metadata_Well", "Metadata_Site"]].drop_duplicates())
    size = Size(wells, fields, int(there.sum()), len(pixels), *next(iter(pixels.values())).shape)
    kinds = ", ".join(sorted({str(array.dtype) for array in pixels.values()}))
    counts = f"{wells} wells, {size.fields:,} fields, {size.planes:,} planes of {forms[0]} {kinds}"
    return Plate(name, (*findings, Finding("ok", what, f"{counts}: {', '.join(pixels)}")), size)


def _opened(table: pd.DataFrame, images: object) -> dict[str, raw_image.Plane]:
    first = table.drop_duplicates("Metadata_Channel")
    return {
        row["Metadata_Channel"]: raw_image.status(images, row["Metadata_Path"], int(row["Metadata_Page"]))
        for row in first.to_dict("records")
    }


def _said(error: Exception) -> str:
    words = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
    return words if len(words) <= SHOWN else f"{words[:SHOWN]} …"


def _bytes(amount: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"
