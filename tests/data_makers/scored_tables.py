"""Tables of profiles for `wellspring score`, and their scores computed row by row."""

import numpy as np
import pandas as pd

METRICS = ["activity", "nsc", "consistency"]
QUICK = {"metrics": METRICS, "bootstrap": 100, "permutations": 0, "null_size": 1000}


def screen(seed=0, width=12, plates=2, separator=False):
    rng, rows = np.random.default_rng(seed), []
    for plate in range(plates):
        compounds = ["DMSO"] * 6 + [f"c{number}" for number in range(6) for _ in range(2)]
        for number, place in enumerate(rng.permutation(18)):
            well = f"{'ABC'[number // 6]}{number % 6 + 1:02d}"
            moa = None if compounds[place] == "DMSO" else f"m{int(compounds[place][1:]) % 3}"
            rows.append((f"p{plate}", well, compounds[place], moa))
    frame = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in ("Plate", "Well", "Compound", "moa")])
    shift = {f"m{number}": 1.5 * rng.normal(size=width) for number in range(3)}
    values = rng.normal(size=(len(frame), width)) + [shift.get(moa, np.zeros(width)) for moa in frame["Metadata_moa"]]
    return pd.concat([frame, pd.DataFrame(values, columns=[f"efficientnet_{n}" for n in range(width)])], axis=1)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def direct(frame):
    """Return activity, NSC and consistency, computed row by row."""
    names = [name for name in frame if name.startswith("efficientnet_")]
    treated = frame[frame["Metadata_Compound"] != "DMSO"].reset_index(drop=True)
    rows = np.round(unit(treated[names].to_numpy(dtype=np.float32).astype(float)), 16)

    def precision(similar, positive):
        order = np.argsort(-similar, kind="stable")
        hit = positive[order]
        return (np.cumsum(hit) / np.arange(1, len(hit) + 1))[hit].mean()

    found = {}
    values = []
    for _, group in treated.groupby("Metadata_Compound"):
        own = []
        for row in group.index:
            here = frame[(frame["Metadata_Plate"] == treated.loc[row, "Metadata_Plate"])]
            against = here.loc[here["Metadata_Compound"] == "DMSO", names].to_numpy(dtype=np.float32).astype(float)
            others = [one for one in group.index if one != row]
            pool = np.concatenate([rows[others], unit(against)])
            own.append(precision(pool @ rows[row], np.arange(len(pool)) < len(others)))
        values.append(np.mean(own))
    found["activity"] = np.mean(values)
    median = treated.groupby("Metadata_Compound")[names].median()
    label = treated.groupby("Metadata_Compound")["Metadata_moa"].first()
    similar = unit(median.to_numpy(dtype=float))
    similar = similar @ similar.T
    np.fill_diagonal(similar, -2)
    found["nsc"] = np.mean(label.to_numpy()[similar.argmax(axis=1)] == label.to_numpy())
    values = []
    for _, group in treated.groupby("Metadata_Compound"):
        own = []
        for row in group.index:
            pool = treated.index[treated["Metadata_Compound"] != treated.loc[row, "Metadata_Compound"]]
            same = (treated.loc[pool, "Metadata_moa"] == treated.loc[row, "Metadata_moa"]).to_numpy()
            own.append(precision(rows[pool] @ rows[row], same))
        values.append(np.mean(own))
    found["consistency"] = np.mean(values)
    return found
