"""Make the config of a screen of images: what was found in its folders, as keys with reasons."""

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wellspring.index import crosscheck
from wellspring.init import plates, stains, wells, written
from wellspring.init import positions as positions_of
from wellspring.init.subfolders import Meaning
from wellspring.io.shipped import CLONE
from wellspring.screen import config
from wellspring.screen.sections import Index, Profile

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # of a channel, as the config's schema has it
USUAL = config.default(Profile).min_controls  # controls that a plate needs
Lines = list[tuple[str, Any, str]]


@dataclass(frozen=True)
class Screen:
    """A screen to write: text of sheet and config, and a sentence for each decision."""

    sheet: str
    config: str
    notes: tuple[str, ...]


def screen(
    folders: Sequence[Path],
    *,
    platemap: Path | None,
    out: Path,
    channels: Mapping[str, str],
    ask: bool,
    steps: int | None = None,
    subfolders: Meaning | None = None,
    positions: Path | None = None,
) -> Screen:
    """Look at folders of images and return the screen; pictures and blank platemaps are written below `out`.

    Parameters
    ----------
    folders
        One per plate.
    platemap
        Of all plates; None: the only table in each folder that is one, or a blank one to fill in.
    channels
        Name in the config to name in the files; empty: guessed, and asked about if `ask`.
    steps
        Training steps of each encoder; None: those of its preset.
    subfolders
        What sub-folders of images are; None: by their names (:mod:`wellspring.init.subfolders`).
    positions
        Folder with a list of positions per plate (:mod:`wellspring.init.positions`), for names without wells.

    Raises
    ------
    ValueError
        A folder, the platemap or a channel cannot be read; names it, what was expected and found.
    """
    try:
        found, options, notes = (
            plates.look(folders, subfolders) if positions is None else positions_of.look(folders, positions, out)
        )
    except plates.NoWellsError as error:
        raise _with_positions(error, folders, out) from error
    names, looks = _channels(found, channels, out, ask=ask, notes=notes)
    maps = {plate.name: platemap or wells.platemap_in(plate.folder) for plate in found}
    rows, named = [], []
    for plate in found:
        path = maps[plate.name]
        if path is None:
            path = out / "config" / "platemaps" / f"{plate.name}.csv"
            if wells.blank(plate.planes, path):
                notes.append(f"plate {plate.name}: no platemap found; fill in {path}")
            else:
                maps[plate.name] = path
                notes.append(f"plate {plate.name}: the platemap that was filled in, {path}")
        name = wells.plate_name(path, plate.name) if len(found) == 1 else plate.name
        named.append(name)
        place = plate.folder.resolve()
        own = [one for one, channel in names.items() if channel in set(plate.planes["channel"])]
        row = {"plate": name, "images": str(place), "platemap": written.relative(path, out), "role": "fit"}
        rows.append(row | ({"panel": ", ".join(own)} if len(own) < len(names) else {}))
    given = next((path for path in maps.values() if path is not None), None)
    seen = wells.mapped(given, named) if given else None
    notes += seen.notes if seen else ()
    lines = _index(found, options, names, seen or wells.Mapped(), maps, named)
    shared = [one for one, channel in names.items() if all(channel in set(each.planes["channel"]) for each in found)]
    if len(shared) < len(names):
        notes.append(
            f"panels: plates have different channels, and share {', '.join(shared) or 'none'}; the column panel of the "
            "sheet names those of each plate that lacks some"
        )
    usable = {one: names[one] for one in shared or names}
    lines += _rest(found, list(usable), stains.nuclei(usable, looks), seen, notes, steps)
    lines = lines if len(shared) == len(names) else _of_panels(lines, shared)
    return Screen(written.sheet(rows), written.text(lines, clone=CLONE), tuple(notes))


def _of_panels(lines: Lines, shared: Sequence[str]) -> Lines:
    """Return the lines with encoders that take plates of different channels: any panel if trained, else the shared."""
    result: Lines = []
    for key, value, reason in lines:
        if key.startswith("encoders.") and isinstance(value, dict) and value.get("like") != "simclr":
            trained = "simclr" in str(value.get("like")) or "sslprofiler" in str(value.get("like"))
            value = value | ({"stem": "adaptive", "one_plate": True} if trained else {"channels": list(shared)})
            reason += " Of any panel." if trained else "\nOn the channels that all plates have."
        result.append((key, value, reason))
    return result


def _with_positions(error: plates.NoWellsError, folders: Sequence[Path], out: Path) -> ValueError:
    """Return the error, with the list of positions to fill in where the names of the images have numbers."""
    place = positions_of.write(error.folder, plates.name_of(error.folder), error.paths, out)
    if place is None:
        return error
    again = shlex.join(["wellspring", "init", *map(str, folders), "--positions", str(place.parent)])
    return ValueError(
        f"{error.folder}: expected a well in each file name, found {list(error.paths[:3])}, which have positions "
        f"alone: fill in the column {positions_of.WELL} of {place} (a row per position; remove rows of images that are "
        f"in no well), then run `{again}` with your other options"
    )


def _channels(
    found: Sequence[plates.Found], given: Mapping[str, str], out: Path, *, ask: bool, notes: list[str]
) -> tuple[dict[str, str], dict[str, float]]:
    """Write a picture of each channel; return name in the config to name in the files, and how nuclear each looks."""
    there = sorted({str(name) for plate in found for name in plate.planes["channel"].unique()})
    unknown = sorted(set(given.values()) - set(there))
    if unknown:
        raise ValueError(f"--channels: expected names of the channels {there} in the files, found {unknown}")
    images: dict[str, list[npt.NDArray[np.uint16]]] = {}
    pictures = {channel: out / "channels" / f"{written.plain(channel)}.png" for channel in there}
    for channel in there:
        plate = next(plate for plate in found if channel in set(plate.planes["channel"]))
        sample = [one.pixels for one in plates.samples(plate, channel) if one.pixels is not None]
        images[channel] = [image.astype(np.uint16) for image in sample]
        if sample:
            stains.picture(images[channel][-1], pictures[channel])
    looks = {channel: stains.nuclear(images[channel]) for channel in there}
    if given:
        return dict(given), looks
    guesses = stains.guess(there, images)
    if ask:
        guesses = _answered(guesses, pictures)
        notes += [f"channel {channel} is {name}, as answered" for channel, name in guesses.items()]
    else:
        notes += [
            f"channel {channel} is taken as {name} (picture: {pictures[channel]}); "
            f"to name it otherwise: --channels {shlex.quote(f'NAME={channel}')}"
            for channel, name in guesses.items()
        ]
    order = sorted(guesses, key=lambda channel: guesses[channel] != "DNA")  # nuclei first
    return {guesses[channel]: channel for channel in order}, looks


def _answered(guesses: Mapping[str, str], pictures: Mapping[str, Path]) -> dict[str, str]:
    """Ask for the name of each channel below its picture, again where another channel has that name."""
    print("Look at the picture of each channel; Enter takes the name in brackets.")
    names: dict[str, str] = {}
    for channel, guess in guesses.items():
        print(f"channel {channel}, picture {pictures[channel]}")
        while True:
            name = input(f"    its name [{guess}]: ").strip() or guess
            other = next((one for one, taken in names.items() if taken == name), None)
            if other is None and NAME.fullmatch(name):
                break
            wrong = f"{name} is channel {other}" if other else f"{name} cannot be a name"
            print(f"    {wrong}: expected another one, of letters, digits and _")
        names[channel] = name
    return names


def _index(
    found: Sequence[plates.Found],
    options: Index,
    names: Mapping[str, str],
    seen: wells.Mapped,
    maps: Mapping[str, Path | None],
    named: Sequence[str],
) -> Lines:
    lines: Lines = [("channels", list(names), "Names of the channels; the pictures are in the folder channels.")]
    if options.pattern != plates.default().pattern:
        lines.append(("index.pattern", options.pattern, "How the names of the images give well, site and channel."))
    renamed = {name: channel for name, channel in names.items() if name != channel}
    if renamed:
        lines.append(("index.channels", renamed, "Names of the channels in the files."))
    if options.loaddata:
        lines.append(("index.loaddata", options.loaddata, "Lists of positions, with the well of each."))
    for key in ("timepoint", "acquisition"):
        if (value := getattr(options, key)) is not None:
            whole = key == "acquisition" and value == crosscheck.ALL
            reason = "The sub-folders are parts of one plate." if whole else "The plate has several; this one is used."
            lines.append((f"index.{key}", value, reason))
    lines += [(f"index.{key}", value, f"Of the platemap: {reason}.") for key, (value, reason) in seen.keys.items()]
    lost = [
        name for plate, name in zip(found, named, strict=True)
        if (path := maps[plate.name]) is not None and not wells.same(path, name, plate.planes, seen)
    ]  # fmt: skip
    if lost:
        reason = (
            f"Images and platemap do not have the same wells on {', '.join(lost[:5])}: wells without a row are left "
            "out, wells without\nimages count as lost. Remove those that were not imaged from the platemap, or give "
            "them the type `empty`."
        )
        lines.append(("index.lost_wells", "report", reason))
    return lines


def _rest(
    found: Sequence[plates.Found],
    names: Sequence[str],
    nuclei: str,
    seen: wells.Mapped | None,
    notes: list[str],
    steps: int | None,
) -> Lines:
    """Return the lines of survey, cells, encoders and profile; `seen` is None while no platemap is filled in."""
    lines: Lines = []
    if not (found[0].planes["pixel_size"] > 0).any():
        notes.append("pixel size: not in the metadata; set survey.pixel_size (micrometres) if you know it")
    if nuclei != "DNA":
        notes.append(f"nuclei: {nuclei}; change cells.nuclei if another channel has them")
    whole = stains.cytoplasm([name for name in names if name != nuclei])
    lines.append(("cells.nuclei", nuclei, "The channel of the nuclei."))
    reason = "Channels that fill the cell." if whole else "No channel is known to fill the cell: nuclei are grown."
    lines.append(("cells.cytoplasm", whole, reason))
    sites = float(np.median([plate.planes.groupby("well")["site"].nunique().median() for plate in found]))
    gpu = written.has_gpu()
    notes.append("encoders: " + ("presets for one GPU" if gpu else "small ones, since no GPU is visible here"))
    lines += written.encoders(gpu=gpu, sites=sites, plates=len(found), steps=steps)
    fewest = min(plate.planes["well"].nunique() for plate in found)
    return lines + profile(seen, fewest)


def profile(seen: wells.Mapped | None, fewest: int) -> Lines:
    """Return the lines of a screen with few negative controls, or none; `fewest`: wells of the smallest plate.

    `seen` is None while the platemap is to be filled in: a key for a screen without controls would outlive the blanks.
    """
    if seen is None or seen.controls >= USUAL:
        return []
    if seen.controls > 1:
        reason = (
            f"A plate has {seen.controls} negative controls: few for a centre and a scale, which {USUAL} and more give."
        )
        return [("profile.min_controls", seen.controls, reason)]
    known = "One negative control has no spread" if seen.controls else "No negative controls are known"
    if fewest < 2:
        lines: Lines = [("profile.normalise", "none", "A plate has one well, which nothing can be compared with.")]
        return [*lines, ("profile.normalise_on", "all", f"{known}.")]
    lines = [("profile.normalise_on", "all", f"{known}: all wells of a plate instead.")]
    if fewest < USUAL:
        lines.append(("profile.min_controls", fewest, f"A plate has {fewest} wells."))
    return lines


def answers() -> bool:
    """Return whether a person can answer questions on the terminal."""
    return sys.stdin is not None and sys.stdin.isatty()
