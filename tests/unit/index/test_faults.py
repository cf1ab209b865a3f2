"""Damaged plates in the layout of every reader: each fault is reported, and no other image is affected.

A plate with one to three faults of `faults.FAULTS` goes through index, survey and images as `guarded` watches. Whatever
the fault, the plate is finished or ends in a ``ValueError`` that names it or a file of it; a fault of images, and not
of tables, never ends it. Pixels that were written are those of the plate, or those that a fault replaced unnoticeably:
in uncompressed TIFF no byte tells that another one is wrong.
"""

import random
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import faults
import guarded
import specimens
import table_faults  # noqa: F401 - enters its faults
from wellspring.io import raw_image

CODECS = ["lzw", "zlib", "packbits", "zstd"]  # of the images that faults draw anew
NAMES = ["plate", "a b", "ü 漢字", "$(touch pwned)", "it's; rm -rf .", 'a"b,c', "a\nb", "%2e%2e", "*?[x]", "-rf"]
GUARDED = {"deadline": None, "derandomize": True, "database": None, "suppress_health_check": list(HealthCheck)}
CASES = st.tuples(
    st.lists(st.tuples(st.sampled_from(sorted(faults.FAULTS)), st.integers(0, 2**32 - 1)), min_size=1, max_size=3),
    st.sampled_from(NAMES),
    st.booleans(),
    st.sampled_from(["report", "report", "error"]),
)


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    """Return a folder of what is the same in every case, and import what any of them needs.

    A case of denied permission drops root's rights, and with them perhaps the right to read Python's own modules: a
    codec that is imported then for the first time fails, and crashes the process in a later case.
    """
    folder = tmp_path_factory.mktemp("templates")
    for layout in specimens.LAYOUTS:
        _run(layout, ([], "plate", True, "error"), folder)
    for compression in CODECS:
        tifffile.imwrite(folder / "coded.tif", np.zeros((16, 16), np.uint16), compression=compression, predictor=2)
        raw_image.read(folder, "coded.tif")
    return folder


@pytest.mark.parametrize("layout", specimens.LAYOUTS)
def test_a_whole_plate_is_read_to_the_last_pixel(layout, templates):
    for auto in (False, True):
        outcome, damages, specimen = _run(layout, ([], "plate", auto, "error"), templates)
        assert outcome.error is None
        assert len(outcome.stored) == 8
        assert outcome.verdict.keep
        check(outcome, damages, specimen)


@pytest.mark.parametrize("fault", faults.FAULTS)
def test_each_fault_alone(fault, templates):
    """Of the layouts that have what it damages, two."""
    chance, done = random.Random(fault), 0
    for layout in chance.sample(list(specimens.LAYOUTS), len(specimens.LAYOUTS)):
        outcome, damages, specimen = _run(
            layout, ([(fault, chance.randrange(2**32))], "a b", False, "report"), templates
        )
        check(outcome, damages, specimen)
        done += bool(damages)
        if done == 2:
            break
    assert done


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("layout", ["loaddata csv", "loaddata parquet"])
def test_a_broken_link_takes_no_other_image_along(layout, seed, templates):
    """Its path in the table is a path of this plate still, and no evidence against the table's other folders."""
    check(*_run(layout, ([("link_to_nothing", seed)], "plate", False, "report"), templates))


@pytest.mark.parametrize("layout", specimens.LAYOUTS)  # 15 x 20 = 300 cases
@settings(max_examples=20, **GUARDED)
@given(case=CASES)
def test_no_fault_crashes_a_plate_or_passes_unrecorded(layout, templates, case):
    check(*_run(layout, case, templates))


@pytest.mark.slow
@pytest.mark.parametrize("layout", specimens.LAYOUTS)
@settings(max_examples=200, **GUARDED)
@given(case=CASES)
def test_nor_do_ten_times_as_many(layout, templates, case):
    check(*_run(layout, case, templates))


def _run(layout, case, templates):
    chosen, name, auto, lost_wells = case
    with tempfile.TemporaryDirectory(prefix="wellspring-faults-") as folder:
        base = Path(folder)
        base.chmod(0o755)
        specimen = specimens.make(layout, base, name=name, templates=templates)
        damages = [faults.FAULTS[fault](specimen, random.Random(seed)) for fault, seed in chosen]
        damages = [damage for damage in damages if damage is not None]
        outcome = guarded.run(specimen, auto=auto, lost_wells=lost_wells) if damages or not chosen else None
        return outcome, damages, specimen


def check(outcome, damages, specimen):
    """Assert what holds of every plate, however damaged; a fault that the layout can not have is none."""
    if outcome is None:
        return
    words = outcome.words()
    assert outcome.strayed == [], outcome.strayed
    assert specimens.MARK not in words
    assert "MemoryError" not in words
    stops = [damage for damage in damages if damage.stops != "never"]
    if outcome.error is not None:
        message = str(outcome.error)
        named = [
            specimens.PLATE,
            str(specimen.folder),
            str(specimen.platemap),
            *(path.name for path in specimen.tables),
        ]
        assert any(name in message for name in named), f"names neither plate nor file: {message}"
        assert len(message) < 2000
        doubled = "planes twice" in message
        assert stops or doubled, f"a fault of images ended the plate: {message}"
        told = stops
    else:
        assert not [damage for damage in damages if damage.stops == "must"]
        told = damages
        _check_pixels(outcome, damages)
    if len(told) == 1 and told[0].told:
        assert re.search(told[0].told, words), f"{told[0].told} is not told"


def _check_pixels(outcome, damages):
    doomed = frozenset().union(*(damage.doomed for damage in damages))
    free = frozenset().union(*(damage.free for damage in damages))
    keys = ["Metadata_Well", "Metadata_Site", "Metadata_Channel"]
    rows = dict(list(outcome.survey.groupby(keys)))
    for key in specimens.KEYS:
        if key in free:
            continue
        if key not in rows:
            well = outcome.audit[outcome.audit["Metadata_Well"] == key[0]]
            assert not well["Metadata_In_Platemap"].any(), f"{key} has no row, and the audit does not tell why"
            assert key in doomed
            continue
        excluded = rows[key][rows[key]["Metadata_Verdict"] == "exclude"]
        assert (excluded["Metadata_Reason"] != "").all()
        if key in doomed and len(excluded):
            continue
        assert excluded.empty, f"{key} was whole: {excluded['Metadata_Reason'].tolist()}"
        np.testing.assert_array_equal(outcome.read[key], specimens.pixels(key), err_msg=str(key))
    for (well, site), stack in outcome.stored.items():
        for channel, plane in zip(specimens.CHANNELS, stack, strict=True):
            if (well, site, channel) not in free:
                np.testing.assert_array_equal(plane, specimens.pixels((well, site, channel)))
    kept = outcome.survey.groupby(keys[:2])["Metadata_Verdict"].agg(lambda verdicts: (verdicts == "keep").all())
    assert set(outcome.stored) == {site for site, keep in kept.items() if keep}
