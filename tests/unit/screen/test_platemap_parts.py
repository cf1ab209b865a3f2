"""Columns beside compound and dose: none of them changes a treatment without a word."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen import platemap, platemap_parts
from wellspring.workflow import platemap_words


def _read(folder, content, **more):
    path = folder / "map.csv"
    path.write_text(content)
    return platemap.reading(path, plate="P", **more)


@pytest.mark.parametrize("head", ["concentration,concentration_uM", "dose_uM,concentration", "Conc,Final conc (µM)"])
def test_of_equal_columns_of_concentrations_that_with_a_unit_is_taken(tmp_path, head):
    found = _read(tmp_path, f"well,compound,{head}\nA1,x,0.5,0.50\nA2,x,2,2\nA3,DMSO,,\n")
    assert found.unit == "µM"
    assert found.frame["Metadata_Perturbation"].tolist() == ["x@0.5", "x@2", "DMSO"]


@pytest.mark.parametrize("cells", ["500,0.5", "0.5,", "0.5,low"])
@pytest.mark.parametrize("head", ["concentration,concentration_uM", "concentration,dose"])
def test_columns_of_concentrations_that_differ_are_refused(tmp_path, head, cells):
    with pytest.raises(ValueError, match=r"map.csv: expected one column of concentrations, found \['concentration'"):
        _read(tmp_path, f"well,compound,{head}\nA1,x,{cells}\nA2,x,2,2\n")
    named = _read(
        tmp_path, f"well,compound,{head}\nA1,x,{cells}\nA2,x,2,2\n", columns={"concentration": "concentration"}
    )
    assert named.frame["Metadata_Concentration"].tolist() == [float(cells.split(",")[0]), 2.0]


def test_a_unit_belongs_to_the_column_before_it(tmp_path):
    rows = "A1,x,10,40,{}\nA2,x,20,50,{}\n"
    other = _read(tmp_path, "well,compound,concentration,viability,unit\n" + rows.format("%", "%"))
    assert other.unit is None and set(other.kept) == {"viability", "unit"}
    assert "without a unit (index.unit states it)" in platemap_words.content(other)
    own = _read(tmp_path, "well,compound,viability,concentration,unit\n" + rows.format("nM", "nM"))
    assert own.unit == "nM" and own.frame["Metadata_Concentration"].tolist() == [40.0, 50.0]
    alone = _read(tmp_path, "unit,well,compound,concentration\nnM,A1,x,10\nnM,A2,x,20\n")
    assert alone.unit == "nM"
    sure = _read(tmp_path, "well,compound,concentration,viability,conc_unit\n" + rows.format("nM", "nM"))
    assert sure.unit == "nM"


@pytest.mark.parametrize(
    "name",
    ["compound2", "Compound 2", "drug_b", "second compound", "co-treatment", "dose2", "conc_2_uM", "Drug B name"],
)
def test_combinations_without_a_name_are_refused(tmp_path, name):
    content = f"well,compound,conc,{name}\nA1,x,1,5\nA2,x,1,6\nA3,y,1,5\nA4,DMSO,,\n"
    with pytest.raises(ValueError, match=r"expected one value of '.*' for a compound at a dose, found \['5', '6'\]"):
        _read(tmp_path, content)
    assert _read(tmp_path, content.replace("A2,x,1,6", "A2,x,1,5")).kept == (name,)
    lines = content.splitlines()
    named = [f"{line},{word}" for line, word in zip(lines, ["perturbation", "x+5", "x+6", "y+5", "DMSO"], strict=True)]
    found = _read(tmp_path, "\n".join(named) + "\n")
    assert found.frame["Metadata_Perturbation"].tolist() == ["x+5", "x+6", "y+5", "DMSO"]


@pytest.mark.parametrize(
    "name", ["time_h", "Medium", "serum", "donor", "cell_density", "stimulus", "genotype", "Transfer Volume (nL)"]
)
def test_a_column_that_may_be_a_part_of_the_treatment_is_named(tmp_path, name):
    rows = itertools.product("ABCD", (1, 2, 3), (24, 48))
    lines = [f"{row}{2 * column + (time > 24)},c{column},{time}" for row, column, time in rows]
    content = f"well,compound,{name}\n" + "\n".join(lines) + "\n"
    (words,) = platemap_words.merged([_read(tmp_path, content)], [])
    assert words.startswith(f"the column {name} differs among the wells of c1 (24, 48), which count as replicates")
    assert platemap_words.merged([_read(tmp_path, content)], [f"Metadata_{name}"]) == []
    given = _read(tmp_path, content, columns={"perturbation": "compound"})
    assert platemap_words.merged([given], []) == []


@pytest.mark.parametrize(
    "name", ["replicate", "Rep", "biological replicate", "plate_row", "column", "well_id", "File Name", "site", "note",
             "source_plate", "barcode", "image_path", "SMILES", "index", "quadrant", "Site_Count", "count cells"]
)  # fmt: skip
def test_bookkeeping_is_not_named(tmp_path, name):
    lines = [f"{row}{column},c{column},{value}" for value, row in enumerate("ABCD", 1) for column in (1, 2, 3)]
    content = f"well,compound,{name}\n" + "\n".join(lines) + "\n"
    found = _read(tmp_path, content.replace("well,", "well_position,") if name == "well_id" else content)
    assert platemap_words.merged([found], []) == []
    assert platemap_parts.second(found.frame, {}) == []


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["uM", "nM", "mg/mL", ""]), st.sampled_from([" ({})", "_{}", " [{}]", " in {}"]), st.data())
def test_no_order_of_columns_changes_a_platemap(tmp_path_factory, unit, form, data):
    dose = "Concentration" + (form.format(unit) if unit else "")
    columns = {"Well": ["A1", "B2", "C3"], "Compound": ["x", "y", "DMSO"], dose: ["0.5", "20", ""]}
    columns |= {"viability": ["3", "4", "5"], "note": ["a", "b", "c"], "Mechanism": ["m", "n", ""]}
    order = data.draw(st.permutations(list(columns)))
    lines = [",".join(order), *(",".join(columns[name][place] for name in order) for place in range(3))]
    found = _read(tmp_path_factory.mktemp("map"), "\n".join(lines) + "\n")
    assert found.frame["Metadata_Perturbation"].tolist() == ["x@0.5", "y@20", "DMSO"]
    assert found.unit == {"uM": "µM", "": None}.get(unit, unit)
    assert found.frame["Metadata_moa"].tolist() == ["m", "n", None]
