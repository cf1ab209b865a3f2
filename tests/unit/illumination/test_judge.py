"""A correction is judged by wells that it was not fitted to; one that harms objects or gains nothing is not applied."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from options import options
from wellspring.illumination import basic, estimate, evenness, flatfield, judge, lightpath, objects
from wellspring.io.notes import loads
from wellspring.simulate import lights

OPTIONS = options("illumination")
SIZE = (96, 144)


def _disc(shape, y, x, radius):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 < radius**2


def _organoids(rng, count=30, shape=(40, 60)):
    """Discs of 200 counts anywhere, on a background of 4 counts in the centre and 8 at the edge: nothing to correct."""
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    glow = 4 + 2 * (y**2 + x**2)
    stack = np.stack([glow + rng.normal(0, 0.1, shape) for _ in range(count)])
    for field in stack:
        for _ in range(rng.integers(2, 6)):
            field[_disc(shape, *rng.uniform(0, shape), rng.uniform(2, 4))] += 200 * rng.lognormal(0, 0.2)
    return stack.astype(np.float32)


def _survey(count, wells, darkest=None):
    names = ["Plate", "Channel", "Verdict", "Height", "Width"]
    frame = pd.DataFrame([("P", "DNA", "keep", *SIZE)] * count, columns=[f"Metadata_{name}" for name in names])
    frame["Metadata_Well"] = [f"A{number % wells + 1:02d}" for number in range(count)]
    return frame if darkest is None else frame.assign(**{"quantile_0.001": darkest})


def _path(stack, *, wells=None, darkest=None, **changes):
    table = _survey(len(stack), wells or len(stack), darkest)
    return estimate.light_path([table], [stack], channels=["DNA"], options=replace(OPTIONS, **changes))


def _code(light):
    return [note.code for note in loads(light.notes[0])]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_a_fit_to_a_dim_background_is_not_applied_to_bright_objects(seed):
    stack = _organoids(np.random.default_rng(seed))
    light = _path(stack)
    assert light.held_out["residual_change"][0, 2] < 0  # the background alone would be for it
    assert light.flat.max() / light.flat.min() > 1.3
    assert _code(light) == [judge.WORSE_OBJECTS]
    assert (light.used().flat == 1).all() and (light.used().dark == 0).all()
    raw = np.random.default_rng(0).integers(0, 255, (1, *SIZE)).astype(np.uint16)
    np.testing.assert_array_equal(lightpath.correct(raw, light.used().flat, light.used().dark), raw)
    always = _path(stack, apply="always")
    np.testing.assert_array_equal(always.used().flat, light.flat)
    assert always.notes == ("",)


@pytest.mark.parametrize("scene", ["organoids", "few crowded", "seeded in the middle"])
@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.slow)])
def test_even_light_stays_as_it_is(scene, seed):
    assert not _path(lights.views(scene, 36, seed=seed).stack).applied[0]


@pytest.mark.parametrize("seed", range(3))
def test_peaks_of_noise_are_no_objects(seed):
    """A channel without cells: shot noise is higher where more light is, which is no uneven seeding."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in (48, 72)], indexing="ij")
    flat = 1 - rng.uniform(0.2, 0.3) * ((y - 0.2) ** 2 + (x + 0.1) ** 2)
    light = 100 + rng.lognormal(np.log(120), 0.15, (36, 1, 1)) * flat / flat.mean()
    stack = rng.normal(light, 0.25 * np.sqrt(light - 95)).astype(np.float32)
    assert not len(objects.peaks(stack).place)
    light = _path(stack)
    assert light.applied.all()
    assert light.notes == ("",)


@pytest.mark.parametrize("scene", lights.SCENES)
def test_a_flat_field_that_is_there_is_corrected(scene):
    for count in (16, 40):
        light = _path(lights.views(scene, count, seed=7).stack)
        assert light.applied.all()
        assert light.notes == ("",)


@pytest.mark.parametrize("scene", [*lights.SCENES, *lights.HARD])
def test_limits_hold_on_every_kind_of_field(scene):
    rng = np.random.default_rng(len(scene))
    stack = lights.views(scene, 20, seed=5).stack
    for limit in (1.2, rng.uniform(1.5, 5)):
        darkest = float(stack.min() - rng.uniform(0, 20))
        light = _path(stack, darkest=darkest, max_gain=limit)
        assert light.flat.min() >= 1 / limit - 1e-5
        assert light.flat.max() <= limit + 1e-5
        assert light.flat.mean() == pytest.approx(1, abs=1e-3)
        assert light.dark.min() >= 0
        assert light.dark.max() <= max(darkest, 0) + 1e-3


@pytest.mark.parametrize("seed", range(12))
def test_a_dark_field_is_never_above_the_data(seed):
    """Random fields, each a random sum of smooth and rough parts: no dark field leaves 0 to the darkest bins."""
    rng = np.random.default_rng(seed)
    shape = (24, 37)
    y, x = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    shade = 1 + rng.uniform(-0.9, 0.9) * y * rng.uniform(-1, 1) - rng.uniform(0, 0.6) * (x**2 + y**2)
    level = rng.gamma(rng.uniform(0.5, 4), 300, (30, 1, 1))
    stack = rng.uniform(0, 100) + level * np.maximum(shade, 0) * rng.gamma(2, 0.5, (30, *shape))
    found = basic.basic(stack.astype(np.float32))
    assert found.dark.min() >= 0
    assert found.dark.max() <= np.quantile(stack.reshape(30, -1).min(axis=1), 0.05) + 1e-3


def test_the_largest_gain_is_a_note():
    corner = lights.views("well wall", 36, seed=2).stack
    light = _path(corner, apply="always")
    (note,) = loads(light.notes[0])
    assert note.code == estimate.GAIN_LIMITED
    assert note.values["largest"] > note.values["limit"] == OPTIONS.max_gain


def test_an_offset_above_the_data_is_a_note():
    assert estimate.DARK_ABOVE_DATA in _code(_path(lights.views("sparse", 20, seed=1).stack, offset=500))


@pytest.mark.parametrize("wells", [1, 3])
def test_few_wells_are_no_test(wells):
    light = _path(lights.views("sparse", 24, seed=1).stack, wells=wells)
    assert _code(light) == [judge.UNTESTED]
    assert not light.applied[0]
    (note,) = loads(light.notes[0])
    assert note.values == {"wells": wells, "needed": 4}


def test_halves_are_of_wells():
    seen = []

    def fit(stack):
        seen.append(set(stack[:, 0, 0].round().astype(int) % 10))
        return flatfield.light(np.ones(stack.shape[1:]))

    wells = np.repeat(np.arange(8), 3)
    stack = np.zeros((24, 20, 30), dtype=np.float32) + wells[:, None, None]
    judge.held_out(stack, np.array([f"W{well}" for well in wells]), fit, base=0.0)
    assert seen[0] | seen[1] == set(range(8)) and not seen[0] & seen[1]


def test_given_flat_fields_are_left_out_only_where_wells_get_worse(tmp_path):
    planted = lights.views("dense", 24, seed=1)
    np.save(tmp_path / "even_DNA.npy", np.ones(SIZE))
    wrong = np.linspace(0.4, 1.6, SIZE[0])[:, None] * np.ones(SIZE)
    np.save(tmp_path / "wrong_DNA.npy", wrong)
    for name, applied in (("even", True), ("wrong", False)):
        path = f"{tmp_path}/{name}_{{channel}}.npy"
        assert _path(planted.stack, method="given", given=path).applied[0] == applied


def _objects_of(flat, rng, count=60, shape=(40, 60)):
    """Return views of single bright bins, of known excess over an even background, through a flat field."""
    stack = np.full((count, *shape), 50.0)
    truth = []
    for field in stack:
        for y in range(4, shape[0] - 4, 9):
            for x in range(4, shape[1] - 4, 9):
                truth.append(4000 * rng.lognormal(0, 0.3))
                field[y, x] += truth[-1]
    return (stack * flat).astype(np.float32), len(truth)


@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_objects_follow_the_flat_field_that_is_there(strength):
    """With the flat field to the power s in the views, the slope along the flat field is s."""
    rng = np.random.default_rng(4)
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 60), indexing="ij")
    flat = 1 - 0.25 * (y**2 + x**2)
    stack, count = _objects_of(flat**strength, rng)
    found = objects.peaks(stack)
    chosen, shade, bright = objects.followed(found, flat)
    assert chosen.sum() > 0.9 * count
    assert np.polyfit(shade, bright, 1)[0] == pytest.approx(strength, abs=0.15)
    figures = evenness.measured(stack, flatfield.light(flat))
    width = shade.std()
    assert figures["objects_before"][0] == pytest.approx(strength * width, abs=0.15 * width)
    assert figures["objects_after"][0] == pytest.approx(abs(strength - 1) * width, abs=0.15 * width)
    assert figures["objects_full"][0] == pytest.approx(-width, rel=0.05)


def test_objects_hardly_depend_on_the_dark_field_and_on_smooth_light():
    rng = np.random.default_rng(5)
    stack, _ = _objects_of(np.ones((40, 60)), rng, count=8)
    bowl = 30 * (np.linspace(-1, 1, 60) ** 2)[None, :] + np.linspace(0, 9, 40)[:, None]
    plain, lifted = objects.peaks(stack), objects.peaks((stack + 500 + bowl).astype(np.float32))
    np.testing.assert_array_equal(plain.place, lifted.place)
    assert np.abs(lifted.excess / plain.excess - 1).max() < 0.15


def test_an_interval_is_of_wells_and_wider_for_few():
    """Copies of a well's fields add nothing: the interval stays that of the wells."""
    stack = lights.views("sparse", 24, seed=2).stack
    even = flatfield.light(np.ones(stack.shape[1:]))
    single = evenness.measured(stack, even, base=100)["edge_before"]
    copied = evenness.measured(np.repeat(stack, 4, axis=0), even, base=100, wells=np.repeat(np.arange(24), 4))
    assert np.ptp(copied["edge_before"][1:]) == pytest.approx(np.ptp(single[1:]), rel=0.2)
    blind = evenness.measured(np.repeat(stack, 4, axis=0), even, base=100)["edge_before"]
    assert np.ptp(blind[1:]) < 0.65 * np.ptp(single[1:])


def test_light_paths_keep_what_is_applied(tmp_path):
    stack = _organoids(np.random.default_rng(9))
    tables = [_survey(30, 30), _survey(24, 24).assign(Metadata_Channel="ER")]
    good = lights.views("sparse", 24, seed=1).stack
    wide = np.stack([np.pad(view, ((0, 0), (0, 32)), mode="wrap")[:40, :60] for view in good])
    light = estimate.light_path(tables, [stack, wide], channels=["DNA", "ER"], options=OPTIONS)
    lightpath.save(tmp_path / "x.npz", light)
    again = lightpath.load(tmp_path / "x.npz").of(["ER", "DNA"])
    assert again.applied.tolist() == light.applied.tolist()[::-1]
    assert again.notes == light.notes[::-1]
    assert again.records()[1] == {"channel": "DNA", "correction": "not_applied", "notes": light.notes[0]}
    (path, _) = lightpath.export(tmp_path, light, plate="P")
    assert (np.load(path) == 1).all()


@pytest.mark.parametrize("power", [0.0, 3.0])
def test_denser_objects_where_the_light_is_brighter_are_uneven_seeding(power):
    """Objects of equal brightness, placed anywhere or by a power of the flat field; the power is measured."""
    rng, shape = np.random.default_rng(int(power)), (40, 60)
    y, x = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 60), indexing="ij")
    flat = 1.2 - 0.3 * (y**2 + x**2)
    flat /= flat.mean()
    stack = np.full((80, *shape), 50.0)
    places = np.flatnonzero(np.pad(np.ones((38, 58)), 1))
    chance = flat.ravel()[places] ** power
    for field in stack:
        found = rng.choice(places, 12, replace=False, p=chance / chance.sum())
        field.ravel()[found] += 4000 * rng.lognormal(0, 0.2, 12)
    figures = evenness.measured(stack.astype(np.float32), flatfield.light(flat))
    value, low, high = figures["objects_density"]
    assert abs(value - power) < 0.8  # of the first order: somewhat low for large powers
    assert (low < 0 < high) == (power == 0)
    gain = {"residual_change": np.array([-0.1, -0.12, -0.08]), "objects_change": np.array([-0.1, -0.12, -0.08])}
    why = judge.against(figures | gain, wells=80)
    assert (why is not None and why.code == judge.UNEVEN_SEEDING) == (power == 3.0)
