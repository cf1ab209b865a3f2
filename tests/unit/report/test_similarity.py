"""Similarity of treatments, and the findings that the tables of hits add to a panel."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from options import options
from report_screen import HOSTILE, fabricate
from wellspring.evaluate import curve
from wellspring.report import active, findings, gather, similarity
from wellspring.report.takeaway import alike, changed, curves, hits, run


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=12)
    return gather.gather(inputs, **names)


def _consensus(profiles: dict[tuple[str, str], list[float]]) -> pd.DataFrame:
    rows = [
        {"Metadata_Perturbation": name, "Metadata_Group": group}
        | {f"e_{number}": value for number, value in enumerate(values)}
        for (name, group), values in profiles.items()
    ]
    return pd.DataFrame(rows)


def test_similarity_is_the_mean_cosine_over_shared_cell_lines():
    profiles = {("a", "U2OS"): [1, 0, 0], ("b", "U2OS"): [1, 1, 0], ("a", "A549"): [0, 2, 0], ("b", "A549"): [0, 3, 0]}
    found = similarity.matrix(_consensus(profiles | {("c", "HeLa"): [0, 0, 1]}), ["a", "b", "c"])
    assert found[0, 1] == pytest.approx((np.sqrt(0.5) + 1) / 2) == found[1, 0]
    assert np.isnan(found[0, 2]) and found[2, 2] == pytest.approx(1)


def test_clustering_puts_planted_groups_together():
    rng = np.random.default_rng(0)
    centres, code = rng.normal(size=(5, 12)), rng.permutation(np.repeat(np.arange(5), 7))
    profiles = centres[code] + 0.4 * rng.normal(size=(35, 12))
    unit = profiles / np.linalg.norm(profiles, axis=1, keepdims=True)
    line = similarity.order(unit @ unit.T)
    assert sorted(line) == list(range(35))
    assert (np.diff(code[line]) != 0).sum() == 4, "each group is one block"
    assert similarity.order(np.array([[1, np.nan], [np.nan, 1]])) == [0, 1]


def test_the_heat_map_holds_the_strongest_and_states_what_unlike_pairs_have(
    screen: gather.Screen, monkeypatch: pytest.MonkeyPatch
):
    found = active.population(screen, encoder="sslprofiler", level="aligned", alpha=0.05)
    block = similarity.block(screen, found)
    assert set(block["names"]) == {one.item for one in (*found.treatments, *found.controls)}
    assert np.diag(np.array(block["values"], dtype=float)) == pytest.approx(100)
    mechanism = {one.item: one.mechanism for one in (*found.treatments, *found.controls)}
    named = [block["levels"][code] if code is not None else "" for code in block["mechanisms"]]
    assert named == [mechanism[name] for name in block["names"]]
    assert "of one mechanism: median" in block["words"] and "of two mechanisms: median" in block["words"]
    monkeypatch.setattr(similarity, "LIMIT", 5)
    few = similarity.block(screen, found)
    first = [one.item for one in (*found.controls, *found.strongest())][:5]
    assert sorted(few["names"]) == sorted(first) and (few["shown"], few["all"]) == (5, len(block["names"]))
    assert similarity.block(replace(screen, aligned={}), found) == {}


def _taken(**frames: pd.DataFrame) -> run.Takeaway:
    heads = {"hits": hits.COLUMNS, "alike": alike.COLUMNS, "changed": changed.COLUMNS}
    heads |= {"curves": curves.COLUMNS, "points": curves.POINTS}
    return run.Takeaway("e", **{name: frames.get(name, pd.DataFrame(columns=head)) for name, head in heads.items()})


def test_findings_of_nothing_are_empty():
    assert findings.block(_taken()) == findings.NOTHING


def test_findings_in_words(screen: gather.Screen):
    taken = run.takeaway(screen, report=options("report"), evaluate=options("evaluate", dose_levels=3))
    block = findings.block(taken)
    row = taken.hits.dropna(subset=["effect_low"]).iloc[0]
    words = block["hits"][row["treatment"]]
    assert words.startswith(f"effect {row['effect_sd']:.2f} standard deviations".replace("-", "−"))
    assert "95 % interval" in words and " % of the controls' cells" in words
    pairs = taken.alike[taken.alike["treatment"] == row["treatment"]]
    assert [one[0] for one in block["alike"][row["treatment"]]] == pairs["neighbour"].tolist()
    judged = pairs[pairs["shares_mechanism"] != ""]
    if len(judged):
        same, expected = (judged["shares_mechanism"] == "yes").sum(), len(judged) * pairs["chance"].iloc[0]
        words = f"Of {len(judged)} with a stated mechanism, {same} {'shares' if same == 1 else 'share'} that of the"
        words += f" treatment; {expected:.1f} expected by chance"
        assert block["chance"][row["treatment"]] == words
    assert HOSTILE in block["curves"] and "<img" not in str(block["curves"][HOSTILE])


def test_a_curve_goes_through_its_points():
    rng = np.random.default_rng(0)
    dose = np.repeat([0.0, 0.01, 0.1, 1.0, 10.0, 100.0], [12, 3, 3, 3, 3, 3])
    response = 8 * dose / (dose + 1.0) + rng.normal(size=len(dose)) * 0.4
    fitted = curve.fit(dose, response, control_sd=1.0)
    row = {"compound": "c", "unit": "uM", "no_fit_because": "", "ec50": fitted.ec50, "slope": fitted.slope}
    row |= dict(zip(("ec50_low", "ec50_high"), fitted.ec50_interval, strict=True))
    row |= {"cell_line": None, "time_point": None, "bmc_note": "extrapolated"} | {
        "bmc": fitted.bmc,
        "bmc_low": np.nan,
        "bmc_high": np.nan,
        "bottom_sd": fitted.bottom,
        "top_sd": fitted.top,
    }
    points = pd.DataFrame(
        {"compound": "c", "cell_line": None, "time_point": None, "plate": "P1", "well": "A01", "dose": dose}
    )
    points = points.assign(response_sd=response)
    taken = _taken(curves=pd.DataFrame([row]), points=points)
    [[line, words, drawing]] = findings.block(taken)["curves"]["c"]
    assert (
        line == ""
        and words.endswith("; extrapolated.")
        and words.startswith("EC50 ")
        and " uM (95 % interval " in words
        and "open to open" in words
    )
    assert drawing.count("<circle") == 15 and drawing.count("<path") == 1
    none = pd.DataFrame([row | {"no_fit_because": "no trend", "ec50": np.nan, "bmc": np.nan}])
    [[_, words, drawing]] = findings.block(_taken(curves=none, points=points))["curves"]["c"]
    assert words == "No fit: no trend." and "<path" not in drawing


def test_crowded_doses_are_summarised_and_weak_compounds_have_words_only(monkeypatch):
    """With many controls and wells a drawing does not grow; beyond the budget the strongest compounds are drawn."""
    rng, rows, parts = np.random.default_rng(1), [], []
    for name in ("weak", "strong"):
        dose = np.repeat([0.0, 1.0, 10.0], [3000, 70, 5])
        named = {"compound": name, "cell_line": None, "time_point": None}
        rows.append(dict.fromkeys(curves.COLUMNS, np.nan) | named | {"unit": "uM", "no_fit_because": "no trend"})
        parts.append(pd.DataFrame(named | {"plate": "P1", "well": "A01", "dose": dose}))
    points = pd.concat(parts, ignore_index=True).assign(response_sd=rng.normal(2, size=6150))
    ranked = pd.DataFrame([dict.fromkeys(hits.COLUMNS, "") | {"compound": name} for name in ("strong", "weak")])
    taken = _taken(curves=pd.DataFrame(rows), points=points, hits=ranked.assign(population=""))
    for [_, words, drawing] in (each for [each] in findings.block(taken)["curves"].values()):
        assert words == "No fit: no trend." and len(drawing) < 5000
        assert drawing.count("<circle") == 6, "the median of 70 wells, and 5 wells"
        assert "negative control, 3,000 wells" in drawing and "dose 1 uM, 70 wells" in drawing
    middle = np.median(points.loc[(points["compound"] == "weak") & (points["dose"] == 0), "response_sd"])
    assert f"median {middle:.2f}".replace("-", "−") in findings.block(taken)["curves"]["weak"][0][2]
    monkeypatch.setattr(findings, "BUDGET", 1)
    found = findings.block(taken)["curves"]
    assert found["strong"][0][2] and not found["weak"][0][2]
    assert found["weak"][0][1].endswith("responses.csv has the wells.")


def test_changes_have_fixed_places():
    row = dict.fromkeys(changed.COLUMNS, "x") | {"effect_sd": -1.5, "correlation": np.nan, "q": 0.0001, "channel": ""}
    block = findings.block(_taken(changed=pd.DataFrame([row])))
    assert block["changed"]["x"] == [["x", "–", "x x", "−1.50", "–", "<0.001"]]
