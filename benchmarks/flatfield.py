"""Is the planted flat field recovered? Simulated plates in; the relative error of each method out, beside none.

Usage: python benchmarks/flatfield.py [--quick]. Makes its screen in a temporary folder. The last line is a JSON object:
for each method the median over plates, channels and seeds of the rms and of the largest relative error, with the 2.5
and 97.5 percentiles of a bootstrap of that median over plates.
"""

import argparse
import dataclasses
import json
import tempfile
from pathlib import Path

import numpy as np
import tifffile

from wellspring import binning, flatfield
from wellspring.simulate.optics import flat_field
from wellspring.simulate.plate import write_plate
from wellspring.simulate.screen import Screen, read_screen
from wellspring.simulate.traits import CHANNELS

SCREEN = Path(__file__).resolve().parents[1] / "resources" / "demo" / "screen.yaml"
METHODS = {
    "none": lambda stack, offset: flatfield.Light(np.ones(stack.shape[1:]), 0.0),
    "median, offset ignored": lambda stack, offset: flatfield.mean(stack, offset=0.0),
    "median": lambda stack, offset: flatfield.mean(stack),
    "quantile": lambda stack, offset: flatfield.quantile(stack),
    "quantile, offset known": lambda stack, offset: flatfield.quantile(stack, offset=offset),
}


def errors(screen: Screen, plate: str, folder: Path, *, seed: int) -> list[dict[str, object]]:
    """Return rms and largest relative error of each method and channel on one simulated plate."""
    write_plate(screen, plate, folder, seed=seed)
    rows = []
    for channel in CHANNELS:
        stack = np.stack([_view(path) for path in sorted(folder.glob(f"*_{channel}.tif"))])
        truth = flat_field(screen, plate, channel, seed=seed)
        for method, estimate in METHODS.items():
            light = estimate(stack, screen.nuisance.offset)
            flat = binning.enlarge(light.flat, truth.shape)
            ratio = flat / truth
            ratio = np.abs(ratio / ratio.mean() - 1)
            measures = {"rms": float(np.sqrt((ratio**2).mean())), "max": float(ratio.max()), "offset": light.offset}
            rows.append({"plate": (seed, plate), "method": method, **measures})
    return rows


def summary(rows: list[dict[str, object]], method: str, measure: str) -> list[float]:
    """Return median, low and high end of its 95 % interval by a bootstrap over plates."""
    plates = sorted({row["plate"] for row in rows})
    values = [[row[measure] for row in rows if row["method"] == method and row["plate"] == plate] for plate in plates]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(2000):
        chosen = rng.integers(0, len(values), len(values))
        draws.append(np.median(np.concatenate([values[number] for number in chosen])))
    return [float(x) for x in (np.median(np.concatenate(values)), *np.quantile(draws, [0.025, 0.975]))]


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed and two plates in place of three seeds and all")
    quick = parser.parse_args().quick
    screen = dataclasses.replace(read_screen(SCREEN), faults=())
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(1 if quick else 3):
            for plate in list(screen.plates)[: 2 if quick else None]:
                rows += errors(screen, plate, Path(folder, str(seed), plate), seed=seed)
    report = {method: {key: summary(rows, method, key) for key in ("rms", "max", "offset")} for method in METHODS}
    fields, planted = screen.rows * screen.columns * screen.sites, screen.nuisance.offset
    print(f"{len(rows) // len(METHODS)} light paths, {fields} fields each, planted offset {planted:g}")
    print(f"{'method':24s} {'rms error (95 % interval)':30s} {'largest':>8s} {'offset':>8s}")
    for method, row in report.items():
        rms = "{:.4f} ({:.4f} to {:.4f})".format(*row["rms"])
        print(f"{method:24s} {rms:30s} {row['max'][0]:8.3f} {row['offset'][0]:8.1f}")
    print(json.dumps({"benchmark": "flatfield", "quick": quick, "methods": report}))


def _view(path: Path) -> np.ndarray:
    pixels = tifffile.imread(path)
    return binning.bin_area(pixels, binning.shape_of(*pixels.shape))


if __name__ == "__main__":
    main()
