"""The kernels of `measure` give the values of cp_measure on objects drawn at random: ragged, in pieces, with holes."""

import warnings

import numpy as np
import pytest
from cp_measure import bulk
from scipy import ndimage

from options import options as section
from wellspring.measure import correlation, field, granularity, intensity, radial, shape, texture, zernike
from wellspring.measure.objects import Objects

SHAPE = (121, 148)
LEFT_OUT = ("Center", "BoundingBoxMin", "BoundingBoxMax", "Orientation", "Location", "Phase")


def scene(seed):
    """Return labels 1 to m of touching ragged objects, and two images; objects of a pixel, a line, a ring besides."""
    rng = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(rng.random(SHAPE), 3)
    seeds = np.zeros(SHAPE, bool)
    seeds[tuple(rng.integers(0, edge, 14) for edge in SHAPE)] = True
    nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)[1]
    owner = ndimage.label(seeds, np.ones((3, 3)))[0][tuple(nearest)]
    labels = np.where(smooth > np.quantile(smooth, 0.4), owner, 0)
    labels[60:80, 70:90] = labels.max() + 1
    labels[66:72, 75:83] = 0  # a hole
    labels[40, 20:50], labels[2, 2], labels[5:9, 100:104] = labels.max() + 1, labels.max() + 2, labels.max() + 3
    labels[100:103, 120:122] = labels[5, 100]  # a second piece
    present, labels = np.unique(labels, return_inverse=True)
    images = rng.gamma(2.0, 0.15, (2, *SHAPE)) * (0.2 + 3 * ndimage.gaussian_filter(rng.random((2, *SHAPE)), (0, 4, 4)))
    images[0][rng.random(SHAPE) < 0.02] = 0
    return labels.reshape(SHAPE).astype(np.int32), images


def known(function, *arguments, **options):
    """Return what cp_measure finds, without positions and angles."""
    functions = bulk.get_core_measurements(sanitize=False) | bulk.get_correlation_measurements(sanitize=False)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = functions[function](*arguments, **options)
    return {name: values for name, values in found.items() if not any(part in name for part in LEFT_OUT)}


def assert_equal(found, expected, *, absolute=1e-7):
    """Compare to 1e-4 of each value; `absolute` is of the feature's largest value."""
    assert set(found) == set(expected)
    for name, values in ((name, np.asarray(values)) for name, values in expected.items()):
        most = np.abs(values[np.isfinite(values)]).max(initial=0.0)
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=max(absolute * most, 1e-9), err_msg=name)


@pytest.fixture(params=range(4), scope="module")
def drawn(request):
    labels, images = scene(request.param)
    return labels, images, Objects.of(labels)


def test_intensity(drawn):
    labels, images, objects = drawn
    values = objects.at(images[0])
    assert_equal(intensity.measure(objects, values, objects.order(values)), known("intensity", labels, images[0]))


def test_shape(drawn):
    labels, _, objects = drawn
    with np.errstate(all="ignore"):
        found = shape.measure(objects)
    assert_equal(found, known("sizeshape", labels, None) | known("feret", labels, None), absolute=1e-6)


@pytest.mark.parametrize(("scale", "levels"), [(3, 256), (5, 256), (2, 16)])
def test_texture(drawn, scale, levels):
    labels, images, objects = drawn
    clipped = np.minimum(images[0], 1.0)
    found = texture.measure(objects, objects.at(images[0]), scale=scale, levels=levels)
    expected = known("texture", labels, clipped, scale=scale, gray_levels=levels)
    assert_equal(found, {f"Texture_{name}": values for name, values in expected.items()}, absolute=1e-6)


@pytest.mark.parametrize(("subsample", "radius", "length"), [(0.25, 10, 16), (0.5, 4, 6), (1.0, 5, 4)])
def test_granularity(drawn, subsample, radius, length):
    labels, images, objects = drawn
    steps = granularity.spectrum(images[0], subsample=subsample, radius=radius, length=length)
    sizes = {"subsample_size": subsample, "element_size": radius, "granular_spectrum_length": length}
    found = granularity.measure(objects, objects.at(images[0]), steps)
    assert_equal(found, known("granularity", labels, images[0], **sizes), absolute=1e-6)


@pytest.mark.parametrize("bins", [2, 4, 7])
def test_radial_distribution(drawn, bins):
    labels, images, objects = drawn
    found = radial.measure(objects, objects.at(images[0]), radial.rings(objects, bins))
    assert_equal(found, known("radial_distribution", labels, images[0], bin_count=bins))


def test_zernike(drawn):
    labels, images, objects = drawn
    outline, channels = zernike.measure(objects, np.stack([objects.at(image) for image in images]))
    assert_equal(outline, known("zernike", labels, None), absolute=1e-6)
    for found, image in zip(channels, images, strict=True):
        assert_equal(found, known("radial_zernikes", labels, image), absolute=1e-6)


def test_correlation(drawn):
    labels, images, objects = drawn
    both = []
    for image in images:
        values = objects.at(image)
        both.append((values, correlation.ranks(objects, values, objects.order(values))))
    found, expected = correlation.measure(objects, *both), {}
    for function in ("pearson", "manders_fold", "rwc"):
        expected |= known(function, *images, labels)
    assert_equal(found, expected)


def test_an_image_of_one_row_after_subsampling_has_no_granularity():
    image = np.random.default_rng(0).random((6, 40))
    labels = np.zeros(image.shape, np.uint32)
    labels[1:5, 3:30] = 1
    options = section("measure", families=["granularity"], granularity_subsample=0.25)
    found = field.measure(image[None], labels, labels, numbers=np.array([1]), channels=["DNA"], options=options)
    assert len(found) == 16 * 3
    assert all(np.isnan(values).all() for values in found.values())
