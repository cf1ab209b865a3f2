"""Mechanisms of BBBC021 from published profiles: scores beside a peer's, and what each step does to them.

Claim. On the CellProfiler profiles of Ljosa et al. 2013 (632 wells, 516 features, 55 plates, 10 weeks) NSC, done as a
peer does it (standardised on each plate's DMSO wells without a floor, mean of a treatment's wells, correlation), is
within 2 treatments of the peer's 84 of 103 (published 0.83), and NSCB judges 92 treatments. Refuted by another count.

Then one table: what normalisation, feature selection, sphering and TVN (sphering and CORAL by week) do to both scores,
with the median of a treatment's wells and the cosine. Sphering is fitted on DMSO wells, which no score reads.
Settings are the config's defaults, none was chosen here. Intervals (95 %) resample the 38 compounds, since the doses of
a compound are not independent evidence; the difference to the first row is paired.

    python benchmarks/ljosa.py [--quick] [--data FOLDER]

In the JSON line a figure is [right, judged, share, low, high], a difference [share, low, high].
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.align.alignment import apply_alignment, fit_alignment  # noqa: E402
from wellspring.evaluate.jackknife import merged  # noqa: E402
from wellspring.evaluate.nearest import nsc, nscb  # noqa: E402
from wellspring.evaluate.score import Score, interval  # noqa: E402
from wellspring.io import tables  # noqa: E402
from wellspring.profile.normalise import normalise  # noqa: E402
from wellspring.screen import config, sections  # noqa: E402

PEER = 84  # of 103, Pearson correlation, MIT-licensed exercise on the same table (peer/predict_moa_tables.txt)
SEED = 0
TVN = ["select", "sphere", "coral"]
AS_PEER = "as the peer"
DEFAULT = "MAD, selected, sphered (default)"
# What is done, in the order of the table: name -> options of `profile`, steps of `fit`, how wells become a treatment.
CHAINS: dict[str, tuple[dict, list, str]] = {
    AS_PEER: ({"normalise": "standardize", "spread_floor": 0}, [], "mean"),
    "none": ({"normalise": "none"}, [], "median"),
    "standardize, no floor": ({"normalise": "standardize", "spread_floor": 0}, [], "median"),
    "standardize": ({"normalise": "standardize"}, [], "median"),
    "MAD, no floor": ({"spread_floor": 0}, [], "median"),
    "MAD": ({}, [], "median"),
    "MAD, selected": ({}, ["select"], "median"),
    "MAD, sphered": ({}, ["sphere"], "median"),
    DEFAULT: ({}, ["select", "sphere"], "median"),
    "MAD, selected, TVN": ({}, TVN, "median"),
    "standardize, selected, TVN": ({"normalise": "standardize"}, TVN, "median"),
}


def read(data: Path) -> pd.DataFrame:
    """Return the wells as a table `profile`: what is known of each, and its features float32."""
    wells = pd.read_csv(data / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    names = {"Image_Metadata_Plate": "Metadata_Plate", "Image_Metadata_Well": "Metadata_Well"}
    wells = wells.rename(columns=names)
    about = pd.read_csv(data / "BBBC021_v1_image.csv.gz").rename(
        columns={
            "Image_Metadata_Plate_DAPI": "Metadata_Plate",
            "Image_Metadata_Well_DAPI": "Metadata_Well",
            "Image_Metadata_Compound": "Metadata_Compound",
            "Image_Metadata_Concentration": "Metadata_Concentration",
        }
    )
    about = about[[name for name in about if name.startswith("Metadata_")]].drop_duplicates()
    known = pd.read_csv(data / "BBBC021_v1_moa.csv")
    known.columns = ["Metadata_Compound", "Metadata_Concentration", "Metadata_moa"]
    known["Metadata_moa"] = known["Metadata_moa"].where(known["Metadata_Compound"] != "DMSO")
    keys = ["Metadata_Plate", "Metadata_Well"]
    metadata = wells[keys].merge(about, on=keys, how="left", validate="one_to_one")
    metadata = metadata.merge(known, on=["Metadata_Compound", "Metadata_Concentration"], how="left")
    features = wells.drop(columns=keys).astype(np.float32)
    metadata["Metadata_Batch"] = metadata["Metadata_Plate"].str.split("_").str[0]
    metadata["Metadata_pert_type"] = np.where(metadata["Metadata_Compound"] == "DMSO", "negcon", "trt")
    metadata = metadata.assign(Metadata_Role="fit", Metadata_Cell_Line="MCF7", Metadata_Verdict="keep")
    return pd.concat([metadata.assign(Metadata_Reason="", Metadata_Count_Cells=pd.NA), features], axis=1)


def chained(wells: pd.DataFrame, options: Mapping, *, own: Mapping, steps: list) -> pd.DataFrame:
    """Return the wells normalised plate by plate and aligned; plates without enough controls are left out."""
    plates = []
    for _, plate in wells.groupby("Metadata_Plate"):
        given = sections.read(sections.Profile, {**options["profile"], **own})
        profiles, _, verdict = normalise(plate.reset_index(drop=True), options=given)
        if verdict.keep:
            plates.append(profiles)
    frame = pd.concat(plates, ignore_index=True)
    # A feature that is not finite everywhere would take its wells out of every score.
    names = tables.features(frame)
    broken = [name for name in names if not np.isfinite(frame[name]).all()]
    frame = frame.drop(columns=broken)
    if steps:
        fitted = fit_alignment(frame, options=sections.read(sections.Fit, {**options["fit"], "steps": steps}))
        frame = apply_alignment(frame, fitted)
    return frame


def paired(score: Score, base: Score) -> list[float]:
    """Return the difference of two scores of the same treatments, with its interval over new mechanisms."""
    both = pd.concat([score.units.assign(stratum="own"), base.units.assign(stratum="base")], ignore_index=True)
    parts = merged([score.jackknives, base.jackknives], [score.value, base.value], [1.0, -1.0])
    difference = Score("difference", units=both, weights={"own": 1.0, "base": -1.0}, jackknives=parts)
    return [difference.value, *interval(difference)]


def figures(score: Score) -> list[float]:
    """Return how many treatments are right, how many are judged, their share and its interval."""
    low, high = interval(score)
    return [round(score.value * score.n), score.n, score.value, low, high]


def by_mechanism(wells: pd.DataFrame, scores: Mapping[str, Score]) -> pd.DataFrame:
    """Return one row a mechanism: right of judged, score by score."""
    treated = wells.dropna(subset=["Metadata_moa"])
    names = treated["Metadata_Compound"] + "@" + treated["Metadata_Concentration"].astype(str)
    mechanism = dict(zip(names, treated["Metadata_moa"], strict=True))
    columns = {}
    for name, score in scores.items():
        items = score.items.dropna(subset=["value"])
        grouped = items["value"].groupby(items["Metadata_Item"].map(mechanism))
        columns[name] = grouped.sum().astype(int).astype(str) + " of " + grouped.size().astype(str)
    return pd.DataFrame(columns).fillna("–")


def main() -> None:
    """Print both tables and, last, one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer resamples")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data" / "bbbc021_ljosa_profiles", help="the tables"
    )
    arguments = parser.parse_args()
    logging.getLogger("wellspring").setLevel(logging.ERROR)  # which features are floored on which of 55 plates
    line = {"benchmark": "ljosa", "quick": arguments.quick}
    if not arguments.data.is_dir():
        print(f"{arguments.data}: expected the profiles of Ljosa et al. 2013 here, found no such folder")
        print(json.dumps({**line, "skipped": True}))
        return
    options = config.resolve({"encoders": {"ljosa": {"kind": "table", "files": "ljosa.csv"}}})
    wells, rows, found = read(arguments.data), [], {}
    for name, (own, steps, operation) in CHAINS.items():
        frame = chained(wells, options, own=own, steps=steps)
        names = tables.features(frame)
        values, metadata = frame[names].to_numpy(dtype=np.float64), frame.drop(columns=names)
        if name == AS_PEER:  # the cosine of profiles less their mean is their correlation
            values -= values.mean(axis=1, keepdims=True)
        scores = {
            "nsc": nsc(values, metadata, operation=operation),
            "nscb": nscb(values, metadata, operation=operation),
        }
        found[name] = scores
        row = {"chain": name, "features": len(names)}
        for metric, score in scores.items():
            right, judged, share, low, high = figures(score)
            line[f"{name}.{metric}"] = [right, judged, *(round(value, 4) for value in (share, low, high))]
            difference = paired(score, found[AS_PEER][metric])
            line[f"{name}.{metric}.difference"] = [round(value, 4) for value in difference]
            row[metric] = f"{right} of {judged}"
            row[f"{metric} share"] = f"{share:.3f} ({low:.3f} to {high:.3f})"
            row[f"{metric} difference"] = "{:+.3f} ({:+.3f} to {:+.3f})".format(*difference)
        rows.append(row)
    first, default = (found[name] for name in (AS_PEER, DEFAULT))
    print(pd.DataFrame(rows).set_index("chain").to_string())
    print()
    shown = {"NSC as the peer": first["nsc"], "NSCB as the peer": first["nscb"]}
    print(by_mechanism(wells, {**shown, "NSC default": default["nsc"], "NSCB default": default["nscb"]}).to_string())
    print()
    right = round(first["nsc"].value * first["nsc"].n)
    print(f"peer {PEER} of 103, here {right} of {first['nsc'].n}; NSCB judges {first['nscb'].n} treatments")
    print(json.dumps({**line, "peer": PEER, "wells": len(wells)}))


if __name__ == "__main__":
    main()
