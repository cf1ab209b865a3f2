"""What the tables of hits add to a treatment's panel: effect, cells, changes, look-alikes, and the dose curve."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.evaluate.curve import Curve
from wellspring.report.gather import Record
from wellspring.report.svg import LINE, MUTED, Panel, document, extent, fixed, line, mark, number, probability
from wellspring.report.takeaway.run import Takeaway

FILES = {
    "hits.csv": "hits",
    "hits.xlsx": "all tables as a workbook",
    "similar.csv": "look-alikes",
    "changes.csv": "changed features",
    "curves.csv": "dose curves",
    "responses.csv": "responses per well",
    "metrics.csv": "metrics",
}
CROWDED = 60  # wells of a dose, or controls, above which a curve shows their median and quartiles
BUDGET = 2_500_000  # bytes of the page for all curves; the strongest compounds come first
SERIES = ["compound", "cell_line", "time_point"]
NOTHING: Record = {"hits": {}, "changed": {}, "alike": {}, "chance": {}, "curves": {}}


def block(taken: Takeaway) -> Record:
    """Return `hits` (treatment to words), `changed` and `alike` (treatment to rows), `curves` (compound to drawings).

    Empty dicts where nothing was made. Held-out replicates are not among them.
    """
    hits = taken.hits[taken.hits["population"] == "screen"] if len(taken.hits) else taken.hits
    return {
        "hits": {str(row["treatment"]): _hit(row) for row in hits.to_dict("records")},
        "changed": _by_treatment(taken.changed, _change),
        "alike": _by_treatment(taken.alike, _alike),
        "chance": {str(name): _share(rows) for name, rows in _groups(taken.alike)},
        "curves": _curves(taken),
    }


def _curves(taken: Takeaway) -> Record:
    """Return compound -> curves, drawn while `BUDGET` lasts, compounds with the strongest treatments first."""
    names = [taken.points[name].fillna("") for name in SERIES]
    wells = dict(list(taken.points.groupby(names, sort=False))) if len(taken.points) else {}
    groups = {str(name): rows for name, rows in taken.curves.groupby("compound", sort=False)}
    strength = taken.hits["compound"].astype(str) if len(taken.hits) else ()
    ranked = [name for name in dict.fromkeys(strength) if name in groups]
    found: Record = {}
    spent = 0
    for name in dict.fromkeys([*ranked, *groups]):
        found[name] = [_curve(row, wells, drawn=spent < BUDGET) for row in groups[name].to_dict("records")]
        spent += sum(len(drawing) for _, _, drawing in found[name])
    return found


def links(encoder: str) -> list[tuple[str, str]]:
    """Return (address beside the page, words) of the files that hold the page's numbers."""
    profiles = [(f"../align/{encoder}.parquet", "aligned profiles"), (f"../evaluate/{encoder}.items.parquet", "scores")]
    return [*FILES.items(), *profiles] if encoder else list(FILES.items())


def _groups(frame: pd.DataFrame) -> list[tuple[Any, pd.DataFrame]]:
    return list(frame.groupby("treatment", sort=False)) if len(frame) else []


def _by_treatment(frame: pd.DataFrame, words: Any) -> Record:
    return {str(name): [words(row) for row in rows.to_dict("records")] for name, rows in _groups(frame)}


def _hit(row: Mapping[str, Any]) -> str:
    """Return effect with interval, cells and encoders in words."""
    parts = []
    if _known(row["effect_sd"]):
        interval = (
            f" (95 % interval {fixed(row['effect_low'], 2)} to {fixed(row['effect_high'], 2)})"
            if _known(row["effect_low"])
            else ""
        )
        parts.append(f"effect {fixed(row['effect_sd'], 2)} standard deviations of the controls{interval}")
    if _known(row["cells_vs_controls"]):
        parts.append(f"{100 * row['cells_vs_controls']:.0f} % of the controls' cells")
    if row["encoders_active"] and not str(row["encoders_active"]).endswith(" of 1"):
        parts.append(f"active by {row['encoders_active']} encoders")
    if row["note"]:
        parts.append(str(row["note"]))
    return " · ".join(parts)


def _change(row: Mapping[str, Any]) -> list[str]:
    """Return compartment, channel, change, effect, correlation and q as text."""
    correlation = fixed(row["correlation"], 2) if _known(row["correlation"]) else "–"
    place = [str(row[name] or "–") for name in ("compartment", "channel")]
    return [
        *place,
        f"{row['change']} {row['direction']}",
        fixed(row["effect_sd"], 2),
        correlation,
        probability(row["q"]),
    ]


def _alike(row: Mapping[str, Any]) -> list[str]:
    """Return neighbour, its mechanism, similarity, and whether it shares the mechanism, as text."""
    mechanism = (
        "" if row["neighbour_mechanism"] is None or pd.isna(row["neighbour_mechanism"]) else row["neighbour_mechanism"]
    )
    return [str(row["neighbour"]), str(mechanism), fixed(row["similarity"], 2), str(row["shares_mechanism"])]


def _share(rows: pd.DataFrame) -> str:
    """Return how many neighbours share the mechanism beside what chance gives, empty where no mechanism is known."""
    judged = rows[rows["shares_mechanism"] != ""]
    chance = float(rows["chance"].iloc[0])
    if judged.empty or not math.isfinite(chance):
        return ""
    same = int((judged["shares_mechanism"] == "yes").sum())
    stated = (
        f"Of {len(judged)} with a stated mechanism, {same} {'shares' if same == 1 else 'share'} that of the treatment"
    )
    return f"{stated}; {fixed(chance * len(judged), 1)} expected by chance"


def _curve(row: Mapping[str, Any], wells: Mapping[Any, pd.DataFrame], *, drawn: bool) -> list[str]:
    """Return cell line and time point, words and drawing of a dose curve, each empty where there is none."""
    unit = f" {row['unit']}" if isinstance(row["unit"], str) else ""
    reason = row["no_fit_because"]
    words = f"No fit: {reason}." if reason else _dose("EC50", row, "ec50", unit) + "."
    if _known(row["bmc"]) or not reason:
        extrapolated = f"; {row['bmc_note']}" if row["bmc_note"] else ""
        words += f" {_dose('Benchmark concentration', row, 'bmc', unit)}{extrapolated}."
    key = tuple("" if pd.isna(row[name]) else str(row[name]) for name in SERIES)
    title = ", ".join([key[1]] * bool(key[1]) + [f"time point {key[2]}"] * bool(key[2]))
    if key not in wells:
        return [title, words, ""]
    words += "" if drawn else " Not drawn: the page has curves of the strongest compounds; responses.csv has the wells."
    return [title, words, _drawing(row, wells[key], unit) if drawn else ""]


def _dose(name: str, row: Mapping[str, Any], key: str, unit: str) -> str:
    if not _known(row[key]):
        return f"{name} not reached"
    low, high = (
        number(row[f"{key}_{end}"], zeros=True) if _known(row[f"{key}_{end}"]) else "open" for end in ("low", "high")
    )
    return f"{name} {number(row[key], zeros=True)}{unit} (95 % interval {low} to {high})"


def _drawing(row: Mapping[str, Any], points: pd.DataFrame, unit: str) -> str:
    """Return response against concentration on a logarithmic axis, with the fitted curve; controls at the left."""
    dose, score = (points[name].to_numpy(dtype=float) for name in ("dose", "response_sd"))
    positive = dose[dose > 0]
    first, last = (float(np.log10(end)) for end in (positive.min(), positive.max()))
    zero = first - 0.5
    place = np.where(dose > 0, np.log10(np.where(dose > 0, dose, 1)), zero)
    panel = Panel(52, 14, 330, 170, extent([zero, last], pad=0.06), extent(score.tolist(), include=[0.0]))
    panel.axes(
        x_label=f"log₁₀ concentration{f' ({unit.strip()})' if unit else ''}", y_label="SD of the controls", x_count=5
    )
    panel.body.append(line(panel.left, panel.y(0), panel.left + panel.width, panel.y(0), stroke=LINE))
    for amount in np.unique(dose):
        _wells(panel, place[dose == amount], points[dose == amount], amount, unit)
    if not row["no_fit_because"]:
        at = np.linspace(first, last, 80)
        fitted = Curve(bottom=row["bottom_sd"], top=row["top_sd"], slope=row["slope"], ec50=row["ec50"])
        panel.path(at.tolist(), fitted.at(10.0**at).tolist(), stroke="var(--c1, #d55e00)", width=2.0)
        middle = float(np.log10(row["ec50"]))
        if first <= middle <= last:
            ends = panel.x(middle), panel.top, panel.x(middle), panel.top + panel.height
            panel.body.append(line(*ends, stroke="var(--c1, #d55e00)", extra='stroke-dasharray="3 3"'))
    return document("".join(panel.body), width=392, height=226, title=f"dose response of {row['compound']}")


def _wells(panel: Panel, place: NDArray[np.float64], wells: pd.DataFrame, amount: float, unit: str) -> None:
    """Draw the wells of a dose, or the controls (dose 0), at `place`: each, or of many the median and quartiles."""
    what = f"dose {number(amount)}{unit}" if amount > 0 else "negative control"
    shape, fill = ("circle", "var(--c0, #0072b2)") if amount > 0 else ("square", MUTED)
    score = wells["response_sd"].to_numpy(dtype=float)
    if len(score) > CROWDED:
        low, middle, high = np.percentile(score, [25, 50, 75])
        x, quartiles = panel.x(place[0]), f"quartiles {fixed(low, 2)} and {fixed(high, 2)}"
        panel.body.append(line(x, panel.y(low), x, panel.y(high), stroke=fill, extra='stroke-width="3"'))
        tip = f"{what}, {len(score):,} wells\nmedian {fixed(middle, 2)}, {quartiles}"
        panel.body.append(mark(x, panel.y(middle), fill=fill, shape=shape, size=3.6, tip=tip))
        return
    for x, y, plate, well in zip(place, score, wells["plate"], wells["well"], strict=True):
        tip = f"{plate} {well}\n{what}: {fixed(y, 2)}"
        panel.body.append(mark(panel.x(x), panel.y(y), fill=fill, shape=shape, size=2.8, tip=tip))


def _known(value: object) -> bool:
    return value is not None and bool(np.isfinite(float(str(value))))
