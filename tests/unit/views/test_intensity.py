import numpy as np
import pytest

from wellspring.io import tables
from wellspring.views import intensity


def test_scale_is_clipped_and_by_channel():
    pixels = np.array([[[0, 100, 200]], [[0, 100, 200]]], dtype=np.uint16)
    scaled = intensity.scale(pixels, np.array([0, 100]), np.array([200, 150]))
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[[0, 0.5, 1]], [[0, 0, 1]]])
    np.testing.assert_allclose(intensity.scale(pixels[None], [0, 100], [200, 150])[0], scaled)
    assert (intensity.scale(pixels, [5, 5], [5, 5]) == 0).all()
    with pytest.raises(ValueError, match="expected .* with 3 channels"):
        intensity.scale(pixels, [0, 0, 0], [1, 1, 1])


def test_summary_of_counts_is_that_of_the_pixels(tmp_path):
    rng = np.random.default_rng(0)
    fields = rng.poisson([[[[300]], [[4000]]]], (5, 2, 40, 50)).astype(np.uint16)
    total = sum(intensity.counts(field) for field in fields)
    table = intensity.summarise(total, plate="P", channels=["DNA", "ER"], fields=5)
    for number, row in enumerate(table.itertuples()):
        pixels = fields[:, number]
        assert row.low == np.quantile(pixels, 0.001, method="inverted_cdf")
        assert row.high == np.quantile(pixels, 0.999, method="inverted_cdf")
        scaled = intensity.scale(fields, table["low"], table["high"])[:, number]
        assert row.mean == pytest.approx(scaled.mean(), rel=1e-4)
        assert row.std == pytest.approx(scaled.std(), rel=1e-4)
    frame = table.assign(Metadata_Pixel_Size=None)
    tables.write(frame, tmp_path / "i.parquet", table="intensity", provenance={})


def test_a_plate_without_pixels_has_limits():
    table = intensity.summarise(np.zeros((1, 65536), np.int64), plate="P", channels=["DNA"], fields=0)
    assert table[["low", "high", "mean", "std", "fields"]].to_numpy().tolist() == [[0, 1, 0, 0, 0]]


@pytest.mark.parametrize("field", [np.zeros((2, 3, 4), np.uint8), np.zeros((3, 4), np.uint16)])
def test_only_fields_of_uint16_are_counted(field):
    with pytest.raises(ValueError, match=r"expected a field \(C, H, W\) of uint16"):
        intensity.counts(field)
