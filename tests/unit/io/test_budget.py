"""Small files of great cost: each is refused by name, quickly and in little memory."""

import gzip
import json
import os
import resource
import subprocess
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from options import options
from wellspring.encoders import table_columns
from wellspring.encoders.table_format import open_source
from wellspring.index.readers import listing, loaddata, ometiff, omezarr
from wellspring.io import budget, raw_image
from wellspring.screen import text_table
from wellspring.survey import focus
from wellspring.survey import run as survey


@contextmanager
def limited(*, megabytes: int = 600, seconds: float = 20):
    """Limit what a block may add to this process."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (megabytes << 20), before[1]))
    start = time.monotonic()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert time.monotonic() - start < seconds


def zarray(folder: Path, *, shape: list[int], chunks: list[int]) -> None:
    folder.mkdir()
    described = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "<u2", "compressor": None}
    (folder / ".zarray").write_text(json.dumps({**described, "fill_value": 0, "order": "C", "filters": None}))


def test_an_array_of_chunks_of_one_pixel(tmp_path):
    zarray(tmp_path / "a", shape=[2000, 2000], chunks=[1, 1])
    with limited(seconds=2):
        found = raw_image.status(tmp_path, "a")
    assert found.status == "unreadable" and "at most 65,536 chunks of a plane, found 4,000,000" in found.reason


def test_metadata_of_many_values(tmp_path):
    zarray(tmp_path / "a", shape=[8, 8], chunks=[8, 8])
    (tmp_path / "a" / ".zarray").write_bytes(b"[" + b"[]," * 6_000_000 + b"0]")
    with limited(megabytes=300, seconds=5):
        assert "values" in raw_image.status(tmp_path, "a").reason
        assert omezarr._json(tmp_path / "a" / ".zarray", [str(tmp_path)]) == {}
    (tmp_path / "a" / ".zarray").write_bytes(b"[" * 100_000)
    with pytest.raises(budget.OverBudgetError, match="nested"):
        budget.json_of(tmp_path / "a" / ".zarray")


def test_ome_xml_of_many_elements(tmp_path, caplog):
    (tmp_path / "P.companion.ome").write_bytes(b"<OME>" + b"<a/>" * 5_000_000 + b"</OME>")
    with limited(megabytes=200), pytest.raises(ValueError, match="expected OME-TIFFs"):
        ometiff.planes(tmp_path, plate="P", pattern=r"(?P<well>[A-Z]\d+)\.ome\.tif")
    assert "at most 4,194,304 elements and attributes" in caplog.text


def test_a_loaddata_table_that_unpacks_to_gigabytes(tmp_path):
    block = gzip.compress(bytes(2**24))
    (tmp_path / "load_data.csv.gz").write_bytes(block * 64)
    with limited(), pytest.raises(ValueError, match="268,435,456 bytes after unpacking"):
        loaddata.planes(tmp_path, plate="P")


def bomb(path: Path) -> None:
    """Write a Parquet file of some kB whose one column unpacks to 6 GB."""
    values = pa.DictionaryArray.from_arrays(pa.array(np.zeros(6000, np.int32)), pa.array(["x" * 2**20]))
    table = pa.table({"Metadata_Well": values, "FileName_DNA": values})
    pq.write_table(table, path, compression="zstd", store_schema=False)


def test_a_parquet_file_that_unpacks_to_gigabytes(tmp_path):
    bomb(tmp_path / "load_data.parquet")
    assert (tmp_path / "load_data.parquet").stat().st_size < 2**20
    with limited(), pytest.raises(ValueError, match="bytes after unpacking"):
        loaddata.planes(tmp_path, plate="P")
    with limited(), pytest.raises(ValueError, match="bytes after unpacking"):
        table_columns.texts(open_source(tmp_path / "load_data.parquet"), ["Metadata_Well"])


def test_a_parquet_file_of_endless_rows(tmp_path):
    column = pa.array(np.zeros(2**26, np.int8))
    pq.write_table(pa.table({"FileName_DNA": column}), tmp_path / "load_data.parquet", compression="zstd")
    with limited(), pytest.raises(ValueError, match="at most 33,554,432 cells, found 67,108,864"):
        loaddata.planes(tmp_path, plate="P")


def test_platemaps_of_endless_cells(tmp_path):
    (tmp_path / "map.csv").write_bytes(b"well\n" + b"\n" * (budget.CELLS + 1))
    with limited(), pytest.raises(budget.OverBudgetError, match="cells"):
        text_table.read(tmp_path / "map.csv")
    book = zipfile.ZipFile(tmp_path / "map.xlsx", "w", zipfile.ZIP_DEFLATED)
    with book, book.open("xl/worksheets/sheet1.xml", "w") as part:
        for _ in range(300):
            part.write(bytes(2**20))
    pytest.importorskip("openpyxl")
    with limited(), pytest.raises(budget.OverBudgetError, match="bytes after unpacking"):
        text_table.read(tmp_path / "map.xlsx")


def test_folders_within_folders(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=descriptor)
        deeper = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    os.close(descriptor)
    with pytest.raises(budget.OverBudgetError, match="at most 32 folders"):
        list(listing.files(tmp_path))
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # pytest's own cleaning would recurse


def test_a_large_plane_is_measured_in_strips():
    pixels = np.random.default_rng(0).integers(0, 4000, (5000, 5000)).astype(np.uint16)
    counts = np.bincount(pixels.ravel(), minlength=65536)
    with limited(megabytes=120):
        found = focus.measure(pixels)
    assert found["mean"] == float(counts @ np.arange(65536) / pixels.size)


def test_an_image_for_which_there_is_no_memory_is_excluded(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", rng.integers(0, 255, (32, 32)).astype(np.uint16))
    index = pd.DataFrame(
        {
            "Metadata_Plate": "P",
            "Metadata_Well": ["A01", "A02"],
            "Metadata_Site": "1",
            "Metadata_Channel": "DNA",
            "Metadata_Plane": "1",
            "Metadata_Path": ["a.tif", "b.tif"],
            "Metadata_Page": 0,
            "Metadata_pert_type": "trt",
        }
    )
    measure, calls = focus.measure, []

    def short(*arguments, **further):
        calls.append(1)
        if len(calls) == 1:
            raise MemoryError("Unable to allocate 4.2 GiB")
        return measure(*arguments, **further)

    monkeypatch.setattr(focus, "measure", short)
    found = survey.run(index, tmp_path, options=options("survey"), threads=1)
    assert found.table["Metadata_Status"].tolist() == ["unreadable", "ok"]
