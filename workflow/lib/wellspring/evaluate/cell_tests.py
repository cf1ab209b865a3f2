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
    controls, in units of what is expected of such a distance without an effect. Wells with few cells differ more, and a
    toxic treatment has them in all of its wells, so that wells alone could not be exchanged. The expected distance
    therefore holds for the wells of each exchange: the variance between wells of one treatment, and each well's
    variance of cells over their number. Such studentised statistics may be permuted where variances differ (Janssen
    1997, Chung and Romano 2013); with equal numbers of cells, the unit is the same for all exchanges.
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
        chosen = {test: [name.startswith(start) for name in one.names] for test, start in TESTS.items()}
        values = {test: np.asarray(one.values[several][:, mine], dtype=np.float64) for test, mine in chosen.items()}
        self.products = {test: each @ each.T for test, each in values.items()}
        self.noise = {test: self._variances(each, test) / self.cells for test, each in values.items()}

    def _variances(self, values: Array, test: str) -> Array:
        """Return the sum of the variances of a cell's values within each well, (n,)."""
        if test == "mean":
            scatter: Array = self.metadata["Metadata_Scatter"].to_numpy(dtype=float)
            return scatter
        own, count = np.square(values).sum(axis=1), self.cells
        if test == "distribution":  # features of a cell have length 1
            found: Array = np.clip(1 - (count * own - 1) / (count - 1), 0, None)
            return found
        # Waves about a well's own mean vary less, since the mean takes a part with it: v exp(-v) of 1 - exp(-v) for
        # normal cells of variance v along a frequency, whose mean wave has the squared length exp(-v).
        frequencies = values.shape[1] // 2
        mean = np.average(values, axis=0, weights=count) if len(values) else np.zeros(values.shape[1])
        length = np.clip(frequencies * np.square(mean.reshape(2, frequencies)).sum(axis=0), 1e-12, 1.0)
        return np.full(len(values), float((1 - length + length * np.log(length)).mean()))

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
    for one, (pool, _) in zip(usable, sizes, strict=True):
        treated = drawn[one.layout(name)]
        for test in TESTS:
            null[test] = null[test] + _apart(one.products[test][np.ix_(pool, pool)], one.noise[test][pool], treated)
    p = {f"p_{test}": float((values >= values[0] - 1e-12).mean()) for test, values in null.items()}
    return row | p | {"Metadata_Reason": ""}


def _drawn(total: int, count: int, rng: np.random.Generator) -> Array:
    """Return which wells are called treated (DRAWS + 1, total) bool: the first `count`, then drawn ones."""
    ranks = rng.random((DRAWS, total)).argsort(axis=1)
    first = np.arange(total) < count
    result: Array = np.concatenate([first[None], ranks < count])
    return result


def _apart(products: Array, noise: Array, treated: Array) -> Array:
    """Return the squared distance between the means of treated and other wells over the expected one, for each draw.

    Parameters
    ----------
    products
        Inner products (n, n) of the wells' values.
    noise
        Variance (n,) of a well's value that its number of cells causes.
    treated
        (draws, n) bool; the first row is the true one.
    """
    count, others = int(treated[0].sum()), treated.shape[1] - int(treated[0].sum())
    own, rest = treated.astype(float), (~treated).astype(float)
    weights = own / count - rest / others
    squared = np.einsum("ij,ij->i", weights @ products, weights)
    # Of each exchange its own variance between wells, as Janssen has it: that of the true one would weigh the plates
    # on which the treated wells stand out. Wells count by their precision (DerSimonian and Laird 1986): else the noise
    # of wells with few cells would pass for such a variance in the exchanges that have them among the controls.
    precise = 1 / np.maximum(noise, 1e-9 * float(noise.mean()) or 1.0)
    surplus, known = np.full(len(treated), precise @ np.diag(products)), np.zeros(len(treated))
    for one in (own * precise, rest * precise):
        total = one.sum(axis=1)
        surplus -= np.einsum("ij,ij->i", one @ products, one) / total
        surplus -= one @ noise - np.square(one) @ noise / total  # the variance of cells
        known += total - np.square(one).sum(axis=1) / total
    between = np.divide(np.clip(surplus, 0, None), known, out=np.zeros_like(known), where=known > 0)
    expected = np.square(weights) @ noise + between * (1 / count + 1 / others)
    result: Array = np.divide(squared, expected, out=np.zeros_like(squared), where=expected > 0)
    return result


def chosen_cells(cells: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the table `chosen_cells` of the rows of tables `single_cells`."""
    columns = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_View", "Metadata_Center_Y"]
    columns += ["Metadata_Center_X", "Metadata_Distance", "Metadata_Chosen"]
    parts = [frame.loc[frame["Metadata_Chosen"].notna(), columns] for frame in cells]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
