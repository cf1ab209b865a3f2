"""Sub-folders and beginnings of file names are parts of one plate on evidence alone; else they are refused by name."""

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import coded

WELLS = ("A01", "A02", "B01", "B02")
CHANNELS = ("DNA", "ER")
OPTIONS = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}


def write(folder, place):
    """Write four wells of two sites and channels, each at the path that `place` returns; return values by key."""
    written = {}
    for well in WELLS:
        for site in "12":
            for channel in CHANNELS:
                value = 40 + 3 * len(written)
                coded.tiff(folder / place(well, site, channel), value)
                written[well, site, channel, "1"] = value
    return written


def by(names, key):
    """Return paths in folders, by a number of the well, site and channel."""
    return lambda well, site, channel: f"{names[key(well, site, channel)]}/{well}_s{site}_{channel}.tif"


KEYS = {
    "channel": lambda well, site, channel: CHANNELS.index(channel),
    "row": lambda well, site, channel: "AB".index(well[0]),
    "column": lambda well, site, channel: int(well[1:]) - 1,
    "site": lambda well, site, channel: int(site) - 1,
}
STATED = {
    "channel": [("DNA", "ER"), ("dna", "er"), ("1 DNA", "2-ER"), ("w_DNA", "w_ER"), ("stain DNA", "stain ER")],
    "row": [("Row A", "Row B"), ("row_1", "row_2"), ("ROW01", "ROW02")],
    "column": [("Column 1", "Column 2"), ("col01", "col02")],
    "site": [("site 1", "site 2"), ("F001", "F002"), ("Field_1", "Field_2"), ("pos 1", "pos 2")],
}
BARE = [("1", "2"), ("01", "02"), ("A", "B"), ("Alpha", "Gamma"), ("plate 1", "plate 2"), ("P1", "P2"), ("r1", "r2"),
        ("2024-01-01", "2024-01-02"), ("x", "y")]  # fmt: skip


@pytest.mark.parametrize(("kind", "names"), [(kind, names) for kind, all_of in STATED.items() for names in all_of])
def test_folders_that_state_what_they_hold_are_one_plate(kind, names, tmp_path):
    written = write(tmp_path / "P", by(names, KEYS[kind]))
    found = coded.build(tmp_path / "P", WELLS, channels=CHANNELS, at=tmp_path)
    assert coded.read(found, tmp_path / "P") == written


@pytest.mark.parametrize("names", BARE)
@pytest.mark.parametrize("kind", KEYS)
def test_other_folders_are_refused_by_name_and_joined_where_the_config_says_so(kind, names, tmp_path):
    written = write(tmp_path / "P", by(names, KEYS[kind]))
    build = {"channels": CHANNELS, "at": tmp_path}
    with pytest.raises(ValueError, match=rf"expected one acquisition, found .*'{names[0]}'.*'{names[1]}'.*: all`"):
        coded.build(tmp_path / "P", WELLS, **build)
    assert coded.read(coded.build(tmp_path / "P", WELLS, acquisition="all", **build), tmp_path / "P") == written
    first = {key: value for key, value in written.items() if not KEYS[kind](*key[:3])}
    chosen = coded.build(tmp_path / "P", WELLS, acquisition=names[0], lost_wells="report", **build)
    read = coded.read(chosen, tmp_path / "P")
    assert {key: value for key, value in read.items() if value is not None} == first


@pytest.mark.parametrize("plates", [("P1", "P2"), ("Plate 1", "plate 2"), ("day1", "day2"), ("BR00117", "BR00118")])
@pytest.mark.parametrize(("kind", "parts"), [("channel", CHANNELS), ("site", ("s1", "s2"))])
def test_folders_that_number_plates_too_are_refused(kind, parts, plates, tmp_path):
    """`P1_DNA` and `P2_ER` may be two plates of one channel each, although each states its channel."""
    names = tuple(f"{plate}_{part}" for plate, part in zip(plates, parts, strict=True))
    write(tmp_path / "P", by(names, KEYS[kind]))
    with pytest.raises(ValueError, match=r"expected one acquisition, found .*: all`") as error:
        coded.build(tmp_path / "P", WELLS, channels=CHANNELS, at=tmp_path)
    assert all(repr(name) in str(error.value) for name in names)


def test_folders_of_one_numbered_plate_are_its_parts(tmp_path):
    written = write(tmp_path / "P", by(("P7_DNA", "P7_ER"), KEYS["channel"]))
    assert coded.read(coded.build(tmp_path / "P", WELLS, channels=CHANNELS, at=tmp_path), tmp_path / "P") == written


@pytest.mark.parametrize("before", ["", "P7_"])
def test_wells_that_look_like_days_are_wells(before, tmp_path):
    for number, well in enumerate(("D01", "D02")):
        coded.tiff(tmp_path / "P" / f"{before}{well}" / f"{well}_s1_DNA.tif", 40 + number)
    found = coded.build(tmp_path / "P", ["D01", "D02"], channels=["DNA"], at=tmp_path)
    assert coded.read(found, tmp_path / "P") == {("D01", "1", "DNA", "1"): 40, ("D02", "1", "DNA", "1"): 41}


@pytest.mark.parametrize(
    ("kind", "names", "group"),
    [
        ("row", ("1", "2"), "(?P<row>[0-9])/[A-Z](?P<column>[0-9]+)_s(?P<site>[0-9])_(?P<channel>[A-Z]+).tif"),
        ("site", ("1", "2"), "(?P<site>[0-9])/(?P<well>[A-Z][0-9]+)_s[0-9]_(?P<channel>[A-Z]+).tif"),
        ("channel", ("1", "2"), "(?P<channel>[0-9])/(?P<well>[A-Z][0-9]+)_s(?P<site>[0-9])_[A-Z]+.tif"),
    ],
)
def test_a_pattern_may_take_the_part_from_the_folder(kind, names, group, tmp_path):
    written = write(tmp_path / "P", by(names, KEYS[kind]))
    aliases = {"DNA": "1", "ER": "2"} if kind == "channel" else {}
    found = coded.build(tmp_path / "P", WELLS, channels=CHANNELS, aliases=aliases, at=tmp_path, pattern=group)
    assert coded.read(found, tmp_path / "P") == written


def test_folders_of_channels_whose_files_are_of_two_plates_are_refused(tmp_path):
    heads = dict(zip(CHANNELS, ("alpha", "gamma"), strict=True))
    write(tmp_path / "P", lambda well, site, channel: f"{channel}/{heads[channel]}_{well}_s{site}_{channel}.tif")
    with pytest.raises(ValueError, match=r"found \{'alpha'.*'gamma'"):
        coded.build(tmp_path / "P", WELLS, channels=CHANNELS, at=tmp_path)


@pytest.mark.parametrize("names", [("alpha", "gamma"), ("P1", "P2"), ("2024-01-01", "2024-01-02")])
@pytest.mark.parametrize("kind", KEYS)
def test_files_of_two_beginnings_in_one_folder_are_refused(kind, names, tmp_path):
    def place(well, site, channel):
        return f"{names[KEYS[kind](well, site, channel)]}_{well}_s{site}_{channel}.tif"

    written = write(tmp_path / "P", place)
    build = {"channels": CHANNELS, "at": tmp_path}
    with pytest.raises(ValueError, match=rf"found \{{'{names[0].lower()}'.*'{names[1].lower()}'"):
        coded.build(tmp_path / "P", WELLS, **build)
    assert coded.read(coded.build(tmp_path / "P", WELLS, acquisition="all", **build), tmp_path / "P") == written


def test_beginnings_of_one_well_each_are_no_plates(tmp_path):
    """As running numbers and times are."""
    written = write(tmp_path / "P", lambda well, site, channel: f"T{WELLS.index(well)}900_{well}_s{site}_{channel}.tif")
    assert coded.read(coded.build(tmp_path / "P", WELLS, channels=CHANNELS, at=tmp_path), tmp_path / "P") == written


@settings(max_examples=60, **OPTIONS)
@given(
    kind=st.sampled_from(sorted(KEYS)),
    names=st.lists(st.text("ab12 _-PRC", min_size=1, max_size=6).map(str.strip), min_size=2, max_size=2),
)
def test_random_names_are_joined_only_if_they_state_the_part(kind, names, tmp_path_factory):
    """Of random names those of the sentences below are a statement: all others are refused."""
    names = tuple(names)
    if not all(names) or names[0].casefold() == names[1].casefold():
        return
    folder = tmp_path_factory.mktemp("random")
    write(folder / "P", by(names, KEYS[kind]))
    with pytest.raises(ValueError, match="expected one acquisition"):
        coded.build(folder / "P", WELLS, channels=CHANNELS, at=folder)


WELLS_OF = st.lists(st.sampled_from(["A01", "A02", "B01", "B02", "C05"]), min_size=1, max_size=3, unique=True)
SITES_OF = st.lists(st.sampled_from("123"), min_size=1, max_size=2, unique=True)
CHANNELS_OF = st.lists(st.sampled_from(["DNA", "ER", "w1", "w2", "1", "2"]), min_size=1, max_size=2, unique=True)


@settings(max_examples=80, **OPTIONS)
@given(
    first=st.tuples(WELLS_OF, SITES_OF, CHANNELS_OF),
    second=st.tuples(WELLS_OF, SITES_OF, CHANNELS_OF),
    names=st.sampled_from([names for names in BARE if names != ("x", "y")]),
    beside=st.booleans(),
)
def test_two_random_plates_are_never_read_as_one(first, second, names, beside, tmp_path_factory):
    """In two folders, or in one folder under names that begin differently."""
    folder, value = tmp_path_factory.mktemp("random"), 40
    for (wells, sites, channels), name in ((first, names[0]), (second, names[1])):
        for well, site, channel in itertools.product(wells, sites, channels):
            file = f"{well}_s{site}_{channel}.tif"
            coded.tiff(folder / "P" / (f"{name.replace(' ', '-')}_{file}" if beside else f"{name}/{file}"), value)
            value += 3
    wells, channels = sorted({*first[0], *second[0]}), sorted({*first[2], *second[2]})
    for lost_wells in ("error", "report"):
        with pytest.raises(ValueError, match="expected one acquisition"):
            coded.build(folder / "P", wells, channels=channels, at=folder, lost_wells=lost_wells)
