"""Score the methods `threshold` and `network` for nuclei against ground truth, beside two plain scikit-image baselines.

Data: the fluorescence images of the 2018 Data Science Bowl with corrected masks (BBBC038; 541 images, 23,096 nuclei).
Average precision at an IoU threshold is TP / (TP + FP + FN), as in the Bowl and in Cellpose's papers, the mean over
images. The images come from many microscopes, so the nucleus diameter is estimated for each image from its pixels
alone. Options were tuned, and the network trained, on images of the seeded half `tune` only; `test` is the other half.
Scores are reported by the size of the image besides, both halves together, since in this set a size stands for a
microscope and a kind of sample.

With `--lincs`, centres are compared with those that CellProfiler found in fields of A549 cells (LINCS, cpg0004), with
the diameter and thresholds of the plate: precision and recall of centres within half a diameter, each matched once.

    python benchmarks/segmentation.py [--quick] [--data FOLDER]
    python benchmarks/segmentation.py --lincs [--quick] [--data FOLDER]
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.io import imread
from skimage.segmentation import watershed

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.cells import network, segment  # noqa: E402

LEVELS = np.round(np.arange(0.5, 1.0, 0.05), 2)
SEED = 0
PLATE = "SQ00015230"
WELLS = {"A01": "r01c01", "A13": "r01c13", "J18": "r10c18", "P13": "r16c13"}
FLOOR = 0.3  # cells.floor


def ours(image: np.ndarray) -> np.ndarray:
    """Segment with the default options and an estimated diameter."""
    diameter = segment.estimate_diameter([image])
    return segment.find_nuclei(image, options=segment.Options(diameter=diameter))


def by_network(image: np.ndarray) -> np.ndarray:
    """Segment with the network that comes with the workflow and the diameter of what it finds at an estimate."""
    options = segment.Options(diameter=segment.estimate_diameter([image]))
    options = replace(options, diameter=network.settled_diameter([image], options=options))
    return network.find_nuclei(image, options=options)


def components(image: np.ndarray) -> np.ndarray:
    """Otsu's threshold and connected components."""
    return ndimage.label(image > threshold_otsu(image))[0]


def distance(image: np.ndarray) -> np.ndarray:
    """Otsu's threshold and a watershed on the distance transform, as in scikit-image's example, smoothed by 1 px.

    Peaks are at least a third of the estimated nucleus diameter apart, as this workflow's estimate has it: with a fixed
    distance, large nuclei would be cut to pieces. Of a quarter, a third and a half, a third is best on the tuning half.
    """
    apart = max(1, round(segment.estimate_diameter([image]) / 3))
    smooth = gaussian(image, 1, preserve_range=True)
    mask = smooth > threshold_otsu(smooth)
    height = ndimage.distance_transform_edt(mask)
    peaks = peak_local_max(height, min_distance=apart, labels=ndimage.label(mask)[0], exclude_border=False)
    seeds = np.zeros(image.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-height, seeds, mask=mask)


METHODS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "threshold": ours,
    "network": by_network,
    "otsu_components": components,
    "otsu_distance": distance,
}


def overlap(truth: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each true (rows) and found (columns) object."""
    rows, columns = (np.unique(image, return_inverse=True) for image in (truth, found))
    counts = np.zeros((len(rows[0]), len(columns[0])))
    np.add.at(counts, (rows[1].ravel(), columns[1].ravel()), 1)
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    return (counts / union)[rows[0] > 0][:, columns[0] > 0]


def score(truth: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return AP at each level, F1 at 0.5, counts. At IoU >= 0.5 a match is one to one without further search."""
    iou = overlap(truth, found)
    true, seen = iou.shape
    hits = [int((iou > level).sum()) if iou.size else 0 for level in LEVELS]
    precision = [hit / max(true + seen - hit, 1) for hit in hits]
    return {
        "ap50": precision[0],
        "ap75": precision[5],
        "ap": float(np.mean(precision)),
        "f1": 2 * hits[0] / max(true + seen, 1),
        "true": true,
        "found": seen,
        "count_error": abs(seen - true) / max(true, 1),
    }


def run(data: Path, *, quick: bool) -> pd.DataFrame:
    """Score all methods on all images (`quick`: 60 seeded ones): a row per image and method."""
    names = sorted(pd.read_csv(data / "index.csv")["id"])
    order = np.random.default_rng(SEED).permutation(len(names))
    tune = set(order[: len(names) // 2])
    rows = []
    for number in np.sort(order[:: len(names) // 60] if quick else order):
        image = imread(data / "images" / f"{names[number]}.png")
        truth = imread(data / "labels" / f"{names[number]}.png")
        image = image if image.ndim == 2 else image[..., :3].max(axis=-1)
        for method, segmented in METHODS.items():
            start = time.perf_counter()
            found = segmented(image)
            seconds = time.perf_counter() - start
            half = "tune" if number in tune else "test"
            row = {"image": names[number], "half": half, "method": method, "seconds": seconds, "pixels": image.size}
            row["size"] = f"{image.shape[0]}x{image.shape[1]}"
            rows.append(row | score(truth, found))
    return pd.DataFrame(rows)


def means(frame: pd.DataFrame, group: str) -> pd.DataFrame:
    """Return the mean scores of a table of `run` by the column `group` and the method."""
    grouped = frame.groupby([group, "method"])
    return (
        grouped[["ap50", "ap75", "ap", "f1", "count_error"]]
        .mean()
        .assign(
            images=grouped.size(),
            nuclei=grouped["true"].sum(),
            median_count_error=grouped["count_error"].median(),
            seconds_a_megapixel=grouped["seconds"].sum() / grouped["pixels"].sum() * 1e6,
        )
    )


def matched(found: np.ndarray, known: np.ndarray, *, within: float) -> int:
    """Return how many centres (n, 2) and (m, 2) can be paired at most `within` px apart, each once."""
    apart = cdist(found, known)
    pairs = linear_sum_assignment(np.minimum(apart, 10 * within))
    return int((apart[pairs] <= within).sum())


def lincs(data: Path, find: Callable[..., np.ndarray], *, quick: bool) -> dict[str, float]:
    """Return precision and recall of the centres of the fields of a plate, with the plate's own settings.

    `find` is `segment.find_nuclei` or `network.find_nuclei`.
    """
    sites = (1, 3) if quick else range(1, 6)
    fields = {
        (well, site): imread(data / "images" / PLATE / f"{place}f{site:02}p01-ch1sk1fk1fl1.png")
        for well, place in WELLS.items()
        for site in sites
    }
    images = list(fields.values())
    diameter = segment.estimate_diameter(images)
    floor, ceiling = (segment.plate_floor(images, diameter=diameter, share=share, flat=True) for share in (FLOOR, 1.0))
    options = segment.Options(diameter=diameter, floor=floor, ceiling=ceiling)
    hits = ours = theirs = 0
    for (well, site), image in fields.items():
        labels = find(image, options=options)
        centres = np.array(ndimage.center_of_mass(labels > 0, labels, np.arange(1, labels.max() + 1)))
        listed = pd.read_csv(data / "nuclei" / PLATE / f"{well}-{site}-Nuclei.csv")
        known = listed[["Nuclei_Location_Center_Y", "Nuclei_Location_Center_X"]].to_numpy()
        hits, ours, theirs = (
            hits + matched(centres, known, within=diameter / 2),
            ours + len(centres),
            theirs + len(known),
        )
    figures = {"diameter": diameter, "fields": len(fields), "found": ours, "listed": theirs}
    return figures | {"precision": hits / max(ours, 1), "recall": hits / max(theirs, 1)}


def main() -> None:
    """Print the table of means and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, help="the folder of the images, by default in ../shared/data")
    parser.add_argument("--lincs", action="store_true", help="compare centres on the LINCS fields")
    parser.add_argument("--quick", action="store_true", help="60 seeded images, or 8 fields")
    arguments = parser.parse_args()
    shared = REPOSITORY.parent / "shared" / "data"
    if arguments.lincs:
        compared = {
            name: lincs(arguments.data or shared / "lincs_a549", way.find_nuclei, quick=arguments.quick)
            for name, way in {"threshold": segment, "network": network}.items()
        }
        print(json.dumps({"benchmark": "segmentation.lincs", "quick": arguments.quick, "figures": compared}))
        return
    frame = run(arguments.data or shared / "nuclei_gt_dsb2018", quick=arguments.quick)
    halves, sizes = means(frame, "half"), means(frame, "size")
    print(halves.round(3).to_string())
    print(sizes.drop(columns="seconds_a_megapixel").round(3).to_string())
    figures = {
        f"{group}.{method}": {name: round(float(value), 4) for name, value in row.items()}
        for table in (halves, sizes)
        for (group, method), row in table.iterrows()
    }
    print(json.dumps({"benchmark": "segmentation", "quick": arguments.quick, "seed": SEED, "figures": figures}))


if __name__ == "__main__":
    main()
