"""The intensity scale of a plate by channel name, and its foreground threshold."""

import numpy as np
import pandas as pd
import pytest

from wellspring.io import ngff
from wellspring.views import scaling


def test_the_scale_is_in_the_order_of_the_channels_asked_for():
    rows = [("P1", "DNA", 1, 10, 0.1, 0.2), ("P1", "RNA", 3, 30, 0.3, 0.4)]
    table = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Channel", "low", "high", "mean", "std"])
    found = scaling.intensity_scale(table, ["RNA", "DNA"])
    assert [each.tolist() for each in (found.low, found.high)] == [[3, 1], [30, 10]]
    np.testing.assert_allclose([found.mean, found.std], [[0.3, 0.1], [0.4, 0.2]], rtol=1e-6)
    assert found.low.dtype == np.float32
    with pytest.raises(ValueError, match=r"P1: expected the channels \['DNA', 'ER'\], found \['DNA', 'RNA'\]"):
        scaling.intensity_scale(table, ["DNA", "ER"])


def test_the_foreground_threshold_is_of_the_stain_and_of_the_plate(tmp_path):
    generator = np.random.default_rng(1)
    with ngff.PlateWriter(tmp_path / "P1.zarr", plate="P1", channels=["DNA", "RNA"]) as writer:
        for number in range(1, 21):
            field = generator.normal(100, 3, (2, 32, 48))
            field[1, 8:16, 8:16] += 300 * (number % 2)
            writer.write("B02", str(number), field.astype(np.uint16))
    plate = ngff.open_plate(tmp_path / "P1.zarr")
    assert 110 < scaling.foreground_level(plate, stain="RNA") < 400
    assert scaling.foreground_level(plate, stain="DNA") < 110
    with ngff.PlateWriter(tmp_path / "P2.zarr", plate="P2", channels=["DNA"]):
        pass
    assert scaling.foreground_level(ngff.open_plate(tmp_path / "P2.zarr"), stain="DNA") == np.inf
