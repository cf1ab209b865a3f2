"""What is taken away: look-alikes and changes of planted truth, the table of hits, its files in spreadsheets."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook

from options import options as typed
from report_screen import fabricate
from wellspring.io import tables
from wellspring.measure import field
from wellspring.report import active as active_treatments
from wellspring.report import doses, findings, gather
from wellspring.report.takeaway import alike, changed, curves, feature_words, files, hits, run

CHANNELS = ("DNA", "ER", "Mito")
CLASSICAL = [
    f"{where}_{what}"
    for where in ("Cells", "Nuclei", "Cytoplasm")
    for what in (
        *(f"Intensity_MeanIntensity_{channel}" for channel in CHANNELS),
        *(f"Intensity_StdIntensity_{channel}" for channel in CHANNELS),
        *(f"Texture_Contrast_{channel}_3_00_256" for channel in CHANNELS),
        "AreaShape_Area",
    )
]
SHIFTED = {
    "tubulin": "Cells_AreaShape_Area",
    "HDAC": "Nuclei_Texture_Contrast_DNA_3_00_256",
    "uncoupler": "Cytoplasm_Intensity_MeanIntensity_Mito",
}


def planted(*, plates=4, compounds=3, inactive=4, size=8.0, seed=0):
    """Wells with classical features: compounds of three mechanisms shift one feature each, others nothing."""
    rng, rows, values = np.random.default_rng(seed), [], []
    moas = [moa for moa in SHIFTED for _ in range(compounds)] + [None] * inactive
    for plate in range(plates):
        wells = [("DMSO", None, "negcon")] * 12 + [(f"C{number}", moa, "trt") for number, moa in enumerate(moas)]
        for place, (compound, moa, kind) in enumerate(wells):
            rows.append((f"P{plate}", f"{chr(65 + place // 6)}{1 + place % 6:02d}", kind, compound, moa))
            one = rng.normal(size=len(CLASSICAL))
            if moa:
                one[CLASSICAL.index(SHIFTED[moa])] += size
            values.append(one)
    names = ["Plate", "Well", "pert_type", "Compound", "moa"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    frame = frame.assign(
        Metadata_Perturbation=frame["Metadata_Compound"],
        Metadata_Concentration=np.nan,
        Metadata_Verdict="keep",
        Metadata_Role="fit",
        Metadata_Batch="B1",
        Metadata_Cell_Line=np.where(frame["Metadata_Plate"].isin(["P0", "P1"]), "U2OS", "A549"),
        Metadata_target=None,
        Metadata_Count_Cells=np.where(frame["Metadata_moa"] == "HDAC", 30, 60),
    )
    return pd.concat([frame, pd.DataFrame(values, columns=CLASSICAL)], axis=1)


def treatments(frame):
    treated = frame[frame["Metadata_pert_type"] == "trt"]
    return {name: rows.index.to_numpy() for name, rows in treated.groupby("Metadata_Compound")}


def test_the_nearest_of_a_planted_mechanism_are_its_compounds():
    frame = planted()
    pairs = alike.nearest(run.consensus(frame), neighbours=2)
    moa = dict(zip(frame["Metadata_Compound"], frame["Metadata_moa"], strict=True))
    active = pairs[pairs["treatment"].map(moa).notna()]
    assert len(active) == 2 * 9 and (active["shares_mechanism"] == "yes").all()
    assert (active["treatment"].map(moa) == active["neighbour"].map(moa)).all()
    # Of 8 other treatments with a mechanism, 2 have that of a treatment: counted, not computed.
    assert active["chance"].unique() == pytest.approx([2 / 8])
    idle = pairs[pairs["treatment"].map(moa).isna()]
    assert (idle["shares_mechanism"] == "").all() and idle["chance"].isna().all()
    assert not (pairs["treatment"] == pairs["neighbour"]).any()


def test_the_similarity_is_the_mean_cosine_over_cell_lines():
    table = run.consensus(planted(compounds=2, inactive=1))
    pairs = alike.nearest(table, neighbours=99)
    values = table.set_index(["Metadata_Perturbation", "Metadata_Cell_Line"])[CLASSICAL].astype(float)
    for row in pairs.sample(8, random_state=0).to_dict("records"):
        each = []
        for line in ("U2OS", "A549"):
            a, b = (values.loc[(name, line)].to_numpy() for name in (row["treatment"], row["neighbour"]))
            each.append(a @ b / np.sqrt((a @ a) * (b @ b)))
        assert row["similarity"] == pytest.approx(np.mean(each), abs=1e-6)
    assert (pairs.groupby("treatment").size() == 6).all()


def test_other_doses_of_a_compound_are_no_look_alikes_and_labels_may_be_several():
    frame = planted()
    frame["Metadata_Compound"] = frame["Metadata_Compound"].replace({"C1": "C0"})
    frame["Metadata_moa"] = frame["Metadata_moa"].replace({"HDAC": "HDAC|tubulin"})
    pairs = alike.nearest(run.consensus(frame), neighbours=99)
    mine = pairs[pairs["treatment"] == "C0"]
    assert "C1" not in set(mine["neighbour"])
    assert set(mine.loc[mine["shares_mechanism"] == "yes", "neighbour"]) == {"C2", "C3", "C4", "C5"}
    assert mine["chance"].iloc[0] == pytest.approx(4 / 7)


def test_the_changed_feature_of_a_planted_mechanism_is_found_in_words():
    frame = planted()
    found = changed.of_classical(changed.Classical(frame, channels=CHANNELS), treatments(frame), encoder="classical")
    moa = dict(zip(frame["Metadata_Compound"], frame["Metadata_moa"], strict=True))
    first = found[found["rank"] == 1].set_index("treatment")
    for name in (name for name, one in moa.items() if one):
        assert first.loc[name, "feature"] == SHIFTED[moa[name]]
        assert first.loc[name, "direction"] == "higher" and first.loc[name, "effect_sd"] == pytest.approx(8, abs=2)
    assert set(first.loc[["C3", "C4"], "change"]) == {"contrast of the texture of DNA in the nucleus"}
    assert set(first.loc[["C6"], ["compartment", "channel", "kind"]].iloc[0]) == {"cytoplasm", "Mito", "intensity"}


def test_inactive_treatments_change_nothing_in_19_of_20_cases():
    frame = planted(compounds=0, inactive=80, seed=3)
    found = changed.of_classical(changed.Classical(frame, channels=CHANNELS), treatments(frame), encoder="classical")
    assert found["treatment"].nunique() <= 8  # 4 expected at a false discovery rate of 0.05 in each, 8 is 2 sd more


def test_a_learned_profile_is_explained_by_correlation():
    frame = planted()
    rng = np.random.default_rng(9)
    mixed = frame[CLASSICAL].to_numpy() @ rng.normal(size=(len(CLASSICAL), 40)) / 6
    learned = pd.concat([frame.drop(columns=CLASSICAL), pd.DataFrame(mixed).add_prefix("net_")], axis=1)
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)  # wells are matched by name, not by order
    found = changed.of_learned(
        changed.Classical(shuffled, channels=CHANNELS), learned, treatments(learned), encoder="net"
    )
    moa = dict(zip(frame["Metadata_Compound"], frame["Metadata_moa"], strict=True))
    first = found[(found["rank"] == 1) & found["treatment"].map(moa).notna()]
    assert len(first) == 9 and (first["feature"] == first["treatment"].map(moa).map(SHIFTED)).all()
    assert (first["correlation"] > 0.8).all() and (first["basis"] == "correlation").all()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Nuclei_Granularity_7_ER", "granularity at scale 7 of ER in the nucleus"),
        ("Cells_RadialDistribution_FracAtD_Mito_2of4", "share of the intensity in a ring of Mito in the cell"),
        ("Cells_AreaShape_Zernike_4_2", "shape moment (Zernike) in the cell"),
        ("Cells_Neighbors_NumberOfNeighbors_Adjacent", "number of neighbours in the cell"),
        ("Cytoplasm_Correlation_Manders_DNA_ER", "overlap (Manders) of DNA and ER in the cytoplasm"),
    ],
)
def test_features_in_words(name, text):
    assert feature_words.words(name, channels=CHANNELS).text == text
    assert feature_words.words(name).text == text
    assert feature_words.words("simclr_12") is None


def test_every_classical_feature_has_words_of_its_own():
    families = list(field.FAMILIES)
    for name in field.names(CHANNELS, options=typed("measure", families=families)):
        _, family, measure, *_ = name.split("_")
        known = feature_words.TEXTURES if family == "Texture" else feature_words.MEASURES
        assert measure in known or family == "Granularity" or "Zernike" in measure, name
        assert family in feature_words.KINDS, name


def test_a_channel_may_have_underscores():
    assert (
        feature_words.words("Cells_Intensity_MeanIntensity_far_red", channels=["far_red", "red"]).channel == "far_red"
    )


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"))
    screen = gather.gather(inputs, **names)
    return screen, run.takeaway(screen, report=typed("report"), evaluate=typed("evaluate"))


def test_the_hits_are_those_of_the_evaluation(taken):
    screen, found = taken
    items = screen.items
    mine = items[
        (items["Metadata_Metric"] == "activity")
        & (items["Metadata_Level"] == "aligned")
        & (items["Encoder"] == "sslprofiler")
    ]
    expected = dict(zip(mine["Metadata_Item"], mine["q"], strict=True))
    scored = found.hits.dropna(subset=["score"])
    assert dict(zip(scored["treatment"], scored["q"], strict=True)) == pytest.approx(expected)
    active = found.hits[found.hits["active"] == "yes"]
    assert set(active["treatment"]) == {name for name, q in expected.items() if q < 0.05}
    order = found.hits["active"].map({"yes": 0, "no": 1, "not tested": 2})
    assert order.is_monotonic_increasing and order.nunique() == 3, "active ones first, untested ones last"
    population = active_treatments.population(screen, encoder=found.encoder, level="aligned", alpha=0.05)
    strongest = [one.item for one in replace(population, effects=found.effects()).strongest()]
    listed = scored[(scored["population"] == "screen") & (scored["type"] == "trt")]["treatment"].tolist()
    assert listed == strongest, "the file and the page have one order"
    assert set(found.hits["plates"].str.split(";").explode()) <= set(screen.kept)
    assert found.hits["cells_vs_controls"].dropna().between(0.99, 1.01).all()
    assert len(scored) == len(mine), "one row per treatment, also where tables were joined to it"
    other = found.hits[found.hits["score"].isna()]
    assert other["compound"].tolist() == ["taxol"] and other["active"].tolist() == ["not tested"]


def test_of_equal_scores_the_largest_effect_comes_first(taken):
    screen, found = taken
    population = active_treatments.population(screen, encoder=found.encoder, level="aligned", alpha=0.05)
    even = replace(population, treatments=tuple(replace(one, q=0.01, score=1.0) for one in population.treatments))
    names = [one.item for one in even.strongest()]
    effects = {names[-1]: 9.0, names[0]: 1.0, names[1]: float("nan")}
    assert [one.item for one in replace(even, effects=effects).strongest()] == [names[-1], names[0], *names[1:-1]]


def dosed(ec50, *, replicates=3, wells=8, size=12.0, seed=0):
    """Wells of one compound at 7 doses on plates of their cell line: line -> its EC50."""
    rng, rows, values = np.random.default_rng(seed), [], []
    doses = [0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
    for line, half in ec50.items():
        for number in range(replicates):
            for place, dose in enumerate([None] * wells + doses):
                rows.append((f"{line}{number}", f"{'AB'[dose is not None]}{1 + place % wells:02d}", line, dose))
                one = rng.normal(size=5)
                one[1] += size / (1 + (half / dose) ** 1.5) if dose else 0
                values.append(one)
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in ("Plate", "Well", "Cell_Line", "Concentration")])
    treated = frame["Metadata_Concentration"].notna()
    frame = frame.assign(
        Metadata_Compound=np.where(treated, "c", "DMSO"),
        Metadata_pert_type=np.where(treated, "trt", "negcon"),
        Metadata_Role="fit",
        Metadata_Verdict="keep",
        Metadata_moa=None,
    )
    return pd.concat([frame, pd.DataFrame(values, columns=list("abcde"))], axis=1)


def test_each_cell_line_has_its_own_curve():
    planted_at = {"A549": 0.3, "U2OS": 6.0}
    frame = dosed(planted_at)
    fits, points = curves.fitted(frame, encoder="e")
    assert fits["cell_line"].tolist() == ["A549", "U2OS"] and (fits["no_fit_because"] == "").all()
    for row in fits.to_dict("records"):
        assert row["ec50_low"] <= planted_at[row["cell_line"]] <= row["ec50_high"]
        mine = points[points["cell_line"] == row["cell_line"]]
        assert mine["plate"].str.startswith(row["cell_line"]).all() and len(mine) == 3 * 15
    joined = run._by_compound(fits)
    assert joined["ec50"].isna().all() and joined["ec50_by_cell_line"].tolist() == [
        "; ".join(f"{line}: {value:.6g}" for line, value in zip(fits["cell_line"], fits["ec50"], strict=True))
    ]
    drawn = doses.curves({"e": frame})
    assert list(drawn) == ["c, A549", "c, U2OS"]
    shown = sorted((dose, round(score, 9)) for dose, score, _ in drawn["c, A549"]["e"])
    treated = points[(points["cell_line"] == "A549") & (points["dose"] > 0)]
    assert shown == sorted(zip(treated["dose"], treated["response_sd"].round(9), strict=True)), "one axis on the page"


def test_each_time_point_has_its_own_curve_and_all_are_found_under_the_compound():
    planted_at = {"24": 0.3, "48": 6.0}
    frame = dosed(planted_at)
    frame = frame.assign(Metadata_Timepoint=frame["Metadata_Cell_Line"], Metadata_Cell_Line="U2OS")
    frame["Metadata_Compound"] = frame["Metadata_Compound"].replace("c", "c|1")
    fits, points = curves.fitted(frame, encoder="e")
    assert fits["compound"].tolist() == ["c|1", "c|1"] and fits["time_point"].tolist() == ["24", "48"]
    for row in fits.to_dict("records"):
        assert row["ec50_low"] <= planted_at[row["time_point"]] <= row["ec50_high"]
    assert run._by_compound(fits)["compound"].tolist() == ["c||1|24", "c||1|48"], "the names of wells.series"
    none = {"hits": pd.DataFrame(), "alike": pd.DataFrame(), "changed": pd.DataFrame()}
    block = findings.block(run.Takeaway("e", **none, curves=fits, points=points))
    assert [title for title, _, _ in block["curves"]["c|1"]] == ["U2OS, time point 24", "U2OS, time point 48"]
    assert all(drawing.count("<circle") == 3 * 7 for _, _, drawing in block["curves"]["c|1"]), "its own wells"


def test_a_benchmark_concentration_outside_the_doses_has_a_note():
    [row] = curves.fitted(dosed({"U2OS": 0.08}, size=60.0), encoder="e")[0].to_dict("records")
    assert row["bmc"] < 0.03 and row["bmc_note"] == "extrapolated: below the lowest dose, 0.03"
    [row] = curves.fitted(dosed({"U2OS": 1.0}), encoder="e")[0].to_dict("records")
    assert 0.03 < row["bmc"] < 30 and row["bmc_note"] == ""


def test_the_files_open_in_spreadsheets(taken, tmp_path):
    table = taken[1].hits.head(5).assign(compound=["=1+1", "@SUM(A1)", "-3", "+x", "µ\x07"])
    files.write_csv(table, tmp_path / "hits.csv")
    back = pd.read_csv(tmp_path / "hits.csv")
    assert back["compound"].tolist() == ["'=1+1", "'@SUM(A1)", "-3", "'+x", "µ\x07"]
    assert back["score"].to_numpy() == pytest.approx(table["score"].to_numpy(), rel=1e-5)
    sheets = {"hits": table, "empty": table.head(0)}
    for name in ("one.xlsx", "two.xlsx"):
        files.write_workbook(sheets, tmp_path / name)
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()
    sheet = load_workbook(tmp_path / "one.xlsx")["hits"]
    cells = [cell for row in sheet.iter_rows(min_row=2) for cell in row]
    assert not any(cell.data_type == "f" for cell in cells)
    assert [row[1].value for row in sheet.iter_rows(min_row=2)] == ["'=1+1", "'@SUM(A1)", "-3", "'+x", "µ\ufffd"]
    read = pd.read_excel(tmp_path / "one.xlsx", sheet_name=None)
    assert read["hits"]["q"].to_numpy() == pytest.approx(table["q"].to_numpy(), rel=1e-5)
    assert list(read["empty"].columns) == list(table.columns)


def test_units_come_from_the_platemap(taken):
    index = pd.DataFrame(
        {"Metadata_Plate": "P1", "Metadata_Well": ["A01", "A02"], "Metadata_concentration_unit": ["nM", None]}
    )
    assert hits.units_of(index) == {("P1", "A01"): "nM"}
    converted = index.assign(Metadata_Concentration_Unit=["µM", None])
    assert hits.units_of(converted) == {("P1", "A01"): "µM"}
    plain = index.drop(columns="Metadata_concentration_unit")
    assert hits.units_of(plain, column="dose_uM") == {("P1", "A01"): "µM", ("P1", "A02"): "µM"}
    assert hits.units_of(plain, column="concentration") == {}


def test_a_screen_without_profiles_has_empty_tables():
    empty = gather.gather({}, plates=["P1"], encoders=["one"], channels=["DNA"])
    found = run.takeaway(empty, report=typed("report"), evaluate=typed("evaluate"))
    assert all(table.empty for table in found.tables().values()) and list(found.hits.columns[:3]) == [
        "treatment",
        "compound",
        "dose",
    ]


def test_cells_are_counted_against_the_controls_of_the_plate():
    frame = planted(plates=2)
    frame.loc[(frame["Metadata_Plate"] == "P1"), "Metadata_Count_Cells"] *= 3
    ratio = hits.cells_vs_controls(frame)
    assert ratio[(frame["Metadata_moa"] == "HDAC").to_numpy()] == pytest.approx(0.5)
    assert ratio[(frame["Metadata_moa"] == "tubulin").to_numpy()] == pytest.approx(1.0)
    assert tables.features(frame) == CLASSICAL


@pytest.mark.parametrize("replicates", [2, 4])
@pytest.mark.parametrize("size", [0.0, 8.0])
def test_the_interval_of_the_effect_holds_its_expectation(replicates, size):
    """Replicates on plates of their own, each with a strength of its own; the expectation is the mean of many."""
    rng, found = np.random.default_rng(replicates), []
    for _ in range(60):
        rows, values = [], []
        for plate in range(replicates):
            rows += [(f"P{plate}", f"A{1 + number:02d}", "negcon") for number in range(12)]
            rows.append((f"P{plate}", "B01", "trt"))
            values.append(rng.normal(size=(13, 40)))
            values[-1][12, 0] += size * (1 + 0.2 * rng.normal())
        metadata = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_pert_type"])
        treated = np.flatnonzero(metadata["Metadata_pert_type"] == "trt")
        found.append(hits.Near(metadata).effect(np.concatenate(values), treated))
    effect, low, high = np.array(found).T
    truth = effect.mean() if size else 0.0
    assert abs(effect.mean()) < 0.5 if not size else effect.mean() > 4
    assert ((low <= truth) & (truth <= high)).mean() >= 0.93


def test_a_learned_profile_of_inactive_treatments_is_rarely_explained():
    frame = planted(compounds=0, inactive=40, seed=5)
    mixed = frame[CLASSICAL].to_numpy() @ np.random.default_rng(9).normal(size=(len(CLASSICAL), 40)) / 6
    learned = pd.concat([frame.drop(columns=CLASSICAL), pd.DataFrame(mixed).add_prefix("net_")], axis=1)
    found = changed.of_learned(changed.Classical(frame, channels=CHANNELS), learned, treatments(learned), encoder="net")
    assert found["treatment"].nunique() <= 5  # 2 expected at most


def test_a_table_too_long_for_a_workbook_is_named_in_it(tmp_path, monkeypatch):
    """Excel refuses more than 1,048,576 rows, which responses of a hundred plates have."""
    monkeypatch.setattr(files, "ROWS", 3)
    frame = pd.DataFrame({"well": ["A01", "A02", "A03", "A04"]})
    files.write_workbook({"hits": frame.head(3), "responses": frame}, tmp_path / "hits.xlsx")
    read = pd.read_excel(tmp_path / "hits.xlsx", sheet_name=None)
    assert read["hits"]["well"].tolist() == ["A01", "A02", "A03"]
    assert read["responses"]["responses"].tolist() == ["4 rows are too many for a workbook: they are in responses.csv"]
