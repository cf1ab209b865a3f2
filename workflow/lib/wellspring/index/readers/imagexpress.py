"""Read a plate of ImageXpress (MetaXpress): its ``.HTD``, folders of time points and z steps.

Files are called ``<plate>_<well>_s<site>_w<wave><GUID>.tif`` below ``TimePoint_<n>/ZStep_<n>``. Plates of one site or
one wave lack that part of the name, exports lack the GUID, and some write it as ``_[GUID]``. The ``.HTD`` has the
names of the waves, and the wells and sites that should have been imaged. Thumbnails are ignored.
"""

import itertools
import logging
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wellspring.index.readers import metaseries, values
from wellspring.index.readers.htd import Settings, read
from wellspring.index.readers.listing import check_plate, complete, files
from wellspring.index.readers.named import entries
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

# The shortest name of the plate is used, since _s10 looks like a well too.
_NAME = re.compile(
    r"(?P<prefix>.*?)_(?P<well>[A-Z]{1,2}\d{1,3})(?:_s(?P<site>\d{1,4}))?(?:_w(?P<wave>\d{1,3}?))?(?P<thumb>_thumb)?"
    r"(?P<guid>_?\[?[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}\]?)?\.tiff?",
    re.IGNORECASE,
)
_FOLDER = re.compile(r"(TimePoint|ZStep)_(\d{1,6})", re.IGNORECASE)
KEY = ["well", "site", "wave", "plane", "timepoint"]
HTD = ".htd"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}")  # the database of MetaXpress stores <plate>/<date>/<number>/
PROJECTION = "0"  # MetaXpress exports its projections as ZStep_0; on the instrument's disk they lie beside ZStep_1


def present(folder: Path | str) -> bool:
    """Return whether the folder, or one of its acquisitions, holds a ``.HTD``, or folders of time points or z steps."""
    folder = Path(folder)
    dates = [path for path in entries(folder)[0] if DATE.fullmatch(path.name)]
    for home in (folder, *(path for date in dates for path in entries(date)[0])):
        folders, found = entries(home)
        if any(_FOLDER.fullmatch(path.name) for path in folders) or any(path.suffix.lower() == HTD for path in found):
            return True
    return False


def unique_names(folder: Path | str) -> bool:
    """Return whether images of a folder are named as MetaXpress does, with a GUID; it needs no ``.HTD``."""
    found = (_NAME.fullmatch(path.name) for path in entries(Path(folder))[1])
    return any(match is not None and match["guid"] for match in found)


def planes(folder: Path | str, *, plate: str, roots: Sequence[Path | str] = ()) -> pd.DataFrame:
    """List the planes of a plate's folder.

    A wave may have z steps and MetaXpress's own projection of them. They are never mixed: the z steps are used, and
    projected as configured; the projection is used only for a wave without z steps.

    Parameters
    ----------
    folder
        The plate's folder, or one that holds several plates: then the one whose folder or files are called ``plate``.

    Returns
    -------
    pandas.DataFrame
        As ``listing.complete``. ``channel`` is the wave's name in the ``.HTD`` (followed by ``_w`` and the number where
        two share one), or ``w1`` and so on. A projection is the plane ``0``. A well that the ``.HTD`` lists as
        imaged and that has no file, and a site that its other sites show to be missing, has planes without path.
        Pixel size and exposure are those of the first file of a wave that has them, x and y (from the well's centre)
        those of the site in one well: only these files' tags are read, and MetaXpress visits the same places in
        every well. z is not known.

    Raises
    ------
    ValueError
        No file of such a name, several plates of which none is called ``plate``, or an invalid ``.HTD``.
    """
    folder = Path(folder)
    home, frame = _acquisition(_listed(folder, roots, plate), plate=plate, folder=folder)
    setting = _settings(folder, home, plate)
    frame = _without_projections(frame, plate)
    frame = _with_missing(frame, setting, plate)
    names = _waves(frame, setting, plate)
    frame = frame.assign(channel=frame["wave"].map(names))
    frame = metaseries.described(frame, folder, plate=plate)
    logger.info("%s: %d planes in %s, %d of them missing", plate, len(frame), folder / home, frame["path"].isna().sum())
    return complete(frame)


def steps(folder: Path | str, *, plate: str) -> int | None:
    """Return the number of focal planes by the plate's ``.HTD``, None without one."""
    folder = Path(folder)
    for home in (folder, *entries(folder)[0]):
        found = _settings_of(home, plate) or _settings_of(home)
        if found:
            return read(found[0]).steps
    return None


def _listed(folder: Path, roots: Sequence[Path | str], plate: str) -> pd.DataFrame:
    """Return a row per image, thumbnails left out, with the folder of its acquisition and the plate it names."""
    rows, others, odd = [], 0, []
    for path, size in files(folder, roots=roots):
        match = _NAME.fullmatch(posixpath.basename(path))
        if match is None or match["thumb"]:
            others += match is not None
            continue
        try:
            well = well_names.normalise(match["well"])
        except ValueError:
            odd.append(path)
            continue
        parts = path.split("/")[:-1]
        steps = {found[1].lower(): str(int(found[2])) for part in parts if (found := _FOLDER.fullmatch(part))}
        home = "/".join(part for part in parts if not _FOLDER.fullmatch(part))
        site, wave = (str(int(match[group] or 1)) for group in ("site", "wave"))
        where = (steps.get("zstep"), steps.get("timepoint", "1"))
        rows.append((path, size, home, match["prefix"], well, site, wave, *where))
    if odd:
        logger.warning("%s: %d images have an invalid well and are ignored: %s", plate, len(odd), odd[:5])
    logger.info("%s: %d images and %d thumbnails in %s", plate, len(rows), others, folder)
    return pd.DataFrame(rows, columns=["path", "bytes", "home", "prefix", *KEY])


def _acquisition(frame: pd.DataFrame, *, plate: str, folder: Path) -> tuple[str, pd.DataFrame]:
    """Return the folder and the images of this plate, if the folder has images of several."""
    if frame.empty:
        raise ValueError(f"{plate}: expected files <plate>_<well>_s<site>_w<wave>.tif below {folder}, found none")
    found = dict(list(frame.groupby(["home", "prefix"])))
    if len(found) > 1:
        ours = [key for key in found if plate in (key[1], *key[0].split("/"))]
        ours = ours or [key for key in found if _settings_of(folder / key[0], key[1])]
        shown = [f"{home}/{prefix}" for home, prefix in found if (home, prefix) not in ours][:10]
        if len(ours) != 1:
            raise ValueError(f"{plate}: expected one plate of that name below {folder}, found {ours[:10] or shown}")
        logger.warning("%s: images of other plates below %s are ignored: %s", plate, folder, shown)
        found = {ours[0]: found[ours[0]]}
    (home, prefix), part = next(iter(found.items()))
    check_plate([prefix, *home.split("/"), folder.name], plate=plate, where=folder / home)
    return home, part.drop(columns=["home", "prefix"]).reset_index(drop=True)


def _settings(folder: Path, home: str, plate: str) -> Settings | None:
    """Return the settings of an acquisition from its ``.HTD``, of which every folder of time points has a copy."""
    found = _settings_of(folder / home)
    if not found:
        logger.info("%s: no .HTD in %s, so waves are named by number and missing wells are not known", plate, folder)
        return None
    if len(found) > 1:
        logger.warning("%s: several .HTD in %s, and %s is read", plate, folder / home, found[0].name)
    return read(found[0])


def _settings_of(home: Path, name: str | None = None) -> list[Path]:
    """Return the ``.HTD`` of a folder; those of a name, where it is given."""
    return [path for path in entries(home)[1] if path.suffix.lower() == HTD and name in (None, path.stem)]


def _without_projections(frame: pd.DataFrame, plate: str) -> pd.DataFrame:
    """Return a wave's z steps, or its projection if it has none; name the planes."""
    step = frame["plane"].isna() | (frame["plane"] == PROJECTION)
    stacked = frame["wave"].isin(frame.loc[~step, "wave"])
    if not (~step).any():
        return frame.assign(plane=frame["plane"].fillna("1").replace(PROJECTION, "1"))
    both = stacked & frame["wave"].isin(frame.loc[step, "wave"])
    left = both & step
    if both.any():
        logger.info(
            "%s: waves %s have z steps and projections: the z steps are used, %d files of projections are ignored",
            plate, sorted(frame.loc[both, "wave"].unique()), left.sum(),
        )  # fmt: skip
    return frame[~left].assign(plane=frame["plane"].fillna(PROJECTION)).reset_index(drop=True)


def _with_missing(frame: pd.DataFrame, setting: Settings | None, plate: str) -> pd.DataFrame:
    """Add the planes of wells and sites that should have been imaged and have no file."""
    if setting is None:
        return frame
    sites = [str(number + 1) for number in range(setting.sites)]
    if not set(frame["site"]) <= set(sites):  # numbered over the whole grid of sites, not over the selected ones
        sites = sorted(frame["site"].unique(), key=int)
    steps = list(frame[["wave", "plane", "timepoint"]].drop_duplicates().itertuples(index=False, name=None))
    whole = {(well, site, *step) for well, site, step in itertools.product(setting.wells, sites, steps)}
    missing = sorted(whole - set(frame[KEY].itertuples(index=False, name=None)))
    strange = sorted(set(frame["well"]) - set(setting.wells))
    if strange:
        logger.warning("%s: wells that the .HTD does not select have images: %s", plate, strange)
    if not missing:
        return frame
    lost = sorted(set(setting.wells) - set(frame["well"]))
    logger.warning("%s: %d planes of the .HTD have no file, all of the wells %s among them", plate, len(missing), lost)
    added = pd.DataFrame(missing, columns=KEY).assign(path=None, bytes=0)
    return pd.concat([frame, added], ignore_index=True)


def _waves(frame: pd.DataFrame, setting: Settings | None, plate: str) -> dict[str, str]:
    """Return the channel of each wave."""
    named = {} if setting is None else setting.waves
    absent = sorted(set(named) - set(frame["wave"]), key=int)
    if absent:
        logger.warning("%s: waves of the .HTD without any file: %s", plate, {wave: named[wave] for wave in absent})
    waves = {wave: named.get(wave, "") for wave in sorted(frame["wave"].unique(), key=int)}
    return values.distinct(waves, nameless="w{}", repeated="{}_w{}")
