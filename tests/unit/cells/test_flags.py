"""Flags: planted dim, bright and blurred nuclei are named and no others, whatever the camera's gain and offset."""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from test_segment import GRID, discs

from wellspring.cells import flags, run
from wellspring.screen import config


def planted(gain=1.0, offset=100.0):
    """Return a field, its labels and the numbers of what was planted."""
    field, truth = discs(GRID, radius=9, background=0, noise=2)
    image = np.asarray(field, float)
    image[truth == 3] *= 0.1
    image[truth == 7] *= 8
    soft = ndimage.gaussian_filter(np.where(ndimage.binary_dilation(truth == 12, iterations=4), image, 0), 4)
    image = np.where(ndimage.binary_dilation(truth == 12, iterations=6), soft, image)
    return gain * image + offset, truth.astype(np.uint32), {"dim": 3, "bright": 7, "blurred": 12}


@pytest.mark.parametrize(("gain", "offset"), [(1, 100), (20, 3000)])
def test_planted_nuclei_are_named_and_no_others(gain, offset):
    image, truth, expected = planted(gain, offset)
    frame = flags.flag(run.table(truth, truth, dna=image, diameter=18))
    found = {name: number for number, name in zip(frame["Metadata_Cell"], frame["Metadata_Flags"], strict=True) if name}
    assert found == expected


def test_measures_are_those_of_a_slow_loop():
    image, truth, _ = planted()
    nuclei, outside = np.where(truth == 5, 0, truth), truth == 0
    brightness, sharpness = flags.measure(nuclei, image, outside=outside, diameter=18)
    assert brightness[5] == sharpness[5] == brightness[0] == 0
    slope = ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 0.72)
    for number in (1, 7, 20):
        own = image[nuclei == number].mean() - np.median(image[outside])
        assert brightness[number] == pytest.approx(own, rel=1e-4)
        assert sharpness[number] == pytest.approx(slope[nuclei == number].max() * 18 / own, rel=1e-4)


def test_flags_are_joined_and_can_be_switched_off():
    image, truth, _ = planted()
    truth[:, :20] = 0
    truth[0:6, 0:6] = 99  # at the border, and dim
    frame = run.table(truth, truth, dna=image, diameter=18)
    flagged = flags.flag(frame).set_index("Metadata_Cell")["Metadata_Flags"]
    assert flagged[99].startswith("border;small;dim")
    off = flags.flag(frame, dim=0, bright=1e9, blurred=0)
    pd.testing.assert_frame_equal(off, frame)


def test_a_plate_without_nuclei_or_with_one_has_no_flags():
    image, truth, _ = planted()
    one = np.where(truth == 8, truth, 0)
    for nuclei in (np.zeros_like(truth), one):
        frame = flags.flag(run.table(nuclei, nuclei, dna=image, diameter=18))
        assert (frame["Metadata_Flags"] == "").all() and len(frame) == int(nuclei.any())
    without = flags.flag(run.table(np.zeros_like(truth), one, dna=image, diameter=18))
    assert without["Metadata_Flags"].tolist() == ["unmatched"]


def test_defaults_are_those_of_the_config():
    section = config.schema()["properties"]["cells"]["properties"]
    defaults = flags.flag.__kwdefaults__
    assert defaults == {name: section[name]["default"] for name in defaults}


def test_a_nucleus_of_less_than_a_count_has_its_sharpness_too():
    """Half a count above its surroundings, as after a correction: the same sharpness as at 500 counts."""
    image, truth, _ = planted(offset=0.0)
    one = np.where(truth == 8, truth, 0).astype(np.uint32)
    found = [
        flags.measure(one, image * gain, outside=truth == 0, diameter=18)[1][8] for gain in (1.0, 0.5 / image.max())
    ]
    assert found[0] > 0 and found[1] == pytest.approx(found[0], rel=1e-3)
