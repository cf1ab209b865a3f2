"""Beginnings of file names in one folder: joined on evidence that they are of one plate, else refused by name."""

import logging
import random

import pandas as pd
import pytest

import coded
from wellspring.index.readers import beginnings
from wellspring.screen import well_names

PLATE = [well_names.join(row, str(column)) for row in "ABCDEFGH" for column in range(1, 13)]
COLUMNS = [well_names.join(row, str(column)) for column in range(1, 13) for row in "ABCDEFGH"]
SNAKE = [
    well_names.join("ABCDEFGH"[row], str(column + 1))
    for row in range(8)
    for column in (range(12) if row % 2 == 0 else reversed(range(12)))
]


def judged(pairs, extra=()):
    """Return the plates of files, given as (beginning, well)."""
    planes = pd.DataFrame([(well, "1", head) for head, well in [*pairs, *extra]], columns=["well", "site", "head"])
    found = beginnings.of_plates(planes["head"], planes, plate="x", keys=["well", "site"])
    return None if found is None else found.tolist()


@pytest.mark.parametrize(
    "names",
    [
        ("p1", "p2"), ("plate 1", "plate 2"), ("plate_01", "plate_02"), ("alpha", "gamma"), ("1", "2"), ("", "p2"),
        ("br00117", "br00118"), ("assayplate1", "assayplate2"), ("platte-1", "platte-2"), ("2024-01-01", "2024-01-02"),
        ("rep1", "rep2"), ("day 1", "day 2"), ("exp1_run1", "exp1_run2"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("wells", [("A01", "A02"), ("B05", "A01")])
def test_two_plates_of_one_well_each_are_refused(names, wells):
    assert judged(zip(names, wells, strict=True)) == list(names)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_words_that_number_plates_are_plates_however_many(count):
    pairs = [(f"hts_p{n + 1}_x", PLATE[n]) for n in range(count)]
    assert judged(pairs) == [head for head, _ in pairs]


@pytest.mark.parametrize("form", ["%Y%m%d", "%Y-%m-%d", "x_%d.%m.%Y", "%d%b%Y_x20", "%m_%d_%Y", "hts %Y.%m.%d"])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_days_are_plates_however_many_and_in_the_order_of_wells(form, count):
    days = [day.strftime(form).casefold() for day in pd.date_range("2024-01-29", periods=count)]
    assert judged(list(zip(days, PLATE, strict=False))) == days


@pytest.mark.parametrize("form", ["%d.%m.%Y_%H-%M-%S", "%m-%d-%Y %I.%M.%S %p", "%m_%d_%Y_%H_%M", "p7 %d-%m-%Y-%H%M%S"])
@pytest.mark.parametrize("count", [2, 3, 40])
def test_days_before_the_year_with_a_time_are_stamps(form, count):
    moments = pd.date_range("2023-12-31 21:00", periods=count, freq="997s")
    wells = random.Random(count).sample(PLATE, count)
    assert judged([(one.strftime(form).casefold(), well) for one, well in zip(moments, wells, strict=True)]) is None


def test_plates_of_which_one_has_a_well_are_plates():
    assert judged([("p1", "A01"), ("p1", "A02"), ("p10", "A03")]) == ["p1", "p1", "p10"]
    assert judged([("alpha", "A01"), ("alpha", "A02"), ("gamma", "A03")]) == ["alpha", "alpha", "gamma"]


def test_numbers_of_files_behind_the_plate_do_not_hide_it():
    pairs = [("alpha_001", "A01"), ("alpha_002", "A02"), ("gamma_003", "A03"), ("gamma_004", "A04")]
    assert judged(pairs) == ["alpha", "alpha", "gamma", "gamma"]
    pairs = [("p1_20240131t1201", "A01"), ("p1_20240131t1203", "A02"), ("p2_20240131t1301", "A03")]
    assert judged(pairs) == ["p1", "p1", "p2"]


@pytest.mark.parametrize("seed", range(40))
def test_stamps_of_each_well_are_one_plate(seed):
    """Drawn dates and times, GUIDs and hashes, in front of drawn wells in any order."""
    chance = random.Random(seed)
    wells = chance.sample(PLATE, chance.choice([2, 3, 20, 96]))
    moments = pd.date_range("2023-12-31 21:00", periods=2000, freq="37s")[
        sorted(chance.sample(range(2000), len(wells)))
    ]
    form = chance.choice(
        ["%Y%m%dT%H%M%S", "%Y-%m-%d_%H-%M-%S", "%Y%m%d-%H%M%S", "%Y%m%d%H%M%S", "%Y-%m-%dT%H.%M.%SZ", "T%H%M%S",
         "%d%b%Y_%Hh%Mm%Ss", "%s", "guid", "hash"]
    )  # fmt: skip
    hexes = [f"{chance.getrandbits(128):032x}" for _ in wells]
    if form == "guid":
        stamps = ["-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:])) for h in hexes]
    elif form == "hash":
        stamps = [f"a{h[:9]}1f" for h in hexes]
    elif form == "%s":
        stamps = [str(int(moment.timestamp())) for moment in moments]
    else:
        stamps = [moment.strftime(form) for moment in moments]
    before, after = chance.choice(["", "p7_", "screen 3 "]), chance.choice(["", "_x20"])
    heads = [f"{before}{stamp}{after}".casefold() for stamp in stamps]
    assert judged(list(zip(heads, wells, strict=True))) is None


@pytest.mark.parametrize("order", [PLATE, COLUMNS, SNAKE], ids=["rows", "columns", "to and fro"])
@pytest.mark.parametrize(("form", "count"), [("{:03d}", 3), ("img{}", 12), ("{}_x", 96), ("point {}", 40), ("p{}", 96)])
def test_numbers_that_run_on_from_well_to_well_are_one_plate(order, form, count):
    assert judged([(form.format(n + 1), well) for n, well in enumerate(order[:count])]) is None


def test_numbers_in_no_order_of_the_wells_are_joined_with_a_warning_if_they_are_few(caplog):
    pairs = list(zip(("3", "1", "2"), ("A01", "A02", "A03"), strict=True))
    with caplog.at_level(logging.WARNING):
        assert judged(pairs) is None
    assert "are taken for names of the wells of one plate" in caplog.text
    caplog.clear()
    chance = random.Random(2)
    wells, numbers = chance.sample(PLATE, 30), chance.sample(range(100, 999), 30)
    assert judged([(f"cpd{number}", well) for number, well in zip(numbers, wells, strict=True)]) is None
    assert caplog.text == ""


def test_names_of_each_well_are_one_plate_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert judged([("taxol", "A01"), ("dmso", "A02"), ("nocodazole", "B01")]) is None
    assert "3 beginnings of file names with one well each" in caplog.text
    assert "group plate in index.pattern" in caplog.text


@pytest.mark.parametrize(("count", "told"), [(3, True), (7, True), (8, False), (40, False)])
def test_few_numbers_in_the_order_of_the_wells_are_joined_with_a_warning(count, told, caplog):
    pairs = [(f"sq000{14812 + place}", well) for place, well in enumerate(PLATE[:count])]
    with caplog.at_level(logging.WARNING):
        assert judged(pairs) is None
    assert ("are taken for numbers of the wells of one plate" in caplog.text) == told


def test_a_copied_file_is_left_to_the_checks_of_planes():
    assert judged([("p1", "A01"), ("p1", "A02"), ("p1", "A03"), ("copy of p1", "A02")]) is None


@pytest.mark.parametrize("names", [("P1", "P2"), ("Alpha", "Gamma"), ("1", "2")])
def test_two_plates_of_one_well_each_end_by_name_with_the_remedy(names, tmp_path):
    for number, (name, well) in enumerate(zip(names, ("A01", "A02"), strict=True)):
        coded.tiff(tmp_path / "P" / f"{name}_{well}_s1_DNA.tif", 40 + number)
    build = {"channels": ["DNA"], "at": tmp_path}
    with pytest.raises(ValueError, match=rf"found \{{'{names[0].lower()}'.*'{names[1].lower()}'.*group plate.*: all`"):
        coded.build(tmp_path / "P", ["A01", "A02"], **build)
    joined = coded.build(tmp_path / "P", ["A01", "A02"], acquisition="all", **build)
    assert list(coded.read(joined, tmp_path / "P").values()) == [40, 41]
    one = coded.build(tmp_path / "P", ["A02"], acquisition=names[1].lower(), **build)
    assert list(coded.read(one, tmp_path / "P").values()) == [41]


@pytest.mark.parametrize(
    ("names", "plates"), [(("1", "2"), True), (("t0900", "t0930"), False), (("p1", "old p1"), False)]
)
def test_one_well_under_two_beginnings_is_two_plates_unless_it_was_copied_or_imaged_again(names, plates):
    assert judged([(names[0], "A01"), (names[1], "A01")]) == (list(names) if plates else None)


@pytest.mark.parametrize("head", ["xxxhts_a", "copy of hts_a", "my-hts_a", "oldhts_a"])
def test_text_before_the_name_of_one_file_makes_no_plate_of_it(head):
    pairs = [("hts_a", well) for well in PLATE[:5]]
    assert judged(pairs, [(head, PLATE[7])]) is None
    assert judged(pairs, [(head, PLATE[7]), (head, PLATE[8])]) is not None


def test_a_beginning_that_another_of_one_well_ends_with_is_a_plate():
    pairs = [("plate1", PLATE[0]), ("assayplate1", PLATE[1])]
    assert judged(pairs) == ["plate1", "assayplate1"]
