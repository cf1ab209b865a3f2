"""Projection of focal planes: equal to the whole stack's, one plane held at a time, a plane that is not there named."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from options import options
from wellspring.images import projection
from wellspring.io.keys import PLANE_KEY

PLATE = ("P", "A01", "1")


def _index(planes=("1", "2", "3"), channels=("DNA", "ER")):
    rows = [(*PLATE, channel, plane) for plane in planes for channel in channels]
    return pd.DataFrame(rows, columns=PLANE_KEY).assign(Metadata_Path=[f"{row[3]}_{row[4]}.tif" for row in rows])


@given(st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([np.uint8, np.uint16]))
@settings(max_examples=50, deadline=None)
def test_planes_one_by_one_are_projected_as_the_stack_is(depth, seed, dtype):
    stack = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (depth, 5, 7), dtype=dtype, endpoint=True)
    before = stack.copy()
    np.testing.assert_array_equal(projection.project(iter(stack), "max"), stack.max(axis=0))
    np.testing.assert_allclose(projection.project(iter(stack), "mean"), stack.mean(axis=0), rtol=1e-6)
    np.testing.assert_array_equal(stack, before)


def test_a_stack_is_never_held_whole():
    alive, most = [0], [0]

    class Plane(np.ndarray):
        def __del__(self):
            alive[0] -= 1

    def planes():
        for number in range(20):
            alive[0] += 1
            most[0] = max(most[0], alive[0])
            yield np.full((4, 5), number, np.uint16).view(Plane)

    for method in ("max", "mean"):
        alive[0] = most[0] = 0
        projection.project(planes(), method)
        assert most[0] <= 4, method  # the first, the last, the one that is read, and a running sum of the same kind


def test_the_sharpest_plane_is_taken_by_site_and_channel():
    index = _index()
    sharpness = {("DNA", "1"): 0.2, ("DNA", "2"): 0.7, ("DNA", "3"): np.nan, ("ER", "1"): 0.5, ("ER", "3"): 0.5}
    table = index[PLANE_KEY].assign(
        sharpness=[
            sharpness.get(key, 0.1) for key in zip(index["Metadata_Channel"], index["Metadata_Plane"], strict=True)
        ]
    )
    chosen = projection.choose(
        index, table.sample(frac=1, random_state=0), options=options("images", projection="sharpest")
    )
    assert chosen["Metadata_Path"].tolist() == ["DNA_2.tif", "ER_1.tif"]
    nothing = table.assign(sharpness=np.nan)
    assert len(projection.choose(index, nothing, options=options("images", projection="sharpest"))) == 2
    with pytest.raises(ValueError, match="expected the column sharpness in the survey"):
        projection.choose(index, index[PLANE_KEY], options=options("images", projection="sharpest"))


@pytest.mark.parametrize("name", ["2", 2])
def test_a_plane_is_taken_by_its_name(name):
    chosen = projection.choose(_index(), _index(), options=options("images", projection="plane", plane=name))
    assert chosen["Metadata_Path"].tolist() == ["DNA_2.tif", "ER_2.tif"]


def test_a_plane_that_is_not_there_is_an_error_that_names_what_is():
    third = options("images", projection="plane", plane="3")
    with pytest.raises(ValueError, match=r"expected plane '3' of P A01 site 1 DNA, found \['1', '2'\]"):
        projection.choose(_index(("1", "2")), _index(), options=third)
    with pytest.raises(ValueError, match=r"expected plane '3' of P A01 site 1 DNA, found \['1'\]"):
        projection.choose(_index("1"), _index(), options=third)
    partly = _index().query("Metadata_Plane != '3' or Metadata_Channel == 'DNA'")
    with pytest.raises(ValueError, match=r"of P A01 site 1 ER, found \['1', '2'\]"):
        projection.choose(partly, partly, options=third)


def test_a_channel_of_one_plane_beside_stacks_has_that_one():
    mixed = _index().query("Metadata_Plane == '1' or Metadata_Channel == 'DNA'")
    for third in (options("images", projection="plane", plane="3"), options("images", projection="sharpest")):
        surveyed = mixed[PLANE_KEY].assign(sharpness=mixed["Metadata_Plane"].astype(float))
        chosen = projection.choose(mixed, surveyed, options=third)
        assert chosen["Metadata_Path"].tolist() == ["DNA_3.tif", "ER_1.tif"]


@pytest.mark.parametrize("method", ["max", "mean"])
def test_all_planes_are_read_for_a_projection_of_all(method):
    chosen = projection.choose(_index(), _index(), options=options("images", projection=method))
    assert len(chosen) == 6 and chosen["Metadata_Channel"].tolist() == ["DNA"] * 3 + ["ER"] * 3
