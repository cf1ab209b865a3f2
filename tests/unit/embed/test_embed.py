"""Embedding a plate: one vector per view, whatever the batch or the order of rows."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn.functional import interpolate, normalize

import blobs
from options import options
from wellspring.embed import run as embed
from wellspring.encoders import encoder
from wellspring.io import embeddings, ngff, tables
from wellspring.screen.sections import Embed
from wellspring.train import build
from wellspring.train.settings import resolve
from wellspring.views import cutting, fields
from wellspring.views.intensity import scale
from wellspring.views.scaling import intensity_scale, prepare, standardise

CPU = torch.device("cpu")
KEY = list(embed.COLUMNS)[:4]


def encoder_of(channels: list[str], **over) -> encoder.Encoder:
    settings = resolve(blobs.entry(**over), seed=1)
    card = {
        "kind": settings.kind,
        "view": dataclasses.asdict(settings.view),
        "input_size": settings.input_size,
        "channels": channels,
    }
    return encoder.Encoder(build.network(settings, channels=len(channels)).eval(), card)


def inputs(known: encoder.Encoder, paths: dict, **over) -> embed.PlateInputs:
    scale = intensity_scale(tables.read(paths["intensity"]), known.channels)
    cells = pd.read_parquet(paths["cells"])
    return dataclasses.replace(embed.PlateInputs(ngff.open_plate(paths["images"]), scale, cells), **over)


def section(**over) -> Embed:
    return options("embed", **{"dtype": "float32", "leave_out": [], "least_foreground": 0.02} | over)


def run(known: encoder.Encoder, paths: dict, *, plate: dict | None = None, **over) -> tuple[pd.DataFrame, np.ndarray]:
    """Embed a plate, with other inputs by `plate` and other options by keyword."""
    return embed.embed(known, inputs(known, paths, **(plate or {})), section(**over), device=CPU)


def stream(known: encoder.Encoder, paths: dict, **over) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
    return embed.stream(known, inputs(known, paths), section(**over), device=CPU)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return blobs.plate(tmp_path_factory.mktemp("plate"), channels=["DNA", "RNA"], width=112)


TILES = {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}}


@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
def test_vectors_do_not_depend_on_the_batch(paths, over):
    known = encoder_of(["DNA", "RNA"], **over)
    frame, matrix = run(known, paths)
    for batch in (1, 7, 1000):
        again, found = run(known, paths, batch=batch)
        pd.testing.assert_frame_equal(frame, again)
        np.testing.assert_allclose(found, matrix, atol=2e-5)


def test_vectors_do_not_depend_on_the_order_of_cells(paths):
    known = encoder_of(["DNA", "RNA"])
    frame, matrix = run(known, paths)
    cells = pd.read_parquet(paths["cells"]).sample(frac=1, random_state=0)
    shuffled, found = run(known, paths, plate={"cells": cells})
    pd.testing.assert_frame_equal(frame, shuffled)
    np.testing.assert_array_equal(found, matrix)


def test_channels_go_in_by_name(tmp_path, paths):
    known = encoder_of(["RNA", "DNA"])
    straight = encoder_of(["DNA", "RNA"])
    assert not np.allclose(run(known, paths)[1], run(straight, paths)[1], atol=1e-3)
    images = ngff.open_plate(paths["images"])
    with ngff.PlateWriter(tmp_path / "swapped.zarr", plate="P1", channels=["RNA", "DNA"]) as writer:
        for well, site in images.fields:
            writer.write(well, site, images.read(well, site, ["RNA", "DNA"]))
    np.testing.assert_array_equal(run(known, paths)[1], run(known, paths | {"images": tmp_path / "swapped.zarr"})[1])


def test_a_cell_is_what_stands_in_its_row(paths):
    known = encoder_of(["DNA", "RNA"])
    frame, matrix = run(known, paths)
    cells = pd.read_parquet(paths["cells"])
    assert len(frame) == len(cells)
    row = frame.iloc[13]
    field = ngff.open_plate(paths["images"]).read(row["Metadata_Well"], row["Metadata_Site"])
    crop = cutting.cut(field, np.array([[row["Metadata_Center_Y"], row["Metadata_Center_X"]]]), 24)
    scales = intensity_scale(tables.read(paths["intensity"]), known.channels)
    scaled = np.clip((crop[0] - scales.low[:, None, None]) / (scales.high - scales.low)[:, None, None], 0, 1)
    image = (scaled - scales.mean[:, None, None]) / scales.std[:, None, None]
    with torch.no_grad():
        wanted = known.network(torch.from_numpy(image[None].astype(np.float32)))[0].numpy()
    np.testing.assert_allclose(matrix[13], wanted, atol=1e-4)


def test_flagged_cells_are_left_out_when_asked(paths):
    known, cells = encoder_of(["DNA", "RNA"]), pd.read_parquet(paths["cells"])
    frame, _ = run(known, paths, leave_out=["border"])
    assert len(frame) == (cells["Metadata_Flags"] == "").sum() < len(cells)


@pytest.mark.parametrize("channels", [["DNA"], ["DNA", "ER", "RNA", "AGP", "Mito", "BF"]], ids=["one", "six"])
@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
def test_any_number_of_channels(tmp_path, channels, over):
    paths = blobs.plate(tmp_path, channels=channels, wells=("B02",), width=120)
    frame, matrix = run(encoder_of(channels, **over), paths)
    assert len(frame) == len(matrix) > 0
    assert np.isfinite(matrix).all()


def test_tiles_without_foreground_are_left_out(tmp_path):
    images = np.full((1, 96, 128), 100, dtype=np.uint16)
    images[:, 5:25, 40:60] = 2000
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA"]) as writer:
        writer.write("B02", "1", images)
        writer.write("B03", "1", np.full_like(images, 100))
    known = encoder_of(["DNA"], **TILES)
    scales = intensity_scale(
        pd.DataFrame({"Metadata_Channel": ["DNA"], "low": 100, "high": 2000, "mean": 0.1, "std": 0.2}), ["DNA"]
    )
    plate = embed.PlateInputs(ngff.open_plate(tmp_path / "P1.zarr"), scales)
    frame, _ = embed.embed(known, plate, section(), device=CPU)
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
    embeddings.write_parts([(frame, matrix)], path, table="embed", provenance={})
    again, written = tables.read_embedding(path)
    assert written.shape == matrix.shape
    assert list(again.columns) == list(embed.COLUMNS)


def test_a_plate_is_written_as_it_is_embedded(tmp_path, paths):
    known = encoder_of(["DNA", "RNA"])
    frame, matrix = run(known, paths, dtype="float16")
    path = tmp_path / "embed.parquet"
    embeddings.write_parts(
        stream(known, paths, dtype="float16", batch=5), path, table="embed", provenance={}, values=320
    )
    again, written = tables.read_embedding(path)
    np.testing.assert_allclose(written, matrix, atol=2e-3)
    assert again[KEY].to_numpy().tolist() == frame.sort_values(KEY)[KEY].to_numpy().tolist()
    assert pq.ParquetFile(path).num_row_groups == -(-len(frame) // 10)


def test_no_more_than_a_few_fields_are_read_ahead_of_the_network(tmp_path, monkeypatch):
    paths = blobs.plate(tmp_path, channels=["DNA"], wells=tuple(f"B{number:02d}" for number in range(1, 13)))
    read = []
    inner = ngff.PlateImages.read
    monkeypatch.setattr(
        ngff.PlateImages, "read", lambda self, *given, **named: read.append(1) or inner(self, *given, **named)
    )
    batches = stream(encoder_of(["DNA"]), paths, batch=8)
    seen = [(len(next(batches)[0]), len(read)) for _ in range(10)]
    for number, (count, so_far) in enumerate(seen, start=1):
        assert count == 8
        # A field of 8 cells per batch; the batch on the device, and the fields that the only reader is ahead.
        assert so_far <= number + 1 + fields.AHEAD + 1
    batches.close()


def test_a_field_that_can_not_be_read_stops_the_embedding(paths, monkeypatch):
    def broken(self, *given, **named):
        raise ValueError("damaged shard")

    monkeypatch.setattr(ngff.PlateImages, "read", broken)
    with pytest.raises(ValueError, match="damaged shard"):
        run(encoder_of(["DNA", "RNA"]), paths)


@pytest.mark.parametrize("tokens", ["pooled", "class_and_patches"])
@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_the_field_is_joined_to_each_of_its_tiles(paths, tokens, batch):
    known = encoder_of(["DNA", "RNA"], **TILES)
    frame, alone = run(known, paths, tokens=tokens)
    same, joined = run(known, paths, tokens=tokens, field="joined", batch=batch)
    pd.testing.assert_frame_equal(frame, same)
    width = alone.shape[1]
    assert joined.shape[1] == 2 * width
    tile = normalize(torch.from_numpy(alone), dim=1) if tokens == "pooled" else torch.from_numpy(alone)
    np.testing.assert_allclose(joined[:, :width], tile, atol=2e-5)
    plate, scales = ngff.open_plate(paths["images"]), intensity_scale(tables.read(paths["intensity"]), known.channels)
    for (well, site), rows in frame.groupby(["Metadata_Well", "Metadata_Site"]).indices.items():
        image = torch.from_numpy(scale(plate.read(well, site), scales.low, scales.high))
        image = standardise(image[None], *(torch.from_numpy(each)[None] for each in (scales.mean, scales.std)))
        image = interpolate(image, size=(24, 24), mode="bilinear", antialias=True)
        with torch.no_grad():
            whole = encoder.features(known.network, image, tokens=tokens)
        whole = normalize(whole, dim=1) if tokens == "pooled" else whole
        np.testing.assert_allclose(joined[rows, width:], whole.expand(len(rows), -1), atol=1e-4)


def test_the_field_is_not_joined_to_cells(paths):
    with pytest.raises(ValueError, match="embed.field: expected none for an encoder of cells"):
        run(encoder_of(["DNA", "RNA"]), paths, field="joined")
    with pytest.raises(ValueError, match="embed.field: expected 'none' or 'joined', found 'both'"):
        run(encoder_of(["DNA", "RNA"], **TILES), paths, field="both")


@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
@pytest.mark.parametrize("tokens", ["pooled", "class_and_patches"])
def test_a_channelwise_encoder_is_embedded_channel_by_channel(paths, over, tokens):
    known = encoder_of(["DNA", "RNA"], **over)
    stacked = encoder.build(
        "vit_tiny_patch16_224",
        channels=2,
        size=24,
        options={"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8},
        stem="channelwise",
    )
    both = encoder.Encoder(stacked.eval(), known.card)
    frame, found = run(both, paths, tokens=tokens)
    _, again = run(both, paths, tokens=tokens, batch=5)
    np.testing.assert_allclose(found, again, atol=2e-5)
    for place, name in enumerate(known.channels):
        alone = encoder.Encoder(stacked.network, known.card | {"channels": [name]})
        rows, single = run(alone, paths, tokens=tokens)
        # Foreground is another where the channel of nuclei is not there: some tiles are in both.
        shared = frame.reset_index().merge(rows.reset_index(), on=KEY)
        assert len(shared) > 3
        of_both = np.split(found, 2, axis=1)[place][shared["index_x"]]
        np.testing.assert_allclose(of_both, single[shared["index_y"]], atol=2e-5)


def test_cells_are_needed_for_an_encoder_of_cells(paths):
    with pytest.raises(ValueError, match="table of cells"):
        run(encoder_of(["DNA", "RNA"]), paths, plate={"cells": None})


def test_pixels_are_prepared_as_in_training(paths):
    scales = intensity_scale(tables.read(paths["intensity"]), ["RNA", "DNA"])
    flat = dataclasses.replace(scales, high=np.array([scales.high[0], scales.low[1]]), std=np.array([0.1, 0.0]))
    raw = np.random.default_rng(0).integers(0, 2**16, (3, 2, 9, 7)).astype(np.uint16)
    for each in (scales, flat):
        terms = (torch.from_numpy(np.float32(term))[None].expand(3, -1) for term in (each.mean, each.std))
        wanted = standardise(torch.from_numpy(scale(raw, each.low, each.high)), *terms)
        found = prepare(torch.from_numpy(raw).float(), each)
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)


def test_an_encoder_does_not_see_what_is_masked(paths, tmp_path):
    known, images = encoder_of(["RNA", "DNA"]), ngff.open_plate(paths["images"])
    with ngff.LabelWriter(tmp_path / "labels.zarr", plate=images.plate, source="images") as writer:
        for well, site in images.fields:
            nothing = np.zeros(images.shape[1:], np.uint32)
            writer.write(well, site, {"nuclei": nothing, "cells": nothing})
    both = (None, ngff.open_plate(tmp_path / "labels.zarr"))
    seen, masked = (run(known, paths, plate={"labels": labels})[1] for labels in both)
    assert seen.shape == masked.shape
    assert np.ptp(masked, axis=0).max() < 1e-4 < np.ptp(seen, axis=0).max(), "background is all that is left"
