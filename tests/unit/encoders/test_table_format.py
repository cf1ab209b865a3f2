"""Formats of foreign tables: each is read to the same values, or refused by name with what is taken."""

import gzip
import sqlite3
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather

from wellspring.encoders import profile_table, table_format
from wellspring.encoders.table_columns import numbers, texts

WELLS = ["A01", "A02", "B01", "B02", "B03", "C07"]
NAMES = ["Cells_AreaShape_Area", "Nuclei_Texture_Variance", "Cytoplasm_Intensity_MeanIntensity"]


def table(seed=0, **extra):
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=len(WELLS)) for name in NAMES}
    return pd.DataFrame({"Metadata_Plate": "00123", "Metadata_Well": WELLS, **values, **extra})


def values(path, **options):
    opened = profile_table.open_table(path, **{"plate": "00123", "wells_of_plate": WELLS, **options})
    parts = list(opened.parts(path if path.is_dir() else path.parent))
    return opened, pd.concat([rows for rows, _ in parts]), np.concatenate([matrix for _, matrix in parts])


WRITERS = {
    "a.parquet": lambda frame, path: frame.to_parquet(path, index=False),
    "a.pq": lambda frame, path: frame.to_parquet(path, index=False),
    "a.parquet.gzip": lambda frame, path: frame.to_parquet(path, index=False, compression="gzip"),
    "a.feather": lambda frame, path: frame.to_feather(path),
    "v1.feather": lambda frame, path: feather.write_feather(frame, path, version=1),
    "uncompressed.arrow": lambda frame, path: feather.write_feather(frame, path, compression="uncompressed"),
    "a.csv": lambda frame, path: frame.to_csv(path, index=False),
    "no_suffix": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "a.csv.bz2": lambda frame, path: frame.to_csv(path, index=False),
    "a.tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "semicolon.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";"),
    "german.csv": lambda frame, path: frame.to_csv(path, index=False, sep=";", decimal=","),
    "utf16.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-16"),
    "utf16.txt": lambda frame, path: frame.to_csv(
        path, index=False, encoding="utf-16", sep="\t", lineterminator="\r\n"
    ),
    "big_endian.csv": lambda frame, path: path.write_bytes(b"\xfe\xff" + frame.to_csv(index=False).encode("utf-16-be")),
    "mark.csv": lambda frame, path: frame.to_csv(path, index=False, encoding="utf-8-sig"),
    "index.csv": lambda frame, path: frame.to_csv(path),
    "quoted.csv": lambda frame, path: frame.to_csv(path, index=False, quoting=1),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_numbers(tmp_path, name):
    frame = table(Metadata_Compound="NA", Metadata_Note='a; b, "c"')
    frame.loc[2, NAMES[1]] = np.nan
    WRITERS[name](frame, tmp_path / name)
    opened, rows, matrix = values(tmp_path / name)
    assert opened.features == NAMES
    assert rows["Metadata_Well"].tolist() == WELLS
    np.testing.assert_array_equal(matrix, frame[NAMES].to_numpy(dtype=np.float32))


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_order_of_columns_and_rows_dtypes_and_extra_metadata_change_nothing(tmp_path_factory, data):
    folder, rng = tmp_path_factory.mktemp("drawn"), np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    frame = table(seed=int(rng.integers(1000)))
    kind = data.draw(st.sampled_from(["float64", "float32", "float16"]))
    frame[NAMES] = frame[NAMES].astype(kind)
    frame["Metadata_Extra"], frame["ImageNumber"], frame["file"] = rng.normal(size=6), range(6), "null"
    frame["Image_Count_Cells"], frame["Nuclei_Number_Object_Number"] = rng.integers(9, size=6), range(6)
    frame.loc[rng.random(6) < 0.3, NAMES[0]] = np.nan
    frame = frame.sample(frac=1, random_state=int(rng.integers(99)))
    frame = frame[rng.permutation(frame.columns)].reset_index(drop=True)
    name = data.draw(st.sampled_from([one for one in WRITERS if kind != "float16" or one == "a.parquet"]))
    WRITERS[name](frame, folder / name)
    opened, rows, matrix = values(folder / name)
    expected = frame.sort_values("Metadata_Well")
    assert sorted(opened.features) == sorted(NAMES)
    np.testing.assert_allclose(matrix, expected[opened.features].to_numpy(dtype=np.float32), rtol=1e-6)


def test_a_header_of_more_than_a_megabyte(tmp_path):
    names = [f"Cells_Intensity_{'x' * 2000}_{number}" for number in range(800)]
    frame = pd.DataFrame(np.arange(1600.0).reshape(2, -1), columns=names)
    frame.insert(0, "Metadata_Well", ["A01", "A02"])
    frame.to_csv(tmp_path / "00123.csv", index=False)
    assert (tmp_path / "00123.csv").read_bytes().index(b"\n") > 1.5e6
    _, _, matrix = values(tmp_path / "00123.csv", wells_of_plate=["A01", "A02"], one_plate=True)
    np.testing.assert_array_equal(matrix, frame[names].to_numpy(dtype=np.float32))


@pytest.mark.parametrize("size", [-1, 4])
def test_a_column_of_vectors_is_one_feature_per_place(tmp_path, size):
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    held = [None, *vectors[1:].tolist()] if size < 0 else vectors.tolist()
    frame = pa.table(
        {
            "Metadata_Plate": ["00123"] * 6,
            "Metadata_Well": WELLS,
            "embedding": pa.array(held, pa.list_(pa.float32(), size)),
        }
    )
    pa.parquet.write_table(frame, tmp_path / "a.parquet", row_group_size=4)
    opened, _, matrix = values(tmp_path / "a.parquet")
    assert opened.features == [f"embedding_{place}" for place in range(4)]
    np.testing.assert_array_equal(matrix[1:], vectors[1:])
    assert np.isnan(matrix[0]).all() == (size < 0)


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint16(), pa.float16(), pa.float64()])
@pytest.mark.parametrize("shape", [pa.list_, pa.large_list])
def test_vectors_of_any_numbers_are_read_beside_lists_that_are_none(tmp_path, kind, shape):
    vectors = np.random.default_rng(1).integers(0, 99, (6, 5))
    typed = vectors.astype(kind.to_pandas_dtype())
    held = {
        "Metadata_Plate": ["00123"] * 6,
        "Metadata_Well": WELLS,
        "Metadata_target": [["EGFR", "HER2"], [], None, ["TUBB"], ["a|b", None], ["KIF11"]],
        "bbox": pa.array([[1, 2, 3, 4]] * 6, shape(pa.int64())),
        "about": [{"camera": 1}] * 6,
        "embedding": pa.array(list(typed), shape(kind)),
    }
    pa.parquet.write_table(pa.table(held), tmp_path / "a.parquet")
    opened, _, matrix = values(tmp_path / "a.parquet")
    assert opened.features == [f"embedding_{place}" for place in range(5)]
    np.testing.assert_array_equal(matrix, vectors)
    said = texts(table_format.open_source(tmp_path / "a.parquet"), ["Metadata_target", "about"])
    assert said["Metadata_target"].tolist() == ["EGFR|HER2", None, None, "TUBB", "a|b", "KIF11"]
    assert said["about"].tolist() == ["{'camera': 1}"] * 6


def test_vectors_of_several_lengths_are_refused(tmp_path):
    frame = pa.table({"Metadata_Plate": ["00123"] * 2, "Metadata_Well": WELLS[:2], "v": [[1.0, 2.0], [1.0]]})
    pa.parquet.write_table(frame, tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a.parquet: expected vectors of 2 values, found \[1"):
        values(tmp_path / "a.parquet")


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_long_table_of_tiles_is_made_wide(tmp_path, suffix):
    rng = np.random.default_rng(3)
    keys = [(well, site, tile) for well in WELLS[:3] for site in ("1", "2") for tile in (0, 1, 2)]
    wide = pd.DataFrame(rng.normal(size=(18, 12)), columns=[f"m{number}" for number in range(12)])
    wide[["well", "site", "tile"]] = keys
    long = wide.melt(["well", "site", "tile"], var_name="metric", value_name="value").sample(frac=1, random_state=1)
    path = tmp_path / f"00123.{suffix}"
    long.to_parquet(path, index=False) if suffix == "parquet" else long.to_csv(path, index=False)
    opened, rows, matrix = values(path, kind="tile", one_plate=True)
    assert opened.features == [f"m{number}" for number in range(12)]
    keyed = {(w, s, int(t)): row for (w, s, t), row in zip(keys, wide[opened.features].to_numpy(), strict=True)}
    expected = [keyed[tuple(key)] for key in rows[["Metadata_Well", "Metadata_Site", "Metadata_View"]].to_numpy()]
    np.testing.assert_allclose(matrix, np.array(expected), rtol=1e-6)


@pytest.mark.parametrize("form", ["{plate}/{well}/{site}.npz", "{plate}_{well}_{site}.npz"])
def test_deepprofiler_files_are_read_without_their_pickles(tmp_path, form):
    rng, expected = np.random.default_rng(4), {}
    for well in WELLS[:2]:
        for site in ("1", "2"):
            cells = expected[well, site] = rng.normal(size=(rng.integers(1, 5), 6)).astype(np.float32)
            file = tmp_path / "features" / form.format(plate="00123", well=well, site=site)
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, features=cells, metadata={"Metadata_Well": well}, locations=rng.normal(size=(len(cells), 2)))
    opened, rows, matrix = values(tmp_path / "features", kind="cell")
    assert opened.features == [f"feature_{place}" for place in range(6)]
    for (well, site), cells in expected.items():
        mine = ((rows["Metadata_Well"] == well) & (rows["Metadata_Site"] == site)).to_numpy()
        np.testing.assert_array_equal(matrix[mine], cells)


def test_cytotables_parquet_is_read_by_its_names(tmp_path):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "Metadata_ImageNumber": [1, 1, 2],
            "Image_Metadata_Plate": "00123",
            "Image_Metadata_Well": ["A01", "A01", "B02"],
            "Metadata_Cytoplasm_Parent_Cells": [1, 2, 1],
            "Cells_AreaShape_Area": rng.normal(size=3),
            "Cells_Number_Object_Number": [1, 2, 1],
            "Cytoplasm_Location_Center_X": rng.normal(size=3),
            "Image_FileName_DNA": "a.tif",
        }
    )
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    opened, rows, matrix = values(tmp_path / "a.parquet", kind="cell")
    assert opened.features == ["Cells_AreaShape_Area"]
    assert rows["Metadata_Well"].tolist() == ["A01", "A01", "B02"] and rows["Metadata_Site"].tolist() == ["1", "1", "2"]
    np.testing.assert_allclose(matrix[:, 0], frame["Cells_AreaShape_Area"], rtol=1e-6)


def book(path, sheets):
    with pd.ExcelWriter(path.with_suffix(".xlsx")) as writer:
        for name, frame in sheets.items():
            frame.to_excel(writer, sheet_name=name, index=False)
    path.with_suffix(".xlsx").rename(path)


@pytest.mark.parametrize("index", [True, False])
def test_a_workbook_is_the_table_that_was_written(tmp_path, index):
    rng = np.random.default_rng(8)
    frame = pd.DataFrame(
        {
            "Metadata_Plate": ["00123"] * 4,
            "Metadata_Well": ["A01", "A02", "B01", "B02"],
            "lot": ["007", "008", "009", "010"],
            "f_1": rng.normal(size=4) * 1e-9,
            "f_2": [1, 20, 300, None],
            "f_3": ["0,5", "1,25", "3", "-7"],  # entered as text, with decimal commas
            "f_4": [0.1, 1e21, np.nan, -2.5e-300],
        }
    )
    frame.to_excel(tmp_path / "a.xlsx", index=index)
    source = table_format.open_source(tmp_path / "a.xlsx")
    assert source.schema.names == list(frame)
    matrix = np.concatenate([part for _, part in numbers(source, ["f_1", "f_2", "f_3", "f_4"], wanted=np.arange(4))])
    wanted = frame.assign(f_3=[0.5, 1.25, 3, -7])[["f_1", "f_2", "f_3", "f_4"]].to_numpy(dtype=np.float64)
    np.testing.assert_allclose(matrix, wanted.astype(np.float32), rtol=1e-6)
    about = texts(source, ["Metadata_Plate", "Metadata_Well", "lot"])
    assert about.to_dict("list") == frame[["Metadata_Plate", "Metadata_Well", "lot"]].to_dict("list")
    assert [source.schema.field(name).type for name in ("lot", "f_2")] == [pa.string(), pa.int64()]


def database(path):
    with sqlite3.connect(path) as base:
        base.execute("create table t (x)")


REFUSED = {
    "a.sqlite": (database, "a SQLite database.*CytoTable"),
    "a.h5ad": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(60)), "an HDF5 file"),
    "a.npy": (lambda path: np.save(path, np.ones(3)), "a NumPy array without names"),
    "a.xls": (
        lambda path: path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(60)),
        "Excel 97 to 2003.*as .xlsx",
    ),
    "a.csv.zip": (lambda path: zipfile.ZipFile(path, "w").writestr("a.csv", "a,b\n"), r"an archive \(unpack it\)"),
    "b.csv": (lambda path: book(path, {"x": pd.DataFrame({"a": [1]})}), r"the ending \.xlsx or .*rename it"),
    "two.xlsx": (lambda path: book(path, dict.fromkeys("xy", pd.DataFrame({"a": [1]}))), "only sheet.*'x', 'y'.*hide"),
    "error.xlsx": (lambda path: book(path, {"x": pd.DataFrame({"a": ["#DIV/0!"]})}), "line 2.*a formula that failed"),
    "head.xlsx": (lambda path: book(path, {"x": pd.DataFrame([[1, 2]], columns=["a", "a"])}), "each column once"),
    "a.rds": (lambda path: path.write_bytes(b"RDX3\n"), "an R data file"),
    "a.csv": (lambda path: path.write_bytes(b""), "expected a header"),
    "cut.parquet": (lambda path: path.write_bytes(b"PAR1" + bytes(20)), "expected Parquet, .*cannot be read"),
    "cut.csv.gz": (
        lambda path: path.write_bytes(gzip.compress(b"a,b\n" * 99)[:20]),
        "cannot be read|expected a header",
    ),
    "lfs.parquet": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "absent.parquet": (lambda path: None, "No such file"),
    "latin.csv": (lambda path: path.write_bytes("µ,b\n1,2\n".encode("latin-1")), "UTF-8 or UTF-16, found byte 0xb5"),
    "long.csv": (lambda path: path.write_text("a,b\n1,2\n3,4,5\n"), r"2 cells in each row.*found 3 in row 3 .*'3,4,5'"),
    "total.csv": (lambda path: path.write_text("a,b,c\n1,2,3\nTotal,9\n"), "3 cells.*found 2 in row 3.*remove totals"),
    "blind.csv": (lambda path: path.write_bytes("a,b\n1,2\n".encode("utf-16-le")), "zero bytes"),
    "a.parquet.gz": (lambda path: path.write_bytes(gzip.compress(b"PAR1" + bytes(60))), "in gzip.*unpack it"),
    "page.xls": (lambda path: path.write_text("<table><tr><td>1</td></tr></table>"), "a web page or XML.*save it as"),
    "empty": (lambda path: path.mkdir(), "a folder with DeepProfiler's .npz files, found none"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_by_name(tmp_path, name):
    write, message = REFUSED[name]
    write(tmp_path / name)
    with pytest.raises(ValueError, match=f"(?s){name}.*({message})"):
        profile_table.open_table(tmp_path / name, plate="00123", wells_of_plate=WELLS)


def test_a_row_far_below_that_has_another_number_of_cells_is_named(tmp_path):
    """The first block of a table of text is 1 MiB: the row lies in a later one, which is parsed while it is read."""
    path, row = tmp_path / "a.csv", "P1,A01," + ",".join(["0.12345678"] * 20)
    names = ["plate", "well", *(f"f_{number}" for number in range(20))]
    path.write_text("\n".join([",".join(names), *[row] * 30_000, row + ",1", row]) + "\n")
    source = table_format.open_source(path)
    with pytest.raises(ValueError, match=r"a\.csv: expected 22 cells in each row.* found 23 .*'P1,A01,0\.123"):
        list(numbers(source, names[2:], wanted=np.ones(30_002, dtype=bool)))
