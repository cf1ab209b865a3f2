"""Whether the page's look-alikes, changed features, hits and responding cells are the planted ones, on a finished demo.

Claim. On the demo screen the nearest treatments of a planted active one share its mechanism more often than chance, and
what changed names the channel that its mechanism changes. The shares are printed; a share at chance would refute it.

    python benchmarks/planted.py results

Input: `results/report/hits.csv`, `similar.csv` and `changes.csv` of a finished demo (or of a screen that
`wellspring.simulate` made of `resources/demo/screen.yaml`).
"""

import argparse
import json
from pathlib import Path

import pandas as pd

# Channels whose stain a mechanism of the demo changes (`resources/demo/screen.yaml`): of the organelles whose shape
# parameters it shifts.
CHANNELS = {
    "mitochondrial": ("Mito",),
    "chromatin": ("DNA", "RNA"),
    "actin": ("AGP",),
    "secretory": ("ER", "AGP"),
    "translation": ("RNA", "ER"),
    "tubulin": ("DNA", "Mito", "AGP"),
    "adhesion": ("AGP",),
    "replication": ("DNA", "RNA"),
}


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


def changed(changes: pd.DataFrame, hits: pd.DataFrame) -> pd.DataFrame:
    """Return per mechanism: treatments with a change, share whose strongest change is in a channel of the mechanism."""
    mechanism = hits.set_index("treatment")["mechanism"]
    frame = changes.assign(mechanism=changes["treatment"].map(mechanism)).dropna(subset=["mechanism"])
    strength = frame["effect_sd"].abs()
    first = frame.loc[strength.groupby(frame["treatment"]).idxmax()]
    right = [
        any(channel in str(found) for channel in CHANNELS.get(name, ()))
        for name, found in zip(first["mechanism"], first["channel"], strict=True)
    ]
    table = first.assign(right=right).groupby("mechanism")["right"].agg(["size", "mean"]).reset_index()
    return table.set_axis(["mechanism", "treatments", "strongest change in its channels"], axis=1)


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
    counts, alike, right = active(hits), look_alikes(similar, hits), changed(changes, hits)
    for title, table in (("Active", counts), ("Look-alikes", alike), ("What changed", right)):
        print(f"{title}\n{table.round(2).to_string(index=False)}\n")
    line: dict[str, object] = {"benchmark": "planted"}
    for name, number, found in counts.itertuples(index=False):
        line |= {name: int(number), f"{name}_active": int(found)}
    line |= {"nearest_share": _share(alike, "nearest"), "chance": _share(alike, "chance")}
    line["changes_share"] = _share(right, "strongest change in its channels")
    print(json.dumps(line))


def _share(table: pd.DataFrame, column: str) -> float | None:
    """Return the mean of a column over treatments; None without any."""
    return float((table[column] * table["treatments"]).sum() / table["treatments"].sum()) if len(table) else None


if __name__ == "__main__":
    main()
