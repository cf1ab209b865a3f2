"""What the benchmarks of learning share: runs of the workflow, scores by treatment, paired differences and intervals.

Takes a screen's folder; returns one row per treatment, score and encoder. Levels are judged as rule evaluate does:
at `aligned` each plate by a transform fitted on the controls of others.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.align.alignment import apply_alignment, fit_alignment  # noqa: E402
from wellspring.evaluate import wells  # noqa: E402
from wellspring.evaluate.crossfit import crossfitted, deal  # noqa: E402
from wellspring.evaluate.levels import join, judged  # noqa: E402
from wellspring.evaluate.populations import Population  # noqa: E402
from wellspring.evaluate.run import judge  # noqa: E402
from wellspring.evaluate.score import Score  # noqa: E402
from wellspring.evaluate.score import interval as score_interval  # noqa: E402
from wellspring.evaluate.transfer import transfer  # noqa: E402
from wellspring.io import tables  # noqa: E402
from wellspring.screen import sections  # noqa: E402

SCORES = ("activity", "retrieved", "consistency", "transfer")
NUISANCE = ("nuisance.plate", "nuisance.batch", "nuisance.edge")
TRANSFER = "transfer.cell_line.mechanism.k1"
METRIC = {"activity": "activity", "retrieved": "activity.retrieved", "consistency": "consistency", "transfer": TRANSFER}


def run(folder: Path, config: dict, targets: Sequence[str], *, cores: int, sheet: Path | None = None) -> None:
    """Run the workflow in `folder` up to `targets`; finished results there are kept.

    `sheet` is copied to its config; None leaves the one that is there. Raises RuntimeError, with the name of its log,
    where the workflow fails.
    """
    (folder / "config").mkdir(parents=True, exist_ok=True)
    path = folder / "config" / "config.yaml"
    text = yaml.safe_dump(config, sort_keys=False)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    if sheet is not None:
        shutil.copy(sheet, folder / "config" / "plates.tsv")
    command = [sys.executable, "-m", "snakemake", "-s", str(REPOSITORY / "Snakefile"), "-d", str(folder)]
    command += ["--cores", str(cores), "--rerun-incomplete", "--nolock", "--quiet", "rules", "progress"]
    with (folder / "snakemake.log").open("w", encoding="utf-8") as log:
        code = subprocess.run([*command, "--", *targets], stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        raise RuntimeError(f"{folder.name}: expected the workflow to end with 0, found {code}; see {log.name}")


def profiles_of(encoders: Iterable[str], plates: Iterable[str]) -> list[str]:
    """Return the files that `normalised` reads, as targets of `run`."""
    plates = list(plates)
    return [f"results/profile/{name}/{plate}.normalised.parquet" for name in encoders for plate in plates]


def normalised(folder: Path, encoder: str) -> pd.DataFrame:
    """Return the normalised profiles of the plates that are kept, joined."""
    names = pd.read_csv(folder / "config" / "plates.tsv", sep="\t")["plate"]
    paths = [folder / "results" / "profile" / encoder / f"{name}.normalised.parquet" for name in names]
    return join([tables.read(path) for path in paths if tables.verdict(path).keep])


def treatments(profiles: pd.DataFrame, level: str, *, config: Mapping) -> pd.DataFrame:
    """Return one row per score and treatment of one level: score, treatment, mechanism, value, chance.

    A treatment without a mechanism is one of its own. Nuisance scores, over negative controls, have a row each with the
    treatment left empty.

    Parameters
    ----------
    profiles
        Normalised profiles of a screen, joined.
    level
        `normalised`, or `aligned`: fitted anew in each fold by the section `fit` of the config.
    config
        Resolved.
    """
    fit = sections.read(sections.Fit, config["fit"])
    options = replace(sections.read(sections.Evaluate, config["evaluate"]), permutations=0, bootstrap=0)
    seed, label = config["seed"], options.label
    dealt = deal(profiles, options=fit, folds=options.folds)
    every, treated = dealt.by_halves(), profiles
    if level == "aligned":
        treated = apply_alignment(profiles, fit_alignment(profiles, options=fit))
        given = {"options": fit, "seed": seed, "published": treated}
        frames, across = crossfitted(profiles, dealt, **given), crossfitted(profiles, every, recentre=False, **given)
    else:
        frames = judged(profiles, halved=dealt.halved, seed=seed)
        across = judged(profiles, halved=every.halved, seed=seed, recentre=False)
    items, summary = judge(Population(level, frames, across, treated), options=options, seed=seed)
    activity = items[(items["Metadata_Metric"] == "activity") & items["Metadata_Item"].ne("")]
    compound = activity["Metadata_Item"].str.rsplit("@", n=1).str[0]
    called = (activity["q"] < options.threshold).where(activity["q"].notna()).astype(float)
    consistency = items[items["Metadata_Metric"] == "consistency"]
    units = _transferred(treated, label).groupby("cluster")["value"].mean()
    found = {
        "activity": pd.Series(activity["value"].to_numpy(), compound),
        "retrieved": pd.Series(called.to_numpy(), compound),
        "consistency": consistency.set_index("Metadata_Item")["value"],
        "transfer": units,
    }
    summary = summary.set_index("Metadata_Metric")
    parts = [
        pd.DataFrame({"score": score, "treatment": values.index, "value": values.to_numpy(dtype=float)}).assign(
            chance=float(summary["chance"].get(METRIC[score], np.nan))
        )
        for score, values in found.items()
    ]
    for name in NUISANCE:
        if name in summary.index:
            row = {"score": name, "treatment": "", "value": float(summary.loc[name, "value"])}
            parts.append(pd.DataFrame([row | {"chance": float(summary.loc[name, "chance"])}]))
    mechanism = dict(zip(wells.column(profiles, "Metadata_Compound"), wells.column(profiles, label), strict=True))
    result = pd.concat(parts, ignore_index=True).assign(level=level)
    return result.assign(mechanism=[mechanism.get(name) or name for name in result["treatment"]])


def wide(frame: pd.DataFrame, level: str, score: str, *, active: bool = True) -> pd.DataFrame:
    """Return one row per seed, mechanism and treatment, and one column per encoder."""
    chosen = frame[(frame["level"] == level) & (frame["score"] == score) & (frame["active"] == active)]
    return chosen.pivot(index=["seed", "mechanism", "treatment"], columns="encoder", values="value")


def interval(values: pd.Series) -> list[float]:
    """Return mean, low and high end of its 95 % interval, and count, of the finite ones of values (n,).

    The index has `seed` and `mechanism`: the interval is about new mechanisms of new screens, as the compounds of a
    mechanism score each other. With fewer than four mechanisms its ends are NaN.
    """
    values = values[np.isfinite(values.astype(float))]
    if not len(values):
        return [float("nan")] * 3 + [0]
    seeds, mechanisms = (values.index.get_level_values(name).astype(str) for name in ("seed", "mechanism"))
    cluster = [f"{seed} {mechanism}" for seed, mechanism in zip(seeds, mechanisms, strict=True)]
    units = pd.DataFrame({"stratum": "all", "cluster": cluster, "value": values.to_numpy(dtype=float)})
    score = Score("mean", units=units, n=len(units), unbounded=True)
    return [score.value, *score_interval(score), len(units)]


def rounded(value: object) -> object:
    """Return the value with floats to four digits, and null for values that are not finite, which JSON lacks."""
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return (round(value, 4) if np.isfinite(value) else None) if isinstance(value, float) else value


def _transferred(frame: pd.DataFrame, label: str) -> pd.DataFrame:
    """Return the units (treatment, right or wrong) of the transfer of mechanisms between lines, in one fold."""
    matrix = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    how = {"between": wells.LINE, "label": "mechanism", "labels": {"mechanism": label}, "neighbours": (1,)}
    return transfer(*wells.in_order(matrix, frame), **how)[0].units[["cluster", "value"]]
