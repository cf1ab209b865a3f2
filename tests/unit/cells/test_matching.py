"""Nuclei and cells found apart: pairs one to one, nothing lost, numbers of the input do not count."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wellspring.cells.matching import in_order, match

LABELS = hnp.arrays(np.int32, (9, 11), elements=st.integers(0, 5))


def test_pairs_bear_one_number_and_what_has_no_partner_one_of_its_own():
    nuclei, cells = np.zeros((2, 30, 60), int)
    cells[2:20, 2:20] = 7
    nuclei[5:10, 5:10] = 4
    nuclei[12:16, 5:9] = 9  # the second nucleus of the same cell, smaller
    cells[2:20, 30:50] = 3  # a cell without a nucleus
    nuclei[25:28, 30:34] = 2  # a nucleus without a cell
    cells[22:29, 5:15] = 1
    nuclei[20:25, 6:12] = 5  # reaches out of its cell
    found, grown = match(nuclei, cells)
    assert found[7, 7] == grown[7, 7] == grown[13, 6] == 1
    assert found[13, 6] == 2 and (grown != 2).all()
    assert found[21, 8] == grown[21, 8] == grown[28, 10] == 3
    assert found[26, 32] == 4 and (grown != 4).all()
    assert grown[10, 40] == 5 and (found != 5).all()
    assert found.dtype == grown.dtype == np.uint32


@settings(deadline=None, max_examples=200)
@given(LABELS, LABELS)
def test_no_object_is_lost_or_shared(nuclei, cells):
    found, grown = match(nuclei, cells)
    np.testing.assert_array_equal(found > 0, nuclei > 0)
    np.testing.assert_array_equal(in_order(found), in_order(nuclei))
    assert ((cells > 0) <= (grown > 0)).all()
    numbers = np.union1d(found, grown)
    np.testing.assert_array_equal(numbers, np.arange(len(numbers)) + (0 not in numbers))
    for number in np.intersect1d(found[found > 0], grown):
        assert (grown[found == number] == number).all()
        (own,) = np.unique(nuclei[found == number])
        hosts, counts = np.unique(cells[(nuclei == own) & (cells > 0)], return_counts=True)
        assert 2 * counts.max() > (nuclei == own).sum()
        assert len(np.unique(cells[(grown == number) & (found == 0)])) <= 1
        assert hosts[counts.argmax()] > 0


@settings(deadline=None, max_examples=100)
@given(LABELS, LABELS, st.permutations(range(1, 6)), st.permutations(range(1, 6)))
def test_numbers_of_the_input_do_not_count(nuclei, cells, first, second):
    others = np.array([0, *first])[nuclei] * 1000, np.array([0, *second])[cells] * 70
    np.testing.assert_array_equal(match(*others), match(nuclei, cells))


def test_empty_and_unequal():
    for labels in match(np.zeros((4, 5), int), np.zeros((4, 5), int)):
        assert labels.shape == (4, 5) and not labels.any()
    with pytest.raises(ValueError, match="expected one shape"):
        match(np.zeros((4, 5), int), np.zeros((5, 4), int))


@pytest.mark.parametrize("numbers", [(1, 2), (2, 1)])
def test_of_two_nuclei_of_one_size_the_first_has_the_cell(numbers):
    nuclei, cells = np.zeros((2, 20, 30), int)
    cells[2:18, 2:28] = 3
    nuclei[4:8, 15:19], nuclei[10:14, 5:9] = numbers
    found, grown = match(nuclei, cells)
    assert found[5, 16] == grown[5, 16] == grown[17, 27] == 1
    assert found[11, 6] == 2 and grown[11, 6] == 1
