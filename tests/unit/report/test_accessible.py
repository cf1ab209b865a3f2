"""The page by axe-core, light and dark, on three widths: no violation; and colours that deuteranopes tell apart."""

import importlib.util
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import chromium
from options import options as typed
from report_screen import CHANNELS, HOSTILE, fabricate
from wellspring.io.shipped import REPORT_TEMPLATES
from wellspring.report import gather, page, palette
from wellspring.report.takeaway import run

# Linear RGB as deuteranopes see it (Machado, Oliveira and Fernandes 2009, severity 1).
DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)


def axe() -> str:
    """Return the program axe-core of a Python package or of Node's global packages; skip without either."""
    found = [Path(spec.submodule_search_locations[0]) for spec in map(importlib.util.find_spec, PACKAGES) if spec]
    if npm := shutil.which("npm"):
        done = subprocess.run([npm, "root", "-g"], capture_output=True, text=True, check=False)
        found.append(Path(done.stdout.strip() or "/nowhere") / "axe-core")
    files = [file for folder in found for file in sorted(folder.rglob("axe.min.js"))]
    if not files:
        pytest.skip("axe-core is not installed (npm install -g axe-core)")
    return files[0].read_text(encoding="utf-8")


PACKAGES = ("axe_core_python", "axe_playwright_python")


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory):
    """A browser, the file of a page of a fabricated screen with panels and curves, and axe-core."""
    program, folder = axe(), tmp_path_factory.mktemp("screen")
    with chromium.start(tmp_path_factory.mktemp("chromium")) as browser:
        inputs, names = fabricate(folder, plates=3, sites=1, rows=4, channels=CHANNELS[:2])
        screen, options = gather.gather(inputs, **names), typed("report", sample_groups=2, title=HOSTILE)
        taken = run.takeaway(screen, report=options, evaluate=typed("evaluate", dose_levels=3))
        (folder / "index.html").write_text(page.build(screen, options=options, taken=taken).page)
        yield browser, folder / "index.html", program


@pytest.mark.parametrize(
    ("width", "dark"),
    [
        (1400, False),
        (390, True),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in [(1400, True), (1024, False), (1024, True), (390, False)]
        ),
    ],
)
def test_axe_finds_no_violation_in_page_and_panel(tab, width: int, dark: bool):
    browser, file, program = tab
    browser.open(file, width=width, height=844, dark=dark, phone=width < 700)
    browser.rest()
    browser.run(f"{program};0")
    assert violations(browser) == []
    browser.run(f"Page.treatment.open({json.dumps(HOSTILE)})")
    browser.rest()
    assert violations(browser) == []


def violations(browser) -> list:
    """Return the rules that axe-core finds violated, with the first elements."""
    told = "(r) => r.violations.map((v) => [v.id, v.impact, v.nodes.slice(0, 3).map((n) => n.target.join(' '))])"
    return browser.run(f"axe.run(document, {{resultTypes: ['violations']}}).then({told})")


@pytest.mark.parametrize("dark", [False, True])
def test_the_first_four_colours_differ_for_deuteranopes(dark: bool):
    """CIELAB distance of 15 or more (2 is just noticeable); further categories differ in shape and number as well."""
    sets = re.findall(r"--c0: (#\w{6}); --c1: (#\w{6}); --c2: (#\w{6}); --c3: (#\w{6})", style())
    assert [list(one) for one in sets[:1]] == [list(palette.CATEGORIES[:4])] and len(sets) == 2
    colours = [lab(seen(linear(code))) for code in sets[int(dark)]]
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) >= 15
    paper = lab(linear("#12161b" if dark else "#ffffff"))
    assert min(np.linalg.norm(one - paper) for one in colours) >= 30


@pytest.mark.parametrize("dark", [False, True])
def test_text_in_colour_is_readable_for_deuteranopes(dark: bool):
    """Contrast of 4.5 or more (WCAG AA) as they see it; what a colour means stands beside it as a word or a sign."""
    themes = re.findall(r"--paper: .*?--open: #\w{6}", style(), re.DOTALL)
    assert len(themes) == 2
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", themes[int(dark)]))
    light = {name: np.array([0.2126, 0.7152, 0.0722]) @ seen(linear(code)) for name, code in colours.items()}
    for name in ("ink", "muted", "link", "bad", "look", "good", "open"):
        for paper in ("paper", "wash", *(["bad-wash"] if name in ("ink", "bad", "link", "muted") else [])):
            low, high = sorted((light[name], light[paper]))
            assert (high + 0.05) / (low + 0.05) >= 4.5, (name, paper)


def test_states_have_words_or_signs_beside_their_colour(tab):
    """Active and not active, checks, scores against chance, changes by alignment: each class has its own text."""
    browser, file, _ = tab
    browser.open(file)
    signs = {
        "#results .card-button:not(.weak)": "● active", "#results .card-button.weak": "○ not active",
        ".marks .yes": "✓ yes", ".marks .no": "✗ no", ".marks .unknown": "? not known",
        ".value.above": "▲", ".value.position": "△", ".value.at": "≈", ".gain": "better", ".harm": "worse",
    }  # fmt: skip
    for selector, sign in signs.items():
        texts = browser.run(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)")
        assert all(sign in text for text in texts), selector
    assert browser.run("document.querySelectorAll('#results .card-button, .marks li, .value.above').length") > 12


def style() -> str:
    return (Path(REPORT_TEMPLATES) / "page.css").read_text()


def linear(code: str) -> np.ndarray:
    part = np.array([int(code[start : start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)


def seen(rgb: np.ndarray) -> np.ndarray:
    return np.clip(DEUTERANOPIA @ rgb, 0, 1)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return CIELAB (D65) of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    x, y, z = (value ** (1 / 3) if value > 0.008856 else 7.787 * value + 16 / 116 for value in xyz / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])
