"""`wellspring score`: doses with units are one scale, and a table without known controls names those it may have."""

import logging

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


@pytest.mark.parametrize("place", ["cells", "column", "name"])
def test_doses_in_two_units_are_not_pooled(tmp_path, place):
    frame, micro = table(), np.arange(18) % 3 < 2
    amounts = np.where(np.arange(18) < 6, "", "10")
    if place == "cells":
        frame["Metadata_dose"] = [
            text and f"{text} {'uM' if one else 'nM'}" for text, one in zip(amounts, micro, strict=True)
        ]
    elif place == "column":
        frame["Metadata_dose"], frame["dose_unit"] = amounts, np.where(micro, "uM", "nM")
    else:
        frame["dose_uM"] = np.where(amounts == "", "", np.where(micro, "10", "0.01"))
    found, _ = read(written(tmp_path, frame), options=Options())
    treated = found["Metadata_pert_type"] == "trt"
    expected = np.where(micro, 10.0, 0.01)[6:]
    np.testing.assert_allclose(found.loc[treated, "Metadata_Concentration"], expected)
    assert set(found["Metadata_Concentration_Unit"]) == {"\u00b5M"}
    assert found.loc[treated, "Metadata_Perturbation"].nunique() == 4
    assert found.loc[~treated, "Metadata_Concentration"].isna().all()


def test_files_in_two_units_are_refused(tmp_path):
    frame = table().assign(dose_uM=1.0)
    second = frame.assign(Metadata_Plate="P2").rename(columns={"dose_uM": "conc_nM"})
    files = [*written(tmp_path, frame), *written(tmp_path, second, "b.csv")]
    with pytest.raises(ValueError, match=r"expected one unit of concentrations.*\(write them in one unit in all files"):
        read(files, options=Options())


def test_two_columns_of_doses_that_differ_are_refused_unless_one_is_named(tmp_path):
    frame = table().assign(Metadata_dose_uM=[None] * 6 + [1, 2] * 6)
    apart = frame.assign(conc_nM=[None] * 6 + [7] * 12)
    with pytest.raises(ValueError, match=r"a.csv: expected one column of doses, found \[.*'conc_nM'\], which differ"):
        read(written(tmp_path, apart), options=Options())
    named, _ = read(written(tmp_path, apart), options=Options(roles={"dose": "conc_nM"}))
    alike, _ = read(written(tmp_path, frame.assign(conc_nM=frame["Metadata_dose_uM"] * 1000)), options=Options())
    other, _ = read(written(tmp_path, frame.assign(mg_per_ml=frame["Metadata_dose_uM"] * 0.3)), options=Options())
    assert set(named["Metadata_Concentration"].dropna()) == {7}
    assert [set(found["Metadata_Concentration"].dropna()) for found in (alike, other)] == [{1, 2}] * 2


def test_plates_and_wells_that_are_exchanged_are_refused(tmp_path):
    frame = table().assign(Metadata_Plate="BR00117006")
    swapped = frame.rename(columns={"Metadata_Plate": "Metadata_Well", "Metadata_Well": "Metadata_Plate"})
    with pytest.raises(ValueError, match="a.csv: expected plates in 'Metadata_Plate' and wells in .* swap the two"):
        read(written(tmp_path, swapped), options=Options())


def test_files_without_plates_are_a_plate_each(tmp_path):
    frame = table().drop(columns="Metadata_Plate")
    found, _ = read([*written(tmp_path, frame, "BR1.csv"), *written(tmp_path, frame, "BR2.csv.gz")], options=Options())
    assert found.groupby("Metadata_Plate").size().to_dict() == {"BR1": 18, "BR2": 18}


def test_a_column_that_is_not_there_is_named_with_the_file_and_the_separator(tmp_path):
    (tmp_path / "t.csv").write_text(table().to_csv(index=False, sep="|"))
    with pytest.raises(ValueError, match=r"t.csv: no column 'moa' .*names are separated by `\|`: expected a tab"):
        read([tmp_path / "t.csv"], options=Options(label="moa"))


def test_compounds_in_two_spellings_are_named(tmp_path, caplog):
    frame = table().replace({"Metadata_broad_sample": {"a": "5-FU"}})
    frame.loc[6, "Metadata_broad_sample"] = "5 fu"
    frame = frame.assign(Metadata_moa="m")
    score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "one compound in two spellings? '5 fu' (1 well) and '5-FU' (5)" in caplog.text


def test_a_share_of_solvent_beside_doses_is_refused_with_what_to_do(tmp_path):
    frame = table().assign(dose=["0.1 %"] * 6 + ["1 uM"] * 12)
    with pytest.raises(ValueError, match="% cannot be converted to .*leave the cells of controls empty"):
        read(written(tmp_path, frame), options=Options())


@pytest.mark.parametrize(("dose", "message"), [(-6, r"\[-6.0\].*logarithms"), ("10 parsec", "10 parsec.* in --dose")])
def test_what_is_no_dose_is_refused_with_the_option(tmp_path, dose, message):
    with pytest.raises(ValueError, match=message):
        read(written(tmp_path, table().assign(dose=dose)), options=Options())


def test_a_table_without_known_controls_names_those_that_it_may_have(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, table("wild type")), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "no negative controls" in caplog.text and "wild type (6 wells)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, table(None)), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "6 wells have no compound" in caplog.text and "a (6 wells)" in caplog.text
    assert "`--controls Compound=` takes for controls" in caplog.text
    for option in ("broad_sample=", "Compound="):
        found, _ = read(written(tmp_path, table(None)), options=Options(controls=(option,)))
        assert (found["Metadata_pert_type"] == "negcon").to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "name",
    ["conc", "Metadata_Conc", "Metadata_pert_dose", "DOSAGE", "Metadata_Final conc. (uM)", "compound_dose_nM", "uM",
     "micromolar", "Metadata_mg_per_ml", "[Cpd] (uM)", "Metadata_pert_mfc_conc", "broad_concentration",
     "Treatment_conc"],
)  # fmt: skip
def test_doses_under_other_usual_names_are_not_pooled(tmp_path, name):
    frame = table().assign(**{name: np.where(np.arange(18) < 6, "", np.where(np.arange(18) % 3 < 2, "10", "2.5"))})
    found, _ = read(written(tmp_path, frame), options=Options())
    treated = found["Metadata_pert_type"] == "trt"
    assert set(found.loc[treated, "Metadata_Perturbation"]) == {"a@10", "b@10", "a@2.5", "b@2.5"}


@pytest.mark.parametrize("name", ["dose_units", "Metadata_Concentration_unit", "Metadata_pert_dose_units", "Unit"])
def test_units_under_other_usual_names_are_read(tmp_path, name):
    frame = table().assign(Metadata_dose=np.where(np.arange(18) < 6, "", "10"))
    frame[name] = np.where(np.arange(18) % 3 < 2, "uM", "nM")
    found, _ = read(written(tmp_path, frame), options=Options())
    treated = found[found["Metadata_pert_type"] == "trt"]
    assert set(treated["Metadata_Concentration"]) == {10.0, 0.01} and treated["Metadata_Perturbation"].nunique() == 4


@pytest.mark.parametrize("name", ["Metadata_density", "Metadata_volume_nL"])
def test_a_column_that_may_be_a_part_of_the_treatment_is_named(tmp_path, caplog, name):
    column = f"Metadata_{name.removeprefix('Metadata_')}"
    frame = table().assign(**{column: [str(n // 2 % 3 + 1) for n in range(18)]})
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert f"{column} (1, 2, 3 for a)" in caplog.text and "--dose" in caplog.text
    caplog.clear()
    apart = QUICK | {"replicates_share": [column]}
    score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=apart))
    assert "differ in" not in caplog.text


def test_doses_that_differ_by_rounding_are_one_without_a_warning(tmp_path, caplog):
    frame = table().assign(Metadata_mmoles_per_liter=["", *[""] * 5, *["10", "10", "9.999999999"] * 4])
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "differ in" not in caplog.text
    found, _ = read(written(tmp_path, frame), options=Options())
    assert set(found["Metadata_Perturbation"]) == {"a@10", "b@10", "DMSO"}


SPLIT = {
    "zero": ("0", "6 wells of 2 compounds, as of 'a', have the dose 0"),
    "none": ("", "6 wells of 2 compounds, as of 'a', have no dose, unlike other wells of it"),
    "drift": ("9.98", "2 doses of 2 compounds are nearly another dose, as 9.98 and 10 of 'a'"),
    "series": ("3.16", None),
}


@pytest.mark.parametrize("case", SPLIT)
def test_doses_that_part_the_wells_of_a_compound_are_named(tmp_path, caplog, case):
    other, words = SPLIT[case]
    frame = table().assign(Metadata_Concentration=["0"] * 6 + (["10"] * 2 + [other] * 2) * 3)
    score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert (words in caplog.text) if words else ("treatment of their own" not in caplog.text)
    assert "as of 'DMSO'" not in caplog.text and ("treatments of their own" in caplog.text) == (case == "drift")


@pytest.mark.parametrize("how", ["a treatment", "two wells", "zeros", "none"])
def test_wells_with_the_profile_of_another_well_are_named(tmp_path, caplog, how):
    frame, names = table(), [f"Cells_{n}" for n in range(5)]
    if how == "a treatment":  # a consensus that was joined to the wells
        frame[names] = frame.groupby("Metadata_broad_sample")[names].transform("mean")
    rows = {"two wells": [7, 12], "zeros": [7, 12]}.get(how, [])
    frame.loc[rows, names] = 0.0 if how == "zeros" else frame.loc[9, names].to_numpy(float)
    score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    count = {"a treatment": 18, "two wells": 3}.get(how)
    said = f"{count} of 18 wells have exactly the profile of another well, as P1 "
    assert (said in caplog.text) if count else ("exactly the profile" not in caplog.text)


def test_a_compound_is_one_whatever_white_space_is_around_it(tmp_path):
    frame = table("DMSO ")
    names = frame["Metadata_broad_sample"]
    frame["Metadata_broad_sample"] = [f" {one}\u00a0" if n % 4 == 2 else one for n, one in enumerate(names)]
    found, _ = read(written(tmp_path, frame), options=Options())
    assert found["Metadata_Compound"].value_counts().to_dict() == {"DMSO": 6, "a": 6, "b": 6}
    assert (found["Metadata_pert_type"] == "negcon").sum() == 6


@pytest.mark.parametrize("name", ["DMSO 0.1%", None])
def test_a_plate_without_controls_is_named_with_those_that_it_may_have(tmp_path, caplog, name):
    frame = pd.concat([table(), table(name).assign(Metadata_Plate="P2")], ignore_index=True)
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert "no negative controls on 1 of 2 plates: ['P2']" in caplog.text
    assert ("perhaps --controls 'DMSO 0.1%'" in caplog.text) == (name is not None)


@pytest.mark.parametrize("column", ["well_type", "Metadata_role", "Sample Type", "Metadata_control"])
@pytest.mark.parametrize("words", [("sample", "Neg. Control"), ("treated", "vehicle"), (None, "negcon")])
def test_types_under_other_names_are_read_where_all_their_words_are_known(tmp_path, caplog, column, words):
    treated, control = words
    frame = table("solvent A").assign(**{column: [control] * 6 + [treated] * 12})
    found, _ = read(written(tmp_path, frame), options=Options())
    assert (found["Metadata_pert_type"] == "negcon").to_numpy().nonzero()[0].tolist() == [0, 1, 2, 3, 4, 5]
    assert "types of wells are taken from the column" in caplog.text
    found, _ = read(written(tmp_path, frame), options=Options(controls=("a",)))
    assert set(found.loc[found["Metadata_pert_type"] == "negcon", "Metadata_Compound"]) == {"a"}


def test_a_column_of_types_with_unknown_words_is_named_where_controls_are_missing(tmp_path, caplog):
    frame = table("solvent A").assign(well_type=["reference"] * 6 + ["test"] * 12)
    with caplog.at_level(logging.WARNING):
        score(written(tmp_path, frame), tmp_path / "out", options=Options(evaluate=QUICK))
    assert (
        "Metadata_well_type may tell them (--controls Metadata_well_type=VALUE): ['reference', 'test']" in caplog.text
    )


@pytest.mark.parametrize("form", ["{place}", "{row}:{column}", "P1_{row}{column:02d}", "{column}{row}"])
def test_wells_whose_positions_are_unknown_are_named(tmp_path, caplog, form):
    frame, places = table(), [(letter, column) for letter in "ABC" for column in range(1, 7)]
    frame["Metadata_Well"] = [
        form.format(row=letter, column=column, place=place + 1) for place, (letter, column) in enumerate(places)
    ]
    found, _ = read(written(tmp_path, frame), options=Options())
    assert found["Metadata_Well"].tolist() == frame["Metadata_Well"].tolist()
    assert "the positions of 18 of 18 wells are unknown, so that" in caplog.text
    assert f"well {frame['Metadata_Well'][0]!r}: expected a row of letters and a column number" in caplog.text


@pytest.mark.parametrize("column", ["plate ID", "cell-line", "Metadata_cell_type"])
def test_plates_and_cell_lines_are_found_in_other_spellings(tmp_path, column):
    frame = table().rename(columns={"Metadata_Plate": "old"}).drop(columns="old")
    frame[column] = np.where(np.arange(18) % 2, "x", "y")
    found, _ = read(written(tmp_path, frame), options=Options())
    assert set(found["Metadata_Plate" if "plate" in column else "Metadata_Cell_Line"]) == {"x", "y"}
