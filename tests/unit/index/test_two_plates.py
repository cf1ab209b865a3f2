"""A folder above two plates, or two measurements, is never read as one; folders of wells or channels are one plate."""

import random

import numpy as np
import pytest

import coded
import containers
import opera
import random_plates
from random_plates import Plan
from wellspring.init import plates

SECOND = {  # wells and sites of the second plate, beside the wells A01 and A02 with the sites 1 and 2 of the first
    "the same wells": (("A01", "A02"), (1, 2)),
    "other wells": (("B05", "B06"), (1, 2)),
    "other sites": (("A01", "A02"), (3, 4)),
    "one well": (("A02",), (1,)),
}
ONE_UP = (
    "omezarr",
    "loaddata",
    "imagexpress",
    "cellvoyager",
    "incell",
)  # of their plates one folder holds one at the most
COUNTED = ("companion", "nikon", "leica", "zeiss")  # sites are counted over all folders
RENAMED = (".json", ".csv", ".xml", ".ome", ".zattrs", ".mlf", ".mes", ".mrf", ".htd")  # files that name the plate


def write(reader, folder, name, wells, sites, channels=("DNA", "ER")):
    """Write a plate of the random plates' maker, under a name of its own in its metadata and file names."""
    plan = Plan(dict.fromkeys(wells, sites), dict.fromkeys(wells, 1), channels, times=1, acquisitions=1)
    folder.parent.mkdir(exist_ok=True)
    written = random_plates.MAKERS[reader](folder, plan, random.Random(1))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and (path.suffix.lower() in RENAMED or path.name == ".zattrs"):
            content = path.read_bytes()
            for before, after in ((b'"', b'"'), (b"'", b"'"), (b">", b"<"), (b"/", b"/"), (b"", b",")):
                content = content.replace(before + b"P1" + after, before + name.encode() + after)
            path.write_bytes(content)
        if path.name.startswith("P1"):
            path.rename(path.with_name(path.name.replace("P1", name, 1)))
    return written


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("reader", random_plates.MAKERS)
def test_a_folder_above_two_plates_is_refused_by_their_names(reader, second, tmp_path):
    if reader in random_plates.PACKAGES:
        pytest.importorskip(random_plates.PACKAGES[reader])
    wells, sites = SECOND[second]
    day = tmp_path / "day"
    written = write(reader, day / "Alpha", "Alpha", ("A01", "A02"), (1, 2))
    write(reader, day / "Gamma", "Gamma", wells, sites)
    build = {"channels": ["DNA", "ER"], "aliases": written.aliases, "at": tmp_path, "plate": "day", **written.options}
    for lost_wells in ("error", "report"):
        with pytest.raises(ValueError, match=r"Alpha.*Gamma|found the files"):
            coded.build(day, sorted({"A01", "A02", *wells}), lost_wells=lost_wells, **build)
    if reader not in ONE_UP:
        chosen = coded.build(day, ["A01", "A02"], acquisition="Alpha", **build)
        assert sorted(coded.read(chosen, day).values()) == sorted(written.values.values())
    if reader != "pages":  # nothing names their pages, which `init` refuses
        found, _, _ = plates.look([day])
        assert [(plate.name, plate.folder) for plate in found] == [(name, day / name) for name in ("Alpha", "Gamma")]
        assert [set(plate.planes["well"]) for plate in found] == [{"A01", "A02"}, set(wells)]


def test_two_plates_of_an_opera_are_refused_by_their_names(tmp_path):
    values = {}
    for number, name in enumerate(("Alpha", "Gamma")):
        for column in (1, 2):
            planes = {(1, 1, channel): coded.plane(100 * number + 10 * column + channel) for channel in (1, 2)}
            opera.flex(tmp_path / "day" / name / f"00100{column}000.flex", f"A0{column}", planes, plate=name)
            values[name, column] = [100 * number + 10 * column + channel for channel in (1, 2)]
    build = {"channels": ["DNA", "ER"], "aliases": {"DNA": "Exp1Cam1", "ER": "Exp2Cam2"}, "at": tmp_path, "plate": "x"}
    with pytest.raises(ValueError, match=r"x: expected one acquisition, found \{'Alpha'.*'Gamma'.*two plates"):
        coded.build(tmp_path / "day", ["A01", "A02"], **build)
    chosen = coded.build(tmp_path / "day", ["A01", "A02"], acquisition="Gamma", **build)
    assert list(coded.read(chosen, tmp_path / "day").values()) == [*values["Gamma", 1], *values["Gamma", 2]]


def test_two_files_of_the_same_wells_are_two_plates_and_files_of_one_well_are_its_sites(tmp_path):
    pytest.importorskip("nd2")
    stack = np.stack([coded.plane(value) for value in (11, 12, 13, 14)]).reshape(1, 4, 1, 1, *coded.SHAPE)
    build = {"channels": ["DNA"], "at": tmp_path, "plate": "x"}
    for name, more in (("Alpha", 0), ("Gamma", 100)):
        names = ("A01_0001", "A01_0002", "A02_0001", "A02_0002")
        (tmp_path / "one").mkdir(exist_ok=True)
        containers.nd2(tmp_path / f"one/{name}.nd2", stack + more, positions=names, channels=["DNA"], pixel=0.65)
        for well in ("A01", "A02"):
            path = tmp_path / f"names/{name}_Well{well}_Seq0000.nd2"
            path.parent.mkdir(exist_ok=True)
            containers.nd2(path, stack[:, :1] + more, positions=["0"], channels=["DNA"], pixel=0.65)
    for folder in ("one", "names"):
        with pytest.raises(ValueError, match=r"x: expected one acquisition, found \{'Alpha'.*'Gamma'"):
            coded.build(tmp_path / folder, ["A01", "A02"], **build)
        chosen = coded.build(tmp_path / folder, ["A01", "A02"], acquisition="Gamma", **build)
        values = [111, 112, 113, 114] if folder == "one" else [111, 111]
        assert [int(value) for value in coded.read(chosen, tmp_path / folder).values()] == values
    for number in (1, 2):
        for well in ("A01", "A02"):
            path = tmp_path / f"sites/Well{well}_Seq000{number}.nd2"
            path.parent.mkdir(exist_ok=True)
            containers.nd2(path, stack[:, :1] + 5 * number, positions=["0"], channels=["DNA"], pixel=0.65)
    found = coded.build(tmp_path / "sites", ["A01", "A02"], **build)
    assert coded.read(found, tmp_path / "sites") == {
        (well, str(number), "DNA", "1"): 11 + 5 * number for well in ("A01", "A02") for number in (1, 2)
    }


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (("Alpha", "Gamma"), False), (("scan_001", "scan_002"), False), (("A", "B"), False),
        (("Row A", "Row B"), True), (("day1 row_A", "day1 row_B"), True),
    ],
)  # fmt: skip
def test_files_of_other_wells_are_one_plate_only_if_their_names_state_their_rows(names, one, tmp_path):
    pytest.importorskip("nd2")
    stack = np.stack([coded.plane(value) for value in (11, 12)]).reshape(1, 2, 1, 1, *coded.SHAPE)
    (tmp_path / "one").mkdir()
    for row, name in zip("AB", names, strict=True):
        positions = (f"{row}01_0001", f"{row}02_0001")
        pixels = stack + (100 if row == "B" else 0)
        containers.nd2(tmp_path / f"one/{name}.nd2", pixels, positions=positions, channels=["DNA"], pixel=0.65)
    wells, build = ["A01", "A02", "B01", "B02"], {"channels": ["DNA"], "at": tmp_path, "plate": "x"}
    if not one:
        with pytest.raises(ValueError, match=rf"x: expected one acquisition, found \{{'{names[0]}'.*'{names[1]}'"):
            coded.build(tmp_path / "one", wells, **build)
    found = coded.build(tmp_path / "one", wells, acquisition=None if one else "all", **build)
    assert [int(value) for value in coded.read(found, tmp_path / "one").values()] == [11, 12, 111, 112]


@pytest.mark.parametrize("reader", [name for name in random_plates.MAKERS if name not in ("pages", "imagej")])
def test_two_plates_of_one_channel_each_are_no_channels_of_one(reader, tmp_path):
    """All but the readers that call every plate's first channel 1."""
    if reader in random_plates.PACKAGES:
        pytest.importorskip(random_plates.PACKAGES[reader])
    day = tmp_path / "day"
    written = {
        name: write(reader, day / name, name, ("A01", "A02"), (1, 2), (channel,))
        for name, channel in (("Alpha", "DNA"), ("Gamma", "ER"))
    }
    aliases = written["Alpha"].aliases | written["Gamma"].aliases
    build = {"channels": ["DNA", "ER"], "aliases": aliases, "at": tmp_path, "plate": "day", **written["Alpha"].options}
    for lost_wells in ("error", "report"):
        with pytest.raises(ValueError, match=r"Alpha.*Gamma|found the files"):
            coded.build(day, ["A01", "A02"], lost_wells=lost_wells, **build)
    if reader in ONE_UP:
        return
    chosen = coded.read(coded.build(day, ["A01", "A02"], acquisition="Gamma", **build), day)
    assert sorted(filter(None, chosen.values())) == sorted(written["Gamma"].values.values())
    if reader not in ("harmony", "columbus"):  # which read one measurement
        if reader in COUNTED:
            build["aliases"] = {"DNA": "DNA@Alpha", "ER": "ER@Gamma"}
            joined = coded.read(coded.build(day, ["A01", "A02"], **build), day)
        else:
            joined = coded.read(coded.build(day, ["A01", "A02"], acquisition="all", **build), day)
        assert {(key[0], key[2], value) for key, value in joined.items()} == {
            (key.well, key.channel, value) for each in written.values() for key, value in each.values.items()
        }


@pytest.mark.parametrize("names", [("plate-1", "plate-2"), ("1", "2"), ("P1", "P2"), ("1001", "1002")])
@pytest.mark.parametrize("reader", ["zeiss", "companion"])
def test_plates_of_one_site_are_no_sites_of_one_plate_whatever_their_number(reader, names, tmp_path):
    for name in names:
        write(reader, tmp_path / "day" / name, name, ("A01", "A02"), (1,))
    with pytest.raises(ValueError, match=rf"x: expected one acquisition, found \{{'{names[0]}'.*'{names[1]}'"):
        coded.build(tmp_path / "day", ["A01", "A02"], channels=["DNA", "ER"], at=tmp_path, plate="x")


def test_descriptions_of_two_plates_in_one_folder_are_refused_unless_one_is_the_sheets(tmp_path):
    for name in ("Alpha", "Gamma"):
        plan = Plan({"A01": (1,), "A02": (1,)}, {"A01": 1, "A02": 1}, ("DNA",), times=1, acquisitions=1)
        random_plates.companion(tmp_path / name, plan, random.Random(3))
        for path in (tmp_path / name).iterdir():
            text = path.read_bytes()
            (tmp_path / "both").mkdir(exist_ok=True)
            named = text if path.suffix != ".ome" else text.replace(b"'P1'", f"'{name}'".encode()).replace(
                b"FileName='", f"FileName='{name}_".encode()
            )  # fmt: skip
            (tmp_path / "both" / f"{name}_{path.name}").write_bytes(named)
    build = {"channels": ["DNA"], "at": tmp_path}
    with pytest.raises(ValueError, match=r"expected one acquisition, found \{'Alpha'.*'Gamma'"):
        coded.build(tmp_path / "both", ["A01", "A02"], plate="x", **build)
    found = coded.build(tmp_path / "both", ["A01", "A02"], plate="Gamma", **build)
    assert {path.split("_")[0] for path in found.table["Metadata_Path"]} == {"Gamma"}
    assert len(found.table) == 2


ORDERS = [
    "{well}/s{site}_{channel}_t{time}_z{plane}.tif",
    "scan {well} x/s{site}_{channel}_t{time}_z{plane}.tif",
    "Row {row}/Col {column}/f{site}_{channel}_t{time}_z{plane}.tif",
    "{row}/{column}/f{site}/{channel}_t{time}_z{plane}.tif",
    "r{number}c{column}/f{site}_{channel}_t{time}_z{plane}.tif",
    "{channel}/{well}_s{site}_t{time}_z{plane}.tif",
    "day {time}/{channel}/{well}_s{site}_z{plane}.tif",
    "stack/Z {plane}/{well}_s{site}_{channel}_t{time}.tif",
    "{well}/{channel}/Site_{site}/t{time}_z{plane}.tif",
    "W{index:04d}/{well}_s{site}_{channel}_t{time}_z{plane}.tif",
    "Field {site}/{well}_{channel}_t{time}_z{plane}.tif",
]
GROUPS = {
    "well": "[A-Z][0-9]+", "row": "[A-Z]", "column": "[0-9]+", "number": "[0-9]+", "site": "[0-9]+",
    "channel": "[A-Z]+", "time": "[0-9]+", "plane": "[0-9]+",
}  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_folders_of_one_measurement_stay_one(order, tmp_path):
    written = {}
    pattern = order.replace("{index:04d}", "[0-9]+")
    for name, group in GROUPS.items():
        called = {"time": "timepoint", "number": "row"}.get(name, name)
        pattern = pattern.replace(f"{{{name}}}", f"(?P<{called}>{group})")
    for well in ("A01", "B02", "B11"):
        for site in "123" if well == "A01" else "12":
            for channel in ("DNA", "ER"):
                for plane in "12":
                    for time in "12":
                        names = {"well": well, "row": well[0], "column": well[1:], "site": site, "channel": channel,
                                 "number": ord(well[0]) - 64, "index": 12 * (ord(well[0]) - 65) + int(well[1:]),
                                 "plane": plane, "time": time}  # fmt: skip
                        value = 50 + len(written)
                        coded.tiff(tmp_path / "P1" / order.format(**names), value)
                        written[well, site, channel, plane, time] = value
    build = {"channels": ["DNA", "ER"], "at": tmp_path, "pattern": pattern, "reader": "pattern", "timepoint": "2"}
    found = coded.read(coded.build(tmp_path / "P1", ["A01", "B02", "B11"], **build), tmp_path / "P1")
    assert found == {key[:4]: value for key, value in written.items() if key[4] == "2"}


def test_parts_of_a_plate_are_joined_where_the_config_says_so(tmp_path):
    for part, well in (("first half", "A01"), ("second half", "B02")):
        coded.tiff(tmp_path / "P1" / part / f"{well}_s1_DNA.tif", ord(well[0]))
    build = {"channels": ["DNA"], "at": tmp_path}
    with pytest.raises(ValueError, match="parts of one measurement: `index.acquisition: all`"):
        coded.build(tmp_path / "P1", ["A01", "B02"], **build)
    found = coded.build(tmp_path / "P1", ["A01", "B02"], acquisition="all", **build)
    assert list(coded.read(found, tmp_path / "P1").values()) == [ord("A"), ord("B")]


def test_images_beside_sub_folders_are_not_mixed_with_them(tmp_path):
    coded.tiff(tmp_path / "P1" / "A01_s1_DNA.tif", 7)
    coded.tiff(tmp_path / "P1" / "trial" / "A01_s2_DNA.tif", 8)
    build = {"channels": ["DNA"], "at": tmp_path}
    with pytest.raises(ValueError, match=r"found \{'\.': \['DNA'\], 'trial': \['DNA'\]\}"):
        coded.build(tmp_path / "P1", ["A01"], **build)
    found = coded.build(tmp_path / "P1", ["A01"], acquisition=".", **build)
    assert list(coded.read(found, tmp_path / "P1").values()) == [7]
