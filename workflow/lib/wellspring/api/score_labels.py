"""The classes of a profile table: the column that holds them, and how a cell states several."""

import logging
import re
import shlex

import pandas as pd

from wellspring.api.score_columns import OWN
from wellspring.evaluate.multilabel import split
from wellspring.screen import dose_units

logger = logging.getLogger(__name__)

# Flat names of a column of mechanisms, beside `moa`.
MECHANISM = re.compile(
    r"(compound|drug|annotated|known)?(mechanisms?(ofactions?)?|modes?ofactions?|moas?)(class|label|name|annotation|s)?"
)
SEPARATORS = ("|", ";", ",", "/", "&", "+", " and ", "\uff1b", "\u3001")  # between several labels of a cell
_LIST = re.compile(r"\s*[\[({]\s*(?:['\"].*)?[\])}]\s*", re.DOTALL)  # the text of a list of texts, perhaps empty
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")


def label_of(frame: pd.DataFrame, given: str | None) -> str:
    """Return the column of the classes: the given one, `Metadata_moa`, or the only one with a usual name.

    The log names the column that is taken, or the candidates for `--label`: columns with one word per compound, in
    which several compounds have the same word.
    """
    if given is not None or frame.get("Metadata_moa", pd.Series(dtype=object)).notna().any():
        return f"Metadata_{(given or 'moa').removeprefix('Metadata_')}"
    about = [name for name in frame.columns if name.startswith("Metadata_") and frame[name].notna().any()]
    like = [name for name in about if MECHANISM.fullmatch(dose_units.flat(name.removeprefix("Metadata_")))]
    if len(like) == 1:
        logger.warning("the classes are taken from the column %s (--label chooses another one)", like[0])
        return str(like[0])
    treated = frame[(frame["Metadata_pert_type"] == "trt") & frame["Metadata_Compound"].notna()]
    compounds = treated.groupby("Metadata_Compound")
    fits = like or [
        name
        for name in about
        if name.removeprefix("Metadata_") not in OWN
        and compounds[name].nunique().max() == 1
        and 1 < treated[name].nunique() < compounds.ngroups
    ]
    named = " or ".join(f"--label {shlex.quote(name)}" for name in fits[:10])
    words = f"perhaps {named}" if fits else "no column has one word per compound"
    logger.warning("no column of mechanisms: scores of classes are left out; %s", words)
    return "Metadata_moa"


def read_lists(labels: pd.Series, separator: str | None) -> pd.Series:
    """Return the labels with the texts of lists, as pandas and NumPy write them, in the form `a|b`.

    Examples
    --------
    >>> read_lists(pd.Series(["['EGFR', 'HER2']", "['TUBB']", None, "[]"], dtype=object), "|").tolist()
    ['EGFR|HER2', 'TUBB', None, None]
    """
    known = labels.dropna().astype(str)
    if known.empty or not known.str.fullmatch(_LIST).all() or not known.str.contains("['\"]").any():
        return labels
    parts = {cell: [one or two for one, two in _QUOTED.findall(cell)] for cell in known.unique()}
    logger.info("labels of %s are texts of lists: their parts are the labels", labels.name)
    words = {cell: (separator or "|").join(names) or None for cell, names in parts.items()}
    return pd.Series([words.get(str(cell)) for cell in labels], index=labels.index, name=labels.name, dtype=object)


def other_separator(labels: pd.Series, separator: str | None) -> tuple[str, str] | None:
    """Return the separator that the labels seem to have instead of the given one, and one of them; None without.

    A separator parts labels if a part of one is, alone or as a part, in another one.

    Examples
    --------
    >>> other_separator(pd.Series(["EGFR;HER2", "HER2", None]), "|")
    (';', 'EGFR;HER2')
    >>> other_separator(pd.Series(["GABA antagonist, peripheral", "HER2"]), "|") is None
    True
    """
    values = labels.dropna().astype(str).unique()
    if separator and any(separator in value for value in values):
        return None
    for mark in SEPARATORS:
        parts = {value: split(value, mark) for value in values}
        count = pd.Series([part for own in parts.values() for part in own]).value_counts()
        several = [value for value, own in parts.items() if len(own) > 1 and (count[list(own)] > 1).any()]
        if several:
            return mark, several[0]
    return None
