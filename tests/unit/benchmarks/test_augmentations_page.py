"""docs/augmentations.md: tables are those of the code, strengths are described, pictures are there and small."""

import dataclasses
import importlib.util
import re
import sys

import pytest
import torch

from wellspring.train import augment


@pytest.fixture(scope="module")
def script(root):
    path = root / "docs" / "make_augmentations.py"
    spec = importlib.util.spec_from_file_location("make_augmentations", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "augmentations.md").read_text()


def test_tables_have_not_drifted(script, page):
    assert page == script.filled(page), "run: python docs/make_augmentations.py"


def test_a_change_of_a_preset_would_be_seen(script, page, monkeypatch):
    monkeypatch.setitem(augment.PRESETS, "flips", dataclasses.replace(augment.PRESETS["flips"], drop=0.35))
    assert "0.35" in script.filled(page) != page


def test_every_strength_is_described(page):
    words = page[: page.index("<!-- presets -->")]
    for field in dataclasses.fields(augment.Recipe):
        told = f"`{field.name}`" in words or f"**{field.name.capitalize()}" in words
        assert told or field.name.endswith("_probability"), field.name


def test_every_picture_is_there_small_and_shown(root, page, script):
    shown = set(re.findall(r"!\[[^\]]+\]\(augmentations/(\w+)\.png\)", page))
    assert {f"preset_{name}" for name in augment.PRESETS} <= shown
    files = {path.stem: path for path in (root / "docs" / "augmentations").glob("*.png")}
    assert set(files) == shown
    for path in files.values():
        assert path.stat().st_size <= script.BYTES, path.name


def test_pictures_show_the_channels_they_name(script):
    pixels = torch.zeros(1, 5, 4, 4)
    assert script.composite(pixels).max() == 0
    pixels[:, script.CHANNELS.index("DNA")] = 1
    red, green, blue = script.composite(pixels)[0, 0].tolist()
    assert blue > green > red
