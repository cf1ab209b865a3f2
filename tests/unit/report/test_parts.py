"""Parts of the report: verdicts, names, numbers, metric rows, wells on a plate, pictures, the map."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from report_screen import MADE
from wellspring.io import tables
from wellspring.io.tables import Verdict
from wellspring.report import (
    charts,
    files,
    matrices,
    metrics,
    naming,
    page,
    palette,
    plate_verdicts,
    plates,
    scatter,
    svg,
    training,
)
from wellspring.screen import well_names

BAD = Verdict().because("too few controls: 1 of 4").because("half of the images are blank")


def _table(path: Path, state: Verdict) -> Path:
    frame = pd.DataFrame({"Metadata_Feature": ["a"], "Metadata_Kept": True, "Metadata_Reason": "", "spread": 1.0})
    tables.write(frame, path, table="features", provenance=MADE, verdict=state)
    return path


def test_verdict_names_each_bad_plate_with_its_reasons(tmp_path: Path):
    files = [
        _table(tmp_path / encoder / f"{name}.normalised.parquet", state)
        for encoder in ("e1", "e2")
        for name, state in (("P1", Verdict()), ("P.2", BAD))
    ]
    found = plate_verdicts.collect(files, plates=["P1", "P.2"])
    assert found == {"P1": Verdict(), "P.2": BAD}
    with pytest.raises(ValueError, match="1 of 2 plates was left out") as error:
        plate_verdicts.require_keep(found)
    assert "P.2: too few controls: 1 of 4; half of the images are blank" in str(error.value)
    assert "set role: no in the sheet to accept" in str(error.value)
    assert "P1:" not in str(error.value)


def test_verdict_passes_when_all_keep():
    found = {"P1": Verdict(), "P2": Verdict()}
    plate_verdicts.require_keep(found)
    assert plate_verdicts.as_frame(found).to_dict("list") == {
        "plate": ["P1", "P2"],
        "keep": ["yes", "yes"],
        "reasons": ["", ""],
    }


def test_files_find_their_owner():
    assert files.owner("results/profile/e1/P1.1.normalised.parquet", ["P1", "P1.1", "e1"]) == "P1.1"
    assert files.owner("results/train/e1/history.parquet", ["e1", "e2"]) == "e1"
    assert files.assign(["results/train/e2/history.parquet"], ["e1", "e2"]) == {
        "e2": Path("results/train/e2/history.parquet")
    }
    assert files.assign(None, ["e1", "e2"]) == {}
    with pytest.raises(ValueError, match="one of e1, e2"):
        files.assign(["results/train/e3/history.parquet"], ["e1", "e2"])


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0, 0.5, 1.0], ["0.0", "0.5", "1.0"]),
        ([-20, 0, 20], ["−20", "0", "20"]),
        ([0.98, 1.0, 1.02], ["0.98", "1.00", "1.02"]),
        ([0, 5e-7], ["0", "5e−7"]),
        ([0, 5e-4, 1e-3], ["0.0000", "0.0005", "0.0010"]),
        ([0.25], ["0.25"]),
        ([], []),
    ],
)
def test_labels_of_an_axis_have_the_same_decimals(values: list[float], labels: list[str]):
    assert svg.tick_labels(values) == labels


def test_small_probabilities_are_no_zeros():
    near = [svg.probability(value) for value in (0.0494, 0.0495, 0.04999, 0.05)]
    assert near == ["0.049", "0.0495", "0.0499", "0.050"], "what is active has a q below 0.05"
    assert [svg.probability(value) for value in (1e-4, 5e-4, 0.0421, float("nan"))] == ["<0.001", "0.001", "0.042", "–"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.6, "0.600"),
        (0.7875, "0.787"),
        (0.1625, "0.163"),
        (-0.0001, "0.000"),
        (-1.5, "−1.500"),
        (12, "12.000"),
        (float("nan"), "–"),
        (2e6, "2e6"),
    ],
)
def test_a_column_has_fixed_decimals(value: float, text: str):
    assert svg.fixed(value) == text
    assert svg.fixed(np.float64(value)) == text


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.12345, "0.123"), (1234.5, "1234"), (-0.5, "−0.5"), (5e-4, "5e−4"), (0, "0"), (float("nan"), "–"), (100, "100")],
)
def test_numbers(value: float, words: str):
    assert svg.number(value) == words


def test_an_interval_keeps_its_zeros():
    """EC50 7.64 (7.02 to 8.00): the ends of an interval have as many digits as its value."""
    assert [svg.number(value, zeros=True) for value in (7.64495, 7.99619, 125.0, 0.5)] == [
        "7.64",
        "8.00",
        "125",
        "0.500",
    ]


def test_ticks_are_round_and_inside():
    for low, high in ((0, 1), (-3.2, 7.7), (0.001, 0.0042), (120, 98000)):
        marks = svg.ticks(low, high)
        assert 2 <= len(marks) <= 11
        assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)


def _summary(rows: list[tuple]) -> pd.DataFrame:
    names = ["Encoder", "Metadata_Metric", "Metadata_Level", "value", "low", "high", "n", "n_undefined", "chance"]
    return pd.DataFrame(rows, columns=names).assign(Metadata_Guard="guard", Metadata_Note="")


def test_a_score_is_judged_by_its_chance_and_position_only():
    row = pd.Series({"value": 0.5, "low": 0.4, "high": 0.6, "chance": 0.2})
    assert metrics.state(row) == "above"
    assert metrics.state(row, position=0.45) == "position"
    assert metrics.state(row.replace(0.2, 0.45)) == "at"
    assert metrics.state(row.replace(0.2, np.nan)) == "none"


def test_baselines_stand_inside_their_metric_and_unknown_metrics_stay():
    nothing = float("nan")
    rows = [
        ("e", "nsc", "aligned", 0.8, 0.7, 0.9, 10, 1, 0.2),
        ("e", "nsc.permuted", "aligned", 0.2, 0.1, 0.3, 10, 0, nothing),
    ]
    rows += [
        ("e", "nsc.position_only", "aligned", 0.95, nothing, nothing, 10, 0, 0.2),
        ("e", "brand_new", "other", 3.0, nothing, nothing, 5, 0, nothing),
    ]
    found = {row.metric: row for row in metrics.table(_summary(rows), encoders=["e", "f"])}
    assert set(found) == {"nsc", "brand_new"}
    cell, absent = found["nsc"].cells
    assert absent is None and cell.state == "position"
    assert cell.baselines == ("permuted labels: 0.200 (0.100 to 0.300)", "well position alone: 0.950")
    assert found["brand_new"].cells[0].state == "none" and found["brand_new"].group == naming.OTHER


def test_metric_names():
    assert (
        naming.describe("transfer.cell_line.mechanism.k1")[0] == "Transfer between cell lines, mechanism, 1 neighbour"
    )
    assert naming.describe("transfer.batch.compound.k5.gap")[2] == -1
    assert naming.describe("nsc.heldout")[0].endswith("on held-out plates")
    assert naming.baseline("nsc.permuted.heldout") == ("nsc.heldout", ".permuted")


@pytest.mark.parametrize(
    ("well", "spot"), [("A01", (0, 0)), ("H12", (7, 11)), ("P24", (15, 23)), ("AF48", (31, 47)), ("x", None)]
)
def test_wells_have_a_place(well: str, spot: tuple[int, int] | None):
    assert plates.position(well) == spot
    if spot:
        assert well.startswith(well_names.row_name(spot[0]))


def test_plate_formats():
    assert plates.shape(pd.Series(["A01", "H12"])) == (8, 12)
    assert plates.shape(pd.Series(["A01", "I01"])) == (16, 24)
    assert plates.shape(pd.Series(["AF48"])) == (32, 48)


def test_viridis_agrees_with_matplotlib():
    colours = pytest.importorskip("matplotlib").colormaps["viridis"](np.linspace(0, 1, 50))[:, :3] * 255
    assert np.abs(palette.viridis(np.linspace(0, 1, 50)).astype(float) - colours).max() < 12


def test_composite_is_black_below_and_bright_above():
    image = np.zeros((5, 4, 4))
    image[:, 2:] = 100
    pixels = palette.composite(image, low=np.zeros(5), high=np.full(5, 100.0))
    assert pixels[:2].max() == 0 and pixels[2:].min() > 150
    assert palette.data_address(pixels) == palette.data_address(pixels)


def test_map_axes_are_principal_components_with_fixed_signs():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(50, 6)) * [9, 4, 1, 1, 1, 1]
    axes = scatter.axes(features)
    assert abs(np.corrcoef(axes[:, 0], features[:, 0])[0, 1]) > 0.99
    np.testing.assert_allclose(np.abs(scatter.axes(-features)), np.abs(axes), atol=1e-9)
    np.testing.assert_allclose(scatter.axes(features[:, :1])[:, 1], 0)
    assert scatter.axes(features[:1]).shape == (1, 2)


def test_map_leaves_out_undefined_wells_and_thins_evenly():
    frame = pd.DataFrame(np.arange(40.0).reshape(20, 2), columns=["e_0", "e_1"]).assign(Metadata_Well="A01")
    frame.loc[3, "e_0"] = np.nan
    assert len(scatter.place(frame)) == 19
    assert len(scatter.place(frame, limit=10)) == 10
    assert scatter.block(scatter.place(frame.head(0)))["n"] == 0


def test_charts_escape_their_names():
    hostile = '"><script>x</script>'
    drawn = charts.volcano([hostile], [0.5], [0.01], chance=0.2, alpha=0.05, title=hostile, x_label=hostile)
    drawn += matrices.matrix(
        [hostile], [hostile], np.array([[0.5]]), title=hostile, row_label=hostile, column_label=hostile, top=1
    )
    drawn += charts.dots(
        [(hostile, [("e", 0.4, True, hostile)])], series=["e"], chance={"e": 0.1}, title=hostile, x_label=hostile
    )
    drawn += charts.doses({"e": [(0.0, 0.1, hostile), (1.0, 0.5, hostile)]}, series=["e"], title=hostile)
    assert "<script" not in drawn and '""' not in drawn


def test_eight_encoders_have_eight_shapes_and_sixty_four_marks_differ():
    assert len({svg.shape(code) for code in range(8)}) == 8
    assert len({page.sign(code) for code in range(64)}) == 64
    names = [f"e{number}" for number in range(9)]
    drawn = charts.dots(
        [("m", [(name, 0.5, True, name) for name in names])], series=names, chance={}, title="", x_label=""
    )
    marks = re.findall(r"<(?:circle|polygon) [^>]*?(?= data-tip)", drawn)
    assert len(set(marks)) == len(names)


def test_an_undefined_cell_of_a_matrix_is_a_dash_and_not_a_zero():
    values = np.array([[np.nan, 0.0], [0.5, np.nan]])
    drawn = matrices.matrix(["B1", "B2"], ["B1", "B2"], values, title="t", row_label="a", column_label="b", top=1)
    assert drawn.count(">–</text>") == 2 and drawn.count(">0.00</text>") == 1
    assert "B1 → B1: undefined" in drawn and "B1 → B2: 0.000" in drawn


def test_the_axis_of_doses_has_the_unit_of_the_screen():
    points = {"e": [(0.5, 0.1, "a"), (1.0, 0.5, "b")]}
    assert "concentration (µM)" in charts.doses(points, series=["e"], title="x", unit="µM")
    assert "concentration (platemap's unit)" in charts.doses(points, series=["e"], title="x").replace(
        "&#x27;", "'"
    ).replace("&#39;", "'")


def test_reasons_of_dropped_features_are_counted_by_kind():
    """Thousands of classical features are dropped, each with the name of its partner in the reason."""
    reasons = [
        "",
        'correlated(with="Cells_a", r=0.95, allowed=0.9)',
        'correlated(with="Nuclei_b", r=0.99, allowed=0.9)',
    ]
    reasons += ["near_constant(wells=23, total=24)", "not_finite(wells=3, total=24)"]
    reasons.append("no_spread_in_controls")
    frame = pd.DataFrame({"Metadata_Kept": [not reason for reason in reasons], "Metadata_Reason": reasons})
    (found,) = training.features(SimpleNamespace(encoders=("classical", "other"), features={"classical": frame}))
    assert (found["encoder"], found["kept"], found["total"]) == ("classical", 1, 6)
    assert dict(found["reasons"]) == {
        "correlated with another feature": 2,
        "near constant": 1,
        "not finite in too many wells": 1,
        "no spread in the controls": 1,
    }
