"""Figures of the evaluation by profile level: activity, consistency, matches, transfer and doses.

The start of a metric's name selects its figure, so that variants (`transfer.batch.compound.k5`) share one. A metric
without a figure is in the metric table only.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.io.phrases import count
from wellspring.report import active, charts, doses, matrices
from wellspring.report.gather import Record, Screen, ordered_levels, pick
from wellspring.report.naming import baseline, describe, main, natural
from wellspring.report.svg import fixed, number, probability

ARROW = re.compile(r"\s*(?:->|→|>|\||\bto\b)\s*")
TABLE = 40  # rows of the table of values under a figure; the table of treatments has them all
POINTS = 1500  # treatments a volcano: more hide each other and weigh on the page
GROUPS = 60  # mechanisms a consistency figure
MECHANISMS = 30  # mechanisms a confusion matrix, the others together
REST = "all other mechanisms"
UNDEFINED = "–: undefined, none of the predicted wells has a known well of its label to be found"
SHOWN = {"value": fixed, "p": probability, "q": probability, "n": number}  # column -> its numbers as text


@dataclass(frozen=True)
class Figure:
    """One drawing with its caption, and its values as a table, for screen readers."""

    kind: str  # activity | consistency | matches | transfer | dose
    level: str
    metric: str
    title: str
    note: str
    svg: str
    head: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()


def figures(screen: Screen, *, alpha: float) -> list[Figure]:
    """Return the figures of all levels, in the order of the page."""
    items = screen.items
    if items.empty:
        return dose_curves(screen)
    items = items.assign(
        **{name: pd.to_numeric(pick(items, name), errors="coerce") for name in ("value", "p", "q", "n")}
    )
    found: list[Figure] = []
    for metric in sorted(set(items["Metadata_Metric"])):
        makers = [maker for word, maker in MAKERS if metric.startswith(word) and not baseline(metric)[1]][:1]
        for level in ordered_levels(items.loc[items["Metadata_Metric"] == metric, "Metadata_Level"]):
            some = items[(items["Metadata_Metric"] == metric) & (items["Metadata_Level"] == level)]
            for maker in makers:
                found += maker(screen, some, metric, level, alpha)
    found += dose_curves(screen)
    order = ["activity", "consistency", "matches", "transfer", "dose"]
    return sorted(found, key=lambda figure: order.index(figure.kind))


def chance(screen: Screen, metric: str, level: str, encoder: str) -> float:
    """Return the chance level that the summary states for a metric, NaN where it states none."""
    rows = screen.summary
    if rows.empty:
        return float("nan")
    mine = (rows["Metadata_Metric"] == metric) & (rows["Metadata_Level"] == level) & (rows["Encoder"] == encoder)
    values = pd.to_numeric(rows.loc[mine, "chance"], errors="coerce")
    return float(values.iloc[0]) if len(values) else float("nan")


def _activity(screen: Screen, items: pd.DataFrame, metric: str, level: str, alpha: float) -> list[Figure]:
    found = []
    for encoder in screen.encoders:
        mine = items[(items["Encoder"] == encoder) & items["value"].notna()]
        if mine.empty or mine["q"].isna().all():
            continue
        name = describe(metric)[0]
        drawn = mine.sort_values("q", kind="stable")
        if len(drawn) > POINTS:  # half of them the smallest q, half spread over the others
            half = POINTS // 2
            drawn = pd.concat([drawn.head(half), drawn.iloc[half :: -(-(len(drawn) - half) // half)]])
        names = [str(item) for item in drawn["Metadata_Item"]]
        base = chance(screen, metric, level, encoder)
        known = active.population(screen, encoder=encoder, level=level, alpha=alpha, metric=metric)
        svg = charts.volcano(
            names,
            drawn["value"],
            drawn["q"],
            apart={one.item for one in known.controls},
            chance=base,
            alpha=alpha,
            title=f"{name}, {encoder}",
            x_label="mean average precision (mAP)",
        )
        note = f"{known.sentence()} ({known.rule()})" + (
            f"; {count(len(known.controls), 'positive control')}, drawn square, not counted" if known.controls else ""
        )
        note += f"; {len(drawn):,} drawn: the smallest q and some of the others" if len(drawn) < len(mine) else ""
        rows = _rows(mine.sort_values(["q", "value"], ascending=[True, False]), ("value", "p", "q", "n"))
        found.append(Figure("activity", level, name, encoder, note, svg, ("Item", "Score", "p", "q", "n"), rows))
    return found


def _consistency(screen: Screen, items: pd.DataFrame, metric: str, level: str, alpha: float) -> list[Figure]:
    groups = pick(items, "Metadata_Group")
    items = items.assign(Label=groups.where(groups.notna(), items["Metadata_Item"]).astype(str))
    middle = items.groupby("Label")["value"].median().sort_values(ascending=False, kind="stable")
    rows = []
    for label in middle.index[:GROUPS]:
        marks = []
        for row in items[items["Label"] == label].itertuples(index=False):
            tip = f"{row.Encoder}\n{row.Metadata_Item}: {fixed(row.value)}\nq {probability(row.q)}, n {int(row.n)}"
            marks.append((row.Encoder, float(row.value), bool(row.q < alpha) if np.isfinite(row.q) else True, tip))
        rows.append((label, marks))
    series = [encoder for encoder in screen.encoders if encoder in set(items["Encoder"])]
    levels = {encoder: chance(screen, metric, level, encoder) for encoder in series}
    name, kind = describe(metric)[0], "dose" if metric.startswith("dose") else "consistency"
    svg = charts.dots(
        rows, series=series, chance=levels, title=name, x_label="Spearman correlation" if kind == "dose" else "mAP"
    )
    note = (
        "Filled: q below the threshold; hollow: not. Dashed: chance level."
        if items["q"].notna().any()
        else "Dashed: chance level."
    )
    if len(middle) > GROUPS:
        note += f" The {GROUPS} of {len(middle)} with the highest median."
    table = items.sort_values("value", ascending=False, kind="stable")
    head = ("Encoder", "Item", "Score", "p", "q", "n")
    listed = tuple(
        (row[0], *row[1]) for row in zip(table["Encoder"], _rows(table, ("value", "p", "q", "n")), strict=False)
    )
    return [Figure(kind, level, name, ", ".join(series), note, svg, head, listed)]


def _transfer(screen: Screen, items: pd.DataFrame, metric: str, level: str, alpha: float) -> list[Figure]:
    found = []
    for encoder in screen.encoders if main(metric) else ():
        mine = items[items["Encoder"] == encoder]
        split = [ARROW.split(str(item)) for item in mine["Metadata_Item"]]
        pairs = [
            (parts[0], parts[1], float(value))
            for parts, value in zip(split, mine["value"], strict=True)
            if len(parts) == 2
        ]
        if not pairs:
            continue
        rows, columns = sorted({pair[0] for pair in pairs}), sorted({pair[1] for pair in pairs})
        values = np.full((len(rows), len(columns)), np.nan)
        for source, target, value in pairs:
            values[rows.index(source), columns.index(target)] = value
        base = chance(screen, metric, level, encoder)
        name = describe(metric)[0]
        top = max(1.0, float(np.nanmax(values))) if np.isfinite(values).any() else 1.0
        svg = matrices.matrix(
            rows,
            columns,
            values,
            title=f"{name}, {encoder}",
            row_label="known wells of",
            column_label="predicted wells of",
            top=top,
        )
        note = f"chance {fixed(base)}" if np.isfinite(base) else "no chance level"
        note += f"; {UNDEFINED}" if np.isnan(values).any() else ""
        found.append(Figure("transfer", level, name, encoder, note, svg))
    return found


def _matches(screen: Screen, items: pd.DataFrame, metric: str, level: str, alpha: float) -> list[Figure]:
    found = []
    for encoder in screen.encoders:
        mine = items[(items["Encoder"] == encoder) & pick(items, "Metadata_Group").notna()]
        mine = matrices.each_line(mine)
        truth = _mechanisms(screen.aligned.get(encoder, pd.DataFrame()))
        actual = mine["Metadata_Item"].astype(str).map(truth)
        mine, actual = mine[actual.notna()], actual.dropna()
        if mine.empty:
            continue
        guessed = mine["Metadata_Group"].astype(str)
        common = actual.value_counts(sort=False).sort_index().sort_values(ascending=False, kind="stable")
        names = sorted({*actual, *guessed})
        if len(names) > MECHANISMS:
            names = [*sorted(common.index[: MECHANISMS - 1]), REST]
            actual, guessed = (part.where(part.isin(names), REST) for part in (actual, guessed))
        values = pd.crosstab(actual, guessed).reindex(index=names, columns=names, fill_value=0).to_numpy(dtype=float)
        share = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
        share[values.sum(axis=1) == 0] = np.nan
        name = describe(metric)[0]
        svg = matrices.matrix(
            names,
            names,
            share,
            title=f"{name}, {encoder}",
            row_label="mechanism",
            column_label="that of the nearest",
            top=1,
        )
        base = chance(screen, metric, level, encoder)
        several = mine["Metadata_Item"].duplicated().any()
        note = f"{count(mine['Metadata_Item'].nunique(), 'treatment')}, share by row"
        note += f" of {len(mine)} predictions, one per cell line; " if several else "; "
        note += f"chance {fixed(base)}" if np.isfinite(base) else "no chance level"
        note += f"; the {MECHANISMS - 1} most frequent mechanisms and all others" if REST in names else ""
        found.append(Figure("matches", level, name, encoder, note, svg))
    return found


def treatments(screen: Screen, *, alpha: float, first: Sequence[str] = ()) -> Record:
    """Return the data of the page's table of treatments: `items`, `groups`, and `scores` by level, metric and encoder.

    A score is [value, q] in the order of the items, or null. Values have six digits, since the page sorts by them
    and compares q with `alpha`: 0.04995 is below 0.05. Only main metrics whose items are treatments or compounds are
    included. The items `first` come first: the page keeps their order where scores and q are equal.
    """
    items = screen.items
    if items.empty:
        return {}
    items = items[items["Metadata_Metric"].isin(LISTED)]
    known = set(items["Metadata_Item"].astype(str))
    names = list(dict.fromkeys([*(name for name in first if name in known), *sorted(known, key=natural)]))
    place = {name: number for number, name in enumerate(names)}
    scores: Record = {}
    for (level, metric, encoder), mine in items.groupby(["Metadata_Level", "Metadata_Metric", "Encoder"], sort=True):
        column: list[list[float | None] | None] = [None] * len(names)
        for item, value, q in zip(mine["Metadata_Item"], mine["value"], mine["q"], strict=True):
            column[place[str(item)]] = [_digits(value, 6), _digits(q, 6)]
        scores.setdefault(level, {}).setdefault(metric, {})[encoder] = column
    mechanism: dict[str, str] = {}
    for aligned in screen.aligned.values():
        mechanism |= _mechanisms(aligned)
    groups = [mechanism.get(name, "") for name in names]
    metrics = {name: describe(name)[0] for name in LISTED if any(name in level for level in scores.values())}
    if not names:
        return {}
    return {
        "items": names,
        "groups": groups,
        "metrics": metrics,
        "encoders": screen.encoders,
        "alpha": alpha,
        "scores": scores,
    }


def _digits(value: float | None, digits: int) -> float | None:
    return None if value is None or pd.isna(value) else float(f"{float(value):.{digits}g}")


def dose_curves(screen: Screen) -> list[Figure]:
    """Return one figure per compound with several concentrations."""
    found = doses.curves(screen.aligned)
    unit = doses.unit(screen.aligned)
    drawn = {
        name: charts.doses(points, series=screen.encoders, title=name, unit=unit) for name, points in found.items()
    }
    return [Figure("dose", "aligned", "Dose", name, "", svg) for name, svg in drawn.items()]


def _mechanisms(aligned: pd.DataFrame) -> dict[str, str]:
    """Return treatment -> mechanism by every name that a treatment may have in the items."""
    if aligned.empty or "Metadata_moa" not in aligned:
        return {}
    found: dict[str, str] = {}
    rows = aligned[aligned["Metadata_moa"].notna()]
    dose = pick(rows, "Metadata_Concentration")
    for perturbation, compound, strength, moa in zip(
        pick(rows, "Metadata_Perturbation"), pick(rows, "Metadata_Compound"), dose, rows["Metadata_moa"], strict=True
    ):
        for name in (compound, perturbation, f"{compound}@{strength}"):
            found[str(name)] = str(moa)
    return found


def _rows(items: pd.DataFrame, columns: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    shown = items.head(TABLE)
    return tuple(
        (str(row["Metadata_Item"]), *(SHOWN[name](row[name]) for name in columns)) for row in shown.to_dict("records")
    )


LISTED = ("activity", "consistency", "nsc", "nscb", "dose.spearman")
MAKERS = (
    ("activity", _activity),
    ("consistency", _consistency),
    ("transfer", _transfer),
    ("nsc", _matches),
    ("dose.spearman", _consistency),
)
