"""Does an encoder trained from scratch read the dose response of a real plate? BBBC013, 48 wells, on a CPU.

Claim: SimCLR and SSLProfiler, trained on the plate's own images without labels, hold the controls apart (Z') at least
as well as their own untrained networks (`random` looks at cells, `random_tiles` at tiles). Encoders are judged by Z',
by the residual of a four-parameter curve through the doses (standard deviation, in units of the distance between the
controls) and by the width of the 95 % interval of its EC50 (factors of ten); the smaller, the better. Spearman's
correlation of dose and place between the controls is printed, too, but ranks no encoder: 78 % of the treated wells lie
on a plateau of the curve, where the order of doses is noise, so that even a reading without noise gives 0.89 to 0.93.
Beside them are a frozen network with weights of ImageNet (`imagenet`), hand-made features (`classical`) and `ratio`,
the crude one for which the assay was made: the stain in the nucleus over that in the cytoplasm, a median over cells,
here of the workflow's own cells and pixels. With Otsu nuclei and without a flat field
the ratio scores 0.88 and 0.75. An interval of the difference between trained and untrained that lies below 0 refutes
the claim; one that holds 0 leaves it open.

The workflow itself runs once on `tests/real/bbbc013/config.yaml` with an entry for each encoder and seed, so that
pixels are processed once. Levels are judged as rule evaluate does: two halves of the plate's negative controls, each
aligned by the other, wells read along an axis fitted on the plate's other rows. A dose fills a column, so a gradient
across the plate would look like a dose response; differences between encoders share it.

Intervals are 95 %. Spearman: a bootstrap over the 36 treated wells of the mean over seeds, differences on the same
wells. Z': the mean over seeds of the workflow's generalised interval; differences of it by Student's t over the seeds,
which shows what another seed would do on these wells, not on other wells.

    python benchmarks/bbbc013.py [--quick] [--images ../shared/data/bbbc013] [--seeds 31 32 33] [--keep FOLDER]

In the JSON line `<level>.<metric>.<encoder>` and `...<encoder>_minus_<other>` are [value, low, high, n], n the wells
(Spearman; Z' of an encoder) or the seeds (differences of Z'); `...<encoder>.seed_<n>` are numbers. The quick run has
one seed, and so no interval of a difference of Z'. Without the images it prints `skipped`.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import ndimage, stats

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "workflow" / "lib"), str(REPOSITORY / "benchmarks")]

import plates  # noqa: E402

from wellspring.evaluate import wells  # noqa: E402
from wellspring.evaluate.crossfit import crossfitted, deal  # noqa: E402
from wellspring.evaluate.curve import BEYOND  # noqa: E402
from wellspring.evaluate.curve import fit as fit_curve  # noqa: E402
from wellspring.evaluate.dose import axis_scores, dose, z_prime  # noqa: E402
from wellspring.evaluate.levels import join, judged  # noqa: E402
from wellspring.io import ngff, tables  # noqa: E402
from wellspring.screen import config as configuration  # noqa: E402
from wellspring.screen import sections  # noqa: E402

BASE = REPOSITORY / "tests" / "real" / "bbbc013"
PLATE = "BBBC013"
LEVELS, METRICS = ("normalised", "aligned"), ("dose.spearman", "dose.z_prime", "dose.residual", "dose.ec50_width")
SMALLER = METRICS[2:]  # better if smaller
BY_SEED = METRICS[1:]  # differences of these are over seeds
TRAINED = {"simclr": "random", "sslprofiler": "random_tiles"}  # and their untrained twins
ENCODERS = ("simclr", "random", "sslprofiler", "random_tiles", "imagenet", "classical", "ratio")
PAIRS = (
    *TRAINED.items(),
    ("simclr", "imagenet"),
    ("simclr", "classical"),
    ("simclr", "ratio"),
    ("sslprofiler", "imagenet"),
    ("sslprofiler", "classical"),
    ("sslprofiler", "ratio"),
)
ONCE = ("imagenet", "classical", "ratio")  # nothing is drawn: no seeds


def settings(seeds: Sequence[int], *, quick: bool) -> dict:
    """Return the plate's config with an entry for each encoder and seed; `quick`: a quarter of the steps."""
    config = yaml.safe_load((BASE / "config.yaml").read_text(encoding="utf-8"))
    shipped, entries = config["encoders"], {}
    for name, twin in TRAINED.items():
        steps = shipped[name]["steps"] // (4 if quick else 1)
        for seed in seeds:
            entries[f"{name}_{seed}"] = shipped[name] | {"steps": steps, "seed": seed}
            entries[f"{twin}_{seed}"] = {"like": f"{name}_{seed}", "steps": 0}
    return config | {"encoders": entries | {"classical": {"kind": "classical"}, "imagenet": {"like": "demo.imagenet"}}}


def run(folder: Path, config: dict, images: Path, *, cores: int, targets: Sequence[str]) -> None:
    """Run the workflow in `folder` up to `targets`; finished results there are kept.

    Raises RuntimeError, with the name of its log, where the workflow fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sheet = pd.read_csv(BASE / "plates.tsv", sep="\t").assign(images=str(images.resolve()))
    sheet.to_csv(folder / "plates.tsv", sep="\t", index=False)
    shutil.copy(BASE / "platemap.csv", folder)
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "-d", str(folder)]
    command += ["--configfile", str(file), "--cores", str(cores), "--rerun-incomplete", "--nolock"]
    with (folder / "snakemake.log").open("w", encoding="utf-8") as log:
        whole = [*command, "--quiet", "rules", "progress", "--", *targets]
        code = subprocess.run(whole, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise RuntimeError(f"expected the workflow to end with 0, found {code}; see {log.name}")


def ratio(results: Path) -> pd.Series:
    """Return, by well, the stain in the nucleus over that in the rest of the cell, a median over cells."""
    images = ngff.open_plate(results / "images" / f"{PLATE}.zarr")
    labels, found = ngff.open_labels(results / "cells" / f"{PLATE}.zarr"), {}
    for well, site in images.fields:
        stain = images.read(well, site, ["GFP"])[0].astype(np.float64)
        nuclei, cells = (labels.read(well, site, name) for name in ("nuclei", "cells"))
        rest = np.where(nuclei == 0, cells, 0)
        both = np.intersect1d(nuclei[nuclei > 0], rest[rest > 0])
        inside, around = (ndimage.mean(stain, where, both) for where in (nuclei, rest))
        found[well] = float(np.median(inside / np.maximum(around, 1)))
    return pd.Series(found)


def frames(results: Path, encoder: str, config: Mapping) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Return the two folds of an encoder's profiles at each level; `ratio`, a profile of one feature, is as it is."""
    path = results / "profile" / (next(iter(config["encoders"])) if encoder == "ratio" else encoder)
    normalised, seed = join([tables.read(path / f"{PLATE}.normalised.parquet")]), config["seed"]
    if encoder == "ratio":
        kept = normalised.drop(columns=tables.features(normalised))
        table = kept.assign(ratio=kept["Metadata_Well"].map(ratio(results)))
        return dict.fromkeys(LEVELS, judged(table, halved={PLATE}, seed=seed))
    fit = sections.read(sections.Fit, config["fit"])
    dealt = deal(normalised, options=fit, folds=config["evaluate"]["folds"])
    aligned = crossfitted(normalised, dealt, options=fit, seed=seed)
    return {"normalised": judged(normalised, halved=dealt.halved, seed=seed), "aligned": aligned}


def scores(found: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> pd.DataFrame:
    """Return a row per level, fold and well of `frames`: as `score` its place between the controls; kind, dose."""
    parts = []
    for level, pair in found.items():
        for fold, frame in enumerate(pair):
            matrix, frame = wells.in_order(frame[tables.features(frame)].to_numpy(dtype=np.float64), frame)
            columns = {"well": "Metadata_Well", "kind": "Metadata_pert_type", "dose": "Metadata_Concentration"}
            part = pd.DataFrame({name: frame[column] for name, column in columns.items()})
            parts.append(part.assign(score=axis_scores(matrix, frame), level=level, fold=fold))
    return pd.concat(parts, ignore_index=True).dropna(subset="score")


def ends(found: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> dict[str, tuple[float, float]]:
    """Return, by level, the ends of the interval of Z' of `frames` as the stage evaluate has it: means over folds."""
    both = {}
    for level, pair in found.items():
        matrices = [(frame[tables.features(frame)].to_numpy(dtype=np.float64), frame) for frame in pair]
        intervals = [dose(*wells.in_order(*each))[1].interval for each in matrices]
        both[level] = tuple(float(np.mean(each)) for each in zip(*intervals, strict=True))
    return both


def monotone(frame: pd.DataFrame, chosen: np.ndarray) -> np.ndarray:
    """Return Spearman's correlation of score and dose for draws of treated wells, a mean over folds.

    Parameters
    ----------
    frame
        Rows of one encoder, seed and level.
    chosen
        (draws, n) numbers of treated wells, in their order by name.
    """
    treated = frame[frame["kind"] == "trt"].sort_values(["fold", "well"])
    found = []
    for _, fold in treated.groupby("fold"):
        sides = (stats.rankdata(fold[name].to_numpy()[chosen], axis=1) for name in ("score", "dose"))
        first, second = (side - side.mean(axis=1, keepdims=True) for side in sides)
        found.append((first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1)))
    return np.mean(found, axis=0)


def apart(frame: pd.DataFrame) -> float:
    """Return Z' of the controls of one encoder, seed and level, a mean over folds."""
    groups = (fold.groupby("kind")["score"] for _, fold in frame.groupby("fold"))
    return float(np.mean([z_prime(*(group.get_group(kind) for kind in ("poscon", "negcon"))) for group in groups]))


def curve(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the residual of a four-parameter curve and the width of the interval of its log10 EC50, means over folds.

    The negative controls are at dose 0. Without a curve, the residual is that of a constant. An end of the interval
    that the doses do not bound lies ten times beyond them.
    """
    residuals, widths = [], []
    for _, fold in frame.groupby("fold"):
        read = fold[fold["kind"] != "poscon"]
        dose = read["dose"].where(read["kind"] == "trt", 0.0).to_numpy(dtype=float)
        score = read["score"].to_numpy(dtype=float)
        low, high = dose[dose > 0].min() / BEYOND, dose.max() * BEYOND
        line = fit_curve(dose, score)
        expected = line.at(dose) if np.isfinite(line.top) else np.full(len(dose), score.mean())
        residuals.append(np.sqrt(((score - expected) ** 2).sum() / (len(dose) - 4)))
        ends = np.nan_to_num(line.ec50_interval, nan=np.nan, posinf=high)
        first, last = np.clip(ends, low, high) if np.isfinite(ends).all() else (low, high)
        widths.append(np.log10(last / first))
    return float(np.mean(residuals)), float(np.mean(widths))


def over_seeds(values: Sequence[float]) -> list[float]:
    """Return mean, low and high end of its 95 % interval by Student's t, and n; no interval of fewer than two."""
    values, count = np.asarray(values, dtype=float), len(values)
    middle = float(values.mean())
    if count < 2:
        return [middle, float("nan"), float("nan"), count]
    half = float(stats.t.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count))
    return [middle, middle - half, middle + half, count]


def figures(frame: pd.DataFrame, intervals: Mapping[tuple[str, int], Mapping], *, draws: int = 10_000) -> dict:
    """Return the figures of the JSON line.

    Parameters
    ----------
    frame
        Rows of `scores` of all encoders, with `encoder` and `seed`.
    intervals
        `ends` by encoder and seed.
    """
    found: dict[str, object] = {}
    for level in LEVELS:
        here = dict(iter(frame[frame["level"] == level].groupby(["encoder", "seed"])))
        names = list(dict.fromkeys(name for name, _ in here))
        treated = {tuple(sorted(set(rows.loc[rows["kind"] == "trt", "well"]))) for rows in here.values()}
        if len(treated) != 1:
            raise ValueError(f"treated wells: expected the same ones for each encoder, found {len(treated)} sets")
        count = len(treated.pop())
        chosen = np.random.default_rng(0).integers(0, count, (draws, count))
        whole = np.arange(count)[None]
        value = {key: float(monotone(rows, whole)[0]) for key, rows in here.items()}
        drawn = {key: monotone(rows, chosen) for key, rows in here.items()}
        gap = {key: apart(rows) for key, rows in here.items()}
        bent = {key: curve(rows) for key, rows in here.items()}
        figure = dict(zip(BY_SEED, (gap, *({key: each[n] for key, each in bent.items()} for n in (0, 1))), strict=True))
        pooled = {
            name: tuple(np.mean([part[key] for key in here if key[0] == name], axis=0) for part in (value, drawn))
            for name in names
        }
        for metric, by_seed in zip(METRICS, (value, *figure.values()), strict=True):
            many = {f"{level}.{metric}.{name}.seed_{seed}": each for (name, seed), each in by_seed.items()}
            found |= {key: each for key, each in many.items() if key.split(".")[-2] not in ONCE}
        for name in names:
            found[f"{level}.dose.spearman.{name}"] = [float(pooled[name][0]), *_middle(pooled[name][1]), count]
            mine = [key for key in here if key[0] == name]
            low, high = (float(np.mean([intervals[key][level][end] for key in mine])) for end in (0, 1))
            for metric in BY_SEED[1:]:
                found[f"{level}.{metric}.{name}"] = over_seeds([figure[metric][key] for key in mine])
            controls = here[mine[0]].loc[lambda rows: rows["kind"] != "trt", "well"].nunique()
            found[f"{level}.dose.z_prime.{name}"] = [float(np.mean([gap[key] for key in mine])), low, high, controls]
        for first, second in PAIRS:
            if first not in names or second not in names:
                continue
            differences = [float(pooled[first][0] - pooled[second][0]), *_middle(pooled[first][1] - pooled[second][1])]
            found[f"{level}.dose.spearman.{first}_minus_{second}"] = [*differences, count]
            seeds = [seed for name, seed in here if name == first]
            for metric, scored in figure.items():
                other = {seed: scored[(second, 0 if second in ONCE else seed)] for seed in seeds}
                each = [scored[(first, seed)] - other[seed] for seed in seeds]
                found[f"{level}.{metric}.{first}_minus_{second}"] = over_seeds(each)
    return found


def show(found: Mapping[str, object], seeds: Sequence[int]) -> None:
    """Print the table: both scores by encoder, then the differences."""
    print(f"{'level':12}{'metric':16}{'encoder':26}{'value':>7}  {'95 %':18}{'n':>3}  by seed {list(seeds)}")
    for level in LEVELS:
        for metric in METRICS:
            for name in (*ENCODERS, *(f"{first}_minus_{second}" for first, second in PAIRS)):
                key = f"{level}.{metric}.{name}"
                if key in found:
                    value, low, high, count = found[key]
                    interval = f"{low:.2f} to {high:.2f}"
                    by_seed = [found[f"{key}.seed_{seed}"] for seed in seeds if f"{key}.seed_{seed}" in found]
                    further = " ".join(f"{each:.2f}" for each in by_seed)
                    print(f"{level:12}{metric:16}{name:26}{value:7.2f}  {interval:18}{count:3d}  {further}")
    for level in LEVELS:
        for metric in METRICS:
            for first, second in TRAINED.items():
                low, high = found[f"{level}.{metric}.{first}_minus_{second}"][1:3]
                if metric in SMALLER:
                    low, high = -high, -low
                verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
                print(f"{level}, {metric}: {first} against itself untrained: {verdict}")
    print("chance of Spearman is 0; a Z' above 0.5 is an excellent assay, below 0 the controls overlap")


def main() -> None:
    """Run the plate, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of the steps")
    parser.add_argument("--images", type=Path, default=REPOSITORY.parent / "shared" / "data" / "bbbc013")
    parser.add_argument("--seeds", type=int, nargs="+", default=[31, 32, 33], help="of the encoders")
    parser.add_argument("--keep", type=Path, help="folder of the run; a second start goes on with what is there")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    quick, seeds = arguments.quick, arguments.seeds[: 1 if arguments.quick else None]
    images = arguments.images / "images" if (arguments.images / "images").is_dir() else arguments.images
    if not any(images.glob("Channel1-*.tif")):
        print(f"skipped: no images of BBBC013 in {arguments.images}")
        print(json.dumps({"benchmark": "bbbc013", "quick": quick, "skipped": True}))
        return
    config = settings(seeds, quick=quick)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        targets = [f"results/evaluate/{name}.summary.parquet" for name in config["encoders"]]
        run(folder, config, images, cores=arguments.cores, targets=targets)
        resolved, parts, intervals = configuration.resolve(config), [], {}
        for name in [*config["encoders"], "ratio"]:
            encoder, seed = (name, 0) if name in ONCE else (name.rsplit("_", 1)[0], int(name.rsplit("_", 1)[1]))
            here = frames(folder / "results", name, resolved)
            parts.append(scores(here).assign(encoder=encoder, seed=seed))
            intervals[encoder, seed] = ends(here)
    found = figures(pd.concat(parts, ignore_index=True), intervals)
    show(found, seeds)
    print(plates.load())
    steps = {f"steps.{name}": config["encoders"][f"{name}_{seeds[0]}"]["steps"] for name in TRAINED}
    rounded = {key: _rounded(value) for key, value in found.items()}
    print(json.dumps({"benchmark": "bbbc013", "quick": quick, "seeds": seeds} | steps | rounded))


def _middle(draws: np.ndarray) -> list[float]:
    return [float(end) for end in np.nanquantile(draws, [0.025, 0.975])]


def _rounded(value: object) -> object:
    """Return the value with floats to four digits, and null for values that are not finite, which JSON lacks."""
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return (round(value, 4) if np.isfinite(value) else None) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
