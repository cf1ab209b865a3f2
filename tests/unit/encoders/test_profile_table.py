"""Foreign profile tables: read as text and numbers, brought into order, each mistake named."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.api.score import Options, read
from wellspring.encoders import profile_table
from wellspring.io import embeddings, tables
from wellspring.io.tables import Verdict
from wellspring.profile.aggregate import aggregate

NAMES = ["Cells_Area", "Nuclei_Texture"]


def frame(wells, *, plate="P1", seed=0, **columns):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": list(wells), **columns})
    return table.assign(**{name: rng.normal(size=len(table)).astype(np.float32) for name in NAMES})


def write(table, path, **options):
    if path.name.endswith(".parquet"):
        table.to_parquet(path, **{"index": False, **options})
    else:
        table.to_csv(path, **{"index": False, **options})
    return path


def embed(table, path, folder):
    """Write the views of an open table as rule ingest does; return rows and vectors as they are read back."""
    embeddings.write_parts(table.parts(folder), path, names=table.features, table="embed", provenance=table.origin)
    return tables.read_embedding(path)


@pytest.mark.parametrize("suffix", ["parquet", "csv", "csv.gz"])
def test_a_well_table_comes_out_as_one_view_a_well(tmp_path, suffix):
    table = pd.concat([frame(["b2", "A1", "a-03"], seed=1), frame(["A01"], plate="P2", seed=2)], ignore_index=True)
    table["Metadata_Compound"], table["ImageNumber"] = "x", 7
    table.loc[1, "Cells_Area"], table.loc[2, "Cells_Area"] = np.nan, np.inf
    path = write(table, tmp_path / f"all.{suffix}")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "A03", "B02", "B03"])
    assert opened.features == NAMES
    assert opened.verdict == Verdict()
    assert opened.origin["absent"] == ["B03"]
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    assert rows["Metadata_Well"].tolist() == ["A01", "A03", "B02"]
    assert (rows["Metadata_View"] == 1).all() and (rows["Metadata_Site"] == "").all()
    assert rows["Metadata_Center_Y"].isna().all()
    np.testing.assert_array_equal(matrix, table.loc[[1, 2, 0], NAMES].to_numpy(dtype=np.float32))
    assert matrix.dtype == np.float32
    assert embeddings.names_of(tmp_path / "embed.parquet") == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"all.{suffix}", "embed.parquet"]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_cells_in_any_order_and_of_any_row_group_come_out_sorted(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cells")
    cells = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from(["P1", "P2"]),
                st.sampled_from(["A01", "B1"]),
                st.sampled_from(["1", "2", "10"]),
                st.integers(1, 99),
            ),
            unique=True,
            max_size=40,
        )
    )
    keys = [f"Metadata_{name}" for name in ("Plate", "Well", "Site", "ObjectNumber")]
    table = pd.DataFrame(cells, columns=keys).astype({"Metadata_ObjectNumber": "int64"})
    table = table.assign(Cells_Area=np.arange(len(table)) / 4, Nuclei_Texture=-np.arange(len(table)) / 4)
    path = write(table, folder / "cells.parquet", row_group_size=data.draw(st.integers(1, 50)))
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "B01"], kind="cell")
    rows, matrix = embed(opened, folder / "embed.parquet", folder)
    expected = table[table["Metadata_Plate"] == "P1"].sort_values(keys)
    assert rows["Metadata_View"].tolist() == expected["Metadata_ObjectNumber"].tolist()
    assert rows["Metadata_Site"].tolist() == expected["Metadata_Site"].tolist()
    np.testing.assert_array_equal(matrix, expected[NAMES].to_numpy(dtype=np.float32))
    assert opened.verdict.keep == ("P1" in set(table["Metadata_Plate"]))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_single_cells_are_aggregated_as_pycytominer_does(tmp_path, suffix):
    from pycytominer import aggregate as peer

    wells = np.random.default_rng(3).choice(["A01", "A02", "A03"], 500)
    table = frame(wells, seed=4)
    path = write(table, tmp_path / f"cells.{suffix}")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "A02", "A03"], kind="cell")
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    about = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": ["A01", "A02", "A03"], "Metadata_pert_type": "trt"})
    found = aggregate(rows, matrix, about, prefix="cp", names=opened.features, kind="cell", operation="auto")
    expected = peer(table, features=NAMES, operation="median")
    np.testing.assert_allclose(found[NAMES], expected[NAMES], rtol=1e-6)
    assert found["Metadata_Count_Cells"].tolist() == pd.Series(wells).value_counts().sort_index().tolist()
    assert (found["Metadata_Site_Count"] == 0).all()


def test_wells_that_the_table_lacks_are_recorded_as_undefined(tmp_path):
    path = write(frame(["A01"]), tmp_path / "P1.parquet")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "A02"])
    about = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": ["A01", "A02"]})
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    found = aggregate(rows, matrix, about, prefix="cp", names=opened.features, kind="well")
    assert found["Metadata_Verdict"].tolist() == ["keep", "undefined"]
    assert found["Metadata_Reason"].tolist() == ["", "no_table_row"]
    assert found["Metadata_Count_Cells"].isna().all()
    np.testing.assert_array_equal(found.loc[0, NAMES].astype(np.float32), matrix[0])


def test_a_plate_that_the_file_lacks_has_a_valid_empty_table_and_a_reason(tmp_path):
    path = write(frame(["A01"], plate="P9"), tmp_path / "all.parquet")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01"])
    assert opened.verdict == Verdict(False, ("all.parquet has no row of plate P1, it has those of ['P9']",))
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    assert len(rows) == 0 and matrix.shape == (0, 2)


@pytest.mark.parametrize(
    ("plates", "plate", "suffix"),
    [
        (["00123", "00124"], "00123", "parquet"),
        (["00123", "00124"], "00123", "csv"),
        ([123, 124], "123", "parquet"),
        ([123, 124], "123", "csv"),
        ([123.0, 5.0], "123", "parquet"),
    ],
)
def test_numeric_barcodes_are_text(tmp_path, plates, plate, suffix):
    path = write(frame(["A01", "A01"], plate=plates), tmp_path / f"a.{suffix}")
    opened = profile_table.open_table(path, plate=plate, wells_of_plate=["A01"])
    assert len(opened.rows) == 1 and opened.verdict.keep


def test_columns_of_other_names_and_features_by_prefix(tmp_path):
    table = frame(["A01", "A02"]).rename(
        columns={"Metadata_Plate": "Barcode", "Metadata_Well": "Metadata_well_position"}
    )
    table["FileName_DNA"], table["Barcode"] = "a.tif", 12
    path = write(table, tmp_path / "a.csv", index=True)
    columns = {"plate": "Barcode", "well": "Metadata_well_position"}
    opened = profile_table.open_table(
        path, plate="12", wells_of_plate=["A01", "A02"], columns=columns, features=["Cells_", "Nuc.*ture$"]
    )
    assert opened.features == NAMES
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    np.testing.assert_array_equal(matrix, table[NAMES].to_numpy(dtype=np.float32))


def test_a_file_of_one_plate_needs_no_column_of_plates(tmp_path):
    path = write(frame(["A01"]).drop(columns="Metadata_Plate"), tmp_path / "P1.parquet")
    assert len(profile_table.open_table(path, plate="P1", wells_of_plate=["A01"], one_plate=True).rows) == 1
    with pytest.raises(ValueError, match=r"P1.parquet: expected the columns \['Metadata_Plate'\]"):
        profile_table.open_table(path, plate="P1", wells_of_plate=["A01"])


HEADS = {
    "row and column": lambda table: table.assign(Row=["A", "B"], Col=["1", "3"]).drop(columns="Metadata_Well"),
    "numbers": lambda table: table.assign(well_row=["1", "2"], well_column=["01", "03"]).drop(columns="Metadata_Well"),
    "capitals": lambda table: table.rename(columns=str.upper).rename(columns={name.upper(): name for name in NAMES}),
    "words": lambda table: table.rename(columns={"Metadata_Well": "Well Position", "Metadata_Plate": "Plate ID"}),
    "times of treatments": lambda table: table.assign(Metadata_Timepoint=["24", "48"]),
}


@pytest.mark.parametrize("name", HEADS)
def test_keys_are_known_by_the_names_of_platemaps(tmp_path, name):
    table = frame(["A01", "B03"])
    path = write(HEADS[name](table), tmp_path / "t.csv")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "B03"])
    rows, matrix = embed(opened, tmp_path / "embed.parquet", tmp_path)
    assert rows["Metadata_Well"].tolist() == ["A01", "B03"] and opened.features == NAMES
    np.testing.assert_array_equal(matrix, table[NAMES].to_numpy(dtype=np.float32))


def test_a_file_of_one_site_of_jump_lite_is_named(tmp_path):
    table = pd.DataFrame({"tile": [0, 1], "label": 0, "metric": "e_0", "value": 0.5, "tp": 0})
    path = write(table, tmp_path / "source_4__Batch1__BR00117035__A01__1.csv")
    with pytest.raises(ValueError, match="of a site, as of JUMP-Lite: .*resources/datasets/jump_lite") as found:
        profile_table.open_table(path, plate="BR00117035", wells_of_plate=["A01"], kind="tile")
    assert "similar names" not in str(found.value)


@pytest.mark.parametrize(("between", "words"), [("|", "names are separated by `|`"), (" ", "separated by a tab, ")])
def test_separators_that_are_not_read_are_named(tmp_path, between, words):
    path = tmp_path / "t.txt"
    frame(["A01"]).to_csv(path, index=False, sep=between)
    with pytest.raises(ValueError, match=r"t\.txt: expected the columns .*" + words.replace("|", r"\|")):
        profile_table.open_table(path, plate="P1", wells_of_plate=["A01"])


def transposed(table):
    return "\n".join(",".join(line) for line in zip(*(row.split(",") for row in table.splitlines()), strict=True))


HEADS_AMISS = {
    "values in the first line": (lambda text: text.partition("\n")[2], "the first line holds values: write the names"),
    "a column per well": (lambda text: transposed(text.replace("P1,", "", 9).replace("Metadata_Plate,", "")),
                          "wells are columns: transpose the table"),
    "a column per well, with plates": (transposed, "names repeat: .*transpose the table"),
    "single quotes": (lambda text: re.sub(r"([^,\n]+)", r"'\1'", text), "names are in single quotes"),
}  # fmt: skip


@pytest.mark.parametrize("case", HEADS_AMISS)
def test_a_table_whose_header_is_amiss_is_named(tmp_path, case):
    change, words = HEADS_AMISS[case]
    wells = ["A01", "A02", "B01", "B02", "C01"]
    (tmp_path / "a.csv").write_text(change(frame(wells).to_csv(index=False)))
    with pytest.raises(ValueError, match=rf"a\.csv: expected .*{words}"):
        profile_table.open_table(tmp_path / "a.csv", plate="P1", wells_of_plate=wells)
    with pytest.raises(ValueError, match=rf"a\.csv: .*{words}"):
        read([tmp_path / "a.csv"], options=Options())


@pytest.mark.parametrize("between", [", ", " , ", "\t "])
def test_spaces_around_names_and_cells_are_no_part_of_them(tmp_path, between):
    table = frame(["A01", "A02", "B01"])
    expected = opened_vectors(table, tmp_path, table.to_csv(index=False))
    found = opened_vectors(table, tmp_path, table.to_csv(index=False).replace(",", between))
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


def opened_vectors(table, folder, text):
    (folder / "a.csv").write_text(text)
    wells = table["Metadata_Well"].tolist()
    found = profile_table.open_table(folder / "a.csv", plate="P1", wells_of_plate=wells)
    return found.features, np.concatenate([block for _, block in found.parts(folder)])


CASES = {
    "a well that the platemap lacks": (
        frame(["A01", "C05"]),
        {},
        r"plate P1: 1 wells are not in the platemap: \['C05'\] \(index.lost_wells",
    ),
    "a doubled well": (frame(["A01", "A1"]), {}, r"expected each well once, found more in the wells \['A01'\] \(view"),
    "a doubled cell": (
        frame(["A01", "A01"], Metadata_Site="1", Metadata_ObjectNumber=[4, 4]),
        {"kind": "cell"},
        r"expected each cell once, found more in the wells \['A01'\]",
    ),
    "no well": (frame(["A01", None]), {}, "expected a well in each row, found none in 1 rows"),
    "rows of two time points": (
        frame(["A01", "A01", "A02"], Metadata_Timepoint=["24", "48", "24"]),
        {"kind": "cell"},
        r"expected one time point per well, found \['24', '48'\] in the column 'Metadata_Timepoint': write a table per",
    ),
    "no such row": (
        frame(["A01"]).drop(columns="Metadata_Well").assign(row="AZ", column="1"),
        {},
        "plate P1: well 'AZ,1': expected rows A to AF",
    ),
    "no such well": (frame(["A01", "Z99"]), {}, "plate P1: well 'Z99': expected rows A to AF"),
    "no plate": (frame(["A01", "A02"], plate=["P1", None]), {}, "expected a plate in each row, found none in 1 rows"),
    "no sites": (frame(["A01"]), {"kind": "tile"}, r"expected the columns \['Metadata_Site'\]"),
    "a cell without a number": (
        frame(["A01", "A02"], Metadata_Site="1", Metadata_ObjectNumber=["x", "2"]),
        {"kind": "cell"},
        r"expected whole numbers of cells, found \['x'\]",
    ),
    "text among the features": (
        frame(["A01"]).assign(Cells_Label="a"),
        {},
        "expected numbers in the features, found text in .*Cells_Label",
    ),
    "a plate column of an unknown name": (
        frame(["A01"]).rename(columns={"Metadata_Plate": "Metadata_Plates"}),
        {},
        r"expected the columns \['Metadata_Plate'\] \(set their names in `columns`\).*similar.*Metadata_Plates",
    ),
    "no regular expression": (
        frame(["A01"]),
        {"features": ["Cells_("]},
        r"regular expressions in `features`, found 'Cells_\('",
    ),
    "an absent column": (frame(["A01"]), {"columns": {"site": "Field"}}, r"expected the columns \['Field'\]"),
    "no feature of the prefix": (
        frame(["A01"]),
        {"features": ["Cytoplasm_"]},
        "no feature matches 'Cytoplasm_'",
    ),
    "no features": (frame(["A01"]).drop(columns=NAMES), {}, "expected columns of features, found none"),
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("case", CASES)
def test_each_mistake_is_named(tmp_path, case, suffix):
    table, options, message = CASES[case]
    path = write(table, tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match=message):
        embed(
            profile_table.open_table(path, plate="P1", wells_of_plate=["A01", "A02"], **options),
            tmp_path / "embed.parquet",
            tmp_path,
        )
    assert not (tmp_path / "embed.parquet").exists()


def test_doubled_columns_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("Metadata_Plate,Metadata_Well,Cells_Area,Cells_Area\nP1,A01,1,2\n")
    with pytest.raises(ValueError, match=r"expected unique column names, found duplicates of \['Cells_Area'\]"):
        profile_table.open_table(path, plate="P1", wells_of_plate=["A01"])


def test_wells_that_the_platemap_lacks_may_be_left_out(tmp_path):
    path = write(frame(["A01", "C05"]), tmp_path / "a.parquet")
    opened = profile_table.open_table(path, plate="P1", wells_of_plate=["A01"], lost_wells="report")
    assert opened.origin["left_out"] == ["C05"]
    rows, _ = embed(opened, tmp_path / "embed.parquet", tmp_path)
    assert rows["Metadata_Well"].tolist() == ["A01"]
