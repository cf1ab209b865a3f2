"""Coverage: how often the 95 % interval of a score contains the value that new screens have on average.

Claim. For every score, in screens of 4 mechanisms x 2 compounds, 8 x 4, 20 x 3, 12 x 8 and nine mechanisms of 2 to 14
compounds, with effects and without, the interval covers the mean of new screens of the same design (new mechanisms,
compounds, wells, and plates of the same batches) in 0.92 of screens or more. Refuted by a coverage whose interval
(Wilson) lies below 0.92.
A score of few yes-or-no items covers more than 0.97 (eight treatments of 4 x 2): its values are too coarse for less.

A screen has four plates in two batches with every compound once and 16 controls; with effects, mechanisms differ in
strength (log-normal), each plate has a shift of its own and one at its edge, and the two batches
differ in the same way in all screens. The true value is
the mean over the other half of the screens, so that it is independent of the screen. Beside the interval stands the one
before: percentiles of resampled compounds (wells, for batch effects), which leaves out that these score each other.

    python benchmarks/interval_coverage.py [--quick] [--screens 400] [--designs 4x2 8x4 ...] [--seed 0]
        [--save screens.jsonl]

In the JSON line `<design>.<signal>.<score>` is [true value, coverage, low, high, screens with an interval, coverage
before].
"""

import argparse
import itertools
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.evaluate.consistency import consistency  # noqa: E402
from wellspring.evaluate.grit import grit  # noqa: E402
from wellspring.evaluate.grit_mechanism import grit_mechanism  # noqa: E402
from wellspring.evaluate.hits import hits  # noqa: E402
from wellspring.evaluate.mixing import mixing  # noqa: E402
from wellspring.evaluate.nearest import nsc  # noqa: E402
from wellspring.evaluate.nuisance import nuisance  # noqa: E402
from wellspring.evaluate.purity import clisi, replicate_connectivity  # noqa: E402
from wellspring.evaluate.replicates import matching, replicating  # noqa: E402
from wellspring.evaluate.retrieval import activity, retrieved  # noqa: E402
from wellspring.evaluate.score import Score, interval, wilson  # noqa: E402
from wellspring.evaluate.transfer import transfers  # noqa: E402

DESIGNS = {
    "4x2": [2] * 4,
    "8x4": [4] * 8,
    "20x3": [3] * 20,
    "12x8": [8] * 12,
    "unequal": [2, 2, 2, 3, 3, 4, 6, 10, 14],
}
PLATES, BATCHES, CONTROLS, FEATURES = 4, 2, 16, 24
ROWS, COLUMNS = 8, 16
RESAMPLES = 300
PARTS = ["scores", "grit", "mixing"]
BEFORE = 100  # screens whose intervals are computed in the old way, too


def layout(sizes: list[int]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the metadata of one plate's wells without positions, and the compound of each (-1 for a control)."""
    mechanism = np.repeat(np.arange(len(sizes)), sizes)
    of = np.concatenate([np.full(CONTROLS, -1), np.arange(len(mechanism))])
    frame = pd.DataFrame(
        {
            "Metadata_Compound": ["DMSO" if c < 0 else f"compound {c:03d}" for c in of],
            "Metadata_moa": [None if c < 0 else f"mechanism {mechanism[c]:02d}" for c in of],
            "Metadata_pert_type": ["negcon" if c < 0 else "trt" for c in of],
        }
    )
    return frame, of


def unit(values: np.ndarray) -> np.ndarray:
    """Return vectors of a root mean square of 1."""
    return values / np.sqrt((values**2).mean(axis=-1, keepdims=True))


def screen(sizes: list[int], *, signal: bool, rng: np.random.Generator) -> tuple[np.ndarray, pd.DataFrame]:
    """Return features (n, FEATURES) and metadata of one screen, sorted by plate and well."""
    frame, of = layout(sizes)
    mechanism = np.repeat(np.arange(len(sizes)), sizes)
    common, own = (unit(rng.standard_normal((len(part), FEATURES))) for part in (sizes, mechanism))
    strength = 0.6 * rng.lognormal(0, 0.4, size=len(sizes)) if signal else np.zeros(len(sizes))
    means = strength[mechanism, None] * (np.sqrt(0.6) * common[mechanism] + np.sqrt(0.4) * own)
    shift = 0.25 if signal else 0.0
    # The batches are the same in every screen: their interval is about new plates of these batches.
    of_batch = shift * unit(np.random.default_rng(0).standard_normal((BATCHES, FEATURES)))
    values, tables = [], []
    names = np.array([f"{chr(65 + row)}{column + 1:02d}" for row in range(ROWS) for column in range(COLUMNS)])
    row, column = np.divmod(np.arange(len(names)), COLUMNS)
    outer = np.isin(row, (0, ROWS - 1)) | np.isin(column, (0, COLUMNS - 1))
    for plate in range(PLATES):
        place = np.sort(rng.permutation(len(names))[: len(of)])
        order = rng.permutation(len(of))
        wells = rng.standard_normal((len(of), FEATURES))
        wells += np.where(of[order, None] < 0, 0.0, means[of[order]])
        wells += of_batch[plate % BATCHES] + shift * unit(rng.standard_normal(FEATURES))
        wells += outer[place, None] * 2 * shift * unit(rng.standard_normal(FEATURES))
        values.append(wells)
        table = frame.iloc[order].assign(Metadata_Plate=f"P{plate}", Metadata_Well=names[place])
        tables.append(table.assign(Metadata_Batch=f"B{plate % BATCHES}", Metadata_Cell_Line="L"))
    return np.concatenate(values), pd.concat(tables, ignore_index=True)


def judged(features: np.ndarray, metadata: pd.DataFrame, part: str) -> list[Score]:
    """Return the scores of a screen."""
    if part == "mixing":
        return mixing(features, metadata, neighbours=30, tested=20)
    if part == "grit":
        return [grit(features, metadata), grit_mechanism(features, metadata)]
    active = activity(features, metadata, null_size=500)
    found = [active, retrieved(active, metadata), *consistency(features, metadata)]
    found += [nsc(features, metadata), *hits(features, metadata, neighbours=(3,))]
    found += transfers(features, metadata, between=["Metadata_Batch"], neighbours=(1, 3))
    found += nuisance(features, metadata)
    found += [clisi(features, metadata, neighbours=30), replicate_connectivity(features, metadata, neighbours=5)]
    return found + [replicating(features, metadata, null_size=200), matching(features, metadata, null_size=200)]


def resampled(score: Score, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval over resampled compounds or wells, as before."""
    units = score.units
    if len(units) < 2:
        return float("nan"), float("nan")
    item = score.metric.startswith(("activity", "grit", "replicating", "mixing"))
    code = np.arange(len(units)) if item else pd.factorize(units["cluster"])[0]
    value, (stratum, names) = units["value"].to_numpy(float), pd.factorize(units["stratum"])
    count = code.max() + 1
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    if score.median:
        order = np.argsort(value)
        weight = np.cumsum(drawn[:, code[order]], axis=1)
        draws = value[order][(weight < weight[:, -1:] / 2).sum(axis=1)]
    else:
        draws, share = np.zeros(RESAMPLES), score.weights or dict.fromkeys(names, 1 / len(names))
        for at, name in enumerate(names):
            mine = stratum == at
            sums, counts = (np.bincount(code[mine], w, minlength=count) for w in (value[mine], None))
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = (drawn @ sums) / (drawn @ counts)
            draws += share[name] * np.where(np.isfinite(mean), mean, value[mine].mean())
    low, high = np.percentile(draws, [2.5, 97.5])
    return float(low), float(high)


def covered(ends: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return which intervals (n, 2) contain the true value (n,); those without ends are left out."""
    ends, truth = ends[np.isfinite(ends).all(axis=1)], truth[np.isfinite(ends).all(axis=1)]
    return (ends[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[:, 1])


def one(sizes: list[int], *, signal: bool, seed: Sequence[int], part: str, before: bool) -> dict[str, list[float]]:
    """Return, of each score of one screen, its value and the ends of its interval now and before (where asked for)."""
    rng, rows = np.random.default_rng(seed), {}
    for score in judged(*screen(sizes, signal=signal, rng=rng), part):
        if np.isfinite(score.value):
            old = resampled(score, rng) if before else (float("nan"), float("nan"))
            rows[score.metric] = [float(each) for each in (score.value, *interval(score), *old)]
    return rows


def figures(screens: dict[int, dict[str, list[float]]]) -> dict[str, list[float]]:
    """Return the figures of each score of one design, from the rows of its screens by number."""
    found: dict[str, list[list[float]]] = {}
    for number, rows in screens.items():
        for name, row in rows.items():
            found.setdefault(name, []).append([*row, number % 2])
    result = {}
    for name, rows in found.items():
        table = np.array(rows)
        half = table[:, 5]
        if len(set(half)) < 2:
            continue
        means = np.array([table[half == side, 0].mean() for side in (1, 0)])
        truth = means[half.astype(int)]
        now, before = covered(table[:, 1:3], truth), covered(table[:, 3:5], truth)
        low, high = wilson(now.sum(), len(now))
        share = float(now.mean()) if len(now) else float("nan")
        result[name] = [float(table[:, 0].mean()), share, low, high, len(now), float(before.mean())]
    return result


def saved(path: Path | None) -> dict[str, dict[int, dict[str, list[float]]]]:
    """Return the screens that earlier runs have saved, by cell and number."""
    found: dict[str, dict[int, dict[str, list[float]]]] = {}
    for line in path.read_text().splitlines() if path is not None and path.exists() else ():
        cell, number, rows = json.loads(line)
        found.setdefault(cell, {})[number] = rows
    return found


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="40 screens of each design")
    parser.add_argument("--screens", type=int, default=400)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="file that keeps each screen; a later run goes on from it")
    given = parser.parse_args()
    start, screens = time.perf_counter(), 40 if given.quick else given.screens
    done, output = saved(given.save), given.save.open("a") if given.save else None
    cells = list(itertools.product(given.parts, given.designs, (True, False)))
    # Screen by screen, so that a run that was stopped has as many of each design.
    for number, (part, design, signal) in itertools.product(range(screens), cells):
        cell = f"{part}.{design}.{'signal' if signal else 'null'}"
        if number in done.setdefault(cell, {}):
            continue
        sizes, seed = DESIGNS[design], [given.seed, number, len(DESIGNS[design]), int(signal)]
        done[cell][number] = one(sizes, signal=signal, seed=seed, part=part, before=number < BEFORE)
        if output:
            output.write(json.dumps([cell, number, done[cell][number]]) + "\n")
            output.flush()
    found = {}
    print(f"{'design':9}{'effects':9}{'score':36}{'true':>8}{'covered':>9}{'95 %':>16}{'screens':>9}{'before':>8}")
    for part, design, signal in cells:
        mine = {n: rows for n, rows in done[f"{part}.{design}.{'signal' if signal else 'null'}"].items() if n < screens}
        for name, (truth, share, low, high, count, before) in figures(mine).items():
            ends = f"[{low:.3f}, {high:.3f}]"
            mark = "  below" if high < 0.92 else ""
            print(
                f"{design:9}{'yes' if signal else 'no':9}{name:36}{truth:8.3f}{share:9.3f}{ends:>16}{count:9}"
                f"{before:8.3f}{mark}"
            )
            found[f"{design}.{'signal' if signal else 'null'}.{name}"] = [truth, share, low, high, count, before]
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"benchmark": "coverage", "screens": screens, "seconds": seconds} | found))


if __name__ == "__main__":
    main()
