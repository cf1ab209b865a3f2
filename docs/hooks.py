"""MkDocs hooks: make the pages whose source is code, schemas or a README, and adapt links to the site.

MkDocs calls `on_files` and `on_page_markdown` (see `hooks` in mkdocs.yml). Generated pages exist in the site only and
are never written to `docs/`, so they cannot drift from their sources.
"""

import ast
import importlib
import inspect
import posixpath
import re
import sys
from pathlib import Path

import yaml
from mkdocs.structure.files import File

REPOSITORY = Path(__file__).resolve().parents[1]
LIBRARY = str(REPOSITORY / "workflow" / "lib")
# Pages of the site whose text is a file outside docs/.
MIRRORED = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "how-to/slurm.md": "profiles/README.md",
    "how-to/bbbc021.md": "resources/datasets/bbbc021/README.md",
    "how-to/cpjump1.md": "resources/datasets/cpjump1/README.md",
    "how-to/jump_lite.md": "resources/datasets/jump_lite/README.md",
    "how-to/gallery.md": "resources/datasets/gallery/README.md",
    "benchmarks/index.md": "benchmarks/README.md",
    "reference/config.md": "config/README.md",
}
# What a metric reads: `Metric.reads` in words.
READS = {
    "controls": "treated wells and the negative controls of their own plate",
    "adjusted": "the same wells without effects of row, column and edge",
    "across": "wells of different plates, negative controls among them",
    "treated": "treated wells only",
    "dose": "controls and doses of a plate",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)


def on_files(files, config):
    """Add the generated pages to the files of the site."""
    if LIBRARY not in sys.path:  # MkDocs restores the path after it has loaded this file
        sys.path.insert(0, LIBRARY)
    made = {page: (REPOSITORY / source).read_text() for page, source in MIRRORED.items()}
    made |= {
        "reference/tables.md": tables(),
        "reference/rules.md": rules(),
        "reference/metrics.md": metrics(),
        "reference/api.md": api(),
        "reference/modules.md": modules(),
    }
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    """Return the page with links that lead to pages of the site; paths outside the site become plain text."""
    home = page.file.src_uri
    origin = posixpath.dirname(MIRRORED.get(home, f"docs/{home}"))
    pages = {source: made for made, source in MIRRORED.items()}

    def led(match: re.Match) -> str:
        image, text, target = match.groups()
        path, _, anchor = target.partition("#")
        if not path or re.match(r"[a-z]+:", target):
            return match[0]
        source = posixpath.normpath(posixpath.join(origin, path))
        own = pages.get(source) or source.removeprefix("docs/")
        if files.get_file_from_path(own) is None:
            return text if "`" in text or "/" in text else f"{text} (`{source}`)"
        there = posixpath.relpath(own, posixpath.dirname(home) or ".")
        return f"{image}[{text}]({there}{'#' + anchor if anchor else ''})"

    parts = FENCE.split(markdown)
    return "".join(part if part.startswith("```") else LINK.sub(led, part) for part in parts)


def tables() -> str:
    """Return the page of the tables' schemas: every column with its type and meaning."""
    parts = [
        "# Tables\n\nEvery table is a Parquet file that is checked against one of these schemas "
        "(`workflow/schemas/tables`) before it is written. Columns that begin with `Metadata_` describe the row; in "
        "tables that hold features, all other columns are features. [Rules and outputs](rules.md) lists the files.\n"
    ]
    for file in sorted((REPOSITORY / "workflow" / "schemas" / "tables").glob("*.yaml")):
        schema = yaml.safe_load(file.read_text())
        parts.append(f"## {schema['table']}\n\n{schema['doc']}\n")
        parts.append("Key: " + ", ".join(f"`{name}`" for name in schema["key"]) + ".\n")
        rows = [
            (f"`{name}`", column["type"], "yes" if column.get("nullable") else "no", column["doc"])
            for name, column in schema["columns"].items()
        ]
        parts.append(_table(("column", "type", "may be null", "meaning"), rows))
        extra = {
            "none": "No further columns.",
            "features": "All further columns are features.",
        }.get(str(schema.get("extra")), f"Further columns: {schema.get('extra')}.")
        parts.append(extra + "\n")
    return "\n".join(parts)


def rules() -> str:
    """Return the page of rules: the contract at the top of every file in `workflow/rules`."""
    from wellspring.screen.stages import RULES

    folder = REPOSITORY / "workflow" / "rules"
    named = [folder / f"{name}.smk" for name in RULES if (folder / f"{name}.smk").exists()]
    parts = [
        "# Rules and outputs\n\nThe stages in the order of the flow, each with its inputs and outputs. Every stage has "
        "one rule file, one script, one folder of logs and one folder of results. "
        "`{plate}`, `{encoder}` and `{optics}` are names from the plate sheet and the config.\n"
    ]
    for file in named:
        text = re.match(r'"""(.*?)"""', file.read_text(), re.S)[1]
        summary, _, contract = text.partition("\n\n")
        summary = " ".join(summary.split()).split(": ", 1)[-1]
        parts.append(f"## {file.stem}\n\n{summary[0].upper()}{summary[1:]}\n")
        contract, _, remark = contract.strip().partition("\n\n")
        parts += [_table(("", "file", "content"), _contract(contract)), f"{' '.join(remark.split())}\n" * bool(remark)]
    return "\n".join(parts)


def _contract(text: str) -> list[tuple[str, str, str]]:
    """Return the rows of a contract, whose lines are `input    FILES`, `output   FILE    content` or a further line."""
    rows: list[list[str]] = []
    for line in text.splitlines():
        kind, *parts = re.split(r" {2,}", line.rstrip()) if line[0] != " " else ["", *re.split(r" {2,}", line.strip())]
        if kind or len(parts) > 1 or parts[0].startswith("results/"):
            rows.append([kind, *parts, ""][:3])
        else:
            place = 2 if rows[-1][2] else 1
            rows[-1][place] += " " + " ".join(parts)
    return [(kind, re.sub(r"(results/\S*[^\s,;:])", r"`\1`", file), content) for kind, file, content in rows]


def metrics() -> str:
    """Return the page of metrics, from the records in `wellspring.evaluate.metrics`."""
    from wellspring.evaluate.metrics import FAMILIES, METRICS

    parts = [
        "# Metrics\n\nEvery metric that the evaluation computes, by family. [Evaluation and its intervals]"
        "(../evaluation.md) explains how values, intervals and chance levels are estimated; [Extend Wellspring]"
        "(../extending.md#a-metric) shows how to add a metric. `evaluate.metrics` in the config chooses metrics by "
        "name or family.\n",
        "What a metric reads:\n",
        "\n".join(f"- `{name}`: {what}" for name, what in READS.items()) + "\n",
    ]
    for family in FAMILIES:
        rows = []
        for metric in METRICS:
            if metric.family == family:
                better = "chance" if metric.best_at_chance else "higher" if metric.direction > 0 else "lower"
                twins = [".permuted"] * metric.permuted + [".position_only"] * metric.position_only
                meaning = f"**{metric.title}.** {metric.meaning}"
                baselines = ", ".join(f"`{twin}`" for twin in twins)
                rows.append((f"`{metric.name}`", metric.reads, better, baselines, metric.chance, meaning))
        parts.append(f"## {family[0].upper()}{family[1:]}\n")
        parts.append(_table(("metric", "reads", "better", "baselines", "without signal", "meaning"), rows))
    return "\n".join(parts)


def api() -> str:
    """Return the page of the public face: each name of `wellspring.__all__`, where it is defined."""
    face = importlib.import_module("wellspring")
    parts = [
        "# Python API\n\n`import wellspring as ws` gives the functions that a notebook needs. They take and return "
        "arrays and pandas frames, and need neither Snakemake nor a config file.\n"
    ]
    for name in getattr(face, "__all__", ()):
        thing = getattr(face, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            parts.append(f"::: {thing.__module__}.{thing.__qualname__}\n    options: {{heading: ws.{name}}}\n")
    return "\n".join(parts)


def modules() -> str:
    """Return the page of the library's modules, by package, each with the first line of its docstring."""
    library = Path(LIBRARY) / "wellspring"
    parts = [
        "# Modules\n\nEvery module of the library `workflow/lib/wellspring` with its topic. [Contributing]"
        "(../contributing.md) describes the packages, [Python API](api.md) the functions for notebooks.\n"
    ]
    for package in sorted(file.parent for file in library.rglob("__init__.py")):
        name = ".".join(package.relative_to(library.parent).parts)
        topics = {file: ast.get_docstring(ast.parse(file.read_text())) or "" for file in sorted(package.glob("*.py"))}
        own = topics.pop(package / "__init__.py").partition("\n\n")[0]
        rows = [(f"`{file.name}`", topic.partition("\n\n")[0]) for file, topic in topics.items()]
        parts += [f"## {name}\n\n{' '.join(own.split())}\n", _table(("module", "topic"), rows)]
    return "\n".join(parts)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    cells = [[" ".join(str(cell).split()).replace("|", "\\|") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)
