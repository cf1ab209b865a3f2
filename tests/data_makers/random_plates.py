"""Plates of random layout, written in the format of each reader, and what each stored plane is.

A maker writes a `Plan` and returns the `Written`: the value of every plane by well, site, channel, plane, time point
and acquisition, as the format numbers them. No reader's code is used.
"""

import itertools
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import zarr
from hypothesis import strategies as st

import coded
import containers
import opera
import specimens
import vendors
import zeiss as zeiss_files

CHANNELS = ("DNA", "ER", "AGP")
NAMES = {"DNA": "Hoechst 33342", "ER": "Alexa 488", "AGP": "Texas Red"}  # of the channels, as the microscope has them
NAMED = (
    r"(?P<well>[A-Z]\d+)_s(?P<site>\d+)(?:_z(?P<plane>\d+))?(?:_t(?P<timepoint>\d+))?(?:_(?P<channel>[A-Z]+))?"
    r"(?:\.ome)?\.\w+"
)
DIGITS = range(1, 5)
PACKAGES = {"nikon": "nd2", "leica": "liffile"}  # that makers' formats need


@dataclass(frozen=True)
class Key:
    """A plane, as its format names it."""

    well: str
    site: str
    channel: str
    plane: str = "1"
    time: str = "1"
    acquisition: str = "1"


@dataclass(frozen=True)
class Plan:
    """What a plate has: sites and number of focal planes of each well, channels, time points and acquisitions."""

    sites: dict[str, tuple[int, ...]]
    planes: dict[str, int]
    channels: tuple[str, ...]
    times: int
    acquisitions: int

    def each(self, *, acquisitions: int = 1) -> Iterator[tuple[str, int, str, int, int, int]]:
        """Yield well, site, channel, plane, time point and acquisition, all from 1."""
        for well, sites in self.sites.items():
            steps = (range(1, count + 1) for count in (self.planes[well], self.times, acquisitions))
            yield from ((well, *key) for key in itertools.product(sites, self.channels, *steps))


@dataclass
class Written:
    """A plate on disk: options of `index`, and the value of each plane."""

    values: dict[Key, int] = field(default_factory=dict)
    options: dict[str, object] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    listed: bool = False
    """The export's settings list planes that were not written."""

    def value(self, key: Key) -> int:
        """Return the value of a plane, its own."""
        return self.values.setdefault(key, 100 + 7 * len(self.values))


@st.composite
def plans(draw) -> Plan:
    """Draw a plan; half of the plates have the same sites in all wells."""
    positions = st.tuples(st.sampled_from("ABCH"), st.integers(1, 12))
    wells = [f"{row}{column:02d}" for row, column in draw(st.lists(positions, min_size=1, max_size=3, unique=True))]
    some = st.lists(st.sampled_from(DIGITS), min_size=1, max_size=3, unique=True).map(sorted).map(tuple)
    depths = st.integers(1, 3)
    if draw(st.booleans()):
        some, depths = st.just(draw(some)), st.just(draw(depths))
    return Plan(
        sites={well: draw(some) for well in wells},
        planes={well: draw(depths) for well in wells},
        channels=CHANNELS[: draw(st.integers(1, 3))],
        times=draw(st.sampled_from([1, 1, 2])),
        acquisitions=draw(st.sampled_from([1, 1, 2])),
    )


def pattern(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a file per plane; each acquisition in a folder of its own."""
    written = Written(options={"reader": "pattern", "pattern": NAMED})
    ending = chance.choice(["tif", "png", "jp2"])
    for well, site, channel, plane, time, run in plan.each(acquisitions=plan.acquisitions):
        value = written.value(Key(well, str(site), channel, str(plane), str(time), f"run{run}"))
        path = folder / f"run{run}" / f"{well}_s{site}_z{plane}_t{time}_{channel}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        _image(path, coded.plane(value), chance)
    return written


def pages(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write files whose pages are channels or focal planes."""
    axis = chance.choice(["channel", "plane"])
    written = Written(options={"reader": "pattern", "pattern": NAMED, "pages": axis})
    if axis == "channel":
        written.aliases = {name: str(number) for number, name in enumerate(plan.channels, start=1)}
    files: dict[str, list[int]] = {}
    for well, site, channel, plane, time, _ in plan.each():
        stem = f"{well}_s{site}_z{plane}_t{time}" if axis == "channel" else f"{well}_s{site}_t{time}_{channel}"
        files.setdefault(stem, []).append(written.value(Key(well, str(site), channel, str(plane), str(time))))
    for stem, values in files.items():
        coded.tiff(folder / f"{stem}.tif", *values, compression=chance.choice([None, "zlib"]))
    return written


def imagej(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write an ImageJ hyperstack per field."""
    written = Written(options={"reader": chance.choice(["auto", "pattern"]), "pattern": NAMED})
    if len(plan.channels) > 1:
        written.aliases = {name: str(number) for number, name in enumerate(plan.channels, start=1)}
    else:
        written.aliases = {plan.channels[0]: "1"}
    folder.mkdir()
    for (well, site), stack in _stacks(plan, written, "tzc").items():
        tifffile.imwrite(folder / f"{well}_s{site}.tif", stack, imagej=True, metadata={"axes": "TZCYX"})
    return written


def ometiff(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write an OME-TIFF per field, its axes in any order."""
    order = "".join(chance.sample("tzc", 3))
    written = Written(options={"reader": chance.choice(["auto", "ometiff"]), "pattern": NAMED})
    ending = chance.choice([".ome.tif", ".ome.tiff"])
    folder.mkdir()
    for (well, site), stack in _stacks(plan, written, order).items():
        metadata = {"axes": f"{order.upper()}YX", "Channel": {"Name": list(plan.channels)}}
        tifffile.imwrite(folder / f"{well}_s{site}{ending}", stack, ome=True, metadata=metadata)
    return written


def companion(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write one OME-XML for a plate with acquisitions; the planes of a field are in one TIFF or in one each."""
    written = Written(options={"reader": chance.choice(["auto", "ometiff"])})
    order, apart = "".join(chance.sample("CZT", 3)), chance.random() < 0.5
    folder.mkdir()
    wells, images, runs = "", "", dict.fromkeys(range(1, plan.acquisitions + 1), "")
    for well, sites in plan.sites.items():
        samples = ""
        for number, (run, site) in enumerate(itertools.product(runs, sites), start=1):
            stem, blocks, held = f"{well}_r{run}_f{site}", "", []
            sizes = {"C": len(plan.channels), "Z": plan.planes[well], "T": plan.times}
            for index in range(int(np.prod(list(sizes.values())))):
                rest, at = index, {}
                for axis in order:
                    rest, at[axis] = divmod(rest, sizes[axis])
                # Sites of a plate are counted within the well, in the order of the samples.
                key = Key(well, str(number), plan.channels[at["C"]], str(at["Z"] + 1), str(at["T"] + 1), f"run{run}")
                held.append(written.value(key))
                name = f"{stem}_{index}.tif" if apart else f"{stem}.tif"
                firsts = " ".join(f"First{axis}='{at[axis]}'" for axis in order)
                blocks += f"<TiffData {firsts} IFD='{0 if apart else index}' PlaneCount='1'>"
                blocks += f"<UUID FileName='{name}'>urn:uuid:{name}</UUID></TiffData>"
                if apart:
                    coded.tiff(folder / name, held[-1])
            if not apart:
                coded.tiff(folder / f"{stem}.tif", *held)
            named = "".join(f"<Channel ID='C:{stem}:{n}' Name='{name}'/>" for n, name in enumerate(plan.channels))
            rows, columns = coded.SHAPE
            counts = " ".join(f"Size{axis}='{size}'" for axis, size in sizes.items())
            images += (
                f"<Image ID='Image:{stem}'><Pixels ID='P:{stem}' DimensionOrder='XY{order}' Type='uint16' {counts} "
                f"SizeX='{columns}' SizeY='{rows}'>{named}{blocks}</Pixels></Image>"
            )
            samples += f"<WellSample ID='S:{stem}' Index='{number}'><ImageRef ID='Image:{stem}'/></WellSample>"
            runs[run] += f"<WellSampleRef ID='S:{stem}'/>"
        row, column = ord(well[0]) - ord("A"), int(well[1:]) - 1
        wells += f"<Well ID='W:{well}' Row='{row}' Column='{column}'>{samples}</Well>"
    taken = "".join(f"<PlateAcquisition ID='R:{n}' Name='run{n}'>{refs}</PlateAcquisition>" for n, refs in runs.items())
    head = "<?xml version='1.0'?><OME xmlns='http://www.openmicroscopy.org/Schemas/OME/2016-06' UUID='urn:uuid:0'>"
    text = f"{head}<Plate ID='Plate:0' Name='P1'>{wells}{taken}</Plate>{images}</OME>"
    (folder / "plate.companion.ome").write_text(text)
    return written


def omezarr(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write an OME-Zarr plate of NGFF 0.1, 0.4 or 0.5, with rows of letters or numbers, in chunks of any shape."""
    version = chance.choice(["0.1", "0.4", "0.5"])
    written = Written(options={"reader": chance.choice(["auto", "omezarr"])})
    v3, numeric = version == "0.5", chance.random() < 0.3
    order = "tcz" if version == "0.1" else "".join(chance.sample("tcz", 3))
    paths = {well: f"{ord(well[0]) - 64 if numeric else well[0]}/{int(well[1:])}" for well in plan.sites}
    plate = folder / "P1.zarr"
    rows, columns = ([{"name": n} for n in sorted({p.split("/")[k] for p in paths.values()})] for k in (0, 1))
    spec = {"name": "P1", "rows": rows, "columns": columns, "wells": [{"path": path} for path in paths.values()]}
    specimens._group(plate, v3, {"plate": spec | ({} if v3 else {"version": version})})
    for well, path in paths.items():
        images, count = [], 0
        specimens._group(plate / path.split("/")[0], v3, {})
        for run in range(plan.acquisitions):
            for _ in plan.sites[well]:
                name, count = str(count), count + 1
                images.append({"path": name} | ({"acquisition": run} if plan.acquisitions > 1 else {}))
                depth = {"t": plan.times, "c": len(plan.channels), "z": plan.planes[well]}
                stack = np.zeros((*(depth[axis] for axis in order), *coded.SHAPE), np.uint16)
                for place in np.ndindex(stack.shape[:3]):
                    at = dict(zip(order, place, strict=True))
                    key = Key(well, name, plan.channels[at["c"]], str(at["z"] + 1), str(at["t"] + 1), str(run))
                    stack[place] = coded.plane(written.value(key))
                scales: dict = {"datasets": [{"path": "0"}]}
                if version != "0.1":
                    scales["axes"] = [{"name": axis} for axis in f"{order}yx"]
                labels = {"channels": [{"label": name} for name in plan.channels]}
                specimens._group(plate / path / name, v3, {"multiscales": [scales], "omero": labels})
                chunks = tuple(chance.randint(1, size) for size in stack.shape)
                options: dict = {"zarr_format": 3 if v3 else 2, "chunks": chunks}
                if not v3:
                    options["chunk_key_encoding"] = {"name": "v2", "separator": chance.choice("/.")}
                elif chance.random() < 0.5:
                    options["shards"] = tuple(step * chance.randint(1, 2) for step in chunks)
                zarr.create_array(plate / path / name / "0", data=stack, **options)
        specimens._group(plate / path, v3, {"well": {"images": images}})
    return written


def loaddata(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a LoadData table of single files, or of files whose pages the table names."""
    stacked = chance.random() < 0.5
    written = Written(options={"reader": chance.choice(["auto", "loaddata"])})
    column = chance.choice(["Frame", "Series"])
    rows: dict[tuple[str, int, int, int], dict[str, object]] = {}
    files: dict[str, list[int]] = {}
    for well, site, channel, plane, time, _ in plan.each():
        row = rows.setdefault((well, site, plane, time), {"Metadata_Plate": "P1", "Metadata_Well": well})
        row |= {"Metadata_Site": site, "Metadata_Plane": plane, "Metadata_Timepoint": time}
        name = f"{well}_{site}_{time}.tif" if stacked else f"{well}_{site}_{plane}_{time}_{channel}.tif"
        held = files.setdefault(name, [])
        row |= {f"FileName_{channel}": name, f"PathName_{channel}": "/elsewhere/P1/Images"}
        if stacked:
            row[f"{column}_{channel}"] = len(held)
        held.append(written.value(Key(well, str(site), channel, str(plane), str(time))))
    for name, values in files.items():
        coded.tiff(folder / "Images" / name, *values)
    pd.DataFrame(list(rows.values())).to_csv(folder / "load_data.csv", index=False)
    return written


def harmony(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a measurement of Harmony, or two beside each other."""
    version = chance.choice([1, 5, 6, 7, 8])
    written = Written(options={"reader": chance.choice(["auto", "harmony"])})
    written.aliases = {name: NAMES[name] for name in plan.channels}
    runs = ["", *(f"run{run + 1}" for run in range(plan.acquisitions))][-plan.acquisitions :]
    runs = runs if plan.acquisitions > 1 else [""]
    for run in runs:
        home = folder / run
        frame = vendors.harmony(home, version=version, **_whole(plan), channels=list(written.aliases.values()))
        index = next(path for path in (home / "Images").iterdir() if path.suffix == ".xml")
        gone = _filled(home, frame, plan, written, run or "1")
        _without(index, gone)
    return written


def columbus(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a measurement as Columbus exports it, or two: an index of the pages of a file per well."""
    written = Written(options={"reader": chance.choice(["auto", "harmony"])})
    written.aliases = {name: NAMES[name] for name in plan.channels}
    runs = [f"run{run + 1}" for run in range(plan.acquisitions)] if plan.acquisitions > 1 else [""]
    for run in runs:
        home = folder / run
        frame = vendors.harmony(home, version=5, **_whole(plan), channels=list(written.aliases.values()))
        index = home / "Images" / "Index.idx.xml"
        gone = _filled(home, frame, plan, written, run or "1")
        _without(index, gone)
        text = index.read_text(encoding="utf-8").replace("PEHH/HarmonyV5", "Columbus")
        files: dict[str, list[np.ndarray]] = {}
        rows = frame[~frame["path"].map(lambda path, gone=gone: path.rpartition("/")[2] in gone)].to_dict("records")
        for row in chance.sample(rows, len(rows)):
            path = home / row["path"]
            file = f"{ord(row['well'][0]) - 64:03}{int(row['well'][1:]):03}000.flex"
            held = files.setdefault(file, [])
            text = text.replace(f"<URL>{path.name}<", f"<URL BufferNo='{len(held)}'>{file}<")
            held.append(tifffile.imread(path))
            path.unlink()
        for file, stack in files.items():
            with tifffile.TiffWriter(home / "Images" / file) as tiff:
                for pixels in stack:
                    tiff.write(pixels, photometric="minisblack", metadata=None)
        index.unlink()
        (home / "Images" / "ImageIndex.ColumbusIDX.xml").write_text(text, encoding="utf-8")
    return written


def imagexpress(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a plate of MetaXpress, whose settings list sites that were not taken."""
    written = Written(options={"reader": chance.choice(["auto", "imagexpress"])}, listed=True)
    written.aliases = {name: NAMES[name] for name in plan.channels}
    options = _whole(plan)
    depth = options.pop("planes")
    frame = vendors.imagexpress(
        folder, wells=options["wells"], sites=options["fields"], timepoints=plan.times, exported=chance.random() < 0.5,
        steps=depth if depth > 1 else 0, waves=list(written.aliases.values()),
    )  # fmt: skip
    _filled(folder, frame, plan, written, "1")
    return written


def cellvoyager(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a measurement of a CellVoyager."""
    written = Written(options={"reader": chance.choice(["auto", "cellvoyager"])})
    written.aliases = {name: NAMES[name] for name in plan.channels}
    options = _whole(plan)
    options["steps"] = options.pop("planes")
    frame = vendors.cellvoyager(folder, **options, channels=list(written.aliases.values()))
    _without(folder / "MeasurementData.mlf", _filled(folder, frame, plan, written, "1"))
    return written


def nikon(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write an ND2 per well, or one for the plate where all wells have the same focal planes."""
    written = Written(options={"reader": chance.choice(["auto", "container"])})
    folder.mkdir()
    together = len(set(plan.planes.values())) == 1 and chance.random() < 0.5
    jobs = not together and chance.random() < 0.5  # for all files: two schemes of names are refused as two plates
    for wells in [list(plan.sites)] if together else [[well] for well in plan.sites]:
        named = [(well, str(number + 1)) for well in wells for number in range(len(plan.sites[well]))]
        shape = (plan.times, len(named), plan.planes[wells[0]], len(plan.channels), *coded.SHAPE)
        stacks = np.zeros(shape, np.uint16)
        for t, p, z, c in np.ndindex(shape[:4]):
            key = Key(*named[p], plan.channels[c], str(z + 1), str(t + 1))
            stacks[t, p, z, c] = coded.plane(written.value(key))
        names = [str(number) if jobs else f"{well}_{site.zfill(4)}" for number, (well, site) in enumerate(named)]
        path = folder / (f"Well{wells[0]}_Seq0000.nd2" if jobs else f"scan{wells[0]}x.nd2")
        containers.nd2(path, stacks, positions=names, channels=plan.channels, pixel=0.65)
    return written


def leica(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a LIF per plate, an image per site in folders of row and column."""
    written = Written(options={"reader": chance.choice(["auto", "container"])})
    folder.mkdir()
    stacks = {
        f"TileScan 1/{well[0]}/{int(well[1:])}/R{site}": stack
        for (well, site), stack in _stacks(plan, written, "tzc").items()
    }
    containers.lif(folder / "scan.lif", stacks, luts=plan.channels, pixel=0.65)
    return written


def zeiss(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a CZI per plate or per well, a scene per site; wells are those of the template of the plate."""
    written = Written(options={"reader": chance.choice(["auto", "container"])})
    folder.mkdir()
    # Positions have no number of their own within a well.
    plan = replace(plan, sites={well: tuple(range(1, len(sites) + 1)) for well, sites in plan.sites.items()})
    stacks = _stacks(plan, written, "tzc")
    together = chance.random() < 0.5
    for wells in [list(plan.sites)] if together else [[well] for well in plan.sites]:
        mine = {key: stack for key, stack in stacks.items() if key[0] in wells}
        planes = {
            (scene, 0, *index): stack[index]
            for scene, stack in enumerate(mine.values())
            for index in np.ndindex(stack.shape[:3])
        }
        zeiss_files.czi(
            folder / f"scan{wells[0]}x.czi",
            planes,
            scenes=[(f"P{number + 1}", f"{well[0]}{int(well[1:])}") for number, (well, _) in enumerate(mine)],
            channels=plan.channels,
            compression=chance.choice(["raw", "zstd", "zstd packed"]),
        )
    return written


def flex(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write files of an Opera, one per well, whose pages are in any order."""
    written = Written(options={"reader": chance.choice(["auto", "flex"])})
    numbers = [CHANNELS.index(name) + 1 for name in plan.channels]
    cameras = [f"Exp{number}Cam{number}" for number in numbers]
    written.aliases = dict(zip(plan.channels, cameras, strict=True))
    plan = replace(plan, times=1)
    for well, sites in plan.sites.items():
        places = itertools.product(sites, range(1, plan.planes[well] + 1), range(1, len(plan.channels) + 1))
        keys = chance.sample(list(places), len(sites) * plan.planes[well] * len(plan.channels))
        planes = {
            (site, depth, number): coded.plane(
                written.value(Key(well, str(site), plan.channels[number - 1], str(depth)))
            )
            for site, depth, number in keys
        }
        name = f"{ord(well[0]) - 64:03}{int(well[1:]):03}000.flex"
        opera.flex(folder / name, well, planes, cameras=cameras)
    return written


def incell(folder: Path, plan: Plan, chance: random.Random) -> Written:
    """Write a plate of an IN Cell Analyzer."""
    written = Written(options={"reader": chance.choice(["auto", "incell"])})
    filters = {"DNA": ("UV", "DAPI"), "ER": ("Blue", "FITC"), "AGP": ("Green", "dsRed")}
    written.aliases = {name: " - ".join(filters[name]) for name in plan.channels}
    images = []
    for well, site, channel, plane, time, _ in plan.each():
        excitation, emission = filters[channel]
        column = int(well[1:])
        name = f"{well[0]} - {column}(fld {site} wv {excitation} - {emission} z {plane} time {time}).tif"
        coded.tiff(folder / name, written.value(Key(well, str(site), channel, str(plane), str(time))))
        images.append(
            f'<Image filename="{name}"><Well><Row number="{ord(well[0]) - 64}"/><Column number="{column}"/></Well>'
            f'<ExcitationFilter name="{excitation}"/><EmissionFilter name="{emission}"/>'
            f'<Identifier field_index="{site - 1}" time_index="{time - 1}" '
            f'wave_index="{plan.channels.index(channel)}" z_index="{plane - 1}"/></Image>'
        )
    text = "".join(chance.sample(images, len(images)))
    (folder / "P1.xdce").write_text(f"<?xml version='1.0'?><ImageStack><Images>{text}</Images></ImageStack>")
    return written


def _whole(plan: Plan) -> dict:
    """Return the options of a vendor's maker for a plate that contains the plan."""
    fields = max(max(sites) for sites in plan.sites.values())
    depth = max(plan.planes.values())
    return {"wells": list(plan.sites), "fields": fields, "planes": depth, "timepoints": plan.times}


def _filled(folder: Path, frame: pd.DataFrame, plan: Plan, written: Written, run: str) -> set[str]:
    """Put the values into the images of a vendor's maker; remove those that the plan lacks, and return their names."""
    ours = {theirs: name for name, theirs in written.aliases.items()}
    gone = set()
    for row in frame.to_dict("records"):
        path = folder / row["path"]
        if int(row["site"]) in plan.sites[row["well"]] and int(row["plane"]) <= plan.planes[row["well"]]:
            key = Key(row["well"], row["site"], ours[row["channel"]], row["plane"], row["timepoint"], run)
            specimens.write(path, coded.plane(written.value(key)), description=specimens.description(path))
        else:
            path.unlink()
            gone.add(path.name)
    return gone


def _without(index: Path, names: set[str]) -> None:
    """Remove from a vendor's table the records of these files, one a line."""
    lines = index.read_text(encoding="utf-8-sig").split("\n")
    first, last = lines[0], lines[-1]  # may hold the head and the foot besides a record
    kept = []
    for line in lines:
        hit = next((name for name in names if name in line), None)
        if hit is None:
            kept.append(line)
            continue
        tag = "Image " if "<Image " in line else "bts:MeasurementRecord "
        end = f"</{tag.strip()}>"
        if line in (first, last):
            head, _, rest = line.partition(f"<{tag}")
            kept.append(head + rest.partition(end)[2])
    index.write_text("\n".join(kept), encoding="utf-8")


def _stacks(plan: Plan, written: Written, order: str) -> dict[tuple[str, int], np.ndarray]:
    """Return the stack of each field, its axes as named before y and x."""
    stacks: dict[tuple[str, int], np.ndarray] = {}
    for well, site, channel, plane, time, _ in plan.each():
        at = {"t": time - 1, "z": plane - 1, "c": plan.channels.index(channel)}
        sizes = {"t": plan.times, "z": plan.planes[well], "c": len(plan.channels)}
        shape = (*(sizes[axis] for axis in order), *coded.SHAPE)
        stack = stacks.setdefault((well, site), np.zeros(shape, np.uint16))
        value = written.value(Key(well, str(site), channel, str(plane), str(time)))
        stack[tuple(at[axis] for axis in order)] = coded.plane(value)
    return stacks


def _image(path: Path, pixels: np.ndarray, chance: random.Random) -> None:
    if path.suffix == ".jp2":
        import imagecodecs

        path.write_bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True))
    else:
        specimens.write(path, pixels, compression=chance.choice([None, "lzw"]))


MAKERS: dict[str, Callable[[Path, Plan, random.Random], Written]] = {
    maker.__name__: maker
    for maker in (
        pattern, pages, imagej, ometiff, companion, omezarr, loaddata, harmony, columbus, imagexpress, cellvoyager,
        nikon, leica, zeiss, flex, incell,
    )
}  # fmt: skip


def described(plan: Plan, written: Written) -> str:
    """Return a plan as text, for a failed test."""
    return json.dumps({"plan": repr(plan), "options": written.options}, indent=1)
