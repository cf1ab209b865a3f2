"""Profiles of large screens: time and memory of aggregating cells beside pycytominer, and of a hundred plates.

Claim. (cells) One million single cells of 768 features become normalised profiles of 384 wells in 0.2 or less of
pycytominer's time, reading counted on both sides, and in 0.2 or less of its memory, with the same result. Each side is
a process of its own that reads its own form of the same float32 numbers: a Parquet file with a column a feature by
pandas, and a table `embed` row group by row group. Refuted by a larger share, or by profiles that differ.
(plates) 100 plates of 384 wells x 768 features go through normalising, fitting, aligning and evaluating in less than
10 minutes of one core and 8 GiB; each stage is a process of its own that reads and writes as its rule does. Refuted by
more; the table shows how time and memory grow over 10, 30 and 100 plates, beside the figures of an earlier release
(`EARLIER`, wall time on an idle machine). `--features 1000 --plates 30` is the other size that was measured then.

Time begins when the libraries are imported and the options known; files are warm in the system's cache on both sides,
as they are written just before. Memory is the largest resident memory of the process. At most 3.2 GB of disk are used
at a time, below `--folder`, and freed.

    python benchmarks/profile_scale.py [--quick] [--parts cells plates] [--repeats N] [--folder FOLDER]
        [--plates 10 30 100] [--features 768]

In the JSON line `cells.<operation>.<side>.seconds` and `.megabytes` are [median, least, most] of the repeats, `.share`
are ours over theirs; `plates.<n>.<stage>.seconds`, `.processor` (seconds of all cores) and `.megabytes` are single
figures.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.align.alignment import Alignment, apply_alignment, fit_alignment  # noqa: E402
from wellspring.evaluate.run import evaluate  # noqa: E402
from wellspring.io import embeddings, tables  # noqa: E402
from wellspring.profile.aggregate import aggregate  # noqa: E402
from wellspring.profile.consensus import consensus, join_plates  # noqa: E402
from wellspring.profile.normalise import normalise  # noqa: E402
from wellspring.screen import config, well_names  # noqa: E402
from wellspring.screen.sections import Evaluate, Fit, Profile, read  # noqa: E402
from wellspring.simulate.features import feature_screen  # noqa: E402

FEATURES = 768
WELLS = [well_names.name(row, column) for row in range(16) for column in range(24)]
CONTROLS = [name for number, name in enumerate(WELLS) if number % 12 == 0]  # 32, as many as screens of this size have
NAMES = [f"x_{number}" for number in range(FEATURES)]
OPERATIONS = ("median", "mean")
SIDES = ("wellspring", "pycytominer")
STAGES = ("normalise", "fit", "align", "consensus", "evaluate")
# Seconds and megabytes before, by features, plates and stage: all stages and `evaluate` of release 0.2.0.
EARLIER = {
    (768, 10, "all"): (46, 700),
    (768, 10, "evaluate"): (37, None),
    (768, 30, "all"): (152, 1200),
    (768, 30, "evaluate"): (131, None),
    (768, 100, "all"): (360, 3300),
    (768, 100, "evaluate"): (285, None),
    (1000, 30, "evaluate"): (169, None),
    (1000, 30, "fit"): (None, 917),
}
SCREEN = {"controls": 32, "active": 176, "inactive": 176, "mechanisms": 40, "batch_shift": 0.5}


@cache
def settings() -> dict:
    """Return the config's defaults."""
    return config.resolve({"encoders": {"x": {"kind": "table", "files": "x.parquet"}}, "seed": 1})


def cells(count: int, *, seed: int = 0) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each well's name and its cells (n, 768) float32, `count` in all, of log-normal spread as real features."""
    for number, name in enumerate(WELLS):
        rng = np.random.default_rng([seed, number])
        size = count // len(WELLS) + (number < count % len(WELLS))
        yield name, np.exp(0.5 * rng.standard_normal((size, FEATURES), dtype=np.float32))


def write_ours(path: Path, count: int) -> None:
    """Write the cells as the stage embed does."""

    def parts() -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        for name, matrix in cells(count):
            rows = {"Metadata_Plate": "P1", "Metadata_Well": name, "Metadata_Site": "1"}
            frame = pd.DataFrame({**rows, "Metadata_View": np.arange(1, len(matrix) + 1)})
            yield frame.assign(Metadata_Center_Y=0.0, Metadata_Center_X=0.0), matrix

    embeddings.write_parts(parts(), path, names=NAMES, table="embed", provenance={})


def write_theirs(path: Path, count: int) -> None:
    """Write the cells as pandas writes a table, with pandas' compression, some 40,000 rows a row group."""
    writer, waiting = None, []
    for number, (name, matrix) in enumerate(cells(count)):
        kind = "negcon" if name in CONTROLS else "trt"
        about = {"Metadata_Plate": "P1", "Metadata_Well": name, "Metadata_pert_type": kind}
        waiting.append(pd.DataFrame(matrix, columns=NAMES).assign(**about))
        if sum(map(len, waiting)) >= 40_000 or number == len(WELLS) - 1:
            block = pa.Table.from_pandas(pd.concat(waiting, ignore_index=True), preserve_index=False)
            writer = writer or pq.ParquetWriter(path, block.schema, compression="snappy")
            writer.write_table(block)
            waiting = []
    writer.close()


def memory() -> float:
    """Return the largest resident memory of this process in MB, by the kernel's own status."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1e3
    raise KeyError("VmHWM")


def wellspring(path: Path, operation: str) -> pd.DataFrame:
    """Aggregate and normalise by this library: the profiles, one row per well."""
    views, matrix = embeddings.open_embedding(path)
    about = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": WELLS})
    about["Metadata_pert_type"] = np.where(about["Metadata_Well"].isin(CONTROLS), "negcon", "trt")
    options = replace(
        read(Profile, settings()["profile"]), normalise="mad_robustize", spread_floor=0
    )  # pycytominer has no floor
    names = embeddings.names_of(path)
    aggregated = aggregate(views, matrix, about, prefix="x", names=names, kind="cell", operation=operation)
    return normalise(aggregated, options=options)[0]


def pycytominer(path: Path, operation: str) -> pd.DataFrame:
    """Aggregate and normalise by pycytominer: the profiles, one row per well."""
    from pycytominer import aggregate as reduce
    from pycytominer import normalize

    keys = ["Metadata_Plate", "Metadata_Well", "Metadata_pert_type"]
    aggregated = reduce(pd.read_parquet(path), strata=keys, features=NAMES, operation=operation)
    controls = "Metadata_pert_type == 'negcon'"
    return normalize(aggregated, features=NAMES, meta_features=keys, samples=controls, method="mad_robustize")


def child(*arguments: object) -> dict:
    """Run this script in a process of its own and return its last line."""
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve()), "--child", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def aggregate_cells(folder: Path, *, count: int, repeats: int) -> tuple[pd.DataFrame, dict]:
    """Time both sides on one plate of `count` cells: a table, and the figures of the JSON line."""
    made = {"wellspring": write_ours, "pycytominer": write_theirs}
    runs: dict[tuple[str, str], list[dict]] = {}
    for side in SIDES:
        path = folder / f"{side}.parquet"
        made[side](path, count)
        for operation in OPERATIONS:
            of = (side, path, operation, folder / f"{side}.{operation}.pkl")
            runs[operation, side] = [child(*of) for _ in range(repeats)]
        path.unlink()
    rows, line = [], {"cells.count": count, "cells.repeats": repeats}
    for operation in OPERATIONS:
        found = {}
        for side in SIDES:
            for figure in ("seconds", "megabytes"):
                values = [run[figure] for run in runs[operation, side]]
                spread = [float(np.median(values)), min(values), max(values)]
                found[side, figure] = spread[0]
                line[f"cells.{operation}.{side}.{figure}"] = [round(value, 2) for value in spread]
        shares = {figure: found[SIDES[0], figure] / found[SIDES[1], figure] for figure in ("seconds", "megabytes")}
        line |= {f"cells.{operation}.share.{figure}": round(share, 4) for figure, share in shares.items()}
        ours, theirs = (pd.read_pickle(folder / f"{side}.{operation}.pkl") for side in SIDES)
        largest = float(np.abs(ours[NAMES].to_numpy(np.float64) - theirs[NAMES].to_numpy(np.float64)).max())
        line[f"cells.{operation}.largest_difference"] = largest
        rows += [
            {"operation": operation, "side": side, "seconds": found[side, "seconds"], "MB": found[side, "megabytes"]}
            for side in SIDES
        ]
        rows.append({"operation": operation, "side": "share", "seconds": shares["seconds"], "MB": shares["megabytes"]})
        rows[-1]["largest difference"] = largest
    return pd.DataFrame(rows), line


def write_plates(folder: Path, count: int, features: int) -> None:
    """Write `count` plates of 384 wells, aggregated, of two batches or of ten plates per batch."""
    batches = max(2, count // 10)
    drawn, _ = feature_screen(seed=0, batches=batches, plates=count // batches, features=features, **SCREEN)
    for plate, frame in drawn.groupby("Metadata_Plate"):
        tables.write(frame, folder / f"{plate}.aggregated.parquet", table="profile", provenance={})


def stage(folder: Path, name: str) -> None:
    """Do what the rule of a stage does, for all plates of a folder."""
    options = settings()

    def paths(level: str) -> list[Path]:
        return sorted(folder.glob(f"*.{level}.parquet"))

    def joined(level: str) -> pd.DataFrame:
        found = paths(level)
        verdicts = [tables.verdict(path) for path in found]
        return join_plates([tables.read(path) for path in found], names=[*map(str, found)], verdicts=verdicts)[0]

    if name == "normalise":
        for path in paths("aggregated"):
            frame, _, verdict = normalise(tables.read(path), options=read(Profile, options["profile"]))
            to = folder / path.name.replace("aggregated", "normalised")
            tables.write(frame, to, table="profile", provenance={}, verdict=verdict)
    if name == "fit":
        fit_alignment(joined("normalised"), options=read(Fit, options["fit"])).save(folder / "fit.npz")
    if name == "align":
        fitted = Alignment.load(folder / "fit.npz")
        for path in paths("normalised"):
            frame, to = apply_alignment(tables.read(path), fitted), path.name.replace("normalised", "aligned")
            tables.write(frame, folder / to, table="profile", provenance={}, verdict=tables.verdict(path))
    if name == "consensus":
        frame = joined("aligned")
        tables.write(frame, folder / "joined.parquet", table="profile", provenance={})
        consensus(frame, operation=options["profile"]["consensus"], group_by=options["profile"]["group_by"])
    if name == "evaluate":
        levels = [[tables.read(path) for path in paths(level)] for level in ("aggregated", "normalised")]
        aligned = tables.read(folder / "joined.parquet")
        judged = read(Evaluate, options["evaluate"])
        evaluate(*levels, aligned, options=judged, fit=read(Fit, options["fit"]), seed=options["seed"])


def grow(folder: Path, *, counts: tuple[int, ...], features: int) -> tuple[pd.DataFrame, dict]:
    """Time each stage for each number of plates: a table, and the figures of the JSON line."""
    rows, line = [], {}
    for count in counts:
        own: list[dict] = []
        with tempfile.TemporaryDirectory(dir=folder) as place:
            child("plates", place, count, features)
            for name in STAGES:
                own.append({"plates": count, "stage": name, **child("stage", place, name)})
                print(own[-1], file=sys.stderr, flush=True)
        whole = {figure: sum(row[figure] for row in own) for figure in ("seconds", "processor")}
        own.append({"plates": count, "stage": "all", **whole, "megabytes": max(row["megabytes"] for row in own)})
        for row in own:
            for figure in ("seconds", "processor", "megabytes"):
                line[f"plates.{count}.{row['stage']}.{figure}"] = round(row[figure], 2)
            before = EARLIER.get((features, count, row["stage"]), (None, None))
            rows.append({**row, "seconds before": before[0], "megabytes before": before[1]})
    return pd.DataFrame(rows), line


def measured(what: str, path: Path, *rest: str) -> dict:
    """Do one thing in this process and return its seconds and megabytes; profiles are kept in the last of `rest`."""
    logging.getLogger("wellspring").setLevel(logging.ERROR)
    settings()
    if what == "pycytominer":
        import pycytominer as _  # noqa: F401, imported before the clock starts
    start, processor = time.perf_counter(), time.process_time()
    if what == "plates":
        write_plates(path, *map(int, rest))
    elif what == "stage":
        stage(path, rest[0])
    else:
        result = {"wellspring": wellspring, "pycytominer": pycytominer}[what](path, rest[0])
    found = {"seconds": time.perf_counter() - start, "processor": time.process_time() - processor}
    found["megabytes"] = memory()
    if what in SIDES:
        result.to_pickle(rest[1])
    return found


def main() -> None:
    """Print the tables and, last, one JSON line."""
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(measured(sys.argv[2], Path(sys.argv[3]), *sys.argv[4:])))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100,000 cells; 4 and 10 plates")
    parser.add_argument("--parts", nargs="+", choices=["cells", "plates"], default=["cells", "plates"])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each side")
    parser.add_argument("--cells", type=int, help="another number of cells")
    parser.add_argument("--plates", type=int, nargs="+", help="other numbers of plates")
    parser.add_argument("--features", type=int, default=FEATURES, help="of the plates")
    parser.add_argument("--folder", type=Path, help="where to write; default the system's temporary folder")
    arguments = parser.parse_args()
    line = {"benchmark": "profile_scale", "quick": arguments.quick}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if "cells" in arguments.parts:
            count = arguments.cells or (100_000 if arguments.quick else 1_000_000)
            table, figures = aggregate_cells(Path(folder), count=count, repeats=arguments.repeats)
            print(f"{count:,} cells x {FEATURES} features, median of {arguments.repeats}")
            print(table.round(3).to_string(index=False), "\n")
            line |= figures
        if "plates" in arguments.parts:
            counts = tuple(arguments.plates or ((4, 10) if arguments.quick else (10, 30, 100)))
            table, figures = grow(Path(folder), counts=counts, features=arguments.features)
            print(table.round(1).to_string(index=False), "\n")
            line |= figures
    print(json.dumps(line))


if __name__ == "__main__":
    main()
