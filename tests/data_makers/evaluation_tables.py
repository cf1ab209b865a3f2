"""Profile tables for the tests of the evaluation, and options that keep it quick."""

import numpy as np
import pandas as pd

from options import options

OPTIONS = options("evaluate", null_size=1000, bootstrap=20, permutations=5)
FIT = options("fit")


def screen(*, seed, plates=4, controls=6, treatments=6, features=32, effect=0.0, per_plate=1):
    """Two compounds per mechanism, each treatment `per_plate` times on each plate."""
    rng = np.random.default_rng(seed)
    shifts = effect * rng.standard_normal((treatments // 2, features))
    rows, values = [], []
    for plate in range(plates):
        wells = [f"{chr(65 + n // 12)}{n % 12 + 1:02d}" for n in rng.permutation(48)]
        for _ in range(controls):
            rows.append((f"P{plate}", wells.pop(), "DMSO", None, "DMSO", "negcon", None))
            values.append(rng.standard_normal(features))
        for n in range(treatments):
            for _ in range(per_plate):
                rows.append((f"P{plate}", wells.pop(), f"c{n}", 1.0, f"c{n}@1.0", "trt", f"m{n % (treatments // 2)}"))
                values.append(rng.standard_normal(features) + shifts[n % (treatments // 2)])
    names = ["Plate", "Well", "Compound", "Concentration", "Perturbation", "pert_type", "moa"]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    meta["Metadata_Cell_Line"] = meta["Metadata_Plate"].map(lambda name: f"L{int(name[1:]) % 2}")
    meta["Metadata_Batch"] = meta["Metadata_Plate"].map(lambda name: f"B{int(name[1:]) // 2}")
    return np.array(values), meta


def uneven(seed, controls=9, features=7):
    """Five plates in two lines and three batches, with unequal numbers of everything, lost wells, and effects.

    One treatment has one well, one mechanism one compound, and one mechanism one batch. Some wells have no mechanism,
    no profile, no verdict `keep` or no readable position; there are positive controls and empty wells.
    """
    rng = np.random.default_rng([seed, 17])
    shift = rng.standard_normal((4, features))
    rows, values = [], []
    for plate in range(5):
        free = [f"{letter}{column:02d}" for letter in "ABCDEFG" for column in range(1, 12)]
        free = [free[place] for place in rng.permutation(len(free))]
        line, batch = ("L1", "L0")[plate % 2], ("B0", "B0", "B1", "B2", "B1")[plate]
        for _ in range(controls + plate % 3):
            rows.append((plate, free.pop(), "DMSO", None, "DMSO", "negcon", None, line, batch))
            values.append(rng.standard_normal(features) + 0.6 * shift[plate % 3])
        for number in range(9):
            if (number == 7 and plate != 1) or (number == 6 and batch != "B1"):
                continue
            for _ in range(1 if number == 7 else 1 + (number + plate) % 3):
                moa = "solo" if number == 7 else "late" if number == 6 else None if number == 8 else f"m{number % 3}"
                rows.append((plate, free.pop(), f"c{number}", 2.0, f"c{number}@2.0", "trt", moa, line, batch))
                values.append(rng.standard_normal(features) + 0.7 * shift[number % 3])
        rows.append((plate, free.pop(), "toxin", 1.0, "toxin@1.0", "poscon", "m9", line, batch))
        values.append(rng.standard_normal(features) + 5)
        rows.append((plate, free.pop(), None, None, None, "empty", None, line, batch))
        values.append(rng.standard_normal(features))
    names = ["Plate", "Well", "Compound", "Concentration", "Perturbation", "pert_type", "moa", "Cell_Line", "Batch"]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    meta["Metadata_Plate"], x = "P" + meta["Metadata_Plate"].astype(str), np.array(values)
    meta["Metadata_Verdict"] = "keep"
    lost = rng.choice(len(meta), 9, replace=False)
    x[lost[:5], rng.integers(features, size=5)] = np.nan
    meta.loc[lost[5:8], "Metadata_Verdict"] = "undefined"
    control = np.flatnonzero(meta["Metadata_pert_type"] == "negcon")
    meta.loc[rng.choice(control, 2, replace=False), "Metadata_Well"] = ["corner", "unknown"]
    return x, meta


def table(seed=0, **given):
    x, meta = screen(seed=seed, **given)
    meta = meta.assign(Metadata_Role="fit", Metadata_Verdict="keep")
    return pd.concat([meta, pd.DataFrame(x.astype(np.float32), columns=[f"x_{n}" for n in range(x.shape[1])])], axis=1)
