"""`wellspring score`: compounds, controls and parts of a treatment under names that other tools give them."""

import numpy as np
import pandas as pd
import pytest

from wellspring.api.score import Options, read, score

QUICK = {"metrics": ["activity"], "bootstrap": 100, "permutations": 0, "null_size": 1000}


def table(control="DMSO"):
    rng = np.random.default_rng(3)
    wells = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 7)]
    frame = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": wells})
    frame["Metadata_broad_sample"] = [control] * 6 + ["a", "b"] * 6
    return pd.concat([frame, pd.DataFrame(rng.normal(size=(18, 5)), columns=[f"Cells_{n}" for n in range(5)])], axis=1)


def written(tmp_path, frame, name="a.csv"):
    frame.to_csv(tmp_path / name, index=False)
    return [tmp_path / name]


@pytest.mark.parametrize(
    "name",
    ["DMSO 0.1%", "0.1% DMSO", "DMSO_0.1", "dimethyl sulfoxide", "Vehicle control", "neg. ctrl.", "NC", "Mock", "Media",
     "water", "CTRL", "no treatment", "NTC", "non-targeting", "scrambled", "siNeg", "solvent", "Unperturbed"],
)  # fmt: skip
def test_controls_under_other_names_are_taken_with_a_warning(tmp_path, caplog, name):
    found, _ = read(written(tmp_path, table(name)), options=Options())
    assert (found["Metadata_pert_type"] == "negcon").to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert f"6 wells of [{name!r}] are taken for negative controls by their name (--controls" in caplog.text
    frame = table(name)
    frame.loc[6:8, "Metadata_broad_sample"] = "DMSO"
    found, _ = read(written(tmp_path, frame), options=Options())
    assert set(found.loc[found["Metadata_pert_type"] == "negcon", "Metadata_Compound"]) == {"DMSO"}


def test_vehicles_are_controls_before_wells_without_a_compound(tmp_path):
    frame = table("DMSO 0.5 %")
    frame.loc[6:8, "Metadata_broad_sample"] = "media"
    found, _ = read(written(tmp_path, frame), options=Options())
    assert set(found.loc[found["Metadata_pert_type"] == "negcon", "Metadata_Compound"]) == {"DMSO 0.5 %"}


@pytest.mark.parametrize(("name", "kind"), [("EMPTY", "empty"), ("blank", "empty"), ("Positive control", "poscon")])
def test_compounds_called_as_a_type_of_wells_are_no_treatment(tmp_path, caplog, name, kind):
    frame = table()
    frame.loc[6:8, "Metadata_broad_sample"] = name
    found, _ = read(written(tmp_path, frame), options=Options())
    assert found["Metadata_pert_type"].tolist() == ["negcon"] * 6 + [kind] * 3 + ["trt"] * 9
    assert f"have that type: {{{name!r}: {kind!r}}}" in caplog.text


@pytest.mark.parametrize(
    ("column", "values"),
    [("is_dmso", ["1", "0"]), ("Metadata_negcon", ["True", "False"]), ("vehicle", ["yes", "no"]),
     ("ASSAY_WELL_ROLE", ["mock", "treated"]), ("sampletype", ["solvent control", "test compound"]),
     ("ctrl_type", ["negative", ""]), ("Metadata_well_role", ["DMSO vehicle", "treatment"])],
)  # fmt: skip
def test_flags_and_roles_of_wells_tell_the_controls(tmp_path, column, values):
    frame = table("BRD-A1").assign(**{column: [values[0]] * 6 + [values[1]] * 12})
    found, _ = read(written(tmp_path, frame), options=Options())
    assert found["Metadata_pert_type"].tolist() == ["negcon"] * 6 + ["trt"] * 12


def test_a_type_that_may_be_of_either_control_names_the_option(tmp_path):
    frame = table("BRD-A1").assign(Metadata_pert_type=["control"] * 6 + ["trt"] * 12)
    with pytest.raises(ValueError, match=r"--controls Metadata_pert_type=control if these are"):
        read(written(tmp_path, frame), options=Options())


@pytest.mark.parametrize(
    "name",
    ["compound_id", "Cmpd ID", "CPD_NAME", "Metadata_smiles", "InChIKey", "Molecule ID", "Substanz", "perturbagen",
     "siRNA", "Gene Symbol", "CAS Number", "Image_Metadata_Compound", "Metadata_treatment_name", "condition"],
)  # fmt: skip
def test_compounds_are_found_under_other_names_where_no_other_column_competes(tmp_path, caplog, name):
    frame = table().rename(columns={"Metadata_broad_sample": name})
    found, _ = read(written(tmp_path, frame), options=Options())
    assert found["Metadata_Compound"].tolist() == frame[name].tolist()
    twice = frame.assign(sample=frame[name] + " lot 1")  # the same wells under another name
    found, _ = read(written(tmp_path, twice), options=Options())
    assert found["Metadata_Compound"].tolist() in (frame[name].tolist(), twice["sample"].tolist())
    if name != "Image_Metadata_Compound":
        other = frame.assign(agent=["x", "y"] * 9)
        with pytest.raises(ValueError, match=r"set --compound to the column"):
            read(written(tmp_path, other), options=Options())


@pytest.mark.parametrize(
    "name",
    ["Metadata_log10_dose", "conc_rank", "hours", "Duration (h)", "Incubation_time_h", "dilution", "compound2", "day"],
)
def test_doses_times_and_second_compounds_part_the_wells_of_a_compound(tmp_path, caplog, name):
    column = f"Metadata_{name.removeprefix('Metadata_')}"
    frame = table().assign(**{name: [str(n // 2 % 3 + 1) for n in range(18)]})
    paths = written(tmp_path, frame)
    found = score(paths, tmp_path / "out", options=Options(evaluate=QUICK))
    assert f"differ in {column}, by name a part of the treatment: replicates share it" in caplog.text
    given = score(paths, tmp_path / "out", options=Options(evaluate=QUICK | {"replicates_share": [column]}))
    named = frame.assign(
        Metadata_broad_sample=frame["Metadata_broad_sample"] + np.where(frame.index < 6, "", frame[name])
    )
    other = score(written(tmp_path, named.drop(columns=name)), tmp_path / "out", options=Options(evaluate=QUICK))
    for summary in (found, given):
        assert summary.loc[0, "value"] == pytest.approx(other.loc[0, "value"], abs=1e-9)


def test_a_column_that_parts_all_replicates_is_named_only(tmp_path, caplog):
    frame = table().assign(measured_dose=[f"{10 + n / 100}" for n in range(18)])
    score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "replicates share it" not in caplog.text
