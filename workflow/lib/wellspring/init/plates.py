"""What folders of images hold: plates, the reader that lists them, channels, pixel size, wells and sites."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from wellspring.index import crosscheck
from wellspring.index.readers import detect, pattern
from wellspring.index.readers.folders import HERE
from wellspring.index.readers.listing import DEFAULTS, files
from wellspring.init import name_pattern
from wellspring.init.subfolders import Meaning, below, is_listed, meaning, timed, times_error
from wellspring.io import raw_image
from wellspring.screen import config
from wellspring.screen.sections import Index

# Folders that are called by what they hold, not by the plate: the plate has the name of the folder above.
CONTENT = re.compile(
    r"(?i)(raw|plate|tiff?|original)?[ _-]?(images?|imgs?|tiffs?|pngs?|data|files?|fields)|raw|TimePoint_1"
)


@dataclass(frozen=True)
class Found:
    """A plate: its name, folder, and planes as `readers.listing.complete`; options of `index` that all plates share."""

    name: str
    folder: Path
    planes: pd.DataFrame


class NoWellsError(ValueError):
    """Images in no known format whose names have no wells.

    Attributes
    ----------
    folder, paths
        Where they are: the folder, and the paths of its files in it.
    """

    def __init__(self, message: str, *, folder: Path, paths: Sequence[str]) -> None:
        super().__init__(message)
        self.folder, self.paths = folder, paths


def look(folders: Sequence[Path], subfolders: Meaning | None = None) -> tuple[list[Found], Index, list[str]]:
    """List the plates of folders.

    A folder whose sub-folders are acquisitions of their own (:mod:`wellspring.index.readers.folders`) holds a plate in
    each of these, unless their names are those of time points, or ``subfolders`` states what they are.

    Returns
    -------
    The plates, the options of `index` that read all of them, and a sentence for each decision.

    Raises
    ------
    ValueError
        A folder is in no format that is read, and its names have no pattern; sub-folders may be plates or parts.
    """
    options = default() if subfolders != "parts" else replace(default(), acquisition=crosscheck.ALL)
    notes: list[str] = []
    folders = [plate for folder in folders for plate in below(folder, options, notes, subfolders)]
    first = _options(folders, options, notes)
    several = "(?P<plate>" in first.pattern and first.pattern != options.pattern
    listed = {} if several else {folder: _planes(folder, folders[0], first) for folder in folders}
    with_times = _with_times(listed, first, subfolders, notes)
    if with_times is not first:
        first = with_times
        listed = {folder: _planes(folder, folders[0], first) for folder in folders}
    found: list[Found] = []
    for folder in folders:
        if several:
            names = _named(folder, first)
            notes.append(f"{folder}: {len(names)} plates by a part of the file names: {', '.join(names[:6])}")
            named = [Found(name, folder, detect.planes(str(folder), plate=name, options=first)) for name in names]
            _missed(folder, [plate.planes for plate in named], notes)
            found += named
            continue
        planes = listed[folder]
        _missed(folder, [planes], notes)
        whole = [Found(name_of(folder), folder, planes)]
        found += whole if subfolders == "parts" else _split(folder, planes, first, notes)
    found = _renamed(found, notes)
    return found, _chosen(first, found, notes), notes


def default() -> Index:
    """Return the section `index` with its defaults."""
    return config.default(Index)


def _missed(folder: Path, planes: Sequence[pd.DataFrame], notes: list[str]) -> None:
    """Note the images of a folder that no plate has."""
    images = [path for path, _ in files(folder) if path.lower().endswith(name_pattern.ENDINGS)]
    taken = {path for table in planes for path in table["path"].dropna()}
    left = [path for path in images if path not in taken and (folder / path).as_posix() not in taken]
    if left:
        notes.append(f"{folder}: {len(left)} of {len(images)} images are of no plate and left out, as {left[:3]}")


def _with_times(
    listed: Mapping[Path, pd.DataFrame], options: Index, subfolders: Meaning | None, notes: list[str]
) -> Index:
    """Return the options with a pattern that takes the time points from the sub-folders' names, where these are any."""
    for folder, planes in listed.items():
        depth, names = _own_folders(planes)
        if depth is None or meaning(names, planes, subfolders, where=folder) != "timepoints":
            continue
        pattern = timed(options.pattern, names)
        again = replace(options, pattern=pattern or options.pattern)
        if not pattern or detect.planes(str(folder), plate=folder.name, options=again)["timepoint"].nunique() == 1:
            raise times_error(folder, names)
        notes.append(
            f"{folder}: {len(names)} time points in sub-folders: {', '.join(names[:6])} (if they are plates: "
            "--subfolders plates)"
        )
        return again
    return options


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
        if "pattern" not in detect.READERS[reader].keys or is_listed(folder, options):
            return options
        named = name_pattern.propose(paths)
        return options if named is None else _by_names(named, options, notes)
    proposal = name_pattern.propose(paths) or name_pattern.propose(paths, plates=True)
    if reader and not _better(proposal, paths, options):
        notes.append("format: file names as PLATE_A01_s1_w1.tif, the default of index.pattern")
        return options
    if proposal is None:
        below = sorted({str(path.parent) for path in map(Path, paths) if len(path.parts) > 1})
        near = f"; it has files in {below[:3]}" if below else ""
        raise NoWellsError(
            f"{folder}: expected the folder of one plate, of a known format ({', '.join(detect.READERS)}; see "
            f"docs/formats.md) or with a well in each file name, found {paths[:3] or 'no files'}{near}; name the "
            "folder of the plate, or write index.pattern yourself (docs/how-to/own-plates.md)",
            folder=folder,
            paths=paths,
        )
    others = [[path for path, _ in files(other)] for other in folders[1:]]
    if not all(name_pattern.fits(proposal.pattern, other) for other in others):
        proposal = name_pattern.propose(paths, others=others) or proposal
    return _by_names(proposal, options, notes)


def _better(proposal: name_pattern.Proposal | None, paths: Sequence[str], options: Index) -> bool:
    """Return whether a proposal matches more images than the pattern of the options, which misses several."""
    compiled = pattern.compile_pattern(options.pattern)
    images = [path for path in paths if path.lower().endswith(name_pattern.ENDINGS)]
    matched = sum(compiled.fullmatch(path) is not None for path in images)
    return proposal is not None and matched < name_pattern.MATCHED * len(images) and proposal.matched > matched


def _by_names(found: name_pattern.Proposal, options: Index, notes: list[str]) -> Index:
    """Return the options with a pattern of the file names."""
    notes.append(f"file names: {found.matched} of {found.total} images match {found.pattern} (as {found.example})")
    return replace(options, pattern=found.pattern)


def _named(folder: Path, options: Index) -> list[str]:
    """Return the plates that the group ``plate`` of `index.pattern` finds in the names of a folder's files."""
    compiled = pattern.compile_pattern(options.pattern)
    return sorted({match["plate"] for path, _ in files(folder) if (match := compiled.fullmatch(path))})


def _own_folders(planes: pd.DataFrame) -> tuple[int | None, list[str]]:
    """Return depth and names of the sub-folders that are acquisitions of their own; None if there are none."""
    parts, first = planes["path"].fillna("").str.split("/"), planes["acquisition"].str.split("/").str[0]
    for depth in range(int(parts.map(len).max()) - 1):
        part = parts.map(lambda names, depth=depth: names[depth] if len(names) > depth + 1 else "")
        if part.nunique() > 1 and (part == first).all():
            return depth, sorted(part.unique())
    return None, []


def _split(folder: Path, planes: pd.DataFrame, options: Index, notes: list[str]) -> list[Found]:
    """Return the plates of a folder: itself, or its sub-folders or files where these are acquisitions of their own."""
    depth, names = _own_folders(planes)
    acquisitions = planes["acquisition"].unique()
    if depth is None and planes["separate"].any() and HERE not in acquisitions:
        return _by_name(folder, sorted(acquisitions), options, notes)
    if depth is None:
        return [Found(name_of(folder), folder, planes)]
    result = []
    for _, rows in planes.groupby(planes["acquisition"].str.split("/").str[0]):
        own = folder.joinpath(*rows["path"].iloc[0].split("/")[: depth + 1])
        rest = rows["acquisition"].str.partition("/")[2].replace("", str(DEFAULTS["acquisition"]))
        result.append(Found(name_of(own), own, rows.assign(acquisition=rest).reset_index(drop=True)))
    shown = ", ".join(plate.name for plate in result[:6])
    notes.append(
        f"{folder}: {len(names)} plates in sub-folders: {shown} (if they are parts of one plate: --subfolders parts)"
    )
    return result


def _by_name(folder: Path, names: Sequence[str], options: Index, notes: list[str]) -> list[Found]:
    """Return the plates whose names the files of one folder have, each of which can be read by its name."""
    plates = [Found(name, folder, detect.planes(str(folder), plate=name, options=options)) for name in names]
    if any(plate.planes["separate"].any() for plate in plates):
        raise ValueError(
            f"{folder}: expected one plate, found files of other wells by the beginning of their names, "
            f"{list(names)[:6]}: plates, or parts of one? Give each plate a folder of its own, or state by "
            "--subfolders parts that they are one plate"
        )
    notes.append(f"{folder}: {len(names)} plates by the metadata of the files: {', '.join(names[:6])}")
    return plates


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
        if names and not (key == "acquisition" and options.acquisition == crosscheck.ALL):
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
