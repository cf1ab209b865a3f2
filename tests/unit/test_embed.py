"""Embedding a plate: one vector a view, whatever the batch or the order of rows."""

import numpy as np
import pandas as pd
import pytest
import torch

import blobs
from wellspring import embed, encoder, store, tables, views
from wellspring.pixels import pixels
from wellspring.train.run import build
from wellspring.train.settings import resolve

CPU = torch.device("cpu")


def encoder_of(channels: list[str], **over) -> encoder.Encoder:
    settings = resolve(blobs.entry(**over), seed=1)
    card = {"kind": settings.kind, "view": settings.view, "input_size": settings.input_size, "channels": channels}
    return encoder.Encoder(build(settings, channels=len(channels)).eval(), card)


def run(known: encoder.Encoder, paths: dict, **over) -> tuple[pd.DataFrame, np.ndarray]:
    scales = pixels(tables.read(paths["intensity"]), known.channels)
    options = {"cells": pd.read_parquet(paths["cells"]), "device": CPU, "dtype": "float32"} | over
    return embed.embed(known, store.open_plate(paths["images"]), scales, **options)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return blobs.plate(tmp_path_factory.mktemp("plate"), channels=["DNA", "RNA"])


TILES = {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}}


@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
def test_vectors_do_not_depend_on_the_batch(paths, over):
    known = encoder_of(["DNA", "RNA"], **over)
    frame, matrix = run(known, paths)
    for batch in (1, 7, 1000):
        again, vectors = run(known, paths, batch=batch)
        pd.testing.assert_frame_equal(frame, again)
        np.testing.assert_allclose(vectors, matrix, atol=2e-5)


def test_vectors_do_not_depend_on_the_order_of_cells(paths):
    known = encoder_of(["DNA", "RNA"])
    frame, matrix = run(known, paths)
    shuffled, vectors = run(known, paths, cells=pd.read_parquet(paths["cells"]).sample(frac=1, random_state=0))
    pd.testing.assert_frame_equal(frame, shuffled)
    np.testing.assert_array_equal(vectors, matrix)


def test_channels_go_in_by_name(tmp_path, paths):
    known = encoder_of(["RNA", "DNA"])
    straight = encoder_of(["DNA", "RNA"])
    assert not np.allclose(run(known, paths)[1], run(straight, paths)[1], atol=1e-3)
    images = store.open_plate(paths["images"])
    with store.PlateWriter(tmp_path / "swapped.zarr", plate="P1", channels=["RNA", "DNA"]) as writer:
        for well, site in images.fields:
            writer.write(well, site, images.read(well, site, ["RNA", "DNA"]))
    np.testing.assert_array_equal(run(known, paths)[1], run(known, paths | {"images": tmp_path / "swapped.zarr"})[1])


def test_a_cell_is_what_stands_in_its_row(paths):
    known = encoder_of(["DNA", "RNA"])
    frame, matrix = run(known, paths)
    cells = pd.read_parquet(paths["cells"])
    assert len(frame) == len(cells)
    row = frame.iloc[13]
    field = store.open_plate(paths["images"]).read(row["Metadata_Well"], row["Metadata_Site"])
    crop = views.cut(field, np.array([[row["Metadata_Center_Y"], row["Metadata_Center_X"]]]), 24)
    scales = pixels(tables.read(paths["intensity"]), known.channels)
    scaled = np.clip((crop[0] - scales.low[:, None, None]) / (scales.high - scales.low)[:, None, None], 0, 1)
    image = (scaled - scales.mean[:, None, None]) / scales.std[:, None, None]
    with torch.no_grad():
        wanted = known.network(torch.from_numpy(image[None].astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(matrix[13], wanted, atol=1e-4)


def test_flagged_cells_are_left_out_when_asked(paths):
    known, cells = encoder_of(["DNA", "RNA"]), pd.read_parquet(paths["cells"])
    frame, _ = run(known, paths, leave_out=("border",))
    assert len(frame) == (cells["Metadata_Flags"] == "").sum() < len(cells)


@pytest.mark.parametrize("channels", [["DNA"], ["DNA", "ER", "RNA", "AGP", "Mito", "BF"]], ids=["one", "six"])
@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
def test_any_number_of_channels(tmp_path, channels, over):
    paths = blobs.plate(tmp_path, channels=channels, wells=("B02",))
    frame, matrix = run(encoder_of(channels, **over), paths)
    assert len(frame) == len(matrix) > 0
    assert np.isfinite(matrix).all()


def test_tiles_without_foreground_are_left_out(tmp_path):
    images = np.full((1, 96, 96), 100, dtype=np.uint16)
    images[:, 5:25, 40:60] = 2000
    with store.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA"]) as writer:
        writer.write("B02", "1", images)
        writer.write("B03", "1", np.full_like(images, 100))
    known = encoder_of(["DNA"], **TILES)
    scales = pixels(
        pd.DataFrame({"Metadata_Channel": ["DNA"], "low": 100, "high": 2000, "mean": 0.1, "std": 0.2}), ["DNA"]
    )
    frame, _ = embed.embed(known, store.open_plate(tmp_path / "P1.zarr"), scales, device=CPU)
    assert frame[["Metadata_Well", "Metadata_View"]].to_numpy().tolist() == [["B02", 2]]
    assert frame[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy().tolist() == [[15.5, 47.5]]


@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
def test_an_empty_plate_gives_an_empty_table_of_the_same_width(tmp_path, paths, over):
    empty = blobs.plate(tmp_path, "P9", channels=["DNA", "RNA"], wells=(), crop=24)
    known = encoder_of(["DNA", "RNA"], **over)
    frame, matrix = run(known, empty, dtype="float16")
    assert matrix.shape == (0, run(known, paths)[1].shape[1])
    assert matrix.dtype == np.float16
    path = tmp_path / "embed.parquet"
    tables.write_embedding(frame, matrix, path, table="embed", provenance={}, verdict=tables.Verdict().because("empty"))
    again, vectors = tables.read_embedding(path)
    assert vectors.shape == matrix.shape
    assert list(again.columns) == list(embed.COLUMNS)


def test_a_table_is_written_and_read(tmp_path, paths):
    frame, matrix = run(encoder_of(["DNA", "RNA"]), paths, dtype="float16")
    path = tmp_path / "embed.parquet"
    tables.write_embedding(frame.iloc[::-1], matrix[::-1], path, table="embed", provenance={})
    again, vectors = tables.read_embedding(path)
    key = list(embed.COLUMNS)[:4]
    order = frame.sort_values(key, kind="stable").index
    np.testing.assert_array_equal(vectors, matrix[order])
    assert again[key].to_numpy().tolist() == frame.loc[order, key].to_numpy().tolist()


def test_cells_are_needed_for_an_encoder_of_cells(paths):
    with pytest.raises(ValueError, match="table of cells"):
        run(encoder_of(["DNA", "RNA"]), paths, cells=None)


def test_options_are_those_of_the_schema():
    known = embed.options(blobs.options("embed"))
    assert known["leave_out"] == ("small", "large")
