"""Files whose structure is wrong: no plate is lost, nothing hangs or leaves its folder, no lost pixel is black.

One or two faults of `structures` damage a plate, which goes through index, survey and images as `guarded` watches (time
and memory bounded, files and programs noted). It is finished, or ends in a `ValueError`. Planes of files that were not
touched are stored as they were written, and of a touched file no row of pixels that is all 0 passes as good.
"""

import random
import tempfile
from pathlib import Path

import numpy as np
import pytest

import guarded
import specimens
from structures import STRUCTURES

LAYOUTS = [name for name in specimens.LAYOUTS if "png" not in name]
KEYS = ["Metadata_Well", "Metadata_Site", "Metadata_Channel"]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    return tmp_path_factory.mktemp("templates")


def case(seed, templates):
    """Run the case of a seed; its layout and faults, for a message."""
    chance = random.Random(seed)
    layout = chance.choice(LAYOUTS)
    with tempfile.TemporaryDirectory(prefix="wellspring-structures-") as folder:
        specimen = specimens.make(layout, Path(folder), name="plate", templates=templates)
        names = chance.sample(sorted(STRUCTURES), len(STRUCTURES))
        wanted, done = chance.choice([1, 1, 2]), []
        for name in names:
            if len(done) < wanted and (what := STRUCTURES[name](specimen, chance)):
                done.append(f"{name}: {what}")
        outcome = guarded.run(specimen, auto=chance.random() < 0.3)
        return f"seed {seed}, {layout}: {done}", specimen, outcome


def check(where, specimen, outcome):
    assert outcome.strayed == [], where
    assert specimens.MARK not in outcome.words(), where
    if outcome.error is not None:
        assert len(str(outcome.error)) < 2000, where
        return
    rows = dict(list(outcome.survey.groupby(KEYS)))
    for key, mine in rows.items():
        excluded = mine[mine["Metadata_Verdict"] == "exclude"]
        assert (excluded["Metadata_Reason"] != "").all(), where
        if key in specimen.whole and excluded.empty:
            np.testing.assert_array_equal(outcome.read[key], specimens.pixels(key), err_msg=f"{where} {key}")
    for key in specimen.whole & set(rows):
        assert (rows[key]["Metadata_Status"] == "ok").all(), f"{where}: {key} was whole"
    for key, plane in outcome.read.items():
        black = ~plane.any(axis=1)
        assert not black.any(), f"{where}: {black.sum()} rows of {key} are black and pass as good"
    for (well, site), stack in outcome.stored.items():
        for channel, plane in zip(specimens.CHANNELS, stack, strict=True):
            if (well, site, channel) in specimen.whole:
                np.testing.assert_array_equal(plane, specimens.pixels((well, site, channel)), err_msg=where)
            assert plane.any(axis=1).all(), f"{where}: black rows of {well} {site} {channel} are stored"


@pytest.mark.parametrize("block", range(6))  # 6 x 10 = 60 cases
def test_no_structure_sinks_a_plate_or_passes_for_black(block, templates):
    for seed in range(10 * block, 10 * block + 10):
        check(*case(seed, templates))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(50))  # 50 x 10 = 500 cases
def test_nor_do_five_hundred(block, templates):
    for seed in range(1000 + 10 * block, 1010 + 10 * block):
        check(*case(seed, templates))


def test_every_fault_finds_a_layout(templates):
    """A fault that no layout has would be tested by nothing."""
    for name, fault in STRUCTURES.items():
        found = []
        for layout in LAYOUTS:
            with tempfile.TemporaryDirectory() as folder:
                specimen = specimens.make(layout, Path(folder), name="plate", templates=templates)
                found += [layout] if fault(specimen, random.Random(0)) else []
        assert found, name
