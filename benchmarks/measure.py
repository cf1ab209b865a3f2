"""How many cells a core measures in a second, beside cp_measure called by field and cell by cell.

All three compute the default families of `measure` of nuclei, cells and cytoplasm in every channel of simulated fields
(1080 x 1080 px, 5 channels, some 200 cells, as at 20x). By field: each function of cp_measure on the label image of a
kind of object, once per channel or pair. Cell by cell: the same functions on the square of 96 px around a cell, for
some cells. A published time of CellProfiler is printed beside them; it includes segmentation. Times are processor
time of one thread, after a first call that compiles the kernels. Last, the largest difference between the features and
cp_measure's by field, relative to each feature's largest value; one above 1e-4 refutes that they are equal.

    python benchmarks/measure.py [--quick] [--seed 5]
"""

import argparse
import itertools
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import yaml
from cp_measure import bulk
from scipy import ndimage

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.measure import field  # noqa: E402
from wellspring.screen import sections  # noqa: E402
from wellspring.screen.sections import Measure  # noqa: E402

SIDE, WINDOW = 1080, 96
ZERO = ("CentralMoment_0_1", "CentralMoment_1_0")  # 0 by definition; both sides have rounding errors
CHANNELS = ["DNA", "ER", "RNA", "AGP", "Mito"]
# Chakroun, Michiels and Wuyts, GPU-accelerated CellProfiler (BIBM 2018, doi 10.1109/BIBM.2018.8621271): a pipeline of
# 1,400 features per cell took 14 days on 16 nodes of 24 cores for 7.5 million images.
PUBLISHED = 14 * 86400 * 16 * 24 / 7.5e6  # core-seconds per image
RENAMED = {"radial_distribution": "", "radial_zernikes": "", "intensity": "", "granularity": "", "texture": "Texture_"}


def simulated(rng: np.random.Generator, *, cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (C, H, W), nuclei and cells (H, W): discs of 24 px in touching ragged cells."""
    seeds = np.zeros((SIDE, SIDE), bool)
    seeds[tuple(rng.integers(12, SIDE - 12, (2, cells)))] = True
    away, nearest = ndimage.distance_transform_edt(~seeds, return_indices=True)
    owner = ndimage.label(seeds, np.ones((3, 3)))[0][tuple(nearest)].astype(np.uint32)
    ragged = away + 8 * ndimage.gaussian_filter(rng.standard_normal((SIDE, SIDE)), 4) * 8
    body, nuclei = np.where(ragged < 32, owner, 0), np.where(away < 12, owner, 0)
    nuclei[body == 0] = 0
    texture = ndimage.gaussian_filter(rng.random((len(CHANNELS), SIDE, SIDE)), (0, 2, 2)) * 0.8
    pixels = np.maximum(texture * (0.1 + (body > 0) + (nuclei > 0)) + rng.normal(0, 0.02, texture.shape), 0)
    return pixels, nuclei, body


def reference(pixels: np.ndarray, labels: np.ndarray, options: Measure) -> dict[str, np.ndarray]:
    """Return what cp_measure finds for one kind of object, under this workflow's names."""
    core, pairs = bulk.get_core_measurements(sanitize=False), bulk.get_correlation_measurements(sanitize=False)
    found: dict[str, np.ndarray] = {}
    for function in ("sizeshape", "zernike", "feret"):
        found |= {f"AreaShape_{name}": values for name, values in core[function](labels, None).items()}
    for channel, image in zip(CHANNELS, pixels, strict=True):
        for function, prefix in RENAMED.items():
            shown = np.minimum(image, 1.0) if function == "texture" else image
            for name, values in core[function](labels, shown).items():
                family, feature, *rest = f"{prefix}{name}".split("_")
                found["_".join((family, feature, channel, *rest))] = values
    for one, other in itertools.combinations(range(len(CHANNELS)), 2):
        for function in ("pearson", "manders_fold", "rwc"):
            for name, values in pairs[function](pixels[one], pixels[other], labels).items():
                found[field._of_pair(name, CHANNELS[one], CHANNELS[other])] = values
    return found


def kinds(nuclei: np.ndarray, cells: np.ndarray, *, gaps: bool = False) -> dict[str, np.ndarray]:
    """Return the label image (int32) of each kind of object; numbers follow without `gaps`, or are those of cells."""
    parts = {"Nuclei": nuclei, "Cells": cells, "Cytoplasm": np.where(nuclei == 0, cells, 0)}
    if gaps:
        return parts
    return {
        kind: np.unique(part, return_inverse=True)[1].reshape(part.shape).astype(np.int32)
        for kind, part in parts.items()
    }


def by_field(pixels: np.ndarray, nuclei: np.ndarray, cells: np.ndarray, options: Measure) -> dict[str, np.ndarray]:
    """Return the features of all objects of a field, by cp_measure."""
    found: dict[str, np.ndarray] = {}
    for kind, labels in kinds(nuclei, cells).items():
        if labels.any():
            mine = reference(pixels, labels, options)
            found |= {f"{kind}_{name}": np.asarray(values) for name, values in mine.items()}
    return found


def cell_by_cell(
    pixels: np.ndarray, nuclei: np.ndarray, cells: np.ndarray, numbers: np.ndarray, options: Measure
) -> None:
    """Measure each cell on the square around it, as a loop over single-cell pictures does."""
    for number in numbers:
        y, x = (int(np.clip(middle - WINDOW / 2, 0, SIDE - WINDOW)) for middle in np.argwhere(cells == number).mean(0))
        square = slice(y, y + WINDOW), slice(x, x + WINDOW)
        by_field(pixels[:, *square], *(np.where(labels[square] == number, 1, 0) for labels in (nuclei, cells)), options)


def difference(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], numbers: dict[str, np.ndarray]) -> float:
    """Return the largest difference of a feature of `found`, relative to its largest value."""
    worst = 0.0
    for name, values in expected.items():
        kind = name.split("_")[0]
        if name in found and not name.endswith(ZERO):
            mine = found[name][numbers[kind] - 1]
            most = np.abs(values[np.isfinite(values)]).max(initial=0)
            worst = max(worst, float(np.nanmax(np.abs(mine - values), initial=0) / max(most, 1e-6)))
    return worst


def main() -> None:
    """Print the rates and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one field, three single cells")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    defaults = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())["measure"]
    options = sections.read(Measure, defaults)
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    field.names(CHANNELS, options=options)  # compiles
    fields, singles = (1, 3) if arguments.quick else (3, 12)
    ways = ("wellspring", "cp_measure by field", "cp_measure cell by cell")
    spent, counts, worst = dict.fromkeys(ways, 0.0), dict.fromkeys(ways, 0), 0.0
    for _ in range(fields):
        scene = simulated(rng, cells=210)
        numbers = np.unique(scene[2])[1:]
        some = rng.choice(numbers, singles, replace=False)
        clock = [time.process_time()]
        every = np.arange(1, numbers.max() + 1)
        found = field.measure(*scene, numbers=every, channels=CHANNELS, options=options)
        clock.append(time.process_time())
        expected = by_field(*scene, options)
        clock.append(time.process_time())
        cell_by_cell(*scene, some, options)
        clock.append(time.process_time())
        for way, seconds, many in zip(ways, np.diff(clock), (len(numbers), len(numbers), singles), strict=True):
            spent[way] += float(seconds)
            counts[way] += many
        present = {kind: np.unique(labels)[1:] for kind, labels in kinds(*scene[1:], gaps=True).items()}
        worst = max(worst, difference(found, expected, present))
    rates = {way: counts[way] / spent[way] for way in spent}
    ratios = {way: rates["wellspring"] / rate for way, rate in rates.items()}
    for way, rate in rates.items():
        print(f"{way:24} {rate:8.2f} cells per second and core, 1 / {ratios[way]:.1f} of wellspring")
    field_seconds = counts["wellspring"] / fields / rates["wellspring"]
    print(
        f"wellspring: {field_seconds:.1f} core-seconds per field; CellProfiler, published, segmentation included: "
        f"{PUBLISHED:.0f} core-seconds per image"
    )
    print(f"largest difference to cp_measure by field: {worst:.1e} of a feature's largest value")
    seconds = {"wellspring": field_seconds, "cellprofiler_published": PUBLISHED}
    figures = {
        "cells_per_second": rates,
        "ratio": ratios,
        "core_seconds_per_field": seconds,
        "largest_difference": worst,
    }
    print(json.dumps({"benchmark": "measure", "quick": arguments.quick, "seed": arguments.seed, "figures": figures}))


if __name__ == "__main__":
    main()
