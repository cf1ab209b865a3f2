"""How evaluation and report of a screen grow with its plates: processor time, memory and sizes at 10, 100 and 1,000.

Claim. Evaluation and report of 1,000 plates of 384 wells x 384 features fit on one machine with 24 GiB, and processor
time and memory grow no faster than the plates. The page of 100 plates stays below 25 MB. Refuted by a peak above 24
GiB, a page above 25 MB, or time that grows clearly more than ten times for ten times the plates.

The layout is that of JUMP's compound plates: per plate 32 DMSO wells and 8 positive controls four times in the two
outer columns of both sides, and 320 compounds once each; five plates of one layout, each in another batch of 20
plates. So 10, 100 and 1,000 plates have 640, 6,400 and 64,000 compounds. Half of these have an effect; a fifth has one
of the mechanisms, eight compounds each. Profiles are drawn plate by plate (batch, plate, edge and compound shifts,
correlated noise), then normalised, fitted, aligned and joined by the library with the config's defaults. The report
has no images.

Each step of each size is a process of its own with one thread, and reads and writes as its rule does, so that its peak
memory (VmHWM) is its own. Processor seconds hold beside other jobs. What was measured is kept in `--folder`: a second
run continues there, or, with `--steps`, measures some steps again. 1,000 plates take 4 GB of disk.

    python benchmarks/scale.py [--quick] [--plates 10 100 1000] [--steps evaluate report] [--folder FOLDER]
        [--features 384]

The JSON line has `<plates>.<step>.processor_seconds`, `.megabytes` (peak), and the sizes of tables and page,
`<plates>.<file>.bytes`.
"""

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.align.alignment import Alignment, apply_alignment, fit_alignment  # noqa: E402
from wellspring.evaluate.run import evaluate  # noqa: E402
from wellspring.io import tables  # noqa: E402
from wellspring.profile.consensus import consensus, join_plates  # noqa: E402
from wellspring.profile.normalise import normalise  # noqa: E402
from wellspring.report import gather, page  # noqa: E402
from wellspring.report.takeaway import files, run  # noqa: E402
from wellspring.screen import config, sections, well_names  # noqa: E402

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
from profile_scale import memory  # noqa: E402

ENCODER = "x"
STEPS = ("draw", "fit", "align", "consensus", "evaluate", "report")
SHOWN = ("evaluate", "report")
FILES = ("items.parquet", "summary.parquet", "index.html", "hits.csv", "hits.xlsx", "similar.csv")
ROWS, COLUMNS, OUTER = 16, 24, (0, 1, 22, 23)  # a plate of 384 wells; columns of its controls
REPLICATES, LAYOUTS_OF_A_BATCH = 5, 20
COMPOUNDS, MECHANISM = 320, 8  # of a layout; compounds of a mechanism
POSITIVE = 8  # positive controls, each four times
ACTIVE, ANNOTATED = 0.5, 0.2
EFFECT, SHARED, CORRELATION = 1.0, 0.7, 0.5


def settings() -> dict:
    """Return the config's defaults."""
    return config.resolve({"encoders": {ENCODER: {"kind": "table", "files": "x.parquet"}}, "seed": 1})


def plates(count: int) -> list[str]:
    """Return the names of so many plates, five per layout."""
    return [f"P{number:04d}" for number in range(count)]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (..., d) to a root mean square of 1."""
    return vectors / np.sqrt((vectors**2).mean(axis=-1, keepdims=True))


def direction(features: int, *seed: int) -> np.ndarray:
    """Return the direction (d,) of these numbers."""
    return unit(np.random.default_rng(seed).standard_normal(features))


def layout(number: int) -> pd.DataFrame:
    """Return the wells of a layout: name, outer, kind, compound (number, -1 for DMSO, below for positive controls)."""
    grid = pd.DataFrame([(row, column) for row in range(ROWS) for column in range(COLUMNS)], columns=["row", "column"])
    grid["well"] = [well_names.name(row, column) for row, column in zip(grid["row"], grid["column"], strict=True)]
    grid["outer"] = grid["row"].isin((0, ROWS - 1)) | grid["column"].isin((0, COLUMNS - 1))
    sides = grid["column"].isin(OUTER).to_numpy()
    place = np.cumsum(sides) - 1
    grid["kind"] = np.where(~sides, "trt", np.where(place % 2 == 0, "negcon", "poscon"))
    order = np.random.default_rng([number, 7]).permutation(COMPOUNDS)
    grid["compound"] = np.where(place % 2 == 0, -1, -2 - place // 2 % POSITIVE)
    grid.loc[~sides, "compound"] = number * COMPOUNDS + order
    return grid


def about(compound: int) -> tuple[bool, int | None]:
    """Return whether a compound has an effect, and the number of its mechanism."""
    if compound < 0:
        return compound < -1, None
    block, place = divmod(compound, round(MECHANISM / ANNOTATED))
    return place < round(MECHANISM / ANNOTATED * ACTIVE), block if place < MECHANISM else None


def shift(compound: int, features: int) -> np.ndarray:
    """Return the shift (d,) of a compound: a share of its square is that of its mechanism."""
    active, mechanism = about(compound)
    if not active:
        return np.zeros(features)
    own = direction(features, 1, compound + POSITIVE + 2)
    if mechanism is None:
        return EFFECT * own
    return EFFECT * unit(np.sqrt(SHARED) * direction(features, 2, mechanism) + np.sqrt(1 - SHARED) * own)


def plate(number: int, features: int) -> pd.DataFrame:
    """Draw a plate: one row per well, the well columns of a profile table, then float32 features."""
    of, replicate = divmod(number, REPLICATES)
    wells, rng, name = layout(of), np.random.default_rng([number, 3]), f"P{number:04d}"
    batch = (of // LAYOUTS_OF_A_BATCH) * REPLICATES + replicate
    loadings = unit(np.random.default_rng(4).standard_normal((max(1, features // 8), features)))
    values = np.sqrt(CORRELATION / len(loadings)) * rng.standard_normal((len(wells), len(loadings))) @ loadings
    values += np.sqrt(1 - CORRELATION) * rng.standard_normal((len(wells), features))
    values += np.array([shift(int(one), features) for one in wells["compound"]])
    values += 0.3 * wells["outer"].to_numpy()[:, None] * unit(rng.standard_normal(features))
    values *= np.exp(0.15 * rng.standard_normal(features))
    values += 0.5 * direction(features, 5, batch) + 0.5 * unit(rng.standard_normal(features))
    found = [about(int(one)) for one in wells["compound"]]
    compound = [
        "DMSO" if one == -1 else f"positive {-1 - one}" if one < 0 else f"compound {one:05d}"
        for one in wells["compound"]
    ]
    frame = pd.DataFrame({"Metadata_Plate": name, "Metadata_Well": wells["well"], "Metadata_Batch": f"B{batch:03d}"})
    frame = frame.assign(Metadata_Cell_Line="U2OS", Metadata_Optics=name, Metadata_Role="fit")
    frame = frame.assign(Metadata_Compound=compound, Metadata_Concentration=np.nan, Metadata_Perturbation=compound)
    frame["Metadata_pert_type"] = wells["kind"]
    frame["Metadata_moa"] = pd.Series([None if at is None else f"mechanism {at:04d}" for _, at in found], dtype=object)
    frame = frame.assign(Metadata_target=pd.Series([None] * len(frame), dtype=object), Metadata_Site_Count=np.int32(9))
    frame = frame.assign(Metadata_View_Count=np.int32(900), Metadata_Count_Cells=np.int32(900))
    frame = frame.assign(Metadata_Verdict="keep", Metadata_Reason="")
    columns = [f"x_{at}" for at in range(features)]
    return pd.concat([frame, pd.DataFrame(values.astype(np.float32), columns=columns)], axis=1)


def paths(folder: Path, level: str) -> list[Path]:
    """Return the tables of single plates of a level."""
    return sorted((folder / "profile" / ENCODER).glob(f"*.{level}.parquet"))


def draw(folder: Path, count: int, features: int) -> None:
    """Write the plates, their normalised profiles and their indexes."""
    options = sections.read(sections.Profile, settings()["profile"])
    own = folder / "profile" / ENCODER
    own.mkdir(parents=True, exist_ok=True)
    (folder / "index").mkdir(exist_ok=True)
    for number, name in enumerate(plates(count)):
        frame = plate(number, features)
        tables.write(frame, own / f"{name}.aggregated.parquet", table="profile", provenance={})
        found, _, verdict = normalise(frame, options=options)
        tables.write(found, own / f"{name}.normalised.parquet", table="profile", provenance={}, verdict=verdict)
        index = frame[[column for column in frame if column.startswith("Metadata_")]]
        index = index.assign(Metadata_Site="", Metadata_Channel="", Metadata_Plane="", Metadata_Path=None)
        index = index.assign(Metadata_Page=0, Metadata_Bytes=0, Metadata_Timepoint="")
        for column in ("Pixel_Size", "Position_X", "Position_Y", "Position_Z", "Exposure"):
            index[f"Metadata_{column}"] = np.nan
        tables.write(index, folder / "index" / f"{name}.parquet", table="index", provenance={})


def joined(folder: Path, level: str) -> tuple[pd.DataFrame, tables.Verdict]:
    """Return the plates of a level as one table, as the rules `fit` and `consensus` do."""
    found = paths(folder, level)
    verdicts = [tables.verdict(path) for path in found]
    return join_plates([tables.read(path) for path in found], names=[*map(str, found)], verdicts=verdicts)


def fit(folder: Path) -> None:
    """Fit the alignment, as the rule does."""
    frame, _ = joined(folder, "normalised")
    alignment = fit_alignment(frame, options=sections.read(sections.Fit, settings()["fit"]))
    alignment.save(folder / f"{ENCODER}.npz")
    tables.write(alignment.selection, folder / "features.parquet", table="features", provenance={})


def align(folder: Path) -> None:
    """Align each plate."""
    fitted = Alignment.load(folder / f"{ENCODER}.npz")
    for path in paths(folder, "normalised"):
        to = path.with_name(path.name.replace("normalised", "aligned"))
        frame = apply_alignment(tables.read(path), fitted)
        tables.write(frame, to, table="profile", provenance={}, verdict=tables.verdict(path))


def combine(folder: Path) -> None:
    """Join the aligned plates, and combine replicates."""
    options = sections.read(sections.Profile, settings()["profile"])
    frame, verdict = joined(folder, "aligned")
    tables.write(frame, folder / "joined.parquet", table="profile", provenance={}, verdict=verdict)
    found = consensus(frame, operation=options.consensus, group_by=options.group_by)
    tables.write(found, folder / "consensus.parquet", table="consensus", provenance={}, verdict=verdict)


def judge(folder: Path) -> None:
    """Evaluate, as the rule does."""
    options = settings()
    aggregated, normalised = (map(tables.read, paths(folder, level)) for level in ("aggregated", "normalised"))
    items, summary = evaluate(
        list(aggregated),
        list(normalised),
        tables.read(folder / "joined.parquet"),
        options=sections.read(sections.Evaluate, options["evaluate"]),
        fit=sections.read(sections.Fit, options["fit"]),
        seed=options["seed"],
    )
    tables.write(items, folder / "items.parquet", table="items", provenance={})
    tables.write(summary, folder / "summary.parquet", table="summary", provenance={})


def report(folder: Path) -> None:
    """Write the page and the tables beside it, as the rule does."""
    options, inputs = settings(), {"index": sorted((folder / "index").glob("*.parquet"))}
    inputs |= {"tables": paths(folder, "normalised"), "fits": [folder / f"{ENCODER}.npz"]}
    of = {"aligned": "joined", "consensus": "consensus", "per_item": "items", "summary": "summary"}
    inputs |= {name: [folder / f"{table}.parquet"] for name, table in {**of, "features": "features"}.items()}
    names = [path.name.removesuffix(".parquet") for path in inputs["index"]]
    sheet = [{"plate": name, "batch": "", "role": "fit", "optics": name, "cell_line": "U2OS"} for name in names]
    screen = gather.gather(
        inputs, plates=names, encoders=[ENCODER], channels=[], sheet=sheet, seed=options["seed"], shared=()
    )
    shown = sections.read(sections.Report, options["report"])
    taken = run.takeaway(screen, report=shown, evaluate=sections.read(sections.Evaluate, options["evaluate"]))
    made = page.build(screen, options=shown, taken=taken)
    (folder / "index.html").write_text(made.page, encoding="utf-8")
    for name, table in taken.tables().items():
        files.write_csv(table, folder / f"{name}.csv")
    files.write_workbook(taken.tables(), folder / "hits.xlsx")


def step(name: str, folder: Path, count: int, features: int) -> dict[str, float]:
    """Do one step in this process and return its seconds, processor seconds and peak megabytes."""
    logging.getLogger("wellspring").setLevel(logging.ERROR)
    start, processor = time.perf_counter(), time.process_time()
    if name == "draw":
        draw(folder, count, features)
    else:
        {"fit": fit, "align": align, "consensus": combine, "evaluate": judge, "report": report}[name](folder)
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - processor,
        "megabytes": memory(),
    }


def measure(folder: Path, count: int, *, features: int, again: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """Do what is missing of one size, and the steps `again`; return the figures of all steps and files."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "measured.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    stale = False
    for name in STEPS:
        stale |= name not in known
        if not stale and name not in again:
            continue
        done = subprocess.run(
            [sys.executable, __file__, "--child", name, str(folder), str(count), str(features)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
        known[name] = json.loads(done.stdout.splitlines()[-1])
        kept.write_text(json.dumps(known, indent=1))
        print(count, name, known[name], file=sys.stderr, flush=True)
    return known


def sizes(folder: Path) -> dict[str, int]:
    """Return the bytes of each file that is shown."""
    return {name: (folder / name).stat().st_size for name in FILES}


def table(found: dict[int, dict], weights: dict[int, dict[str, int]]) -> pd.DataFrame:
    """Return one row per size and step, with the growth since the size before, over the growth of the plates."""
    rows = []
    for name in (*SHOWN, *(one for one in STEPS if one not in SHOWN)):
        for before, count in zip([None, *found], found, strict=False):
            own = found[count][name]
            row = {"step": name, "plates": count, "wells": count * ROWS * COLUMNS}
            row |= {"processor s": own["processor_seconds"], "peak MB": own["megabytes"]}
            if before is not None:
                ratio = own["processor_seconds"] / found[before][name]["processor_seconds"]
                row["time growth over plates"] = ratio / (count / before)
            if name == "report":
                row["page MB"] = weights[count]["index.html"] / 1e6
            rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    """Print the tables and, last, one JSON line."""
    if sys.argv[1:2] == ["--child"]:
        name, folder, count, features = sys.argv[2:]
        print(json.dumps(step(name, Path(folder), int(count), int(features))))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="5 and 10 plates of 64 features")
    parser.add_argument("--plates", type=int, nargs="+", help="other numbers of plates, in fives")
    parser.add_argument("--features", type=int, help="features, 384 by default: those of a ViT-S encoder")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=[], help="steps that are measured again")
    parser.add_argument("--folder", type=Path, help="where to keep tables and figures; default a temporary folder")
    arguments = parser.parse_args()
    counts = sorted(arguments.plates or ([5, 10] if arguments.quick else [10, 100, 1000]))
    features = arguments.features or (64 if arguments.quick else 384)
    with tempfile.TemporaryDirectory() as temporary:
        top = arguments.folder or Path(temporary)
        found, weights = {}, {}
        for count in counts:
            own = top / f"{count}x{features}"
            found[count] = measure(own, count, features=features, again=tuple(arguments.steps))
            weights[count] = sizes(own)
    print(f"384 wells a plate, {features} features, one thread")
    print(table(found, weights).round(2).to_string(index=False, na_rep=""), "\n")
    print(pd.DataFrame(weights).div(1e6).round(2).to_string(), "MB\n")
    line: dict[str, object] = {"benchmark": "scale", "quick": arguments.quick, "features": features}
    for count in counts:
        for name, own in found[count].items():
            line |= {f"{count}.{name}.{figure}": round(value, 2) for figure, value in own.items()}
        line |= {f"{count}.{name}.bytes": size for name, size in weights[count].items()}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
