"""Treatments: doses by relative tolerance, names that never merge two treatments."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.evaluate import wells
from wellspring.evaluate.levels import join
from wellspring.screen import platemap
from wellspring.screen.treatments import harmonised, joined, name, one_dose

TEXTS = st.text(alphabet="x@|1.0", min_size=1, max_size=6)
DOSES = st.one_of(st.none(), st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]))


@given(TEXTS, DOSES, TEXTS, DOSES)
def test_two_treatments_never_have_one_name(first, one, second, two):
    assert (name(first, one) == name(second, two)) == ((first, one) == (second, two))


@given(st.lists(TEXTS, min_size=2, max_size=3), st.lists(TEXTS, min_size=2, max_size=3))
def test_two_lists_of_values_never_have_one_text(first, second):
    if len(first) == len(second):
        assert (joined(first) == joined(second)) == (first == second) or "|" in "".join(first + second)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([2.0, np.sqrt(10), 3.0, 10.0]), st.sampled_from([1e-12, 1e-9, 3e-8]))
def test_a_dilution_series_with_rounding_keeps_its_levels(seed, step, noise):
    rng = np.random.default_rng(seed)
    levels = 10 / step ** np.arange(8)
    place = np.concatenate([np.arange(8), rng.integers(8, size=60)])
    doses = levels[place] * (1 + noise * rng.uniform(-1, 1, size=68))
    found = one_dose(np.array(["x"] * 68, dtype=object), doses)
    assert len(np.unique(found)) == 8
    assert pd.Series(found).groupby(place).nunique().eq(1).all()
    np.testing.assert_allclose(found, doses, rtol=2.1 * noise)


def test_replicates_on_two_plates_are_one_treatment_and_other_compounds_are_not():
    base = {
        "Metadata_Compound": ["x", "x@10"],
        "Metadata_Concentration": [10.0, np.nan],
        "Metadata_Well": ["A01", "A02"],
    }
    first = pd.DataFrame({**base, "Metadata_Plate": "p1", "Metadata_Perturbation": ["x@10", "x@@10"]})
    second = first.assign(Metadata_Plate="p2", Metadata_Concentration=[9.999999999, np.nan])
    second["Metadata_Perturbation"] = ["x@9.999999999", "given by hand"]
    found = join([first, first.assign(Metadata_Plate="p3"), second])
    assert found["Metadata_Concentration"].dropna().tolist() == [10.0, 10.0, 10.0]
    assert found["Metadata_Perturbation"].tolist() == ["x@10", "x@@10", "x@10", "given by hand", "x@10", "x@@10"]
    assert len(set(wells.treatments(found))) == 2


def test_a_platemap_names_them_so(tmp_path):
    path = tmp_path / "map.csv"
    path.write_text("well,compound,concentration\nA01,x,10\nA02,x,9.999999999\nA03,x@10,\nA04,DMSO,\n")
    frame = platemap.read(path, plate="p")
    assert frame["Metadata_Perturbation"].tolist() == ["x@10", "x@10", "x@@10", "DMSO"]
    assert frame["Metadata_Concentration"].tolist()[:2] == [10.0, 10.0]


def test_a_table_whose_doses_are_apart_is_returned_as_it_is():
    frame = pd.DataFrame({"Metadata_Compound": ["x", "y"], "Metadata_Concentration": [10.0, 9.999999999]})
    assert harmonised(frame) is frame


def test_plates_of_different_units_are_not_joined():
    frame = pd.DataFrame(
        {
            "Metadata_Plate": ["P1", "P2", "P2"],
            "Metadata_Compound": ["x", "x", "DMSO"],
            "Metadata_Concentration": [1.0, 1000.0, 0.0],
            "Metadata_Concentration_Unit": ["µM", "nM", None],
        }
    )
    with pytest.raises(ValueError, match=r"one unit of concentrations, found .*'nM': \['P2'\].*set index.unit"):
        harmonised(frame)
    with pytest.raises(ValueError, match=r"'none': \['P2'\]"):
        harmonised(frame.assign(Metadata_Concentration_Unit=["µM", None, None]))
    same = frame.assign(Metadata_Concentration_Unit=["µM", "µM", None])
    assert harmonised(same) is same


@pytest.mark.parametrize("power", range(-12, 4))
@pytest.mark.parametrize("digits", [1, 3, 2.5, 31.6, 0.3])
def test_doses_computed_by_a_spreadsheet_have_the_name_of_the_written_ones(digits, power):
    computed, written = digits * 10.0**power, float(f"{digits}e{power}")
    assert name("x", computed) == name("x", written)
    assert float(name("x", computed).removeprefix("x@")) == pytest.approx(written, rel=1e-13)
