"""Stored tables: a bit that changes anywhere in a file is an error that names it, or changes nothing that is read."""

import gc
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wellspring.io import embeddings, sealed, tables

FLIPS = 300


def rows(wells: int) -> pd.DataFrame:
    """Return rows of a table `embed`, three per well."""
    names = [f"{chr(65 + well // 12)}{well % 12 + 1:02d}" for well in range(wells)]
    frame = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": np.repeat(names, 3)})
    frame = frame.assign(Metadata_Site="1", Metadata_View=np.tile(np.arange(3, dtype=np.int32), wells))
    return frame.assign(Metadata_Center_Y=np.float32(1), Metadata_Center_X=np.float32(2))


@pytest.fixture
def embedding(tmp_path):
    """Return a table `embed` of 4 row groups of uncompressed vectors."""
    frame, path = rows(24), tmp_path / "P1.parquet"
    matrix = np.random.default_rng(7).normal(size=(len(frame), 5)).astype(np.float32)
    parts = [(frame.iloc[at : at + 18], matrix[at : at + 18]) for at in range(0, len(frame), 18)]
    embeddings.write_parts(parts, path, table="embed", provenance={"version": "0.2.0"}, values=90)
    assert pq.read_metadata(path).num_row_groups == 4
    return path


def flipped(path, rng):
    """Yield the file's bytes with one bit changed, at places drawn over the whole file."""
    content = path.read_bytes()
    for place in rng.integers(0, 8 * len(content), FLIPS):
        other = bytearray(content)
        other[place // 8] ^= 1 << (place % 8)
        yield int(place), bytes(other)


def everything(path):
    """Return all that the workflow reads of a table of vectors, both ways, as comparable values."""
    frame, matrix = tables.read_embedding(path)
    lazy, vectors = embeddings.open_embedding(path)
    assert lazy.equals(frame)
    one = vectors[np.arange(len(vectors))]
    return frame.to_csv(), matrix.tobytes(), one.tobytes(), tables.metadata(path), tables.verdict(path)


def test_a_flipped_bit_of_an_embedding_is_an_error_by_name_or_changes_nothing(embedding, tmp_path):
    right, caught = everything(embedding), 0
    for place, content in flipped(embedding, np.random.default_rng(11)):
        damaged = tmp_path / "damaged.parquet"
        damaged.write_bytes(content)
        try:
            found = everything(damaged)
        except ValueError as error:
            assert "damaged.parquet" in str(error), (place, error)
            caught += 1
        else:
            assert found == right, place
    assert caught > 0.9 * FLIPS


def test_vectors_are_verified_when_they_are_read_and_no_others(embedding):
    content = bytearray(embedding.read_bytes())
    column = pq.read_metadata(embedding).row_group(2).column(6)
    assert column.path_in_schema.startswith("embedding")
    place = column.data_page_offset + column.total_compressed_size - 3
    content[place] ^= 8
    embedding.write_bytes(content)
    vectors = embeddings.Vectors(embedding)
    with pytest.raises(ValueError, match=r"P1.parquet: the bytes \d+ to \d+ are damaged") as raised:
        vectors[np.arange(36, 40)]
    start, end = map(int, re.search(r"(\d+) to (\d+)", str(raised.value)).groups())
    assert start <= place < end
    assert vectors[np.arange(54, 60)].shape == (6, 5)


def test_large_pages_are_parts_of_their_own_and_rows_are_read_without_them(tmp_path):
    """Damaged vectors do not keep the rows from being read, and damaged rows not the vectors of another group."""
    frame, path = rows(24), tmp_path / "P1.parquet"
    matrix = np.random.default_rng(8).normal(size=(len(frame), 9000)).astype(np.float32)
    parts = [(frame.iloc[at : at + 36], matrix[at : at + 36]) for at in (0, 36)]
    embeddings.write_parts(parts, path, table="embed", provenance={}, values=36 * 9000)
    right = path.read_bytes()
    assert len(sealed.seal(path).parts) > 4
    found, vectors = embeddings.open_embedding(path)
    pd.testing.assert_frame_equal(found, tables.read_embedding(path)[0])
    np.testing.assert_array_equal(vectors[np.arange(len(frame))], matrix)
    assert right.count(matrix[50, 4000].tobytes()) >= 1
    path.write_bytes(right.replace(matrix[50].tobytes(), matrix[49].tobytes()))
    pd.testing.assert_frame_equal(tables.read(path), found)
    with pytest.raises(ValueError, match=r"P1.parquet: the bytes"):
        embeddings.Vectors(path)[np.arange(len(frame))]
    with pytest.raises(ValueError, match=r"P1.parquet: the bytes"):
        tables.read_embedding(path)
    start, stop = sealed.chunk(pq.read_metadata(path), 1, "Metadata_Well")
    path.write_bytes(right[:start] + bytes(byte ^ 1 for byte in right[start:stop]) + right[stop:])
    np.testing.assert_array_equal(embeddings.Vectors(path)[np.arange(36)], matrix[:36])
    with pytest.raises(ValueError, match=r"P1.parquet: the bytes"):
        tables.read(path)


def test_a_table_is_verified_also_where_some_columns_are_read(tmp_path):
    path, frame = tmp_path / "table.parquet", rows(8)
    frame = frame.rename(columns={"Metadata_View": "Metadata_Cell"})
    frame = frame.assign(Metadata_Row=np.arange(len(frame)), Metadata_Batch="b")
    tables.write(frame, path, table="crops", provenance={"version": "0.2.0"})
    right = tables.read(path, ["Metadata_Row"])
    for place, content in flipped(path, np.random.default_rng(13)):
        path.write_bytes(content)
        try:
            found = tables.read(path, ["Metadata_Row"])
        except ValueError as error:
            assert "table.parquet" in str(error), (place, error)
        else:
            assert found.equals(right), place


def test_the_dictionary_of_a_column_is_verified_with_it(tmp_path):
    """A dictionary of more than a part of the seal: 24,000 batches."""
    rng, path = np.random.default_rng(3), tmp_path / "table.parquet"
    frame = rows(8000).rename(columns={"Metadata_View": "Metadata_Cell"})
    frame = frame.assign(
        Metadata_Row=np.arange(len(frame)), Metadata_Batch=[rng.bytes(12).hex() for _ in range(len(frame))]
    )
    tables.write(frame, path, table="crops", provenance={"version": "0.2.0"})
    group = pq.read_metadata(path).row_group(0)
    columns = {group.column(place).path_in_schema: group.column(place) for place in range(group.num_columns)}
    start, stop = columns["Metadata_Batch"].dictionary_page_offset, columns["Metadata_Batch"].data_page_offset
    assert stop - start > 2 * sealed.LARGE
    content = bytearray(path.read_bytes())
    content[(start + stop) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"table.parquet: the bytes"):
        tables.read(path, ["Metadata_Batch"])
    assert tables.read(path, ["Metadata_Row"])["Metadata_Row"].tolist() == list(range(len(frame)))


@pytest.mark.parametrize("left", [0, 3, 7, 200, -1])
def test_a_cut_table_is_an_error_by_name(embedding, left):
    embedding.write_bytes(embedding.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"P1.parquet: expected a Parquet file"):
        tables.read(embedding)


def test_a_table_without_a_seal_is_read(embedding, tmp_path):
    other = tmp_path / "other.parquet"
    pq.write_table(pq.read_table(embedding), other)
    assert sealed.seal(other) is None
    assert tables.read(other).equals(tables.read(embedding))


def test_the_same_rows_give_the_same_bytes(tmp_path):
    matrix = np.ones((24, 3), np.float32)
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for path in paths:
        embeddings.write_parts([(rows(8), matrix)], path, table="embed", provenance={})
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_an_error_between_row_groups_leaves_no_writer_that_writes_later(tmp_path):
    form = pa.schema([("value", pa.float64())])
    with (
        pytest.raises(ValueError, match="no more rows"),
        sealed.Writer(tmp_path / "cut.parquet", form, {}) as writer,
    ):
        writer.write(pa.table({"value": np.arange(9.0)}, schema=form), rows=3)
        raise ValueError("no more rows")
    del writer
    gc.collect()
    with pytest.raises(ValueError, match="cut.parquet"):
        tables.read(tmp_path / "cut.parquet")
