"""Vectors in parts: flat in memory, whole or absent, in order, read back a row group at a time."""

import weakref

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import embeddings, tables

WRITTEN = {"table": "embed", "provenance": {"rule": "embed"}}


def part(well: str, count: int, *, first: int = 1, width: int = 3, dtype=np.float16) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": well,
            "Metadata_Site": "1",
            "Metadata_View": np.arange(first, first + count),
            "Metadata_Center_Y": 0.5,
            "Metadata_Center_X": 1.5,
        }
    )
    start = sum(map(ord, well)) + first
    return frame, (start + np.arange(count * width, dtype=np.float32).reshape(count, width) / 8).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_parts_come_back_as_one_table(tmp_path, dtype):
    parts = [part("A01", 5, dtype=dtype), part("A01", 0, dtype=dtype), part("A02", 4, dtype=dtype)]
    parts.append(part("A02", 2, first=5, dtype=dtype))
    path = tmp_path / "a.parquet"
    assert embeddings.write_parts(iter(parts), path, values=12, **WRITTEN) == 11
    frame, matrix = tables.read_embedding(path)
    expected = pd.concat([frame for frame, _ in parts], ignore_index=True)
    assert frame["Metadata_View"].tolist() == expected["Metadata_View"].tolist()
    assert matrix.dtype == dtype
    np.testing.assert_array_equal(matrix, np.concatenate([matrix for _, matrix in parts]))
    assert pq.ParquetFile(path).num_row_groups == 3
    assert embeddings.names_of(path) is None
    rows, opened = embeddings.open_embedding(path)
    pd.testing.assert_frame_equal(rows, frame)
    picked = np.array([10, 0, 4, 5, 5])
    assert opened.shape == (11, 3) and opened.dtype == dtype
    np.testing.assert_array_equal(opened[picked], matrix[picked])


def test_rows_of_a_part_are_sorted_and_the_same_parts_give_the_same_bytes(tmp_path):
    frame, matrix = part("A01", 6)
    shuffled = np.random.default_rng(0).permutation(6)
    for name, order in {"a": np.arange(6), "b": shuffled}.items():
        embeddings.write_parts([(frame.iloc[order], matrix[order])], tmp_path / f"{name}.parquet", **WRITTEN)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_names_are_kept_and_an_empty_table_is_valid(tmp_path):
    names = ["Area", "Texture"]
    embeddings.write_parts([], tmp_path / "a.parquet", names=names, **WRITTEN)
    embeddings.write_parts([part("A01", 0)], tmp_path / "b.parquet", verdict=tables.Verdict().because("x"), **WRITTEN)
    assert embeddings.names_of(tmp_path / "a.parquet") == names
    assert embeddings.Vectors(tmp_path / "a.parquet").shape == (0, 2)
    assert tables.read_embedding(tmp_path / "b.parquet")[1].shape == (0, 3)
    assert tables.verdict(tmp_path / "b.parquet") == tables.Verdict(False, ("x",))


@pytest.mark.parametrize(
    ("parts", "options", "message"),
    [
        ([], {}, "expected at least one part, which may be empty, found none"),
        ([part("A01", 2), part("A02", 2, width=4)], {}, "expected vectors of 3 values, found 4"),
        ([part("A01", 2)], {"names": ["Area"]}, "expected vectors of 1 values, found 3"),
        ([part("A02", 2), part("A01", 2)], {}, r"in the order of their keys, found \('P1', 'A01', '1', 1\) after"),
        ([part("A01", 2), part("A01", 2, first=2)], {}, "in the order of their keys"),
        ([(part("A01", 2)[0], part("A01", 3)[1])], {}, "expected 2 vectors, found 3"),
        ([part("A01", 2), (part("A02", 2)[0].assign(Metadata_View=7), part("A02", 2)[1])], {}, "found doubled"),
    ],
)
def test_what_does_not_fit_is_named_and_leaves_no_file(tmp_path, parts, options, message):
    with pytest.raises(ValueError, match=message):
        embeddings.write_parts(parts, tmp_path / "a.parquet", values=2, **options, **WRITTEN)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_halfway_leaves_no_file(tmp_path):
    def halfway():
        yield part("A01", 4)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        embeddings.write_parts(halfway(), tmp_path / "a.parquet", values=1, **WRITTEN)
    assert list(tmp_path.iterdir()) == []


def test_no_more_than_a_row_group_is_held(tmp_path):
    alive: list[weakref.ref] = []
    most = 0

    def parts():
        nonlocal most
        for number in range(60):
            frame, matrix = part(f"A{number:02d}", 10)
            alive.append(weakref.ref(matrix))
            yield frame, matrix
            del frame, matrix
            most = max(most, sum(each() is not None for each in alive))

    embeddings.write_parts(parts(), tmp_path / "a.parquet", values=5 * 30, **WRITTEN)
    assert most <= 7
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 12


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_rows_in_any_order_are_read(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("rows") / "a.parquet"
    parts = [part(f"A{number:02d}", data.draw(st.integers(0, 6))) for number in range(1, 5)]
    embeddings.write_parts(parts, path, values=data.draw(st.integers(1, 30)), **WRITTEN)
    matrix = np.concatenate([matrix for _, matrix in parts])
    opened = embeddings.Vectors(path)
    for _ in range(3):
        if len(matrix):
            start = data.draw(st.integers(0, len(matrix) - 1))
            run = np.arange(start, data.draw(st.integers(start, len(matrix))))
            np.testing.assert_array_equal(opened[run], matrix[run])
        some = np.array(data.draw(st.lists(st.integers(0, max(len(matrix) - 1, 0)), max_size=len(matrix))), dtype=int)
        np.testing.assert_array_equal(opened[some], matrix[some])


def test_groups_are_closed_at_the_number_of_values_and_not_before(tmp_path):
    parts = [part(f"A{number:02d}", 2) for number in range(1, 8)]  # six numbers each
    for values, groups in ((6, [2] * 7), (7, [4, 4, 4, 2]), (12, [4, 4, 4, 2]), (13, [6, 6, 2])):
        embeddings.write_parts(parts, tmp_path / "a.parquet", values=values, **WRITTEN)
        found = pq.ParquetFile(tmp_path / "a.parquet").metadata
        assert [found.row_group(number).num_rows for number in range(found.num_row_groups)] == groups, values
