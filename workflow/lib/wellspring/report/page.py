"""Build the report: one self-contained HTML page, two tables and two drawings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from wellspring.evaluate.paired import BETTER, UNDECIDED, WORSE
from wellspring.io.keys import WELL_KEY
from wellspring.io.phrases import count
from wellspring.io.shipped import REPORT_TEMPLATES
from wellspring.report import (
    absent,
    active,
    alignment,
    biology,
    checks,
    differences,
    doses,
    dropped,
    exclusions,
    findings,
    first_screen,
    glossary,
    lights,
    measures,
    metrics,
    montage,
    naming,
    overlays,
    overview,
    panel,
    pictures,
    plates,
    runtime,
    scatter,
    segmentation,
    similarity,
    thumbnails,
    training,
    wording,
)
from wellspring.report.gather import Record, Screen, chosen_level, ordered_levels
from wellspring.report.palette import category
from wellspring.report.svg import SHAPES, mark, number, shape, standalone
from wellspring.report.takeaway.run import Takeaway
from wellspring.screen import sections

PROGRAMS = ("page.js", "treatment.js", "tables.js", "plates.js", "map.js", "similarity.js", "take.js")


@dataclass(frozen=True)
class Report:
    """The texts that the report stage writes: the page (HTML), two tables (CSV, TSV) and two drawings (SVG)."""

    page: str
    metrics: str
    failures: str
    map: str
    plates: str


def build(
    screen: Screen,
    *,
    options: sections.Report,
    taken: Takeaway | None = None,
    templates: str | Path = REPORT_TEMPLATES,
) -> Report:
    """Return the report of a screen.

    Parameters
    ----------
    options
        The config section `report`.
    taken
        The tables that lie beside the page; without them panels lack effects, changes, look-alikes and curves.
    templates
        Folder with `page.html.j2` and the templates that it includes, `page.css` and the scripts `PROGRAMS`.
    """
    rows = metrics.table(screen.summary, encoders=screen.encoders)
    levels = ordered_levels([row.level for row in rows])
    level = chosen_level(screen, options.level)
    primary = next((name for name in (options.encoder, *screen.encoders) if name in screen.aligned), None)
    changes, paired = alignment.changes(rows), differences.table(screen)
    trained, simpler = partial(differences.statements, paired, level), differences.beaten(screen, paired, level)
    fields = lights.fields(screen)
    bad, bad_count = pictures.bad_images(screen, limit=options.bad_images)
    placed = {
        name: scatter.place(frame, method=options.map, limit=options.map_points, seed=screen.seed or 0)
        for name, frame in screen.aligned.items()
    }
    drawn = measures.measures(screen, primary=primary)
    points = pd.concat([pd.DataFrame(columns=WELL_KEY), *(frame[WELL_KEY] for frame in placed.values())])
    small = thumbnails.sheets(screen, points, limit=options.map_pictures, seed=screen.seed or 0)
    lost = exclusions.undefined(screen)
    found = active.population(screen, encoder=primary, level=level, alpha=options.significance)
    found = replace(found, effects=taken.effects()) if taken else found
    panels = panel.block(screen, found, panel.pictures(screen, found))
    shown, idle = metrics.applicable(rows)
    context = {
        "population": found,
        "findings": findings.block(taken) if taken else findings.NOTHING,
        "links": findings.links(taken.encoder) if taken else [],
        "similar": similarity.block(screen, found),
        "panels": panels,
        "strongest": panel.cards(found, panels),
        "alpha": options.significance,
        "distrust": first_screen.distrust(screen, fields),
        "trust": first_screen.trust(screen, rows, paired, level=level, encoder=primary),
        "glossary": glossary.TERMS,
        "idle": idle,
        "title": options.title,
        "screen": screen,
        "totals": checks.totals(screen),
        "left_out": overview.left_out(screen),
        "dropped": screen.dropped.to_dict("records"),
        "passes": overview.passes(screen, rows, level=level, changes=changes) + trained(BETTER),
        "look_at": overview.look_at(screen, rows, fields, level=level, changes=changes) + simpler + trained(WORSE),
        "open": overview.open_questions(screen, rows) + trained(UNDECIDED),
        "absent": absent.sentences(screen),
        "levels": levels,
        "level": level,
        "groups": [(group, some) for group in naming.GROUPS if (some := [row for row in shown if row.group == group])],
        "meanings": naming.meanings(row.metric for row in rows),
        "fit_notes": {
            name: [wording.words(note) for note in notes] for name, notes in screen.fit_notes.items() if notes
        },
        "alignment": alignment.drawings(rows, encoders=screen.encoders),
        "changes": changes,
        "figures": biology.figures(screen, alpha=options.significance),
        "treatments": biology.treatments(
            screen, alpha=options.significance, first=[one.item for one in found.strongest()]
        ),
        "dose_limit": doses.LIMIT,
        "wells": measures.block(screen, drawn) if drawn else {},
        "fields": fields,
        "fields_drawn": sum(bool(row["pictures"]) for row in fields),
        "samples": pictures.samples(
            screen, groups=options.sample_groups, each=options.sample_cells, seed=screen.seed or 0
        ),
        "dyes": pictures.DYES,
        "overlays": overlays.fields(screen, limit=options.overlays),
        "flags": overlays.by_plate(screen),
        "implausible": segmentation.pictures(screen, segmentation.fields(screen)),
        "curves": training.panels(screen),
        "cards": training.cards(screen),
        "features": training.features(screen),
        "map_data": {
            name: _map(screen, name, frame, method=options.map) for name, frame in placed.items() if len(frame)
        },
        "map_method": {"pca": "the first two principal components", "tsne": "t-SNE"}[options.map],
        "thumbnails": small,
        "picture_words": thumbnails.words(small, len(points.drop_duplicates())),
        "by_plate": exclusions.by_plate(screen),
        "by_channel": exclusions.by_channel(screen),
        "by_reason": exclusions.by_reason(screen),
        "spared": exclusions.spared(screen),
        "montages": montage.montages(screen, limit=options.montages),
        "without_profile": lost.head(exclusions.WELLS).to_dict("records"),
        "without_profile_count": len(lost),
        "bad": bad,
        "bad_count": bad_count,
        "stages": runtime.stages(screen.jobs),
        "sources": screen.sources.to_dict("records"),
        "makers": makers(screen),
    }
    return Report(
        page=render(context, templates=templates),
        metrics=metrics.csv(pd.concat([screen.summary, differences.rows(paired)]) if len(paired) else screen.summary),
        failures=dropped.text(screen.dropped),
        map=standalone(scatter.drawing(placed)),
        plates=standalone(plates.drawing(screen, drawn)),
    )


def render(context: Mapping[str, object], *, templates: str | Path = REPORT_TEMPLATES) -> str:
    """Return the page of a context: all texts are escaped, and drawings, the library's own, pass through `svg`."""
    folder = Path(templates)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        svg=Markup, number=number, count=count, block=block, duration=runtime.duration, size=runtime.size, sign=sign
    )
    environment.globals["shapes"] = [*SHAPES.values()]
    style, *programs = (Markup((folder / name).read_text(encoding="utf-8")) for name in ("page.css", *PROGRAMS))
    program = Markup("\n").join(programs)
    return environment.get_template("page.html.j2").render(**context, style=style, program=program)


def sign(code: int) -> str:
    """Return the mark of a category, as its points are drawn, around 0."""
    return mark(0, 0, fill=category(code), shape=shape(code), size=4)


def block(value: object) -> Markup:
    """Return JSON that is safe inside a script element: no character of it can end the element or open another."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def makers(screen: Screen) -> list[Record]:
    """Return one row per stage: version, commit, digests of options and code, packages, seed, each as a list."""
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


def _map(screen: Screen, encoder: str, placed: pd.DataFrame, *, method: str) -> Record:
    paths = screen.normalised.get(encoder, ())
    return scatter.block(placed, scatter.before(paths, placed, method=method, seed=screen.seed or 0))
