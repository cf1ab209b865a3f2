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
from wellspring.report.takeaway import hits


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=12)
    return gather.gather(inputs, **names)


@pytest.fixture(scope="module")
def found(screen: gather.Screen) -> active.Population:
    return active.population(screen, encoder="sslprofiler", level="aligned", alpha=0.05)


def _profiles(names: list[str], *, kind: str = "trt", role: str = "fit", replicates: int = 3) -> pd.DataFrame:
    """Return profiles (3 features) of compounds at dose 1 and of negative controls, a replicate per plate."""
    rng = np.random.default_rng(len(names))
    rows = [
        (f"P{plate}", f"A{place + 1:02d}", name, 1.0, kind)
        for plate in range(replicates)
        for place, name in enumerate(names)
    ]
    rows += [
        (f"P{plate}", f"B{place + 1:02d}", "DMSO", None, "negcon") for plate in range(replicates) for place in range(6)
    ]
    columns = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in columns])
    frame = frame.assign(Metadata_Role=role, Metadata_moa=None, Metadata_Verdict="keep", Metadata_Cell_Line="U2OS")
    return frame.assign(Metadata_Batch="B1", a=rng.normal(size=len(rows)), b=rng.normal(size=len(rows)), c=1.5)


def _items(rows: list[tuple[str, float, float]], *, metric: str = "activity") -> pd.DataFrame:
    """Return items: name, score, q."""
    more = pd.DataFrame(rows, columns=["Metadata_Item", "value", "q"])
    more = more.assign(Metadata_Metric=metric, Metadata_Level="aligned", Encoder="sslprofiler")
    return more.assign(n=3, n_undefined=0, Metadata_Group="trt", p=more["q"])


def test_every_count_is_of_the_treatments_alone(screen: gather.Screen):
    first = screen.items[screen.items["Metadata_Metric"] == "activity"]["Metadata_Item"].iloc[0]
    lost = (screen.items["Metadata_Item"] == first) & (screen.items["Metadata_Metric"] == "activity")
    taxol, stale = _items([("taxol@1.0", 0.9, 0.001)]), _items([("nowhere@1.0", 0.9, 0.001)])
    items = pd.concat([screen.items[~lost], taxol, stale], ignore_index=True)
    found = active.population(replace(screen, items=items), encoder="sslprofiler", level="aligned", alpha=0.05)
    assert [one.item for one in found.controls] == ["taxol@1.0"], "a positive control, by its wells"
    rows = items[
        (items["Metadata_Metric"] == "activity")
        & (items["Metadata_Level"] == "aligned")
        & (items["Encoder"] == "sslprofiler")
        & ~items["Metadata_Item"].isin(["taxol@1.0", "nowhere@1.0"])
    ]
    assert len(found.active) == (rows["q"] < 0.05).sum() > 0
    assert len(found.tested) == rows["q"].notna().sum() == len(found.treatments) - 1
    assert found.sentence().endswith(f"of {len(found.tested)} treatments are active; 1 more could not be tested")
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
    names = [f"c{number}" for number in range(len(q))]
    items = _items([(f"{name}@1.0", 0.5, value) for name, value in zip(names, q, strict=True)])
    bare = replace(screen, items=items, aligned={"sslprofiler": _profiles(names)})
    assert active.population(bare, encoder="sslprofiler", level="aligned", alpha=0.05).sentence() == words


@pytest.mark.parametrize("shared", [(), ("Metadata_Cell_Line",), ("Metadata_Cell_Line", "Metadata_Batch")])
@pytest.mark.parametrize("seed", range(4))
def test_the_page_and_the_list_of_hits_count_the_same_treatments(screen: gather.Screen, shared: tuple, seed: int):
    """Random screens: replicates with shared columns, held-out plates, untested and unscored treatments, odd names."""
    rng = np.random.default_rng(seed)
    names = ["x@10", "a|b", "=1+1", *(f"c{number}" for number in range(9))]
    fit, apart = (
        _profiles(names[:10]),
        _profiles(names[6:], role="heldout").replace({"P0": "H0", "P1": "H1", "P2": "H2"}),
    )
    frame = pd.concat([fit, apart, _profiles(["taxol"], kind="poscon")[:3]], ignore_index=True)
    frame["Metadata_Cell_Line"] = rng.choice(["U2OS", "A549"], len(frame))
    frame["Metadata_Batch"] = np.where(frame["Metadata_Plate"].isin(["P0", "H0"]), "B1", "B2")
    parts = []
    for role, metric in (("fit", "activity"), ("heldout", "activity.heldout")):
        mine = frame[(frame["Metadata_Role"] == role) & (frame["Metadata_pert_type"] != "negcon")]
        keys = ["Metadata_Compound", *shared]
        found = [
            "|".join(str(part).replace("|", "||") for part in (f"{key[0].replace('@', '@@')}@1.0", *key[1:]))
            if shared
            else f"{key[0].replace('@', '@@')}@1.0"
            for key in mine[keys].drop_duplicates().itertuples(index=False)
        ]
        rows = [(name, rng.random(), rng.choice([rng.random() / 8, np.nan])) for name in found if rng.random() < 0.8]
        parts.append(_items(rows, metric=metric))
    items = pd.concat(parts, ignore_index=True)
    whole = replace(screen, items=items, aligned={"sslprofiler": frame}, consensus={}, shared=shared)
    page = active.population(whole, encoder="sslprofiler", level="aligned", alpha=0.05)
    table = hits.table(whole, encoder="sslprofiler", alpha=0.05)
    on_screen = table[(table["population"] == "screen") & (table["type"] == "trt")]
    assert len(on_screen) == len(page.treatments) > 5
    assert (on_screen["active"] == "yes").sum() == len(page.active)
    assert (on_screen["active"] != "not tested").sum() == len(page.tested)
    expected = items[(items["Metadata_Metric"] == "activity") & ~items["Metadata_Item"].str.startswith("taxol")]
    assert (expected["q"] < 0.05).sum() == len(page.active), "no score of a treatment is lost, whatever its name"
    held = table[table["population"] == "held out"]
    assert (held["active"] == "yes").sum() == (items["q"] < 0.05)[items["Metadata_Metric"] == "activity.heldout"].sum()
    assert {one.item for one in page.held_out} == set(held["treatment"]) - set(on_screen["treatment"])
    assert {one.item: len(one.wells) for one in page.treatments} == {one.item: len(one.rows) for one in page.treatments}


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
    assert not verdict or "its untrained twin (random): score +0.200" in found.checks[1].words
    assert first_screen.trust(screen, [], paired, level="aligned", encoder="sslprofiler").checks == ()
    assert "is 0.600 (95 % interval " in found.text
    wide = first_screen.trust(changed, table, paired.assign(low=-0.1), level="aligned", encoder="sslprofiler")
    assert [one.state for one in wide.checks] == told.split()
    bare = first_screen.trust(changed, table, paired.assign(low=np.nan), level="aligned", encoder="sslprofiler")
    if verdict == "undecided":  # no interval, as of few mechanisms, decides nothing
        assert bare.checks[1].words == ("no interval of the difference from its untrained twin (random): score +0.200")
        assert bare.checks[1].state == "unknown" and bare.brief.startswith("Checked in part: ")
    table = metrics.table(summary.assign(low=np.nan, high=np.nan), encoders=screen.encoders)
    assert (
        "is 0.600 (no interval)."
        in first_screen.trust(changed, table, paired, level="aligned", encoder="sslprofiler").text
    )


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
    for row, one in zip(block["treatments"], found.everything, strict=True):
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


def test_doses_of_cards_and_panels_have_the_unit_of_the_platemap(screen: gather.Screen, found: active.Population):
    aligned = {name: frame.assign(Metadata_Concentration_Unit="nM") for name, frame in screen.aligned.items()}
    block = panel.block(replace(screen, aligned=aligned), found, panel.pictures(screen, found))
    stated = [one.dose for one in found.everything if np.isfinite(one.dose)]
    assert [float(row["dose"].removesuffix(" nM")) for row in block["treatments"] if row["dose"]] == stated
    assert all(card["dose"].endswith(" nM") for card in panel.cards(found, block))
    plain = panel.block(screen, found, panel.pictures(screen, found))
    assert [float(row["dose"]) for row in plain["treatments"] if row["dose"]] == stated


def test_terms_of_the_page_are_in_the_glossary_of_the_documentation(request: pytest.FixtureRequest):
    text = (request.config.rootpath / "docs" / "glossary.md").read_text()
    terms = set(re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE))
    assert {term for term, _ in glossary.TERMS} <= terms
