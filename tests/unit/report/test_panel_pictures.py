"""Pictures of a plate that lacks channels: those are black, and the others stay in their place."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from wellspring.report import thumbnails

TABLE = pd.DataFrame(
    [("P1", "DNA", 100.0, 900.0), ("P1", "Mito", 50.0, 400.0), ("P2", "BF", 1.0, 2.0)],
    columns=["Metadata_Plate", "Metadata_Channel", "low", "high"],
)
SCREEN = SimpleNamespace(channels=("Mito", "ER", "DNA"), intensity=TABLE)


def test_images_get_the_channels_of_the_screen():
    images = np.arange(2 * 2 * 3 * 5, dtype=np.uint16).reshape(2, 2, 3, 5)
    assert thumbnails.panel(SCREEN, "P1") == ["Mito", "DNA"]
    found = thumbnails.on_all(SCREEN, "P1", images)
    assert found.shape == (2, 3, 3, 5) and found.dtype == images.dtype
    np.testing.assert_array_equal(found[:, [0, 2]], images)
    assert not found[:, 1].any()
    np.testing.assert_array_equal(thumbnails.on_all(SCREEN, "P1", images[0]), found[0])


def test_a_plate_with_all_channels_or_without_figures_stays_as_it_is():
    images = np.ones((3, 4, 6), dtype=np.uint16)
    assert thumbnails.on_all(SCREEN, "P1", images) is images
    assert thumbnails.panel(SCREEN, "P9") == ["Mito", "ER", "DNA"]
    assert thumbnails.on_all(SCREEN, "P9", images[:2]).shape == (2, 4, 6)


def test_the_scale_of_an_absent_channel_is_that_of_black():
    low, high = thumbnails.intensity(SCREEN, "P1")
    assert low.tolist() == [50.0, 0.0, 100.0] and high.tolist() == [400.0, 1.0, 900.0]
    assert thumbnails.intensity(SCREEN, "P2") is None and thumbnails.intensity(SCREEN, "P9") is None
