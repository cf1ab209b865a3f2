"""Crops: content equals slices, the sample hangs on seed, plate and well only, empty wells do no harm."""

import numpy as np
import pandas as pd
import pytest

from wellspring.io import ngff, tables
from wellspring.views import crops

SIZE = 12


@pytest.fixture
def plate(tmp_path):
    """Return a plate of random pixels and a table of cells: 30 in A01 on two sites, 5 in B02, none in C03."""
    generator = np.random.default_rng(0)
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA", "RNA"]) as writer:
        for well, site in [("A01", "1"), ("A01", "2"), ("B02", "1"), ("C03", "1")]:
            writer.write(well, site, generator.integers(0, 60000, (2, 50, 60)).astype(np.uint16))
    rows = [("A01", site, cell) for site in "12" for cell in range(1, 16)] + [
        ("B02", "1", cell) for cell in range(1, 6)
    ]
    cells = pd.DataFrame(rows, columns=["Metadata_Well", "Metadata_Site", "Metadata_Cell"])
    cells = cells.assign(
        Metadata_Plate="P1",
        Metadata_Center_Y=generator.uniform(0, 49, len(cells)).astype(np.float32),
        Metadata_Center_X=generator.uniform(0, 59, len(cells)).astype(np.float32),
        Metadata_Flags="",
    )
    return ngff.open_plate(tmp_path / "P1.zarr"), cells


def test_crops_equal_slices_of_the_reflected_field(plate, tmp_path):
    images, cells = plate
    rows = crops.sample(cells, seed=0, cells_per_well=8, batch="1")
    crops.pack(images, rows, tmp_path / "P1.npy", size=SIZE)
    packed = np.load(tmp_path / "P1.npy", mmap_mode="r")
    assert packed.dtype == np.uint16 and packed.shape == (8 + 5, 2, SIZE, SIZE)
    for row in rows.itertuples():
        field = np.pad(
            images.read(row.Metadata_Well, row.Metadata_Site), ((0, 0), (SIZE, SIZE), (SIZE, SIZE)), "reflect"
        )
        top = int(np.floor(row.Metadata_Center_Y + 0.5)) - SIZE // 2 + SIZE
        left = int(np.floor(row.Metadata_Center_X + 0.5)) - SIZE // 2 + SIZE
        np.testing.assert_array_equal(packed[row.Metadata_Row], field[:, top : top + SIZE, left : left + SIZE])
    tables.write(rows, tmp_path / "P1.parquet", table="crops", provenance={})
    np.testing.assert_array_equal(tables.read(tmp_path / "P1.parquet")["Metadata_Row"], np.arange(13))


def test_same_bytes_whatever_the_number_of_workers(plate, tmp_path):
    images, cells = plate
    rows = crops.sample(cells, seed=0, cells_per_well=20)
    for threads in (1, 3):
        crops.pack(images, rows, tmp_path / f"{threads}.npy", size=SIZE, threads=threads)
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "3.npy").read_bytes()
    assert not list(tmp_path.glob(".*.npy"))


def test_a_wells_sample_does_not_hang_on_row_order_or_other_wells(plate):
    _, cells = plate
    key = ["Metadata_Well", "Metadata_Site", "Metadata_Cell"]
    whole = crops.sample(cells, seed=3, cells_per_well=7)
    shuffled = crops.sample(cells.sample(frac=1, random_state=1), seed=3, cells_per_well=7)
    pd.testing.assert_frame_equal(whole, shuffled)
    alone = crops.sample(cells[cells["Metadata_Well"] == "A01"], seed=3, cells_per_well=7)
    assert alone[key].values.tolist() == whole.loc[whole["Metadata_Well"] == "A01", key].values.tolist()
    other = crops.sample(cells, seed=4, cells_per_well=7)
    assert other[key].values.tolist() != whole[key].values.tolist()


def test_the_hash_is_pinned():
    assert crops.well_generator(0, "P1", "A01").integers(0, 1000, 3).tolist() == [844, 959, 860]


def test_few_cells_are_all_taken_and_flagged_ones_never(plate):
    _, cells = plate
    cells = cells.copy()
    cells.loc[cells["Metadata_Well"] == "B02", "Metadata_Flags"] = ["", "border", "small", "border;large", ""]
    taken = crops.sample(cells, seed=0, cells_per_well=10)
    assert taken.loc[taken["Metadata_Well"] == "B02", "Metadata_Cell"].tolist() == [1, 2, 5]
    inner = crops.sample(cells, seed=0, cells_per_well=10, border_cells=False)
    assert inner.loc[inner["Metadata_Well"] == "B02", "Metadata_Cell"].tolist() == [1, 5]


def test_no_cells_at_all_give_an_empty_array_and_table(plate, tmp_path):
    images, cells = plate
    rows = crops.sample(cells[:0], seed=0, cells_per_well=10)
    crops.pack(images, rows, tmp_path / "P1.npy", size=SIZE)
    assert np.load(tmp_path / "P1.npy", mmap_mode="r").shape == (0, 2, SIZE, SIZE)
    tables.write(rows, tmp_path / "P1.parquet", table="crops", provenance={})
    assert len(tables.read(tmp_path / "P1.parquet")) == 0


def test_a_failure_leaves_no_array(plate, tmp_path):
    images, cells = plate
    rows = crops.sample(cells, seed=0, cells_per_well=10).assign(Metadata_Center_Y=1e6)
    with pytest.raises(ValueError, match="inside the field"):
        crops.pack(images, rows, tmp_path / "P1.npy", size=SIZE)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".*.npy"))
