"""Sections of the report: run times, alignment, exclusions, pictures of wells, numbers of wells, caps of figures."""

import io
import json
from dataclasses import replace
from html import escape

import jinja2
import numpy as np
import pandas as pd
import pytest

from options import options
from report_screen import HOSTILE, fabricate
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.io.notes import Note
from wellspring.io.shipped import REPORT_TEMPLATES
from wellspring.report import (
    absent,
    alignment,
    biology,
    checks,
    differences,
    exclusions,
    gather,
    matrices,
    measures,
    metrics,
    naming,
    overview,
    page,
    pictures,
    runtime,
    scatter,
    thumbnails,
)


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=12)
    return gather.gather(inputs, **names)


def test_run_times_are_of_the_screens_own_jobs(screen: gather.Screen):
    assert "gone" not in set(screen.jobs["Of"])
    found = {stage.rule: stage for stage in runtime.stages(screen.jobs)}
    assert list(found) == ["survey", "train", "embed", "verdict"], "in the order of the flow"
    survey, train = found["survey"], found["train"]
    times = screen.jobs.loc[screen.jobs["Rule"] == "survey", "Seconds"]
    assert survey.jobs == 3 and survey.together == pytest.approx(times.sum())
    assert survey.longest_of == "P3" and survey.memory_of == "P3", "a memory that was not measured is passed over"
    assert train.processor == pytest.approx(train.together / 2, abs=0.02)
    assert runtime.stages(runtime.read(None, names=[])) == []


def test_a_vehicle_is_no_compound(screen: gather.Screen):
    totals = {name: amount for name, amount, _ in checks.totals(screen)}
    tested = [(kind, name) for kind, name in screen.wells[["Metadata_pert_type", "Metadata_Compound"]].values]
    assert ("negcon", "DMSO") in tested
    assert totals["compounds"] == str(len({name for kind, name in tested if kind in ("trt", "poscon")}))
    assert totals["wells"] == str(len(tested))


def test_images_that_are_missing_are_among_the_images(screen: gather.Screen):
    wells = screen.wells.assign(Planes=10, Missing=2)
    found = checks.totals(replace(screen, wells=wells, survey=screen.survey.iloc[:0]))
    total, lost = 12 * len(wells), 2 * len(wells)
    assert ("images", f"{total:,}", f"{lost:,} missing or left out") in found


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.52, "0.5 s"), (42.4, "42 s"), (60, "1 min"), (501.15, "8 min 21 s"), (11100, "3 h 5 min"), (float("nan"), "–")],
)
def test_durations(seconds: float, told: str):
    assert runtime.duration(seconds) == told


def _rows(before: tuple, after: tuple, metric: str = "activity") -> list[metrics.Row]:
    names = ["Encoder", "Metadata_Metric", "Metadata_Level", "value", "low", "high", "n", "n_undefined", "chance"]
    rows = [("e", metric, "normalised", *before, 10, 0, 0.5), ("e", metric, "aligned", *after, 10, 0, 0.5)]
    summary = pd.DataFrame(rows, columns=names).assign(Metadata_Guard="", Metadata_Note="", Metadata_Left_Out="")
    return metrics.table(summary, encoders=["e"])


@pytest.mark.parametrize(
    ("metric", "good"), [("activity", True), ("nuisance.batch", False), ("transfer.batch.compound.k1.gap", False)]
)
def test_a_change_is_stated_only_where_intervals_are_apart(metric: str, good: bool):
    (change,) = alignment.changes(_rows((0.3, 0.2, 0.4), (0.6, 0.5, 0.7), metric))
    assert change.good is good and change.before == "0.300 (0.200 to 0.400)"
    assert alignment.changes(_rows((0.3, 0.2, 0.5), (0.6, 0.45, 0.7), metric)) == []
    assert alignment.changes(_rows((0.3, 0.2, 0.4), (0.6, 0.5, 0.7), "mixing.kbet.batch")) == []


def test_alignment_is_drawn_at_its_levels():
    (drawn,) = alignment.drawings(_rows((0.3, 0.2, 0.4), (0.6, 0.5, 0.7)), encoders=["e"])
    assert drawn["svg"].count("<circle") == 2 and "e, aligned\n0.600 (0.500 to 0.700), chance 0.500" in drawn["svg"]
    empty = (float("nan"),) * 3
    assert alignment.drawings(_rows(empty, (0.6, 0.5, 0.7)), encoders=["e"]) == [], "one level is no before and after"


def test_mixing_below_full_mixing_is_looked_at(screen: gather.Screen):
    rows = _rows((0.4, 0.3, 0.45), (0.48, 0.4, 0.6), "mixing.kbet.batch")
    assert [row.cells[0].state for row in rows] == ["below", "at"]
    told = [one.text for one in overview.look_at(screen, rows, [], level="normalised")]
    assert "1 mixing score below full mixing: profiles differ between batches or plates." in told
    assert not any("mixing" in one.text for one in overview.look_at(screen, rows, [], level="aligned"))


@pytest.mark.parametrize("cropped", [True, False])
def test_samples_have_three_dyes_since_five_are_white(
    monkeypatch: pytest.MonkeyPatch, screen: gather.Screen, cropped: bool
):
    """Pictures of single cells, and of fields where there are no crops."""
    monkeypatch.setattr(pictures.palette, "data_address", lambda pixels, **given: pixels)
    seen, draw = [], pictures.palette.composite
    monkeypatch.setattr(
        pictures.palette, "composite", lambda image, **scale: seen.append(len(image)) or draw(image, **scale)
    )
    assert pictures.samples(screen if cropped else replace(screen, crops={}), groups=2, each=2)
    assert len(screen.channels) == 5 and set(seen) == {3}


def test_every_reason_of_left_out_images_is_on_the_page(screen: gather.Screen):
    codes = ("missing", "blank", "keep_refused", "listed", "same_pixels", "other_shape", "other_dtype", "low_focus")
    reasons = [str(Note(code)) for code in codes]
    some = screen.survey.head(len(codes)).assign(Metadata_Verdict="exclude", Metadata_Reason=reasons)
    (told,) = checks.images(replace(screen, survey=some))
    assert len(told.lines) == len(codes), "each reason, however many there are"
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(REPORT_TEMPLATES))
    environment.filters.update(svg=str, sign=str)
    drawn = str(environment.get_template("macros.html.j2").module.lines(told.lines, 2))
    assert all(line in drawn for line in told.lines) and f"and {len(codes) - 2} more</summary>" in drawn


def test_steps_that_fell_back_are_looked_at(screen: gather.Screen):
    (told,) = checks.fits(screen)
    assert told.text.startswith("Alignment did less than the config asks for in ")
    assert "16 negative controls, and 100000 are needed; " in told.lines[0]


def test_plates_unlike_all_others_and_alignments_without_spread_are_looked_at_first(screen: gather.Screen):
    plate = screen.kept[0]
    left = {"plate": plate, "group": "*", "ratio": 1e15, "limit": 10}
    flat = {"before": 1.0, "after": 3e-12, "wells": 80}
    notes = (Note("plate_left_out_of_fit", left), Note("no_spread_after_alignment", flat))
    changed = replace(screen, fit_notes={"e": notes})
    first, second, *_ = overview.look_at(changed, [], [], level="aligned")
    assert first.text == "The alignment of 1 encoder failed: its profiles have no spread."
    assert second.text == "Wells of 1 plate are unlike all others; no alignment is fitted on them."
    assert second.lines == (
        f"e: plate {plate} left out of the fit of *: it multiplies the largest variance of the controls by 1e+15, more "
        "than 10",
    )
    before, after = (overview.passes(one, [], level="aligned")[0].text for one in (screen, changed))
    assert before.startswith(f"{len(screen.kept)} of ") and after.startswith(f"{len(screen.kept) - 1} of ")


def test_metrics_that_are_not_known_stand_first_and_variants_unfold():
    for metric in ("activity", "nsc", "transfer.batch.compound.k1", "brand_new", "activity.heldout"):
        assert naming.main(metric), metric
    for metric in ("transfer.batch.compound.k5", "transfer.batch.compound.k1.gap", "nuisance.row", "mixing.kbet.batch"):
        assert not naming.main(metric), metric


def test_exclusions_are_counted_by_plate_and_reason(screen: gather.Screen):
    rows = {row["plate"]: row for row in exclusions.by_plate(screen)}
    assert rows["P1"]["keep"] and not rows["P3"]["keep"] and rows["P3"]["reasons"][-1] == HOSTILE
    assert (rows["P1"]["wells"], rows["P1"]["negative"], rows["P1"]["positive"]) == (48, 8, 4)
    assert (rows["P1"]["images"], rows["P1"]["out"]) == (480, 4)
    reasons = {row["reason"]: row for row in exclusions.by_reason(screen)}
    assert reasons["out of focus"]["images"] == 3 and reasons["out of focus"]["plates"] == 3
    assert reasons["out of focus"]["example"] == "out of focus: log-log slope −4.1, below −2.2"
    assert sum(row["images"] for row in reasons.values()) == 12
    assert exclusions.undefined(screen)["Metadata_Reason"].tolist() == ["no cells"]
    assert [row["images"] for row in exclusions.by_channel(screen)] == [288] * 5


def test_pictures_go_round_the_treatments_before_any_has_two(screen: gather.Screen):
    among = screen.wells[screen.wells["Metadata_Plate"] == "P1"]
    named = among.set_index("Metadata_Well")["Metadata_Perturbation"]
    some = thumbnails.chosen(screen, among, limit=named.nunique())
    assert sorted(named[some["Metadata_Well"]]) == sorted(named.unique())
    sheets = thumbnails.sheets(screen, among, limit=20)
    assert 19 <= len(sheets["of"]) <= 20, "one well has no cell"
    assert sorted(sheets["of"].values()) == list(range(len(sheets["of"])))
    assert set(sheets["of"]) <= {f"P1 {well}" for well in among["Metadata_Well"]}
    assert sheets["what"] == "four cells of the well"
    fields = thumbnails.sheets(replace(screen, crops={}), among, limit=20)
    assert fields["what"] == "one field of the well" and 0 < len(fields["of"]) <= 20
    assert thumbnails.sheets(replace(screen, crops={}, view_files={}), among, limit=20) == {}


def test_squares_keep_the_mean_and_small_ones_repeat_pixels():
    image = np.random.default_rng(0).random((2, 96, 128))
    np.testing.assert_allclose(
        thumbnails.square(image, 32).mean(axis=(1, 2)), image[:, :, 16:112].mean(axis=(1, 2)), rtol=1e-12
    )
    small = np.arange(9.0).reshape(1, 3, 3)
    assert set(thumbnails.square(small, 6).ravel()) == set(range(9))


def test_numbers_of_wells_come_back_from_the_page(screen: gather.Screen):
    found = measures.measures(screen, primary="sslprofiler")
    block = measures.block(screen, found)
    columns = block["size"][1]
    for measure, shown in zip(found, block["measures"], strict=True):
        for row in measure.values[measure.values["Plate"] == "P1"].to_dict("records"):
            place = columns * (ord(row["Well"][0]) - 65) + int(row["Well"][1:]) - 1
            value = shown["values"][0][place]
            assert value is False if np.isnan(row["Value"]) else value == pytest.approx(row["Value"], rel=6e-3)
    wells = screen.wells[screen.wells["Metadata_Plate"] == "P1"].reset_index(drop=True)
    kinds = [block["types"][code] for code in block["kinds"][0] if code is not None]
    assert kinds == wells["Metadata_pert_type"].tolist()
    names = {block["levels"][code] for code in block["names"][0] if code is not None}
    assert {"DMSO", "taxol, 1"} <= names and any(name.startswith(HOSTILE) for name in names)
    assert block["measures"][0]["values"][0].count(None) == 96 - 48
    profile = next(one for one in block["measures"] if one["name"].startswith("Profile axis"))
    assert profile["values"][2] is None, "a plate that was left out has no profile"


def test_the_map_before_alignment_is_of_the_same_wells(screen: gather.Screen):
    placed = scatter.place(screen.aligned["sslprofiler"])
    spots = scatter.before(screen.normalised["sslprofiler"], placed)
    frames = pd.concat([tables.read(path) for path in screen.normalised["sslprofiler"][:2]], ignore_index=True)
    names = tables.features(frames)
    good = np.isfinite(frames[names].to_numpy()).all(axis=1)
    axes = pd.DataFrame(scatter.axes(frames.loc[good, names].to_numpy(dtype=float)), columns=["X", "Y"])
    wanted = frames.loc[good, WELL_KEY].reset_index(drop=True).join(axes)
    wanted = placed[WELL_KEY].merge(wanted, on=WELL_KEY, how="left")
    np.testing.assert_allclose(spots, wanted[["X", "Y"]].to_numpy(), atol=1e-9)
    block = scatter.block(placed, spots)
    assert list(block["levels"]) == ["normalised", "aligned"]
    assert scatter.before((), placed) is None


def test_large_matrices_carry_their_numbers_as_data():
    hostile = '"><script>x</script>'
    values = np.arange(625.0).reshape(25, 25) / 625
    names = [f"{hostile}{number}" for number in range(25)]
    drawn = matrices.matrix(names, names, values, title=hostile, row_label="a", column_label="b", top=1)
    assert "<script" not in drawn and drawn.count("<image") == 1 and "<text" in drawn
    assert len(drawn) < 20_000


def test_the_confusion_counts_the_prediction_of_each_cell_line(monkeypatch: pytest.MonkeyPatch, screen: gather.Screen):
    """Of three treatments in two lines, four of six predictions are right, and so is the diagonal."""
    frame = pd.DataFrame({"Metadata_Compound": ["a", "b", "c"], "Metadata_moa": ["tubulin", "tubulin", "HDAC"]})
    lines = [
        {"A549": "tubulin", "U2OS": "HDAC"},
        {"A549": "tubulin", "U2OS": "tubulin"},
        {"A549": "HDAC", "U2OS": "actin"},
    ]
    items = pd.DataFrame({"Metadata_Item": ["a", "b", "c"], "value": [0.5, 1.0, 0.5], "Metadata_Metric": "nsc"})
    items = items.assign(
        Metadata_Level="aligned", Encoder="sslprofiler", n=4, Metadata_Group=["HDAC", "tubulin", "actin"]
    )
    drawn = []
    monkeypatch.setattr(matrices, "matrix", lambda names, _, values, **given: drawn.append((names, values)) or "")
    for column, count in (({"Metadata_Group_By_Line": list(map(json.dumps, lines))}, 6), ({}, 3)):
        changed = replace(
            screen, items=items.assign(**column), aligned={"sslprofiler": frame.assign(Metadata_pert_type="trt")}
        )
        [figure] = [one for one in biology.figures(changed, alpha=0.05) if one.kind == "matches"]
        names, values = drawn.pop()
        assert names == ["HDAC", "actin", "tubulin"]
        assert ("6 predictions" in figure.note) == (count == 6) and figure.note.startswith("3 treatments, share by row")
        wanted = (
            [[0.5, 0.5, 0], [np.nan] * 3, [0.25, 0, 0.75]] if count == 6 else [[0, 1, 0], [np.nan] * 3, [0.5, 0, 0.5]]
        )
        np.testing.assert_allclose(values, wanted)


def test_treatments_are_listed_with_every_score(screen: gather.Screen):
    found = biology.treatments(screen, alpha=0.05)
    items = screen.items[(screen.items["Metadata_Metric"] == "activity") & (screen.items["Encoder"] == "random")]
    row = items[items["Metadata_Level"] == "aligned"].iloc[3]
    value, q = found["scores"]["aligned"]["activity"]["random"][found["items"].index(row["Metadata_Item"])]
    assert value == pytest.approx(row["value"], abs=1e-6) and q == pytest.approx(row["q"], abs=1e-6)
    last = found["items"][-1]
    assert biology.treatments(screen, alpha=0.05, first=["not scored", last])["items"][0] == last
    assert found["encoders"] == ("sslprofiler", "random")
    assert set(found["metrics"]) == {"activity", "consistency", "nsc", "dose.spearman"}


@pytest.mark.parametrize(("q", "active"), [(0.04995, True), (0.049999, True), (0.05, False), (0.050004, False)])
def test_a_q_near_the_limit_stays_on_its_side(screen: gather.Screen, q: float, active: bool):
    one = replace(screen, items=screen.items.assign(q=q))
    scores = biology.treatments(one, alpha=0.05)["scores"]["aligned"]["activity"]["random"]
    assert {each[1] < 0.05 for each in scores if each is not None} == {active}


def test_a_crowded_volcano_keeps_the_smallest_q(monkeypatch: pytest.MonkeyPatch, screen: gather.Screen):
    monkeypatch.setattr(biology, "POINTS", 10)
    drawn = [one for one in biology.figures(screen, alpha=0.05) if one.kind == "activity" and one.level == "aligned"]
    assert drawn and all("10 drawn" in one.note or "9 drawn" in one.note for one in drawn)
    items = screen.items[
        (screen.items["Metadata_Metric"] == "activity") & (screen.items["Metadata_Level"] == "aligned")
    ]
    best = items[items["Encoder"] == drawn[0].title].sort_values("q")["Metadata_Item"].head(5)
    assert all(escape(name, quote=True) in drawn[0].svg for name in best)


def test_the_untrained_twin_is_known_by_its_card_and_not_by_its_name(screen: gather.Screen):
    rows = metrics.table(screen.summary, encoders=screen.encoders)
    assert differences.twins(screen) == {"sslprofiler": "random"}
    assert not any("untrained" in one.text for one in overview.open_questions(screen, rows))
    trained = {name: card | {"training": "trained"} for name, card in screen.cards.items()}
    told = [one.text for one in overview.open_questions(replace(screen, cards=trained), rows)]
    assert "No untrained encoder in this screen: the gain over an untrained network is unknown." in told
    other = screen.cards | {"random": screen.cards["random"] | {"network_sha256": "2" * 64}}
    (told,) = [one for one in overview.open_questions(replace(screen, cards=other), rows) if "twin" in one.text]
    assert told.lines == ("Concerns: sslprofiler.",)


def test_trained_encoders_are_better_worse_or_undecided_beside_their_twin(screen: gather.Screen):
    def left(value: float, spread: float) -> str:
        groups = {f"m{place}": value + spread * (place - 2) for place in range(5)}
        return json.dumps({"mechanisms": {"shared": 0.0, "groups": groups}})

    summary = screen.summary[screen.summary["Metadata_Level"] == "aligned"].copy()
    spread = summary["Metadata_Metric"].map({"nsc": 0.001, "consistency": 0.001}).fillna(1.0)
    spread *= summary["Encoder"] == "sslprofiler"
    summary.loc[summary["Metadata_Metric"] == "consistency", "value"] = np.where(
        summary.loc[summary["Metadata_Metric"] == "consistency", "Encoder"] == "sslprofiler", 0.1, 0.6
    )
    summary["Metadata_Left_Out"] = [
        left(a, b) for a, b in zip(summary["value"].astype(float).fillna(0), spread, strict=True)
    ]
    changed = replace(screen, summary=summary)
    paired = differences.table(changed)
    assert set(paired["Encoder"]) == {"sslprofiler"} and set(paired["Base"]) == {"random"}
    told = {verdict: differences.statements(paired, "aligned", verdict) for verdict in ("better", "worse", "undecided")}
    assert told["better"][0].text.startswith("1 score") and "(NSC) +" in told["better"][0].lines[0]
    assert told["worse"][0].lines[0].startswith("sslprofiler minus random: Consistency of mechanisms (mAP) −0.500")
    assert "neither better nor worse" in told["undecided"][0].text
    built = page.build(changed, options=options("report"))
    table = pd.read_csv(io.StringIO(built.metrics))
    shown = table[table["encoder"] == "sslprofiler minus random"].set_index("metric")["verdict"]
    assert shown["nsc"] == "better" and shown["consistency"] == "worse" and shown["activity"] == "undecided"
    assert table[table["encoder"] == "random"]["verdict"].isna().all()
    (named,) = differences.beaten(changed, paired, "aligned")
    assert named.text.startswith("1 encoder does not exceed a simpler one")
    assert named.lines[0].startswith("sslprofiler does not exceed random (1 better, 1 worse, ")
    assert named.text in built.page
    good = paired.assign(Metadata_Verdict="better")
    assert differences.beaten(changed, good, "aligned") == []
    level = good["Metadata_Level"].ne("aligned") | good["Metadata_Metric"].ne("consistency")
    assert (
        differences.beaten(changed, good.assign(Metadata_Verdict=np.where(level, "better", "undecided")), "aligned")
        == []
    )
    held = good.assign(Metadata_Verdict="undecided")
    assert "random (0 better, 0 worse, " in differences.beaten(changed, held, "aligned")[0].lines[0]
    alone = replace(changed, cards={**screen.cards, "random": screen.cards["random"] | {"objective": "intensity"}})
    assert differences.pairs(alone)[-1] == ("sslprofiler", "random")
    table = screen.aligned["random"]
    names = {name: f"Cells_Intensity_{place}" for place, name in enumerate(tables.features(table))}
    cards = {name: card for name, card in screen.cards.items() if name != "random"}
    handmade = replace(screen, cards=cards, aligned=screen.aligned | {"random": table.rename(columns=names)})
    assert differences.classical(handmade) == ["random"]
    assert ("sslprofiler", "random") in differences.pairs(handmade)
    assert ("random", "random") not in differences.pairs(handmade)


def test_an_empty_section_tells_the_first_cause(screen: gather.Screen):
    notes = {"nsc": "no_treated_wells", "nscb": 'needs_metrics(metrics="nsc")'}
    rows = [{"Metadata_Metric": name, "value": np.nan, "Metadata_Note": note} for name, note in notes.items()]
    told = absent.sentences(replace(screen, summary=pd.DataFrame(rows)))["matches"]
    assert told == "Not drawn: no treated well."
