"""Light paths in the report: doubtful corrections are described, and pictures share one scale."""

import numpy as np
import pytest

from wellspring.illumination import judge
from wellspring.illumination.evenness import MEASURES
from wellspring.io.notes import Note
from wellspring.report import checks, first_screen, lights, segmentation
from wellspring.report.wording import words


def _row(change, *, fields=100, method="basic"):
    figures = {name: np.array([0.1, 0.08, 0.123]) for name in MEASURES} | {"residual_change": np.array(change)}
    return {"optics": "scope", "channel": "DNA", "method": method, "fields": fields, **figures}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (_row([-0.1, -0.2, -0.05]), []),
        (_row([-0.1, -0.2, -0.05], fields=15), ["fewer than 16 fields"]),
        (_row([-0.1, -0.2, -0.05], fields=15, method="given"), []),
        (_row([0.1, 0.05, 0.2]), ["made held-out fields less even"]),
        (_row([0.1, 0.05, 0.2], fields=8), ["fewer than 16 fields", "made held-out fields less even"]),
        (_row([0.0, -0.1, 0.1]), ["no significant gain on held-out fields"]),
        (_row([0.0, 0.0, 0.0], method="none"), []),
        (_row([np.nan] * 3, fields=2), ["fewer than 16 fields"]),
    ],
)
def test_what_is_doubtful_is_said(row, expected):
    found = lights.warnings(row)
    assert len(found) == len(expected)
    assert all(text.startswith(start) for text, start in zip(found, expected, strict=True))
    listed = [statement.text for statement in checks.light([row])]
    assert any("weak" in text for text in listed) == any("fewer" in text for text in found)
    assert any("more uneven" in text for text in listed) == any("less even" in text for text in found)


def test_figures_have_intervals():
    assert lights.figures(_row([0, 0, 0])) == [
        "uneven, %: 10.0 (8.0 to 12.3) → 10.0 (8.0 to 12.3)",
        "edge, %: 10.0 (8.0 to 12.3) → 10.0 (8.0 to 12.3)",
        "objects, %: 10.0 (8.0 to 12.3) → 10.0 (8.0 to 12.3)",
    ]
    few = _row([0, 0, 0]) | {"objects_before": np.full(3, np.nan)}
    assert len(lights.figures(few)) == 2
    row = _row([np.nan] * 3) | {name: np.full(3, np.nan) for name in MEASURES}
    assert lights.figures(row) == ["too few fields to measure a residual"]


def test_a_channel_that_is_not_corrected_is_named_with_the_reason():
    values = {"before": 0.02, "after": 0.25, "low": 0.2, "high": 0.3}
    row = _row([-0.1, -0.2, -0.05]) | {"applied": False, "notes": str(Note("light_worse_objects", values))}
    reason = (
        "not corrected, the objects' brightness does not follow the flat field: unevenness of objects in held-out "
        "wells 2.0 % before and 25.0 % after, change 20.0 % to 30.0 %"
    )
    assert lights.warnings(row) == [reason]
    (statement,) = checks.light([row, _row([-0.1, -0.2, -0.05])])
    assert statement.text == "1 channel of a light path is not corrected for illumination."
    assert statement.lines == (f"scope, DNA: {reason}",)


def test_the_first_screen_names_it(monkeypatch):
    for name in ("unlike_others", "wells", "images", "clipping"):
        monkeypatch.setattr(checks, name, lambda _: [])
    monkeypatch.setattr(segmentation, "statements", lambda _: [])
    monkeypatch.setattr(segmentation, "fields", lambda _: [])
    values = {"wells": 3, "needed": 4}
    row = _row([np.nan] * 3) | {"applied": False, "notes": str(Note("light_untested", values))}
    (statement,) = first_screen.distrust(None, [row])
    assert statement.text == "1 channel of a light path is not corrected for illumination."
    assert "scope, DNA: not corrected: 3 wells, and 4 are needed" in statement.lines[0]


@pytest.mark.parametrize(
    "code", [judge.UNTESTED, judge.NO_GAIN, judge.WORSE_BACKGROUND, judge.WORSE_OBJECTS, judge.UNEVEN_SEEDING]
)
def test_every_reason_against_a_correction_has_a_sentence(code):
    values = {"before": 0.1, "after": 0.2, "low": -0.1, "high": 0.3, "wells": 3, "needed": 4}
    assert words(Note(code, values)).startswith("not corrected")
