"""Miniature plates of known pixels in the layout of every reader, to be damaged by `faults`.

Four wells, two sites, two channels, 64 x 64 uint16 each, a platemap, an archive that the config allows, and a folder
``secret`` beside the plate that nothing may open: it has tables and images of the names that readers look for.
"""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr
from PIL import Image

import vendors

Key = tuple[str, str, str]  # well, site, channel by its name in the config

PLATE = "WS7"
WELLS = ("A01", "A02", "B03", "P24")
SITES = ("1", "2")
CHANNELS = ("DNA", "ER")
KEYS = [(well, site, channel) for well in WELLS for site in SITES for channel in CHANNELS]
SIDE = 64
MARK = "canary-3f1c"  # stands in every file of the secret
NAMED = r"(?:.*_)?(?P<well>[A-Z]\d+)_s(?P<site>\d+)_(?P<channel>[A-Z]+)\.(?i:tiff?|png)"
FIELD = r"(?:.*_)?(?P<well>[A-Z]\d+)_s(?P<site>\d+)\.(?:ome\.)?tiff?"


@dataclass
class Specimen:
    """A plate in ``base``: ``folder``, ``archive`` (an allowed root), ``secret``, ``platemap``, ``out`` for results.

    ``files`` has the planes of each image file (of OME-Zarr, of each chunk or shard), ``tables`` the files that say
    what the images are; ``options`` is the section ``index`` of the config. ``whole`` are planes that nothing has
    touched.
    """

    layout: str
    base: Path
    folder: Path
    files: dict[Path, list[Key]]
    tables: list[Path]
    options: dict[str, object]
    whole: set[Key] = field(default_factory=lambda: set(KEYS))
    denied: bool = False

    @property
    def archive(self) -> Path:
        return self.base / "archive"

    @property
    def secret(self) -> Path:
        return self.base / "secret"

    @property
    def platemap(self) -> Path:
        return self.base / "platemap.csv"

    @property
    def out(self) -> Path:
        return self.base / "out"


def pixels(key: Key) -> np.ndarray:
    """Return the pixels (64, 64) uint16 of a plane, its own."""
    seed = np.random.default_rng(list("".join(key).encode()))
    return seed.integers(100, 4000, (SIDE, SIDE), np.uint16)


def make(layout: str, base: Path, *, name: str, templates: Path) -> Specimen:
    """Make a plate in a folder of this name in ``base``; what is the same each time is copied from ``templates``."""
    template = templates / layout
    if not template.exists():
        (template / "archive").mkdir(parents=True)
        LAYOUTS[layout](template)
    shutil.copytree(template, base, symlinks=True, dirs_exist_ok=True)
    folder = base / name
    (base / "plate").rename(folder)
    rows = json.loads((base / "made.json").read_text())
    (base / "made.json").unlink()
    files: dict[Path, list[Key]] = {}
    for path, *key in rows["files"]:
        files.setdefault(folder / path if (folder / path).exists() else base / path, []).append(tuple(key))
    tables = [folder / path for path in rows["tables"]]
    options = {"channels": rows["aliases"], "roots": [str(base / "archive")], "sites": list(SITES), **rows["options"]}
    specimen = Specimen(layout, base, folder, files, tables, options)
    if "loaddata" in layout:
        _load_data(specimen)
    kinds = ["DMSO", "a", "b", "c"]
    specimen.platemap.write_text(
        "well,compound\n" + "".join(f"{well},{kind}\n" for well, kind in zip(WELLS, kinds, strict=True))
    )
    specimen.out.mkdir()
    specimen.secret.mkdir()
    for table in ("zarr.json", ".zattrs", "Index.xml", f"{PLATE}.HTD", "MeasurementData.mlf", "load_data.csv"):
        (specimen.secret / table).write_text(f'{{"{MARK}": 1}}')
    (specimen.secret / "text").write_text(MARK)
    for image in {"image.tif", *(path.name for path in files)}:
        tifffile.imwrite(specimen.secret / image, np.full((SIDE, SIDE), 777, np.uint16), description=MARK)
    return specimen


def write(path: Path, *planes: np.ndarray, compression: str | None = None, description: str | None = None) -> None:
    """Write planes in the format of the file's suffix: TIFF, or PNG (the first plane only)."""
    if path.suffix == ".png":
        Image.fromarray(planes[0]).save(path)
        return
    with tifffile.TiffWriter(path) as tiff:
        for plane in planes:
            kind = "rgb" if plane.ndim == 3 else "minisblack"
            tiff.write(
                plane,
                compression=compression,
                description=description,
                metadata=None,
                photometric=kind,
                contiguous=False,
            )
            description = None


def description(path: Path) -> str | None:
    """Return the description of a TIFF, None where it has none."""
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages.first.description or None


def _done(
    base: Path,
    rows: list[tuple[str, str, str, str]],
    *,
    tables: list[str],
    aliases: Mapping[str, str] | None = None,
    **options: object,
) -> None:
    made = {"files": rows, "tables": tables, "aliases": dict(aliases or {}), "options": options}
    (base / "made.json").write_text(json.dumps(made))


def _vendor(base: Path, frame: pd.DataFrame, names: Mapping[str, str], reader: str) -> None:
    """Put known pixels into the images that a maker of `vendors` wrote, every second one compressed."""
    ours = {theirs: channel for channel, theirs in names.items()}
    rows = []
    for number, row in enumerate(frame.to_dict("records")):
        key = (row["well"], row["site"], ours[row["channel"]])
        path = base / "plate" / row["path"]
        write(path, pixels(key), compression="lzw" if number % 2 else None, description=description(path))
        rows.append((row["path"], *key))
    images = {path for path, *_ in rows}
    held = [path.relative_to(base / "plate").as_posix() for path in sorted((base / "plate").rglob("*"))]
    tables = [path for path in held if path not in images and not path.lower().endswith((".tif", ".tiff"))]
    tables = [path for path in tables if (base / "plate" / path).is_file()]
    _done(base, rows, tables=tables, aliases=names, reader=reader)


def _harmony(version: int) -> Callable[[Path], None]:
    def make(base: Path) -> None:
        names = {"DNA": "HOECHST 33342", "ER": "Alexa 488"}
        frame = vendors.harmony(
            base / "plate", version=version, wells=WELLS, channels=list(names.values()), plate=PLATE
        )
        _vendor(base, frame, names, "harmony")

    return make


def _imagexpress(exported: bool) -> Callable[[Path], None]:
    def make(base: Path) -> None:
        names = {"DNA": "DAPI", "ER": "Texas Red"}
        shape = {"rows": 16, "columns": 24}
        frame = vendors.imagexpress(
            base / "plate", plate=PLATE, wells=WELLS, waves=list(names.values()), exported=exported, **shape
        )
        _vendor(base, frame, names, "imagexpress")

    return make


def _cellvoyager(base: Path) -> None:
    names = {"DNA": "405", "ER": "488"}
    _vendor(base, vendors.cellvoyager(base / "plate", plate=PLATE, wells=WELLS), names, "cellvoyager")


def _pattern(suffix: str) -> Callable[[Path], None]:
    def make(base: Path) -> None:
        rows = []
        for number, (well, site, channel) in enumerate(KEYS):
            path = f"{well}/{PLATE}_{well}_s{site}_{channel}{suffix}"
            (base / "plate" / well).mkdir(parents=True, exist_ok=True)
            write(base / "plate" / path, pixels(KEYS[number]), compression="lzw" if number % 2 else None)
            rows.append((path, well, site, channel))
        _done(base, rows, tables=[], reader="pattern", pattern=NAMED)

    return make


def _pages(base: Path) -> None:
    rows = _fields(base, lambda path, planes: write(path, *planes), ".tif")
    _done(base, rows, tables=[], aliases={"DNA": "1", "ER": "2"}, reader="pattern", pattern=FIELD, pages="channel")


def _ometiff(base: Path) -> None:
    metadata = {"axes": "CYX", "Channel": {"Name": list(CHANNELS)}, "PhysicalSizeX": 0.65}

    def one(path: Path, planes: list[np.ndarray]) -> None:
        tifffile.imwrite(path, np.stack(planes), ome=True, metadata=metadata, photometric="minisblack")

    rows = _fields(base, one, ".ome.tif")
    _done(base, rows, tables=[], reader="ometiff", pattern=FIELD)


def _companion(base: Path) -> None:
    """One XML for the plate; each image in a TIFF of its own, which has no XML."""
    rows = [(f"{well}_s{site}_{channel}.tif", well, site, channel) for well, site, channel in KEYS]
    (base / "plate").mkdir()
    wells, images = "", ""
    for well in WELLS:
        row, column = ord(well[0]) - ord("A"), int(well[1:]) - 1
        samples = "".join(
            f"<WellSample ID='S:{well}:{n}' Index='{n}'><ImageRef ID='Image:{well}:{n}'/></WellSample>"
            for n in range(2)
        )
        wells += f"<Well ID='Well:{well}' Row='{row}' Column='{column}'>{samples}</Well>"
        for number, site in enumerate(SITES):
            named = "".join(f"<Channel ID='C:{well}:{n}' Name='{name}'/>" for n, name in enumerate(CHANNELS))
            data = "".join(
                f"<TiffData FirstC='{n}' IFD='0' PlaneCount='1'><UUID FileName='{well}_s{site}_{name}.tif'>urn:uuid:"
                f"{well}{site}{n}</UUID></TiffData>"
                for n, name in enumerate(CHANNELS)
            )
            images += (
                f"<Image ID='Image:{well}:{number}'><Pixels ID='P:{well}:{number}' DimensionOrder='XYCZT' "
                f"Type='uint16' SizeX='64' SizeY='64' SizeC='2' SizeZ='1' SizeT='1'>{named}{data}</Pixels></Image>\n"
            )
    head = "<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06' UUID='urn:uuid:0'>"
    text = f"{head}<Plate ID='Plate:0' Name='{PLATE}'>{wells}</Plate>\n{images}</OME>"
    (base / "plate" / "plate.companion.ome").write_text(text)
    for path, *key in rows:
        write(base / "plate" / path, pixels(tuple(key)))
    _done(base, rows, tables=["plate.companion.ome"], reader="ometiff")


def _fields(base: Path, write_one: Callable[[Path, list[np.ndarray]], None], suffix: str) -> list[tuple]:
    """Write a file per field, its channels one after the other."""
    (base / "plate").mkdir()
    rows = []
    for well in WELLS:
        for site in SITES:
            path = f"{PLATE}_{well}_s{site}{suffix}"
            write_one(base / "plate" / path, [pixels((well, site, channel)) for channel in CHANNELS])
            rows += [(path, well, site, channel) for channel in CHANNELS]
    return rows


def _loaddata(base: Path) -> None:
    """Write the images of LoadData, those of the last well into the archive."""
    rows = []
    for number, (well, site, channel) in enumerate(KEYS):
        home = "archive" if well == WELLS[-1] else "Images"
        path = f"{home}/{PLATE}_{well}_s{site}_{channel}.tiff"
        full = base / ("" if home == "archive" else "plate") / path
        full.parent.mkdir(parents=True, exist_ok=True)
        write(full, pixels(KEYS[number]), compression="lzw" if number % 2 else None)
        rows.append((path, well, site, channel))
    _done(base, rows, tables=[], reader="loaddata")


def _file_url(path: Path) -> str:
    """Return a file's URL with no character escaped but the percent sign, by which readers know escapes."""
    return f"file://{str(path).replace('%', '%25')}"


def _load_data(specimen: Specimen) -> None:
    """Write the table: places on this machine, places on another one, or URLs."""
    places = {key: path for path, keys in specimen.files.items() for key in keys}
    rows = []
    for well in WELLS:
        for site in SITES:
            row = {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": site}
            for channel in CHANNELS:
                path = places[well, site, channel]
                away = well == "A02"  # as another machine has it
                if channel == "ER" and well == "A01":
                    row["URL_OrigER"] = _file_url(path) if site == "1" else f"s3://bucket/{PLATE}/Images/{path.name}"
                    continue
                row[f"FileName_Orig{channel}"] = path.name
                row[f"PathName_Orig{channel}"] = "/home/ubuntu/bucket/Images" if away else str(path.parent)
            rows.append(row)
    frame = pd.DataFrame(rows)
    if specimen.layout == "loaddata parquet":
        table = specimen.folder / "load_data.parquet"
        frame.to_parquet(table)
    else:
        table = specimen.folder / "load_data.csv"
        frame.to_csv(table, index=False, quoting=csv.QUOTE_MINIMAL)
    specimen.tables.append(table)


def _omezarr(version: str, *, shards: bool = False) -> Callable[[Path], None]:
    def make(base: Path) -> None:
        v3 = version == "0.5"
        plate = base / "plate" / f"{PLATE}.zarr"
        paths = [f"{well[0]}/{int(well[1:])}" for well in WELLS]
        named = [[{"name": name} for name in sorted({path.split("/")[part] for path in paths})] for part in (0, 1)]
        described = [{"path": path, "rowIndex": 0, "columnIndex": 0} for path in paths]
        spec = {"name": PLATE, "rows": named[0], "columns": named[1], "wells": described}
        _group(plate, v3, {"plate": spec, "version": version})
        axes = [
            {"name": "c", "type": "channel"},
            *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "yx"),
        ]
        steps = [{"type": "scale", "scale": [1, 0.65, 0.65]}]
        scales = [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}]
        labels = {"channels": [{"label": channel} for channel in CHANNELS]}
        rows = []
        for well, path in zip(WELLS, paths, strict=True):
            _group(plate / path.split("/")[0], v3, {})
            _group(plate / path, v3, {"well": {"images": [{"path": site} for site in SITES]}, "version": version})
            for site in SITES:
                _group(plate / path / site, v3, {"multiscales": scales, "omero": labels, "version": version})
                options: dict = {"zarr_format": 3 if v3 else 2, "chunks": (1, SIDE, SIDE)}
                if shards:
                    options["shards"] = (2, SIDE, SIDE)
                if not v3:
                    options["chunk_key_encoding"] = {"name": "v2", "separator": "/"}
                data = np.stack([pixels((well, site, channel)) for channel in CHANNELS])
                zarr.create_array(plate / path / site / "0", data=data, **options)
                for number, channel in enumerate(CHANNELS):
                    chunk = f"{'c/' if v3 else ''}{0 if shards else number}/0/0"
                    rows.append((f"{PLATE}.zarr/{path}/{site}/0/{chunk}", well, site, channel))
        names = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
        found = sorted(path for path in plate.rglob("*") if path.name in names)
        tables = [path.relative_to(base / "plate").as_posix() for path in found]
        _done(base, rows, tables=tables, reader="omezarr")

    return make


def _group(path: Path, v3: bool, attributes: Mapping[str, object]) -> None:
    path.mkdir(parents=True, exist_ok=True)
    if v3:
        held = {"zarr_format": 3, "node_type": "group", "attributes": {"ome": attributes}}
        (path / "zarr.json").write_text(json.dumps(held))
        return
    (path / ".zgroup").write_text('{"zarr_format": 2}')
    (path / ".zattrs").write_text(json.dumps(attributes))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "harmony 5": _harmony(5),
    "harmony 7": _harmony(7),
    "imagexpress": _imagexpress(exported=False),
    "imagexpress exported": _imagexpress(exported=True),
    "cellvoyager": _cellvoyager,
    "loaddata csv": _loaddata,
    "loaddata parquet": _loaddata,
    "pattern": _pattern(".TIF"),
    "pattern png": _pattern(".png"),
    "pattern pages": _pages,
    "ometiff": _ometiff,
    "ometiff companion": _companion,
    "omezarr 0.4": _omezarr("0.4"),
    "omezarr 0.5": _omezarr("0.5"),
    "omezarr shards": _omezarr("0.5", shards=True),
}
