"""Slips in names are found; names that differ for a reason are not."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen.spellings import placeholders, variants


@pytest.mark.parametrize(
    ("rare", "usual"),
    [("noccodazole", "nocodazole"), ("nocadazole", "nocodazole"), ("ncoodazole", "nocodazole"), ("taxo1 a", "taxo1 A"),
     ("staurosporin", "staurosporine"), ("5 FU", "5-FU"), ("dmso", "DMSO"), ("HeLa ", "HeLa"),
     ("7.0", "7"), ("07", "7"), ("2.50", "2.5")],
)  # fmt: skip
def test_slips_are_found(rare, usual):
    assert variants({usual: 16, rare: 2, "rapamycin": 8}) == [(rare, usual)]


@pytest.mark.parametrize(
    ("one", "other"),
    [("PP242", "PP243"), ("compound 7a", "compound 7b"), ("AKT1", "AKT2"), ("BRD-K1", "BRD-K2"), ("taxol", "etoposide"),
     ("CDK4", "CDK6"), ("x", "y"), ("estrone", "estriol"), ("GSK-J1", "GSK-J4"), ("siRNA_A", "siRNA_B"),
     ("7.0", "70"), ("1.2", "12"), ("7", "17")],
)  # fmt: skip
def test_names_that_differ_for_a_reason_are_not(one, other):
    assert variants({one: 16, other: 2}) == []


def test_two_names_of_as_many_wells_are_two_names():
    assert variants({"cefalotin": 8, "cefaloxin": 8}) == []
    assert variants({"cefalotin": 8, "cefaloxin": 2}) == [("cefaloxin", "cefalotin")]


def test_words_for_an_empty_cell():
    names = ["taxol", "N/A", "-", "unknown", "NaN", "not available", "Nano", "nand", "None"]
    assert placeholders(names) == ["-", "N/A", "NaN", "None", "not available", "unknown"]


WORDS = st.text(string.ascii_lowercase, min_size=7, max_size=14)


def distance(one: str, other: str) -> int:
    """Edit distance with swaps of neighbours, by dynamic programming."""
    table = {(i, 0): i for i in range(len(one) + 1)} | {(0, j): j for j in range(len(other) + 1)}
    for i, a in enumerate(one, 1):
        for j, b in enumerate(other, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return table[len(one), len(other)]


@settings(max_examples=80, deadline=None)
@given(st.lists(WORDS, min_size=2, max_size=6, unique=True), st.data())
def test_pairs_are_those_of_edit_distance_one(words, data):
    slips = []
    for word in words[:3]:
        place, letter = data.draw(st.integers(0, len(word) - 1)), data.draw(st.sampled_from(string.ascii_lowercase))
        kind = data.draw(st.sampled_from(["drop", "add", "change"]))
        slips.append(word[:place] + (letter if kind != "drop" else "") + word[place + (kind != "add") :])
    counts = dict.fromkeys(words, 8) | {slip: 1 for slip in slips if slip not in words}
    near = {(a, b) for a in counts for b in counts if counts[a] < counts[b] and distance(a, b) == 1}
    assert set(variants(counts)) == near
