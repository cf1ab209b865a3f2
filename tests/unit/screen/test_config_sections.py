"""The sections as dataclasses: complete, read from a mapping, and generated without drift."""

import ast
import dataclasses

import pytest

from options import encoder, options
from wellspring.screen import config, config_docs, section_code, sections

SMALL = {"channels": ["DNA"], "cells": {"activate": True}, "encoders": {"simclr": {"kind": "simclr"}}}


def test_generated_files_have_not_drifted():
    for path, text in config_docs.made().items():
        assert path.read_text() == text, f"{path.name}: run python -m wellspring.screen.config_docs"


def test_a_complete_config_becomes_dataclasses_and_comes_back():
    complete = config.resolve(SMALL)
    made = config.typed({**complete, "pathvars": {"results": "results"}})
    assert isinstance(made.survey.outliers, sections.Outliers)
    assert made.encoders["simclr"].view == sections.View(
        kind="tile", size=224, embedded=None, pixels="plate", window=None
    )
    assert made.cells.cytoplasm == ("RNA", "AGP")
    back = dataclasses.asdict(made)
    assert config.resolve(_lists(back)) == complete


def _lists(value):
    if isinstance(value, dict):
        return {key: _lists(each) for key, each in value.items()}
    return [_lists(each) for each in value] if isinstance(value, tuple) else value


def test_sections_are_frozen_however_deep():
    made = config.typed(config.resolve(SMALL))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.survey.outliers.focus = 6
    steps = config.default(sections.Fit, steps=["select", {"select": {"blocklist": ["a", "b"]}}]).steps
    assert steps == ("select", {"select": {"blocklist": ("a", "b")}})


def test_unknown_and_missing_keys_are_named():
    complete = config.resolve(SMALL)["survey"]
    lacking = {key: value for key, value in complete.items() if key != "max_excluded"}
    with pytest.raises(ValueError, match=r"^Survey: unknown keys \['verdicts'\], missing keys \['max_excluded'\]$"):
        sections.read(sections.Survey, {**lacking, "verdicts": None})
    with pytest.raises(ValueError, match=r"^Survey.outliers: unknown keys \['mode'\]$"):
        sections.read(sections.Survey, {**complete, "outliers": {**complete["outliers"], "mode": 1}})


def test_defaults_are_those_of_the_schema_and_changes_are_checked():
    assert config.default(sections.Survey) == config.typed(config.resolve(SMALL)).survey
    changed = config.default(sections.Survey, outliers={"focus": 6})
    assert (changed.outliers.focus, changed.outliers.mean) == (6, None)
    assert config.default(sections.Encoder, kind="classical").view.kind == "cell"
    with pytest.raises(ValueError, match="survey.max_excluded: 2 is greater than the maximum of 1"):
        config.default(sections.Survey, max_excluded=2)
    with pytest.raises(ValueError, match=r"survey: unknown key 'max_exclude' \(did you mean 'max_excluded'\?\)"):
        config.default(sections.Survey, max_exclude=0.5)


def test_options_of_tests_are_those_of_the_schema():
    assert options("survey", outliers={"mean": 3}) == config.default(sections.Survey, outliers={"mean": 3})
    assert options("evaluate", null_size=10).null_size == 10
    assert encoder(like="demo.simclr", steps=5).steps == 5


def test_long_lists_of_names_are_wrapped_wherever_they_are_used():
    names = ", ".join(f'"name_{number}"' for number in range(30))
    lines = (f"Long = Literal[{names}]", f"one: Literal[{names}] | None", f"two: tuple[Literal[{names}], ...]")
    made = section_code.formatted("\n".join(lines) + "\n")
    assert max(map(len, made.splitlines())) <= section_code.WIDTH
    assert ast.dump(ast.parse(made)) == ast.dump(ast.parse("\n".join(lines)))
    assert '    "name_7",\n' in made


def test_the_generated_module_has_no_long_line():
    assert max(map(len, section_code.source().splitlines())) <= section_code.WIDTH
