"""Read a folder of images by a regular expression for their file names.

Named groups: ``well`` (or ``row`` and ``column``, or a number as ``well96``), and optionally ``plate``, ``site``,
``channel``, ``plane``, ``timepoint``. Files are listed with their sizes; a file is opened only to count the pages of a
multi-page TIFF, and its pixels are not read.
"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import tifffile

from wellspring.index.readers import labels
from wellspring.index.readers.listing import complete, files
from wellspring.index.readers.named import IMAGES
from wellspring.io import tiff_plane
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

Page = tuple[int, str | None, str | None]  # number, channel, plane; None: as in the file's name
# Groups of a well's number: `well96` counts from 1 along the rows of a 96-well plate, so that 13 is B01.
NUMBERED = {f"well{rows * columns}": (rows, columns) for rows, columns in well_names.PLATES}
GROUPS = ("site", "channel", "plane", "timepoint")
FEW = 0.05  # share of the images that may be left out without a warning
# Names of images that are no fields of a plate.
NO_FIELD = re.compile(
    r"(?i)thumb|overlay|preview|overview|illum|mask|label|outline|montage|stitch|composite|merge|flat|dark|projection"
)


def present(
    folder: Path | str,
    *,
    pattern: str,
    pages: str = "single",
    roots: Sequence[Path | str] = (),
    channels: Mapping[str, str] | None = None,
) -> bool:
    """Return whether a file of the folder matches the pattern."""
    compiled = compile_pattern(pattern)
    return any(compiled.fullmatch(path) for path, _ in files(Path(folder), roots=roots))


def planes(
    folder: Path | str,
    *,
    plate: str,
    pattern: str,
    pages: str = "single",
    roots: Sequence[Path | str] = (),
    channels: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """List the planes of a plate's folder, sub-folders included.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Where the pattern has a group ``plate``, files of other plates are ignored.
    pattern
        Matches the end of a file's path relative to the folder, from the start or after a ``/``.
    pages
        ``channel`` or ``plane``: page n of a TIFF is channel or plane n (from 1). Else a file is one row, of page 0.
    roots
        Folders outside of the plate's that links may lead to.
    channels
        `index.channels`, with which ImageJ's labels of the pages are compared.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; values that the name lacks are ``1``.

    Raises
    ------
    ValueError
        The pattern has no well, or no file matches it.
    """
    folder = Path(folder)
    compiled = compile_pattern(pattern)
    rows: list[tuple[str | int, ...]] = []
    others: list[str] = []
    for path, size in files(folder, roots=roots):
        match = compiled.fullmatch(path)
        if match is None:
            others.append(path)
        elif match.groupdict().get("plate", plate) in (plate, None):
            rows.append((path, size, well_of(match), *(match.groupdict().get(key) or "1" for key in GROUPS)))
    logger.info("%s: %d files are planes, %d do not match the pattern %s", plate, len(rows), len(others), others[:5])
    if not rows:
        raise ValueError(
            f"{plate}: no file in {folder} matches index.pattern {pattern!r}; found {len(others)} files, {others[:3]}"
        )
    left = [path for path in others if path.lower().endswith(IMAGES) and not NO_FIELD.search(path.rpartition("/")[2])]
    if len(left) > FEW * (len(rows) + len(left)):
        logger.warning(
            "%s: %d of %d images do not match index.pattern and are left out, as %s (if these are fields of the plate, "
            "let the pattern match them)", plate, len(left), len(rows) + len(left), left[:3],
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=["path", "bytes", "well", *GROUPS])
    frame = frame.assign(**{key: _one_spelling(frame[key]) for key in GROUPS})
    if pages in ("channel", "plane"):
        frame = _unfolded(frame, _layouts(folder, frame["path"], pages, plate, channels or {}))
    return complete(frame)


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Return ``index.pattern`` as an expression for a whole relative path; ``ValueError`` without a group for wells."""
    try:
        compiled = re.compile(rf"(?:.*/)?(?:{pattern})")
    except re.error as error:
        raise ValueError(f"index.pattern: expected a regular expression, found {pattern!r}: {error}") from error
    groups = set(compiled.groupindex)
    if "well" not in groups and not {"row", "column"} <= groups and not groups & set(NUMBERED):
        raise ValueError(
            f"index.pattern: expected a group well, or row and column, or a number as {list(NUMBERED)[-1]}, found "
            f"{sorted(groups)}"
        )
    return compiled


def well_of(match: re.Match[str]) -> str:
    """Return the normalised well of a path that matched."""
    found = match.groupdict()
    try:
        for group, (rows, columns) in NUMBERED.items():
            if group in found:
                return well_names.numbered(int(found[group]), rows, columns)
        return (
            well_names.normalise(found["well"]) if "well" in found else well_names.join(found["row"], found["column"])
        )
    except ValueError as error:
        raise ValueError(f"{match.string}: {error}") from error


def _one_spelling(names: pd.Series) -> pd.Series:
    """Return names of which those that differ in leading zeros or in case alone, as `1` and `01`, have the usual form.

    Two files that then have the same name for their plane are refused, as any that are doubled.
    """
    usual: dict[str, str] = {}
    for name in sorted(counts := names.value_counts().to_dict(), key=lambda name: (-counts[name], len(name), name)):
        usual.setdefault(_flat(name), name)
    return names.map(lambda name: usual[_flat(name)])


def _flat(name: str) -> str:
    return name.lstrip("0") if name.isdecimal() else name.casefold()


def _unfolded(frame: pd.DataFrame, layouts: dict[str, list[Page]]) -> pd.DataFrame:
    """Return one row per page instead of one row per file."""
    frame = frame.assign(_page=frame["path"].map(layouts)).explode("_page", ignore_index=True)
    page = pd.DataFrame(frame.pop("_page").tolist(), columns=["page", "_channel", "_plane"], index=frame.index)
    frame["page"] = page["page"].astype(int)
    for key in ("channel", "plane"):
        frame[key] = page[f"_{key}"].where(page[f"_{key}"].notna(), frame[key])
    return frame


def _layouts(
    folder: Path, paths: pd.Series, pages: str, plate: str, channels: Mapping[str, str]
) -> dict[str, list[Page]]:
    """Return the pages of each file; a file that cannot be opened gets the pages of most files."""
    layouts: dict[str, list[Page]] = {}
    labelled: dict[str, tuple[str, ...]] = {}
    broken: list[str] = []
    for path in paths:
        try:
            if not (folder / path).is_file():  # a pipe would never end
                raise ValueError("expected a regular file, found another kind")
            with tifffile.TiffFile(folder / path) as tiff:
                layouts[path] = _numbered(len(tiff_plane.images(tiff)), pages)
                labelled[path] = labels.of(tiff)
        except Exception as error:  # decoders raise whatever they meet in a damaged file; the survey names it
            logger.warning("%s: %s: pages cannot be counted (%s)", plate, path, error)
            broken.append(path)
    if not layouts:
        raise ValueError(f"{plate}: index.pages is {pages}, and none of {len(broken)} files opens as TIFF in {folder}")
    if pages == "channel":
        labels.check(labelled, channels, plate=plate)
    usual = Counter(tuple(layout) for layout in layouts.values()).most_common(1)[0][0]
    return layouts | {path: list(usual) for path in broken}


def _numbered(count: int, pages: str) -> list[Page]:
    return [(n, str(n + 1), None) if pages == "channel" else (n, None, str(n + 1)) for n in range(count)]
