"""Does the survey's sharpness measure only blur? Fields blurred by known widths in, answers of measures out.

Usage: python benchmarks/sharpness.py [--quick] [--images GLOB ...] [--stacks GLOB ...]. Beside it stand the slope of
the power spectrum (the survey's other measure), Laplacian and Sobel energy and Vollath's F4 over the variance, the
variance over the mean (Sun et al. 2004 compare such), and the same quotient at other lags. Fields are simulated, 6 in
each of 5 channels; --images adds real ones. For each measure and set of fields: the share of fields in which it falls
with every step of blur, without and with noise of photons added after it; how often a field as it is ranks above one
blurred by 2 px; how far noise, a third of the brightness, and an eighth of the cells move it, in units of what 2 px of
blur does; and the milliseconds per field of 1080 px. Each GLOB of --stacks names the planes of a focal stack; given is
the share of stacks in which a measure rises to one plane and falls from there. A share below 0.9 or a move above 0.2
would refute the claim.
"""

import argparse
import dataclasses
import glob
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parent))

import plates  # noqa: E402

from wellspring.report import naming  # noqa: E402
from wellspring.simulate import cells, optics  # noqa: E402
from wellspring.simulate.screen import read_screen, stream  # noqa: E402
from wellspring.simulate.traits import CHANNELS, draw_traits  # noqa: E402
from wellspring.survey import focus  # noqa: E402

BLURS = (0, 0.5, 1, 1.5, 2, 3, 4, 6)  # px, standard deviations of a Gaussian
REFERENCE = BLURS.index(2)
NOISE = 2.0  # of the square root of the median grey value
OTHER_LAGS = ((1, 2, 8), (1, 3, 12), (2, 4, 16))


def over_variance(energy: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], float]:
    """Return a measure: the mean of `energy` of a field over the field's variance."""
    return lambda pixels: float(energy(pixels.astype(np.float64)).mean() / pixels.var(dtype=np.float64))


def at_lags(pixels: np.ndarray, lags: tuple[int, int, int]) -> float:
    """Return the sharpness at other lags, plainly."""
    grey = pixels.astype(np.float64)
    near, middle, far = (
        ((grey[lag:] - grey[:-lag]) ** 2).mean() + ((grey[:, lag:] - grey[:, :-lag]) ** 2).mean() for lag in lags
    )
    return float((middle - near) / (far - near))


def vollath(pixels: np.ndarray) -> float:
    """Return Vollath's F4 over the variance: of two autocovariances one and two pixels apart the difference."""
    grey = pixels - pixels.mean()
    near, far = ((grey[lag:] * grey[:-lag]).mean() + (grey[:, lag:] * grey[:, :-lag]).mean() for lag in (1, 2))
    return float((near - far) / (2 * grey.var()))


MEASURES: dict[str, Callable[[np.ndarray], float]] = {
    "sharpness": focus.sharpness,
    "focus": focus.focus,
    "Laplacian / variance": over_variance(lambda grey: ndimage.laplace(grey) ** 2),
    "Sobel / variance": over_variance(lambda grey: ndimage.sobel(grey, 0) ** 2 + ndimage.sobel(grey, 1) ** 2),
    "F4 / variance": vollath,
    "variance / mean": lambda pixels: float(pixels.var() / pixels.mean()),
    **{f"lags {lags}": lambda pixels, lags=lags: at_lags(pixels, lags) for lags in OTHER_LAGS},
}


def drawn(count: int, *, side: int, share: float = 1.0, seed: int = 0) -> list[np.ndarray]:
    """Draw fields (side, side) uint16 of the demo's cells, `count` a channel, with a share of their usual number."""
    screen = read_screen(plates.REPOSITORY / "resources" / "demo" / "screen.yaml")
    screen = dataclasses.replace(screen, field=side, faults=())
    plate, (_, line) = next(iter(screen.plates.items()))
    light, bank, fields = optics.plate_optics(screen, plate, seed=seed), cells.texture_bank(stream(seed, 0)), []
    for number in range(count):
        rng = stream(seed, 1, number)
        centres = cells.place_cells(rng, field=side, density=line.density * share)
        traits = draw_traits({}, rng, count=len(centres), size=line.size, jitter=screen.cell_jitter)
        stain = cells.draw_field(centres, traits, bank, rng, field=side, stain_jitter=screen.stain_jitter)
        state = optics.well_state(screen, plate, screen.wells[0], light, seed=seed)
        fields.extend(optics.expose(stain, light, state, rng, nuisance=screen.nuisance))
    return fields


def grey(light: np.ndarray, rng: np.random.Generator, *, noise: float = 0.0) -> np.ndarray:
    """Return a field (H, W) uint16 of light, with noise added that grows with the field's brightness."""
    return (
        np.rint(light + noise * np.sqrt(np.median(light)) * rng.normal(size=light.shape))
        .clip(0, 65535)
        .astype(np.uint16)
    )


def answers(measure: Callable[[np.ndarray], float], fields: list[np.ndarray]) -> dict[str, float]:
    """Return what a measure makes of blur, noise and brightness in fields as they were read."""
    rng = np.random.default_rng(0)
    clean, noisy, moved = [], [], []
    for field in fields:
        steps = [ndimage.gaussian_filter(field.astype(np.float32), blur) if blur else field for blur in BLURS]
        clean.append([measure(grey(step, rng)) for step in steps])
        noisy.append([measure(grey(step, rng, noise=NOISE)) for step in steps])
        dim = measure(grey(steps[2] / 3 + 30, rng)) - measure(grey(steps[2], rng))
        moved.append((noisy[-1][2] - clean[-1][2], dim))
    clean, noisy, moved = (np.array(found) for found in (clean, noisy, moved))
    range_ = np.median(clean[:, 0] - clean[:, REFERENCE])
    return {
        "fields": len(fields),
        "falls": float((np.diff(clean, axis=1) < 0).all(axis=1).mean()),
        "falls_in_noise": float((np.diff(noisy, axis=1) < 0).all(axis=1).mean()),
        "ranks": float((clean[:, :1] > clean[:, REFERENCE]).mean()),
        "moved_by_noise": float(np.median(np.abs(moved[:, 0])) / range_),
        "moved_by_dimming": float(np.median(np.abs(moved[:, 1])) / range_),
    }


def moved_by_cells(measure: Callable[[np.ndarray], float], many: list[np.ndarray], few: list[np.ndarray]) -> float:
    """Return by how much an eighth of the cells moves a measure, in what 2 px of blur does; median over channels."""
    blurred = [grey(ndimage.gaussian_filter(field.astype(np.float32), 2), np.random.default_rng(0)) for field in many]
    most, least, blur = (np.array([measure(field) for field in fields]) for fields in (many, few, blurred))
    channels = [slice(number, None, len(CHANNELS)) for number in range(len(CHANNELS))]
    moves = [
        abs(np.median(least[c]) - np.median(most[c])) / (np.median(most[c]) - np.median(blur[c])) for c in channels
    ]
    return float(np.median(moves))


def milliseconds(measure: Callable[[np.ndarray], float], *, repeats: int = 9) -> float:
    """Return the processor time of a field of 1080 px, the median of some."""
    field = grey(
        ndimage.gaussian_filter(np.random.default_rng(0).random((1080, 1080)), 2) * 8000, np.random.default_rng(0)
    )
    measure(field)
    found = []
    for _ in range(repeats):
        start = time.process_time()
        measure(field)
        found.append(time.process_time() - start)
    return 1e3 * float(np.median(found))


def real(patterns: list[str]) -> list[np.ndarray]:
    """Read the planes of grey values, not all alike, that the patterns name."""
    found = [tifffile.imread(path) for pattern in patterns for path in sorted(glob.glob(pattern, recursive=True))]  # noqa: PTH207
    return [plane for plane in found if plane.ndim == 2 and plane.min() < plane.max()]


def focal(patterns: list[str]) -> list[list[np.ndarray]]:
    """Read focal stacks, a pattern each, planes in the natural order of their paths; thumbnails are passed over."""
    stacks = []
    for pattern in patterns:
        paths = [path for path in glob.glob(pattern, recursive=True) if "thumb" not in path]  # noqa: PTH207
        stacks.append([tifffile.imread(path) for path in sorted(paths, key=naming.natural)])
    return stacks


def peaks(measure: Callable[[np.ndarray], float], stacks: list[list[np.ndarray]]) -> float:
    """Return the share of stacks in which a measure rises up to one plane and falls from there."""
    found = [np.array([measure(plane) for plane in stack]) for stack in stacks]
    single = [(np.diff(np.sign(np.diff(values))) <= 0).all() and np.isfinite(values).all() for values in found]
    return float(np.mean(single))


def main() -> None:
    """Run, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two fields of 300 px per channel, not six of 540 px")
    parser.add_argument("--images", nargs="*", default=[], help="patterns of TIFF files that are added")
    parser.add_argument("--stacks", nargs="*", default=[], help="patterns of TIFF files, each of a focal stack")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    count, side = (2, 300) if given.quick else (6, 540)
    many, few = (drawn(count, side=side, share=share, seed=given.seed) for share in (1.0, 1 / 8))
    sets = {"simulated": many} | ({"real": real(given.images)} if given.images else {})
    stacks = focal(given.stacks)
    report: dict[str, object] = {"benchmark": "sharpness", "quick": given.quick}
    print(f"{'':22s}{'':11s}{'fields':>7s}{'falls':>7s}{'noisy':>7s}{'ranks':>7s}  moved by noise, dim, few cells  ms")
    for name, measure in MEASURES.items():
        if stacks:
            report[f"{name}.stacks.stacks"], report[f"{name}.stacks.peaks"] = len(stacks), peaks(measure, stacks)
            print(f"{name:22s}one peak in {report[f'{name}.stacks.peaks']:.2f} of {len(stacks)} focal stacks")
        spent = milliseconds(measure)
        for where, fields in sets.items():
            row = answers(measure, fields) | {"milliseconds": spent}
            if where == "simulated":
                row["moved_by_cells"] = moved_by_cells(measure, many, few)
            report |= {f"{name}.{where}.{key}": value for key, value in row.items()}
            shares = "".join(f"{row[key]:7.2f}" for key in ("falls", "falls_in_noise", "ranks"))
            moves = "".join(
                f"{row.get(f'moved_by_{what}', float('nan')):11.2f}" for what in ("noise", "dimming", "cells")
            )
            print(f"{name:22s}{where:11s}{row['fields']:7d}{shares}{moves} {spent:5.1f}", flush=True)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
