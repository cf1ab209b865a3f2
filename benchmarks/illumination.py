"""Are planted flat and dark fields recovered, and real fields made even? Beside BaSiCPy and the method of JUMP.

Usage: python benchmarks/illumination.py [--quick] [--basicpy PYTHON] [--shared FOLDER]. PYTHON is that of an
environment with basicpy 2.0.0 (`uv venv -p 3.11; uv pip install torch basicpy==2.0.0 "scipy>=1.12" "numpy<2"`); without
it BaSiCPy is skipped.

Claimed: the median error of `basic` is at most 1.05 of that of BaSiCPy with dark field in each kind of scene, and its
time at most the same, on the same binned views (64 x 64) with one thread each. Scenes are those of
wellspring.simulate.lights: a flat field by the cos^4 law, 35 % darker at the edge, off centre; a dark field of 100
counts that changes by 15 from the centre to the edge. BaSiCPy works at 128 x 128, its default, and at 64 x 64, where it
resizes nothing. JUMP: mean over fields, median filter, no dark field. On real fields: unevenness of fields that the
estimate has not seen (wellspring.illumination.evenness), of every method by the same dark level; BBBC013 also by the
functions that CellProfiler published with it, which have seen them. With --judge: on which fields is the correction
applied, of these scenes, of those in which it can do harm, and of real ones? The last line is a JSON object.
"""

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from scipy import stats
from scipy.io import loadmat

from wellspring.illumination import basic, evenness, flatfield, judge
from wellspring.illumination.flatfield import Light
from wellspring.simulate import lights
from wellspring.views import binning

HERE = Path(__file__).resolve().parent
OURS: dict[str, Callable[[np.ndarray], Light]] = {
    "basic": basic.basic,
    "jump": flatfield.median,
    "none": lambda stack: flatfield.light(np.ones(stack.shape[1:])),
}
BASICPY = ("basicpy", "basicpy at 64")
DRAWS = 2000
GAIN = 4.0  # the default of illumination.max_gain


def foreign(python: str | None, stacks: dict[str, tuple[np.ndarray, list[int]]]) -> dict[str, dict]:
    """Return what BaSiCPy fits to the first so many views of each stack, by name; nothing without its interpreter."""
    if python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (stack, counts) in stacks.items():
            np.savez(Path(folder, f"{name}.npz"), stack=stack, counts=counts)
        surroundings = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
            "OMP_NUM_THREADS": "1"
        }
        command = [python, str(HERE / "basicpy_fit.py"), folder]
        subprocess.run(command, check=True, env=surroundings, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return {name: dict(np.load(Path(folder, f"{name}.fit"))) for name in stacks}


def simulated(seeds: list[int], counts: list[int], python: str | None) -> list[dict]:
    """Return errors and seconds of each method on each simulated light path."""
    planted = {
        f"{scene}-{seed}": lights.views(scene, max(counts), seed=seed) for scene in lights.SCENES for seed in seeds
    }
    theirs = foreign(python, {name: (views.stack, counts) for name, views in planted.items()})
    basic.basic(planted[next(iter(planted))].stack[:16])  # what is done once a process
    rows = []
    for name, views in planted.items():
        for count in counts:
            for method, estimate in OURS.items():
                start = time.process_time()
                light = estimate(views.stack[:count])
                rows.append(_row(name, count, method, light.flat, light.dark, time.process_time() - start, views))
            for method in BASICPY if theirs else ():
                flat, dark, seconds = (theirs[name][f"{method}|{count}|{part}"] for part in ("flat", "dark", "seconds"))
                rows.append(_row(name, count, method, flat, dark, float(seconds), views))
    return rows


def _row(
    name: str, count: int, method: str, flat: np.ndarray, dark: np.ndarray, seconds: float, views: lights.Views
) -> dict:
    ratio = flat / views.flat
    error = np.abs(ratio / ratio.mean() - 1)
    scene, seed = name.split("-")
    return {
        **{"scene": scene, "seed": seed, "fields": count, "method": method, "seconds": seconds},
        **{"rms": float(np.sqrt((error**2).mean())), "max": float(error.max())},
        "dark": float(np.sqrt(((dark - views.dark) ** 2).mean())),
    }


def median(values: list[float]) -> tuple[float, float, float]:
    """Return the median with the 95 % interval of a bootstrap over the values."""
    values = np.array(values)
    draws = np.median(values[np.random.default_rng(0).integers(0, len(values), (DRAWS, len(values)))], axis=1)
    return float(np.median(values)), *(float(end) for end in np.quantile(draws, [0.025, 0.975]))


def real(shared: Path) -> dict[str, tuple[np.ndarray, dict[str, Light]]]:
    """Return views of each set of real fields that is there, with the light paths that others published for them."""
    found = {}
    folder = shared / "illum_examples" / "bbbc016_gfp"
    if folder.is_dir():
        found["bbbc016 gfp"] = (_read(sorted(folder.glob("*.TIF"))), {})
    for channel, stain in (("1", "gfp"), ("2", "dna")):
        folder = shared / "bbbc013"
        if folder.is_dir():
            stack = _read(sorted((folder / "images").glob(f"Channel{channel}-*.tif")))
            image = next(value for value in _arrays(folder / f"Channel{channel}ILLUM.mat") if value.ndim == 2)
            published = flatfield.light(binning.bin_area(image, stack.shape[1:]))
            found[f"bbbc013 {stain}"] = (stack, {"cellprofiler": published})
    return found


def _arrays(path: Path) -> list[np.ndarray]:
    return [value for name, value in loadmat(path).items() if not name.startswith("__") and value.size > 1]


def _read(paths: list[Path]) -> np.ndarray:
    planes = [tifffile.TiffFile(path).pages[0].asarray() for path in paths]
    return np.stack([binning.bin_area(plane, binning.shape_of(*plane.shape)) for plane in planes])


def held_out(sets: dict[str, tuple[np.ndarray, dict[str, Light]]], python: str | None) -> list[dict]:
    """Return the unevenness of one half of real fields, before and after each method's estimate from the other half."""
    halves = {name: flatfield.halves(len(stack)) for name, (stack, _) in sets.items()}
    theirs = foreign(python, {name: (stack[halves[name]], [halves[name].sum()]) for name, (stack, _) in sets.items()})
    rows = []
    for name, (stack, published) in sets.items():
        half = halves[name]
        estimates = {method: estimate(stack[half]) for method, estimate in OURS.items()}
        offset = float(basic.basic(stack[half], degrees=basic.BOWLS[1]).dark.mean())
        estimates["median"] = flatfield.median(stack[half], offset=offset)
        for method in BASICPY if theirs else ():
            fields = (theirs[name][f"{method}|{half.sum()}|{part}"] for part in ("flat", "dark"))
            estimates[method] = flatfield.light(*fields)
        base = float(basic.basic(stack).dark.mean())
        for method, light in (estimates | published).items():
            figures = evenness.measured(stack[~half], light, base=base)
            rows.append({"set": name, "fields": len(stack), "method": method} | figures)
    return rows


def judged(seeds: list[int], counts: list[int], sets: dict[str, tuple[np.ndarray, dict[str, Light]]]) -> list[dict]:
    """Return whether the correction of simulated and real fields is applied, and the error that is left."""

    def fit(stack: np.ndarray) -> Light:
        found = basic.basic(stack)
        return Light(flatfield.limited(found.flat, GAIN), found.dark)

    cases = [
        (f"{scene} {count}", lights.views(scene, count, seed=seed))
        for scene in [*lights.SCENES, *lights.HARD]
        for count in counts
        for seed in seeds
    ]
    unknown = {name: np.full(stack.shape[1:], np.nan) for name, (stack, _) in sets.items()}
    cases += [(name, lights.Views(sets[name][0], nan, nan, nan[None])) for name, nan in unknown.items()]
    rows = []
    for name, views in cases:
        light, wells = fit(views.stack), np.arange(len(views.stack))
        figures = judge.held_out(views.stack, wells, fit, base=float(light.dark.mean()))
        why = judge.against(figures, wells=len(wells))
        even = Light(np.ones_like(light.flat), np.zeros_like(light.dark))
        lit = {"none": even, "always": light, "auto": light if why is None else even}
        errors = {kind: image_error(views, one) for kind, one in lit.items()}
        row = {"case": name, "applied": why is None, "reason": "" if why is None else why.code} | errors
        changes = {part: figures[f"{part}_change"] for part in ("residual", "objects")}
        rows.append(row | changes)
    return rows


def image_error(views: lights.Views, light: Light) -> float:
    """Return how far corrected fields are from the same fields behind an even light path, without noise.

    The share of the standard deviation of all pixels that no common scale and offset explains: sqrt(1 - r^2).
    """
    raw = views.light * views.flat + views.dark
    done = np.maximum((raw - light.dark) / light.flat + light.dark.mean(), 0)
    both = np.corrcoef(done.ravel(), np.broadcast_to(views.light, done.shape).ravel())[0, 1]
    return float(np.sqrt(np.maximum(0.0, 1 - both**2)))  # NaN of real fields, whose truth is unknown


def _mean(values: list[float]) -> str:
    """Return the mean with Student's 95 % interval over seeds."""
    reach = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values)) if values[1:] else 0.0
    return f"{np.mean(values):+.3f} ({np.mean(values) - reach:+.3f} to {np.mean(values) + reach:+.3f})"


def _print_judged(rows: list[dict]) -> None:
    print("Error of corrected images: sqrt(1 - r^2) to the truth; changes of background and objects: of the first seed")
    head = "error of none / always / auto   auto - always, auto - none; background, objects"
    print(f"{'case':28s} applied  {head}")
    for case in dict.fromkeys(row["case"] for row in rows):
        mine = [row for row in rows if row["case"] == case]
        errors = " / ".join(f"{np.median([row[kind] for row in mine]):.3f}" for kind in ("none", "always", "auto"))
        changes = ", ".join("{:+.3f} ({:+.3f} to {:+.3f})".format(*mine[0][part]) for part in ("residual", "objects"))
        apart = ", ".join(_mean([row["auto"] - row[kind] for row in mine]) for kind in ("always", "none"))
        applied = f"{sum(row['applied'] for row in mine)} of {len(mine)}"
        print(f"{case:28s} {applied}   {errors}   {apart}; {changes}", flush=True)


def main() -> None:
    """Run, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 seeds in place of 10, 16 and 64 fields")
    parser.add_argument("--seed", type=int, default=100, help="the first; settings were chosen on 0 to 9")
    parser.add_argument("--basicpy", metavar="PYTHON", help="interpreter that has basicpy 2.0.0")
    parser.add_argument("--shared", type=Path, default=HERE.parents[1] / "shared" / "data", help="real fields")
    parser.add_argument("--judge", action="store_true", help="only: on which fields is the correction applied?")
    given = parser.parse_args()
    if given.judge:
        seeds = list(range(given.seed, given.seed + (2 if given.quick else 10)))
        _print_judged(judged(seeds, [24, 64], real(given.shared)))
        return
    counts = [16, 64] if given.quick else [16, 64, 200]
    seeds = list(range(given.seed, given.seed + (2 if given.quick else 10)))
    report: dict[str, object] = {"benchmark": "illumination", "quick": given.quick, "seeds": len(seeds)}
    if given.basicpy is None:
        print("basicpy: skipped (--basicpy PYTHON)")
    rows = simulated(seeds, counts, given.basicpy)
    print(
        f"{'scene':7s} fields  {'method':14s} {'rms error (95 % interval)':26s} {'largest':>7s} {'dark':>6s} {'s':>8s}"
    )
    for scene in lights.SCENES:
        for count in counts:
            _print_case(rows, scene, count, report)
    for row in held_out(real(given.shared), given.basicpy):
        before, after, change = (row[f"residual_{part}"] for part in ("before", "after", "change"))
        edges = f"edge {row['edge_before'][0]:+.3f} -> {row['edge_after'][0]:+.3f}"
        texts = ["{:.3f} ({:.3f} to {:.3f})".format(*part) for part in (before, after, change)]
        name = f"{row['set']:12s} {row['fields']:3d}  {row['method']:14s}"
        print(f"{name} {texts[0]} -> {texts[1]}, change {texts[2]}, {edges}")
        key = f"{row['set']} {row['method']}".replace(" ", "_")
        report |= {f"{key}_residual": float(after[0]), f"{key}_change": [float(part) for part in change]}
    print(json.dumps(report))


def _print_case(rows: list[dict], scene: str, count: int, report: dict[str, object]) -> None:
    mine = [row for row in rows if (row["scene"], row["fields"]) == (scene, count)]
    figures = {}
    for method in dict.fromkeys(row["method"] for row in mine):
        chosen = [row for row in mine if row["method"] == method]
        figures[method] = {key: median([row[key] for row in chosen]) for key in ("rms", "max", "dark", "seconds")}
        found = figures[method]
        rms = "{:.4f} ({:.4f} to {:.4f})".format(*found["rms"])
        line = f"{scene:7s} {count:6d}  {method:14s} {rms:26s} {found['max'][0]:7.3f} {found['dark'][0]:6.1f}"
        print(f"{line} {found['seconds'][0]:8.3f}")
        key = f"{scene}_{count}_{method.replace(' ', '_')}"
        report |= {f"{key}_{part}": found[part][0] for part in found}
    for method in BASICPY:
        if method in figures:
            ratios = {part: figures["basic"][part][0] / figures[method][part][0] for part in ("rms", "seconds")}
            print(f"{'':16s}basic / {method}: error {ratios['rms']:.2f}, time {ratios['seconds']:.2f}")
            key = f"{scene}_{count}_ratio_to_{method.replace(' ', '_')}"
            report |= {f"{key}_{part}": ratio for part, ratio in ratios.items()}


if __name__ == "__main__":
    main()
