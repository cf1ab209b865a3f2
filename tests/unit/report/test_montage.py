"""Plates as they look, quality by well and channel, and what was left out: pictures, their places, their limits."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from report_screen import CHANNELS, fabricate
from wellspring.io.notes import Note, dumps
from wellspring.report import exclusions, gather, measures, montage, pictures


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), plates=3, rows=4, columns=6)
    return gather.gather(inputs, **names)


def _pixels(drawing: str) -> np.ndarray:
    code = re.search(r"data:image/jpeg;base64,([^\"]+)", drawing)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(code))), dtype=float)


def _plate(folder: Path, fields: dict[tuple, float], *, status: dict[tuple, str] | None = None) -> gather.Screen:
    """Return a screen of one plate and channel whose views are even: {(well, site, plane): grey value}."""
    rows = pd.DataFrame(list(fields), columns=["Metadata_Well", "Metadata_Site", "Metadata_Plane"]).assign(
        Metadata_Plate="P", Metadata_Channel="DNA", Metadata_Status="ok", Metadata_Verdict="keep", Metadata_Reason=""
    )
    rows["sharpness"] = rows["Metadata_Plane"].astype(float) / 10
    rows["Row"] = range(len(rows))
    views = np.stack([np.full((8, 12), value, dtype=np.float32) for value in fields.values()])
    for place, what in (status or {}).items():
        here = list(fields).index(place)
        rows.loc[here, ["Metadata_Status", "Metadata_Verdict"]] = ["ok" if what == "exclude" else what, "exclude"]
        views[here] = views[here] if what == "exclude" else np.nan
    np.save(folder / "P.npy", views)
    empty = {name: {} for name in gather.Screen.__dataclass_fields__}
    frames = {"survey": rows, "verdicts": {"P": gather.Verdict()}, "view_files": {"P": folder / "P.npy"}}
    return gather.Screen(**empty | frames | {"plates": ("P",), "channels": ("DNA",), "encoders": ()})


def test_every_well_is_in_its_place_on_one_scale(tmp_path: Path):
    values = {("B02", "1", "1"): 100, ("B03", "1", "1"): 200, ("C02", "1", "1"): 300, ("C04", "1", "1"): 400}
    (one,) = montage.montages(_plate(tmp_path, values), limit=10)
    pixels = _pixels(one.drawing)
    assert pixels.shape == (2 * 8, 3 * 12), "rows B and C, columns 2 to 4, fields 8 x 12 as they are"
    shown = pixels.reshape(2, 8, 3, 12).mean(axis=(1, 3))
    low, high = (100, 400)
    wanted = (np.array([[100, 200, np.nan], [300, np.nan, 400]]) - low) / (high - low) * 255
    np.testing.assert_allclose(shown[np.isfinite(wanted)], wanted[np.isfinite(wanted)], atol=6)
    assert one.words == "black 100, white 400 counts"
    assert re.findall(r">([A-Z0-9]+)</text>", one.drawing) == ["B", "C", "2", "3", "4"]


def test_a_well_is_shown_by_a_kept_field_the_first_and_the_sharpest(tmp_path: Path):
    values = {("A01", site, plane): 100 * int(site) + int(plane) for site in ("10", "2", "1") for plane in ("1", "2")}
    screen = _plate(tmp_path, values, status={("A01", "1", "1"): "exclude", ("A01", "1", "2"): "exclude"})
    (row,) = montage.fields(screen.survey).to_dict("records")
    assert (row["Metadata_Site"], row["Metadata_Plane"]) == ("2", "2")
    screen = _plate(tmp_path, values, status=dict.fromkeys(values, "exclude"))
    (row,) = montage.fields(screen.survey).to_dict("records")
    assert (row["Metadata_Site"], row["Metadata_Plane"]) == ("1", "2"), "of none that was kept the first is shown"


def test_wells_left_out_are_framed_and_unread_ones_crossed(tmp_path: Path):
    values = {(f"A{column:02d}", "1", "1"): column for column in range(1, 5)}
    screen = _plate(tmp_path, values, status={("A02", "1", "1"): "exclude", ("A03", "1", "1"): "truncated"})
    (one,) = montage.montages(screen, limit=10)
    assert one.words.endswith("; wells with an image left out: 2")
    frames = re.search(r'<path d="([^"]*)" fill="none" stroke="var\(--bad', one.drawing)[1]
    assert re.findall(r"M(\S+) ", frames) == ["140", "260"]
    assert one.drawing.count('stroke="var(--muted') == 1
    (one,) = montage.montages(_plate(tmp_path, values, status=dict.fromkeys(values, "missing")), limit=10)
    assert one.words.startswith("no image could be read")


def test_of_many_plates_the_worst_are_shown_in_their_order(screen: gather.Screen):
    assert [one.plate for one in montage.montages(screen, limit=100)] == [p for p in screen.plates for _ in CHANNELS]
    assert montage.chosen(screen, limit=5) == ["P3"], "it was left out"
    survey = screen.survey.copy()
    survey.loc[survey["Metadata_Plate"] == "P2", "Metadata_Verdict"] = "exclude"
    assert montage.chosen(replace(screen, survey=survey), limit=14) == ["P2", "P3"]
    assert montage.montages(screen, limit=0) == []
    assert montage.montages(replace(screen, survey=pd.DataFrame()), limit=9) == []


@pytest.mark.parametrize(("rows", "columns"), [(8, 12), (16, 24), (32, 48)])
def test_a_picture_is_of_one_width_whatever_the_format(rows: int, columns: int):
    views = np.random.default_rng(0).random((rows * columns, 64, 64)).astype(np.float32)
    spots = [(row, column) for row in range(rows) for column in range(columns)]
    whole = montage.picture(views, spots, (rows, columns))
    assert whole.shape == (montage.WIDE * rows // columns, montage.WIDE)
    assert np.isfinite(whole).all() and abs(whole.mean() - views.mean()) < 1e-4


def test_quality_is_drawn_by_channel_and_over_channels_where_wells_are_many(screen: gather.Screen, monkeypatch):
    survey = screen.survey.copy()
    rng = np.random.default_rng(0)
    survey["quantile_0.5"] = rng.uniform(100, 200, len(survey)) * np.where(survey["Metadata_Channel"] == "DNA", 10, 1)
    survey["saturated"] = rng.uniform(0, 0.1, len(survey))
    survey.loc[survey["Metadata_Well"] == "B02", "sharpness"] = np.nan
    screen = replace(screen, survey=survey)
    found = {one.name: one for one in measures.measures(screen, primary=None)}
    names = [name for name, *_ in measures.SURVEYED]
    assert [name for name in found if found[name].group] == [
        f"{name}, {channel}" for name in names for channel in CHANNELS
    ]
    dna = survey[(survey["Metadata_Channel"] == "DNA") & (survey["Metadata_Plate"] == "P1")].groupby("Metadata_Well")
    for name, wanted in (("Intensity, DNA", dna["quantile_0.5"].median()), ("Saturation, DNA", dna["saturated"].max())):
        values = found[name].values
        shown = values[values["Plate"] == "P1"].set_index("Well")["Value"]
        pd.testing.assert_series_equal(shown, wanted, check_names=False)
    sharp = found["Sharpness, ER"].values.set_index("Well")["Value"]
    assert sharp["B02"].isna().all() and sharp.drop("B02").notna().all(), "an emptied well is crossed, not sharp"
    monkeypatch.setattr(measures, "MANY_IMAGES", 10)
    found = {one.name: one for one in measures.measures(screen, primary=None)}
    assert [name for name in found if found[name].group] == names
    assert found["Intensity"].values["Value"].between(0.5, 2).all(), "relative to each channel's own"


def test_left_out_images_are_spread_over_reasons_and_plates(screen: gather.Screen):
    survey = screen.survey.copy()
    first = survey.index[survey["Metadata_Plate"] == "P1"][100:200]
    survey.loc[first, "Metadata_Verdict"] = "exclude"
    survey.loc[first, "Metadata_Reason"] = [
        str(Note("saturated", {"share": place / 100, "limit": 0.0})) for place in range(100)
    ]
    shown, many = pictures.bad_images(replace(screen, survey=survey), limit=8)
    assert many == 112 and len(shown) == 8
    kinds = [one.lines[0].split(":")[0] for one in shown]
    assert kinds.count("saturated") == 1 and {"missing", "blank", "out of focus", "unreadable"} < set(kinds)


def test_what_a_person_kept_is_listed_with_the_reason(screen: gather.Screen):
    assert exclusions.spared(screen) == []
    survey = screen.survey.copy()
    notes = (Note("kept_as_listed", {"reason": "mitosis"}), Note("saturated", {"share": 0.02, "limit": 0.01}))
    survey.loc[[0, 1], "Metadata_Reason"] = dumps(notes)
    words = "kept as listed: mitosis; saturated: 2.0 % of the pixels, more than 1.0 %"
    (row,) = exclusions.spared(replace(screen, survey=survey))
    assert row == {"plate": "P1", "well": "A01", "site": "1", "images": 2, "example": words}
