"""Cells of a plate with planted effects: tables `embed` and `profile`, and the distributions that are made of them."""

import numpy as np
import pandas as pd

from options import options
from wellspring.evaluate.cell_tests import PlateCells
from wellspring.profile.single_cells import Plate

FEATURES = 12


def wells(plate: str, controls: int, treated: dict[str, int]) -> pd.DataFrame:
    """Return normalised wells (without features): `controls` negative controls, and wells of each treatment."""
    names = [*["DMSO"] * controls, *(name for name, count in treated.items() for _ in range(count))]
    kinds = [*["negcon"] * controls, *["trt"] * (len(names) - controls)]
    return pd.DataFrame(
        {
            "Metadata_Plate": plate,
            "Metadata_Well": [f"{'ABCDEFGH'[place // 12]}{place % 12 + 1:02d}" for place in range(len(names))],
            "Metadata_Compound": names,
            "Metadata_Perturbation": names,
            "Metadata_pert_type": kinds,
            "Metadata_Role": "fit",
            "Metadata_Verdict": "keep",
        }
    )


def plate_of(
    rng: np.random.Generator,
    name: str = "P1",
    *,
    controls: int = 8,
    treated: dict[str, int] | None = None,
    cells: tuple[int, int] = (60, 120),
    effect: dict[str, object] | None = None,
    jitter: float = 0.3,
) -> Plate:
    """Return a plate whose wells have a random position and number of cells.

    `effect` maps a treatment to a function of its cells (n, FEATURES) that changes them; all features have their own
    unit and offset, and their cells are correlated.
    """
    about = wells(name, controls, treated or {})
    mixing = np.random.default_rng(0).standard_normal((FEATURES, FEATURES))
    views, values = [], []
    for row in about.itertuples():
        count = int(rng.integers(*cells))
        here = rng.standard_normal((count, FEATURES)) + jitter * rng.standard_normal(FEATURES)
        change = (effect or {}).get(row.Metadata_Compound)
        here = change(here) if callable(change) else here
        values.append(here @ mixing * 10.0 ** np.arange(-3, FEATURES - 3) + 7)
        number = np.arange(count)
        frame = pd.DataFrame({"Metadata_Site": (number % 2 + 1).astype(str), "Metadata_View": number // 2 + 1})
        frame = frame.assign(Metadata_Plate=name, Metadata_Well=row.Metadata_Well)
        views.append(frame.assign(Metadata_Center_Y=number.astype(float), Metadata_Center_X=0.0))
    shuffled = rng.permutation(sum(map(len, views)))
    frame = pd.concat(views, ignore_index=True).iloc[shuffled].reset_index(drop=True)
    matrix = np.concatenate(values)[shuffled].astype(np.float32)
    names = [f"net_{number}" for number in range(FEATURES)]
    return Plate(frame, matrix, names, about, options("profile"), seed=3)


def described(plate: Plate) -> PlateCells:
    """Return the distributions of a plate."""
    basis = plate.basis()
    for _ in plate.cells(basis):
        pass
    rows, values = zip(*plate.summaries, strict=True)
    return PlateCells(pd.DataFrame(rows), np.array(values), basis.names(), plate.wells)
