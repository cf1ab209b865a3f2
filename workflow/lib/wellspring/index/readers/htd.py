"""Read the settings of an acquisition by MetaXpress (``.HTD``): wells, sites and waves."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wellspring.screen import well_names

# A line of a 1536-well plate has 48 words, its 32 lines 10 kB; more than 1 MB is not such a file.
BYTES = 1 << 20


@dataclass(frozen=True)
class Settings:
    """The planned images: ``wells`` (normalised), the number of ``sites`` per well, and the names of the ``waves``.

    ``waves`` has the number of every wave that is collected, and its name, empty where it has none; waves are numbered
    from 1 as in the names of files. ``steps`` is the number of focal planes.
    """

    wells: tuple[str, ...]
    sites: int
    waves: dict[str, str]
    steps: int = 1


def read(path: Path | str) -> Settings:
    """Read a ``.HTD`` file, lines of a quoted name and its values.

    Raises
    ------
    ValueError
        The file cannot be opened, is larger than ``BYTES``, or has no wells of a plate; the file is named.
    """
    lines = _lines(Path(path))
    selected = _grid(lines, "WellsSelection", path)
    try:
        chosen = tuple(well_names.name(row, column) for row, column in selected)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not chosen:
        raise ValueError(f"{path}: expected selected wells (WellsSelection1, ...), found none")
    sites = len(_grid(lines, "SiteSelection", path) or _grid(lines, "SitesSelection", path))
    sites = sites if sites and _true(lines.get("Sites", ["TRUE"])) else 1
    steps = lines.get("ZSteps", ["1"])[0] if _true(lines.get("ZSeries", ["TRUE"])) else "1"
    return Settings(chosen, sites, _waves(lines, path), int(steps) if steps.isdecimal() and len(steps) < 5 else 1)


def _lines(path: Path) -> dict[str, list[str]]:
    try:
        if path.stat().st_size > BYTES:
            raise ValueError(f"{path}: expected at most {BYTES} bytes, found {path.stat().st_size}")
        text = path.read_bytes().decode("latin-1")  # never fails; MetaXpress writes the code page of its machine
    except OSError as error:
        raise ValueError(f"{path}: expected a file that can be read, found {error.strerror}") from error
    try:
        rows = list(csv.reader(text.splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise ValueError(f"{path}: expected lines of names and values, found {error}") from error
    found: dict[str, list[str]] = {}
    for row in rows:
        if len(row) > 1:
            found.setdefault(row[0].strip(), [value.strip() for value in row[1:]])
    return found


def _grid(lines: dict[str, list[str]], name: str, path: Path | str) -> list[tuple[int, int]]:
    """Return row and column, from 0, of the positions selected in lines ``<name>1``, ``<name>2``, ..."""
    found = []
    for key, values in lines.items():
        row = key.removeprefix(name)
        if key.startswith(name) and row.isdecimal():
            if len(row) > 4:
                raise ValueError(f"{path}: expected rows of a plate, found {key[:40]}")
            found += [(int(row) - 1, column) for column, value in enumerate(values) if _true([value])]
    return sorted(found)


def _waves(lines: dict[str, list[str]], path: Path | str) -> dict[str, str]:
    said = lines.get("NWavelengths", ["1"])[0]
    if not said.isdecimal() or not 0 < len(said) < 4:
        raise ValueError(f"{path}: expected a number of waves in NWavelengths, found {said[:40]!r}")
    numbers = [str(number) for number in range(1, int(said) + 1)]
    names = {number: lines.get(f"WaveName{number}", [""])[0] for number in numbers}
    return {number: name for number, name in names.items() if lines.get(f"WaveCollect{number}", ["1"])[0] != "0"}


def _true(values: Sequence[str]) -> bool:
    return values[0].upper() == "TRUE"
