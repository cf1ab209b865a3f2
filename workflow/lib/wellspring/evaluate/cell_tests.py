"""Single cells of treatments against the control cells of their plates: the share beyond 95 % of them, and tests.

Cells of a well are not independent, so wells are exchanged: a treatment without effect is like the controls of its
plates, and which of these wells are called treated is arbitrary (Fisher 1935). Three differences are tested with the
same draws: of the means of the cells, of their whole distributions (maximum mean discrepancy, Gretton et al. 2012), and
of the distributions about each well's mean, which sees subpopulations and spread even where the mean is unchanged.

A position in the plate may have an effect of its own, which comes back on all plates of one layout. Where the treated
wells and the controls of several plates have the same names, they are therefore exchanged alike on all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.score import benjamini_hochberg
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

LEAST = 10  # cells of a well that is tested
DRAWS = 9999  # exchanges of wells
FEWEST = 20  # distinct exchanges with which p can reach 0.05
TESTS = {"mean": "mean_", "distribution": "all_", "shape": "shape_"}  # test -> names of its values
ABOUT = ("Metadata_Perturbation", "Metadata_Compound", "Metadata_pert_type")


@dataclass(frozen=True)
class PlateCells:
    """The distributions of a plate.

    Attributes
    ----------
    rows
        Table `distributions`.
    values, names
        Its matrix (n, m), and the names of the m values.
    wells
        The plate's wells, table `profile`: their metadata.
    """

    rows: pd.DataFrame
    values: Array
    names: Sequence[str]
    wells: pd.DataFrame


def cell_tests(plates: Sequence[PlateCells], *, share: tuple[str, ...] = (), seed: int = 0) -> pd.DataFrame:
    """Return the table `cell_tests`: one row per treatment and positive control of plates that are not held out.

    Parameters
    ----------
    share
        Columns that replicates of a treatment share beside the perturbation (`evaluate.replicates_share`).
    seed
        Of the exchanges.

    Notes
    -----
    The statistic is the sum over plates of the squared distance between the means of the treated wells and of the
    controls, weighted by m c / (m + c) for m treated and c control wells. Squared lengths of a well's own value are
    estimated without the bias of a finite number of cells, so that wells with few cells do not stand out.
    """
    found = [_Plate(one, share) for one in plates]
    names = sorted({name for one in found for name in one.members})
    rows = [
        _row(name, [one for one in found if name in one.members], [seed, place]) for place, name in enumerate(names)
    ]
    columns = ["Metadata_Item", *ABOUT, "wells", "plates", "cells"]
    columns += ["share", "share_lowest", "share_highest", "share_controls", *(f"p_{test}" for test in TESTS)]
    table = pd.DataFrame(rows, columns=[*columns, "Metadata_Reason"])
    for test in TESTS:
        table[f"q_{test}"] = benjamini_hochberg(table[f"p_{test}"].to_numpy(dtype=float))
    return table


class _Plate:
    """The wells of a plate that are tested: shares, members of each treatment, and inner products for each test."""

    def __init__(self, one: PlateCells, share: tuple[str, ...]) -> None:
        keys = ["Metadata_Plate", "Metadata_Well"]
        several = one.rows["Metadata_Cells"].to_numpy() >= LEAST
        rows = one.rows[several].reset_index(drop=True)
        self.metadata = rows.merge(one.wells[[*keys, *_columns(one.wells, share)]], on=keys, how="left")
        self.cells = rows["Metadata_Cells"].to_numpy(dtype=float)
        self.shares = rows["Metadata_Share"].to_numpy(dtype=float)
        self.controls = np.flatnonzero(wells.kind(self.metadata, "negcon"))
        mine = wells.kind(self.metadata, "trt", "poscon") & (wells.column(self.metadata, "Metadata_Role") != "heldout")
        mine &= np.array([value is not None for value in wells.perturbations(self.metadata)], dtype=bool)
        items = pd.Series(wells.replicate_names(self.metadata, share)[mine].astype(str))
        self.members = {str(name): np.flatnonzero(mine)[at] for name, at in items.groupby(items).indices.items()}
        self.products = {test: self._products(one, several, test) for test in TESTS}

    def _products(self, one: PlateCells, several: Array, test: str) -> Array:
        """Return inner products (n, n) of the wells' values, those of a well with itself without bias."""
        chosen = [name.startswith(TESTS[test]) for name in one.names]
        values = np.asarray(one.values[several][:, chosen], dtype=np.float64)
        products: Array = values @ values.T
        own, count = np.diag(products).copy(), np.maximum(self.cells, 2)
        scatter = self.metadata["Metadata_Scatter"].to_numpy(dtype=float)
        # Random Fourier features have length 1, of which a mean over n cells keeps 1 / n without any similarity.
        right = own - scatter / count if test == "mean" else (count * own - 1) / (count - 1)
        np.fill_diagonal(products, right)
        return products

    def pool(self, name: str) -> tuple[Array, int]:
        """Return the wells of a treatment followed by the controls, and the number of the former."""
        return np.concatenate([self.members[name], self.controls]), len(self.members[name])

    def layout(self, name: str) -> tuple[str, ...]:
        """Return the names of the wells of `pool`, in its order."""
        return tuple(self.metadata["Metadata_Well"].to_numpy()[self.pool(name)[0]].tolist())


def _columns(frame: pd.DataFrame, share: tuple[str, ...]) -> list[str]:
    wanted = dict.fromkeys([*ABOUT, "Metadata_Concentration", "Metadata_Role", *share])
    return [name for name in wanted if name in frame]


def _row(name: str, found: Sequence[_Plate], seed: list[int]) -> dict[str, object]:
    """Return the row of a treatment."""
    about = found[0].metadata.iloc[found[0].members[name][0]]
    own = np.concatenate([one.shares[one.members[name]] for one in found])
    own = own[np.isfinite(own)]
    controls = np.concatenate([one.shares[one.controls] for one in found])
    controls = controls[np.isfinite(controls)]
    row: dict[str, object] = {"Metadata_Item": name} | {column: about.get(column) for column in ABOUT}
    row |= {"wells": sum(len(one.members[name]) for one in found), "plates": len(found)}
    row["cells"] = int(sum(one.cells[one.members[name]].sum() for one in found))
    values = (own.mean(), own.min(), own.max()) if len(own) else (np.nan,) * 3
    row |= dict(zip(("share", "share_lowest", "share_highest"), values, strict=True))
    row["share_controls"] = float(np.quantile(controls, 0.95)) if len(controls) else np.nan
    usable = [one for one in found if len(one.controls)]
    sizes = [one.pool(name) for one in usable]
    layouts = {one.layout(name): size for one, size in zip(usable, sizes, strict=True)}
    ways = float(np.prod([comb(len(pool), count) for pool, count in layouts.values()], dtype=float))
    possible = min(ways, 1e12) if layouts else 0
    if possible < FEWEST:
        reason = Note("too_few_exchanges", {"found": int(possible), "needed": FEWEST})
        return row | {f"p_{test}": np.nan for test in TESTS} | {"Metadata_Reason": str(reason)}
    rng, null = np.random.default_rng(seed), dict.fromkeys(TESTS, np.zeros(DRAWS + 1))
    drawn = {layout: _drawn(len(pool), count, rng) for layout, (pool, count) in layouts.items()}
    for one, (pool, count) in zip(usable, sizes, strict=True):
        treated = drawn[one.layout(name)]
        for test in TESTS:
            null[test] = null[test] + _apart(one.products[test][np.ix_(pool, pool)], treated, count)
    p = {f"p_{test}": float((values >= values[0] - 1e-12).mean()) for test, values in null.items()}
    return row | p | {"Metadata_Reason": ""}


def _drawn(total: int, count: int, rng: np.random.Generator) -> Array:
    """Return which wells are called treated (DRAWS + 1, total) bool: the first `count`, then drawn ones."""
    ranks = rng.random((DRAWS, total)).argsort(axis=1)
    first = np.arange(total) < count
    result: Array = np.concatenate([first[None], ranks < count])
    return result


def _apart(products: Array, treated: Array, count: int) -> Array:
    """Return the weighted squared distance between the means of treated and other wells for each draw."""
    others = treated.shape[1] - count
    weights = np.where(treated, 1 / count, -1 / others)
    squared = np.einsum("ij,ij->i", weights @ products, weights)
    result: Array = squared * count * others / (count + others)
    return result


def chosen_cells(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the table `chosen_cells` of the rows of tables `single_cells`."""
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_View", "Metadata_Center_Y"]
    columns += ["Metadata_Center_X", "Metadata_Distance", "Metadata_Chosen"]
    parts = [frame.loc[frame["Metadata_Chosen"].notna(), columns] for frame in cells]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
