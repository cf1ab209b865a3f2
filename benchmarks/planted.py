"""Whether the page's look-alikes, changed features, hits and responding cells are the planted ones, on a finished demo.

Claim. On the demo screen the nearest treatments of a planted active one share its mechanism more often than chance, and
what changed is what the planted shifts alone change, in cells that are drawn without any nuisance. The shares are
printed; a share at chance (a half for the direction) would refute it.

    python benchmarks/planted.py results

Input: `results/report/hits.csv`, `similar.csv` and `changes.csv` of a finished demo (or of a screen that
`wellspring.simulate` made of `resources/demo/screen.yaml`).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import yaml

from wellspring.encoders.intensity import Intensity
from wellspring.simulate.cells import draw_field, place_cells, texture_bank
from wellspring.simulate.screen import CellLine, Screen, screen_of
from wellspring.simulate.traits import draw_traits
from wellspring.simulate.truth import shifts

DEMO = Path(__file__).resolve().parents[1] / "resources" / "demo" / "screen.yaml"
VIEW = 40  # pixels of a view of the demo's encoder `intensity`
FIELDS = 4  # simulated fields per treatment and cell line
LEAST = 0.2  # standard deviations of the control cells from which a true difference counts


def look_alikes(similar: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Return per mechanism: treatments, share of those whose nearest shares it, of all neighbours, and by chance."""
    mechanism = hits.set_index("treatment")["mechanism"]
    frame = similar.assign(mechanism=similar["treatment"].map(mechanism)).dropna(subset=["mechanism"])
    frame["same"] = (frame["shares_mechanism"] == "yes").astype(float)
    rows = []
    for name, mine in frame.groupby("mechanism"):
        first = mine[mine["rank"] == mine["rank"].min()]
        judged = mine[mine["shares_mechanism"].isin(["yes", "no"])]
        rows.append(
            (name, mine["treatment"].nunique(), first["same"].mean(), judged["same"].mean(), mine["chance"].mean())
        )
    return pd.DataFrame(rows, columns=["mechanism", "treatments", "nearest", "neighbours with a mechanism", "chance"])


def true_effects(description: Path = DEMO, *, seed: int = 1) -> dict[tuple[str, float], np.ndarray]:
    """Return (compound, dose) -> difference of the intensity statistics (20,) from control cells, in their SD.

    The simulator draws other cells than those of the screen, with the planted shifts and without any nuisance: no
    gains, blur, illumination or noise. The mean over the cell lines. `seed` is that of the screen.
    """
    screen = screen_of(yaml.safe_load(description.read_text()), where=str(description))
    rng = np.random.default_rng(seed)
    bank, network = texture_bank(rng), Intensity(channels=5)
    planted: dict[tuple[str, float] | None, dict[str, float]] = {None: {}, **shifts(screen, seed=seed)}
    parts: dict[tuple[str, float], list[np.ndarray]] = {}
    for line in screen.cell_lines:
        cells = {key: _cells(screen, line, shift, bank, network, rng) for key, shift in planted.items()}
        control = cells.pop(None)
        for key, values in cells.items():
            parts.setdefault(key, []).append((values.mean(axis=0) - control.mean(axis=0)) / control.std(axis=0))
    return {key: np.mean(found, axis=0) for key, found in parts.items()}


def _cells(
    screen: Screen,
    line: CellLine,
    shift: dict[str, float],
    bank: np.ndarray,
    network: Intensity,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the statistics (n, 20) of the cells of some fields, cut as views of `VIEW` px."""
    found, half = [], VIEW // 2
    for _ in range(FIELDS):
        density = line.density * np.exp(shift.get("density", 0.0))
        centres = place_cells(rng, field=screen.field, density=density)
        traits = draw_traits(shift, rng, count=len(centres), size=line.size, jitter=screen.cell_jitter)
        image = draw_field(centres, traits, bank, rng, field=screen.field, stain_jitter=screen.stain_jitter)
        inside = ((centres >= half) & (centres < screen.field - half)).all(axis=1)
        views = [
            image[:, y - half : y + half, x - half : x + half]
            for y, x in np.floor(centres[inside]).astype(int).tolist()
        ]
        with torch.no_grad():
            found.append(network(torch.from_numpy(np.stack(views))).numpy())
    return np.concatenate(found)


def changed(changes: pd.DataFrame, hits: pd.DataFrame, truth: dict[tuple[str, float], np.ndarray]) -> pd.DataFrame:
    """Return per mechanism: treatments with a change, and the share of the strongest and of all changes that are true.

    A change is true if the planted shifts alone move the same feature in the same direction by `LEAST` or more.
    """
    about = hits.set_index("treatment")
    frame = changes[changes["treatment"].map(about["mechanism"]).notna()]
    right = []
    for row in frame.itertuples():
        true = truth[about.loc[row.treatment, "compound"], float(about.loc[row.treatment, "dose"])]
        value = true[int(row.feature.rpartition("_")[2])]
        right.append(bool(abs(value) >= LEAST and (value > 0) == (row.direction == "higher")))
    frame = frame.assign(right=right, mechanism=frame["treatment"].map(about["mechanism"]))
    first = frame.loc[frame["effect_sd"].abs().groupby(frame["treatment"]).idxmax()]
    table = first.groupby("mechanism")["right"].agg(["size", "mean"])
    every = frame.groupby("mechanism")["right"].agg(["size", "mean"])
    table = table.join(every, rsuffix="_of_all").reset_index()
    return table.set_axis(
        ["mechanism", "treatments", "strongest change is true", "changes", "changes are true"], axis=1
    )


def active(hits: pd.DataFrame) -> pd.DataFrame:
    """Return the treatments with and without a planted mechanism: how many there are, and how many are active."""
    planted = hits["mechanism"].notna().map({True: "planted", False: "inactive"})
    mine = hits[hits["type"] == "trt"]
    table = (mine["active"] == "yes").groupby(planted[mine.index]).agg(["size", "sum"]).reset_index()
    return table.set_axis(["treatments", "number", "active"], axis=1)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="results folder of a finished demo")
    folder = parser.parse_args().results / "report"
    hits, similar, changes = (pd.read_csv(folder / f"{name}.csv") for name in ("hits", "similar", "changes"))
    counts, alike, right = active(hits), look_alikes(similar, hits), changed(changes, hits, true_effects())
    for title, table in (("Active", counts), ("Look-alikes", alike), ("What changed", right)):
        print(f"{title}\n{table.round(2).to_string(index=False)}\n")
    line: dict[str, object] = {"benchmark": "planted"}
    for name, number, found in counts.itertuples(index=False):
        line |= {name: int(number), f"{name}_active": int(found)}
    line |= {"nearest_share": _share(alike, "nearest"), "chance": _share(alike, "chance")}
    line["changes_share"] = _share(right, "strongest change is true")
    print(json.dumps(line))


def _share(table: pd.DataFrame, column: str) -> float | None:
    """Return the mean of a column over treatments; None without any."""
    return float((table[column] * table["treatments"]).sum() / table["treatments"].sum()) if len(table) else None


if __name__ == "__main__":
    main()
