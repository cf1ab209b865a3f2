"""Draft a list of positions for images whose names have no well, as `XY01_CH1.tif`: a person fills in the wells.

The list is a LoadData table: a row per position and site, a column per channel, and the column `Metadata_Well` to fill
in. `index.loaddata` names it in the config.
"""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from wellspring.index.readers import detect
from wellspring.init import name_pattern, plates, written
from wellspring.screen import stain_names
from wellspring.screen.sections import Index

WELL = "Metadata_Well"
CHANNELS = {*name_pattern.HINTS["channel"], "channel"}


def draft(paths: Sequence[str]) -> str | None:
    """Return the list of positions of images at relative paths, as CSV; None if their names do not vary by numbers.

    The first number that differs is the position, others number its sites; the part after a word for channels, or the
    name of a stain, is the channel.

    Examples
    --------
    >>> print(draft(["XY01_CH1.tif", "XY01_CH2.tif", "XY02_CH1.tif", "XY02_CH2.tif"]))
    position,Metadata_Well,Metadata_Site,FileName_CH1,FileName_CH2
    XY01,,1,XY01_CH1.tif,XY01_CH2.tif
    XY02,,1,XY02_CH1.tif,XY02_CH2.tif
    <BLANKLINE>
    """
    images = [path for path in paths if path.lower().endswith(name_pattern.ENDINGS)]
    tokens = {path: name_pattern.TOKEN.findall(PurePosixPath(path).stem) for path in images}
    shapes = Counter(name_pattern.shape(each) for each in tokens.values())
    if not shapes:
        return None
    usual = shapes.most_common(1)[0][0]
    kept = {path: each for path, each in tokens.items() if name_pattern.shape(each) == usual}
    columns = [list(values) for values in zip(*kept.values(), strict=True)]
    varying = [place for place, values in enumerate(columns) if len(set(values)) > 1]
    channel = next((place for place in varying if _is_channel(columns, place)), None)
    others = [place for place in varying if place != channel]
    numbers = [place for place in others if columns[place][0].isdigit()]
    if not numbers:
        return None
    position = numbers[0]
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for path, each in kept.items():
        key = (str(PurePosixPath(path).parent), each[position], *(each[place] for place in others if place != position))
        name = "image" if channel is None else _word(each, channel)
        if name in rows.setdefault(key, {}):
            return None
        rows[key][name] = path
    return _written(rows, _before(columns, position))


def look(folders: Sequence[Path], positions: Path, out: Path) -> tuple[list[plates.Found], Index, list[str]]:
    """List the plates of folders by the lists in the folder `positions`, as :func:`plates.look`.

    The options name the lists relative to the screen's folder `out`, if they lie there.
    """
    options = replace(plates.default(), loaddata=f"{positions.resolve()}/{{plate}}.csv")
    named = [(plates.name_of(folder), folder) for folder in folders]
    found = [
        plates.Found(name, folder, detect.planes(str(folder), plate=name, options=options)) for name, folder in named
    ]
    listed = f"{written.relative(positions, out)}/{{plate}}.csv"
    return found, replace(options, loaddata=listed), [f"format: lists of positions, {listed}"]


def write(folder: Path, name: str, paths: Sequence[str], out: Path) -> Path | None:
    """Write the list of a folder's images to `out/config/positions/NAME.csv`; None if they have none.

    A list that is there is kept, since a person may have filled it in.
    """
    text = draft(paths)
    if text is None:
        return None
    place = out / "config" / "positions" / f"{name}.csv"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    return place


def _written(rows: dict[tuple[str, ...], dict[str, str]], before: str) -> str:
    channels = sorted({name for files in rows.values() for name in files})
    sites: Counter[tuple[str, ...]] = Counter()
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(["position", WELL, "Metadata_Site", *(f"FileName_{name}" for name in channels)])
    for key, files in sorted(rows.items()):
        sites[key[:2]] += 1
        shown = f"{'' if key[0] == '.' else key[0] + '/'}{before}{key[1]}"
        table.writerow([shown, "", sites[key[:2]], *(files.get(name, "") for name in channels)])
    return stream.getvalue()


def _is_channel(columns: Sequence[Sequence[str]], place: int) -> bool:
    """Return whether a part of the names is the channel: a number after a word for channels, or stains."""
    values = columns[place]
    before = columns[place - 1] if place else [""]
    if values[0].isdigit():
        return len(set(before)) == 1 and before[0].casefold() in CHANNELS
    return all(value.isalpha() for value in values) and any(map(stain_names.of_name, values))


def _word(tokens: Sequence[str], place: int) -> str:
    before = tokens[place - 1] if place else ""
    return f"{before}{tokens[place]}" if tokens[place].isdigit() and before.isalpha() else tokens[place]


def _before(columns: Sequence[Sequence[str]], place: int) -> str:
    before = columns[place - 1] if place else [""]
    return before[0] if len(set(before)) == 1 and before[0].isalpha() else ""
