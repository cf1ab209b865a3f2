"""The wells and channels of a table of images are compared with those in the names of the files."""

import itertools

import pandas as pd
import pytest

import coded
import vendors
from wellspring.index.readers import stated
from wellspring.index.readers.listing import complete

WELLS = ("A01", "A02", "B01", "B02", "C01")
FORMS = {
    "words": "{well}_s1_{channel}.tif",
    "Phenix": "r{row:02}c{column:02}f01p01-ch{number}sk1fk1fl1.tiff",
    "CellVoyager": "plate_{well}_T0001F001L01A01Z01C{number:02}.tif",
    "IN Cell": "{letter} - {column}(fld 1 wv {channel}).tif",
    "Cellomics": "MFGTMP_12_{well}f00d{number}.TIF",
    "after a GUID": "0b12f3a4-b12f-4c01-a02b-0123456789ab_{well}_w{number}.tif",
}


def planes(form, changed=()):
    """Return planes of two channels, whose names state them; ``changed``: (well, channel) to another name's."""
    rows = []
    for well, channel in itertools.product(WELLS, ("DNA", "ER")):
        own, stain = dict(changed).get((well, channel), (well, channel))
        name = form.format(
            well=own, letter=own[0], row="ABC".index(own[0]) + 1, column=int(own[1:]), channel=stain,
            number=("DNA", "ER").index(stain) + 1,
        )  # fmt: skip
        rows.append({"well": well, "channel": channel, "path": f"Images/{name}", "site": "1", "bytes": 1})
    return complete(pd.DataFrame(rows))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_wells_out_of_order_are_an_error_that_names_them(form, caplog):
    stated.check(planes(form), plate="P1", where="the table")
    assert not caplog.records
    turned = {("A01", "DNA"): ("B02", "DNA"), ("B02", "DNA"): ("A01", "DNA")}
    with pytest.raises(ValueError, match=r"P1: the table: .*found other wells for 2 of 10 files: .* is of A01"):
        stated.check(planes(form, turned.items()), plate="P1", where="the table")


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_files_of_another_channel_by_their_names_are_told(form, caplog):
    swapped = {("B02", one): ("B02", other) for one, other in (("DNA", "ER"), ("ER", "DNA"))}
    stated.check(planes(form, swapped.items()), plate="P1", where="the table")
    assert "the table gives 2 files another channel than their names state" in caplog.text
    assert "are two channels swapped?" in caplog.text


@pytest.mark.parametrize("name", ["Phenix", "CellVoyager", "Cellomics", "after a GUID"])
def test_channels_that_are_swapped_in_half_of_the_wells_are_told(name, caplog):
    pairs = (("DNA", "ER"), ("ER", "DNA"))
    swapped = {(well, one): (well, other) for well in ("B01", "B02") for one, other in pairs}
    table = planes(FORMS[name], swapped.items())
    stated.check(table[table["well"] != "C01"], plate="P1", where="the table")
    assert "the table gives files of one word in their names to several channels" in caplog.text
    assert caplog.text.count(" is of ") == 2


def test_channels_that_are_swapped_as_a_whole_are_told_by_their_names(caplog):
    swapped = {(well, one): (well, other) for well in WELLS for one, other in (("DNA", "ER"), ("ER", "DNA"))}
    stated.check(planes(FORMS["words"], swapped.items()), plate="P1", where="the table")
    assert "gives 10 files another channel" in caplog.text


def test_names_of_a_scheme_of_their_own_are_told_and_read(caplog):
    """A plate may have been turned before it was imaged: the table is then right, whatever the names say."""
    turned = {(well, each): (WELLS[place - 1], each) for place, well in enumerate(WELLS) for each in ("DNA", "ER")}
    stated.check(planes(FORMS["words"], turned.items()), plate="P1", where="the table")
    assert "found other wells for 10 of 10 files" in caplog.text


def test_a_name_of_a_well_that_the_table_lacks_is_told_and_read(caplog):
    numbered = {("C01", channel): ("A05", channel) for channel in ("DNA", "ER")}
    stated.check(planes(FORMS["words"], numbered.items()), plate="P1", where="the table")
    assert "found other wells for 2 of 10 files: A05_s1_DNA.tif is of C01" in caplog.text


def test_names_without_wells_and_channels_state_nothing(caplog):
    table = planes(FORMS["words"])
    numbered = table.assign(path=[f"{number:04}.tif" for number in range(len(table))])
    stated.check(numbered, plate="P1", where="the table")
    stated.check(table.assign(path="one.nd2"), plate="P1", where="the table")
    stated.check(table.assign(path=None), plate="P1", where="the table")
    assert not caplog.records


@pytest.mark.parametrize("maker", [vendors.harmony, vendors.cellvoyager])
def test_the_tables_of_microscopes_are_compared(tmp_path, maker):
    maker(tmp_path / "P1", wells=WELLS)
    table = next(path for path in (tmp_path / "P1").rglob("*") if path.suffix in (".xml", ".mlf"))
    text = table.read_text(encoding="utf-8-sig")
    a, b = ("r01c01f", "r02c02f") if maker is vendors.harmony else ("P1_A01_", "P1_B02_")
    table.write_text(text.replace(a, "#").replace(b, a).replace("#", b), encoding="utf-8-sig")
    with pytest.raises(ValueError, match="P1: .*expected the wells in the names of the files"):
        coded.build(tmp_path / "P1", WELLS, channels=["DNA"], at=tmp_path)
