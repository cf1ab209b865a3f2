"""Plates of random layout in the format of every reader: each stored plane is read as what was written, or refused.

Wells have unequal numbers of sites and focal planes; plates have time points, acquisitions, pages and axes in any
order. Expected values come from the makers of `random_plates`, which use no reader's code.
"""

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import coded
import random_plates

OPTIONS = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
CASE = {"plan": random_plates.plans(), "seed": st.integers(0, 2**32 - 1), "asked": st.booleans()}
readers = pytest.mark.parametrize("reader", random_plates.MAKERS)


@readers
@settings(max_examples=6, **OPTIONS)
@given(**CASE)
def test_each_stored_plane_is_the_one_that_was_written(reader, plan, seed, asked):
    check(reader, plan, seed, asked)


@pytest.mark.slow
@readers
@settings(max_examples=300, **OPTIONS)
@given(**CASE)
def test_so_are_thousands_of_plates(reader, plan, seed, asked):
    check(reader, plan, seed, asked)


def check(reader, plan, seed, asked):
    """Write a plate, and compare the index with it; ``asked``: time point and acquisition are chosen."""
    if reader in random_plates.PACKAGES:
        pytest.importorskip(random_plates.PACKAGES[reader])
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="wellspring-random-") as name:
        folder = Path(name) / "P1"
        written = random_plates.MAKERS[reader](folder, plan, chance)
        told = random_plates.described(plan, written)
        times = sorted({key.time for key in written.values})
        runs = sorted({key.acquisition for key in written.values})
        time, run = chance.choice(times), chance.choice(runs)
        options = dict(written.options)
        if asked and len(times) > 1:
            options["timepoint"] = time
        if asked and len(runs) > 1:
            options["acquisition"] = run
        build = {"channels": list(plan.channels), "aliases": written.aliases, "at": Path(name), **options}
        if not asked and (len(times) > 1 or len(runs) > 1):
            with pytest.raises(ValueError, match=r"P1: .*(time point|acquisition|measurement|planes twice)"):
                coded.build(folder, list(plan.sites), **build)
            return
        found = coded.read(coded.build(folder, list(plan.sites), **build), folder)
        expected = {
            (key.well, key.site, key.channel, key.plane): value
            for key, value in written.values.items()
            if (key.time, key.acquisition) == (time, run)
        }
        assert {key: value for key, value in found.items() if value is not None} == expected, told
        if not written.listed:
            assert found.keys() == expected.keys(), f"expected planes that no well has: {told}"
