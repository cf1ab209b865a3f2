"""Every note has a sentence, every sentence a producer, and the report compares codes, never sentences."""

import ast
import re
from pathlib import Path

import pytest

import wellspring
from wellspring.align import alignment
from wellspring.io.notes import Note, dumps
from wellspring.report import wording, wording_images, wording_profiles
from wellspring.report.wording_profiles import LAYOUT_NOTES, METHOD_NOTES

LIBRARY = Path(wellspring.__file__).parent
PARSED = {"io/notes.py"}
# Codes of the survey that are composed: of a status of planes, or of a measure with a limit.
COMPOSED = [("other", "shape"), ("other", "dtype"), ("low", "focus"), ("low", "sharpness")]


def branches(node: ast.expr) -> list[ast.expr]:
    """The values that an expression can have: both ends of a conditional one, else itself."""
    return branches(node.body) + branches(node.orelse) if isinstance(node, ast.IfExp) else [node]


def literals() -> dict[str, str]:
    """Code -> file of every string constant that stands in the first argument of a `Note(...)` in the library."""
    found = {}
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "Note":
                for part in branches(node.args[0]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found[part.value] = path.relative_to(LIBRARY).as_posix()
    return found


def words_of_the_library() -> set[str]:
    """Every string constant outside the report's own sentences: a code may be passed on before it becomes a note."""
    found = set()
    for path in LIBRARY.rglob("*.py"):
        if not path.name.startswith("wording"):
            nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            found |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return found


def test_every_note_has_a_sentence():
    assert {
        code: file for code, file in literals().items() if file not in PARSED and code not in wording.SENTENCES
    } == {}


def test_every_sentence_has_a_producer():
    produced = words_of_the_library() | {f"{end}_{kind}" for end, kind in COMPOSED}
    assert set(wording.SENTENCES) - produced - {wording.UNCODED} == set()


def test_each_code_has_one_sentence():
    assert set(wording_images.SENTENCES) & set(wording_profiles.SENTENCES) == set()
    parts = (wording_profiles.PROFILE, wording_profiles.ALIGN, wording_profiles.EVALUATE, wording_profiles.CURVES)
    assert sum(map(len, parts)) == len(wording_profiles.SENTENCES)


def test_kinds_and_classes_are_of_codes_that_exist():
    assert set(wording.KINDS) | METHOD_NOTES | LAYOUT_NOTES <= set(wording.SENTENCES)


@pytest.mark.parametrize("path", sorted((LIBRARY / "report").glob("*.py")), ids=lambda path: path.name)
def test_no_module_of_the_report_takes_a_reason_apart(path: Path):
    """A reason is read by `wording`; no column of reasons is split, searched or compared with a text."""
    source = path.read_text(encoding="utf-8")
    assert not re.search(r"(reason|note)s?\b[^\n]*\.(str\.)?(split|startswith|endswith|partition)\(", source, re.I)
    assert not re.search(r"\" \w[^\"]*\" in (note|reason)", source)


def test_a_text_that_is_no_note_is_shown_as_it_is():
    assert wording.worded("<b> of another program: 5") == "<b> of another program: 5"
    assert wording.kinds("no row here") == "no row here"
    assert wording.worded("unknown_code(a=1)") == "unknown_code(a=1)"
    assert wording.worded("") == wording.kinds("") == ""


def test_reasons_with_different_values_are_counted_together():
    one, two = (Note("blank", {"value": value}) for value in (0, 7))
    assert wording.worded(dumps([one])) != wording.worded(dumps([two]))
    assert wording.kinds(dumps([one])) == wording.kinds(dumps([two])) == "blank"


def test_amounts_have_their_noun_in_singular_and_plural():
    values = {"step": "sphere", "group": "P1"}
    assert wording.words(Note("scale_fitted", {**values, "wells": 1})) == "sphering of P1: 1 well"
    assert wording.words(Note("scale_fitted", {**values, "wells": 1234})) == "sphering of P1: 1,234 wells"


@pytest.mark.parametrize(
    ("column", "groups", "labels", "words"),
    [
        ("Batch", 1, 3, "needs two batches and two labels, found 1 batch and 3 labels"),
        ("Cell_Line", 2, 1, "needs two cell lines and two labels, found 2 cell lines and 1 label"),
        ("Batch", 0, 0, "no treated well has the label"),
    ],
)
def test_too_few_groups_for_transfer_are_told(column: str, groups: int, labels: int, words: str):
    values = {"column": f"Metadata_{column}", "groups": groups, "labels": labels}
    assert wording.words(Note("too_few_groups", values)) == words


def test_steps_of_an_alignment_have_names_and_their_wells():
    few = {"found": 8, "needed": 12, "unit": "controls", "instead": "standardised"}
    assert wording.words(Note("too_few_for_step", {"step": "sphere", "group": "*", **few})) == (
        "sphering of all wells together: 8 negative controls, and 12 are needed; features are standardised instead, "
        "each for itself"
    )
    for name in alignment.FITTED:
        told = wording.words(Note("ranks_fitted", {"step": name, "wells": 5}))
        assert not told.startswith(f"{name}: "), "a key of the config is no name for a reader"


def test_metrics_that_a_metric_needs_are_named_by_their_titles():
    sentence = wording.words(Note("needs_metrics", {"metrics": "nsc, own"}))
    assert sentence == "needs Mechanism of the nearest other compound (NSC) and own"
