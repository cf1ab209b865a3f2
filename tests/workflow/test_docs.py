"""The documentation: the site builds without warnings, and the code that its pages show runs as printed."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
import yaml

import screens

FENCE = re.compile(r'^```(\w*)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)
SECTIONS = ("An encoder", "An alignment step", "A reader", "A metric")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page: its language, its title (the path of a file) and its text."""

    language: str
    title: str
    text: str


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page in their order."""
    return [Block(*found) for found in FENCE.findall(text)]


def pages(root: Path) -> list[Path]:
    """Return the Markdown files that a person reads."""
    outside = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "profiles/README.md", "benchmarks/README.md")
    recipes = sorted((root / "resources").rglob("README.md"))
    return [*(root / name for name in outside), *recipes, *sorted((root / "docs").rglob("*.md"))]


def call(command: list[str], *, cwd: Path, **environment: str) -> str:
    """Run a command and return its output; fail with it where the command fails."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**screens.environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def test_the_site_builds_without_warnings_and_loads_nothing(root, tmp_path):
    pytest.importorskip("mkdocs")
    call([sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)], cwd=root)
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > 25
    for page in built:
        loaded = re.findall(r"<(?:script|img|iframe)[^>]*src=\"([^\"]*)\"", page.read_text())
        loaded += re.findall(r"<link[^>]*rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"([^\"]*)\"", page.read_text())
        assert not [address for address in loaded if re.match(r"(https?:)?//", address)], page.name


def test_links_lead_somewhere(root):
    """Links to pages that are generated are checked by the site."""
    made = {root / "docs" / "reference" / f"{name}.md" for name in ("config", "tables", "rules", "metrics", "api")}
    for page in pages(root):
        text = FENCE.sub("", page.read_text())
        for target in re.findall(r"\]\(([^)#:\s]+)[^):\s]*\)", text):
            there = Path(os.path.normpath(page.parent / target))
            assert there.exists() or there in made, f"{page.relative_to(root)}: {target}"


def test_config_keys_that_are_named_exist(root):
    from wellspring.screen.config import schema

    sections = schema()["properties"]
    for page in pages(root):
        if page.name == "CHANGELOG.md":
            continue
        for key in re.findall(r"`([a-z]+(?:\.[a-z_]+)+)(?:: [^`]*)?`", page.read_text()):
            first, *rest = key.split(".")
            spec = sections.get(first)
            if first == "encoders" or spec is None or rest[-1] in ("py", "smk", "yaml", "md", "tsv", "parquet", "npz"):
                continue
            for part in rest:
                spec = spec.get("properties", {}).get(part)
                assert spec is not None, f"{page.relative_to(root)}: {key} is not a key of the config"


def test_numbers_have_their_zero(root):
    for page in pages(root):
        text = re.sub(r"`[^`\n]*`", "", FENCE.sub("", page.read_text()))
        found = re.findall(r"(?<![\w.)/*])[-−+±]?\.\d+", text)
        assert not found, f"{page.relative_to(root)}: {found[:5]}"


def test_the_readme_is_short_and_lists_its_parts(root):
    text = (root / "README.md").read_text()
    assert len(text.splitlines()) < 180
    contents = text[: text.index("\n## ")]
    for title in re.findall(r"^## (.*)$", text, re.M):
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        assert f"(#{anchor})" in contents, title
    assert text.index("```bash") < text.index("report.png")


def prepared(root: Path, images: Path, folder: Path) -> list[str]:
    """Write the files of the tutorial into a folder; return its commands, without those that fetch the images."""
    (folder / "config").mkdir()
    (folder / "images").symlink_to(images)
    found = blocks((root / "docs" / "tutorial.md").read_text())
    for block in found:
        if block.title:
            (folder / block.title).write_text(block.text)
    return [line for block in found if block.language == "bash" for line in block.text.splitlines()]


@pytest.fixture
def tutorial(root, shared_data, tmp_path) -> tuple[Path, list[str]]:
    images = shared_data / "bbbc013" / "images"
    if not images.is_dir():
        pytest.skip(f"no images in {images}")
    return tmp_path, prepared(root, images, tmp_path)


def run(root: Path, folder: Path, command: str) -> str:
    """Run a line of the tutorial with the interpreter of the tests."""
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return call(["bash", "-c", command], cwd=folder, CLONE=str(root), PATH=binaries)


def test_the_tutorial_until_its_survey(root, shared_data, tutorial):
    folder, commands = tutorial
    assert "--until survey" in commands[3]
    for command in commands[:4]:
        run(root, folder, command)
    written = pd.read_csv(folder / "platemap.csv").fillna({"concentration": 0})
    layout = pd.read_csv(shared_data / "bbbc013" / "plate_layout.csv")
    kinds = {"negative_control": "negcon", "treatment": "trt", "positive_control": "poscon"}
    assert written["well"].tolist() == layout["well"].tolist()
    assert written["pert_type"].tolist() == layout["role"].map(kinds).tolist()
    assert written["concentration"].tolist() == pytest.approx(layout["dose"].tolist())
    survey = pd.read_parquet(folder / "results" / "survey" / "BBBC013.parquet")
    assert len(survey) == 96 and (survey["Metadata_Verdict"] == "keep").all()


@pytest.mark.slow
def test_the_tutorial_ends_in_hits(root, tutorial):
    folder, commands = tutorial
    said = [run(root, folder, command) for command in commands][-1]
    found = set(re.findall(r"wortmannin@([\d.]+)", said))
    assert {"31.25", "62.5", "125", "150", "250"} <= found
    assert "0.98" not in found
    assert (folder / "results" / "report" / "index.html").stat().st_size > 1e5


def test_the_snippets_of_the_outputs_run_as_printed(root, finished, tmp_path):
    """On the small screen nothing is learned, so this only tests that they run and list every treatment."""
    shown = [
        block.text for block in blocks((root / "docs/how-to/outputs.md").read_text()) if block.language == "python"
    ]
    assert len(shown) == 6
    for number, text in enumerate(shown):
        script = tmp_path / f"snippet_{number}.py"
        script.write_text(text + ("\nprint(len(activity), 'treatments')\n" if "copairs" in text else ""))
        said = call([sys.executable, str(script)], cwd=finished, PYTHONPATH=str(root / "workflow" / "lib"))
        assert "copairs" not in text or "12 treatments" in said


def applied(text: str, block: Block) -> str:
    """Return the text of a file with a block of the language diff applied; its old lines occur once."""
    lines = block.text.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(old) == 1, f"{block.title}: expected these lines once, found {text.count(old)}:\n{old}"
    return text.replace(old, new)


def section(root: Path, title: str) -> list[Block]:
    """Return the blocks of a section of the page on extending."""
    page = (root / "docs" / "extending.md").read_text()
    return blocks(re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)[1])


@pytest.mark.parametrize("title", SECTIONS)
def test_what_the_page_on_extending_adds_works(root, tmp_path, title):
    for name in ("workflow", "resources", "config"):
        shutil.copytree(root / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(root / "pyproject.toml", tmp_path)
    checks = []
    for block in section(root, title):
        file = tmp_path / block.title
        if block.language == "diff":
            file.write_text(applied(file.read_text(), block))
        elif block.title:
            file.write_text(block.text)
            checks += [block.title] * block.title.startswith("check_")
    library = {"PYTHONPATH": str(tmp_path / "workflow" / "lib")}
    if "schemas" in str([block.title for block in section(root, title)]):
        call([sys.executable, "-m", "wellspring.screen.config_docs"], cwd=tmp_path, **library)
    assert len(checks) == 1
    call([sys.executable, checks[0]], cwd=tmp_path, **library)
    for block in section(root, title):
        if block.language == "yaml":
            (tmp_path / "entries.yaml").write_text(block.text)
            call([sys.executable, "-c", RESOLVE], cwd=tmp_path, **library)


# What a page's part of a config is completed with.
REST = {"channels": ["DNA", "ER", "RNA", "AGP", "Mito"], "encoders": {"simclr": {"like": "one_gpu.simclr"}}}
RESOLVE = f"""
import yaml
from wellspring.screen import config
config.resolve({REST} | yaml.safe_load(open("entries.yaml")))
"""


def test_config_snippets_are_valid(root, tmp_path, monkeypatch):
    from wellspring.screen import config

    monkeypatch.chdir(tmp_path)
    count = 0
    for page in pages(root):
        if page.name == "extending.md":  # its sections are resolved with what they add
            continue
        for block in blocks(page.read_text()):
            if block.language == "yaml":
                shown = yaml.safe_load(block.text)
                for entry in shown.get("encoders", {}).values():
                    if isinstance(entry.get("weights"), dict):  # a file of the reader's, which exists there
                        entry["weights"]["path"] = str(root / "pyproject.toml")
                config.resolve(REST | shown)
                count += 1
    assert count >= 6


def test_every_promise_names_tests_that_exist(root):
    """Each promise names a test that exists."""
    rows = [line for line in (root / "docs" / "promises.md").read_text().splitlines() if line.startswith("| ")]
    promises = [row for row in rows if not row.startswith("| Promise")]
    assert len(promises) > 12
    for row in promises:
        named = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert named, row
        for name in named:
            text = (root / name).read_text()
            assert "def test_" in text or name.endswith("soak.py"), f"{name}: {row}"
