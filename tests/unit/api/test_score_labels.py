"""`wellspring score` without `--label`: the column of mechanisms is found by its name, or the log names candidates."""

import logging

import numpy as np
import pandas as pd
import pytest

from wellspring.api.score import Options, score
from wellspring.api.score_labels import label_of


def table(**more):
    rng = np.random.default_rng(0)
    compounds = ["DMSO"] * 4 + [f"c{number}" for number in range(6) for _ in range(2)]
    frame = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": [f"A{n + 1:02d}" for n in range(16)]})
    frame["Metadata_Compound"] = compounds
    frame["Metadata_pert_type"] = ["negcon"] * 4 + ["trt"] * 12
    return frame.assign(**more), rng


@pytest.mark.parametrize(
    "name",
    ["mechanism", "Mechanism of action", "Metadata_mechanism_of_action", "moa_class", "MoA", "Mode of action"],
)
def test_a_column_of_mechanisms_is_taken_under_its_usual_names(tmp_path, caplog, name):
    classes = [None] * 4 + [f"m{number // 2 % 3}" for number in range(12)]
    frame, rng = table(**{name: classes})
    frame = pd.concat([frame, pd.DataFrame(rng.normal(size=(16, 6)), columns=[f"Cells_{n}" for n in range(6)])], axis=1)
    frame.to_csv(tmp_path / "a.csv", index=False)
    quick = {"metrics": ["nsc"], "bootstrap": 100, "permutations": 0, "null_size": 1000}
    with caplog.at_level(logging.WARNING):
        found = score([tmp_path / "a.csv"], tmp_path / "own", options=Options(evaluate=quick))
    named = score([tmp_path / "a.csv"], tmp_path / "named", options=Options(label=name, evaluate=quick))
    assert np.isfinite(found.set_index("Metadata_Metric").loc["nsc", "value"])
    pd.testing.assert_frame_equal(found, named)
    assert f"from the column Metadata_{name.removeprefix('Metadata_')}" in caplog.text


def test_candidates_are_named_where_no_column_is_called_so(caplog):
    family = [None] * 4 + [f"f{number // 2 % 3}" for number in range(12)]
    lot = [str(number % 2) for number in range(16)]
    frame, _ = table(Metadata_family=family, Metadata_lot=lot, Metadata_id=[f"i{n}" for n in range(16)])
    assert label_of(frame.assign(Metadata_moa=None), None) == "Metadata_moa"
    assert "no column of mechanisms: scores of classes are left out; perhaps --label Metadata_family\n" in caplog.text
    caplog.clear()
    assert label_of(frame.rename(columns={"Metadata_family": "Metadata_drug family"}), None) == "Metadata_moa"
    assert "perhaps --label 'Metadata_drug family'\n" in caplog.text  # as a shell takes it
    caplog.clear()
    two = frame.assign(Metadata_mechanism=family, Metadata_moa_class=family)
    assert label_of(two, None) == "Metadata_moa"
    assert "perhaps --label Metadata_mechanism or --label Metadata_moa_class" in caplog.text
    assert label_of(two, "family") == "Metadata_family"
    caplog.clear()
    assert label_of(two.assign(Metadata_moa=family), None) == "Metadata_moa"
    assert caplog.text == ""
