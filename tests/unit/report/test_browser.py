"""The page in a browser, four plates: hover, filters, levels, keyboard, dark, paper, a phone, and no complaint."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

import chromium
from options import options as typed
from report_screen import CHANNELS, HOSTILE, fabricate
from wellspring.report import gather, page
from wellspring.report.takeaway import run
from wellspring.screen import sections

SECTIONS = (
    "results treatments activity dose similarity map consistency matches transfer checks metrics alignment training"
)
SECTIONS += " samples cells plates montage illumination quality glossary time provenance"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with chromium.start(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture(scope="module")
def options() -> sections.Report:
    return typed("report", sample_groups=4, title=HOSTILE)


@pytest.fixture(scope="module")
def file(browser, tmp_path_factory: pytest.TempPathFactory, options: sections.Report) -> Path:
    folder = tmp_path_factory.mktemp("screen")
    inputs, names = fabricate(folder, plates=4, sites=1, channels=CHANNELS[:3], metrics=12)
    screen = gather.gather(inputs, **names)
    taken = run.takeaway(screen, report=options, evaluate=typed("evaluate", dose_levels=3))
    (folder / "index.html").write_text(page.build(screen, options=options, taken=taken).page)
    return folder / "index.html"


@pytest.fixture
def tab(browser, file: Path):
    """Return the page, opened anew; after the test it must not have complained, and no name may have become code."""
    browser.complaints.clear()
    browser.open(file)
    browser.run("window.owned = (n) => { document.body.dataset.owned = n; }")
    yield browser
    assert browser.complaints == []
    assert browser.run("document.body.dataset.owned ?? null") is None
    assert browser.run("document.querySelectorAll('img[src=x]').length") == 0


def shown(tab, selector: str) -> list[str]:
    """Return the texts of the elements that are displayed."""
    program = "[...document.querySelectorAll(%s)].filter((e) => e.checkVisibility()).map((e) => e.textContent.trim())"
    return tab.run(program % json.dumps(selector))


def test_every_part_is_there_and_headed(tab):
    for name in SECTIONS.split():
        assert tab.run(f"!!document.querySelector('#{name} h2')"), name
    assert tab.run("document.title") == HOSTILE
    assert HOSTILE in " ".join(shown(tab, "#quality td"))


def test_a_well_of_the_map_tells_what_it_holds_and_shows_a_picture(tab):
    wells = tab.run("JSON.parse(document.querySelector('#map-data').textContent).sslprofiler")
    at = wells["columns"]["Compound"]["codes"].index(wells["columns"]["Compound"]["levels"].index(HOSTILE))
    spot = [wells["levels"]["aligned"][axis][at] for axis in "xy"]
    box = tab.box("#map-canvas")
    # the canvas has a border of one pixel and keeps 14 free on all sides
    width, height = box[2] - 2 - 28, box[3] - 2 - 28
    tab.point(box[0] + 15 + width * spot[0] / 1000, box[1] + 15 + height * (1 - spot[1] / 1000))
    tip = tab.wait("document.querySelector('#tip').hidden ? '' : document.querySelector('#tip-text').textContent")
    plate = wells["columns"]["Plate"]["levels"][wells["columns"]["Plate"]["codes"][at]]
    assert tip.startswith(f"{plate} {wells['wells'][at]}\n")
    assert f"Compound: {HOSTILE}" in tip
    assert not tab.run("document.querySelector('#tip-picture').hidden")
    assert tab.run("document.querySelector('#tip-picture').dataset.well") == f"{plate} {wells['wells'][at]}"
    pixels = "new Set(document.querySelector('#tip-picture').getContext('2d').getImageData(0, 0, 128, 128).data).size"
    tab.wait(f"{pixels} > 20")


def test_the_map_before_alignment_is_another_and_filters_count(tab):
    picture = "document.querySelector('#map-canvas').toDataURL()"
    aligned = tab.run(picture)
    tab.choose("#map-level", "normalised")
    before = tab.run(picture)
    assert before != aligned
    tab.choose("#map-encoder", "random")
    assert tab.run(picture) != before
    tab.type("#map-find", "compound 3")
    many, whole = tab.run("document.querySelector('#map-count').textContent").removesuffix(" wells").split(" of ")
    assert 0 < int(many) < int(whole)
    tab.choose("#map-colour", "Concentration")
    assert shown(tab, "#map-legend p") == ["0.1 (dark) to 10 (bright)"]
    tab.choose("#map-colour", "Mechanism")
    tab.type("#map-find", "")
    tab.click("#map-legend button")
    assert " of " in tab.run("document.querySelector('#map-count').textContent")


def test_the_level_is_of_the_whole_page(tab):
    assert set(shown(tab, ".metrics tr.of-level .level-name") + shown(tab, "h3.level-name")) == set()
    values = tab.run("document.querySelector('#treatment-table tbody').textContent")
    volcano = tab.run("[...document.querySelectorAll('#activity .of-level')].map((e) => [e.dataset.level, e.hidden])")
    assert sorted(volcano) == [["aggregated", True], ["aligned", False], ["normalised", True]]
    tab.click("input[value=normalised] + span")
    volcano = tab.run("[...document.querySelectorAll('#activity .of-level')].map((e) => [e.dataset.level, e.hidden])")
    assert sorted(volcano) == [["aggregated", True], ["aligned", True], ["normalised", False]]
    assert tab.run("document.querySelector('#treatment-table tbody').textContent") != values
    tab.click("input[value=all] + span")
    assert {"aggregated", "normalised", "aligned"} <= set(shown(tab, "h3.level-name"))


def test_metrics_fold_unfold_and_are_found(tab):
    def names() -> list[str]:
        return shown(tab, ".metrics tr.of-level th")

    first = names()
    assert any("Phenotypic activity" in name for name in first) and not any("kind 3" in name for name in first)
    of = "(e) => e.textContent.includes('Batch effects')"
    nuisance = f"[...document.querySelectorAll('.metrics tbody')].findIndex({of})"
    group = f".metrics tbody:nth-of-type({tab.run(nuisance) + 1})"
    assert shown(tab, f"{group} .more")[0].endswith(" further")
    tab.click(f"{group} .more")
    assert any("kind 3" in name for name in names())
    tab.click(f"{group} .fold")
    assert not any("kind" in name or "Batch read" in name for name in names())
    tab.type("#metric-find", "kind 1")
    assert len(names()) == 3 and all("kind 1" in name for name in names())  # 1, 10 and 11
    tab.type("#metric-find", "")
    tab.click(f"{group} .fold")
    tab.click(f"{group} .more")
    assert names() == first


def test_treatments_sort_and_filter(tab):
    whole = shown(tab, "#treatment-table tbody th")
    assert len(whole) == 25
    marks = [text.split() for text in shown(tab, "#treatment-table td:nth-child(4)")]
    q = [0.0 if value == "<0.001" else float(value) for _, value in marks]
    assert q == sorted(q)
    tab.click("#treatment-pager button:last-child")
    marks += [text.split() for text in shown(tab, "#treatment-table td:nth-child(4)")]
    q = [0.0 if value == "<0.001" else float(value) for _, value in marks]
    assert q == sorted(q) and 0 < sum(value < 0.05 for value in q) < len(q)
    assert [mark for mark, _ in marks] == ["●" if value < 0.05 else "○" for value in q], "not by colour alone"
    tab.click("#treatment-table thead th:nth-child(3) button")
    best = [float(text.replace("−", "-")) for text in shown(tab, "#treatment-table td:nth-child(3)")]
    assert best == sorted(best, reverse=True)
    tab.click("#treatment-table thead th:first-child button")
    names = [name for name in shown(tab, "#treatment-table tbody th") if name.startswith("compound")]
    numbers = [int(name.split("@")[0].split()[1]) for name in names]
    assert numbers == sorted(numbers), "compound 2 stands before compound 10"
    tab.type("#treatment-find", "compound 10")
    assert shown(tab, "#treatment-table tbody th") and all(
        name.startswith("compound 10@") for name in shown(tab, "#treatment-table tbody th")
    )
    tab.choose("#treatment-metric", "nsc")
    tab.type("#treatment-find", "onerror")
    assert all(HOSTILE in text for text in shown(tab, "#treatment-table tbody tr"))


def test_one_click_leads_from_the_first_screen_to_a_hit_beside_its_controls(tab):
    heading = shown(tab, "#results h2")[0]
    rows = tab.run("JSON.parse(document.querySelector('#panel-data').textContent).treatments")
    treated = [row for row in rows if not row["control"]]
    assert heading == f"{sum(row['active'] for row in treated)} of {len(treated)} treatments are active"
    cards = shown(tab, ".cards li")
    assert len(cards) == 10 and "● active" in cards[0]
    tab.wait("document.querySelectorAll('.cards canvas[data-drawn]').length === 20")
    tab.click(".cards li:first-child button")
    assert shown(tab, "#panel-name")[0] and cards[0].count(shown(tab, "#panel-name")[0]) == 1
    tab.wait("[...document.querySelectorAll('#panel canvas.tile')].every((e) => e.dataset.drawn)")
    doses = [float(text.split()[1]) for text in shown(tab, "#panel .dose h3") if " · " in text]
    assert len(shown(tab, "#panel .tile-strip small")) == 2 * len(doses)
    assert len(doses) == 3 and f" at {doses[0]:g}" in cards[0], "the strongest dose first, then the highest"
    assert doses[1:] == sorted(doses[1:], reverse=True)
    grey = "new Set(document.querySelector('#panel canvas.tile').getContext('2d').getImageData(0, 0, 60, 60).data).size"
    assert tab.run(grey) > 20
    one = tab.run("document.querySelector('#panel canvas.tile').toDataURL()")
    tab.choose("#panel-channel", "all")
    tab.wait("document.querySelector('#panel canvas.tile').dataset.drawn.endsWith('all')")
    assert tab.run("document.querySelector('#panel canvas.tile').toDataURL()") != one
    tab.click("#panel-next")
    assert shown(tab, "#panel-name")[0] in cards[1]
    tab.click("#panel .well-links button")
    assert not tab.run("document.querySelector('#panel').open")
    assert len(shown(tab, "#plate-grid b")) == 1


def test_a_panel_shows_the_dose_curve_and_look_alikes(tab):
    tab.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    heads = shown(tab, "#panel h3")
    assert {"Dose response", "What looks like it", "Wells on the plates"} <= set(heads)
    assert "standard deviations of the controls" in " ".join(shown(tab, "#panel p"))
    weak = tab.run(f"Page.treatment.row({json.dumps(HOSTILE)}).active") is False
    assert ("not active itself" in " ".join(shown(tab, "#panel p"))) == weak
    other = shown(tab, "#panel table button.opens")[0]
    tab.focus("#panel table button.opens")
    tab.key("Enter")
    assert other.startswith(shown(tab, "#panel-name")[0])


def test_the_curve_of_a_long_series_is_in_the_first_view_and_weaker_doses_fold(tab, file: Path):
    head, start = '<script type="application/json" id="panel-data">', file.read_text(encoding="utf-8")
    before, rest = start.split(head)
    text, after = rest.split("</script>", 1)
    data = json.loads(text)
    number = next(at for at, (name, _) in enumerate(data["compounds"]) if name == HOSTILE)
    row = next(one for one in data["treatments"] if one["compound"] == number)
    for amount in range(7):  # ten doses in all
        weak = {"item": f"weak {amount}", "dose": f"0.00{amount}", "amount": amount / 1000, "active": None}
        data["treatments"].append(row | weak)
        data["rank"].append(None)
    long = file.with_name("long.html")
    long.write_text(before + head + str(page.block(data)) + "</script>" + after, encoding="utf-8")
    tab.open(long, width=1400, height=900)
    tab.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    tab.rest()
    for part in ("#panel svg.figure", "#panel canvas.tile"):
        assert tab.run(f"document.querySelector('{part}').getBoundingClientRect().bottom") < 900, part
    doses = [text for text in shown(tab, "#panel .dose h3") if " · " in text]
    assert len(doses) == 3 and shown(tab, "#panel details > summary") == ["7 further doses"]
    tab.run("document.querySelector('#panel details').open = true")
    assert len([text for text in shown(tab, "#panel .dose h3") if " · " in text]) == 10
    tab.run("Page.treatment.open('weak 3')")
    doses = [text for text in shown(tab, "#panel .dose h3") if " · " in text]
    assert len(doses) == 3 and doses[0].startswith("Dose 0.003 "), "the dose that was asked for is the first"
    assert "What changed at dose 0.003" in shown(tab, "#panel h3")
    tab.open(long, width=390, height=844, phone=True)
    tab.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    assert tab.run("document.querySelector('#panel svg.figure').getBoundingClientRect().top") < 844
    assert tab.run("document.querySelector('#panel').scrollWidth <= document.querySelector('#panel').clientWidth")


@pytest.mark.parametrize("width", [1024, 1400])
def test_the_boxes_of_the_header_do_not_wrap(tab, file: Path, width: int):
    tab.open(file, width=width)
    heights = tab.run(
        "[...document.querySelectorAll('.totals span')].map((e) => e.getClientRects().length && "
        "e.getBoundingClientRect().height / parseFloat(getComputedStyle(e).lineHeight))"
    )
    assert len(heights) == 5 and max(heights) < 1.5


def test_doses_without_a_unit_say_so_once_and_how_to_set_it(tab):
    assert tab.run("JSON.parse(document.querySelector('#panel-data').textContent).unitless")
    assert " ".join(shown(tab, "#results p")).count("index.unit") == 1
    tab.click(".cards li:first-child button")
    assert "which states no unit" in shown(tab, "#panel-body > p")[0]


def test_encoders_and_categories_of_the_map_differ_in_shape(tab):
    assert tab.run("new Set([...Array(64).keys()].map((i) => JSON.stringify([Page.corners(i), i % 8]))).size") == 64
    icons = tab.run("[...document.querySelectorAll('#alignment .legend svg > *')].map((e) => e.outerHTML)")
    assert len(icons) > 1 and len(set(icons)) == len(icons)


def test_a_compound_opens_at_its_strongest_dose(tab):
    tab.run("window.panel = JSON.parse(document.querySelector('#panel-data').textContent)")
    rows, rank, compounds = (tab.run(f"window.panel.{name}") for name in ("treatments", "rank", "compounds"))
    several = 0
    for number, (compound, _) in enumerate(compounds):
        mine = [at for at, row in enumerate(rows) if row["compound"] == number and rank[at] is not None]
        best = min(mine, key=lambda at: rank[at], default=None)
        if best is None or any(row["item"] == compound for row in rows):
            continue
        several += len(mine) > 1 and best != mine[0]
        assert tab.run(f"Page.treatment.row({json.dumps(compound)})")["item"] == rows[best]["item"]
    assert several


def test_tables_and_drawings_of_a_panel_are_taken_away(tab):
    tab.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    tables, drawings = (
        tab.run(f"document.querySelectorAll('#panel {part}').length") for part in ("table", "svg.figure")
    )
    assert (tables, drawings) == (1, 2), "look-alikes, and a curve in each of two cell lines"
    assert shown(tab, "#panel .take button") == ["SVG", "SVG", "CSV"]
    tab.run("URL.createObjectURL = (blob) => { window.taken = blob; return '#'; }")
    tab.run("[...document.querySelectorAll('#panel .take button')].at(-1).click()")
    rows = list(csv.reader(io.StringIO(tab.run("window.taken.text()").removeprefix("\ufeff"))))
    assert rows[0] == ["Treatment", "Mechanism", "Similarity", "Same mechanism"]
    assert [row[0] for row in rows[1:]] == shown(tab, "#panel table button.opens")
    tab.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    assert len(shown(tab, "#panel .take button")) == 3, "offered once, however often the panel is filled"


def test_similar_treatments_are_told_and_open(tab):
    data = tab.run("Page.similarity")
    tab.focus("#similarity-canvas")
    for _ in range(2):
        tab.key("ArrowRight")
    first, second = data["names"][0], data["names"][1]
    assert tab.tip().splitlines()[-1] == f"similarity {data['values'][0][1] / 100:.2f}".replace("-", "−")
    assert tab.tip().startswith(first) and second in tab.tip()
    narrow = tab.box("#similarity-canvas")[2]
    program = "(e) => { e.value = 4; e.dispatchEvent(new Event('input')); }"
    tab.run(f"({program})(document.querySelector('#similarity-zoom'))")
    assert tab.box("#similarity-canvas")[2] > 2 * narrow
    assert tab.run("document.documentElement.scrollWidth <= innerWidth"), "it scrolls in its own frame"
    tab.focus("#similarity-canvas")
    tab.key("ArrowDown")
    tab.key("Enter")
    assert first.startswith(shown(tab, "#panel-name")[0])


def test_many_mechanisms_differ_by_more_than_a_colour_that_repeats(tab, file: Path):
    before, start, rest = file.read_text().partition('id="similarity-data">')
    data, end, after = rest.partition("</script>")
    crowded = file.with_name("crowded.html")
    levels = [f"mechanism {number}" for number in range(20)]
    crowded.write_text(
        before + start + json.dumps(json.loads(data) | {"levels": levels}).replace("<", "\\u003c") + end + after
    )
    tab.open(crowded)
    program = (
        "[...document.querySelectorAll('#similarity-legend .swatch')].map((e) => [e.style.background, e.style.width])"
    )
    marks = [tuple(mark) for mark in tab.run(program)]
    assert len(marks) == len(set(marks)) == 20 and len({colour for colour, _ in marks}) == 8


def test_the_map_is_of_types_first_and_tells_all_wells_under_the_pointer(tab):
    chosen = "document.querySelector('#map-colour')"
    assert tab.run(f"[...{chosen}.options].map((e) => e.value).slice(0, 2)") == ["Type", "Mechanism"]
    assert tab.run(f"{chosen}.value") == "Type"
    assert set(shown(tab, "#map-legend button")) == {"negative control", "positive control", "treatment"}
    shapes = tab.run("[...document.querySelectorAll('#map-legend button svg g')].map((e) => e.innerHTML)")
    assert len(set(shapes)) == 3, "types differ in shape, not by colour alone"
    box = tab.box("#map-canvas")
    wells = tab.run("JSON.parse(document.querySelector('#map-data').textContent).sslprofiler")
    scale = ((box[2] - 30) / 1000, (box[3] - 30) / 1000)
    spots = [(x * scale[0], (1000 - y) * scale[1]) for x, y in zip(*wells["levels"]["aligned"].values(), strict=True)]
    near = [sum((x - a) ** 2 + (y - b) ** 2 < 20 for a, b in spots) for x, y in spots]
    crowded = near.index(max(near))
    assert near[crowded] > 1
    tab.point(box[0] + 15 + spots[crowded][0], box[1] + 15 + spots[crowded][1])
    tip = tab.wait("document.querySelector('#tip').hidden ? '' : document.querySelector('#tip-text').textContent")
    assert "Also here, " in tip and tip.count("\nP") >= near[crowded] - 1


def test_tables_are_taken_away_as_csv(tab):
    hard = ["=1+1", "-3.5", "−0.25", "1,234", "–", 'a "b", c', "x\ny", "(-)-nicotine", "@home", HOSTILE]
    text = tab.run(f"Page.csv([['name', 'end'], ...{json.dumps(hard)}.map((one) => [one, 'x'])]).join('')")
    rows = [row[0] for row in csv.reader(io.StringIO(text.removeprefix("\ufeff")))]
    assert rows[1:] == ["'=1+1", "-3.5", "-0.25", "1234", "", 'a "b", c', "x y", "(-)-nicotine", "'@home", HOSTILE]
    whole = tab.run("Page.csv(Page.treatmentRows()).join('')")
    table = list(csv.DictReader(io.StringIO(whole.removeprefix("\ufeff"))))
    items = {row["item"] for row in tab.run("JSON.parse(document.querySelector('#panel-data').textContent).treatments")}
    assert {row["Treatment"] for row in table} >= {name for name in items if "taxol" not in name}
    tables, offered = (f"document.querySelectorAll('main {part}').length" for part in ("table", ".take"))
    assert tab.run(offered) >= tab.run(tables) > 10
    tab.run("URL.createObjectURL = (blob) => { window.taken = blob; return '#'; }")
    tab.click("#treatments .take button")
    assert tab.run("window.taken.text()").removeprefix("\ufeff") == whole.removeprefix("\ufeff")


def test_drawings_are_taken_away_as_files_of_their_own(tab):
    program = "[...document.querySelectorAll('main figure svg.figure')].slice(0, 60).map(Page.drawing)"
    drawings = tab.run(program)
    assert len(drawings) > 20
    for text in drawings:
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg" and float(root.attrib["height"]) > 0
        assert "var(" not in text and "data-" not in text.replace("data:image", "")


def test_a_row_opens_its_treatment_and_names_stay_text(tab):
    tab.type("#treatment-find", "onerror")
    row = next(i for i, name in enumerate(shown(tab, "#treatment-table tbody th")) if name.startswith(HOSTILE))
    tab.focus(f"#treatment-table tbody tr:nth-child({row + 1}) th button")
    tab.key("Enter")
    assert shown(tab, "#panel-name") == [HOSTILE]
    tab.key("Escape")
    assert not tab.run("document.querySelector('#panel').open")
    tab.point(*tab.middle("#activity .of-level:not([hidden]) svg [data-item]"), click=True)
    assert tab.run("document.querySelector('#panel').open")


@pytest.mark.parametrize("width", [390, 1024, 1400])
def test_the_navigation_covers_no_heading(tab, file: Path, width: int):
    tab.open(file, width=width, height=900, phone=width < 700)
    links = tab.run("[...document.querySelectorAll('nav .links a')].map((e) => e.getAttribute('href'))")
    assert set(links) == {f"#{name}" for name in (*SECTIONS.split(), "distrust", "trust")}
    for link in links:
        tab.run(f"document.querySelector('nav a[href=\"{link}\"]').click()")
        tab.rest()
        covered = f"""(() => {{ const nav = document.querySelector('nav').getBoundingClientRect();
          const head = document.querySelector('{link} h2').getBoundingClientRect();
          return head.top < 0 || (head.top < nav.bottom && head.bottom > nav.top); }})()"""
        assert not tab.run(covered), link


def test_plates_are_drawn_told_and_filtered(tab):
    assert shown(tab, "#plate-grid b") == ["P1", "P2", "P3", "P4"]
    x, y = tab.middle("#plate-grid canvas", x=(20 + 1.5 / 12 * 239) / 260, y=0.2)
    tab.point(x, y)
    tip = tab.wait("document.querySelector('#tip').hidden ? '' : document.querySelector('#tip-text').textContent")
    assert tip.startswith("P1 ") and "Cells: " in tip
    picture = "document.querySelector('#plate-grid canvas').toDataURL()"
    cells = tab.run(picture)
    tab.choose("#plate-measure", "kinds")
    assert tab.run(picture) != cells
    assert "negative control (−)" in shown(tab, "#plate-scale span"), "a sign beside the colour"
    tab.type("#plate-compound", "taxol")
    tab.type("#plate-find", "batch2")
    assert shown(tab, "#plate-grid b") == ["P2", "P4"]


def test_the_keyboard_reaches_and_steps(tab):
    tab.key("Tab")
    assert tab.run("document.activeElement.className") == "skip"
    for link in ("#treatments", "#map", "#metrics", "#quality", "#provenance"):
        while tab.run("document.activeElement.tagName") != "SUMMARY":
            tab.key("Tab")
        tab.key("Enter")
        seen = set()
        while link not in seen:
            tab.key("Tab")
            seen.add(tab.run("document.activeElement.getAttribute('href') || ''"))
            assert tab.run("!!document.activeElement.closest('nav details[open]')"), link
        assert tab.run("document.querySelectorAll('nav details[open]').length") == 1
        tab.key("Tab")
    while tab.run("document.activeElement.name || ''") != "level":
        tab.key("Tab")
    for selector in ("#activity .of-level:not([hidden]) svg", "#map-canvas", "#plate-grid canvas"):
        tab.focus(selector)
        assert tab.run(f"document.activeElement === document.querySelector({json.dumps(selector)})"), selector
        tab.key("ArrowRight")
        first = tab.tip()
        tab.key("ArrowRight")
        assert first and tab.tip() and tab.tip() != first, selector
        assert tab.run("document.querySelector('#said').textContent") == tab.tip().replace("\n", ", ")
        tab.key("Escape")
        assert tab.tip() == "", selector
    assert tab.run("getComputedStyle(document.querySelector('.metrics .fold')).cursor") == "pointer"


def test_points_of_drawings_tell(tab):
    tab.point(*tab.middle("#activity .of-level:not([hidden]) svg [data-tip]"))
    assert "mAP" in tab.tip() and "q " in tab.tip()
    tab.point(*tab.middle("#matches .of-level:not([hidden]) svg [data-tip]"))
    assert " → " in tab.tip()
    tab.point(*tab.middle("h1"))
    assert tab.tip() == ""


def test_left_out_images_are_found(tab):
    whole = len(shown(tab, ".bad li"))
    tab.type("#bad-find", "out of focus")
    assert 0 < len(shown(tab, ".bad li")) < whole


def test_dark_is_dark_and_readable(tab, file: Path):
    colour = "getComputedStyle(document.body).backgroundColor"
    assert tab.run(colour) == "rgb(255, 255, 255)"
    tab.open(file, dark=True)
    assert tab.run(colour) == "rgb(18, 22, 27)"
    assert least_contrast(tab) >= 4.5
    tab.open(file)
    assert least_contrast(tab) >= 4.5


def least_contrast(tab) -> float:
    """Return the least ratio of luminances of the page's own texts to what lies behind them (WCAG 2: 4.5)."""
    program = """(() => {
      const light = (c) => {
        const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const parse = (text) => (text.match(/[0-9.]+/g) || []).map(Number);
      const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length === 3 || c[3] === 1) return c.slice(0, 3); } return [255, 255, 255]; };
      let least = 99;
      const texts = 'h1, h2, h3, p, li, a, td, th, small, summary, dt, dd, label, button, legend';
      for (const e of document.querySelectorAll(texts))
        if (e.checkVisibility() && e.textContent.trim() && !e.disabled) {
          const a = light(parse(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e));
          least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
        }
      return least; })()"""
    return float(tab.run(program))


def test_paper_has_every_part_in_light_colours(tab, file: Path):
    tab.open(file, dark=True)
    tab.media(dark=True, paper=True)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for name in SECTIONS.split():
        assert tab.run(f"document.querySelector('#{name}').getBoundingClientRect().height") > 30, name
    assert tab.run("[...document.querySelectorAll('.scroll')].every((e) => e.scrollHeight <= e.clientHeight + 1)")
    assert shown(tab, "nav") == [] and shown(tab, ".controls") == []
    corner = "[...document.querySelector('#map-canvas').getContext('2d').getImageData(2, 2, 1, 1).data]"
    assert tab.run(corner)[3] == 0
    tab.run("dispatchEvent(new Event('afterprint'))")
    tab.media(dark=True)
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    assert len(tab.call("Page.printToPDF", printBackground=True)["data"]) > 10_000


def test_a_sheet_of_paper_has_the_layout_of_a_wide_screen(tab, file: Path):
    """A4 less its margins is 718 px wide, which on a screen is a phone or a narrow window."""
    tab.open(file, width=718)
    cell = "getComputedStyle(document.querySelector('.metrics tbody td')).display"
    group = "getComputedStyle(document.querySelector('#treatment-table td:nth-child(2)')).display"
    assert tab.run(cell) == "block" and tab.run(group) == "none"
    tab.media(paper=True)
    tab.run("dispatchEvent(new Event('beforeprint'))")
    assert tab.run(cell) == "table-cell" and tab.run(group) == "table-cell"
    assert tab.run("document.documentElement.scrollWidth") <= 718
    rows = "new Set([...document.querySelectorAll('%s')].map((e) => e.getBoundingClientRect().top)).size"
    assert [tab.run(rows % part) for part in (".totals div", ".cards li")] == [1, 2]
    tab.run("dispatchEvent(new Event('afterprint'))")


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_reaches_past_the_screen(tab, file: Path, width: int):
    tab.open(file, width=width, height=844, phone=width < 700)
    assert tab.run("document.documentElement.scrollWidth <= innerWidth")
    assert tab.run("innerWidth") == width, "a phone would have zoomed out over something wider"
    program = """[...document.querySelectorAll('main *, header *, nav *')].filter((e) => e.checkVisibility()
      && !e.closest('.wide, .scroll, svg, .unseen, .strip') && e.getBoundingClientRect().right > innerWidth + 1)
      .map((e) => e.tagName + '.' + e.className).slice(0, 5)"""
    assert tab.run(program) == []
    if width < 700:
        tab.point(*tab.middle("#plate-grid canvas"), click=True)
        assert tab.tip().startswith("P1 "), "a finger is a pointer too"
