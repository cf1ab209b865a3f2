"""Limits of files at their boundary: what is at the limit is read, what is one beyond it is refused with its number."""

import gzip
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import budget


def test_limits_are_what_the_plates_need():
    """Bytes, values and pieces are stated in the message of each refusal; these are the numbers of the docs."""
    sizes = budget.TABLE_BYTES, budget.JSON_BYTES, budget.ELEMENTS, budget.CHUNKS, budget.CELLS, budget.DEPTH
    assert sizes == (268_435_456, 67_108_864, 4_194_304, 65_536, 33_554_432, 32)


def at_and_beyond(monkeypatch, name, amount, use):
    """Use a file that holds `amount` with this limit, and with one less."""
    monkeypatch.setattr(budget, name, amount)
    found = use()
    monkeypatch.setattr(budget, name, amount - 1)
    with pytest.raises(budget.OverBudgetError, match=f"at most {amount - 1:,} .*, found {amount:,}$"):
        use()
    monkeypatch.setattr(budget, name, amount + 10**9)
    return found


def test_json_is_limited_in_bytes_values_and_levels(tmp_path, monkeypatch):
    path, text = tmp_path / "a.json", '{"a": [1, 2, {"b": 3}], "c": 4}'
    path.write_text(text)
    wanted = {"a": [1, 2, {"b": 3}], "c": 4}
    assert at_and_beyond(monkeypatch, "JSON_BYTES", len(text), lambda: budget.json_of(path)) == wanted
    assert at_and_beyond(monkeypatch, "ELEMENTS", 6, lambda: budget.json_of(path)) == wanted, "3 commas, [, 2 times {"
    path.write_text("[" * 9000 + "]" * 9000)
    with pytest.raises(budget.OverBudgetError, match="too many levels"):
        budget.json_of(path)


def test_xml_is_limited_in_elements_and_attributes(monkeypatch):
    for text in ('<a b="1"><c d="2" e="3"/></a>', b'<a b="1"><c d="2" e="3"/></a>'):
        at_and_beyond(monkeypatch, "ELEMENTS", 6, lambda text=text: budget.check_xml(text, source="x"))


def test_tables_of_text_are_limited_in_cells(tmp_path, monkeypatch):
    text = "a,b\tc;d\n1,2\t3;4\n"
    at_and_beyond(monkeypatch, "CELLS", 8, lambda: budget.check_cells(text, tmp_path))
    at_and_beyond(monkeypatch, "CELLS", 4, lambda: budget.check_cells(text.encode(), tmp_path))


def test_pieces_of_a_plane_are_counted_upwards(monkeypatch):
    assert budget.chunks((10, 9), (5, 4), "x") == [2, 3]
    assert budget.chunks((10, 9), (0, 9), "x") == [10, 1], "a piece of no pixels counts as one pixel"
    at_and_beyond(monkeypatch, "CHUNKS", 6, lambda: budget.chunks((10, 9), (5, 4), "x"))


def test_packed_tables_are_limited_before_and_after_unpacking(tmp_path, monkeypatch):
    content = bytes(1000)
    (tmp_path / "a.csv").write_bytes(content)
    (tmp_path / "b.CSV.GZ").write_bytes(gzip.compress(content))
    for name in ("a.csv", "b.CSV.GZ"):
        found = at_and_beyond(monkeypatch, "TABLE_BYTES", 1000, lambda name=name: budget.unpacked(tmp_path / name))
        assert found.read() == content
    monkeypatch.setattr(budget, "BLOCK", 7)
    assert budget.unpacked(tmp_path / "b.CSV.GZ").read() == content
    with zipfile.ZipFile(tmp_path / "c.xlsx", "w") as archive:
        archive.writestr("one", content)
        archive.writestr("two", content[:500])
    at_and_beyond(monkeypatch, "TABLE_BYTES", 1500, lambda: budget.check_workbook(tmp_path / "c.xlsx"))


@pytest.mark.parametrize("names", [None, ["text", "gone", "number"], ["number"]])
def test_parquet_is_limited_in_cells_of_the_columns_that_are_read(tmp_path, monkeypatch, names):
    table = pa.table({"text": ["x", None, "yy"], "number": [1.5, 2.5, None], "other": [1, 2, 3]})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)
    cells = 3 * (3 if names is None else len(names))
    found = at_and_beyond(monkeypatch, "CELLS", cells, lambda: budget.parquet(tmp_path / "a.parquet", names))
    wanted = [name for name in table.column_names if names is None or name in names]
    assert sorted(found.column_names) == sorted(wanted)
    for name in wanted:
        assert found.column(name).to_pylist() == table.column(name).to_pylist()
        assert found.schema.field(name).type == table.schema.field(name).type


@given(st.lists(st.one_of(st.none(), st.text(max_size=9)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_text_is_measured_as_each_row_has_its_own(tmp_path_factory, rows):
    """Dictionaries of text count with their rows, in bytes of UTF-8; nulls count nothing."""
    coded = pa.table({"a": pa.array(rows, pa.string()).dictionary_encode(), "n": pa.array(range(len(rows)))})
    size = sum(len(row.encode()) for row in rows if row is not None)
    found = budget.decoded(coded, "x", most=size)
    assert found.column("a").to_pylist() == rows and found.schema.field("a").type == pa.string()
    if size:
        with pytest.raises(budget.OverBudgetError, match=f"at most {size - 1:,} bytes after unpacking, found {size:,}"):
            budget.decoded(coded, "x", most=size - 1)
    path = tmp_path_factory.mktemp("text") / "a.parquet"
    pq.write_table(pa.table({"a": pa.array(rows, pa.string())}), path, store_schema=False)
    assert budget.texts(pq.read_schema(path), ["b", "a"]) == ["a"]
    assert budget.parquet(path).column("a").to_pylist() == rows


def test_numbers_that_are_stored_as_a_dictionary_are_numbers():
    coded = pa.table({"a": pa.array([1.5, 2.5, 1.5]).dictionary_encode()})
    assert budget.decoded(coded, "x", most=0).column("a").to_pylist() == [1.5, 2.5, 1.5]


def test_columns_are_limited_by_their_size_unpacked(tmp_path):
    table = pa.table({"a": np.zeros(5000), "b": np.zeros(5000, np.int64)})
    pq.write_table(table, tmp_path / "a.parquet", use_dictionary=False, compression="zstd")
    groups = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    sizes = [groups.column(place).total_uncompressed_size for place in (0, 1)]
    for names, size in ((None, sum(sizes)), (["b"], sizes[1])):
        assert budget.parquet(tmp_path / "a.parquet", names, most=size).num_rows == 5000
        with pytest.raises(budget.OverBudgetError, match="bytes after unpacking"):
            budget.parquet(tmp_path / "a.parquet", names, most=size - 1)
