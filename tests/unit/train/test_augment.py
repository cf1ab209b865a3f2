"""Views: shapes, determinism, what strength 0 leaves alone, and what each part does."""

import dataclasses

import pytest
import torch

from wellspring.train import augment, colour, geometry, noise


def images(count: int = 4, channels: int = 3, side: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def look(batch: torch.Tensor, recipe: augment.Recipe, *, size: int, seed: int = 0, **over) -> torch.Tensor:
    count, channels = batch.shape[:2]
    scales = {"mean": torch.zeros(count, channels), "std": torch.ones(count, channels)} | over
    return augment.view(batch, recipe, seeded(seed), size=size, **scales)


@pytest.mark.parametrize("preset", sorted(augment.PRESETS))
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
def test_views_have_their_shape_and_follow_the_generator(preset, channels):
    batch = images(channels=channels)
    one, again, other = (look(batch, augment.recipe(preset), size=24, seed=seed) for seed in (1, 1, 2))
    assert one.shape == (4, channels, 24, 24)
    assert one.dtype == torch.float32
    assert torch.isfinite(one).all()
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_strength_zero_is_the_middle_of_the_image():
    batch = images()
    assert torch.allclose(look(batch, augment.Recipe(), size=32), batch, atol=1e-6)
    assert torch.allclose(look(batch, augment.Recipe(), size=24), batch[:, :, 4:28, 4:28], atol=1e-5)


def test_standardising_and_the_window():
    batch = images()
    window = torch.rand(32, 32)
    found = look(
        batch, augment.Recipe(), size=32, mean=torch.full((4, 3), 0.5), std=torch.full((4, 3), 0.2), window=window
    )
    assert torch.allclose(found, (batch - 0.5) / 0.2 * window, atol=1e-5)


def test_geometry_is_the_same_for_all_channels():
    batch = images(channels=1).repeat(1, 3, 1, 1)
    recipe = augment.Recipe(
        crop="resized", scale=(0.3, 0.6), flip=True, rotate="free", elastic=20.0, elastic_probability=1.0
    )
    found = look(batch, recipe, size=24)
    assert torch.equal(found[:, 0], found[:, 1])
    assert torch.equal(found[:, 0], found[:, 2])
    assert not torch.allclose(found, look(batch, dataclasses.replace(recipe, elastic=0.0), size=24))


def test_flips_and_right_turns_only_reorder_pixels():
    batch = images()
    found = look(batch, augment.recipe("flips"), size=32)
    assert torch.allclose(found.flatten(2).sort().values, batch.flatten(2).sort().values, atol=1e-5)
    assert not torch.allclose(found, batch)


def test_a_resized_crop_stays_inside_and_a_smaller_share_is_magnified():
    rows = torch.linspace(0, 1, 64)[None, None, :, None].expand(200, 1, 64, 64)
    frame = geometry.frames(200, side=64, size=16, crop="resized", scale=(0.25, 0.25), generator=seeded())
    corners = frame[:, :, 2].abs() + frame[:, [0, 1], [0, 1]].abs()
    assert (corners <= 1 + 1e-6).all()
    span = geometry.sample(rows, frame, size=16)[:, 0]
    assert torch.allclose(span[:, -1] - span[:, 0], torch.full((200, 16), 30 / 63), atol=1e-3)


@pytest.mark.parametrize("crop", ["native", "resized"])
def test_crops_stay_in_the_region_and_reach_all_of_it(crop):
    frame = geometry.frames(500, side=64, size=16, crop=crop, scale=(0.25, 0.25), region=32, generator=seeded())
    extent, centre = frame[:, [0, 1], [0, 1]], frame[:, :, 2]
    assert torch.allclose(extent, torch.full_like(extent, 0.25))  # 16 of 64 px, and half of the region's edge
    reach = (centre.abs() + extent).amax(dim=0)
    assert (reach <= 0.5 + 1e-6).all()
    assert (reach > 0.49).all()


def test_a_native_crop_is_a_block_of_the_image():
    batch = images(count=20)
    found = look(batch, augment.Recipe(crop="native"), size=32)
    assert torch.allclose(found, batch, atol=1e-5)  # no larger than the image: its middle
    rows = torch.arange(64.0)[None, None, :, None].expand(20, 1, 64, 64) / 64
    cut = look(rows, augment.Recipe(crop="native"), size=16)
    assert torch.allclose(cut[:, :, 1:] - cut[:, :, :-1], torch.full((20, 1, 15, 16), 1 / 64), atol=1e-5)


def test_elastic_displacement_keeps_to_its_amplitude_and_share():
    field = geometry.elastic(400, size=224, amplitude=6.0, sigma=10.0, probability=0.3, generator=seeded())
    pixels = field * 112
    assert 0.2 < float((pixels.flatten(1).abs().amax(dim=1) > 0).float().mean()) < 0.4
    assert float(pixels.abs().max()) < 6 * 1.6  # bicubic interpolation overshoots its nodes a little
    steps = (pixels[:, 1:] - pixels[:, :-1]).abs().max()
    assert float(steps) < 2  # smooth: neighbours never move apart by more than they are wide


def test_colour_at_strength_zero_changes_nothing():
    batch = images()
    for function in (colour.shift, colour.contrast, colour.jitter, colour.drop, colour.gain, colour.bias):
        assert function(batch, 0.0, seeded()) is batch
    assert colour.gamma(batch, (1.0, 1.0), seeded()) is batch


def test_channels_are_coloured_independently():
    batch = torch.full((50, 2, 4, 4), 0.5)
    for changed in (
        colour.shift(batch, 0.3, seeded()),
        colour.gamma(batch, (0.5, 1.5), seeded()),
        colour.contrast(batch, 0.2, seeded()),
        colour.jitter(batch, 0.2, seeded()),
        colour.gain(batch, 0.4, seeded()),
    ):
        flat = changed[:, :, 0, 0]
        assert torch.equal(changed, flat[:, :, None, None].expand_as(changed))
        assert abs(float(torch.corrcoef(flat.T)[0, 1])) < 0.5


@pytest.mark.parametrize("strength", [0.2, 0.8])
def test_jitter_keeps_to_its_factors_and_its_share(strength):
    batch = 0.4 + 0.1 * images(count=400, channels=1, side=8)
    found = colour.jitter(batch, strength, seeded(), probability=0.8)
    brightness = found.mean(dim=(2, 3)) / batch.mean(dim=(2, 3))
    factor = found.std(dim=(2, 3)) / batch.std(dim=(2, 3)) / brightness
    changed = (found != batch).flatten(1).any(dim=1)
    assert 0.7 < float(changed.float().mean()) < 0.9
    for value in (brightness, factor):
        assert 1 - strength - 1e-3 <= float(value.min()) < 1 - 0.9 * strength
        assert 1 + 0.9 * strength < float(value.max()) <= 1 + strength + 1e-3


def test_perakis_presets_differ_by_the_strength_of_the_jitter():
    released, strong = augment.recipe("perakis"), augment.recipe("perakis_strong")
    assert (released.jitter, strong.jitter) == (0.2, 0.8)
    assert dataclasses.replace(strong, jitter=0.2) == released
    assert (released.scale, released.flip, released.rotate, released.blur) == ((0.08, 1.0), True, "none", (0.1, 2.0))


def test_drop_never_takes_all_channels():
    kept = (colour.drop(torch.ones(500, 3, 2, 2), 0.9, seeded())[:, :, 0, 0] > 0).sum(dim=1)
    assert int(kept.min()) == 1
    assert float(kept.float().mean()) < 1.5


def test_noise_at_strength_zero_changes_nothing():
    batch = images()
    for function in (noise.read, noise.vignette, noise.offset):
        assert function(batch, 0.0, seeded()) is batch
    for function in (noise.shot, noise.defocus):
        assert function(batch, (0.0, 0.0), seeded()) is batch
    for function, strength in ((noise.read, 0.1), (noise.defocus, (1.0, 2.0)), (noise.shot, (50.0, 60.0))):
        assert torch.allclose(function(batch, strength, seeded(), probability=0.0), batch, atol=1e-6)


def test_shot_noise_has_the_variance_of_photons():
    flat = torch.full((1, 1, 400, 400), 0.25)
    found = noise.shot(flat, (100.0, 100.0), seeded())
    assert float(found.mean()) == pytest.approx(0.25, abs=1e-3)
    assert float(found.var()) == pytest.approx(0.25 / 100, rel=0.02)


def test_defocus_equals_a_gaussian_filter():
    from scipy.ndimage import gaussian_filter

    batch = images(side=40)
    found = noise.defocus(batch, (1.5, 1.5), seeded())
    for image, blurred in zip(batch.numpy(), found.numpy(), strict=True):
        wanted = gaussian_filter(image, sigma=(0, 1.5, 1.5), mode="mirror", radius=(0, 4, 4))
        assert abs(wanted - blurred).max() < 1e-5


def test_vignette_and_offset_keep_to_their_strength():
    flat = torch.ones(100, 2, 16, 16)
    found = noise.vignette(flat, 0.1, seeded())
    assert float(found.min()) >= 0.9 - 1e-5
    assert float(found.max()) <= 1.1 + 1e-5
    assert torch.allclose(found.mean(dim=(2, 3)), torch.ones(100, 2), atol=1e-5)
    raised = noise.offset(flat, 0.03, seeded()) - flat
    assert 0 <= float(raised.min()) <= float(raised.max()) <= 0.03 + 1e-6


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="augmentation.preset"):
        augment.recipe("colours")
    with pytest.raises(ValueError, match="elastik"):
        augment.recipe("cells", {"elastik": 3})
    assert augment.recipe("cells", {"blur": [0.1, 0.5]}).blur == (0.1, 0.5)


def test_a_share_of_a_recipe_is_between_its_geometry_alone_and_itself():
    whole = augment.PRESETS["sslprofiler"]
    batch, mean, std = images(side=32), torch.zeros(len(images(side=32)), 3), torch.ones(len(images(side=32)), 3)

    def drawn(recipe: augment.Recipe) -> torch.Tensor:
        return augment.view(batch, recipe, seeded(), size=32, mean=mean, std=std)

    plain = augment.Recipe(crop=whole.crop, scale=whole.scale, flip=True, rotate="right")
    assert torch.equal(drawn(augment.scaled(whole, 0.0)), drawn(plain))
    assert augment.scaled(whole, 1.0) == whole
    half = augment.scaled(whole, 0.5)
    assert (half.shift, half.gamma, half.shot) == (0.15, (0.75, 1.25), (200.0, 8000.0))
    assert (half.crop, half.scale, half.flip, half.rotate) == (whole.crop, whole.scale, whole.flip, whole.rotate)


def test_a_faded_view_is_the_window_times_the_view_once_it_is_standardised():
    from wellspring.views.cutting import soft_window
    from wellspring.views.scaling import standardise

    batch = images(side=20)
    mean, std = torch.rand(4, 3), torch.rand(4, 3) + 0.1
    found = standardise(augment.fade(batch, mean, sigma=5.0), mean, std)
    window = torch.from_numpy(soft_window(20, 5.0))
    assert torch.allclose(found, standardise(batch, mean, std) * window, atol=1e-5)
