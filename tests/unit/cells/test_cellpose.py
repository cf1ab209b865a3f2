"""Cellpose: weights are a checked local file, nothing is fetched, fields share batches, memory is backed off from."""

import socket
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from test_cells import CHANNELS, options
from test_segment import GRID, discs

import tiny_cellpose
from wellspring.cells import cellpose, run
from wellspring.io import ngff, tables
from wellspring.io.provenance import file_digest
from wellspring.screen.sections import WeightsFile

KEY = "cells.cellpose.weights.nuclei"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Let nothing open a connection."""

    def refuse(*arguments, **further):
        raise AssertionError(f"a connection was asked for: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def tiny(monkeypatch):
    """Make Cellpose-SAM small: two layers of 64, else as it is; returns the class of the network."""
    from cellpose import vit

    monkeypatch.setattr(vit, "sam_model_registry", {"vit_l": tiny_cellpose.Sam})
    return vit.CPSAM


@pytest.fixture
def weights(tiny, tmp_path):
    """Return the path and sha256 of random weights."""
    torch.manual_seed(0)
    tiny().save_model(tmp_path / "tiny")
    return {"path": str(tmp_path / "tiny"), "sha256": file_digest(tmp_path / "tiny")}


class Oracle:
    """A network that finds what is bright, and takes no more than `most` tiles at a time."""

    device = "cpu"

    def __init__(self, most=1000):
        self.most, self.calls, self.channels = most, [], set()

    def eval(self, images, *, batch_size, **further):
        self.calls.append((len(images), batch_size))
        self.channels.add(images.shape[-1])
        if batch_size > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        found = [ndimage.label(ndimage.gaussian_filter(image[..., 0], 1) > 0.5)[0] for image in images]
        return np.squeeze(np.stack(found)), None, None


@pytest.fixture
def oracle(monkeypatch):
    network = Oracle()
    monkeypatch.setattr(cellpose, "load", lambda *arguments, **further: network)
    return network


@pytest.fixture
def plate(tmp_path):
    """Return a plate of seven fields, the fourth of them empty, and its intensity table."""
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=CHANNELS, pixel_size=0.5) as writer:
        for number in range(7):
            centres = [] if number == 3 else GRID[number:]
            nuclear, _ = discs(centres, radius=9, seed=number)
            body, _ = discs(centres, radius=14, height=300, seed=number + 9)
            writer.write(f"A0{number + 1}", "1", np.stack([nuclear, body, body]))
    limits = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Channel": CHANNELS, "low": 80.0, "high": 700.0})
    return ngff.open_plate(tmp_path / "P1.zarr"), limits


def networks(weights=None, **changes):
    """Return the config section with method cellpose."""
    named = {"nuclei": weights or {"path": "/w", "sha256": ""}, "cells": {"path": None, "sha256": None}}
    own = {
        "weights": named,
        "diameters": {"nuclei": None, "cells": None},
        "flow_threshold": 0.4,
        "cellprob_threshold": 0.0,
        "batch": 4,
        "precision": "float32",
    }
    return options(method="cellpose", cellpose={**own, **changes})


def test_labels_table_and_counts(plate, oracle, tmp_path):
    images, limits = plate
    frame = run.segment_plate(images, limits, tmp_path / "labels.zarr", options=networks())
    expected = {f"A0{number + 1}": len(GRID[number:]) for number in range(7) if number != 3}
    assert frame.groupby("Metadata_Well").size().to_dict() == expected
    assert frame["Metadata_Matched"].all()
    labels = ngff.open_labels(tmp_path / "labels.zarr")
    assert labels.fields == images.fields
    for well, site in images.fields:
        rows = frame[frame["Metadata_Well"] == well]
        for name, column in (("nuclei", "Metadata_Nucleus_Area"), ("cells", "Metadata_Cell_Area")):
            image = labels.read(well, site, name)
            np.testing.assert_array_equal(np.bincount(image.ravel())[1:], rows[column])
    tables.write(frame, tmp_path / "cells.parquet", table="cells", provenance={})
    assert oracle.channels == {1, 2}  # nuclei alone, then cytoplasm and nuclei


def test_fields_share_batches_and_order_and_workers_do_not_count(plate, oracle, tmp_path):
    images, limits = plate
    frames = []
    for batch, threads in ((1, 1), (4, 1), (4, 3), (100, 2)):
        name = tmp_path / f"{batch}-{threads}"
        frames.append(run.segment_plate(images, limits, name, options=networks(batch=batch), threads=threads))
    assert {count for count, _ in oracle.calls} == {1, 3, 4, 7}
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_without_cytoplasm_cells_are_grown(plate, oracle, tmp_path):
    images, limits = plate
    frame = run.segment_plate(images, limits, tmp_path / "labels.zarr", options=replace(networks(), cytoplasm=()))
    assert oracle.channels == {1}
    assert (frame["Metadata_Cell_Area"] > frame["Metadata_Nucleus_Area"]).all()


def test_too_little_memory_halves_the_batch_and_says_so(plate, oracle, tmp_path, caplog):
    images, limits = plate
    whole = run.segment_plate(images, limits, tmp_path / "whole", options=networks(batch=16))
    oracle.most, oracle.calls = 3, []
    frame = run.segment_plate(images, limits, tmp_path / "halved", options=networks(batch=16))
    pd.testing.assert_frame_equal(frame, whole)
    assert [batch for _, batch in oracle.calls] == [16, 8, 4, 2, 2]
    assert "continuing with cells.cellpose.batch 2" in caplog.text
    oracle.most = 0
    with pytest.raises(MemoryError, match="a single tile .* does not fit .* cells.cellpose.precision"):
        run.segment_plate(images, limits, tmp_path / "none", options=networks(batch=16))


def test_a_network_of_the_library_runs_from_a_file(plate, weights, tmp_path):
    """Random weights find nothing that means something, but fields of their size, in both precisions."""
    images, limits = plate
    images = replace(images, fields=images.fields[:2])
    for precision in ("float32", "bfloat16"):
        chosen = networks(weights, precision=precision, diameters={"nuclei": 35, "cells": None})
        run.segment_plate(images, limits, tmp_path / precision, options=chosen)
        assert ngff.open_labels(tmp_path / precision).read("A01", "1", "cells").shape == (200, 220)


def test_uniform_fields_have_no_cells(weights, tmp_path):
    segmenter = cellpose.Cellpose(
        networks(weights, cellprob_threshold=-1e9, flow_threshold=0).cellpose,
        scale={"nuclei": None, "cells": None},
        least=1,
        spans=(100.0, 1.0),
        floor=0.3,
        growth=None,
        cytoplasm=True,
    )
    for value in (0, 65535):
        uniform = np.full((90, 80), value, np.uint16)
        for labels in segmenter([(uniform, np.ones((90, 80), np.float32))])[0]:
            assert labels.shape == (90, 80) and labels.max() == 0


def test_a_missing_file_is_named_and_not_fetched(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"{KEY}: .* none at .*/cpsam_v2 .*`snakemake weights`"):
        cellpose.load(WeightsFile(str(tmp_path / "cpsam_v2"), "0" * 64), key=KEY)
    with pytest.raises(ValueError, match=f"{KEY}: expected an absolute path, found cpsam_v2"):
        cellpose.load(WeightsFile("cpsam_v2", "0" * 64), key=KEY)
    with pytest.raises(ValueError, match=f"{KEY}: expected path and sha256, found .*None"):
        cellpose.load(WeightsFile("/cpsam_v2", None), key=KEY)


def test_another_file_than_stated(weights):
    with pytest.raises(ValueError, match=r"tiny: expected sha256 0000.* \(.*nuclei\), found .* truncated"):
        cellpose.load(WeightsFile(weights["path"], "0" * 64), key=KEY)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"downsample.res_down_0.conv_0.0.weight": torch.zeros(2)}, "Cellpose 4, found one of Cellpose 3 or older"),
        ({"patch_embed.weight": torch.zeros(2)}, r"found weights of something else: \['patch_embed.weight'\]"),
        ([torch.zeros(2)], "weights of something else"),
        ({"W2": torch.zeros(2), "encoder.cls_token": torch.zeros(1)}, "family cpdino, which needs the package dinov3"),
        (b"<html>404</html>", "expected a file of PyTorch weights"),
        (b"", "expected a file of PyTorch weights"),
    ],
)
def test_a_file_that_cannot_serve_says_what_it_is(tmp_path, content, message):
    path = tmp_path / "file"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match=message):
        cellpose.load(WeightsFile(str(path), file_digest(path)), key=KEY)


def test_weights_that_lack_some_or_have_other_shapes_are_no_weights(tiny, tmp_path):
    state = tiny().state_dict()
    path = tmp_path / "partial"
    torch.save({name: value for name, value in state.items() if "blocks.1" not in name}, path)
    with pytest.raises(ValueError, match=r"found none for \d+ of them: \['encoder.blocks.1"):
        cellpose.load(WeightsFile(str(path), file_digest(path)), key=KEY)
    torch.save(state | {"out.bias": torch.zeros(7)}, path)
    with pytest.raises(ValueError, match="expected the shapes of Cellpose-SAM: .*out.bias"):
        cellpose.load(WeightsFile(str(path), file_digest(path)), key=KEY)


def test_the_library_cannot_download(weights):
    from cellpose import models

    cellpose.load(WeightsFile(**weights), key=KEY)
    with pytest.raises(RuntimeError, match=r"Cellpose tried to download .*; downloads in jobs are blocked"):
        models.CellposeModel(pretrained_model="/nowhere/cpsam_v2")


def test_an_empty_field_is_not_stretched_to_its_noise():
    generator = np.random.default_rng(0)
    empty = generator.normal(100, 5, (100, 130))
    full = empty + np.where(np.indices((100, 130)).sum(axis=0) % 20 < 5, 600, 0)
    assert np.ptp(cellpose.stretch(empty, span=600, floor=0.3)) < 0.3
    assert np.ptp(cellpose.stretch(empty, span=600, floor=0.0)) > 1
    np.testing.assert_allclose(np.percentile(cellpose.stretch(full, span=600, floor=0.3), (1, 99)), (0, 1), atol=1e-6)


@pytest.mark.parametrize(("shape", "factor", "count"), [((1080, 1080), 1, 36), ((256, 256), 1, 1), ((256, 300), 2, 9)])
def test_tiles_are_those_of_the_library(shape, factor, count):
    from cellpose import transforms

    assert cellpose.tiles(shape, factor) == count
    scaled = np.zeros((1, *(int(edge * factor) for edge in shape)), np.float32)
    tiles, *_ = transforms.make_tiles(scaled, bsize=cellpose.TILE, tile_overlap=cellpose.OVERLAP)
    assert int(np.prod(tiles.shape[:2])) == count


@pytest.mark.parametrize(
    ("diameters", "shape", "count"),
    [((None, None), (200, 250), 16), ((60, None), (200, 250), 16), ((60, 60), (500, 510), 16),
     ((15, None), (200, 250), 2), ((15, 60), (200, 300), 2), ((None, 10), (900, 1000), 1)],
)  # fmt: skip
def test_as_many_fields_are_segmented_together_as_fill_a_batch(oracle, diameters, shape, count):
    """A field of 200 x 250 px at 15 px per nucleus is doubled for the network, hence 2 x 3 tiles of 256 px."""
    segmenter = cellpose.Cellpose(
        networks(batch=16).cellpose, scale=dict(zip(("nuclei", "cells"), diameters, strict=True)), least=1,
        spans=(100.0, 1.0), floor=0.3, growth=None, cytoplasm=True,
    )  # fmt: skip
    assert segmenter.together(shape) == count


@pytest.mark.slow
def test_a_network_trained_here_finds_planted_nuclei(tiny, tmp_path):
    """Two layers trained for minutes on 24 fields find the nuclei of a plate of others: AP at IoU 0.5 over 0.75."""
    from cellpose import train

    from benchmarks_of import load

    def field(number):
        generator = np.random.default_rng(number)
        centres = np.array([(y, x) for y in range(24, 240, 34) for x in range(24, 240, 34)], float)
        kept = centres[generator.random(len(centres)) < 0.7] + generator.uniform(-6, 6, (1, 2))
        return discs(kept, radius=generator.uniform(9, 13), shape=(256, 256), seed=number)

    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - Cellpose draws from the global state
    images, labels = zip(*(field(number) for number in range(24)), strict=True)
    net = tiny(rdrop=0.0)
    found = train.train_seg(
        net, train_data=[image.astype(np.float32) for image in images], train_labels=list(labels), batch_size=8,
        n_epochs=25, learning_rate=1e-3, weight_decay=0.01, nimg_per_epoch=32, min_train_masks=1,
        save_path=tmp_path, model_name="trained",
    )  # fmt: skip
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA"]) as writer:
        for number in range(6):
            writer.write("A01", str(number), field(100 + number)[0][None])
    limits = pd.DataFrame({"Metadata_Channel": ["DNA"], "low": 80.0, "high": 700.0})
    chosen = networks({"path": str(found[0]), "sha256": file_digest(found[0])})
    chosen = replace(chosen, cytoplasm=())
    run.segment_plate(ngff.open_plate(tmp_path / "P1.zarr"), limits, tmp_path / "labels", options=chosen)
    score = load("segmentation").score
    written = ngff.open_labels(tmp_path / "labels")
    scores = [score(field(100 + n)[1], written.read("A01", str(n), "nuclei"))["ap50"] for n in range(6)]
    assert np.mean(scores) > 0.75, scores
