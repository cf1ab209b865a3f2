"""Active treatments and their pictures: one population, comparisons of the score, tiles at the plate's own scale."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from report_screen import fabricate
from wellspring.io import packed
from wellspring.report import active, first_screen, gather, glossary, metrics, panel, tiles


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=12)
    return gather.gather(inputs, **names)


@pytest.fixture(scope="module")
def found(screen: gather.Screen) -> active.Population:
    return active.population(screen, encoder="sslprofiler", level="aligned", alpha=0.05)


def _with(screen: gather.Screen, *rows: tuple[str, float, float, str]) -> gather.Screen:
    """Return the screen with further items: name, score, q, group."""
    more = pd.DataFrame(rows, columns=["Metadata_Item", "value", "q", "Metadata_Group"])
    more = more.assign(Metadata_Metric="activity", Metadata_Level="aligned", Encoder="sslprofiler", n=4)
    return replace(screen, items=pd.concat([screen.items, more], ignore_index=True))


def test_every_count_is_of_the_treatments_alone(screen: gather.Screen):
    more = _with(screen, ("taxol@1.0", 0.9, 0.001, "tubulin"), ("new@1.0", np.nan, np.nan, "trt"))
    found = active.population(more, encoder="sslprofiler", level="aligned", alpha=0.05)
    assert [one.item for one in found.controls] == ["taxol@1.0"], "a positive control, by its wells"
    rows = more.items[
        (more.items["Metadata_Metric"] == "activity")
        & (more.items["Metadata_Level"] == "aligned")
        & (more.items["Encoder"] == "sslprofiler")
        & (more.items["Metadata_Item"] != "taxol@1.0")
    ]
    assert len(found.active) == (rows["q"] < 0.05).sum() > 0
    assert len(found.tested) == rows["q"].notna().sum() == len(found.treatments) - 1
    assert (
        found.sentence()
        == f"{len(found.active)} of {len(found.tested)} treatments are active; 1 more could not be tested"
    )
    best = found.strongest(10)
    assert [one.q for one in best] == sorted(rows["q"].dropna())[:10]


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ((0.01,), "1 of 1 treatment is active"),
        ((0.01, 0.2), "1 of 2 treatments is active"),
        ((0.2, 0.3), "None of 2 treatments is active"),
        ((np.nan, np.nan), "None of 2 treatments could be tested"),
        ((), "No treatment was evaluated"),
    ],
)
def test_the_headline_in_words(screen: gather.Screen, q: tuple[float, ...], words: str):
    bare = replace(screen, items=screen.items.head(0), aligned={})
    rows = [(f"c{number}@1.0", 0.5, value, "trt") for number, value in enumerate(q)]
    found = active.population(_with(bare, *rows), encoder="sslprofiler", level="aligned", alpha=0.05)
    assert found.sentence() == words


def test_names_with_a_shared_column_find_their_wells(screen: gather.Screen):
    aligned = screen.aligned["sslprofiler"]
    treated = aligned[aligned["Metadata_pert_type"] == "trt"]
    names = active.replicate_names(treated, ("Metadata_Cell_Line",))
    bare = replace(screen, items=screen.items.head(0))
    more = _with(bare, *[(str(name), 0.5, 0.01, "trt") for name in sorted(set(names))])
    found = active.population(more, encoder="sslprofiler", level="aligned", alpha=0.05)
    assert {one.item: len(one.wells) for one in found.treatments} == pd.Series(names).value_counts().to_dict()


@pytest.mark.parametrize(
    ("low", "chance", "verdict", "position", "head", "told"),
    [
        (0.5, 0.3, "better", 0.45, "Holds", "yes yes yes"),
        (0.5, 0.3, "undecided", 0.45, "Take care", "yes no yes"),
        (0.5, 0.3, "worse", 0.45, "Take care", "yes no yes"),
        (0.5, 0.3, "better", np.nan, "Checked in part", "yes yes unknown"),
        (0.5, 0.55, "better", 0.7, "Take care", "no yes no"),
        (0.5, 0.3, "", 0.45, "Checked in part", "yes unknown yes"),
    ],
)
def test_trust_compares_with_chance_twin_and_position(
    screen: gather.Screen, low: float, chance: float, verdict: str, position: float, head: str, told: str
):
    names = ["Encoder", "Metadata_Metric", "value", "low", "high", "chance"]
    rows = [
        ("sslprofiler", "activity", 0.6, low, 0.7, chance),
        ("random", "activity", 0.4, 0.3, 0.5, chance),
        ("sslprofiler", "activity.position_only", position, np.nan, np.nan, chance),
    ]
    summary = pd.DataFrame(rows, columns=names).assign(
        Metadata_Level="aligned", n=9, n_undefined=0, Metadata_Guard="", Metadata_Note=""
    )
    pair = {"Encoder": "sslprofiler", "Base": "random", "Metadata_Metric": "activity", "Metadata_Level": "aligned"}
    paired = pd.DataFrame([pair | {"value": 0.2, "Metadata_Verdict": verdict}] if verdict else [])
    table = metrics.table(summary, encoders=screen.encoders)
    changed = replace(screen, summary=summary)
    found = first_screen.trust(changed, table, paired, level="aligned", encoder="sslprofiler")
    assert " ".join(one.state for one in found.checks) == told
    assert found.brief.startswith(f"{head}: ")
    assert not verdict or "its untrained twin random (+0.200)" in found.checks[1].words
    assert first_screen.trust(screen, [], paired, level="aligned", encoder="sslprofiler").checks == ()


def test_metrics_without_a_value_are_listed_once():
    names = ["Encoder", "Metadata_Metric", "Metadata_Level", "value", "low", "high", "n", "n_undefined", "chance"]
    rows = [("e", "nscb", level, *[np.nan] * 3, 0, 8, np.nan) for level in ("normalised", "aligned")]
    rows += [("e", "nsc", "aligned", 0.4, 0.3, 0.5, 8, 0, 0.2), ("e", "nsc", "normalised", *[np.nan] * 3, 0, 8, np.nan)]
    notes = {"nscb": "no_labelled_treatments_in_batches", "nsc": ""}
    summary = pd.DataFrame(rows, columns=names).assign(Metadata_Guard="")
    summary["Metadata_Note"] = summary["Metadata_Metric"].map(notes)
    shown, idle = metrics.applicable(metrics.table(summary, encoders=["e"]))
    assert [(row.metric, row.level) for row in shown] == [("nsc", "aligned")]
    assert len(idle) == 1 and "NSCB" in idle[0][0] and idle[0][1]


def _decoded(made: tiles.Tiles, well: tiles.Well, channel: int) -> np.ndarray:
    """Return the (size, size) grey values of a well's tile, as the page reads them off their sheet."""
    number = made.numbers[well]
    address = made.sheets[number // tiles.SHEET][channel]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(address.split(",")[1]))))
    place = number % tiles.SHEET
    y, x = made.size * (place // made.across), made.size * (place % made.across)
    return sheet[y : y + made.size, x : x + made.size].astype(float)


def test_tiles_are_on_their_plates_own_scale(screen: gather.Screen):
    wells = [tuple(row) for row in screen.crops["P1"][["Metadata_Plate", "Metadata_Well"]].drop_duplicates().to_numpy()]
    made = tiles.make(screen, wells, size=96, each=2)
    assert list(made.numbers) == wells and len(made.sheets) == -(-len(wells) // tiles.SHEET)
    rows, crops = screen.crops["P1"], packed.Packed(screen.crop_files["P1"])
    for well in wells[:3] + wells[-3:]:
        first = rows.loc[rows["Metadata_Well"] == well[1], "Metadata_Row"].iloc[0]
        image = crops.read(int(first))[2].astype(float)  # 48 px, as the quarter of a tile
        wanted = 255 * np.clip((image - 100) / 3900, 0, 1)  # the plate's black and white are 100 and 4000
        assert np.abs(_decoded(made, well, 2)[:48, :48] - wanted).mean() < 4


def test_the_most_different_channel_is_the_planted_one(screen: gather.Screen, tmp_path):
    rows = screen.crops["P1"]
    crops = packed.Packed(screen.crop_files["P1"])
    treated = rows["Metadata_Well"].iloc[-1]
    images = crops.take(range(len(crops)))
    images[rows.loc[rows["Metadata_Well"] == treated, "Metadata_Row"], 3] *= 3
    np.save(tmp_path / "P1.npy", images)
    changed = replace(screen, crop_files={"P1": tmp_path / "P1.npy"}, crops={"P1": rows})
    controls = tiles.controls(changed)["P1"]
    assert len(controls) == tiles.CONTROLS
    made = tiles.make(changed, [("P1", treated), *controls], size=96, each=1)
    assert made.difference([("P1", treated)], controls) == 3
    assert made.difference([], controls) == made.difference([("P1", treated)], []) == 0


def test_fields_are_shown_where_cells_were_not_cropped(screen: gather.Screen):
    fields = replace(screen, crops={}, crop_files={})
    made = tiles.make(fields, [("P1", "A03"), ("P1", "nowhere")], size=64, each=1)
    assert list(made.numbers) == [("P1", "A03")] and made.what == "one field of the well"
    assert len(np.unique(_decoded(made, ("P1", "A03"), 0))) > 20
    assert tiles.make(replace(fields, view_files={}), [("P1", "A03")], size=64, each=1).sheets == ()


@pytest.mark.parametrize(
    ("treatments", "plates", "channels"), [(12, 4, 5), (500, 100, 1), (2000, 24, 5), (2000, 12, 3)]
)
def test_pictures_stay_within_the_budget(treatments: int, plates: int, channels: int):
    each, size = tiles.plan(treatments, plates, channels)
    assert (each * treatments + tiles.CONTROLS * plates) * channels * size**2 * tiles.WEIGHT <= tiles.BUDGET
    assert treatments > 100 or (each, size) == tiles.PLANS[0]
    assert tiles.affordable(size, plates, channels) >= each * treatments, "each treatment has a picture"


def test_panels_hold_every_treatment_with_its_wells(screen: gather.Screen, found: active.Population):
    block = panel.block(screen, found, panel.pictures(screen, found))
    columns = block["size"][1]
    for row, one in zip(
        block["treatments"],
        sorted([*found.treatments, *found.controls], key=lambda x: found.names.index(x.item)),
        strict=True,
    ):
        names = {
            (block["plates"][plate], f"{chr(65 + at // columns)}{at % columns + 1:02d}") for plate, at in row["wells"]
        }
        assert row["item"] == one.item and names == set(one.wells)
        assert all(block["tiles"]["wells"][tile].split()[1] in {well for _, well in one.wells} for tile in row["tiles"])
    cards = panel.cards(found, block)
    assert [card["q"] for card in cards] == [block["treatments"][card["place"]]["q"] for card in cards]
    for card in cards:
        treated, control = (block["tiles"]["wells"][tile].rpartition(" ")[0] for tile in card["pair"])
        assert treated == control, "a control of the same plate"


def test_terms_of_the_page_are_in_the_glossary_of_the_documentation(request: pytest.FixtureRequest):
    text = (request.config.rootpath / "docs" / "glossary.md").read_text()
    terms = set(re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE))
    assert {term for term, _ in glossary.TERMS} <= terms
