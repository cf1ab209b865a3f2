"""Read a CellProfiler LoadData table (CSV or Parquet).

Images are named in ``FileName_<Channel>`` and ``PathName_<Channel>``, or in ``URL_<Channel>``, with or without ``Orig``
before the channel's name; the rest is ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Site``. The folders are usually
those of another machine: a file that is not at the named place, or cannot be opened there, is found by the longest end
of its path that exists in the plate's folder, if the rest names this folder (:mod:`wellspring.index.readers.origin`).
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote

import pandas as pd

from wellspring.index.readers import frames, loaddata_columns, origin
from wellspring.index.readers.listing import complete, files, named, places, unambiguous, within
from wellspring.index.readers.named import owned
from wellspring.io import budget, object_store
from wellspring.screen import platemap_rows
from wellspring.screen.sections import Index

logger = logging.getLogger(__name__)

USUAL = re.compile(r"load_?data(_with_illum)?\.(csv|csv\.gz|parquet)", re.IGNORECASE)
HEAD = 2**20  # bytes in which the header is looked for


def present(folder: Path | str, *, loaddata: str | None = None, moved: Mapping[str, str] | None = None) -> bool:
    """Return whether the config names a LoadData table, or the folder holds one of a usual name."""
    return bool(loaddata) or _usual(Path(folder)) is not None


def planes(
    folder: Path | str,
    *,
    plate: str,
    loaddata: Path | str | None = None,
    moved: Mapping[str, str] | None = None,
    roots: Sequence[Path | str] = (),
) -> pd.DataFrame:
    """List the planes of a plate by its LoadData table.

    Parameters
    ----------
    folder
        The plate's folder.
    plate
        Rows of other plates are ignored; a table without a column of plates is of this plate.
    loaddata
        The table, CSV (also .gz) or Parquet: a URL, or a path relative to the working directory or the folder, with
        ``{plate}`` for the plate; none: the folder's ``load_data.csv``. Every column is read as string, so that plate
        ``0012`` stays ``0012``.
    moved
        Folder as the table names it to where it is now; both may have ``{plate}``.
    roots
        Folders and prefixes of URLs, besides the folder, that the table may name files in.

    Returns
    -------
    pandas.DataFrame
        As ``readers.listing.complete``; the path of a named file that does not exist, or that the table names in the
        folder of another plate or measurement, is null.

    Raises
    ------
    ValueError
        No table; no row of this plate, no image column, no well, or none of the files; the table names several folders
        and any of them could be the plate's.
    """
    folder = Path(folder)
    usual = None if loaddata else _usual(folder)
    table = usual and owned(usual, folder, roots) if loaddata is None else str(loaddata).replace("{plate}", plate)
    if table is None:
        raise ValueError(f"{plate}: expected a table in index.loaddata, or a load_data.csv in {folder}, found neither")
    rows = _rows(table, folder, plate)
    shared = {
        "well": loaddata_columns.wells(rows, table),
        "site": loaddata_columns.first(rows, "Metadata_Site", "Metadata_FieldID"),
        "plane": loaddata_columns.first(rows, "Metadata_Plane", "Metadata_PlaneID"),
        "timepoint": loaddata_columns.first(rows, "Metadata_Timepoint", "Metadata_TimepointID"),
        **loaddata_columns.lengths(rows),
    }
    images = _images(rows, table, _replaced(moved or {}, plate))
    held = dict(files(folder, roots=roots))
    found = _located({name for rows_of in images.values() for names in rows_of for name in names}, folder, held, roots)
    found, others = _own(found, folder, held, plate=plate, table=table)
    parts = []
    for channel, named_in in images.items():
        located = [next((found[name] for name in names if name in found), (None, 0)) for names in named_in]
        part = pd.DataFrame({**shared, "path": [path for path, _ in located], "bytes": [size for _, size in located]})
        pages = frames.of(rows, channel, part["path"], folder=folder, table=table)
        parts.append(part.assign(channel=channel.removeprefix("Orig"), page=pages))
    frame = pd.concat(parts, ignore_index=True)
    absent = frame["path"].isna()
    if absent.all():
        where = f"below {folder}{' or ' if roots else ''}{', '.join(map(str, roots))}"
        hint = f"; it names the folders {others[:5]} (if one is this plate's, name it in index.moved)" if others else ""
        raise ValueError(f"{plate}: none of the {len(frame)} files named in {table} is {where}{hint} (index.roots)")
    logger.info("%s: %d planes in %s, %d of them not in %s", plate, len(frame), table, absent.sum(), folder)
    return complete(frame)


def unused(images: str, *, plate: str, options: Index) -> set[str]:
    """Return the folders of `index.moved` with which no name in the table of a plate begins.

    Raises
    ------
    ValueError
        As :func:`planes`, for the table.
    """
    folder = Path(object_store.home(images))
    own = object_store.plain(images) if str(folder) != object_store.plain(images) else options.loaddata
    table = own or _usual(folder)
    if table is None:
        return set(options.moved)
    table = str(table).replace("{plate}", plate)
    rows = _images(_rows(table, folder, plate), table, [])
    names = {name.replace("\\", "/") for some in rows.values() for each in some for name in each}
    places = {old: old.replace("{plate}", plate).rstrip("/") for old in options.moved}
    return {old for old, place in places.items() if not any(name.startswith(f"{place}/") for name in names)}


def _usual(folder: Path) -> Path | None:
    """Return the folder's LoadData table, preferably one without illumination functions."""
    if not folder.is_dir():
        return None
    found = [path for path in folder.iterdir() if USUAL.fullmatch(path.name) and path.is_file()]
    return min(found, key=lambda path: ("illum" in path.name.lower(), path.name), default=None)


def _rows(table: Path | str, folder: Path, plate: str) -> pd.DataFrame:
    """Read the rows of a plate."""
    if object_store.is_url(table):
        try:
            with object_store.staged(str(table)) as copy:
                rows = _read(copy, table)
        except (FileNotFoundError, PermissionError) as error:
            raise ValueError(f"{plate}: expected a LoadData table at {table}, found {error}") from error
    else:
        path = Path(object_store.plain(str(table)))
        path = path if path.is_file() else folder / path
        if not path.is_file():
            raise ValueError(f"{plate}: expected a LoadData table at {table} or in {folder}, found none")
        rows = _read(path, table)
    rows = loaddata_columns.under_usual_names(rows, table)
    column = loaddata_columns.plate_column(rows, plate)
    if column is None:
        return rows
    found = sorted(rows[column].dropna().unique())
    rows = rows[rows[column] == plate].reset_index(drop=True)
    if rows.empty:
        raise ValueError(
            f"{plate}: no row in {table}, which has the plates {found[:10]}{platemap_rows.near_plate(plate, found)}"
        )
    return rows


def _read(path: Path, table: Path | str) -> pd.DataFrame:
    try:
        if path.suffix.lower() == ".parquet":
            frame = budget.parquet(path).to_pandas()
            return frame.astype(object).where(frame.isna(), frame.astype(str)).where(frame.notna(), None)
        content = budget.unpacked(path)
        budget.check_cells(content.getvalue(), path)
        # Pandas would rename a doubled column of a header, and take the first for an index where rows are longer.
        encoding = "utf-16" if content.getvalue()[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        head = content.getvalue()[:HEAD].decode(encoding, errors="ignore").lstrip("\ufeff").splitlines() or [""]
        stated = re.fullmatch(r'"?sep=([,;\t])"?', head[0].strip(" "))  # as Excel writes above the header
        between = stated[1] if stated else max(",", ";", "\t", key=head[0].count)  # of equal counts the comma
        kinds = {"header": None, "dtype": str, "keep_default_na": False, "na_values": [""]}
        frame = pd.read_csv(content, sep=between, skiprows=1 if stated else 0, encoding=encoding, **kinds)
        frame = frame.apply(lambda cells: cells.str.strip())
        return _once(frame.iloc[1:].reset_index(drop=True).set_axis(frame.iloc[0].fillna("").tolist(), axis=1))
    except budget.OverBudgetError as error:
        raise ValueError(f"{table}: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{table}: expected UTF-8, found other bytes (Latin-1?): save it as CSV in UTF-8") from error
    except (ValueError, OSError, EOFError) as error:  # errors of pandas and Arrow are ValueErrors
        raise ValueError(f"{table}: expected a LoadData table, found {type(error).__name__}: {error}") from error


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with each column once; `ValueError` names columns of one name whose cells differ."""
    names = rows.columns[rows.columns.duplicated() & (rows.columns != "")].unique()
    apart = [name for name in names if len({tuple(cells.fillna("")) for _, cells in rows[name].items()}) > 1]
    if apart:
        raise ValueError(f"{apart} more than once, with other cells (rename or delete all but one of each)")
    return rows.loc[:, ~rows.columns.duplicated()]


def _replaced(moved: Mapping[str, str], plate: str) -> list[tuple[str, str]]:
    return [tuple(text.replace("{plate}", plate).rstrip("/") for text in pair) for pair in moved.items()]  # type: ignore[misc]


def _images(
    rows: pd.DataFrame, table: Path | str, moved: Sequence[tuple[str, str]]
) -> dict[str, list[tuple[str, ...]]]:
    """Return by channel (with its ``Orig`` where it has one) the places that the table names for each row's image."""
    images: dict[str, list[tuple[str, ...]]] = {}
    for column in rows.columns:
        kind, _, channel = column.partition("_")
        if kind not in ("FileName", "URL") or channel.startswith("Illum"):
            continue
        names = rows[column].fillna("")
        if kind == "FileName":
            folders = rows.get(f"PathName_{channel}", pd.Series("", index=rows.index)).fillna("")
            names = [
                f"{part.rstrip('/')}/{name}" if part and name else name
                for part, name in zip(folders, names, strict=True)
            ]
        names = [_moved(name, moved) for name in names]
        before = images.get(channel, [()] * len(rows))
        images[channel] = [(*places, name) if name else places for places, name in zip(before, names, strict=True)]
    if not images:
        raise ValueError(f"{table}: expected columns FileName_<Channel> or URL_<Channel>, found {list(rows.columns)}")
    return images


def _moved(name: str, moved: Sequence[tuple[str, str]]) -> str:
    """Return a name with the first of the folders that it lies in replaced."""
    plain = name.replace("\\", "/")
    return next((new + plain[len(old) :] for old, new in moved if plain.startswith(f"{old}/")), name)


def _located(
    names: Iterable[str], folder: Path, held: dict[str, int], roots: Sequence[Path | str]
) -> dict[str, tuple[str, int]]:
    """Return path and size of the named files: at the named place or, by the end of their path, in the folder."""
    prefixes = tuple(f"{str(root).rstrip('/')}/" for root in roots if object_store.is_url(root))
    urls = (
        {name for name in names if name.startswith(prefixes) and not object_store.climbs(name)} if prefixes else set()
    )
    there = object_store.sizes(sorted(urls | {unquote(name) for name in urls}))
    allowed = places(folder, roots)
    near = (*allowed, str(folder), *map(str, roots))
    cased = unambiguous(held)
    found = {}
    for name in names:
        path = object_store.plain(name)
        url = next((form for form in (name, unquote(name)) if form in there), None)
        if url:
            found[name] = (url, there[url])
        elif "\0" in path:
            continue
        elif path.startswith(near) and within(real := os.path.realpath(path), allowed) and _there(real):
            own = real.removeprefix(f"{allowed[0]}/") if within(real, allowed[:1]) else real
            found[name] = (own, Path(real).stat().st_size)
        else:
            plain = unquote(path) if object_store.is_url(path) else path
            end = named(plain, held) or cased.get(named(plain.casefold(), cased) or "")  # .TIF of another system
            if end:
                found[name] = (end, held[end])
    return found


def _own(
    found: dict[str, tuple[str, int]], folder: Path, held: Mapping[str, int], *, plate: str, table: Path | str
) -> tuple[dict[str, tuple[str, int]], list[str]]:
    """Leave out files that the table names in a folder of another plate or measurement; return these folders, too."""
    home = Path(os.path.realpath(folder))
    guessed = {name: path for name, (path, _) in found.items() if path in held and not _at(name, home / path)}
    here = [name for name in guessed if _there(object_store.plain(name))]  # another file of this disk, not allowed
    near = {parts[0].casefold() for name in found.keys() - guessed.keys() if (parts := origin.folders(name))}
    lost = list(here)
    roots = {origin.measurement(origin.folders(name)) for name in here}
    rest = {name: path for name, path in guessed.items() if name not in set(here)}
    for url in (False, True):
        part = {name: path for name, path in rest.items() if object_store.is_url(name) == url}
        other, of = origin.disagreeing(part, home.parts[1:], plate=plate, where=str(table), near=() if url else near)
        lost, roots = [*lost, *other], roots | set(of)
    others = ["/".join(root) for root in sorted(roots)]
    if lost:
        logger.warning(
            "%s: %d files count as missing: %s names them in the folders %s, and files of the same names are in %s "
            "(index.moved states where a folder of the table lies)",
            plate, len(lost), table, others[:5], folder,
        )  # fmt: skip
    return {name: place for name, place in found.items() if name not in set(lost)}, others


def _at(name: str, path: Path) -> bool:
    """Return whether a name is the path of a file on this disk, or of a link to it; a broken link is one, too."""
    stated = Path(object_store.plain(name))
    same = stated.name == path.name and stated.parent.resolve() == path.parent.resolve()
    return stated.is_absolute() and (same or os.path.realpath(stated) == os.path.realpath(path))


def _there(path: str) -> bool:
    """Return whether a file is there; False for a name that is too long for the disk."""
    try:
        return Path(path).is_file()
    except OSError:
        return False
