"""What folders of images hold: plates, the reader that lists them, channels, pixel size, wells and sites."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from wellspring.index.readers import detect, pattern
from wellspring.index.readers.listing import DEFAULTS, SYSTEM, files
from wellspring.init import name_pattern
from wellspring.io import raw_image
from wellspring.screen import config, platemap_columns, platemap_grid, text_table
from wellspring.screen.sections import Index

TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".gz")
# Folders that are called by what they hold, not by the plate: the plate has the name of the folder above.
CONTENT = re.compile(
    r"(?i)(raw|plate|tiff?|original)?[ _-]?(images?|imgs?|tiffs?|pngs?|data|files?|fields)|raw|TimePoint_1"
)
NOTHING, NAMES, FORMAT = range(3)  # what a folder is known by


@dataclass(frozen=True)
class Found:
    """A plate: its name, folder, and planes as `readers.listing.complete`; options of `index` that all plates share."""

    name: str
    folder: Path
    planes: pd.DataFrame


def look(folders: Sequence[Path]) -> tuple[list[Found], Index, list[str]]:
    """List the plates of folders.

    A folder whose sub-folders are acquisitions of their own (:mod:`wellspring.index.readers.folders`) holds a plate in
    each of these.

    Returns
    -------
    The plates, the options of `index` that read all of them, and a sentence for each decision.

    Raises
    ------
    ValueError
        A folder is in no format that is read, and its names have no pattern.
    """
    options = default()
    notes: list[str] = []
    folders = [plate for folder in folders for plate in _below_folder(folder, options, notes)]
    first = _options(folders, options, notes)
    found: list[Found] = []
    for folder in folders:
        if "(?P<plate>" in first.pattern and first.pattern != options.pattern:
            names = _named(folder, first)
            notes.append(f"{folder}: {len(names)} plates by a part of the file names: {', '.join(names[:6])}")
            found += [Found(name, folder, detect.planes(str(folder), plate=name, options=first)) for name in names]
            continue
        planes = _planes(folder, folders[0], first)
        found += _split(folder, planes, notes)
    found = _renamed(found, notes)
    return found, _chosen(first, found, notes), notes


def default() -> Index:
    """Return the section `index` with its defaults."""
    return config.default(Index)


def _planes(folder: Path, first: Path, options: Index) -> pd.DataFrame:
    """Return the planes of a folder, which the options of the first folder have to read."""
    try:
        return detect.planes(str(folder), plate=folder.name, options=options)
    except ValueError:
        paths = [path for path, _ in files(folder)]
        if options.pattern == default().pattern or name_pattern.fits(options.pattern, paths):
            raise
        raise ValueError(
            f"{folder}: expected file names of the form of the first folder {first} ({options.pattern}), found "
            f"{paths[:3]}; give all images one form of names, or make a screen of its own of the other plates"
        ) from None


def _options(folders: Sequence[Path], options: Index, notes: list[str]) -> Index:
    """Return the options that read folders: those of the first one's format, or a pattern of the names."""
    folder = folders[0]
    try:
        reader = detect.choose(folder, plate=folder.name, options=options)
    except detect.SeveralReadersError:
        raise
    except ValueError:  # no reader recognises the folder
        reader = ""
    paths = [path for path, _ in files(folder)]
    if reader and reader != detect.LAST:
        notes.append(f"format: {reader}, by {detect.READERS[reader].sign}")
        if "pattern" not in detect.READERS[reader].keys or _listed(folder, options):
            return options
        named = name_pattern.propose(paths)
        return options if named is None else _by_names(named, options, notes)
    if reader:
        notes.append("format: file names as PLATE_A01_s1_w1.tif, the default of index.pattern")
        return options
    proposal = name_pattern.propose(paths) or name_pattern.propose(paths, plates=True)
    if proposal is None:
        below = sorted({str(path.parent) for path in map(Path, paths) if len(path.parts) > 1})
        near = f"; it has files in {below[:3]}" if below else ""
        raise ValueError(
            f"{folder}: expected the folder of one plate, of a known format ({', '.join(detect.READERS)}; see "
            f"docs/formats.md) or with a well in each file name, found {paths[:3] or 'no files'}{near}; name the "
            "folder of the plate, or write index.pattern yourself (docs/how-to/own-plates.md)"
        )
    others = [[path for path, _ in files(other)] for other in folders[1:]]
    if not all(name_pattern.fits(proposal.pattern, other) for other in others):
        proposal = name_pattern.propose(paths, others=others) or proposal
    return _by_names(proposal, options, notes)


def _by_names(found: name_pattern.Proposal, options: Index, notes: list[str]) -> Index:
    """Return the options with a pattern of the file names."""
    notes.append(f"file names: {found.matched} of {found.total} images match {found.pattern} (as {found.example})")
    return replace(options, pattern=found.pattern)


def _below_folder(folder: Path, options: Index, notes: list[str], depth: int = 3) -> list[Path]:
    """Return the folders of plates in a folder: itself, or its sub-folders (or those below) if it is no plate.

    Sub-folders in a known format have precedence over a pattern of the file names in all of them.
    """
    own = _known(folder, options)
    above = [place.resolve() for place in (folder, *folder.parents)]  # which a link may lead back to
    below = sorted(
        path
        for path in folder.iterdir()
        if path.is_dir()
        and not path.name.startswith(".")
        and path.name.casefold() not in SYSTEM
        and path.resolve() not in above
    )
    if not below or not depth or (own == FORMAT and len(below) < 2):
        return [folder]
    plates = {plate: _known(plate, options) for one in below for plate in _below_folder(one, options, [], depth - 1)}
    found = [plate for plate, known in plates.items() if known == FORMAT]
    if own == FORMAT and (len(found) < 2 or _listed(folder, options)):  # several measurements of one plate
        return [folder]
    if not found and own == NOTHING:
        found = [plate for plate, known in plates.items() if known]
    if found:
        notes.append(f"{folder}: {len(found)} plates in sub-folders: {', '.join(path.name for path in found[:6])}")
    return found or [folder]


def _listed(folder: Path, options: Index) -> bool:
    """Return whether the reader of a folder can list it as one plate."""
    try:
        detect.planes(str(folder), plate=folder.name, options=options)
    except ValueError:
        return False
    return True


def _known(folder: Path, options: Index) -> int:
    """Return whether a folder is in a known format (FORMAT), or its file names have a pattern (NAMES)."""
    try:
        reader = detect.choose(folder, plate=folder.name, options=options)
    except detect.SeveralReadersError:
        return FORMAT  # the error names the readers to choose from
    except ValueError:
        paths = [path for path, _ in files(folder)]
        return NAMES if any(name_pattern.propose(paths, plates=plates) for plates in (False, True)) else NOTHING
    return NAMES if reader == detect.LAST else FORMAT


def _named(folder: Path, options: Index) -> list[str]:
    """Return the plates that the group ``plate`` of `index.pattern` finds in the names of a folder's files."""
    compiled = pattern.compile_pattern(options.pattern)
    return sorted({match["plate"] for path, _ in files(folder) if (match := compiled.fullmatch(path))})


def _split(folder: Path, planes: pd.DataFrame, notes: list[str]) -> list[Found]:
    """Return the plates of a folder: itself, or its sub-folders where these are acquisitions of their own."""
    parts, first = planes["path"].fillna("").str.split("/"), planes["acquisition"].str.split("/").str[0]
    for depth in range(int(parts.map(len).max()) - 1):
        part = parts.map(lambda names, depth=depth: names[depth] if len(names) > depth + 1 else "")
        if part.nunique() > 1 and (part == first).all():
            result = []
            for _, rows in planes.groupby(part):
                own = folder.joinpath(*rows["path"].iloc[0].split("/")[: depth + 1])
                rest = rows["acquisition"].str.partition("/")[2].replace("", str(DEFAULTS["acquisition"]))
                result.append(Found(name_of(own), own, rows.assign(acquisition=rest).reset_index(drop=True)))
            names = ", ".join(plate.name for plate in result[:6])
            notes.append(
                f"{folder}: {len(result)} plates in sub-folders: {names} (if they are parts of one plate, write one "
                "row with their folder in the sheet, and `index.acquisition: all`)"
            )
            return result
    return [Found(name_of(folder), folder, planes)]


def _renamed(found: Sequence[Found], notes: list[str]) -> list[Found]:
    """Return the plates with the name of the folder above before theirs, or else a number, where two have one name."""
    counts = Counter(plate.name.casefold() for plate in found)
    names: list[str] = []
    for plate in found:
        name = plate.name
        if counts[name.casefold()] > 1:
            name = f"{name_of(plate.folder.resolve().parent)}_{name}"
        taken = [other.casefold() for other in names]
        while name.casefold() in taken:
            name = f"{name}_{1 + sum(other.startswith(name.casefold()) for other in taken)}"
        if name != plate.name:
            notes.append(f"{plate.folder}: the plate is called {name}, since two folders are called {plate.name}")
        names.append(name)
    return [replace(plate, name=name) for plate, name in zip(found, names, strict=True)]


def _chosen(options: Index, plates: Sequence[Found], notes: list[str]) -> Index:
    """Choose the first time point and acquisition where a plate has several."""
    chosen: dict[str, str] = {}
    for key in ("timepoint", "acquisition"):
        several = [plate.planes[key].unique() for plate in plates if plate.planes[key].nunique() > 1]
        names = {str(name) for found in several for name in found}
        if names:
            ordered = sorted(names, key=lambda name: (len(name), name))
            notes.append(f"{key}: {ordered[0]} is taken of {ordered}; index.{key} chooses another")
            chosen[key] = ordered[0]
    return replace(
        options,
        timepoint=chosen.get("timepoint", options.timepoint),
        acquisition=chosen.get("acquisition", options.acquisition),
    )


def name_of(folder: Path) -> str:
    """Return the name of a folder as the name of a plate: text, with characters that files may have.

    A folder called `images` has the name of the folder above it.
    """
    place = folder.resolve()
    while CONTENT.fullmatch(place.name) and place.parent.name:
        place = place.parent
    return re.sub(r"[^A-Za-z0-9._-]+", "_", place.name).strip("._-") or "plate"


def samples(plate: Found, channel: str, *, count: int = 3) -> list[raw_image.Plane]:
    """Read a few planes of a channel, spread over the plate, those that can be read."""
    rows = plate.planes[(plate.planes["channel"] == channel) & plate.planes["path"].notna()]
    spread = rows.iloc[:: max(1, len(rows) // count)].head(count)
    read = [
        raw_image.status(str(plate.folder), _below(plate, row), int(row["page"])) for row in spread.to_dict("records")
    ]
    return [one for one in read if one.pixels is not None]


def _below(plate: Found, row: dict[str, object]) -> str:
    """Return the path of a plane relative to the plate's own folder."""
    path = Path(str(row["path"]))
    for start in range(len(path.parts)):
        if (plate.folder / Path(*path.parts[start:])).exists():
            return Path(*path.parts[start:]).as_posix()
    return path.as_posix()


def platemap_in(folder: Path, *, without: str = "") -> Path | None:
    """Return the only table in a folder, or in the one above, whose header names wells and is no list of images.

    A table of the name ``without`` is no platemap.
    """
    for place in (folder, folder.parent):
        found = []
        for path in sorted(place.iterdir()) if place.is_dir() else []:
            if path.suffix.lower() not in TABLES or not path.is_file() or path.name.lower().startswith("load_data"):
                continue
            if path.name == without:
                continue
            try:
                sheets = text_table.sheets(path)
            except ValueError:
                continue  # not a table: it is no platemap
            if any(
                rows and (platemap_columns.names_wells(rows[0][1]) or platemap_grid.find(rows))
                for rows in sheets.values()
            ):
                found.append(path)
        if len(found) == 1:
            return found[0]
    return None
