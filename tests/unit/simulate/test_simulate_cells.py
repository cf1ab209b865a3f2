"""Simulated cells and optics: planted effects can be measured, and irrelevant properties carry no information."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from wellspring.simulate.cells import STAIN, draw_field, place_cells, texture_bank
from wellspring.simulate.optics import expose, flat_field, is_edge, plate_optics, well_state
from wellspring.simulate.screen import read_screen, stream
from wellspring.simulate.traits import draw_traits

SHIPPED = Path(__file__).resolve().parents[3] / "resources" / "demo" / "screen.yaml"
CENTRE = np.array([[64.3, 63.8]], dtype=np.float32)


@pytest.fixture(scope="module")
def screen():
    return read_screen(SHIPPED)


@pytest.fixture(scope="module")
def bank():
    return texture_bank(stream(0, 9))


def one_cell(shifts, bank, *, count=12):
    """Mean of `count` single cells on fields of 128 pixels, (5, 128, 128)."""
    fields = []
    for number in range(count):
        rng = stream(number, 8)
        traits = draw_traits(shifts, rng, count=1, jitter=0.05)
        fields.append(draw_field(CENTRE, traits, bank, rng, field=128, stain_jitter=0.0))
    return np.mean(fields, axis=0)


def radius(image):
    """Mean distance of the stain from the cell's centre, pixels."""
    y, x = np.mgrid[:128, :128]
    return (image * np.hypot(y - CENTRE[0, 0], x - CENTRE[0, 1])).sum() / image.sum()


@pytest.mark.parametrize(
    "name", ["mitochondrial", "chromatin", "actin", "secretory", "translation", "tubulin", "adhesion", "replication"]
)
def test_no_mechanism_changes_a_cells_stain(screen, bank, name):
    shifts = {key: 1.5 * value for key, value in screen.mechanisms[name].items() if key != "density"}
    np.testing.assert_allclose(one_cell(shifts, bank, count=2).sum(axis=(1, 2)), STAIN, rtol=1e-3)


def test_shape_parameters_show_in_their_channel(bank):
    untreated = one_cell({}, bank)
    assert radius(one_cell({"mito_position": -0.6}, bank)[4]) < radius(untreated[4]) - 1
    assert radius(one_cell({"nucleus_radius": 0.3}, bank)[0]) > radius(untreated[0]) + 1
    assert radius(one_cell({"er_length": -0.5}, bank)[1]) < radius(untreated[1]) - 0.5
    assert radius(one_cell({"edge": -0.6}, bank)[3]) < radius(untreated[3]) - 0.5
    assert radius(one_cell({"golgi_distance": 0.5}, bank)[0]) == pytest.approx(radius(untreated[0]), abs=0.2)


def test_cells_keep_their_distance_and_number():
    counts = []
    for seed in range(20):
        centres = place_cells(stream(seed, 1), field=400, density=40)
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=-1) + 1e9 * np.eye(len(centres))
        assert gaps.min() >= 27
        counts.append(((centres >= 0) & (centres < 400)).all(axis=1).sum())
    assert abs(np.mean(counts) - 40) < 5


def test_edge_wells_are_sparser_brighter_and_blurred(screen):
    optics = plate_optics(screen, "B1_U2OS", seed=1)
    states = {well: well_state(screen, "B1_U2OS", well, optics, seed=1) for well in screen.wells}
    outer = [state for well, state in states.items() if is_edge(screen, well)]
    inner = [state for well, state in states.items() if not is_edge(screen, well)]
    assert (len(outer), len(inner)) == (16, 8)
    assert np.mean([state.blur for state in outer]) > np.mean([state.blur for state in inner])
    assert np.mean([state.density for state in outer]) < np.mean([state.density for state in inner])


def test_camera_gives_back_offset_flat_field_and_noise(screen):
    """An even stain comes out as the flat field over the offset, with the stated variance."""
    screen = dataclasses.replace(screen, field=128)
    optics = plate_optics(screen, "B1_U2OS", seed=1)
    well = well_state(screen, "B1_U2OS", "B02", optics, seed=1)
    stain = np.full((5, 128, 128), 1000, dtype=np.float32)
    planes = expose(stain, optics, well, stream(1, 7), nuisance=screen.nuisance).astype(float)
    for channel, name in enumerate(("DNA", "ER", "RNA", "AGP", "Mito")):
        light = 1000 * well.gain[channel] + screen.nuisance.background
        expected = light * flat_field(screen, "B1_U2OS", name, seed=1) + screen.nuisance.offset
        assert planes[channel].mean() == pytest.approx(expected.mean(), rel=2e-3)
        variance = screen.nuisance.shot_noise * (expected - screen.nuisance.offset) + screen.nuisance.read_noise**2
        assert ((planes[channel] - expected) ** 2).mean() == pytest.approx(variance.mean() + 1 / 12, rel=0.08)
