"""Do encoders learn on the demo screen? Trained beside untrained networks and mean intensities, paired by treatment.

Claim: SimCLR as shipped gains at least 0.2 over the same network untrained (`random`) in consistency and in transfer
between cell lines, at the normalised and the aligned level. SSLProfiler as shipped stands beside with its own untrained
twin (`random_ssl`) and a curve over steps on the first seed, without a claim of how much. A smaller gain of SimCLR, or
an interval that reaches 0, would refute it. `intensity` is the mean and standard deviation of each channel's corrected
pixels, a field at a time, through the same aggregation, normalisation and evaluation.

For each screen seed (others than the shipped one) the workflow itself runs on the shipped config with that seed. Levels
are judged as rule evaluate does: each plate aligned by the controls of others. Scores of a treatment:
activity (mean average precision), retrieved (q < 0.05), consistency (average precision of the mechanism) and transfer
(1 nearest neighbour of another compound, from the other line). Intervals are 95 % by a bootstrap over treatments pooled
over seeds; treatments of a seed share a screen and a network, so the means by seed are printed too.

    python benchmarks/demo_learning.py [--quick] [--keep FOLDER] [--seeds 11 12 13]

In the JSON line, `<level>.<score>.<encoder>` and `...<encoder>_minus_<other>` are [mean, low, high, n treatments],
`..._inactive.<encoder>` the same over inactive treatments, `...chance` and `...<encoder>.seed_<n>` are numbers.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent))

from learning import REPOSITORY, SCORES, interval, normalised, profiles_of, rounded, run, treatments, wide  # noqa: E402

from wellspring.evaluate.levels import join  # noqa: E402
from wellspring.io import ngff, tables  # noqa: E402
from wellspring.profile.aggregate import aggregate, wells_of  # noqa: E402
from wellspring.profile.normalise import normalise  # noqa: E402
from wellspring.screen import config as configuration  # noqa: E402
from wellspring.screen import sections  # noqa: E402
from wellspring.simulate.screen import read_screen  # noqa: E402
from wellspring.simulate.truth import truth  # noqa: E402

LEVELS = ("normalised", "aligned")
ENCODERS = ("simclr", "random", "sslprofiler", "random_ssl", "imagenet", "intensity")
PAIRS = (
    ("simclr", "random"),
    ("simclr", "imagenet"),
    ("simclr", "intensity"),
    ("random", "intensity"),
    ("sslprofiler", "random_ssl"),
    ("sslprofiler", "intensity"),
)


def settings(seed: int, *, quick: bool, curve: bool) -> dict:
    """Return the shipped config with another seed and the encoders to compare; `quick`: a quarter of the steps."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    shipped = {name: configuration.inherit(name, config["encoders"]) for name in ("simclr", "sslprofiler")}
    steps = {name: entry["steps"] // (4 if quick else 1) for name, entry in shipped.items()}
    config["seed"] = seed
    config["encoders"] = {name: shipped[name] | {"steps": count} for name, count in steps.items()} | {
        "random": {"like": "simclr", "steps": 0},
        "random_ssl": {"like": "sslprofiler", "steps": 0},
        "imagenet": {"like": "demo.imagenet"},
    }
    for factor in (0.5, 2) if curve else ():
        count = int(steps["sslprofiler"] * factor)
        config["encoders"][f"sslprofiler_{count}"] = {"like": "sslprofiler", "steps": count}
    return config


def intensities(results: Path, plate: str) -> pd.DataFrame:
    """Return the plate's aggregated profiles of mean and standard deviation of each channel, one view per field."""
    images = ngff.open_plate(results / "images" / f"{plate}.zarr")
    index = tables.read(results / "index" / f"{plate}.parquet")
    fields = (images.read(well, site).astype(np.float64) for well, site in images.fields)
    matrix = np.stack([np.concatenate([field.mean(axis=(1, 2)), field.std(axis=(1, 2))]) for field in fields])
    views = pd.DataFrame(images.fields, columns=["Metadata_Well", "Metadata_Site"])
    views = views.assign(Metadata_Plate=plate, Metadata_View=np.int32(0))
    survey = tables.read(results / "survey" / f"{plate}.parquet")
    return aggregate(views, matrix.astype(np.float32), wells_of(index), prefix="intensity", kind="tile", survey=survey)


def profiles(folder: Path, encoder: str, config: Mapping) -> pd.DataFrame:
    """Return the normalised profiles of the kept plates, joined; `intensity` is made here from pixels."""
    if encoder != "intensity":
        return normalised(folder, encoder)
    plates = pd.read_csv(folder / "config" / "plates.tsv", sep="\t")["plate"]
    options = sections.read(sections.Profile, config["profile"])
    made = [normalise(intensities(folder / "results", plate), options=options) for plate in plates]
    return join([frame for frame, _, verdict in made if verdict.keep])


def measure(root: Path, config: dict, *, quick: bool, cores: int) -> pd.DataFrame:
    """Run one screen in its folder under `root` and return `treatments` of its encoders and of mean intensities."""
    folder = root / f"{'quick' if quick else 'seed'}_{config['seed']}"
    sheet = REPOSITORY / "config" / "plates.tsv"
    targets = profiles_of(config["encoders"], pd.read_csv(sheet, sep="\t")["plate"])
    run(folder, config, targets, cores=cores, sheet=sheet)
    config = configuration.resolve(config)
    planted = truth(read_screen(REPOSITORY / "resources" / "demo" / "screen.yaml"), seed=config["seed"])
    active = set(planted.loc[planted["active"], "compound"])
    parts = []
    for name in (*config["encoders"], "intensity"):
        mine = profiles(folder, name, config)
        parts += [treatments(mine, level, config=config).assign(encoder=name) for level in LEVELS]
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(seed=config["seed"], active=frame["treatment"].isin(active))


def figures(frame: pd.DataFrame) -> dict[str, object]:
    """Return the figures of the JSON line: by level and score, each encoder, each difference, chance, each seed."""
    found: dict[str, object] = {}
    for level in LEVELS:
        for score in SCORES:
            stem, values = f"{level}.{score}", wide(frame, level, score)
            at = frame[(frame["level"] == level) & (frame["score"] == score)]
            found[f"{stem}.chance"] = float(at["chance"].mean())
            for name in ENCODERS:
                found[f"{stem}.{name}"] = interval(values[name])
                by_seed = values[name].groupby("seed").mean()
                found |= {f"{stem}.{name}.seed_{seed}": float(value) for seed, value in by_seed.items()}
                if score in ("activity", "retrieved"):
                    found[f"{stem}_inactive.{name}"] = interval(wide(frame, level, score, active=False)[name])
            for first, second in PAIRS:
                found[f"{stem}.{first}_minus_{second}"] = interval(values[first] - values[second])
    return found


def show(found: Mapping[str, object], seeds: Sequence[int]) -> None:
    """Print the table: scores by encoder, then paired differences."""
    print(f"\n{'level':11}{'score':19}{'encoder':28}{'mean':>6}  {'95 %':16}{'n':>3}  chance  by seed {list(seeds)}")
    for level in LEVELS:
        for score in (*SCORES, "retrieved_inactive"):
            for name in ENCODERS:
                chance = found.get(f"{level}.{score}.chance", 0.0)
                by_seed = [found.get(f"{level}.{score}.{name}.seed_{seed}") for seed in seeds]
                means = " ".join("" if value is None else f"{value:.2f}" for value in by_seed)
                print(_line(level, score, name, found[f"{level}.{score}.{name}"]) + f"  {chance:<8.2f}{means}")
    print("\npaired differences (same treatments)")
    for level in LEVELS:
        for score in SCORES:
            for first, second in PAIRS:
                name = f"{first} - {second}"
                print(_line(level, score, name, found[f"{level}.{score}.{first}_minus_{second}"], sign="+"))


def show_curve(frame: pd.DataFrame, config: Mapping) -> dict[str, object]:
    """Print and return consistency and transfer of SSLProfiler over steps, of the one seed that has the curve."""
    steps = {name: entry["steps"] for name, entry in config["encoders"].items() if entry["kind"] == "sslprofiler"}
    mine = frame[(frame["seed"] == config["seed"]) & frame["encoder"].isin(list(steps))]
    found: dict[str, object] = {}
    print(f"\nsslprofiler over steps, seed {config['seed']} alone")
    for name, count in sorted(steps.items(), key=lambda entry: entry[1]):
        for level in LEVELS:
            for score in ("consistency", "transfer"):
                key = f"{level}.{score}.sslprofiler_steps_{count}"
                found[key] = interval(wide(mine, level, score)[name])
                print(_line(level, score, f"{count} steps", found[key]))
    return found


def main() -> None:
    """Run the screens, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, a quarter of the steps, no curve")
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13], help="screen seeds")
    parser.add_argument("--keep", type=Path, help="folder of the runs; a second start goes on with what is there")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    quick, seeds = arguments.quick, arguments.seeds[: 1 if arguments.quick else None]
    parts = []
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.keep or Path(temporary)).resolve()
        for seed in seeds:
            parts.append(measure(root, settings(seed, quick=quick, curve=False), quick=quick, cores=arguments.cores))
            print(f"\nseed {seed}: means of its active treatments, and of its inactive ones")
            by = parts[-1].groupby(["active", "level", "score", "encoder"])["value"].mean().unstack()
            print(by.sort_index(ascending=False).round(2).to_string(), flush=True)
        found = figures(pd.concat(parts, ignore_index=True))
        show(found, seeds)
        config = settings(seeds[0], quick=quick, curve=not quick)
        if not quick:
            frame = measure(root, config, quick=quick, cores=arguments.cores)
            found |= show_curve(frame, configuration.resolve(config))
    steps = {f"steps.{name}": config["encoders"][name]["steps"] for name in ("simclr", "sslprofiler")}
    line = {"benchmark": "demo_learning", "quick": quick, "seeds": seeds} | steps
    print(json.dumps(line | {key: rounded(value) for key, value in found.items()}))


def _line(level: str, score: str, name: str, values: object, *, sign: str = "") -> str:
    mean, low, high, count = values
    ends = f"{low:{sign}.2f} to {high:{sign}.2f}"
    return f"{level:11}{score:19}{name:28}{mean:{sign}6.2f}  {ends:16}{count:3d}"


if __name__ == "__main__":
    main()
