"""Does SSLProfiler learn on tiles of whole fields? Simulated screens with planted mechanisms, and real fields.

Claim: trained on tiles, it exceeds its own untrained network by 0.35 or more in consistency (mechanism of the nearest
other compounds) and in transfer (of the nearest compound in the other cell line), without reading the plate better. The
screens, the levels and the scores are those of `ablations.py`; all arms of a screen share its images. An arm is a
network and objective (`ARMS`), `random`, `intensity` and `imagenet` are what a network must exceed, and `--steps` gives
several lengths of training, each with schedules of its own. Settings were chosen on seed 7, never on a seed reported.

Differences are paired by treatment: minus the untrained twin of the arm, and minus the first arm at the same number of
steps. Their 95 % intervals are for new mechanisms of new screens (`learning.interval`: each mechanism is left out). A
difference whose interval holds 0 is not a finding. `--embedded` embeds the first arm's networks in other ways, too. The
arm `treatment` read labels of half of the compounds, and is judged on the others, as is what it stands beside.

Real fields (`--fields`): two plates of `../shared/data/lincs_a549`, four wells of five fields each, that repeat one
layout. Networks are trained on the first plate and judged on the second: mean average precision of a field for the
other fields of its well among those of its plate (`site`), and for the same well's fields on the first plate (`plate`),
after both plates were scaled to mean 0 and standard deviation 1 by feature. Wells and treatments coincide there.

    python benchmarks/tiles.py [--quick] [--seeds 21 22 23] [--steps 500 2000] [--arms NAME ...] [--embedded NAME ...]
        [--fields] [--images ../shared/data/lincs_a549/images] [--keep FOLDER] [--cores 2]

In the JSON line `<level>.<score>.<arm>_<steps>`, `..._minus_random` and `..._minus_base` are [mean, low, high, n],
nuisance scores numbers, `fields.<arm>_<steps>.<site or plate>` the same with Student's interval over fields.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent))

import ablations  # noqa: E402
from learning import NUISANCE, REPOSITORY, SCORES, interval, normalised, profiles_of, rounded, run, treatments, wide  # noqa: E402

from wellspring.io import tables  # noqa: E402
from wellspring.screen import config as configuration  # noqa: E402
from wellspring.screen.heldout import held_out  # noqa: E402
from wellspring.simulate.plate import write_plate  # noqa: E402
from wellspring.simulate.screen import sheet  # noqa: E402
from wellspring.simulate.truth import truth  # noqa: E402

LEVELS = ("normalised", "aligned")
PLATES = ("SQ00015230", "SQ00015231")
PLATEMAP = """well,compound,concentration,pert_type
A01,DMSO,,negcon
J18,DMSO,,negcon
A13,orantinib,10,trt
P13,lonafarnib,10,trt
"""
BASE = ablations.SSL | {key: value for key, value in ablations.TILES.items() if key != "like"}
SMALL = BASE | {"distillation": ablations.SSL["distillation"] | ablations.TILES["distillation"]}
NATIVE = {"augmentation": {"preset": "cells", "ramp": 0.1, "overrides": {"crop": "native"}}}
RESNET = {"kind": "simclr", "view": {"kind": "tile", "size": 96, "window": None}, "backbone": "resnet10t", "batch": 64}
ARMS: dict[str, dict] = {
    "resized": SMALL,
    "native": SMALL | NATIVE,
    "slow": SMALL | {"distillation": SMALL["distillation"] | {"momentum": 0.996}},
    "no_koleo": SMALL | {"distillation": SMALL["distillation"] | {"koleo": 0}},
    "no_aggregation": SMALL | {"local_aggregation": {"kind": "none"}},
    "ramp": SMALL | {"augmentation": {"preset": "cells", "ramp": 0.1}},
    "simclr": RESNET | {"one_plate": True},
    # Parts of the objective, and networks that learn from little: transformers of 0.8 M weights, a ConvNeXt of 0.2 M.
    "no_ibot": SMALL | {"distillation": SMALL["distillation"] | {"ibot": {"weight": 0}}},
    "koleo_wells": SMALL | {"distillation": SMALL["distillation"] | {"koleo_neighbours": "other_wells"}},
    "registers": SMALL | {"backbone_options": SMALL["backbone_options"] | {"reg_tokens": 4}},
    "conv_stem": SMALL
    | {"backbone": "vit_tiny_r_s16_p8_224", "backbone_options": SMALL["backbone_options"] | {"patch_size": 2}},
    "convnext": SMALL
    | {
        "backbone": "convnext_atto",
        "backbone_options": {"depths": [1, 1, 2, 1], "dims": [32, 48, 64, 128], "output_stride": 8},
    },
    # Batches and nuisances.
    "mixed_plates": SMALL | {"one_plate": False},
    "adversary": SMALL | {"one_plate": False, "adversary": {"weight": 1.0}},
    "treatment": SMALL
    | {"one_plate": False, "local_aggregation": {"kind": "pair", "positives": "treatment", "heldout": "compound"}},
    # Channels: one shared network for any of them.
    "adaptive": SMALL | {"stem": "adaptive"},
}
# Several views of one trained network: overlapping tiles, and the whole field beside each tile.
EMBEDDED: dict[str, dict] = {"overlap": {"stride": 36}, "joined": {"field": "joined", "untrained_scale": True}}
# The networks of real fields: the preset for one GPU, and the small network on native crops of 96 px.
FIELDS: dict[str, dict] = {
    "small": SMALL
    | NATIVE
    | {
        "view": {"kind": "tile", "size": 192, "window": None},
        "distillation": SMALL["distillation"] | {"global_size": 96, "local_size": 48},
    },
}


def entries(arms: Mapping[str, Mapping], steps: Sequence[int]) -> dict[str, dict]:
    """Return the section `encoders`: arms at each number of steps, their untrained twins, `intensity`, `imagenet`."""
    found: dict[str, dict] = {}
    for name, arm in arms.items():
        found |= {f"{name}_{count}": dict(arm) | {"steps": count} for count in steps}
        found[f"{name}_random"] = dict(arm) | {"steps": 0}
    look = dict(next(iter(arms.values()))["view"])
    return found | {
        "intensity": {"kind": "intensity", "view": look},
        "imagenet": {"like": "one_gpu.imagenet", "view": look},
    }


def _write(job: tuple[int, str, Path]) -> None:
    seed, plate, folder = job
    write_plate(ablations.screen(), plate, folder, seed=seed)


def simulate(root: Path, seeds: Sequence[int], *, cores: int) -> None:
    """Write the plates of all screens that are not there, in parallel, and their sheets."""
    screen = ablations.screen()
    folders = {seed: root / f"seed_{seed}" for seed in seeds if not (root / f"seed_{seed}/config/plates.tsv").exists()}
    jobs = [(seed, plate, folder / "raw" / plate) for seed, folder in folders.items() for plate in screen.plates]
    with ProcessPoolExecutor(cores, mp_context=get_context("spawn")) as pool:
        list(pool.map(_write, jobs))
    for folder in folders.values():
        (folder / "config").mkdir(parents=True, exist_ok=True)
        sheet(screen, folder=str(folder / "raw")).to_csv(folder / "config" / "plates.tsv", sep="\t", index=False)


def settings(encoders: Mapping[str, Mapping], **changes: object) -> dict:
    """Return the shipped config with these encoders."""
    config = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text(encoding="utf-8"))
    return config | {"encoders": dict(encoders)} | changes


def screen(
    root: Path, seed: int, encoders: Mapping[str, Mapping], *, cores: int, embedded: Sequence[str] = ()
) -> pd.DataFrame:
    """Run one screen; return scores by level, encoder and treatment, of `ENCODER.WAY` for other ways of embedding."""
    folder, plates = root / f"seed_{seed}", ablations.screen().plates
    first = next(iter(encoders)).rpartition("_")[0]
    again = {name: entry for name, entry in encoders.items() if name.startswith(f"{first}_")}
    parts = []
    for way in (*embedded, ""):  # the shipped way last, so that its results stay
        chosen = settings(again if way else encoders, seed=seed)
        chosen |= {"embed": chosen["embed"] | EMBEDDED.get(way, {})}
        mine = chosen["encoders"]
        run(folder, chosen, profiles_of(mine, plates), cores=cores)
        config = configuration.resolve(chosen)
        for name in mine:
            for level in LEVELS:
                scored = treatments(normalised(folder, name), level, config=config)
                parts.append(scored.assign(encoder=f"{name}.{way}" if way else name))
    frame, planted = pd.concat(parts, ignore_index=True), truth(ablations.screen(), seed=seed)
    return frame.assign(seed=seed, active=frame["treatment"].isin(planted.loc[planted["active"], "compound"]))


def student(values: pd.Series) -> list[float]:
    """Return mean, ends of Student's 95 % interval (for a mean, the jackknife's), and count, of the finite values.

    Each compound of each screen is a unit.
    """
    finite = values.to_numpy(dtype=float)[np.isfinite(values)]
    if len(finite) < 2:
        return [float(finite.mean()) if len(finite) else float("nan"), float("nan"), float("nan"), len(finite)]
    half = stats.t.ppf(0.975, len(finite) - 1) * finite.std(ddof=1) / np.sqrt(len(finite))
    return [float(finite.mean()), float(finite.mean() - half), float(finite.mean() + half), len(finite)]


def figures(frame: pd.DataFrame, *, first: str) -> dict[str, object]:
    """Return the figures of the JSON line; `first` is the arm that the others stand beside."""
    found: dict[str, object] = {}
    for level in LEVELS:
        for score in SCORES:
            values = wide(frame, level, score)
            at = frame[(frame["level"] == level) & (frame["score"] == score)]
            found[f"{level}.{score}.chance"] = float(at["chance"].mean())
            unread = held_out(values.index.get_level_values("treatment"), folds=2, fold=0)
            for name in values:
                arm, _, steps = name.partition(".")[0].rpartition("_")
                mine = values[unread] if arm == "treatment" else values
                found[f"{level}.{score}.{name}"] = interval(mine[name])
                twins = {"random": f"{arm}_random", "base": f"{first}_{steps}"}
                for kind, twin in twins.items():
                    if twin in mine and twin != name:
                        found[f"{level}.{score}.{name}_minus_{kind}"] = interval(mine[name] - mine[twin])
        for score in NUISANCE:
            at = frame[(frame["level"] == level) & (frame["score"] == score)]
            found |= {f"{level}.{score}.{name}": float(v) for name, v in at.groupby("encoder")["value"].mean().items()}
    return found


def show(found: Mapping[str, object], names: Sequence[str]) -> None:
    """Print one row per encoder and level: scores, differences to the untrained twin and the first arm, nuisance."""
    for level in LEVELS:
        print(f"\n{level}: mean (95 %) over active treatments; minus the twin, the first arm; read from the controls")
        for name in names:
            cells = [ablations.cell(found[f"{level}.{score}.{name}"]) for score in SCORES]
            for twin in ("random", "base"):
                for score in ("consistency", "transfer"):
                    gain = found.get(f"{level}.{score}.{name}_minus_{twin}", [float("nan")] * 4)
                    cells.append(ablations.cell(gain, sign="+"))
            cells += [f"{found.get(f'{level}.{score}.{name}', float('nan')):.2f}" for score in NUISANCE]
            print(f"{name:20}" + "  ".join(cells))


def fields(root: Path, images: Path, encoders: Mapping[str, Mapping], *, cores: int) -> dict[str, object]:
    """Train on the first plate of real fields, judge on the second; return the figures."""
    folder = root / "fields"
    (folder / "config").mkdir(parents=True, exist_ok=True)
    (folder / "config" / "platemap.csv").write_text(PLATEMAP, encoding="utf-8")
    roles = zip(PLATES, ("fit", "project"), strict=True)
    rows = [
        {"plate": name, "batch": "B1", "cell_line": "A549", "images": str((images / name).resolve()), "role": role}
        for name, role in roles
    ]
    sheet_path = folder / "config" / "plates.tsv"
    pd.DataFrame(rows).assign(platemap="config/platemap.csv").to_csv(sheet_path, sep="\t", index=False)
    config = settings(
        encoders,
        channels=["DNA", "ER", "RNA", "AGP", "Mito"],
        index={
            "pattern": r"r(?P<row>[0-9]+)c(?P<column>[0-9]+)f(?P<site>[0-9]+)p01-ch(?P<channel>[0-9])sk1fk1fl1\.png",
            "channels": {"DNA": "1", "ER": "2", "RNA": "3", "AGP": "4", "Mito": "5"},
            "reader": "pattern",
        },
        illumination={"method": "none"},
    )
    targets = [f"results/embed/{name}/{plate}.parquet" for name in encoders for plate in PLATES]
    run(folder, config, targets, cores=cores)
    found: dict[str, object] = {}
    for name in encoders:
        frames = [_sites(folder / "results" / "embed" / name / f"{plate}.parquet") for plate in PLATES]
        first, second = [(frame - frame.mean()) / frame.std().replace(0, 1) for frame in frames]
        found[f"fields.{name}.site"] = student(_precision(second, second))
        found[f"fields.{name}.plate"] = student(_precision(second, first))
    return found


def _sites(path: Path) -> pd.DataFrame:
    """Return the mean vector of each field, indexed by well and site."""
    rows, matrix, *_ = tables.read_embedding(path)
    frame = pd.DataFrame(np.asarray(matrix, dtype=np.float64))
    return frame.groupby([rows["Metadata_Well"].to_numpy(), rows["Metadata_Site"].to_numpy()]).mean()


def _precision(queries: pd.DataFrame, gallery: pd.DataFrame) -> pd.Series:
    """Return each query's average precision for its well's fields by cosine similarity; never for itself."""
    a, b = (frame.to_numpy() / np.linalg.norm(frame, axis=1, keepdims=True) for frame in (queries, gallery))
    found = []
    for at, (well, _) in enumerate(queries.index):
        keep = np.ones(len(b), dtype=bool)
        if queries is gallery:
            keep[at] = False
        order = np.argsort(-(b[keep] @ a[at]), kind="stable")
        hit = (gallery.index.get_level_values(0)[keep] == well)[order]
        found.append(float((np.cumsum(hit)[hit] / (np.flatnonzero(hit) + 1)).mean()))
    return pd.Series(found)


def main() -> None:
    """Run the screens or the real fields, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, 20 steps, one arm: that it runs, no finding")
    parser.add_argument("--seeds", type=int, nargs="+", default=[21, 22, 23], help="screen seeds")
    parser.add_argument("--steps", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, *FIELDS], help="all by default")
    parser.add_argument("--embedded", nargs="+", choices=list(EMBEDDED), default=[], help="other ways to embed")
    parser.add_argument("--fields", action="store_true", help="the real fields in place of the screens")
    parser.add_argument("--images", type=Path, default=REPOSITORY.parent / "shared/data/lincs_a549/images")
    parser.add_argument("--keep", type=Path, help="folder of the runs; a second start goes on with what is there")
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    pool = FIELDS if arguments.fields else ARMS
    steps = [20] if arguments.quick else arguments.steps
    chosen = arguments.arms or list(pool)[: 1 if arguments.quick else None]
    seeds = arguments.seeds[: 1 if arguments.quick else None]
    encoders = entries({name: pool[name] for name in chosen}, steps)
    if arguments.fields and not arguments.images.is_dir():
        print(f"skipped: no images in {arguments.images}")
        return
    with tempfile.TemporaryDirectory() as temporary:
        root = (arguments.keep or Path(temporary)).resolve()
        if arguments.fields:
            found = fields(root, arguments.images, encoders, cores=arguments.cores)
            for name in encoders:
                cells = [ablations.cell(found[f"fields.{name}.{kind}"]) for kind in ("site", "plate")]
                print(f"{name:20}" + "  ".join(cells))
        else:
            simulate(root, seeds, cores=arguments.cores)
            parts = []
            for seed in seeds:
                parts.append(screen(root, seed, encoders, cores=arguments.cores, embedded=arguments.embedded))
                print(f"seed {seed} done", flush=True)
            frame = pd.concat(parts, ignore_index=True)
            found = figures(frame, first=chosen[0])
            show(found, list(dict.fromkeys(frame["encoder"])))
    line = {"benchmark": "tiles", "quick": arguments.quick, "seeds": seeds, "steps": steps, "fields": arguments.fields}
    print(json.dumps(line | {key: rounded(value) for key, value in found.items()}))


if __name__ == "__main__":
    main()
