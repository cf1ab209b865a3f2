"""Reading ahead: results keep their order and place, and what waits is bounded."""

import threading
import time

import numpy as np
import pandas as pd
import pytest
import tifffile

import slow_store
from options import options as section
from wellspring.illumination import estimate
from wellspring.images import run as images
from wellspring.io import ahead, ngff
from wellspring.survey import run as survey

WELLS = ("A01", "B02")
SITES, CHANNELS = range(1, 7), ("DNA", "ER")


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_results_keep_the_order_of_the_items(threads):
    rng = np.random.default_rng(threads)

    def read(number: int) -> int:
        time.sleep(float(rng.uniform(0, 0.002)))
        return number * number

    assert list(ahead.ahead(read, range(60), threads=threads)) == [number * number for number in range(60)]
    assert not list(ahead.ahead(read, [], threads=threads))


@pytest.mark.parametrize(("size", "most", "expected"), [(0, 100, 8), (10, 35, 3), (200, 100, 1)])
def test_no_more_than_asked_for_are_read_ahead(size, most, expected):
    begun, taken, worst = [], [], []
    lock = threading.Lock()

    def read(number: int) -> int:
        with lock:
            begun.append(number)
        return number

    for number in ahead.ahead(read, range(40), threads=4, size=lambda number: size, most=most):
        taken.append(number)
        if number > 8:  # by then the size is known
            time.sleep(0.002)
            worst.append(len(begun) - len(taken))
    assert taken == list(range(40)) and max(worst) <= expected


def test_an_error_is_raised_at_its_place_and_ends_the_rest():
    begun = []

    def read(number: int) -> int:
        begun.append(number)
        if number == 5:
            raise ValueError("five")
        return number

    found = []
    with pytest.raises(ValueError, match="five"):
        for number in ahead.ahead(read, range(1000), threads=2):
            found.append(number)
    assert found == [0, 1, 2, 3, 4] and len(begun) < 20


@pytest.fixture(scope="module")
def plate(tmp_path_factory):
    """Return a folder of images, and their index."""
    folder = tmp_path_factory.mktemp("plate")
    rng = np.random.default_rng(2)
    rows = []
    for well in WELLS:
        for site in SITES:
            for channel in CHANNELS:
                name = f"{well}_{site}_{channel}.tif"
                tifffile.imwrite(folder / name, rng.integers(100, 4000, (48, 56)).astype(np.uint16))
                rows.append(("P1", well, str(site), channel, "1", name, 0))
    columns = [f"Metadata_{name}" for name in ("Plate", "Well", "Site", "Channel", "Plane", "Path", "Page")]
    index = pd.DataFrame(rows, columns=columns).assign(Metadata_pert_type="negcon")
    return folder, index


def test_survey_and_images_ask_a_store_for_many_images_at_a_time(plate, tmp_path):
    folder, index = plate
    with slow_store.serve(folder) as requests:
        far = survey.run(index, requests.url, options=section("survey"))
        assert 8 < requests.together <= ahead.REQUESTS
        requests.together = 0
        near = survey.run(index, folder, options=section("survey"))
        pd.testing.assert_frame_equal(near.table, far.table)
        np.testing.assert_array_equal(near.views, far.views)
        light = estimate.light_path(
            [near.table], [near.views], channels=CHANNELS, options=section("illumination", method="none")
        )
        for name, place in (("near", folder), ("far", requests.url)):
            images.write(
                tmp_path / name,
                index=index,
                surveyed=near.table,
                light=light,
                folder=place,
                plate="P1",
                channels=CHANNELS,
                options=section("images"),
            )
        assert 4 < requests.together <= ahead.REQUESTS
    own, its = ngff.open_plate(tmp_path / "near"), ngff.open_plate(tmp_path / "far")
    assert own.fields == its.fields and len(own.fields) == 12
    for field in own.fields:
        np.testing.assert_array_equal(own.read(*field), its.read(*field))
