"""Specificity: how many inactive treatments reach p < .05 and q < .05 through normalise, align and activity.

In flow simulated screens of well profiles (no images), out flow a table and, as the last line, one JSON object. Each
screen goes through the same code as the workflow: plate normalisation on negative controls, alignment, evaluation in
two folds. Beside it the known artefact: aligned on all controls and judged on the same ones.

    python benchmarks/specificity.py [--quick]
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import beta

from wellspring.align import apply_alignment, fit_alignment
from wellspring.evaluate import wells
from wellspring.evaluate.levels import aligned_folds, folds, join
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.score import merge
from wellspring.normalise import normalise
from wellspring.simulate.features import feature_screen

SCHEMAS = Path(__file__).resolve().parents[1] / "workflow" / "schemas" / "config"
DESIGNS = {
    "demo": {"batches": 2, "cell_lines": 2, "plates": 1, "controls": 12, "active": 8, "inactive": 24, "mechanisms": 4},
    "screen": {
        "batches": 2,
        "cell_lines": 1,
        "plates": 2,
        "controls": 16,
        "active": 20,
        "inactive": 100,
        "mechanisms": 5,
    },
}
FITS = {"shrinkage": {}, "ridge .000001": {"sphering": "ridge", "ridge": 1e-6}}


def defaults(section: str) -> dict:
    """Return the defaults of a config section."""
    schema = yaml.safe_load((SCHEMAS / f"{section}.yaml").read_text())
    return {name: entry["default"] for name, entry in schema["properties"].items()}


def clopper_pearson(hits: int, n: int) -> tuple[float, float]:
    """Return the exact 95 % interval of a proportion."""
    low = beta.ppf(0.025, hits, n - hits + 1) if hits else 0.0
    return float(low), float(beta.ppf(0.975, hits + 1, n - hits) if hits < n else 1.0)


def judged(frames: tuple[pd.DataFrame, ...], null_size: int) -> pd.DataFrame:
    """Return the items of activity of one frame, or of both folds together."""
    scores = []
    for frame in frames:
        features = frame[[name for name in frame.columns if not name.startswith("Metadata_")]].to_numpy(float)
        scores.append(activity(*wells.in_order(features, frame), null_size=null_size))
    score = scores[0] if len(scores) == 1 else merge(*scores)
    retrieved(score, frames[0])
    return score.items


def one_screen(seed: int, design: dict, *, effect: float, null_size: int) -> dict[str, pd.DataFrame]:
    """Return the items of each level of one screen, with `active` (bool) from its truth."""
    frame, truth = feature_screen(seed=seed, features=128, effect=effect, **design)
    plates = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
    profile, fit = defaults("profile"), defaults("fit")
    normalised = join([normalise(plate, options=profile)[0] for plate in plates])
    levels = {"aggregated": folds(join(plates), seed=seed), "normalised": folds(normalised, seed=seed)}
    for name, changed in FITS.items():
        options = fit | changed
        levels[f"aligned, {name}"] = aligned_folds(normalised, seed=seed, options=options)
        levels[f"NOT cross-fitted, {name}"] = (apply_alignment(normalised, fit_alignment(normalised, options=options)),)
    active = set(truth.loc[truth["active"], "compound"])
    found = {}
    for level, frames in levels.items():
        items = judged(frames, null_size)
        found[level] = items.assign(active=items["Metadata_Item"].str.rsplit("@", n=1).str[0].isin(active))
    return found


def main() -> None:
    """Run all screens and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer screens: minutes on two cores")
    quick = parser.parse_args().quick
    screens = {"demo": 10 if quick else 60, "screen": 3 if quick else 20}
    figures = {}
    print(f"{'design':8}{'level':36}{'null n':>7}{'p<.05':>8}{'95 %':>16}{'q<.05':>8}{'95 %':>16}{'active q<.05':>14}")
    for design, options in DESIGNS.items():
        parts: dict[str, list[pd.DataFrame]] = {}
        for seed in range(screens[design]):
            for level, items in one_screen(seed, options, effect=0.6, null_size=2000 if quick else 10_000).items():
                parts.setdefault(level, []).append(items)
        for level, frames in parts.items():
            items = pd.concat(frames)
            null, active = items[~items["active"]], items[items["active"]]
            n, p, q = len(null), int((null["p"] < 0.05).sum()), int((null["q"] < 0.05).sum())
            share = float((active["q"] < 0.05).mean())
            of_p, of_q = clopper_pearson(p, n), clopper_pearson(q, n)
            spans = [f"[{low:.3f}, {high:.3f}]" for low, high in (of_p, of_q)]
            print(f"{design:8}{level:36}{n:7}{p / n:8.3f}{spans[0]:>16}{q / n:8.3f}{spans[1]:>16}{share:14.3f}")
            figures[f"{design}: {level}"] = {
                "inactive": n,
                "p_below": p / n,
                "p_interval": of_p,
                "q_below": q / n,
                "q_interval": of_q,
                "active_q_below": share,
                "map_inactive": float(np.nanmean(null["value"])),
                "map_active": float(np.nanmean(active["value"])),
            }
    print(json.dumps({"benchmark": "specificity", "quick": quick, "levels": figures}))


if __name__ == "__main__":
    main()
