"""Miniature plates as vendors' microscopes write them: folders, names and tables of real exports, with few tiny images.

Elements, attributes, namespaces and folders are those of real exports: Harmony V5 (Operetta, Phenix), V6 and V7
(Phenix), MetaXpress 6 (ImageXpress), CV8000. Each maker writes a plate and returns the table that its reader ought to
give, sorted by ``KEY``. Images of ``side`` 0 are files without a byte, which is enough for whoever opens none.
"""

import itertools
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
import pandas as pd
import tifffile

from wellspring.index.readers.listing import complete
from wellspring.screen import well_names as names_of_wells

COUNTS = ["site", "plane", "timepoint"]
KEY = ["well", "channel", *COUNTS, "path"]
NAMESPACES = {
    1: "http://www.perkinelmer.com/PEHH/HarmonyV1",
    5: "http://www.perkinelmer.com/PEHH/HarmonyV5",
    6: "http://www.perkinelmer.com/PEHH/HarmonyV6",
    7: "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7",
    8: "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV8",
}
BTS = "http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"
# As in a real index: bowed downwards by a third, brighter to the left.
POLYNOMIAL = (
    "{{Coefficients: [[1.2], [-0.15, 0.05], [-1.6, 0.1, -0.8]], Dims: [{0}, {0}], Origin: [{1}, {1}], "
    "Scale: [{2}, {2}], Type: Polynomial}}"
)


def harmony(
    folder: Path,
    *,
    version: int = 7,
    wells: Sequence[str] = ("A01", "B02"),
    fields: int = 2,
    planes: int = 1,
    timepoints: int = 1,
    channels: Mapping[int, str] | Sequence[str] = ("HOECHST 33342", "Alexa 488"),
    side: int = 8,
    images: str = "Images",
    index: str | None = None,
    plate: str = "P1",
) -> pd.DataFrame:
    """Write a measurement of Harmony into ``folder``, the index and the images into ``images`` in it.

    Up to version 5, images name their channel and time points count from 0; later, a map names it, and they count
    from 1. ``channels`` may give the channels' numbers, too. The index is named as the version does, or ``index``.
    """
    named = dict(channels) if isinstance(channels, Mapping) else dict(enumerate(channels, start=1))
    home = folder / images
    home.mkdir(parents=True, exist_ok=True)
    first = 0 if version <= 5 else 1
    rows, records = [], []
    for well, field, plane, time in itertools.product(wells, range(fields), range(planes), range(timepoints)):
        row, column = (number + 1 for number in names_of_wells.position(well))
        for number, name in named.items():
            file = f"r{row:02d}c{column:02d}f{field + 1:02d}p{plane + 1:02d}-ch{number}sk{time + 1}fk1fl1.tiff"
            _image(home / file, side)
            x, y, z = 1e-4 * field, -2e-4 * field, 0.135 + 2e-6 * plane
            key = {"Row": row, "Col": column, "FieldID": field + 1, "PlaneID": plane + 1, "TimepointID": time + first}
            shared = _harmony_channel(number, name) if version <= 5 else ""
            records.append(
                f"<Image Version='1'><id>{row:02d}{column:02d}K{time + 1}F{field + 1}P{plane + 1}R{number}</id>"
                f"<State>Ok</State><URL>{escape(file)}</URL>"
                + "".join(f"<{tag}>{value}</{tag}>" for tag, value in key.items())
                + f"<ChannelID>{number}</ChannelID><FlimID>1</FlimID>{shared}"
                f"<PositionX Unit='m'>{x!r}</PositionX><PositionY Unit='m'>{y!r}</PositionY>"
                f"<PositionZ Unit='m'>{2e-6 * plane!r}</PositionZ><AbsPositionZ Unit='m'>{z!r}</AbsPositionZ></Image>"
            )
            path = f"{images}/{file}".removeprefix("./")
            place = (path, well, name, str(field + 1), str(plane + 1), str(time + first))
            rows.append((*place, _size(home / file), 0.598, x * 1e6, y * 1e6, z * 1e6, 10.0 * number))
    entries = [
        f"<FlatfieldProfile>{escape(profile(number, name))}</FlatfieldProfile>" for number, name in named.items()
    ]
    maps = [_map(named, entries)]
    if version > 5:
        maps.append(_map(named, [_harmony_channel(number, name) for number, name in named.items()]))
    listed = "".join(f"<Image id='{number}'/>" for number in range(3))
    text = (
        f"<?xml version='1.0' encoding='utf-8'?>\n<EvaluationInputData xmlns:xsd='http://www.w3.org/2001/XMLSchema' "
        f"Version='{1 if version <= 5 else 2}' xmlns='{NAMESPACES[version]}'><User>Müller</User>"
        f"<Plates><Plate><PlateID>{escape(plate)}</PlateID><Well id='0101'/></Plate></Plates>"
        f"<Wells><Well><id>0101</id><Row>1</Row><Col>1</Col>{listed}</Well></Wells><Maps>{''.join(maps)}</Maps>"
        f"<Images>\n{chr(10).join(records)}\n</Images></EvaluationInputData>\n"
    )
    usual = "Index.idx.xml" if version <= 5 else "Index.xml"
    (home / (index or usual)).write_text(text, encoding="utf-8-sig" if version == 5 else "utf-8")
    known = ["pixel_size", "x", "y", "z", "exposure"]
    return _sorted(pd.DataFrame(rows, columns=["path", "well", "channel", *COUNTS, "bytes", *known]))


def profile(number: int, name: str, *, side: int = 1080, foreground: bool = True) -> str:
    """Return the text of a flat-field profile as Harmony writes it, without quotation marks where it needs none."""
    polynomial = POLYNOMIAL.format(side, (side - 1) / 2, 1 / side)
    shown = f'"{name}"' if set(name) & set(",[]{}") else name
    part = f"{{Character: NonFlat, NonFlatness: {{Original: 0.6, Random: INF}}, Profile: {polynomial}, Quality: 1.0}}"
    null = "{Character: Null, Mean: NaN, Profile: {Type: Identity}, Quality: 0.25}"
    return (
        f"{{Background: {null if foreground else part}, Channel: {number}, ChannelName: {shown}, "
        f"{f'Foreground: {part}, ' if foreground else ''}Version: Acapella:2013}}"
    )


def imagexpress(
    folder: Path,
    *,
    plate: str = "P1",
    wells: Sequence[str] = ("A01", "B02"),
    selected: Sequence[str] | None = None,
    sites: int = 2,
    waves: Sequence[str] = ("DAPI", "Texas Red"),
    steps: int = 0,
    projection: bool = False,
    timepoints: int = 1,
    exported: bool = False,
    thumbnails: bool = True,
    rows: int = 8,
    columns: int = 12,
    side: int = 8,
    htd: bool = True,
) -> pd.DataFrame:
    """Write a plate of MetaXpress into ``folder``.

    ``steps`` 0 is no z series; ``projection`` adds MetaXpress's own of the ``steps``. An export has neither
    thumbnails nor GUIDs in its names, copies of the ``.HTD`` everywhere, and the projection in ``ZStep_0``. Of one site
    or one wave, names leave the part out. ``selected`` are the wells of the ``.HTD``, where they are not ``wells``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = _htd(selected or wells, sites, waves, steps, timepoints, rows, columns)
    if htd:
        (folder / f"{plate}.HTD").write_bytes(text.encode("latin-1"))
    depth = [str(step + 1) for step in range(steps)] or [None]
    found = []
    for time, step in itertools.product(range(1, timepoints + 1), [*depth, *(["0"] if projection and steps else [])]):
        parts = [f"TimePoint_{time}"] if exported or timepoints > 1 else []
        parts += [f"ZStep_{step}"] if step is not None and (step != "0" or exported) else []
        home = folder.joinpath(*parts)
        home.mkdir(parents=True, exist_ok=True)
        if exported and htd:
            (home / f"{plate}.HTD").write_bytes(text.encode("latin-1"))
        for well, site, wave in itertools.product(wells, range(1, sites + 1), range(1, len(waves) + 1)):
            stem = f"{plate}_{well}" + (f"_s{site}" if sites > 1 else "") + (f"_w{wave}" if len(waves) > 1 else "")
            unique = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{stem}{parts}")).upper()
            path = home / (f"{stem}.TIF" if exported else f"{stem}{unique}.tif")
            _image(path, side, description=_metaseries(site, wave, step))
            if thumbnails and not exported:
                _image(home / f"{stem}_thumb{unique}.tif", side // 2)
            if step == "0":
                continue
            place = (path.relative_to(folder).as_posix(), well, waves[wave - 1], str(site), step or "1", str(time))
            said = (1.3672, 100.0 * site, -50.0, 10.0 * wave) if side else (float("nan"),) * 4
            found.append((*place, _size(path), *said))
    known = ["pixel_size", "x", "y", "exposure"]
    return _sorted(pd.DataFrame(found, columns=["path", "well", "channel", *COUNTS, "bytes", *known]))


def cellvoyager(
    folder: Path,
    *,
    plate: str = "P1",
    wells: Sequence[str] = ("A01", "B02"),
    failed: Sequence[str] = (),
    fields: int = 2,
    steps: int = 1,
    timepoints: int = 1,
    channels: Sequence[str] = ("405", "488"),
    side: int = 8,
    settings: bool = True,
) -> pd.DataFrame:
    """Write a measurement of a CellVoyager into ``folder``; ``failed`` wells have a record of an error and no image."""
    folder.mkdir(parents=True, exist_ok=True)
    rows, records = [], []
    for well, field, step, time in itertools.product([*wells, *failed], range(fields), range(steps), range(timepoints)):
        row, column = (number + 1 for number in names_of_wells.position(well))
        for number, name in enumerate(channels, start=1):
            there = well not in failed
            file = f"{plate}_{well}_T{time + 1:04d}F{field + 1:03d}L01A01Z{step + 1:02d}C{number:02d}.tif"
            x, y, z = -567.1 + 650 * field, 402.9, 3.0 * step
            if there:
                _image(folder / file, side)
                said = {
                    "Type": "IMG", "Time": "2023-09-18T13:58:44.438+02:00", "Column": column, "Row": row,
                    "TimePoint": time + 1, "FieldIndex": field + 1, "ZIndex": step + 1, "TimelineIndex": 1,
                    "ActionIndex": 1, "Action": "3D", "X": x, "Y": y, "Z": z, "Ch": number,
                }  # fmt: skip
                records.append(_record(said, file))
            where = (x, y, z) if there else (float("nan"),) * 3
            place = (file if there else None, well, name if settings else f"C{number:02d}")
            known = (0.325, 100.0 * number) if settings else (float("nan"),) * 2
            size = _size(folder / file) if there else 0
            rows.append((*place, str(field + 1), str(step + 1), str(time + 1), size, *where, *known))
    for well in failed:
        row, column = (number + 1 for number in names_of_wells.position(well))
        records.append(_record({"Type": "ERR", "Column": column, "Row": row}, ""))
    _bts(folder / "MeasurementData.mlf", "MeasurementData", "\n".join(records))
    if settings:
        said = "".join(
            f"<bts:Channel bts:Ch='{number}' bts:Target={quoteattr(name)} bts:ExposureTime='{100 * number}'"
            " bts:Binning='1' bts:Fluorophore=''><bts:LightSourceName>405nm</bts:LightSourceName></bts:Channel>"
            for number, name in enumerate(channels, start=1)
        )
        _bts(folder / "Settings.mes", "MeasurementSetting", f"<bts:ChannelList>{said}</bts:ChannelList>")
        details = "".join(
            f"<bts:MeasurementChannel bts:Ch='{number}' bts:HorizontalPixelDimension='0.325' bts:CameraNumber='3' />"
            for number in range(1, len(channels) + 1)
        )
        _bts(folder / "MeasurementDetail.mrf", "MeasurementDetail", details)
        _image(folder / "SC_BP445-45_20x v2_M01_CH01.tif", side)
    known = ["x", "y", "z", "pixel_size", "exposure"]
    return _sorted(pd.DataFrame(rows, columns=["path", "well", "channel", *COUNTS, "bytes", *known]))


def order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of planes sorted by ``KEY``, so that two can be compared."""
    return frame.sort_values(KEY, ignore_index=True)


def _sorted(frame: pd.DataFrame) -> pd.DataFrame:
    return order(complete(frame))


def _map(named: Mapping[int, str], entries: Sequence[str]) -> str:
    said = (f"<Entry ChannelID='{number}'>{entry}</Entry>" for number, entry in zip(named, entries, strict=True))
    return f"<Map>{''.join(said)}</Map>"


def _harmony_channel(number: int, name: str) -> str:
    return (
        f"<ChannelName>{escape(name)}</ChannelName><ImageType>Signal</ImageType>"
        "<ImageResolutionX Unit='m'>5.98E-07</ImageResolutionX><ImageResolutionY Unit='m'>5.98E-07</ImageResolutionY>"
        f"<ObjectiveNA Unit=''>1</ObjectiveNA><ExposureTime Unit='s'>{number / 100}</ExposureTime>"
    )


def _htd(
    wells: Sequence[str], sites: int, waves: Sequence[str], steps: int, timepoints: int, rows: int, columns: int
) -> str:
    chosen = {names_of_wells.position(well) for well in wells}
    lines = [
        '"HTSInfoFile", Version 1.0', '"Description", "1t, \x82\x81DAPI: 3z"', f'"TimePoints", {timepoints}',
        f'"ZSeries", {_true(steps > 0)}', f'"ZSteps", {steps}', f'"XWells", {columns}', f'"YWells", {rows}',
        *(
            f'"WellsSelection{row + 1}", ' + ", ".join(_true((row, column) in chosen) for column in range(columns))
            for row in range(rows)
        ),
        f'"Sites", {_true(sites > 1)}', f'"XSites", {sites}', '"YSites", 1',
        *(['"SiteSelection1", ' + ", ".join(["TRUE"] * sites)] if sites > 1 else []),
        f'"Waves", {_true(len(waves) > 1)}', f'"NWavelengths", {len(waves)}',
        *(f'"WaveName{number}", "{name}"' for number, name in enumerate(waves, start=1)),
        *(f'"WaveCollect{number}", 1' for number in range(1, len(waves) + 1)),
        '"EndFile"',
    ]  # fmt: skip
    return "\r\n".join(lines) + "\r\n"


def _true(value: bool) -> str:
    return "TRUE" if value else "FALSE"


def _metaseries(site: int, wave: int, step: str | None) -> str:
    said = {
        "spatial-calibration-state": "on", "spatial-calibration-x": 1.3672, "spatial-calibration-units": "um",
        "_IllumSetting_": f"wave {wave}", "Exposure Time": f"{10 * wave} ms", "OffsetFromWellCenterUmX": 100.0 * site,
        "OffsetFromWellCenterUmY": -50.0, "Z Step": step or 1,
    }  # fmt: skip
    props = "".join(f"<prop id={quoteattr(key)} type='string' value='{value}'/>\n" for key, value in said.items())
    program = "<prop id='ApplicationName' type='string' value='MetaMorph'/>"
    return f"<MetaData>\n{program}<PlaneInfo>{props}</PlaneInfo></MetaData>"


def _record(said: Mapping[str, object], text: str) -> str:
    attributes = " ".join(f"bts:{name}='{value}'" for name, value in said.items())
    return f"<bts:MeasurementRecord {attributes}>{escape(text)}</bts:MeasurementRecord>"


def _bts(path: Path, root: str, text: str) -> None:
    head = f"<?xml version='1.0' encoding='utf-8'?>\n<bts:{root} bts:Version='1.0' xmlns:bts='{BTS}'>"
    path.write_text(f"{head}\n{text}\n</bts:{root}>\n", encoding="utf-8-sig")


def _image(path: Path, side: int, *, description: str | None = None) -> None:
    """Write a plane of noise; a file without a byte where it has no pixels."""
    if side == 0:
        path.touch()
        return
    seed = np.random.default_rng(int.from_bytes(path.name.encode()[-8:], "little"))
    tifffile.imwrite(path, seed.integers(100, 4000, (side, side), np.uint16), description=description, metadata=None)


def _size(path: Path) -> int:
    return path.stat().st_size
