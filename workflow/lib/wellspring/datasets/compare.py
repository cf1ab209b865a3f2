"""Compare the evaluation of a finished screen with the published numbers in ``published.tsv``, as text.

    python -m wellspring.datasets.compare SCREEN/results --dataset bbbc021

``published.tsv`` of a recipe has one row per published value: the corresponding metric of this workflow (or another
name), the condition, the method, the value, the number of items, the source, whether the value was read there or
inferred, and whether it is comparable (yes, partly, no) and why not.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wellspring.datasets import published, screen
from wellspring.evaluate.score import benjamini_hochberg, wilson
from wellspring.io import tables
from wellspring.io.shipped import DATASET_RECIPES

logger = logging.getLogger(__name__)

DATASETS = ("bbbc021", "cpjump1")
COLUMNS = ["metric", "condition", "method", "value", "n", "source", "basis", "comparable", "note"]
CHOICES = {"basis": ("read", "inferred", "unknown"), "comparable": ("yes", "partly", "no")}
LEVELS = ("aggregated", "normalised", "aligned")
POSITION = ".position_only"


def figures(path: Path | str) -> pd.DataFrame:
    """Read a ``published.tsv``: the columns `COLUMNS`, value as float64 (NaN where none was published)."""
    rows = published.table(path, columns=COLUMNS, separator="\t")
    published.complete(rows, ["metric", "method", "source", "basis", "comparable"], path)
    for column, choices in CHOICES.items():
        odd = ~rows[column].isin(choices)
        if odd.any():
            index = odd.idxmax()
            message = f"expected one of {choices} in column {column}, found {rows.loc[index, column]!r}"
            raise ValueError(f"{path}: line {published.line(index)}: {message}")
    rows["value"] = published.numbers(rows, "value", path)
    return rows[COLUMNS].reset_index(drop=True)


def measured(results: Path | str, *, conditions: Sequence[str] = (), threshold: float = 0.05) -> pd.DataFrame:
    """Return the results of the screen's evaluation, one row per metric, condition, encoder and level.

    Parameters
    ----------
    results
        The screen's ``results``.
    conditions
        Ends of item names of ``activity`` (values of ``evaluate.replicates_share``, joined by ``|``). For each,
        ``activity.retrieved`` is counted among its items alone, with q by Benjamini and Hochberg over those.
    threshold
        Threshold of q.

    Returns
    -------
    pandas.DataFrame
        metric, condition, encoder, level, value, low, high, n, undefined, chance, position (the value that row and
        column alone give, NaN where that is not measured), note.

    Raises
    ------
    ValueError
        No encoder has been evaluated.
    """
    folder = Path(results) / "evaluate"
    found = sorted(folder.glob("*.summary.parquet"))
    if not found:
        raise ValueError(f"{folder}: expected tables ENCODER.summary.parquet of a finished screen, found none")
    parts = []
    for path in found:
        encoder = path.name.removesuffix(".summary.parquet")
        summary = tables.read(path).rename(columns={"Metadata_Metric": "metric", "Metadata_Level": "level"})
        alone = summary[summary["metric"].str.endswith(POSITION)]
        alone = alone.assign(metric=alone["metric"].str.removesuffix(POSITION))[["metric", "level", "value"]]
        whole = summary.merge(alone.rename(columns={"value": "position"}), how="left", on=["metric", "level"])
        whole = whole.rename(columns={"n_undefined": "undefined", "Metadata_Note": "note"}).assign(condition=None)
        items = folder / f"{encoder}.items.parquet"
        if conditions:
            whole = pd.concat([whole, _by_condition(tables.read(items), conditions, threshold)], ignore_index=True)
        parts.append(whole.assign(encoder=encoder))
    table = pd.concat(parts, ignore_index=True)
    columns = ["value", "low", "high", "n", "undefined", "chance", "position", "note"]
    return table[["metric", "condition", "encoder", "level", *columns]]


def page(ours: pd.DataFrame, theirs: pd.DataFrame, *, levels: Sequence[str] = LEVELS) -> str:
    """Return the comparison as text, by metric: our values with intervals, then the published ones with caveats."""
    lines = []
    theirs = theirs.assign(condition=theirs["condition"].where(theirs["condition"].notna(), None))
    for (metric, condition), rows in theirs.groupby(["metric", "condition"], sort=False, dropna=False):
        condition = None if pd.isna(condition) else condition
        lines += ["", metric + (f", {condition.replace('|', ', ')}" if condition else "")]
        same = ours["condition"].isna() if condition is None else ours["condition"] == condition
        mine = ours[(ours["metric"] == metric) & same & ours["level"].isin(levels)]
        if mine.empty:
            lines.append("  here       not measured by this workflow's evaluation of this screen")
        order = mine["level"].map(list(LEVELS).index)
        for row in mine.assign(order=order).sort_values(["encoder", "order"], kind="stable").to_dict("records"):
            lines.append(f"  here       {row['encoder']:<24} {row['level']:<11} {_ours(row)}")
        for row in rows.to_dict("records"):
            value = f"{row['value']:.3f}" if np.isfinite(row["value"]) else "not published"
            of = f" of {row['n']}" if row["n"] else ""
            note = f": {row['note']}" if row["note"] else ""
            lines.append(f"  published  {row['method']:<36} {value}{of}")
            lines.append(f"             {row['basis']}, {row['source']}; comparable: {row['comparable']}{note}")
    return "\n".join(lines[1:]) + "\n"


def _ours(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["value"]):
        return f"undefined ({row['note']})"
    interval = f" [{row['low']:.3f}, {row['high']:.3f}]" if np.isfinite([row["low"], row["high"]]).all() else ""
    parts = [f"{row['value']:.3f}{interval} of {row['n']:.0f}"]
    parts += [f"{row['undefined']:.0f} undefined"] if row["undefined"] else []
    parts += [f"chance {row['chance']:.3f}"] if np.isfinite(row["chance"]) else []
    parts += [f"position alone {row['position']:.3f}"] if np.isfinite(row["position"]) else []
    return ", ".join(parts)


def _by_condition(items: pd.DataFrame, conditions: Sequence[str], threshold: float) -> pd.DataFrame:
    """Return ``activity.retrieved`` of each condition and level, with Wilson's interval."""
    rows = []
    activity = items[(items["Metadata_Metric"] == "activity") & (items["Metadata_Group"] != "poscon")]
    for level, condition in ((level, name) for level in LEVELS for name in conditions):
        here = (activity["Metadata_Level"] == level) & activity["Metadata_Item"].str.endswith(f"|{condition}")
        p = activity.loc[here, "p"].to_numpy(float)
        q = benjamini_hochberg(p)
        tested = np.isfinite(q)
        n, hits = int(tested.sum()), int((q[tested] < threshold).sum())
        low, high = wilson(hits, n) if n else (np.nan, np.nan)
        row = {"metric": "activity.retrieved", "condition": condition, "level": level, "n": n, "chance": 0.0}
        note = "" if n else "no treatment of this condition could reach the threshold"
        value = hits / n if n else np.nan
        rows.append(row | {"value": value, "low": low, "high": high, "undefined": int((~tested).sum()), "note": note})
    return pd.DataFrame(rows).assign(position=np.nan)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison, with the options that ``--help`` lists."""
    parser = argparse.ArgumentParser(description="Print the scores of a finished screen next to the published ones.")
    parser.add_argument("results", type=Path, help="the screen's results folder")
    parser.add_argument("--dataset", choices=DATASETS, required=True)
    parser.add_argument("--level", choices=LEVELS, action="append", help="only this level (may be repeated)")
    given = parser.parse_args(arguments)
    theirs = figures(DATASET_RECIPES / given.dataset / "published.tsv")
    conditions = theirs.loc[theirs["metric"] == "activity.retrieved", "condition"].dropna().unique().tolist()
    ours = measured(given.results, conditions=conditions)
    print(page(ours, theirs, levels=given.level or LEVELS), end="")


if __name__ == "__main__":
    screen.run(main)
