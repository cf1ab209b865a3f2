"""Small plates of one microscope are pooled where their flat fields agree, and only there."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from options import options
from wellspring.illumination import basic, estimate, pooling
from wellspring.io.notes import loads
from wellspring.report.wording import worded
from wellspring.simulate import lights

OPTIONS = options("illumination")
SIZE = (96, 96)


def _plate(name, stack, channel="DNA"):
    frame = pd.DataFrame({"Metadata_Plate": name, "Metadata_Well": [f"A{n + 1:02d}" for n in range(len(stack))]})
    frame = frame.assign(Metadata_Channel=channel, Metadata_Verdict="keep")
    return [frame.assign(Metadata_Height=SIZE[0], Metadata_Width=SIZE[1])], [stack]


def _path(stack, others, **changes):
    beside = {name: _plate(name, each) for name, each in others.items()}
    frames, stacks = _plate("P1", stack)
    return estimate.light_path(
        frames, stacks, channels=["DNA"], options=replace(OPTIONS, **changes), optics="P1", others=beside
    )


@pytest.fixture(scope="module")
def dense():
    return lights.views("dense", 84, seed=11)


def test_small_plates_that_agree_are_pooled_and_err_less(dense):
    parts = {f"P{n + 1}": dense.stack[20 * n : 20 * n + 20] for n in range(3)}
    own = parts.pop("P1")
    alone, pooled = _path(own, {}), _path(own, parts)
    assert pooled.fields.tolist() == [60]
    (note,) = loads(pooled.notes[0])
    assert (note.code, note.values) == (pooling.POOLED, {"others": "P2, P3", "own": 20, "fields": 60})
    assert "estimated from 60 fields, 20 of them its own, with the light paths that agree: P2, P3" in worded(
        pooled.notes[0]
    )
    errors = [np.std(basic.basic(stack).flat / dense.flat) for stack in (own, dense.stack[:60])]
    assert errors[1] < errors[0]
    assert pooled.applied.all()
    np.testing.assert_array_equal(alone.notes, [""])


@pytest.mark.parametrize("seed", range(2))
def test_another_light_path_is_not_pooled(dense, seed):
    """The centre of its light lies elsewhere; the estimate stays that of the plate alone."""
    turned = lights.views("dense", 24, seed=20 + seed).stack[:, ::-1, :].copy()
    one, other = _path(dense.stack[:24], {}), _path(dense.stack[:24], {"P2": turned})
    np.testing.assert_array_equal(one.flat, other.flat)
    assert list(one.notes) == [""] and [note.code for note in loads(other.notes[0])] == [pooling.NOT_POOLED]


def test_large_plates_other_shapes_and_single_fields_stay_alone(dense):
    small = dense.stack[:20]
    for beside in (dense.stack[20:84], dense.stack[20:40, :-8], dense.stack[20:23]):
        assert _path(small, {"P2": beside}).fields.tolist() == [20]
    assert _path(dense.stack[:64], {"P2": dense.stack[64:]}).fields.tolist() == [64]
    assert _path(small, {"P2": dense.stack[20:40]}, method="none").fields.tolist() == [20]


def test_plates_too_small_to_be_tested_are_corrected_together(dense):
    """Three wells have no test of their own; with the plates beside them they have one."""
    own = dense.stack[:3]
    assert not _path(own, {}).applied.any()
    frames, stacks = _plate("P1", dense.stack[:12])
    frames[0]["Metadata_Well"] = [f"A{n % 3 + 1:02d}" for n in range(12)]
    beside = {"P2": _plate("P2", dense.stack[12:36]), "P3": _plate("P3", dense.stack[36:60])}
    alone = estimate.light_path(frames, stacks, channels=["DNA"], options=OPTIONS)
    together = estimate.light_path(frames, stacks, channels=["DNA"], options=OPTIONS, others=beside)
    assert not alone.applied.any()
    assert together.applied.all()


def test_a_plate_that_disagrees_or_has_other_pixels_stays_alone_with_a_note(dense):
    """Same optics at twice the size of a pixel are not compared; where a size is unknown, the flat fields decide."""
    own, turned = dense.stack[:24], lights.views("dense", 24, seed=20).stack[:, ::-1].copy()
    (note,) = loads(_path(own, {"P2": turned}).notes[0])
    assert (note.code, note.values) == (pooling.NOT_POOLED, {"others": "P2", "own": 24})
    assert "estimated from its 24 fields alone" in worded(_path(own, {"P2": turned}).notes[0])
    frames, stacks = _plate("P1", own)
    for mine, theirs, fields in ((0.65, 1.3, 24), (0.65, 0.6502, 48), (0.65, None, 48), (None, 0.65, 48)):
        (other,), views = _plate("P2", dense.stack[24:48])
        beside = {"P2": ([other.assign(Metadata_Pixel_Size=theirs)], views)}
        light = estimate.light_path(
            [frames[0].assign(Metadata_Pixel_Size=mine)], stacks, channels=["DNA"], options=OPTIONS, others=beside
        )
        assert light.fields.tolist() == [fields]


def test_few_large_objects_at_the_border_gain_together():
    """24 fields of nine large objects each: a plate loses the correction alone, and three plates gain it together."""
    views = lights.views("touching the border", 72, seed=300)
    parts = {f"P{number + 1}": views.stack[24 * number : 24 * number + 24] for number in range(3)}
    alone = _path(parts.pop("P1"), {})
    together = _path(views.stack[:24], parts)
    assert not alone.applied.any()
    assert together.applied.all() and together.fields.tolist() == [72]
    even, error = (float(np.std(light / views.flat)) for light in (1, basic.basic(views.stack).flat))
    assert error < even / 2
