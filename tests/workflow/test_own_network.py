"""An encoder of kind module through Snakemake: planned, built, made again after an edit, refused before any job."""

import json

import pytest

import own_networks
import screens


@pytest.fixture
def screen(tmp_path):
    sheet = screens.fabricate(tmp_path, ["P1"])
    screens.make(tmp_path, changes={"encoders": None}, sheet=sheet)
    own_networks.write(tmp_path / "config")
    entries = {
        "own": {"kind": "module", "factory": "config/networks.py:small", "view": {"kind": "tile"}},
        "trained": {"kind": "module", "factory": "config/networks.py:tokens", "objective": "sslprofiler"},
    }
    screens.change(tmp_path, {"encoders": entries})
    return tmp_path


def test_it_is_planned_like_other_networks_and_refused_without_its_source(screen):
    card = "results/train/{}/encoder.json"
    assert screens.planned(screen, card.format("own")) == {"train": 1}
    assert screens.planned(screen, card.format("trained"))["images"] == 1
    screens.change(screen, {"encoders": {"own": {"factory": "networks.py:small"}}})
    said = screens.refusal(screen, card.format("own"))
    assert "encoders.own.factory: expected a file at" in said and "relative to the working directory" in said


def test_an_edit_of_its_source_makes_it_again(screen):
    target = "results/train/own/encoder.json"
    done = screens.snakemake("--cores", "1", target, cwd=screen)
    assert done.returncode == 0, done.stdout
    card = json.loads((screen / target).read_text())
    assert card["module"]["factory"] == "config/networks.py:small" and len(card["module"]["sha256"]) == 64
    assert screens.planned(screen, target) == {}
    file = screen / "config" / "networks.py"
    file.write_text(file.read_text().replace("nn.GELU", "nn.ReLU"))
    assert screens.planned(screen, target) == {"train": 1}
