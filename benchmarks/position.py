"""Activity under effects of position: how much looks active where nothing is, and what adjusting costs.

Claims. (size) Where the only effects are straight in row and column or at the edge, the same on every plate of a fixed
layout, P(p < 0.05) of inactive treatments is at most 0.05 for `activity.adjusted` with 12, 16 and 32 controls per
plate; so too where replicates lie side by side on one plate. (power) With 32 controls and without effects of position,
adjusting loses less than 0.05 of the share of weakly active treatments with p < 0.05. Fewer controls cost more.
Refuted by an interval of the size whose lower end is above 0.05, and by an interval of the paired difference in power,
with 32 controls and no effects, whose upper end is below -0.05.

Beside them stand what adjusting cannot take out, effects that are shaped like a bowl, and the unadjusted score.

Screens of well profiles (`wellspring.simulate.features`) have 20 weakly active and 40 inactive treatments of 64
features, each once on four plates of one layout, or (`blocks`) 10 and 14, each in four wells side by side on one plate
of 64 controls. A linear effect has a root mean square of `STRENGTH` spreads between control wells at the end of a row,
at the end of a column and at the edge, each in a direction that is the same on all plates; a bowl grows with the square
of the distance from the middle. Shares are of the treatments that have a score (`judged`); screens are the units of all
intervals (95 %, Student's t), where nothing or everything passed those of Clopper and Pearson.

    python benchmarks/position.py [--quick] [--seed 0] [--designs 12 16 32 blocks] [--screens N]

In the JSON line `<design>.<effect>.<level>.<score>.<active or inactive>` is [share, low, high],
`<design>.<effect>.<level>.<score>.judged` the share of treatments with a score, and
`<design>.<effect>.<level>.difference` [adjusted less plain share of active treatments, low, high].
"""

import argparse
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from null import EVALUATE, FIT, PROFILE, interval, matrix, share_interval

from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.evaluate import position, wells
from wellspring.evaluate.levels import join
from wellspring.evaluate.populations import populations
from wellspring.evaluate.retrieval import ACTIVITY
from wellspring.evaluate.score import filled, merge
from wellspring.io import tables
from wellspring.io.keys import WELL_KEY
from wellspring.profile.normalise import normalise
from wellspring.simulate.features import feature_screen

PLATES = {"batches": 2, "plates": 2, "active": 20, "inactive": 40, "mechanisms": 5, "fixed_layout": True}
ONE = {"batches": 1, "plates": 1, "controls": 64, "active": 10, "inactive": 14, "mechanisms": 5, "replicates": 4}
DESIGNS = {str(controls): PLATES | {"controls": controls} for controls in (12, 16, 32)} | {"blocks": ONE}
EFFECTS = ("linear", "bowl", "none")
SCORES = (ACTIVITY, position.METRIC)
STRENGTH, EFFECT, ALPHA = 1.0, 0.5, 0.05


def in_blocks(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a plate whose treated wells are dealt anew: those of a treatment follow each other down the columns."""
    place = wells.positions(frame)
    treated = np.flatnonzero(frame["Metadata_pert_type"] == "trt")
    order = treated[np.lexsort((place["row"].to_numpy()[treated], place["column"].to_numpy()[treated]))]
    moved = frame["Metadata_Well"].to_numpy(dtype=object, copy=True)
    moved[treated[np.argsort(frame["Metadata_Compound"].to_numpy()[treated], kind="stable")]] = moved[order]
    return frame.assign(Metadata_Well=moved).sort_values(WELL_KEY, ignore_index=True)


def shift(frame: pd.DataFrame, effect: str, rng: np.random.Generator) -> np.ndarray:
    """Return the effects of position on every well (wells, features), the same on all plates."""
    row, column, edge = position.terms(frame).T
    drawn = rng.standard_normal((3, len(tables.features(frame))))
    along = STRENGTH * drawn / np.sqrt((drawn**2).mean(axis=1, keepdims=True))
    if effect == "linear":
        return np.column_stack([row, column, edge]) @ along
    return np.outer((row**2 + column**2) * 1.5 * (effect == "bowl"), along[0])


def screen(seed: int, design: str, effect: str) -> dict[tuple[str, str], dict[str, float]]:
    """Return, by level and score, the shares of active and inactive treatments with p < `ALPHA`, and of judged ones."""
    given = {"features": 64, "effect": EFFECT, "edge_shift": 0.0} | DESIGNS[design]
    frame, truth = feature_screen(seed=seed, **given)
    frame = in_blocks(frame) if design == "blocks" else frame
    names = tables.features(frame)
    moved = frame[names].to_numpy() + shift(frame, effect, np.random.default_rng(seed))
    frame[names] = moved.astype(np.float32)
    raw = [plate.reset_index(drop=True) for _, plate in frame.groupby("Metadata_Plate")]
    plates = [normalise(plate, options=PROFILE)[0] for plate in raw]
    profiles = join(plates)
    aligned = apply_alignment(profiles, fit_alignment(profiles, options=FIT))
    options, known, found = replace(EVALUATE, null_size=2000), set(truth.loc[truth["active"], "compound"]), {}
    for population in populations(raw, plates, aligned, options=options, fit=FIT, seed=seed):
        for metric in SCORES if population.level != "aggregated" else ():
            parts = [metric.compute(*matrix(frame), options, seed)[0] for frame in population.frames(metric.reads)]
            items = filled((parts[0] if len(parts) == 1 else merge(*parts)).items).dropna(subset=["p"])
            mine, called = items["Metadata_Item"].str.rsplit("@", n=1).str[0].isin(known), items["p"] < ALPHA
            shares = {"active": float(called[mine].mean()), "inactive": float(called[~mine].mean())}
            found[population.level, metric.name] = shares | {"judged": len(items) / len(truth)}
    return found


def summarised(found: list[Mapping], design: str, effect: str) -> dict[str, list[float] | float]:
    """Print the rows of a design and an effect over its screens, and return their figures."""
    figures, given = {}, DESIGNS[design]
    for level in dict.fromkeys(level for level, _ in found[0]):
        rows = {one.name: [each[level, one.name] for each in found] for one in SCORES}
        for name, row in rows.items():
            key, cells = f"{design}.{effect}.{level}.{name}", ""
            for kind in ("active", "inactive"):
                shares = [each[kind] for each in row]
                mean, low, high = figures[f"{key}.{kind}"] = share_interval(shares, given[kind] * len(found))
                cells += f"{mean:10.3f}{f'[{low:.3f}, {high:.3f}]':>17}"
            figures[f"{key}.judged"] = judged = float(np.mean([each["judged"] for each in row]))
            mark = "  above" if figures[f"{key}.inactive"][1] > ALPHA else ""
            print(f"{design:8}{effect:8}{level:12}{name:18}{judged:8.2f}{cells}{mark}", flush=True)
        pairs = zip(*([each["active"] for each in rows[name]] for name in (position.NAME, ACTIVITY.name)), strict=True)
        mean, low, high = figures[f"{design}.{effect}.{level}.difference"] = interval([a - b for a, b in pairs])
        print(f"{'':46}{mean:+10.3f}{f'[{low:+.3f}, {high:+.3f}]':>17}  adjusted less plain, active", flush=True)
    return figures


def main() -> None:
    """Measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 screens each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--screens", type=int, help="of each design and effect")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    start, figures, screens = time.perf_counter(), {}, given.screens or (2 if given.quick else 20)
    print(f"{screens} screens each; shares with p < {ALPHA}")
    head = "".join(f"{name:>10}{'95 %':>17}" for name in ("active", "inactive"))
    print(f"{'design':8}{'effect':8}{'level':12}{'score':18}{'judged':>8}{head}")
    for design in given.designs:
        for effect in EFFECTS:
            found = [screen(given.seed + 300_000 + number, design, effect) for number in range(screens)]
            figures |= summarised(found, design, effect)
    line = {"benchmark": "position", "quick": given.quick, "screens": screens}
    print(json.dumps(line | {"seconds": round(time.perf_counter() - start, 1)} | figures))


if __name__ == "__main__":
    main()
