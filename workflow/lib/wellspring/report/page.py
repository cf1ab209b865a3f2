"""The page: a screen and the options in, one self-contained HTML text and a table and two drawings out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from wellspring.report import biology, checks, metrics, pictures, plates, scatter, training, words
from wellspring.report.gather import Screen, ordered_levels
from wellspring.report.svg import number, standalone

TEMPLATES = Path(__file__).resolve().parents[3] / "report"


@dataclass(frozen=True)
class Report:
    """What the report stage writes: the page, and beside it the metric table (CSV) and two drawings (SVG)."""

    page: str
    metrics: str
    map: str
    plates: str


def build(screen: Screen, *, options: Mapping[str, object], templates: str | Path = TEMPLATES) -> Report:
    """Return the report of a screen.

    Parameters
    ----------
    options
        The config section `report`.
    templates
        Folder with `page.html.j2`, `page.css` and `page.js`.
    """
    rows = metrics.table(screen.summary, encoders=screen.encoders)
    levels = ordered_levels([row.level for row in rows])
    level = options["level"] if options["level"] in levels else (levels[-1] if levels else options["level"])
    primary = next((name for name in (options["encoder"], *screen.encoders) if name in screen.aligned), None)
    fields = pictures.illumination(screen)
    bad, bad_count = pictures.bad_images(screen, limit=options["bad_images"])
    placed = {
        name: scatter.place(frame, method=options["map"], limit=options["map_points"], seed=screen.seed or 0)
        for name, frame in screen.aligned.items()
    }
    drawn = plates.measures(screen, primary=primary)
    context = {
        "title": options["title"],
        "screen": screen,
        "totals": checks.totals(screen),
        "left_out": words.left_out(screen),
        "passes": words.passes(screen, rows, level=level),
        "look_at": words.look_at(screen, rows, fields, level=level),
        "open": words.open_questions(screen, rows),
        "levels": levels,
        "level": level,
        "rows": rows,
        "groups": [
            (group, found) for group in metrics.GROUPS if (found := [row for row in rows if row.group == group])
        ],
        "figures": biology.figures(screen, alpha=options["significance"]),
        "measures": _heatmaps(screen, drawn),
        "fields": fields,
        "samples": pictures.samples(
            screen, groups=options["sample_groups"], each=options["sample_cells"], seed=screen.seed or 0
        ),
        "curves": training.panels(screen),
        "cards": training.cards(screen),
        "features": training.features(screen),
        "map_data": {name: scatter.block(frame) for name, frame in placed.items() if len(frame)},
        "map_method": {"pca": "the first two principal components", "tsne": "t-SNE"}[options["map"]],
        "bad": bad,
        "bad_count": bad_count,
        "sources": screen.sources.to_dict("records"),
        "makers": makers(screen),
        "primary": primary,
    }
    return Report(
        page=render(context, templates=templates),
        metrics=metrics.csv(screen.summary),
        map=standalone(scatter.drawing(placed)),
        plates=standalone(plates.drawing(screen, drawn)),
    )


def render(context: Mapping[str, object], *, templates: str | Path = TEMPLATES) -> str:
    """Return the page of a context: all texts are escaped, and drawings, the library's own, pass through `svg`."""
    folder = Path(templates)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(svg=Markup, number=number, block=block)
    style, program = (Markup((folder / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(**context, style=style, program=program)


def block(value: object) -> Markup:
    """Return JSON that is safe inside a script element: no character of it can end the element or open another."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def makers(screen: Screen) -> list[dict]:
    """Return one row a stage: version, commit, digests of options and code, packages, seed, each as a list."""
    if screen.sources.empty:
        return []
    rows = []
    for rule, group in screen.sources.groupby("rule", sort=False, dropna=False):
        row = {name: _joined(group[name]) for name in ("version", "commit", "options", "code", "seed")}
        found = {
            f"{name} {version}" for one in group["packages"] if isinstance(one, dict) for name, version in one.items()
        }
        rows.append({"rule": "not stated" if pd.isna(rule) else rule, **row, "packages": ", ".join(sorted(found))})
    return rows


def _joined(values: pd.Series) -> list[str]:
    texts = {
        str(int(value) if isinstance(value, float) and value.is_integer() else value)
        for value in values
        if pd.notna(value)
    }
    return sorted(texts)


def _heatmaps(screen: Screen, drawn: list[plates.Measure]) -> list[dict]:
    found = []
    for measure in drawn:
        size = plates.shape(measure.values["Well"])
        there = set(measure.values["Plate"])
        maps = []
        for plate in screen.plates:
            values, present = plates.grid(measure, plate, size=size)
            shown = [
                None if not yes else (number(value) if value == value else "undefined")
                for yes, value in zip(present.ravel(), values.ravel(), strict=True)
            ]
            drawing = (
                plates.heatmap(measure, plate, size=size, left_out=plate in screen.left_out) if plate in there else None
            )
            maps.append({"plate": plate, "svg": drawing, "values": shown, "left_out": plate in screen.left_out})
        found.append(
            {
                "name": measure.name,
                "doc": measure.doc,
                "bar": plates.bar(measure),
                "maps": maps,
                "rows": size[0],
                "columns": size[1],
            }
        )
    return found
