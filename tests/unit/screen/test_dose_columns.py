"""Columns of a platemap that are or may be doses are known with their unit, refused, or named by a warning."""

import random

import pandas as pd
import pytest

from wellspring.screen import dose_columns, platemap
from wellspring.workflow import platemap_words

WELLS = [f"{row}{column:02d}" for row in "ABCDEFG" for column in range(1, 13)]


def reading(folder, head, cells, *, plate="P1", compounds=("taxol", "latrunculin"), more=("", "")):
    """Read a platemap of two compounds, each with all cells, and three controls; ``more``: a column and its value."""
    rows = [f"well\tcompound\t{head}\t{more[0]}", *(f"H0{n}\tDMSO\t\t" for n in (1, 2, 3))]
    pairs = [(compound, cell) for compound in compounds for cell in cells]
    rows += [
        f"{WELLS[n]}\t{compound}\t{cell}\t{more[1].format(compound=compound, cell=cell)}"
        for n, (compound, cell) in enumerate(pairs)
    ]
    path = folder / f"{plate}.tsv"
    path.write_text("\n".join(row.rstrip("\t") if not more[0] else row for row in rows) + "\n")
    return platemap.reading(path, plate=plate)


@pytest.mark.parametrize(
    ("head", "unit"),
    [
        ("ng/well", "ng"), ("amount_nmol", "nmol"), ("pmol per well", "pmol"), ("Menge (µg)", "µg"), ("dose mg", "mg"),
        ("Konzentration", None), ("Konz. [µM]", "µM"), ("dosis", None), ("Dosis (nM)", "nM"), ("conc. [µM]", "µM"),
        ("concentración uM", "µM"), ("Concentração (mM)", "mM"), ("stężenie [nM]", "nM"), ("концентрация", None),
        ("Final [uM]", "µM"), ("Drug (µM)", "µM"), ("c [nM]", "nM"), ("radiation Gy", "Gy"), ("ppm", "ppm"),
        ("units/mL", "U/mL"), ("浓度 (µM)", "µM"),
    ],
)  # fmt: skip
def test_doses_in_other_languages_and_units_are_known_with_their_unit(head, unit, tmp_path):
    found = reading(tmp_path, head, ["0.1", "1", "10"])
    treated = found.frame[found.frame["Metadata_pert_type"] == "trt"]
    assert found.unit == unit
    assert sorted(treated["Metadata_Concentration"]) == [0.1, 0.1, 1, 1, 10, 10]
    assert treated["Metadata_Perturbation"].nunique() == 6


@pytest.mark.parametrize(
    "head",
    ["dilution", "Dilution factor", "amount", "quantity", "Menge", "titer", "x IC50", "Cmax multiple", "Verdünnung",
     "konc", "mol", "rna_ng", "weight mg", "dose nr", "Dosierungsgrad"],
)  # fmt: skip
@pytest.mark.parametrize("cells", [("0.1", "1", "10"), ("1", "2", "3"), ("17", "0.3", "5.5"), ("1E-3", "<1E-2", "10")])
def test_columns_that_may_be_doses_are_named_with_the_key(head, cells, tmp_path):
    try:
        found = reading(tmp_path, head, cells)
    except ValueError as error:
        assert "index.columns.concentration" in str(error) or "another name" in str(error)
        return
    (words,) = platemap_words.merged([found], ["Metadata_Perturbation"])
    assert f"the column {head} differs among the wells of latrunculin ({', '.join(cells)})" in words
    assert f"index.columns.concentration: {head}" in words


@pytest.mark.parametrize("head", ["log10M", "log10 conc", "-log M", "pConc", "stock_mM", "konz. log10"])
def test_logarithms_and_doses_in_odd_words_are_refused_or_named(head, tmp_path):
    try:
        words = platemap_words.merged([reading(tmp_path, head, ["-6", "-7", "-8"])], [])
    except ValueError as error:
        words = [str(error)]
    assert len(words) == 1
    assert head in words[0]
    assert "index.columns.concentration" in words[0] or "logarithms" in words[0]


def test_a_dilution_series_of_any_name_is_named_although_each_well_has_its_own_value(tmp_path):
    cells = [f"{0.137 * 3.1**n:.6g}" for n in range(8)]
    (words,) = platemap_words.merged([reading(tmp_path, "kolonne7", cells, compounds=("taxol",))], [])
    assert "the column kolonne7 differs among the wells of taxol" in words
    assert "index.columns.concentration: kolonne7" in words


def test_measured_values_and_bookkeeping_are_not_named(tmp_path):
    chance = random.Random(1)
    measured = [f"{chance.uniform(80, 120):.3f}" for _ in range(9)]
    for head in ("confluence", "cell_count", "well_id", "replicate", "plate_row"):
        assert platemap_words.merged([reading(tmp_path, head, measured, compounds=("taxol",))], []) == []


def test_a_column_of_treatments_that_lacks_the_dose_is_named(tmp_path):
    for head in ("conc_uM", "dilution"):
        bare = reading(tmp_path, head, ["1", "10"], more=("perturbation", "{compound}"))
        whole = reading(tmp_path, head, ["1", "10"], more=("perturbation", "{compound} {cell}"), plate="P2")
        (words,) = platemap_words.merged([bare], ["Metadata_Perturbation"])
        assert f"the column {head} differs among the wells of latrunculin (1" in words
        assert platemap_words.merged([whole], ["Metadata_Perturbation"]) == []
        grouped = ["Metadata_Concentration" if head == "conc_uM" else f"Metadata_{head}"]
        assert platemap_words.merged([bare], grouped) == []


def test_a_compound_with_one_value_per_plate_is_named_across_plates(tmp_path):
    plates = [reading(tmp_path, "dilution", [cell], plate=name) for name, cell in (("P1", "10"), ("P2", "100"))]
    assert platemap_words.merged(plates[:1], []) == []
    (words,) = platemap_words.merged(plates, [])
    assert "the column dilution differs among the wells of latrunculin (10, 100)" in words
    passages = [reading(tmp_path, "passage", [cell], plate=name) for name, cell in (("P1", "10"), ("P2", "100"))]
    assert platemap_words.merged(passages, []) == []


def test_doses_that_one_plate_repeats_in_another_unit_are_no_part_of_the_treatment(tmp_path):
    more = ("conc_nM", "{cell}000")
    both = reading(tmp_path, "dose_uM", ["1", "10"], more=more)
    bare = reading(tmp_path, "dose_uM", ["1", "10"], plate="P2")
    assert both.unit == "µM"
    assert platemap_words.merged([both, bare], []) == []
    apart = reading(tmp_path, "dose_uM", ["1", "10"], more=("amount", "{cell}7"))
    (words,) = platemap_words.merged([apart, bare], [])
    assert "the column amount differs among the wells of latrunculin@1 (17, )" in words


@pytest.mark.parametrize("seed", range(60))
def test_of_drawn_names_and_values_no_dose_is_lost_without_a_word(seed, tmp_path):
    """Names of doses as people build them: a word, a scale or a unit, and separators."""
    chance = random.Random(seed)
    word = chance.choice(
        ["conc", "Konz", "dose", "Dosis", "concentration", "amount", "dilution", "final conc", "titer"]
    )
    unit = chance.choice(["", "uM", "µM", "nM", "ng/well", "nmol", "log10", "% v/v", "x", "mg/kg", "a.u.", "ng/mL"])
    head = (
        chance.choice(["{} {}", "{}_{}", "{} [{}]", "{} ({})", "{}, {}", "{}.{}"]).format(word, unit) if unit else word
    )
    ladder = sorted({float(f"{10 ** chance.uniform(-3, 3):.3g}") for _ in range(chance.choice([2, 4, 9]))})
    cells = [f"{value:g}" for value in ladder]
    try:
        found = reading(tmp_path, head, cells)
    except ValueError as error:
        assert repr(head) in str(error)
        return
    treated = found.frame[found.frame["Metadata_pert_type"] == "trt"]
    apart = treated["Metadata_Perturbation"].nunique() == 2 * len(cells)
    assert apart or any(head in words for words in platemap_words.merged([found], []))


def test_numbers_are_read_with_signs_and_units_around_them():
    read = dose_columns.numbers(pd.Series(["<0,5", "1e-3 uM", None, "−7", ""]))
    assert read is not None
    assert read.tolist() == [0.5, 1e-3, -7.0]
    assert dose_columns.numbers(pd.Series(["1:100", "2"])) is None


@pytest.mark.parametrize(
    "head",
    ["viability %", "Viability (%)", "purity_pct", "wavelength nm", "Emission [nm]", "confluence %", "Diameter µM"],
)
def test_measurements_in_the_unit_of_a_dose_are_metadata(head, tmp_path):
    found = reading(tmp_path, head, ["97.1", "93.5", "88"])
    assert found.unit is None
    assert "Metadata_Concentration" not in found.frame or found.frame["Metadata_Concentration"].isna().all()
    treated = found.frame[found.frame["Metadata_pert_type"] == "trt"]
    assert treated["Metadata_Perturbation"].nunique() == 2


@pytest.mark.parametrize("head", ["growth factor ng/mL", "inhibitor nM", "response dose nM", "insulin (nM)"])
def test_doses_of_other_names_are_no_measurements(head, tmp_path):
    with pytest.raises(ValueError, match=r"index\.columns\.concentration|another name"):
        reading(tmp_path, head, ["0.1", "1", "10"])
