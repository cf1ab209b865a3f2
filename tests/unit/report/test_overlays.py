"""Outlined fields of the report: which are drawn, what is drawn on them, and the counts of flags."""

import base64
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from report_screen import fabricate
from wellspring.io import tables
from wellspring.report import gather, overlays, palette
from wellspring.report.overlays import FLAGGED, PLAIN


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> gather.Screen:
    inputs, names = fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=12)
    return gather.gather(inputs, **names)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.uint32, (7, 9), elements=st.integers(0, 3)))
def test_an_outline_is_where_a_neighbour_is_of_another_object(labels):
    expected = np.zeros(labels.shape, bool)
    for y, x in np.argwhere(labels > 0):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        inside = [(row, column) for row, column in around if 0 <= row < 7 and 0 <= column < 9]
        expected[y, x] = any(labels[place] != labels[y, x] for place in inside)
    np.testing.assert_array_equal(overlays.outlines(labels), expected)


def test_flagged_cells_have_another_colour_and_nuclei_lie_above_cells():
    cells, nuclei = np.zeros((2, 20, 40), np.uint32)
    cells[2:18, 2:18], cells[2:18, 22:38] = 1, 7
    nuclei[6:12, 6:12], nuclei[2:12, 26:32] = 1, 7
    drawn = overlays.draw(np.full((20, 40, 3), 100, np.uint8), nuclei, cells, flagged=np.array([7]))
    assert tuple(drawn[2, 2]) == PLAIN[0] and tuple(drawn[6, 6]) == PLAIN[1]
    assert tuple(drawn[2, 22]) == FLAGGED[0] and tuple(drawn[2, 26]) == FLAGGED[1]
    assert tuple(drawn[0, 0]) == tuple(drawn[8, 8]) == (55, 55, 55)


@pytest.mark.parametrize(
    ("shape", "wide", "edge", "step"),
    [((400, 400), 430, 400, 1), ((400, 400), 330, 400, 1), ((1080, 1280), 430, 430, 1), ((2160, 2160), 1400, 1400, 3),
     ((60, 60), 10**6, 60, 1)],
)  # fmt: skip
def test_of_a_large_field_the_middle_is_shown(shape, wide, edge, step):
    (y, x), found = overlays.window(shape, wide)
    assert (y.stop - y.start, x.stop - x.start, found) == (edge, edge, step)
    assert -(-edge // step) <= overlays.EDGE
    assert abs(y.start + y.stop - shape[0]) <= 1 and abs(x.start + x.stop - shape[1]) <= 1


def test_a_control_and_a_treated_well_of_each_plate_are_drawn_with_their_counts(screen):
    found = overlays.fields(screen, limit=48)
    assert [picture.title.split(" ")[0] for picture in found] == ["P1", "P1", "P2", "P2", "P3", "P3"]
    assert [picture.lines[0].split(" · ")[-1] for picture in found] == ["negative control", "treated"] * 3
    rows = tables.read(screen.cell_files["P1"])
    well = found[0].title.split(" ")[1].rstrip(",")
    mine = rows[rows["Metadata_Well"] == well]
    flagged = int((mine["Metadata_Flags"] != "").sum())
    assert found[0].lines[1].startswith(f"{len(mine)} cells, {flagged} flagged")
    assert overlays.fields(screen, limit=48) == found, "the same fields each time"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0].address.partition(",")[2]))))
    assert pixels.shape == (60, 60, 3)


def test_what_is_drawn_are_the_cells_of_the_field(screen, monkeypatch):
    """Before it is compressed: a pixel of an outline in the colour that the cell's flags ask for."""
    kept = []
    monkeypatch.setattr(palette, "data_address", lambda pixels, **options: kept.append(pixels) or "")
    picture = overlays.fields(screen, limit=1)[0]
    plate, well = picture.title.split(",")[0].split(" ")
    rows = tables.read(screen.cell_files[plate]).query("Metadata_Well == @well").head(16)
    for place, flags in enumerate(rows["Metadata_Flags"]):
        y, x = 14 * (place // 4) + 2, 14 * (place % 4) + 2
        colours = FLAGGED if flags else PLAIN
        assert tuple(kept[0][y, x]) == colours[0] and tuple(kept[0][y + 3, x + 3]) == colours[1]


@pytest.mark.parametrize("limit", [0, 1, 7, 48])
def test_of_many_plates_some_are_drawn_evenly(screen, limit):
    names = tuple(f"Q{number}" for number in range(100))
    files = {"image_files": "image", "label_files": "label", "cell_files": "cell"}
    same = {name: dict.fromkeys(names, getattr(screen, name)["P1"]) for name in files}
    found = overlays.fields(replace(screen, plates=names, **same), limit=limit)
    assert len(found) == limit
    drawn = sorted({int(picture.title.split(" ")[0][1:]) for picture in found})
    assert len(drawn) == -(-limit // 2)
    if limit == 48:
        assert (drawn[0], drawn[-1]) == (0, 99) and max(np.diff(drawn)) <= 5
        assert sum(len(picture.address) for picture in found) < 6_000_000


def test_wells_of_unknown_kind_are_drawn_too(screen):
    unnamed = screen.wells.drop(columns=["Metadata_pert_type", "Metadata_Perturbation"])
    found = overlays.fields(replace(screen, wells=unnamed), limit=2)
    assert len({picture.title for picture in found}) == 2 and found[0].lines[0] == ""


def test_flags_are_counted_one_by_one(screen):
    found = {row["plate"]: row for row in overlays.by_plate(screen)}
    rows = tables.read(screen.cell_files["P2"])
    flagged = int((rows["Metadata_Flags"] != "").sum())
    assert found["P2"]["cells"] == len(rows) and found["P2"]["flagged"] == flagged > 0
    assert found["P2"]["flags"] == dict.fromkeys(overlays.FLAGS, 0) | {"border": flagged, "small": flagged}
    assert overlays.by_plate(replace(screen, flags=pd.DataFrame())) == []


def test_a_field_without_cells_and_a_plate_without_labels(screen, tmp_path):
    empty = tables.read(screen.cell_files["P1"]).head(0)
    tables.write(empty, tmp_path / "none.parquet", table="cells", provenance={})
    none = replace(screen, cell_files=screen.cell_files | {"P1": tmp_path / "none.parquet"}, label_files={
        "P1": screen.label_files["P1"]})  # fmt: skip
    found = overlays.fields(none, limit=48)
    assert len(found) == 2 and found[0].lines[1] == "0 cells, 0 flagged"
    assert overlays.fields(replace(screen, label_files={}), limit=48) == []
