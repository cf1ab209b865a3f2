"""The command `wellspring score`.

Examples
--------
>>> arguments().parse_args(["profiles.parquet", "--label", "target", "--out", "report"]).label
'target'
"""

import argparse
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wellspring.api.score_columns import USUAL

DESCRIPTION = """Evaluate a table of profiles (one row per well) of any tool, and write the page with its scores.

Formats: Parquet, Feather, CSV (comma, semicolon or tab; UTF-8 or UTF-16; also compressed), Excel (.xlsx). Columns
are found by their usual names (Metadata_Plate, Metadata_Well, Metadata_Compound, Metadata_pert_type and others)."""


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="wellspring score", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="+", type=Path, help="tables of profiles; several are joined")
    parser.add_argument(
        "--label", metavar="COLUMN", help="column of the classes; by default moa, or the column of mechanisms"
    )
    parser.add_argument(
        "--controls",
        nargs="+",
        default=(),
        metavar="NAME",
        help="negative controls: compounds, COLUMN=VALUE, or COLUMN= where it is empty",
    )
    parser.add_argument("--out", type=Path, default=Path("report"), help="folder of page and tables (%(default)s)")
    for role in USUAL:
        option = f"--{role.replace('_', '-')}"
        parser.add_argument(option, dest=role, metavar="COLUMN", help=f"column of the {role.replace('_', ' ')}")
    parser.add_argument(
        "--features", nargs="+", default=(), metavar="REGEX", help="features, from the start of their names"
    )
    parser.add_argument(
        "--shared-features", choices=("error", "intersection"), default="error", help="files of different features"
    )
    methods = ("none", "auto", "mad_robustize", "robustize", "standardize", "rank_normal")
    parser.add_argument("--normalise", choices=methods, default="none", help="normalise each plate first (%(default)s)")
    parser.add_argument(
        "--normalise-on", choices=("negcon", "all"), default="negcon", help="on which wells (%(default)s)"
    )
    parser.add_argument("--metrics", nargs="+", metavar="NAME", help="names or families of metrics (all)")
    parser.add_argument("--replicates-share", nargs="+", default=(), metavar="COLUMN", help="what replicates share")
    parser.add_argument("--replicates-differ", nargs="+", default=(), metavar="COLUMN", help="in what they differ")
    parser.add_argument("--separator", default="|", help="between several labels of a compound (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def main(given: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 2, with one line, where the table cannot be evaluated."""
    parser = arguments()
    args = parser.parse_args(given)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s", stream=sys.stderr)
    from wellspring.api.score import Options, score
    from wellspring.report.metrics import csv

    evaluate: dict[str, object] = {"metrics": list(args.metrics)} if args.metrics else {}
    evaluate["separator"] = args.separator or None
    for key in ("replicates_share", "replicates_differ"):
        if getattr(args, key):
            evaluate[key] = [f"Metadata_{one.removeprefix('Metadata_')}" for one in getattr(args, key)]
    options = Options(
        label=args.label,
        roles={role: getattr(args, role) for role in USUAL if getattr(args, role)},
        controls=tuple(args.controls),
        features=tuple(args.features),
        shared=args.shared_features,
        normalise=args.normalise,
        normalise_on=args.normalise_on,
        evaluate=evaluate,
        seed=args.seed,
    )
    try:
        args.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out {args.out}: expected a folder, or a place for a new one, found: {error.strerror}")
    try:
        summary = score(args.profiles, args.out, options=options)
    except ValueError as error:
        print(f"wellspring score: {error}", file=sys.stderr)
        return 2
    defined = summary["value"].notna()
    found = summary[defined]
    print(_table(found.to_dict("records")) if sys.stdout.isatty() else csv(found.assign(Encoder="profiles")), end="")
    if not defined.all():
        left = f"{(~defined).sum()} of {len(summary)} scores are undefined for this table"
        print(f"{left}: {args.out / 'metrics.csv'} states the reasons", file=sys.stderr)
    print(f"{args.out / 'index.html'}", file=sys.stderr)
    return 0


def _table(found: Sequence[Mapping[Any, Any]]) -> str:
    """Return scores in columns for a terminal; baselines and notes are on the page and in metrics.csv."""
    from wellspring.report.naming import BASELINES
    from wellspring.report.svg import fixed

    rows = [("metric", "value", "95 % interval", "chance", "n")]
    for row in found:
        metric = str(row["Metadata_Metric"])
        if metric.endswith(tuple(BASELINES)):
            continue
        interval = f"{fixed(row['low'])} to {fixed(row['high'])}" if math.isfinite(row["low"]) else "–"
        rows.append((metric, fixed(row["value"]), interval, fixed(row["chance"]), str(row["n"])))
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = (
        f"{row[0]:<{first}}" + "".join(f"  {text:>{wide}}" for text, wide in zip(row[1:], others, strict=True))
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)
