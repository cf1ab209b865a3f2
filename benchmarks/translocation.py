"""Does one number of the workflow's cells read a translocation assay as well as a crude ratio? BBBC013, 48 wells.

In the assay FKHR-GFP moves into the nucleus with the dose of wortmannin. The feature is one number per well: GFP in the
nucleus over GFP in the rest of the cell, the median over all cells, on corrected pixels. Nothing is fitted, normalised
or aligned. Beside it stands the crude ratio: raw pixels, objects above Otsu's threshold of the DNA image, GFP in them
over GFP in the ring of 5 px around each, the median over objects.

Spearman's correlation of dose and feature over the 36 treated wells, its 95 % interval a bootstrap over these wells,
the difference on the same draws. Z' of the 4 positive and 8 negative controls; its interval is a generalised confidence
interval for normal wells, since a bootstrap of so few covers too little (of 4 and 4 wells 0.58 in place of 0.95). An
interval of the difference below 0 refutes the claim for doses, a Z' below the crude one's interval for the controls.

    python benchmarks/translocation.py [--quick] [--images ../shared/data/bbbc013] [--keep FOLDER] [--cores 1]

The workflow runs up to its cells; the quick run is the same, a minute or two. Without the images it prints `skipped`.
"""

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.io import imread

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import bbbc013  # noqa: E402
import plates  # noqa: E402

from wellspring.evaluate.dose import redrawn_spearman, redrawn_z_prime, spearman, z_prime  # noqa: E402

RING = 5  # px
NAME = re.compile(r"Channel1-(?P<index>\d\d)-(?P<row>[A-H])-(?P<column>\d\d)\.tif")


def crude(images: Path) -> pd.Series:
    """Return, by well, the GFP of Otsu's nuclei over that of the ring around each, the median over them."""
    found = {}
    for file in sorted(images.glob("Channel1-*.tif")):
        name = NAME.fullmatch(file.name)
        stain, dna = (imread(file.with_name(file.name.replace("Channel1", part))) for part in ("Channel1", "Channel2"))
        found[name["row"] + name["column"]] = around(stain.astype(np.float64), dna)
    return pd.Series(found)


def around(stain: np.ndarray, dna: np.ndarray) -> float:
    """Return the median over the objects of a DNA image (H, W) of the stain inside them over that of their rings."""
    nuclei, count = ndimage.label(ndimage.binary_opening(dna > threshold_otsu(dna)))
    distance, nearest = ndimage.distance_transform_edt(nuclei == 0, return_indices=True)
    ring = np.where((distance > 0) & (distance <= RING), nuclei[tuple(nearest)], 0)
    numbers = np.intersect1d(np.arange(1, count + 1), ring)
    inside, outside = (ndimage.mean(stain, where, numbers) for where in (nuclei, ring))
    return float(np.median(inside / np.maximum(outside, 1)))


def figures(features: dict[str, pd.Series], layout: pd.DataFrame, *, draws: int = 10_000) -> dict[str, list[float]]:
    """Return [value, low, high, wells] of both scores of each feature, and of the difference of the first two in doses.

    Parameters
    ----------
    features
        By name, a number per well.
    layout
        By well: pert_type and concentration.
    """
    kinds = {kind: layout.index[layout["pert_type"] == kind] for kind in ("trt", "poscon", "negcon")}
    doses, found, drawn = layout.loc[kinds["trt"], "concentration"].to_numpy(float), {}, {}
    for name, values in features.items():
        treated, *controls = (values[wells].to_numpy(float) for wells in kinds.values())
        # One state of the generator: the same wells are drawn for each feature.
        drawn[name] = redrawn_spearman(treated, doses, draws=draws, rng=np.random.default_rng(0))
        found[f"dose.spearman.{name}"] = [spearman(treated, doses), *_middle(drawn[name]), len(treated)]
        redrawn = redrawn_z_prime(*controls, draws=draws, rng=np.random.default_rng(0))
        found[f"dose.z_prime.{name}"] = [z_prime(*controls), *_middle(redrawn), sum(map(len, controls))]
    first, second = list(features)[:2]
    gap = found[f"dose.spearman.{first}"][0] - found[f"dose.spearman.{second}"][0]
    found[f"dose.spearman.{first}_minus_{second}"] = [gap, *_middle(drawn[first] - drawn[second]), len(doses)]
    return found


def main() -> None:
    """Print a row a feature and score and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, default=REPOSITORY.parent / "shared" / "data" / "bbbc013")
    parser.add_argument("--keep", type=Path, help="run the workflow here and leave it; what is finished is not rerun")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="the same")
    arguments = parser.parse_args()
    images = arguments.images / "images" if (arguments.images / "images").is_dir() else arguments.images
    if not any(images.glob("Channel1-*.tif")):
        print(f"skipped: no images of BBBC013 in {arguments.images}")
        print(json.dumps({"benchmark": "translocation", "quick": arguments.quick, "skipped": True}))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        config = bbbc013.settings([], quick=True)
        bbbc013.run(folder, config, images, cores=arguments.cores, targets=[f"results/cells/{bbbc013.PLATE}.parquet"])
        features = {"ratio": bbbc013.ratio(folder / "results"), "crude": crude(images)}
    layout = pd.read_csv(bbbc013.BASE / "platemap.csv", index_col="well")
    found = figures(features, layout)
    print(f"{'score':38}{'value':>7}  {'95 %':16}{'wells':>5}")
    for name, (value, low, high, count) in found.items():
        print(f"{name:38}{value:7.3f}  {f'{low:.3f} to {high:.3f}':16}{count:5}")
    print(plates.load())
    rounded = {name: [round(float(each), 4) for each in values] for name, values in found.items()}
    print(json.dumps({"benchmark": "translocation", "quick": arguments.quick} | rounded))


def _middle(draws: np.ndarray) -> list[float]:
    return [float(end) for end in np.nanquantile(draws, [0.025, 0.975])]


if __name__ == "__main__":
    main()
