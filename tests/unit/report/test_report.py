"""The report's page: escaping, self-containment, missing inputs, no plate left, bytes."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from options import options as typed
from report_screen import HOSTILE, fabricate
from wellspring.io.shipped import REPORT_TEMPLATES
from wellspring.report import gather, page
from wellspring.report.page import block
from wellspring.report.takeaway import run
from wellspring.screen import sections

OPTIONAL = (
    "audit",
    "views",
    "illumination",
    "images",
    "labels",
    "cells",
    "crops",
    "crop_tables",
    "history",
    "cards",
    "consensus",
    "per_item",
    "summary",
    "features",
    "fits",
    "tables",
)
IMAGES = ("index", "audit", "survey", "views", "intensity", "illumination", "images", "labels", "cells")
IMAGES += ("crops", "crop_tables")


@pytest.fixture(scope="module")
def options() -> sections.Report:
    """Return the report section's defaults."""
    return typed("report", sample_groups=6, sample_cells=2)


@pytest.fixture(scope="module")
def screen_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, dict]:
    """Return a small made-up screen of three plates, one of them left out."""
    return fabricate(tmp_path_factory.mktemp("screen"), rows=4, columns=8)


@pytest.fixture(scope="module")
def report(screen_files: tuple[dict, dict], options: sections.Report) -> page.Report:
    """Return the report of that screen."""
    inputs, names = screen_files
    return page.build(gather.gather(inputs, **names), options=options)


class Elements(HTMLParser):
    """Collect start tags with their attributes, and check that they are closed."""

    VOID = ("meta", "input", "img", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:  # noqa: D102
        self.found.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:  # noqa: D102
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:  # noqa: D102
        assert self.open.pop() == tag


def test_page_names_the_left_out_plate_before_anything_else(report: page.Report):
    text = report.page
    assert "62 % of the images are bad" in text
    assert (
        text.index("Left out of the results") < text.index("Not testable with this layout") < text.index("What holds")
    )
    assert "position coincide" in text


def test_hostile_names_are_text(report: page.Report):
    """As text, in attributes, in data: no name ends its element or opens another."""
    assert "<img src=x" not in report.page and "<script>owned" not in report.page
    assert "&lt;img src=x onerror=owned(1)&gt;&lt;script&gt;owned(2)&lt;/script&gt;&#34;&#39; &amp;amp;" in report.page
    assert "\\u003c/script\\u003e\\u003cimg src=x" in report.page
    assert "<img" not in report.map and "<img" not in report.plates
    assert not any("src" in attributes and attributes["src"] == "x" for _, attributes in Elements(report.page).found)


def test_page_is_well_formed_and_reaches_nothing_outside(report: page.Report):
    elements = Elements(report.page)
    assert not elements.open
    for tag, attributes in elements.found:
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/")), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed")
        assert not any(name.startswith("on") for name in attributes)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", report.page))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert "url(" not in report.page and "@import" not in report.page
    assert len(report.page) < 5_000_000


def test_files_beside_the_page_are_the_only_links_out(
    screen_files: tuple[dict, dict], options: sections.Report, request: pytest.FixtureRequest
):
    inputs, names = screen_files
    screen = gather.gather(inputs, **names)
    taken = run.takeaway(screen, report=options, evaluate=typed("evaluate"))
    text = page.build(screen, options=options, taken=taken).page
    out = [a["href"] for tag, a in Elements(text).found if tag == "a" and not a["href"].startswith("#")]
    rule = (request.config.rootpath / "workflow" / "rules" / "report.smk").read_text()
    named = {address for address in out if not address.startswith("../")}
    assert named and all(f'"<results>/report/{address}"' in rule for address in named)
    folder = "<results>"
    encoder = screen.encoders[0]
    assert {address.replace("..", folder) for address in out if address.startswith("../")} == {
        f"{folder}/align/{encoder}.parquet",
        f"{folder}/evaluate/{encoder}.items.parquet",
    }


def test_ids_are_unique_and_links_lead_somewhere(report: page.Report):
    elements = Elements(report.page).found
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {attributes["href"][1:] for tag, attributes in elements if tag == "a"} <= set(ids)


def test_same_input_gives_the_same_bytes(
    screen_files: tuple[dict, dict], options: sections.Report, report: page.Report
):
    inputs, names = screen_files
    assert page.build(gather.gather(inputs, **names), options=options) == report


def test_drawings_are_files_of_their_own(report: page.Report):
    for text in (report.map, report.plates):
        root = ElementTree.fromstring(text)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
    header, first = report.metrics.splitlines()[:2]
    assert header.startswith("encoder,metric,level,value,low,high,n,n_undefined,chance")
    assert first.split(",")[0] == "sslprofiler"


@pytest.mark.parametrize("absent", [*OPTIONAL, "all"])
def test_missing_optional_inputs(screen_files: tuple[dict, dict], options: sections.Report, absent: str):
    inputs, names = screen_files
    left = {key: files for key, files in inputs.items() if key != absent and not (absent == "all" and key in OPTIONAL)}
    text = page.build(gather.gather(left, **names), options=options).page
    assert not Elements(text).open
    assert "62 % of the images are bad" in text


def test_profiles_without_images_say_so(screen_files: tuple[dict, dict], options: sections.Report):
    """Profiles of other tools have no images: each part that would show them states why it does not."""
    inputs, names = screen_files
    left = {key: paths for key, paths in inputs.items() if key not in IMAGES}
    text = page.build(gather.gather(left, **names), options=options).page
    assert not Elements(text).open
    for part in ("samples", "cells", "illumination", "quality"):
        section = text[text.index(f'<section id="{part}">') :].split("</section>")[0]
        assert "No images were read in this run: its profiles come from tables." in section, part
        assert "<img" not in section
    assert "There are no pictures of the wells" in text
    assert "compound 3" in text


def test_parts_without_data_say_why(screen_files: tuple[dict, dict], options: sections.Report):
    inputs, names = screen_files
    left = {key: paths for key, paths in inputs.items() if key not in ("per_item", "summary", "aligned", "history")}
    text = page.build(gather.gather(left, **{**names, "benchmarks": None}), options=options).page
    for words in ("Nothing was evaluated", "No aligned profiles were made.", "No run times were found"):
        assert words in text
    headings = re.findall(r'<section id="(\w+)"[^>]*>\s*<h2>', text)
    assert set(re.findall(r'<a href="#(\w+)">', text.split("</nav>")[0])) - {"main"} <= set(headings)


def test_no_plate_is_left(tmp_path: Path, options: sections.Report):
    inputs, names = fabricate(tmp_path, plates=2, bad=2, rows=4, columns=8)
    report = page.build(gather.gather(inputs, **names), options=options)
    text = report.page
    assert not Elements(text).open
    assert re.search(r"<strong>P1</strong>", text) and re.search(r"<strong>P2</strong>", text)
    assert "No plate is left" in text
    ElementTree.fromstring(report.map)


def test_one_plate_one_encoder_without_cells(tmp_path: Path, options: sections.Report):
    inputs, names = fabricate(tmp_path, plates=1, bad=0, encoders=("timm",), cells=False, rows=4, columns=8)
    text = page.build(gather.gather(inputs, **names), options=options).page
    assert not Elements(text).open
    assert "Left out of the results" not in text
    assert "cells were not segmented" in text
    assert "untrained encoder" in text


def test_nothing_at_all(options: sections.Report):
    empty = gather.gather({}, plates=[], encoders=[], channels=[])
    report = page.build(empty, options=options)
    assert not Elements(report.page).open
    for text in (report.map, report.plates):
        ElementTree.fromstring(text)


def test_plate_absent_from_the_profiles_is_left_out(screen_files: tuple[dict, dict]):
    inputs, names = screen_files
    more = gather.gather(inputs, **{**names, "plates": [*names["plates"], "P9"]})
    assert more.verdicts["P9"].reasons == ("the plate is not among the aligned profiles",)


def test_a_change_of_any_file_of_the_page_reruns_the_rule(request: pytest.FixtureRequest):
    rule = (request.config.rootpath / "workflow" / "rules" / "report.smk").read_text()
    assert 'code("report", *sorted(REPORT_TEMPLATES.iterdir()), *REPORT_WORDING)' in rule
    assert set(page.PROGRAMS) == {file.name for file in REPORT_TEMPLATES.glob("*.js")}


def test_json_block_can_not_end_its_element():
    assert "<" not in block(["</script><!--", HOSTILE, "a & b"]) and "&" not in block("a & b")


def test_page_states_the_seed_and_digests_without_dates(report: page.Report):
    assert "Seed 1." in report.page
    assert re.search(r"<code>[0-9a-f]{64}</code>", report.page)
    assert not re.search(r"\b20\d\d-\d\d-\d\d\b", report.page)
