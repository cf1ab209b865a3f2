"""A platemap whose wells are not those of the images: the message has the reading that would agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.index import layouts


def names(wells):
    return [f"{'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[row]}{column + 1:02d}" for row, column in wells]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda row, column: (column, row),
            "rows and columns of the platemap may be swapped: then 40 of 40 wells agree",
        ),
        (lambda row, column: (row, column + 1), "may be shifted, columns by -1: then 40 of 40 wells agree"),
        (lambda row, column: (row + 1, column), "may be shifted, rows by -1: then 40 of 40 wells agree"),
        (lambda row, column: (row + 1, column + 1), "may be shifted, rows by -1 and columns by -1: then 40 of 40"),
        (lambda row, column: (2 * row + 1, 2 * column + 1), "extent of a plate of 384 wells, the images of one of 96"),
        (lambda row, column: (row, column), ""),
    ],
)
def test_the_reading_that_agrees_is_named(change, words):
    images = [(row, column) for row in range(1, 5) for column in range(1, 11)]  # inner wells of 96
    found = layouts.hint(names(images), names(change(*well) for well in images))
    assert found == words or (words and found.startswith("; ") and words in found)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_wells_at_random_have_no_reading_that_agrees(seed):
    rng = np.random.default_rng(seed)
    wells = [(row, column) for row in range(16) for column in range(24)]
    some, other = (sorted(rng.choice(384, 120, replace=False)) for _ in range(2))
    found = layouts.hint(names([wells[n] for n in some]), names([wells[n] for n in other]))
    assert "agree" not in found
