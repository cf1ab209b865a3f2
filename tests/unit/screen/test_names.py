"""Names that become files: what could climb, hide, be a wildcard or an output's name is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wellspring.screen import config, names

HOSTILE = [
    "",
    ".",
    "..",
    "../P1",
    "/tmp/P1",
    "a/b",
    "a\\b",
    "P1\n",
    "{plate}",
    "P{1}",
    " P1",
    "-rf",
    "=cmd",
    "P1.",
    "P1;x",
    "a" * 101,
]


@pytest.mark.parametrize("name", [*HOSTILE, "P 1", "P1.audit", "P1.Normalised", "Plätte"])
def test_a_name_that_is_no_files_is_refused(name):
    with pytest.raises(ValueError, match="sheet: line 2: expected a plate"):
        names.check(name, what="plate", where="sheet: line 2")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_label_that_is_no_part_of_a_files_name_is_refused(name):
    with pytest.raises(ValueError, match="expected a batch"):
        names.check_label(name, what="batch", where="sheet: line 2")


@pytest.mark.parametrize("name", ["DNA", "Hoechst 33342", "ER (ConA)", "568+LP", "week 3", "Plätte", "α-tubulin"])
def test_usual_labels_pass(name):
    names.check_label(name, what="channel", where="channels")


@given(st.text(max_size=120))
def test_what_passes_stays_in_its_folder(tmp_path_factory, name):
    for check in (names.check, names.check_label):
        try:
            check(name, what="plate", where="x")
        except ValueError:
            continue
        path = tmp_path_factory.getbasetemp() / f"{name}.parquet"
        assert path.resolve().parent == tmp_path_factory.getbasetemp().resolve()
        assert not name.startswith((".", "-", "=", "+", "@", " ")) and "{" not in name


@pytest.mark.parametrize(
    "changes",
    [
        {"channels": ["DNA", "../x"]},
        {"channels": ["DNA", "DNA"]},
        {"channels": ["=cmd"]},
        {"encoders": {"a/b": {"kind": "simclr"}}},
        {"encoders": {"../b": {"kind": "simclr"}}},
        {"encoders": {"x.audit": {"kind": "simclr"}}},
        {"export": {"source": "../up"}},
        {"export": {"project": "a/b"}},
    ],
)
def test_names_of_the_config_are_checked_before_any_job(changes):
    base = {"channels": ["DNA"], "encoders": {"simclr": {"kind": "simclr"}}}
    assert config.resolve(base)
    with pytest.raises(ValueError, match="channels|encoders|export"):
        config.resolve(base | changes)
