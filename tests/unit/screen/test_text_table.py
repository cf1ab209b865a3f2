"""A person's tables: separators, encodings, comments and words are read as they were written."""

import csv
import gzip
import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.index.readers import loaddata
from wellspring.screen import exclusions, platemap, sheet, text_table
from wellspring.screen.text_table import read

cells = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp", "Zs")), max_size=8)
cells = cells.filter(lambda cell: cell not in text_table.ERRORS and not cell.startswith('="'))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from("\t,;"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    st.lists(st.tuples(cells, cells, cells).filter(any), min_size=1, max_size=5),
)
def test_what_was_written_is_read(tmp_path_factory, separator, encoding, rows):
    rows = [row for row in rows if not row[0].startswith("#")]
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\n").writerows([("plate", "well", "name"), *rows])
    path = tmp_path_factory.mktemp("tables") / "sheet.txt"
    path.write_bytes(out.getvalue().encode(encoding))
    assert [tuple(row) for row in read(path).to_numpy()] == rows


@pytest.mark.parametrize("word", ["NA", "None", "null", "nan", "", "iPSC #3", "/data/Run #2/images", "1e5", "007"])
def test_words_stay_words(tmp_path, word):
    path = tmp_path / "sheet.tsv"
    path.write_text(f"plate\tname\trole\nP1\t{word}\theldout\n")
    assert read(path).loc[2].tolist() == ["P1", word, "heldout"]


def test_comments_are_whole_lines_and_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "sheet.csv"
    path.write_text('# head\nplate,name\n\n# P0,out\nP1,"two\nlines"\nP2,x,\n')
    found = read(path)
    assert found["name"].to_dict() == {5: "two\nlines", 7: "x"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found no text"),
        (b"plate,plate\nP1,x\n", "each column once, found \\['plate'\\]"),
        (b"plate,,name\nP1,x,y\n", "none for column 2"),
        (b"plate,name\nP1,x,y\n", "line 2: expected 2 cells"),
        ("plate,name\nP1,5 µm\n".encode("latin-1"), "line 2: expected UTF-8, found byte 0xb5.*Latin-1"),
        ("plate,name\nP1,x\n".encode("utf-16-le"), "zero bytes"),
        (b"PK\x03\x04", "ending .xlsx"),
    ],
)
def test_what_is_no_table_is_named(tmp_path, content, message):
    path = tmp_path / "sheet.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_a_workbook_of_one_sheet(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in [("plate", "dose", "name"), ("# note",), ("P1", 3.0, "NA"), ("P2", 0.5, None)]:
        book.active.append(row)
    book.save(tmp_path / "sheet.xlsx")
    assert read(tmp_path / "sheet.xlsx").to_numpy().tolist() == [["P1", "3", "NA"], ["P2", "0.5", ""]]
    book.create_sheet("more")
    book.save(tmp_path / "sheet.xlsx")
    with pytest.raises(ValueError, match=r"the sheets \['Sheet', 'more'\]"):
        read(tmp_path / "sheet.xlsx")


def test_a_table_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(_):
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "sheet.csv"
    path.write_text("plate\nP1\n")
    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(ValueError, match="sheet.csv: expected a table that can be read, found: Permission denied"):
        read(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_packed_table_is_read_as_the_plain_one(tmp_path, encoding, separator):
    text = "well,compound\nA01,NA\nA02,drug #3\n".replace(",", separator)
    (tmp_path / "well.csv").write_bytes(text.encode(encoding))
    (tmp_path / "well.csv.gz").write_bytes(gzip.compress(text.encode(encoding)))
    plain, packed = (text_table.read(tmp_path / name) for name in ("well.csv", "well.csv.gz"))
    assert packed["compound"].tolist() == ["NA", "drug #3"]
    pd.testing.assert_frame_equal(plain, packed)


def test_a_damaged_or_exploding_packed_table_is_refused(tmp_path, monkeypatch):
    data = gzip.compress(b"well,compound\n" + b"A01,x\n" * 999)
    (tmp_path / "cut.csv.gz").write_bytes(data[:-12])
    with pytest.raises(ValueError, match="cut.csv.gz: expected a gzip file that can be unpacked"):
        text_table.read(tmp_path / "cut.csv.gz")
    (tmp_path / "large.csv.gz").write_bytes(data)
    monkeypatch.setattr(text_table, "LARGEST", 1000)
    with pytest.raises(ValueError, match="large.csv.gz: expected at most 1,000 bytes after unpacking"):
        text_table.read(tmp_path / "large.csv.gz")


@pytest.mark.parametrize("words", [("|", "names are separated by `|`"), (" ", "names must be separated by a tab")])
def test_separators_that_are_not_read_are_named_by_all_readers(tmp_path, words):
    between, message = words
    heads = {
        "plates.tsv": (["plate", "images", "platemap"], sheet.read),
        "map.txt": (["well", "compound", "dose_uM"], lambda path: platemap.read(path, plate="P1")),
        "excluded.tsv": (exclusions.COLUMNS, exclusions.read),
        "load_data.csv": (["Metadata_Well", "FileName_DNA"], lambda path: loaddata.planes(path.parent, plate="P1")),
    }
    for name, (columns, reader) in heads.items():
        (tmp_path / name).write_text(f"{between.join(columns)}\n{between.join('x' * len(columns))}\n")
        with pytest.raises(ValueError, match=re.escape(name)) as found:
            reader(tmp_path / name)
        assert message in str(found.value)
