"""Tables: the contract is checked by name, files are whole or absent, the same frame gives the same bytes."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import tables
from wellspring.io.shipped import TABLE_SCHEMAS
from wellspring.io.tables import Verdict

PROVENANCE = {"rule": "crops", "seed": 1}


def crops(count: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metadata_Plate": "P1",
            "Metadata_Well": [f"A{number + 1:02d}" for number in range(count)],
            "Metadata_Site": "1",
            "Metadata_Cell": np.arange(count) + 1,
            "Metadata_Center_Y": np.linspace(0, 1, count),
            "Metadata_Center_X": 2.5,
            "Metadata_Row": np.arange(count),
            "Metadata_Batch": "B1",
        }
    )


def profiles(count: int = 3) -> pd.DataFrame:
    spec = tables.schema("profile")["columns"]
    empty = {"string": "x", "int32": 1, "int64": 1, "float32": 0.5, "float64": 0.5, "bool": True}
    frame = pd.DataFrame({name: [empty[column["type"]]] * count for name, column in spec.items()})
    return frame.assign(Metadata_Well=[f"A{number + 1:02d}" for number in range(count)])


def test_round_trip_casts_sorts_and_keeps_provenance_and_verdict(tmp_path):
    frame = crops().iloc[::-1]
    verdict = Verdict().because("no controls").because("too dark").because("no controls")
    tables.write(frame, tmp_path / "a.parquet", table="crops", provenance=PROVENANCE, verdict=verdict)
    found = tables.read(tmp_path / "a.parquet")
    assert found["Metadata_Well"].tolist() == ["A01", "A02", "A03", "A04"]
    assert found["Metadata_Cell"].dtype == np.int32
    assert found["Metadata_Center_Y"].dtype == np.float32
    assert tables.provenance(tmp_path / "a.parquet") == PROVENANCE
    assert tables.verdict(tmp_path / "a.parquet") == Verdict(False, ("no controls", "too dark"))


@given(st.permutations(range(4)))
@settings(max_examples=10, deadline=None)
def test_bytes_do_not_depend_on_the_order_of_rows_or_columns(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("tables")
    shuffled = crops().iloc[order]
    shuffled = shuffled[list(reversed(shuffled.columns))]
    for name, frame in {"a": crops(), "b": shuffled}.items():
        tables.write(frame, folder / f"{name}.parquet", table="crops", provenance=PROVENANCE)
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()


def test_empty_table_is_valid(tmp_path):
    tables.write(crops(0), tmp_path / "a.parquet", table="crops", provenance=PROVENANCE)
    assert tables.read(tmp_path / "a.parquet").empty
    assert pq.read_schema(tmp_path / "a.parquet").field("Metadata_Row").type == "int64"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="Metadata_Row"), r"crops: expected the columns \['Metadata_Row'\]"),
        (
            lambda frame: frame.assign(cell_0=1.0),
            r"crops: expected no further columns than its schema's, found \['cell_0'\]",
        ),
        (
            lambda frame: frame.assign(Metadata_Batch=None),
            "crops: Metadata_Batch: expected no nulls, found 4 of 4 rows",
        ),
        (lambda frame: frame.assign(Metadata_Row="x"), "crops: Metadata_Row: expected int64"),
        (lambda frame: pd.concat([frame, frame.head(1)]), "expected one row for each .* found doubled .*P1/A01/1/1"),
    ],
)
def test_what_breaks_the_schema_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        tables.conform(change(crops()), table="crops")


def test_unknown_table_is_named():
    with pytest.raises(ValueError, match="nonsense: expected a schema at .*nonsense.yaml"):
        tables.schema("nonsense")


def test_features_are_float32_and_nulls_stay_null(tmp_path):
    frame = profiles().assign(
        simclr_0=[0.5, np.nan, 2.0], Metadata_Compound=["DMSO", None, np.nan], Metadata_Dose_Group="low"
    )
    tables.write(frame, tmp_path / "a.parquet", table="profile", provenance=PROVENANCE)
    found = tables.read(tmp_path / "a.parquet")
    assert tables.features(found) == ["simclr_0"]
    assert found["simclr_0"].dtype == np.float32
    assert found["Metadata_Compound"].tolist() == ["DMSO", None, None]
    assert found["Metadata_Dose_Group"].tolist() == ["low"] * 3


def test_a_failed_write_leaves_nothing(tmp_path):
    def interrupted():
        with tables.atomic(tmp_path / "a.npy") as path:
            path.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with tables.atomic(tmp_path / "deep" / "a.npy") as path:
        assert path.suffix == ".npy"
        path.write_text("whole")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["a.npy"]


def test_foreign_parquet_is_told_from_a_table(tmp_path):
    crops().to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="expected a table of this workflow"):
        tables.verdict(tmp_path / "a.parquet")


def test_every_schema_is_complete():
    files = sorted(TABLE_SCHEMAS.glob("*.yaml"))
    assert files
    for file in files:
        spec = yaml.safe_load(file.read_text())
        assert spec["table"] == file.stem
        assert spec["doc"]
        assert spec.get("extra", "none") in ("none", "metadata", "features")
        assert set(spec["key"]) <= set(spec["columns"]), file
        for name, column in spec["columns"].items():
            assert column["type"] in {*tables.TYPES, "embedding"}, f"{file.stem}: {name}"
            assert column["doc"], f"{file.stem}: {name}"
            assert name.startswith("Metadata_") or column["type"] != "string", f"{file.stem}: {name}"
        assert not any(spec["columns"][name].get("nullable") for name in spec["key"]), file


def test_what_a_killed_process_left_of_the_same_file_goes(tmp_path):
    stale, other = tmp_path / ".P1.123.part.npy", tmp_path / ".P1.x.123.part.npy"
    stale.write_text("half"), other.write_text("another file's")
    with tables.atomic(tmp_path / "P1.npy") as path:
        path.write_text("whole")
    assert not stale.exists() and other.exists()
    assert (tmp_path / "P1.npy").read_text() == "whole"


def test_a_file_in_folders_that_do_not_exist_yet_is_written(tmp_path):
    tables.write(crops(), tmp_path / "results" / "crops" / "P1.parquet", table="crops", provenance=PROVENANCE)
    assert len(tables.read(tmp_path / "results" / "crops" / "P1.parquet")) == 4


def test_what_another_writer_removes_first_is_no_error(tmp_path, monkeypatch):
    """Two writers of one file list the same leftovers, and one of them is quicker."""
    gone = tmp_path / ".P1.123.part.npy"
    monkeypatch.setattr(type(tmp_path), "iterdir", lambda folder: iter([gone]))
    with tables.atomic(tmp_path / "P1.npy") as path:
        path.write_text("whole")
    assert (tmp_path / "P1.npy").read_text() == "whole"


def test_further_metadata_has_the_type_of_its_values(tmp_path):
    frame = profiles().assign(
        Metadata_Flag=[True, False, True],
        Metadata_Order=[3, 1, 2],
        Metadata_Dose=[0.5, np.nan, 2.0],
        Metadata_Note=["a", None, "b"],
        Metadata_Nothing=np.nan,
    )
    found = tables.conform(frame, table="profile").schema
    types = {name: str(found.field(f"Metadata_{name}").type) for name in ("Flag", "Order", "Dose", "Note", "Nothing")}
    assert types == {"Flag": "bool", "Order": "int64", "Dose": "double", "Note": "string", "Nothing": "string"}


def test_columns_are_read_as_asked(tmp_path):
    tables.write(crops(), tmp_path / "a.parquet", table="crops", provenance=PROVENANCE)
    assert list(tables.read(tmp_path / "a.parquet", ["Metadata_Cell", "Metadata_Well"])) == [
        "Metadata_Cell",
        "Metadata_Well",
    ]


def test_only_text_is_stored_with_a_dictionary_and_everything_but_vectors_is_compressed(tmp_path):
    frame = crops(5).drop(columns=["Metadata_Cell", "Metadata_Row", "Metadata_Batch"]).assign(Metadata_View=range(5))
    arrow = tables.with_vectors(frame, np.ones((5, 3), np.float32), table="embed")
    pq.write_table(arrow, tmp_path / "a.parquet", **tables.parquet_options(arrow.schema))
    group = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0)
    columns = [group.column(number) for number in range(group.num_columns)]
    for column in columns:
        text = column.physical_type == "BYTE_ARRAY"
        assert any("DICTIONARY" in name for name in column.encodings) is text, column.path_in_schema
        vectors = column.path_in_schema.startswith("embedding")
        assert column.compression == ("UNCOMPRESSED" if vectors else "ZSTD"), column.path_in_schema


def test_vectors_follow_their_rows_and_none_is_lost(tmp_path):
    frame = crops(5).drop(columns=["Metadata_Cell", "Metadata_Row", "Metadata_Batch"]).assign(Metadata_View=range(5))
    matrix = np.arange(15, dtype=np.float32).reshape(5, 3)
    order = [3, 0, 4, 2, 1]
    arrow = tables.with_vectors(frame.iloc[order], matrix[order], table="embed")
    field = arrow.schema.field("embedding")
    assert not field.nullable and not field.type.value_field.nullable and field.type.list_size == 3
    pq.write_table(arrow, tmp_path / "a.parquet")
    rows, found = tables.read_embedding(tmp_path / "a.parquet")
    assert rows["Metadata_View"].tolist() == list(range(5)) and "embedding" not in rows
    np.testing.assert_array_equal(found, matrix)
    assert "embedding" not in tables.read(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="embed: expected 5 vectors, found 4"):
        tables.with_vectors(frame, matrix[:4], table="embed")


def test_numbers_as_text_are_cast_and_other_text_is_refused():
    cast = tables.conform(crops().assign(Metadata_Row=["4", "3", "2", "1"]), table="crops")
    assert cast.column("Metadata_Row").to_pylist() == [4, 3, 2, 1]
    text = tables.conform(crops().assign(Metadata_Site=1), table="crops")
    assert text.column("Metadata_Site").to_pylist() == ["1"] * 4


def test_a_verdict_gives_its_reasons_as_notes():
    verdict = Verdict().because("blank").because("too_few(found=3)").because("blank")
    assert [note.code for note in verdict.notes] == ["blank", "too_few"]
    assert verdict.notes[1].values == {"found": 3} and not verdict.keep
    assert Verdict().keep and Verdict().notes == ()
