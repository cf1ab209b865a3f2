"""Notes survive their text, whatever their values hold, and what is not a note is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring.io.notes import Note, dumps, loads

keys = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
values = st.one_of(st.text(), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False, allow_infinity=False))
notes = st.builds(Note, st.from_regex(r"[a-z]{1,5}(\.[a-z]{1,5})?", fullmatch=True), st.dictionaries(keys, values))


@given(st.lists(notes, unique=True, max_size=4))
def test_notes_survive_their_text(given):
    assert loads(dumps(given)) == tuple(given)


@pytest.mark.parametrize("text", ["A sentence.", "code(", "code(a)", "code(a=1", "one, two", "code(a=1)x"])
def test_what_is_no_note_is_refused(text):
    with pytest.raises(ValueError, match="expected|Expecting"):
        loads(text)


@pytest.mark.parametrize(("code", "values"), [("Code", {}), ("", {}), ("a b", {}), ("a", {"B": 1})])
def test_a_code_that_could_not_be_read_back_is_refused(code, values):
    with pytest.raises(ValueError, match="expected"):
        Note(code, values)


def test_equal_notes_count_once_and_keep_their_order():
    first, second = Note("blank", {"value": 3}), Note("blank", {"value": 4})
    assert len({first, second, Note("blank", {"value": 3})}) == 2
    assert dumps([second, first, second]) == "blank(value=4); blank(value=3)"
    assert dumps([]) == "" and loads("") == ()


def test_the_place_of_what_cannot_be_read_is_shown():
    for text, place in (("a; B", 3), ("a(b=1, C=2)", 7), ("a(b=1); c!", 9)):
        with pytest.raises(ValueError, match=f"at character {place}, found"):
            loads(text)


def test_names_of_plates_in_letters_of_any_language_stay_readable():
    assert str(Note("left_out", {"plate": "Größe 3µm"})) == 'left_out(plate="Größe 3µm")'
