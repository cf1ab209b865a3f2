"""A config with mistakes: each is named, and what is left is the config without them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen import config, config_mistakes

GOOD = {"channels": ["DNA", "ER"], "encoders": {"a": {"kind": "classical"}, "b": {"kind": "simclr"}}}
WRONG = {  # key -> wrong value, words of its problem, what is removed
    "seed": ("one", "seed: 'one' is not of type 'integer'", "seed"),
    "survey": ({"max_excluded": 2}, "survey.max_excluded", "survey.max_excluded"),
    "profile": (3, "profile: 3 is not of type 'object'", "profile"),
    "index": ({"negcon": "DMSO"}, "index.negcon: 'DMSO' is not of type 'array'", "index.negcon"),
    "images": ({"projektion": "max"}, "images: unknown key 'projektion'", "images.projektion"),
    "cells": ({"nuclei": ["DNA"]}, "cells.nuclei: ['DNA'] is not of type 'string'", "cells.nuclei"),
    "evaluate": ({"metrics": ["x"]}, "evaluate.metrics.0: 'x' is not one of", "evaluate.metrics"),
    "report": ({"encoder": "c"}, "report.encoder: expected one of the encoders ['a', 'b'], found 'c'", None),
    7: (1, "top level: unknown key 7", "7"),
}


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.sets(st.sampled_from(sorted(WRONG, key=str)), max_size=5))
def test_all_mistakes_are_named_and_the_rest_is_kept(keys):
    found = config_mistakes.examined(GOOD | {key: WRONG[key][0] for key in keys})
    assert [key for key in keys if not any(WRONG[key][1] in text for text in found.problems)] == [], found.problems
    assert len(found.problems) <= len(keys)
    assert found.removed == {WRONG[key][2] for key in keys} - {None}
    assert found.config.channels == ("DNA", "ER") and list(found.config.encoders) == ["a", "b"]
    assert found.config.seed == 1


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (None, "encoders.c: None is not of type 'object'"),
        ({"kind": "simcrl"}, "encoders.c.kind: 'simcrl' is not one of"),
        ({"like": "d"}, "encoders.c.like: expected one of"),
        (
            {"kind": "timm", "weights": "/lost.pth"},
            "encoders.c.weights: expected a local file, found none at /lost.pth",
        ),
    ],
)
def test_an_encoder_with_a_mistake_is_left_out_and_what_refers_to_it_is_no_problem(encoder, words):
    written = GOOD | {"encoders": {**GOOD["encoders"], "c": encoder}, "report": {"encoder": "c"}}
    found = config_mistakes.examined(written)
    assert len(found.problems) == 1 and words in found.problems[0], found.problems
    assert list(found.config.encoders) == ["a", "b"]


def test_a_config_without_a_mistake_is_that_of_the_workflow():
    found = config_mistakes.examined(GOOD)
    assert (found.problems, found.removed) == ((), frozenset())
    assert found.config == config.typed(config.resolve(GOOD))
