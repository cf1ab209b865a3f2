"""Compartments that are empty in all wells, in one compound or in one well: from `measure` to the scores.

Cytoplasm is absent where cells are nuclei that were not grown. Its features have no values there; the wells have
profiles and scores all the same, and the reason is that of the features, not of the wells.
"""

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from options import options as section
from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.evaluate import run
from wellspring.evaluate.populations import Population
from wellspring.io.notes import loads
from wellspring.measure import field
from wellspring.profile.aggregate import aggregate
from wellspring.profile.normalise import normalise

CHANNELS = ["DNA", "ER"]
OPTIONS = section("measure", families=["intensity", "shape", "correlation", "neighbours"])
COMPOUNDS = ["DMSO"] * 12 + [f"c{number}" for number in range(6) for _ in range(2)]
PLATES = ("P1", "P2")


def measured(rng, *, light, grown):
    """Return the features of the 4 cells of a field; the cells are their nuclei unless `grown`."""
    grid, nuclei = np.mgrid[:44, :58], np.zeros((44, 58), np.uint32)
    for number, (y, x) in enumerate(((11, 12), (11, 40), (32, 14), (31, 43)), start=1):
        nuclei[np.hypot(grid[0] - y, (grid[1] - x) * rng.uniform(0.7, 1)) < rng.uniform(4, 6)] = number
    cells = ndimage.maximum_filter(nuclei, 7) if grown else nuclei
    pixels = rng.random((len(CHANNELS), *nuclei.shape)) * (0.1 + light * (nuclei > 0) + 0.2)
    return field.measure(pixels, nuclei, cells, numbers=np.arange(1, 5), channels=CHANNELS, options=OPTIONS)


def profiles(empty):
    """Return the aggregated and normalised wells of two plates; `empty(plate, place)` wells have no cytoplasm."""
    rng, found = np.random.default_rng(0), []
    names = field.names(CHANNELS, options=OPTIONS)
    for plate in PLATES:
        wells = pd.DataFrame(
            {"Metadata_Plate": plate, "Metadata_Well": [f"{r}{c:02}" for r in "ABCD" for c in range(1, 7)]}
        )
        wells["Metadata_Compound"] = wells["Metadata_Perturbation"] = COMPOUNDS
        wells["Metadata_Cell_Line"], wells["Metadata_Batch"] = "U2OS", "B1"
        wells["Metadata_pert_type"] = np.where(wells["Metadata_Compound"] == "DMSO", "negcon", "trt")
        wells["Metadata_moa"] = [None if one == "DMSO" else f"m{int(one[1]) % 3}" for one in COMPOUNDS]
        views, rows = [], []
        for place, (well, compound) in enumerate(zip(wells["Metadata_Well"], COMPOUNDS, strict=True)):
            light = 1.0 if compound == "DMSO" else 1.6 + 0.5 * (int(compound[1]) % 3)
            values = measured(rng, light=light, grown=not empty(plate, place))
            absent = np.full(4, np.nan, np.float32)
            rows.append(np.stack([values.get(name, absent) for name in names], axis=1))
            key = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": "1"}
            views.append(pd.DataFrame({**key, "Metadata_View": np.arange(1, 5)}))
        aggregated = aggregate(
            pd.concat(views, ignore_index=True), np.concatenate(rows), wells, prefix="classical", names=names,
            kind="cell", operation="auto",
        )  # fmt: skip
        normalised, _, verdict = normalise(aggregated, options=section("profile"))
        assert verdict.keep
        found.append((aggregated, normalised))
    return [pd.concat(level, ignore_index=True) for level in zip(*found, strict=True)]


CASES = {
    "all": lambda plate, place: True,
    "compound": lambda plate, place: COMPOUNDS[place] == "c3",
    "well": lambda plate, place: (plate, place) == ("P1", 14),
}


def activity(frame, level):
    """Return the row of the score, with the codes of its notes."""
    options = section("evaluate", metrics=["activity"], null_size=200, bootstrap=20, permutations=0)
    _, summary = run.judge(Population.of(frame, level=level), options=options)
    row = summary.set_index("Metadata_Metric").loc["activity"]
    return row, {note.code for note in loads(row["Metadata_Note"])}


@pytest.mark.parametrize("case", CASES)
def test_wells_with_an_empty_compartment_have_profiles_and_scores(case):
    aggregated, normalised = profiles(CASES[case])
    alignment = fit_alignment(normalised, options=section("fit"))
    aligned = apply_alignment(normalised, alignment)
    empty = [CASES[case](plate, place) for plate in PLATES for place in range(len(COMPOUNDS))]
    cytoplasm = aggregated.filter(like="Cytoplasm_")
    assert cytoplasm.isna().all(axis=1).tolist() == empty
    assert np.isfinite(aligned[alignment.features]).all(axis=None)
    codes = {}
    for level, frame in (("aggregated", aggregated), ("normalised", normalised), ("aligned", aligned)):
        assert set(frame["Metadata_Verdict"]) == {"keep"}
        assert set(frame["Metadata_Reason"]) == {""}
        row, codes[level] = activity(frame, level)
        assert (row["n"], row["n_undefined"]) == (6, 0)
        assert "wells_missing" not in codes[level]
        if level == "aligned":
            assert row["value"] > 0.8
        elif case == "all":
            # Features without any value change nothing.
            other, _ = activity(frame.drop(columns=cytoplasm.columns), level)
            assert row["value"] == other["value"]
    few = case == "well"  # 1 of 48 wells is below `fit.max_missing`, 4 are above
    for level in ("aggregated", "normalised"):
        assert ("gaps_filled" in codes[level], "features_missing" in codes[level]) == (few, not few)
    assert not codes["aligned"] & {"gaps_filled", "features_missing"}
    lost = alignment.selection[alignment.selection["Metadata_Reason"].str.startswith("not_finite")]
    reason = "not_finite(wells=48, total=48)"
    assert set(lost["Metadata_Feature"]) == (set(cytoplasm) if case == "all" else set())
    assert set(lost["Metadata_Reason"]) <= {reason}
