"""What `init` makes of sub-folders and of images that its pattern misses: decided by evidence, stated, or refused."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coded
from wellspring.init import name_pattern, plates, subfolders

WELLS = ("A01", "A02", "B01", "B02")
NAME = "{well}_s{site}_{channel}.tif"


def write(folder, form=NAME, *, wells=WELLS, channels=("DNA", "ER"), start=50, **more):
    """Write a plane per well, site and channel; return the values by these."""
    written = {}
    for well in wells:
        for site in "12":
            for channel in channels:
                written[well, site, channel] = start + 3 * len(written)
                path = folder / form.format(well=well, site=site, channel=channel, **more)
                coded.tiff(path, written[well, site, channel])
    return written


@pytest.mark.parametrize(
    "names", [("T1", "T2"), ("Time 1", "Time 2"), ("0h", "24h"), ("t=1", "t=2"), ("exp_t01", "exp_t02")]
)
def test_folders_of_time_points_are_one_plate(names, tmp_path):
    for number, name in enumerate(names):
        write(tmp_path / "P1" / name, start=100 * number)
    (found,), options, notes = plates.look([tmp_path / "P1"])
    numbers = [int(re.findall("[0-9]+", name)[-1]) for name in names]
    assert sorted(int(time) for time in found.planes["timepoint"].unique()) == numbers
    assert (found.name, found.planes["acquisition"].nunique()) == ("P1", 1)
    for path, time in zip(found.planes["path"], found.planes["timepoint"], strict=True):
        assert path.split("/")[0] == names[numbers.index(int(time))]
    assert any("2 time points in sub-folders" in note for note in notes)
    assert int(options.timepoint) == numbers[0] and any("index.timepoint chooses another" in note for note in notes)
    both, options, _ = plates.look([tmp_path / "P1"], "plates")
    assert [plate.folder.name for plate in both] == sorted(names) and options.timepoint is None


@pytest.mark.parametrize("names", [("day 1", "day 2"), ("d1", "d2"), ("week_1", "week_2"), ("Round1", "Round2")])
def test_folders_of_a_series_are_refused_unless_their_meaning_is_stated(names, tmp_path):
    for number, name in enumerate(names):
        write(tmp_path / "P1" / name, start=100 * number)
    with pytest.raises(
        ValueError, match=r"P1: expected sub-folders that are plates, found .*--subfolders plates, parts or"
    ):
        plates.look([tmp_path / "P1"])
    both, _, _ = plates.look([tmp_path / "P1"], "plates")
    assert [plate.folder.name for plate in both] == list(names)
    (one,), options, _ = plates.look([tmp_path / "P1"], "timepoints")
    assert sorted(one.planes["timepoint"].unique()) == ["1", "2"] and options.timepoint == "1"


@pytest.mark.parametrize("names", [("1", "2"), ("Alpha", "Gamma"), ("x", "y")])
def test_folders_of_one_channel_each_are_refused_unless_their_meaning_is_stated(names, tmp_path):
    written = {}
    for name, channel in zip(names, ("DNA", "ER"), strict=True):
        written |= write(tmp_path / "P1" / name, channels=(channel,), start=100 if channel == "ER" else 10)
    with pytest.raises(ValueError, match="with other channels of the same wells: plates, parts of one plate"):
        plates.look([tmp_path / "P1"])
    (one,), options, _ = plates.look([tmp_path / "P1"], "parts")
    assert options.acquisition == "all" and set(one.planes["channel"]) == {"DNA", "ER"}
    assert len(plates.look([tmp_path / "P1"], "plates")[0]) == 2


@pytest.mark.parametrize("names", [("1", "2"), ("A", "B"), ("01", "02")])
def test_folders_of_one_row_each_with_its_bare_name_are_refused(names, tmp_path):
    for name, wells in zip(names, (WELLS[:2], WELLS[2:]), strict=True):
        write(tmp_path / "P1" / name, wells=wells)
    with pytest.raises(ValueError, match="one row each, whose name they have"):
        plates.look([tmp_path / "P1"])
    (one,), options, _ = plates.look([tmp_path / "P1"], "parts")
    assert options.acquisition == "all" and set(one.planes["well"]) == set(WELLS)


def test_files_of_two_plates_in_one_folder_are_refused_or_parts(tmp_path):
    write(tmp_path / "P1", "alpha_" + NAME, wells=WELLS[:2])
    write(tmp_path / "P1", "gamma_" + NAME, wells=WELLS[2:])
    with pytest.raises(ValueError, match=r"P1: expected one plate, found files of other wells .*'alpha', 'gamma'"):
        plates.look([tmp_path / "P1"])
    (one,), options, _ = plates.look([tmp_path / "P1"], "parts")
    assert options.acquisition == "all" and set(one.planes["well"]) == set(WELLS)


@pytest.mark.parametrize("form", [NAME, "scan.{well}-{site}-{channel}.tif"])
def test_images_that_the_pattern_misses_are_counted(form, tmp_path):
    write(tmp_path / "P1", form)
    for name in ("overview.tif", "A01_thumb.png"):
        coded.tiff(tmp_path / "P1" / name, 7)
    wells = [f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)]
    write(tmp_path / "P1", form, wells=wells)
    (found,), _, notes = plates.look([tmp_path / "P1"])
    assert len(found.planes) == 4 * 96
    words = "2 of 386 images are of no plate and left out, as ['A01_thumb.png', 'overview.tif']"
    assert sum(words in note for note in notes) == 1, notes


def test_a_default_that_fits_few_images_gives_way_to_a_pattern_that_fits_all(tmp_path):
    write(
        tmp_path / "P1", "x-{well}-f{site}-{channel}.tif", wells=[f"{row}{n:02d}" for row in "BC" for n in range(1, 9)]
    )
    coded.tiff(tmp_path / "P1" / "A01_s1_DNA.tif", 7)
    (found,), options, notes = plates.look([tmp_path / "P1"])
    assert options.pattern != plates.default().pattern and set(found.planes["site"]) == {"1", "2"}
    assert len(found.planes) == 64 and any("1 of 65 images are of no plate" in note for note in notes)


def test_a_row_or_run_in_small_letters_before_the_well_is_not_the_well():
    for runs in ((1,), (1, 2, 3)):
        names = [f"r{run:02d} {well}_{name}.ome.tif" for run in runs for well in WELLS for name in ("DNA", "ER")]
        found = name_pattern.propose(names, plates=len(runs) > 1)
        assert {re.fullmatch(found.pattern, name)["well"] for name in names} == set(WELLS)
    assert name_pattern.propose(names) is None  # what the runs are is not known


@settings(max_examples=80, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.sampled_from("ABCDEFGH"), min_size=1, max_size=3, unique=True),
    columns=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True),
    sites=st.integers(2, 9),
    mark=st.sampled_from(["S", "F", "s", "f"]),
    first=st.booleans(),
)
def test_a_well_is_told_from_a_site_that_looks_as_one(rows, columns, sites, mark, first):
    """`A01_S03`: the letter of sites is one for all images."""
    if len(rows) == 1 and not first and mark.isupper():
        return  # both may be the well; the first is taken
    form = "{well}_{site}_{channel}.tif" if first else "{site}_{well}_{channel}.tif"
    keys = [
        (f"{row}{column:02d}", f"{mark}{site:02d}")
        for row in rows
        for column in columns
        for site in range(1, sites + 1)
    ]
    names = {
        form.format(well=well, site=site, channel=channel): well for well, site in keys for channel in ("dapi", "gfp")
    }
    found = name_pattern.propose(list(names))
    assert found is not None
    assert {name: re.fullmatch(found.pattern, name)["well"] for name in names} == names


def test_a_pattern_of_time_points_keeps_that_of_the_names():
    assert subfolders.timed("x", ["T1", "T"]) is None and subfolders.timed("(?P<timepoint>x)", ["T1", "T2"]) is None
    found = re.compile(subfolders.timed(plates.default().pattern, ["a 1 t2", "a 1 t3"]))
    assert found.fullmatch("a 1 t3/A01_s1_w2.tif")["timepoint"] == "3" and not found.fullmatch("a 1/A01_s1_w2.tif")
