"""Select: the reasons, and the same choice as pycytominer."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from step_screens import NAMES, OPTIONS, controls_of, screen
from wellspring.align.steps import select


def reasons_of(frame, **options):
    off = {"blocklist": None, "max_missing": 1, "max_equal": 1}
    state = select.fit(frame, controls=controls_of(frame), options=replace(OPTIONS, **(off | options)))
    return dict(zip(state.dropped, state.reasons, strict=True))


@pytest.mark.parametrize("gaps", [False, True])
def test_correlated_features_go_as_in_pycytominer(gaps):
    from pycytominer.operations import correlation_threshold

    rng = np.random.default_rng(32)
    mixed = rng.normal(size=(80, 3)) @ rng.normal(size=(3, 60)) + 0.3 * rng.normal(size=(80, 60))
    frame = pd.DataFrame(mixed, columns=[f"Cells_f{number}" for number in range(60)])
    if gaps:
        frame = frame.mask(rng.random(frame.shape) < 0.03)
    expected = correlation_threshold(frame, features=list(frame), threshold=0.9)
    kind = np.where(np.arange(80) < 40, "negcon", "trt")
    found = reasons_of(frame.assign(Metadata_Verdict="keep", Metadata_pert_type=kind), max_correlation="auto")
    assert 10 < len(found) < 50
    assert all(reason.startswith('correlated(with="Cells_f') for reason in found.values())
    assert sorted(found) == sorted(expected)


def test_correlations_with_gaps_are_those_of_pandas():
    rng = np.random.default_rng(33)
    table = pd.DataFrame(rng.normal(size=(40, 7)) + 1e3).mask(rng.random((40, 7)) < 0.2)
    table[5], table[6] = 4.0, table[0] * 2
    np.testing.assert_allclose(select.correlation(table.to_numpy()), table.corr().to_numpy(), atol=1e-9)


@pytest.mark.parametrize("cuts", [(0.05, 0.01), (0.3, None), (None, 0.1), (0.05, 0.2)])
def test_rare_values_go_as_in_pycytominer(cuts):
    from pycytominer.operations import frequency_threshold

    rng = np.random.default_rng(34)
    frame = screen(rng)
    for number, share in enumerate((0.01, 0.03, 0.05, 0.2)):
        frame[f"e_{number}"] = np.where(rng.random(len(frame)) < share, np.round(rng.random(len(frame)), number), 1.0)
    frame["e_4"] = np.round(frame["e_4"])
    frame.loc[7, "e_1"] = np.nan
    given = {"freq_cut": cuts[0] or 0, "unique_cut": cuts[1] or 0}
    expected = frequency_threshold(frame, features=NAMES, **given)
    found = reasons_of(frame, freq_cut=cuts[0], unique_cut=cuts[1])
    assert sorted(found) == sorted(expected)
    assert expected
    assert all(reason.startswith("few_values(ratio=") for reason in found.values())


def test_outliers_go_as_in_pycytominer():
    from pycytominer.cyto_utils.features import drop_outlier_features

    frame = screen(np.random.default_rng(35))
    frame.loc[4, "e_1"], frame.loc[5, "e_3"], frame.loc[6, "e_4"] = 501.0, -501.0, 499.0
    assert sorted(reasons_of(frame, max_value=500)) == drop_outlier_features(frame, features=NAMES) == ["e_1", "e_3"]
    assert reasons_of(frame, max_value=500)["e_3"] == "large_value(value=501.0)"


def test_features_on_the_blocklist_go_by_name():
    frame = screen(np.random.default_rng(36)).rename(columns={"e_1": "Nuclei_Correlation_RWC_AGP_DNA"})
    assert reasons_of(frame, blocklist="default") == {"Nuclei_Correlation_RWC_AGP_DNA": "on_blocklist"}
    assert list(reasons_of(frame, blocklist=["e_2", "e_9"])) == ["e_2"]
    assert reasons_of(frame) == {}
