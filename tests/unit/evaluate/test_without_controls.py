"""A screen without negative controls, normalised and fitted on all wells: judged, except where controls are needed."""

import numpy as np
import pandas as pd

from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.evaluate.run import evaluate
from wellspring.io import tables
from wellspring.profile.consensus import join_plates
from wellspring.profile.normalise import normalise
from wellspring.screen import config, sections


def plate(name, rng, shift):
    compounds = [f"c{number % 8}" for number in range(24)]
    frame = pd.DataFrame({"Metadata_Plate": name, "Metadata_Compound": compounds, "Metadata_Perturbation": compounds})
    frame["Metadata_Well"] = [f"{'ABC'[number // 8]}{number % 8 + 1:02d}" for number in range(24)]
    frame["Metadata_Batch"], frame["Metadata_Cell_Line"], frame["Metadata_Concentration"] = name, "U2OS", np.nan
    frame["Metadata_pert_type"], frame["Metadata_Role"], frame["Metadata_target"] = "trt", "fit", None
    frame["Metadata_moa"] = [f"m{number % 4}" for number in range(24)]
    frame["Metadata_Verdict"], frame["Metadata_Reason"] = "keep", ""
    values = rng.normal(size=(24, 10)) + shift[[number % 4 for number in range(24)]]
    return pd.concat([frame, pd.DataFrame(values, columns=[f"e_{place}" for place in range(10)])], axis=1)


def test_a_screen_without_controls_runs_and_activity_has_its_reason():
    rng = np.random.default_rng(0)
    shift = 4 * np.linalg.qr(rng.normal(size=(10, 10)))[0][:4]
    aggregated = [plate(name, rng, shift) for name in ("p1", "p2")]
    made = [normalise(one, options=config.default(sections.Profile, normalise_on="all")) for one in aggregated]
    assert all(verdict.keep for _, _, verdict in made)
    for frame, _, _ in made:
        values = frame[tables.features(frame)].to_numpy(dtype=float)
        np.testing.assert_allclose(values.mean(axis=0), 0, atol=1e-6)
        np.testing.assert_allclose(values.std(axis=0), 1, atol=1e-6)
    normalised = [frame for frame, _, _ in made]
    fit = config.default(sections.Fit, fit_on="all", steps=["select", "standardize"])
    joined, verdict = join_plates(normalised, names=["p1", "p2"], verdicts=[one for _, _, one in made])
    assert verdict.keep and set(joined["Metadata_Plate"]) == {"p1", "p2"}
    aligned = apply_alignment(joined, fit_alignment(joined, options=fit))
    options = config.default(sections.Evaluate, bootstrap=100, permutations=20)
    _, summary = evaluate(aggregated, normalised, aligned, options=options, fit=fit)
    rows = summary.set_index(["Metadata_Metric", "Metadata_Level"])
    assert np.isnan(rows.loc[("activity", "aligned"), "value"])
    assert rows.loc[("activity", "aligned"), "Metadata_Note"] == "no_negative_controls"
    for level in ("aggregated", "normalised", "aligned"):
        assert rows.loc[("nsc", level), "value"] == 1.0
