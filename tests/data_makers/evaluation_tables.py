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


def table(seed=0, **given):
    x, meta = screen(seed=seed, **given)
    meta = meta.assign(Metadata_Role="fit", Metadata_Verdict="keep")
    return pd.concat([meta, pd.DataFrame(x.astype(np.float32), columns=[f"x_{n}" for n in range(x.shape[1])])], axis=1)
