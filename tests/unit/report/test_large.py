"""The page of a hundred plates and 1,500 treatments: small enough, drawn on demand, and usable in a browser.

It has all that a page has, with panels and dose curves of every compound.
"""

import re
from pathlib import Path

import pytest

import chromium
from options import options as typed
from report_screen import fabricate
from wellspring.report import gather, page
from wellspring.report.takeaway import run

PLATES, COMPOUNDS, METRICS = 100, 500, 45  # at three doses each


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = typed("report")
    folder = tmp_path_factory.mktemp("large")
    inputs, names = fabricate(
        folder,
        plates=PLATES,
        rows=16,
        columns=24,
        encoders=("timm",),
        cells=False,
        treatments=COMPOUNDS,
        channels=("DNA",),
        sites=1,
        metrics=METRICS,
    )
    screen = gather.gather(inputs, **names)
    taken = run.takeaway(screen, report=options, evaluate=typed("evaluate", dose_levels=3))
    (folder / "index.html").write_text(page.build(screen, options=options, taken=taken).page)
    return folder / "index.html"


@pytest.fixture(scope="module")
def tab(file: Path, tmp_path_factory: pytest.TempPathFactory):
    with chromium.start(tmp_path_factory.mktemp("chromium")) as found:
        found.open(file)
        yield found
        assert found.complaints == []


def test_it_stays_small_and_states_its_limits(file: Path):
    text = file.read_text()
    assert len(text.encode()) < 25_000_000
    assert text.count("<svg") < 5000, "plates are data, not drawings"
    assert re.search(r"Pictures show one field of the well: of ([12],\d\d\d|3,000) wells", text)
    assert "At most 60 compounds are drawn" in text
    assert "40 of 100 plates are shown: plates that were left out first" in text
    assert "the 29 most frequent mechanisms and all others" in text
    assert "The 60 of 80 with the highest median." in text


def test_plates_are_turned_and_found(tab):
    grid = "document.querySelectorAll('#plate-grid canvas').length"
    assert tab.run(grid) == 24
    assert tab.run("document.querySelector('#plate-pager span').textContent") == "1 to 24, 100 plates"
    tab.click("#plate-pager button:last-child")
    assert tab.run("document.querySelector('#plate-grid b').textContent") == "P25"
    tab.type("#plate-find", "P9")
    assert tab.run(grid) == 11
    tab.type("#plate-find", "")


def test_long_tables_have_pages(tab):
    rows = "[...document.querySelectorAll('#quality table:first-of-type tbody tr')].filter((e) => !e.hidden).length"
    assert tab.run(rows.replace("table:first-of-type", "table[data-name=plates]")) == 25
    assert tab.run("document.querySelectorAll('#treatment-table tbody tr').length") == 25
    many = tab.run("document.querySelector('#treatment-pager span').textContent")
    assert many.startswith("1 to 25, ") and int(many.split(", ")[1].split()[0].replace(",", "")) > 3 * COMPOUNDS - 3
    tab.type("#metric-find", "kind 44")
    shown = "[...document.querySelectorAll('.metrics tr.of-level')].filter((e) => e.checkVisibility()).length"
    assert tab.run(shown) == 1
    tab.type("#metric-find", "")
    assert tab.run(shown) < 20, "further metrics stay folded"


def test_a_well_without_a_picture_shows_one_of_its_treatment(tab):
    tab.focus("#map-canvas")
    told, pictured = set(), 0
    for _ in range(40):
        tab.key("ArrowRight")
        pictured += not tab.run("document.querySelector('#tip-picture').hidden")
        told |= {line for line in tab.tip().split("\n") if line.startswith("Picture: ")}
    assert pictured > 35, "a treatment without any usable image has no picture"
    assert told and all(line.endswith(", the same treatment") for line in told)


def test_on_a_phone_nothing_reaches_past_the_screen(tab, file: Path):
    tab.open(file, width=390, height=844, phone=True)
    assert tab.run("innerWidth") == 390


def test_paper_has_all_plates(tab, file: Path):
    tab.open(file)
    tab.media(paper=True)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("document.querySelectorAll('#plate-grid canvas').length") == PLATES - 1, "one was left out"
    tab.run("dispatchEvent(new Event('afterprint'))")
    assert tab.run("document.querySelectorAll('#plate-grid canvas').length") == 24
