"""Plates with which a light path may be pooled: those of its microscope by the sheet, or else small ones of its batch.

Whether they are pooled is decided by their pixels (:mod:`wellspring.illumination.pooling`).
"""

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import pandas as pd

NEAR = 8  # plates of the batch at most, the nearest in the sheet: so many small plates make a large one
FEW = 64  # wells from which a plate is large, whatever its sites: illumination.pooling.SMALL fields
FITTED = ("basic", "median")  # methods of illumination that estimate
TABLES = (".csv", ".tsv", ".txt")


def few_wells(platemap: str) -> bool:
    """Return whether a platemap is a local table of text with at most `FEW` lines, its header among them."""
    path = Path(platemap)
    if path.suffix.casefold() not in TABLES or not path.is_file():
        return False
    with path.open("rb") as lines:
        return len(list(islice(filter(bytes.strip, lines), FEW + 1))) <= FEW


def plates_beside(plates: pd.DataFrame, optics: str, *, few: Callable[[str], bool] = few_wells) -> list[str]:
    """Return the names of the plates that may be pooled with a light path, in the order of the sheet.

    Parameters
    ----------
    plates
        The sheet, indexed by plate, with the columns optics, microscope, batch, role and platemap.
    optics
        The light path.
    few
        Path of a platemap -> whether its plate has few wells.

    Returns
    -------
    list of str
        Where the sheet names its microscope, the other plates of that. Else the `NEAR` nearest plates of its batch that
        have no microscope and few wells and are of the role fit, so that a plate that is only projected changes no
        other; none where its own plates are large.

    Examples
    --------
    >>> columns = {"plate": ["P1", "P2"], "optics": ["P1", "P2"], "microscope": "", "batch": "B1", "role": "fit"}
    >>> sheet = pd.DataFrame(columns | {"platemap": ["a.csv", "b.csv"]}).set_index("plate")
    >>> plates_beside(sheet, "P1", few=lambda path: True), plates_beside(sheet, "P1", few=lambda path: False)
    (['P2'], [])
    """
    own = (plates["optics"] == optics).to_numpy()
    named = set(plates.loc[own, "microscope"]) - {""}
    found: list[str]
    if named:
        found = plates.index[plates["microscope"].isin(named).to_numpy() & ~own].tolist()
        return found
    if not all(few(path) for path in plates.loc[own, "platemap"].unique()):
        return []
    alike = plates["batch"].isin(plates.loc[own, "batch"]) & (plates["microscope"] == "") & (plates["role"] == "fit")
    places, mine = (alike.to_numpy() & ~own).nonzero()[0].tolist(), own.nonzero()[0]
    places = [place for place in places if few(plates["platemap"].iloc[place])]
    near = sorted(places, key=lambda place: (int(abs(mine - place).min()), place))[:NEAR]
    found = plates.index[sorted(near)].tolist()
    return found
