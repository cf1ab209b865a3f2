"""A name that refers to another part of the config exists there, or is refused with its key."""

import pytest

from wellspring.screen import config, references

WRITTEN = {"channels": ["DNA", "RNA", "AGP"], "encoders": {"ones": {"kind": "simclr"}, "twos": {"kind": "simclr"}}}


def test_an_encoder_that_does_not_exist_is_refused():
    with pytest.raises(
        ValueError, match=r"report.encoder: expected one of .*'twos'.*found 'two' \(did you mean 'twos'"
    ):
        config.resolve({**WRITTEN, "report": {"encoder": "two"}})
    assert config.resolve({**WRITTEN, "report": {"encoder": "twos"}})["report"]["encoder"] == "twos"
    assert config.resolve(WRITTEN)["report"]["encoder"] == ""


def test_a_new_key_is_checked_by_its_annotation():
    schema = {"properties": {"new": {"properties": {"keys": {"refers": "encoder"}}}}}
    found = {"encoders": {"ones": {}}, "new": {"keys": ["ones", "other"]}}
    assert [text[:9] for text in references.problems(found, schema)] == ["new.keys:"]
