"""A table in CellProfiler's layout with what such tables have: scores are those that NumPy gives well by well.

Semicolons, plates as `007`, compounds that are called NA, None and `c#7`, `x` at 10 beside `x@10`, doses that differ by
rounding, targets as `a|b`, an empty feature, and columns of the image, of positions, counts, times and row numbers.
"""

import numpy as np
import pandas as pd
import pytest

from wellspring.api.score import Options, read, score
from wellspring.io import tables

COMPOUNDS = [("BRD-1", 10.0, "EGFR|HER2"), ("BRD-2", 10.0, "HER2"), ("x", 10.0, "TUBB"), ("x@10", None, "TUBB|EGFR")]
COMPOUNDS += [("NA", 10.0, "KIN#5"), ("None", 10.0, "KIN#5"), ("c#7", 1.0, "KIN#5"), ("BRD-1", 1.0, "EGFR|HER2")]
NAMES = ["Cells_AreaShape_Area", "Cells_Intensity_MeanIntensity_DNA", "Nuclei_Texture_Contrast_RNA_3_00_256"]
NAMES += [
    "Nuclei_Granularity_1_ER",
    "Cytoplasm_Correlation_Correlation_DNA_ER",
    "Cytoplasm_Neighbors_NumberOfNeighbors_10",
]


def profiles(seed):
    rng, rows = np.random.default_rng(seed), []
    shift = {(name, dose): 1.3 * rng.normal(size=len(NAMES)) for name, dose, _ in COMPOUNDS}
    for plate in ("007", "008", "009"):
        wells = [("DMSO", None, None)] * 14 + [one for one in COMPOUNDS for _ in range(2)]
        for place, number in enumerate(rng.permutation(len(wells))):
            x = rng.normal(size=len(NAMES)) + shift.get(wells[number][:2], 0.0)
            rows.append((plate, f"{'ABCDE'[place // 6]}{place % 6 + 1}", *wells[number], *x.astype(np.float32)))
    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_broad_sample", "Metadata_mmoles_per_liter", "Metadata_target"]
    return pd.DataFrame(rows, columns=[*keys, *NAMES])


def foreign(frame, rng):
    odd = frame.copy()
    ten = (odd["Metadata_mmoles_per_liter"] == 10) & (odd["Metadata_Plate"] == "008")
    odd.loc[ten, "Metadata_mmoles_per_liter"] = 9.999999999
    counts = {"Image_Count_Cells": rng.integers(90, 200, len(odd)), "ImageNumber": range(len(odd)), "Unnamed: 0": 3}
    odd = odd.assign(**counts, Image_Intensity_MeanIntensity_DNA=rng.normal(size=len(odd)), ExecutionTime_01Images=1.5)
    odd = odd.assign(Cells_Location_Center_X=rng.normal(size=len(odd)), Nuclei_Texture_Empty_1=np.nan)
    return odd.sample(frac=1, random_state=2)[list(rng.permutation(odd.columns))]


def direct(frame):
    """Return activity, consistency, grit and grit by mechanism, well by well."""
    x = frame[NAMES].to_numpy(dtype=float)
    rows, r = x / np.linalg.norm(x, axis=1, keepdims=True), np.corrcoef(x)
    name, dose, plate = (
        frame[each].tolist() for each in ("Metadata_broad_sample", "Metadata_mmoles_per_liter", "Metadata_Plate")
    )
    labels = [set(str(each).split("|")) for each in frame["Metadata_target"]]
    control = [n for n, each in enumerate(name) if each == "DMSO"]
    treated = [n for n in range(len(frame)) if n not in control]

    def precision(well, positive, negative):
        pool = np.array([*positive, *negative])
        order = np.argsort(-(rows[pool] @ rows[well]), kind="stable")
        hit = order < len(positive)
        return (np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean()

    def against(well, others):
        return (r[well, others].mean() - r[well, control].mean()) / r[well, control].std()

    found = {metric: {} for metric in ("activity", "consistency", "grit", "grit.mechanism")}
    for well in treated:
        key = (name[well], str(dose[well]))
        mates = [n for n in treated if n != well and (name[n], str(dose[n])) == key]
        negative = [n for n in control if plate[n] == plate[well]]
        found["activity"].setdefault(key, []).append(precision(well, mates, negative))
        found["grit"].setdefault(key, []).append(against(well, mates))
        others = [n for n in treated if name[n] != name[well]]
        apart = [n for n in others if not labels[n] & labels[well]]
        for label in labels[well]:
            same = [n for n in others if label in labels[n]]
            if same:
                found["consistency"].setdefault(name[well], {}).setdefault(label, []).append(
                    precision(well, same, apart)
                )
        same = [n for n in others if labels[n] & labels[well]]
        if same:
            found["grit.mechanism"].setdefault(name[well], []).append(against(well, same))
    found["consistency"] = {one: [np.mean(own) for own in each.values()] for one, each in found["consistency"].items()}
    return {metric: np.mean([np.mean(each) for each in own.values()]) for metric, own in found.items()}


@pytest.mark.parametrize("seed", [3, 11])
def test_such_a_table_has_the_scores_that_are_computed_well_by_well(tmp_path, seed):
    frame = profiles(seed)
    foreign(frame, np.random.default_rng(seed)).to_csv(tmp_path / "p.csv", sep=";", index=False)
    asked = {"metrics": ["activity", "consistency", "grit", "grit.mechanism"], "null_size": 1000, "permutations": 0}
    summary = score([tmp_path / "p.csv"], tmp_path / "out", options=Options(label="target", evaluate=asked))
    found, expected = summary.set_index("Metadata_Metric")["value"], direct(frame)
    assert found[list(expected)].to_dict() == pytest.approx(expected, abs=1e-6)
    again, _ = read([tmp_path / "p.csv"], options=Options(label="target"))
    assert set(tables.features(again)) == {*NAMES, "Nuclei_Texture_Empty_1"}
    assert set(again["Metadata_Plate"]) == {"007", "008", "009"} and again["Metadata_Perturbation"].nunique() == 9
    assert {"NA@10", "None@10", "c#7@1", "x@10"} < set(again["Metadata_Perturbation"])
