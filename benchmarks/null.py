"""Null honesty: how much looks active where nothing is, and how much is found of what is.

Claims. (bare) On exchangeable random features every score lies at its stated chance level, and every p is uniform, as
far as it is not discrete. (chain) Through normalising, selecting, aligning and judging, P(p <= a) of inactive
treatments is at most a = 0.01, 0.05, 0.1, at every level, for 8 to 64 controls per plate, 64 to 768 features and every
regularisation of the sphering. (power) Aligning each plate by the controls of the others (`crossfit`, as the stage
evaluate does) finds no fewer weak effects than aligning each half of the controls by the other half (`halves`).
Refuted by an interval whose lower end is above a; by a score whose interval misses its chance level in more than the
1 of 20 that chance allows; by an interval of the difference in power that lies below 0.

(levels) On screens without effects of treatments, plates or positions, the interval of each score covers its stated
chance level in 95 % of screens, at every level. (any) Of screens without effects on one plate (64 controls, 40
treatments of 4 replicates), 5 % or fewer have a treatment with q < 0.05. (grid) Power and size at 0.05 for 2 to 16
plates and 6 to 64 controls, cross-fitted and not: the size of what is cross-fitted is at most 0.05. Refuted by a share
whose interval (Wilson) lies below 0.95 or above 0.05.

Beside them stand two artefacts: `not cross-fitted`, an alignment judged on the controls that it was fitted on, and
`centred on all`, a screen of one plate with several replicates judged on the controls that it was centred on.

Bare: p that items bear is tested by Kolmogorov and Smirnov on one item a repeat, since items of a repeat share wells;
p of label permutations on their ranks among the permuted values with ties broken at random, which makes exact p
uniform. Chain and power: screens of well profiles (`wellspring.simulate.features`) of four plates with every treatment
once on each (`plates`), or of one plate with every treatment four times (`one plate`), with shifts and scales of plates
and edges, normalised and aligned by the defaults of the config but for the sphering that is named. Screens are the
units of all intervals (95 %, Student's t), for treatments of a screen share their controls; where nothing at all
passed, the upper end is that of Clopper and Pearson.

    python benchmarks/null.py [--quick] [--seed 0] [--parts bare chain power levels any grid] [--screens N]

In the JSON line `bare.<metric>.value` is [mean, low, high, chance], `bare.<metric>.p` [KS statistic, its p, repeats],
`chain.<design>.<controls>.<features>.<level>.<a>`, `power.<design>.<level>.<...>` and
`grid.<plates>.<controls>.<level>.<...>` are [value, low, high]; `levels.<level>.<metric>` is [covered, low, high,
value, chance], `any.<features>` [share, low, high].
"""

import argparse
import itertools
import json
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import beta, kstest
from scipy.stats import t as student

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY / "workflow" / "lib"))

from wellspring.align.alignment import apply_alignment, fit_alignment  # noqa: E402
from wellspring.evaluate import wells  # noqa: E402
from wellspring.evaluate.consistency import consistency  # noqa: E402
from wellspring.evaluate.crossfit import Deal, crossfitted, deal, grouped_by  # noqa: E402
from wellspring.evaluate.levels import join, judged  # noqa: E402
from wellspring.evaluate.metrics import METRICS, chosen, metric_of  # noqa: E402
from wellspring.evaluate.populations import Population, populations  # noqa: E402
from wellspring.evaluate.retrieval import activity  # noqa: E402
from wellspring.evaluate.run import scores  # noqa: E402
from wellspring.evaluate.score import Score, filled, merge, wilson  # noqa: E402
from wellspring.evaluate.score import interval as ends  # noqa: E402
from wellspring.io import tables  # noqa: E402
from wellspring.profile.normalise import normalise  # noqa: E402
from wellspring.screen import config, sections  # noqa: E402
from wellspring.simulate.features import feature_screen  # noqa: E402

ALPHAS = (0.01, 0.05, 0.1)
BARE = {"batches": 2, "cell_lines": 2, "plates": 1, "controls": 24, "active": 24, "inactive": 0, "mechanisms": 8}
DESIGNS = {
    "plates": {"batches": 2, "cell_lines": 1, "plates": 2, "replicates": 1},
    "one plate": {"batches": 1, "cell_lines": 1, "plates": 1, "replicates": 4},
}
FITS = {
    "shrinkage": {},
    "shrinkage, selected": {"max_correlation": 0.3},
    "rank": {"sphering": "rank"},
    "ridge 0.03": {"sphering": "ridge"},
    "ridge 0.000001": {"sphering": "ridge", "ridge": 1e-6},
    "standardize": {"sphering": "standardize"},
    "none": {"sphering": "none"},
}
PARTS = ["bare", "chain", "power", "levels", "any", "grid"]
SHOWN = ("shrinkage", "ridge 0.000001")
POWER = {
    "demo": {"batches": 2, "cell_lines": 2, "plates": 1, "controls": 12, "active": 8, "inactive": 24, "mechanisms": 4},
    "screen": {"batches": 2, "plates": 2, "controls": 16, "active": 20, "inactive": 100, "mechanisms": 5},
    "library": {"batches": 4, "plates": 4, "controls": 16, "active": 20, "inactive": 100, "mechanisms": 5},
}
NOTHING = {"plate_shift": 0.0, "batch_shift": 0.0, "edge_shift": 0.0, "plate_scale": 0.0, "effect": 0.0}
LEVELS = {"batches": 2, "plates": 2, "controls": 12, "active": 24, "inactive": 0, "mechanisms": 8}
GRID_EFFECT = {2: 1.0, 4: 0.5, 8: 0.35, 16: 0.25}
EFFECT = {"demo": 0.6, "screen": 0.6, "library": 0.3}


PROFILE, FIT, EVALUATE = (
    sections.read(cls, config.fill({"encoders": {"any": {}}})[name])
    for name, cls in (("profile", sections.Profile), ("fit", sections.Fit), ("evaluate", sections.Evaluate))
)


def interval(values: Sequence[float]) -> list[float]:
    """Return mean and Student's 95 % interval of independent values."""
    values = np.asarray(values, dtype=float)
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return [float(values.mean()), float(values.mean() - half), float(values.mean() + half)]


def share_interval(shares: Sequence[float], n: int) -> list[float]:
    """Return mean and interval of shares of `n` things in all; where all are 0 or 1 by Clopper and Pearson."""
    mean, low, high = interval(shares)
    if np.ptp(shares) == 0 and mean in (0.0, 1.0):
        low, high = (0.0, beta.ppf(0.975, 1, n)) if mean == 0 else (beta.ppf(0.025, n, 1), 1.0)
    return [mean, float(max(low, 0.0)), float(min(high, 1.0))]


def permutation_p(score: Score, permuted: Score, rng: np.random.Generator) -> float:
    """Return the rank of a score among its permuted values, ties broken at random: uniform where p is exact."""
    values = permuted.units["value"].to_numpy(dtype=float)
    above, tied = (values > score.value + 1e-12).sum(), (np.abs(values - score.value) <= 1e-12).sum()
    return float((above + rng.random() * (1 + tied)) / (1 + len(values)))


def bare(repeats: int, *, seed: int) -> dict[str, list[float]]:
    """Return, by metric, its mean and interval beside its chance level, and the test of its p."""
    options = replace(EVALUATE, permutations=99, null_size=5000)
    values, chances, ps = {}, {}, {}
    for repeat in range(repeats):
        rng = np.random.default_rng([seed, repeat])
        frame, _ = feature_screen(seed=seed + repeat, features=1, effect=0.0, **BARE)
        noise = pd.DataFrame(rng.standard_normal((len(frame), 32)), columns=[f"x_{number}" for number in range(32)])
        metadata = frame[[name for name in frame if name.startswith("Metadata_")]].reset_index(drop=True)
        population = Population.of(pd.concat([metadata, noise], axis=1), level="bare")
        found = scores(population, options=options, seed=repeat)
        found = [score for score in found if metric_of(score.metric).derive is None]
        found = {score.metric: score for score in found if not score.metric.endswith(".position_only")}
        for name, score in found.items():
            if name.endswith(".permuted"):
                main = found[name.removesuffix(".permuted")]
                ps.setdefault(main.metric, []).append(permutation_p(main, score, rng))
                continue
            if np.isfinite(score.value):
                values.setdefault(name, []).append(score.value)
                chances.setdefault(name, []).append(score.chance)
            tested = filled(score.items)["p"].dropna().to_numpy()
            if len(tested):
                ps.setdefault(f"{name} items", []).append(rng.choice(tested))
    figures, missed, levels = {}, 0, 0
    print(f"bare: {repeats} repeats\n{'score':34}{'value':>9}{'95 %':>20}{'chance':>9}")
    for name, each in values.items():
        (mean, low, high), chance = interval(each), float(np.mean(chances[name]))
        # Chance may differ a little from repeat to repeat: what is tested is the mean of the differences.
        _, below, above = interval(np.subtract(each, chances[name])) if np.isfinite(chance) else (0.0, 0.0, 0.0)
        off = below > 0 or above < 0
        levels, missed = levels + bool(np.isfinite(chance)), missed + off
        print(f"{name:34}{mean:9.4f}{f'[{low:.4f}, {high:.4f}]':>20}{chance:9.4f}{'  off' if off else ''}")
        figures[f"bare.{name}.value"] = [mean, low, high, chance]
    print(f"{missed} of {levels} scores off their chance level, {levels / 20:.1f} expected by chance")
    print(f"\n{'p of':34}{'KS':>9}{'p of KS':>9}" + "".join(f"{f'p<={a}':>9}" for a in ALPHAS))
    for name, each in ps.items():
        test = kstest(each, "uniform")
        print(
            f"{name:34}{test.statistic:9.4f}{test.pvalue:9.3f}"
            + "".join(f"{np.mean(np.array(each) <= a):9.3f}" for a in ALPHAS)
        )
        figures[f"bare.{name}.p"] = [float(test.statistic), float(test.pvalue), len(each)]
    return figures | {"bare.off": missed, "bare.scores": levels, "bare.repeats": repeats}


def normalised(frame: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the joined plates, aggregated and normalised by the defaults of the config."""
    plates = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
    return join(plates), join([normalise(plate, options=PROFILE)[0] for plate in plates])


def matrix(frame: pd.DataFrame) -> tuple[np.ndarray, pd.DataFrame]:
    """Return features and metadata in the order of plates and wells."""
    return wells.in_order(frame[tables.features(frame)].to_numpy(dtype=np.float64), frame)


def active(frames: Sequence[pd.DataFrame], *, null_size: int) -> pd.DataFrame:
    """Return the items of activity of one frame, or of both together, with q."""
    parts = [activity(*matrix(frame), null_size=null_size) for frame in frames]
    score = parts[0] if len(parts) == 1 else merge(*parts)
    return score.items


def below(items: pd.DataFrame) -> list[float]:
    """Return the share of p at or below each of `ALPHAS`; an item without a p does not pass."""
    return [float((items["p"] <= a).mean()) for a in ALPHAS]


def chain_screen(seed: int, design: Mapping, fits: Mapping[str, Mapping], *, null_size: int) -> dict[str, list[float]]:
    """Return, by level, the shares of p at or below each of `ALPHAS` on one screen without any effect."""
    frame, _ = feature_screen(seed=seed, active=0, inactive=40, **design)
    raw, profiles = normalised(frame)
    halved = deal(profiles, options=FIT, folds=EVALUATE.folds).halved
    levels = {
        name: judged(table, halved=halved, seed=seed) for name, table in (("aggregated", raw), ("normalised", profiles))
    }
    if halved:
        levels["centred on all"] = (profiles,)
    for name, changed in fits.items():
        options = replace(FIT, **changed)
        dealt = deal(profiles, options=options, folds=EVALUATE.folds)
        published = apply_alignment(profiles, fit_alignment(profiles, options=options))
        levels[f"aligned, {name}"] = crossfitted(profiles, dealt, options=options, seed=seed, published=published)
        if name in SHOWN:
            levels[f"not cross-fitted, {name}"] = (published,)
    return {name: below(active(frames, null_size=null_size)) for name, frames in levels.items()}


def chain(*, screens: int, controls: Sequence[int], sizes: Sequence[int], fits: Sequence[str], seed: int) -> dict:
    """Return P(p <= a) by design, controls, features and level, over screens without any effect."""
    figures, above, tests = {}, 0, 0
    chosen = {name: FITS[name] for name in fits}
    print(f"\nchain: {screens} screens of 40 inactive treatments each")
    print(
        f"{'design':11}{'controls':>9}{'features':>9}  {'level':32}"
        + "".join(f"{f'p<={a}':>9}{'95 %':>17}" for a in ALPHAS)
    )
    for design, given in DESIGNS.items():
        for number in controls:
            for size in sizes:
                options, parts = given | {"controls": number, "features": size}, {}
                for screen in range(screens):
                    drawn = seed + 1000 * number + 100_000 * size + screen
                    for level, shares in chain_screen(drawn, options, chosen, null_size=2000).items():
                        parts.setdefault(level, []).append(shares)
                for level, shares in parts.items():
                    row = [share_interval(column, 40 * screens) for column in np.transpose(shares)]
                    honest = not level.startswith(("not", "centred"))
                    off = sum(low > a for a, (_, low, _) in zip(ALPHAS, row, strict=True))
                    above, tests = above + honest * off, tests + honest * len(ALPHAS)
                    cells = "".join(f"{mean:9.4f}{f'[{low:.3f}, {high:.3f}]':>17}" for mean, low, high in row)
                    print(f"{design:11}{number:9}{size:9}  {level:32}{cells}{'  above' if off else ''}", flush=True)
                    for a, each in zip(ALPHAS, row, strict=True):
                        figures[f"chain.{design}.{number}.{size}.{level}.{a}"] = each
    print(f"{above} of {tests} shares have their interval above a, {tests * 0.025:.1f} expected where p are uniform")
    return figures | {"chain.above": above, "chain.shares": tests, "chain.screens": screens}


def power_screen(seed: int, name: str, *, null_size: int) -> dict[str, dict[str, float]]:
    """Return, by level, what one screen with weak effects gives: active and inactive called, consistency."""
    frame, truth = feature_screen(seed=seed, features=128, effect=EFFECT[name], **POWER[name])
    _, profiles = normalised(frame)
    levels = {"normalised": (profiles,)}
    for kind in SHOWN:
        options = replace(FIT, **FITS[kind])
        published = apply_alignment(profiles, fit_alignment(profiles, options=options))
        given = {"options": options, "seed": seed, "published": published}
        every = Deal((), frozenset(profiles["Metadata_Plate"]), grouped_by(options))
        dealt = deal(profiles, options=options, folds=EVALUATE.folds)
        levels |= {f"crossfit, {kind}": crossfitted(profiles, dealt, **given)}
        levels |= {f"halves, {kind}": crossfitted(profiles, every, **given), f"not cross-fitted, {kind}": (published,)}
    known, found = set(truth.loc[truth["active"], "compound"]), {}
    for level, frames in levels.items():
        items = active(frames, null_size=null_size)
        mine = items["Metadata_Item"].str.rsplit("@", n=1).str[0].isin(known)
        found[level] = {
            "active": float((items.loc[mine, "q"] < 0.05).mean()),
            "inactive": float((items.loc[~mine, "q"] < 0.05).mean()),
            "consistency": float(np.mean([consistency(*matrix(each))[0].value for each in frames])),
        }
    return found


def power(screens: Mapping[str, int], *, seed: int) -> dict:
    """Return, by design and level, the shares called at q < 0.05, consistency, and paired differences."""
    figures = {}
    print(
        f"\npower\n{'design':10}{'level':52}"
        + "".join(f"{name:>10}{'95 %':>17}" for name in ("active", "inactive", "consist."))
    )
    for name, count in screens.items():
        found = [power_screen(seed + number, name, null_size=10_000) for number in range(count)]
        things = {"active": POWER[name]["active"], "inactive": POWER[name]["inactive"]}
        rows = {}
        for level in found[0]:
            column = {key: [each[level][key] for each in found] for key in found[0][level]}
            rows[level] = {key: share_interval(each, count * things.get(key, 1)) for key, each in column.items()}
        for kind in SHOWN:
            for other in (f"halves, {kind}", f"not cross-fitted, {kind}", "normalised"):
                pairs = {key: [each[f"crossfit, {kind}"][key] - each[other][key] for each in found] for key in column}
                rows[f"crossfit, {kind}, minus {other.split(',')[0]}"] = {
                    key: interval(each) for key, each in pairs.items()
                }
        for level, row in rows.items():
            cells = "".join(f"{mean:10.3f}{f'[{low:.3f}, {high:.3f}]':>17}" for mean, low, high in row.values())
            print(f"{name:10}{level:52}{cells}", flush=True)
            figures |= {f"power.{name}.{level}.{key}": each for key, each in row.items()}
        figures[f"power.{name}.screens"] = count
    return figures


def levels(screens: int, *, metrics: Sequence[str] | None, seed: int) -> dict[str, list[float]]:
    """Return, by level and metric, in which share of screens the interval covers the stated chance level."""
    asked = METRICS if metrics is None else chosen(metrics)
    options, rows = replace(EVALUATE, permutations=0, null_size=1000), {}
    for screen in range(screens):
        frame, _ = feature_screen(seed=seed + 7000 + screen, features=64, **LEVELS, **NOTHING)
        raw = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
        plates = [normalise(plate, options=PROFILE)[0] for plate in raw]
        joined = join(plates)
        aligned = apply_alignment(joined, fit_alignment(joined, options=FIT))
        for population in populations(raw, plates, aligned, options=options, fit=FIT, seed=screen):
            for score in scores(population, metrics=asked, options=options, seed=screen, position=()):
                low, high = ends(score)
                if np.isfinite([low, high, score.chance]).all():
                    inside = low - 1e-9 <= score.chance <= high + 1e-9
                    rows.setdefault((population.level, score.metric), []).append((inside, score.value, score.chance))
    figures, below = {}, 0
    print(f"\nlevels: {screens} screens\n{'level':12}{'score':36}{'covers':>8}{'95 %':>17}{'value':>9}{'chance':>9}")
    for (level, metric), found in rows.items():
        inside, value, chance = np.array(found, dtype=float).T
        low, high = wilson(inside.sum(), len(inside))
        below += high < 0.95
        print(
            f"{level:12}{metric:36}{inside.mean():8.3f}{f'[{low:.3f}, {high:.3f}]':>17}{value.mean():9.3f}"
            f"{chance.mean():9.3f}{'  below' if high < 0.95 else ''}"
        )
        figures[f"levels.{level}.{metric}"] = [
            float(inside.mean()),
            low,
            high,
            float(value.mean()),
            float(chance.mean()),
        ]
    print(f"{below} of {len(rows)} shares have their interval below 0.95, {len(rows) * 0.025:.1f} expected")
    return figures | {"levels.below": int(below), "levels.screens": screens}


def any_found(screens: int, *, sizes: Sequence[int], seed: int) -> dict[str, list[float]]:
    """Return in which share of normalised screens of one plate, without effects, any treatment is found."""
    figures, given = {}, DESIGNS["one plate"] | {"controls": 64, "active": 0, "inactive": 40}
    print(f"\nany: {screens} screens of one plate\n{'features':>9}{'any q < 0.05':>14}{'95 %':>17}")
    for size in sizes:
        found = 0
        for screen in range(screens):
            frame, _ = feature_screen(seed=seed + 50_000 + screen, features=size, **given)
            _, profiles = normalised(frame)
            halved = deal(profiles, options=FIT, folds=EVALUATE.folds).halved
            items = active(judged(profiles, halved=halved, seed=screen), null_size=10_000)
            found += bool((items["q"] < 0.05).any())
        low, high = wilson(found, screens)
        mark = "  above" if low > 0.05 else ""
        print(f"{size:9}{found / screens:14.3f}{f'[{low:.3f}, {high:.3f}]':>17}{mark}", flush=True)
        figures[f"any.{size}"] = [found / screens, low, high]
    return figures | {"any.screens": screens}


def grid(screens: int, *, plates: Sequence[int], controls: Sequence[int], seed: int) -> dict[str, list[float]]:
    """Return power and size by plates, controls and level: the shares of active and inactive treatments with p < 0.05.

    Effects are smaller where there are more plates, so that the normalised level finds some and misses some.
    """
    figures = {}
    print(f"\ngrid: {screens} screens of 20 active and 40 inactive treatments, 64 features")
    head = "".join(f"{name:>11}{'95 %':>17}" for name in ("active", "inactive"))
    print(f"{'plates':>7}{'controls':>9}  {'level':26}{head}")
    for many, number in itertools.product(plates, controls):
        given = {"batches": 2, "plates": many // 2, "controls": number, "active": 20, "inactive": 40, "mechanisms": 5}
        found: dict[str, list[tuple[float, float]]] = {}
        for screen in range(screens):
            drawn = seed + 90_000 + 100 * many + 10_000 * number + screen
            frame, truth = feature_screen(seed=drawn, features=64, effect=GRID_EFFECT[many], **given)
            _, profiles = normalised(frame)
            published = apply_alignment(profiles, fit_alignment(profiles, options=FIT))
            dealt = deal(profiles, options=FIT, folds=EVALUATE.folds)
            crossed = crossfitted(profiles, dealt, options=FIT, seed=screen, published=published)
            known = set(truth.loc[truth["active"], "compound"])
            judgings = {
                "normalised": (profiles,),
                "aligned, cross-fitted": crossed,
                "aligned, not cross-fitted": (published,),
            }
            for level, frames in judgings.items():
                items = active(frames, null_size=2000)
                mine = items["Metadata_Item"].str.rsplit("@", n=1).str[0].isin(known)
                shares = tuple(float((items.loc[part, "p"] < 0.05).mean()) for part in (mine, ~mine))
                found.setdefault(level, []).append(shares)
        for level, shares in found.items():
            row = [
                share_interval(each, size * screens)
                for each, size in zip(zip(*shares, strict=True), (20, 40), strict=True)
            ]
            cells = "".join(f"{mean:11.3f}{f'[{low:.3f}, {high:.3f}]':>17}" for mean, low, high in row)
            mark = "  above" if row[1][1] > 0.05 else ""
            print(f"{many:7}{number:9}  {level:26}{cells}{mark}", flush=True)
            figures |= dict(
                zip((f"grid.{many}.{number}.{level}.{name}" for name in ("active", "inactive")), row, strict=True)
            )
    return figures | {"grid.screens": screens}


def main() -> None:
    """Measure, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repeats and screens, the corners of the grid")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--screens", type=int, help="of the parts levels, any and grid")
    parser.add_argument("--metrics", nargs="+", help="of the part levels; default all")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    start, figures = time.perf_counter(), {}
    if "bare" in given.parts:
        figures |= bare(20 if given.quick else 200, seed=given.seed)
    if "chain" in given.parts:
        corner = {"controls": (8, 64), "sizes": (64, 768), "fits": SHOWN, "screens": 5}
        full = {"controls": (8, 16, 32, 64), "sizes": (64, 256, 768), "fits": tuple(FITS), "screens": 20}
        figures |= chain(**(corner if given.quick else full), seed=given.seed)
    if "power" in given.parts:
        screens = dict.fromkeys(POWER, 4) if given.quick else {"demo": 40, "screen": 20, "library": 10}
        figures |= power(screens, seed=given.seed)
    if "levels" in given.parts:
        figures |= levels(given.screens or (10 if given.quick else 200), metrics=given.metrics, seed=given.seed)
    if "any" in given.parts:
        sizes = (64,) if given.quick else (64, 256)
        figures |= any_found(given.screens or (20 if given.quick else 200), sizes=sizes, seed=given.seed)
    if "grid" in given.parts:
        corners = {"plates": (2, 16), "controls": (6, 64)} if given.quick else {}
        full = {"plates": tuple(GRID_EFFECT), "controls": (6, 16, 64)} | corners
        figures |= grid(given.screens or (2 if given.quick else 10), **full, seed=given.seed)
    seconds = round(time.perf_counter() - start, 1)
    print(json.dumps({"benchmark": "null", "quick": given.quick, "seconds": seconds} | figures))


if __name__ == "__main__":
    main()
