"""Pixels standardised by view, as frozen models of cells need them: in training and in embedding alike."""

import dataclasses

import numpy as np
import pytest
import torch
from test_embed import encoder_of, inputs, paths, section  # noqa: F401  the fixture `paths`

import blobs
import trainings
from wellspring.embed import run as embed
from wellspring.train.augment import Recipe, view
from wellspring.views.scaling import standardise_views

CPU = torch.device("cpu")
LOOK = {"kind": "cell", "size": 24, "pixels": "view"}


def brighter(known, given: embed.PlateInputs) -> embed.PlateInputs:
    """The same plate at an intensity scale of another gain and offset, within the limits of the scale."""
    scale = given.scale
    return dataclasses.replace(given, scale=dataclasses.replace(scale, mean=scale.mean + 0.3, std=scale.std * 2.5))


def test_each_channel_of_each_view_has_mean_0_and_deviation_1():
    images = torch.randn(3, 2, 8, 11, generator=torch.Generator().manual_seed(0)) * 7 + 3
    images[1, 0] = 5.0
    found = standardise_views(images).numpy()
    wanted = images.numpy() - images.numpy().mean(axis=(2, 3), keepdims=True)
    std = images.numpy().std(axis=(2, 3), keepdims=True)
    np.testing.assert_allclose(found, np.where(std > 1e-3, wanted / np.maximum(std, 1e-3), 0), atol=1e-5)


@pytest.mark.parametrize("pixels", ["view", "plate"])
def test_brightness_of_a_plate_is_removed_only_by_view(paths, pixels):  # noqa: F811
    known = encoder_of(["DNA", "RNA"], view=LOOK | {"pixels": pixels})
    given = inputs(known, paths)
    _, plain = embed.embed(known, given, section(), device=CPU)
    _, other = embed.embed(known, brighter(known, given), section(), device=CPU)
    assert np.allclose(plain, other, atol=1e-3) == (pixels == "view")


def test_training_sees_what_is_embedded():
    images = torch.rand(2, 2, 24, 24, generator=torch.Generator().manual_seed(1))
    scale = {"mean": torch.full((2, 2), 0.2), "std": torch.full((2, 2), 0.4)}
    seen = view(images, Recipe(gain=0.5, bias=0.5), torch.Generator().manual_seed(2), size=24, alone=True, **scale)
    torch.testing.assert_close(seen, standardise_views(images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("pixels", ["view", "plate"])
@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
def test_a_training_by_view_does_not_depend_on_the_plates_brightness(tmp_path, kind, pixels):
    screen, first = blobs.screen(tmp_path, channels=trainings.CHANNELS), []
    entry = blobs.entry(kind=kind, view=LOOK | {"pixels": pixels}, steps=1, augmentation={"preset": "flips"})
    for shift in (0.0, 0.3):
        source = blobs.source(screen, entry, channels=trainings.CHANNELS)
        source.pixels = [dataclasses.replace(each, mean=each.mean + np.float32(shift)) for each in source.pixels]
        _, _, history = trainings.train_on(entry, source, tmp_path / f"{shift}")
        first.append(float(history["loss"].iloc[0]))
    assert (abs(first[0] - first[1]) < 1e-4) == (pixels == "view")
