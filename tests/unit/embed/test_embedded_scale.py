"""The scale at which views are embedded follows the scale at which training showed them."""

import math

import numpy as np
import pytest
from test_embed import encoder_of, inputs, paths, section  # noqa: F401  the fixture `paths`

import blobs
from options import options
from wellspring.embed import run as embed
from wellspring.train.settings import resolve

CPU = embed.torch.device("cpu")


def settings(kind: str, view: dict, *, crop: str = "resized", scale: tuple[float, float] = (0.4, 1.0), **over):
    overrides = {"crop": crop} | ({} if kind == "sslprofiler" else {"scale": list(scale)})
    given = {"kind": kind, "view": view, "augmentation": {"preset": "sslprofiler", "overrides": overrides}} | over
    return resolve(blobs.entry(**given), seed=1)


def magnification(found) -> float:
    return found.input_size / found.embedded


@pytest.mark.parametrize("size", [32, 40, 48, 96])
def test_tiles_of_native_crops_are_embedded_natively(size):
    assert settings("sslprofiler", {"kind": "tile", "size": size}, crop="native").embedded == 24


def test_tiles_are_embedded_at_the_mean_scale_of_their_crops():
    rng = np.random.default_rng(3)
    for _ in range(200):
        low, high = sorted(rng.uniform(0.05, 1.0, 2))
        size = int(rng.integers(24, 400))
        found = settings("simclr", {"kind": "tile", "size": size}, scale=(low, high))
        edges = np.sqrt([low, high]) * size  # of a crop in the view, px
        assert edges[0] - 1 <= found.embedded <= edges[1] + 1
        ratio = magnification(found) / math.sqrt(math.prod(found.magnification))
        assert 1 / 1.05 < ratio < 1.05


@pytest.mark.parametrize("scale", [(0.08, 0.3), (0.08, 0.6), (0.2, 0.5)])
def test_cells_that_training_showed_larger_are_refused_unless_an_edge_is_given(scale):
    with pytest.raises(ValueError, match=r"encoders.view.embedded: expected .* found 32 px .*, magnified 1.00"):
        settings("simclr", {"kind": "cell", "size": 32}, scale=scale)
    assert settings("simclr", {"kind": "cell", "size": 32, "embedded": 32}, scale=scale).embedded == 32
    assert settings("simclr", {"kind": "cell", "size": 32, "embedded": 20}, scale=scale).embedded == 20


def test_views_have_the_edge_that_the_card_states(paths):  # noqa: F811
    known = encoder_of(["DNA", "RNA"], kind="sslprofiler", view={"kind": "tile", "size": 32, "embedded": 20})
    known.card["view"]["embedded"] = 20
    frame, _ = embed.embed(known, inputs(known, paths), section(least_foreground=0.0), device=CPU)
    centres = frame[["Metadata_Center_Y", "Metadata_Center_X"]].to_numpy()
    assert (centres.min(axis=0) == 9.5).all()  # the middle of pixels 0 to 19
    assert np.diff(np.unique(centres[:, 1])).max() == 20


def test_a_field_at_a_scale_that_was_not_trained_is_refused_unless_asked(paths):  # noqa: F811
    known = encoder_of(["DNA", "RNA"], kind="sslprofiler", view={"kind": "tile", "size": 32})
    known.card["magnification"] = [0.75, 1.2]
    with pytest.raises(ValueError, match="embed.field: expected fields that are magnified 0.75 to 1.20 times"):
        embed.embed(known, inputs(known, paths), section(field="joined"), device=CPU)
    known.card["magnification"] = [0.05, 0.1]
    with pytest.raises(ValueError, match="embed.field: expected fields that are magnified 0.05 to 0.10 times"):
        embed.embed(known, inputs(known, paths), section(field="joined"), device=CPU)
    known.card["magnification"] = [0.75, 1.2]
    _, alone = embed.embed(known, inputs(known, paths), section(), device=CPU)
    _, asked = embed.embed(known, inputs(known, paths), section(field="joined", untrained_scale=True), device=CPU)
    assert asked.shape[1] == 2 * alone.shape[1]
    assert options("embed").untrained_scale is False
