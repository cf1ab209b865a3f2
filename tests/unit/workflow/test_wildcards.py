"""A constraint matches the names that it was made of and no others, and is short where they are alike."""

import re

from hypothesis import given
from hypothesis import strategies as st

from wellspring.workflow.wildcards import one_of

NAME = st.text("ab1.-_", min_size=1, max_size=5)


@given(names=st.sets(NAME, min_size=1, max_size=30), others=st.sets(NAME, max_size=30))
def test_it_matches_the_names_and_no_others(names, others):
    pattern = re.compile(one_of(names))
    assert all(pattern.fullmatch(name) for name in names)
    assert not any(pattern.fullmatch(name) for name in others - names)


def test_of_no_names_it_matches_nothing():
    assert re.fullmatch(one_of([]), "") is None
    assert re.fullmatch(one_of([]), "a") is None


def test_names_that_count_on_are_short():
    names = [f"BR00{number:06d}" for number in range(116000, 117000)]
    assert len(one_of(names)) < 60
    assert re.fullmatch(one_of(names), "BR00116991")
    assert not re.fullmatch(one_of(names), "BR00117000")
