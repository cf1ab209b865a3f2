"""The network that comes with the workflow: its maps, what it finds and does not find, and how it is trained."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from skimage.io import imread
from test_plate_settings import LIMITS, Images, options
from test_plausible import DIAMETER, found_share, picture

from wellspring.cells import network, run, segment
from wellspring.cells.segment import Options

REPOSITORY = Path(__file__).resolve().parents[3]
OUTLINED = REPOSITORY.parent / "shared" / "data" / "nuclei_gt_dsb2018"


def _loaded(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


training = _loaded(REPOSITORY / "resources" / "nuclei" / "train.py")


def touching(rng, *, pairs=6, radius=9):
    """Return a field (H, W) of pairs of discs that overlap a little, and the number of discs."""
    grid, signal = np.mgrid[:200, :300], np.zeros((200, 300))
    for number in range(pairs):
        centre = np.array([50 + 100 * (number // 3), 50 + 100 * (number % 3)]) + rng.uniform(-15, 15, 2)
        angle = rng.uniform(0, np.pi)
        for side in (-1, 1):
            place = centre + side * 0.9 * radius * np.array([np.sin(angle), np.cos(angle)])
            inside = np.hypot(*(grid - place[:, None, None])) < radius
            signal[inside] = np.maximum(signal[inside], rng.uniform(500, 900))
    return rng.normal(100 + ndimage.gaussian_filter(signal, 1.0), 12), 2 * pairs


@pytest.mark.parametrize("seed", range(4))
def test_nuclei_that_touch_are_divided(seed):
    field, count = touching(np.random.default_rng(seed))
    nuclei = network.find_nuclei(field, options=Options(diameter=18))
    assert abs(int(nuclei.max()) - count) <= 1
    assert ndimage.label(nuclei > 0)[1] < count  # a mask alone would not do


@pytest.mark.parametrize(("told", "settled"), [(26.0, 18.0), (13.0, 18.0), (17.0, 17.0)])
def test_the_diameter_settles_on_that_of_the_nuclei_found(told, settled):
    """Pairs of discs of 18 px: an estimate within 0.15 of them stays, and without nuclei any does."""
    fields = [touching(np.random.default_rng(seed))[0] for seed in range(2)]
    assert network.settled_diameter(fields, options=Options(diameter=told)) == pytest.approx(settled, rel=0.06)
    assert network.settled_diameter([np.full((60, 60), 7)], options=Options(diameter=told)) == told
    assert network.settled_diameter([], options=Options(diameter=told)) == told


def test_a_plate_is_divided_at_the_settled_diameter(monkeypatch):
    """The floors are of this diameter too; a diameter that the config states is never changed."""
    monkeypatch.setattr(segment, "estimate_diameter", lambda fields: 25.0)
    images = Images(9)
    found = run.settle(images, LIMITS, options=options(method="network", nucleus_diameter=None))
    dna = [images.read(*field, ["DNA"])[0] for field in images.fields]
    assert found.options.diameter == pytest.approx(16, abs=2.5)  # discs of 12 to 16 px, smoothed
    assert found.options.floor == pytest.approx(
        segment.plate_floor(dna, diameter=found.options.diameter, share=options().floor, flat=True)
    )
    assert run.settle(images, LIMITS, options=options(nucleus_diameter=None)).options.diameter == 25
    assert run.settle(images, LIMITS, options=options(method="network", nucleus_diameter=25)).options.diameter == 25


@pytest.mark.parametrize("bodies", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("haze", [0.0, 1.0])
def test_bright_bodies_and_haze_hide_no_nuclei(bodies, haze):
    rng = np.random.default_rng([int(100 * bodies), int(haze), 1])
    for _ in range(2):
        dna, labels = picture(rng, bodies=bodies, haze=haze)
        nuclei = network.find_nuclei(dna, options=Options(diameter=DIAMETER))
        assert found_share(labels, nuclei) >= 0.85
        assert nuclei.max() <= 1.15 * labels.max()


@pytest.mark.parametrize("level", [0, 100, 40000])
def test_a_field_without_nuclei_has_none(level):
    rng = np.random.default_rng(level)
    for field in (np.full((90, 70), level), rng.normal(level, 8, (90, 70)), rng.poisson(level + 1, (150, 160))):
        found = network.find_nuclei(field, options=Options(diameter=20))
        assert found.shape == field.shape
        assert found.dtype == np.uint32
        assert not found.any()


def test_the_floor_of_the_plate_leaves_out_what_is_dimmer():
    dna, labels = picture(np.random.default_rng(5))
    found = [network.find_nuclei(dna, options=Options(diameter=DIAMETER, floor=floor)).max() for floor in (0, 1e5)]
    assert found[0] >= 0.9 * labels.max()
    assert found[1] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 7), (33, 17)])
def test_fields_of_any_size_are_taken(shape):
    field = np.random.default_rng(0).normal(100, 5, shape)
    assert network.find_nuclei(field, options=Options(diameter=12)).shape == shape


def test_nuclei_too_small_for_the_network_are_those_of_the_thresholds():
    dna, _ = picture(np.random.default_rng(8))
    chosen = Options(diameter=7.9)
    np.testing.assert_array_equal(network.find_nuclei(dna, options=chosen), segment.find_nuclei(dna, options=chosen))


def test_squares_give_the_maps_of_the_whole_field(monkeypatch):
    dna, _ = picture(np.random.default_rng(6))
    whole = network.maps(dna, diameter=DIAMETER / 2)
    monkeypatch.setattr(network, "CORE", 64)
    np.testing.assert_allclose(network.maps(dna, diameter=DIAMETER / 2), whole, atol=1e-4)


def test_brightness_and_offset_of_a_camera_change_nothing():
    dna, _ = picture(np.random.default_rng(7))
    first = network.find_nuclei(dna, options=Options(diameter=DIAMETER))
    second = network.find_nuclei(3.0 * dna + 500, options=Options(diameter=DIAMETER))
    assert found_share(first, second) >= 0.95


def test_weights_are_read_as_they_were_written(tmp_path):
    torch.manual_seed(1)
    made = network.Network().eval()
    network.save(made, tmp_path / "weights.npz")
    image = torch.rand(1, 3, 32, 40)
    with torch.inference_mode():
        np.testing.assert_allclose(network.load(tmp_path / "weights.npz").eval()(image), made(image), atol=5e-3)


def test_a_plate_is_segmented_by_the_network(tmp_path):
    """Each of its two fields has two discs."""

    class Plate(Images):
        path = tmp_path / "P.zarr"

    frames = [
        run.segment_plate(Plate(2), LIMITS, tmp_path / str(threads), options=options(method="network"), threads=threads)
        for threads in (1, 2)
    ]
    pd.testing.assert_frame_equal(*frames)
    assert len(frames[0]) == 4
    plain = run.segment_plate(Plate(2), LIMITS, tmp_path / "plain", options=options())
    assert list(frames[0].columns) == list(plain.columns)


def test_depth_is_one_in_the_middle_and_0_where_nuclei_touch():
    labels = np.zeros((20, 40), np.int32)
    labels[4:15, 5:16], labels[4:15, 16:27] = 1, 2
    depth = training.depth(labels)
    assert depth[9, 10] == depth[9, 21] == 1
    assert not depth[:, 15:17].any()
    assert not depth[labels == 0].any()


def test_training_repeats_itself_and_learns():
    rng = np.random.default_rng(0)
    outlined = []
    for _ in range(3):
        dna, labels = picture(rng)
        outlined.append(training.Outlined(dna, labels.astype(np.int32), DIAMETER))

    def weights(steps):
        torch.manual_seed(1)
        rng = np.random.default_rng(2)
        return training.train(network.Network(), outlined, steps=steps, lr=1e-3, rng=rng).state_dict()

    first, second, start = weights(3), weights(3), weights(1)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], start[name]) for name in first)


@pytest.mark.skipif(not OUTLINED.exists(), reason="shared/data is not there: real nuclei")
def test_real_nuclei_are_found_better_than_by_thresholds():
    """On 24 images of the half that neither of the two has seen, drawn at random: mean average precision."""
    bench = _loaded(REPOSITORY / "benchmarks" / "segmentation.py")
    names = sorted(pd.read_csv(OUTLINED / "index.csv")["id"])
    unseen = np.random.default_rng(bench.SEED).permutation(len(names))[len(names) // 2 :]
    scores = {"network": [], "threshold": []}
    for number in unseen[:24]:
        image, truth = (imread(OUTLINED / kind / f"{names[number]}.png") for kind in ("images", "labels"))
        image = image if image.ndim == 2 else image[..., :3].max(axis=-1)
        chosen = Options(diameter=segment.estimate_diameter([image]))
        for name, way in {"network": network, "threshold": segment}.items():
            scores[name].append(bench.score(truth, way.find_nuclei(image, options=chosen))["ap50"])
    assert np.mean(scores["network"]) > np.mean(scores["threshold"])
    assert np.mean(scores["network"]) > 0.78
