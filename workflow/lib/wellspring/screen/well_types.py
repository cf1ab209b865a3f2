"""Types of wells (treated, control, empty): the words that platemaps use, and controls whose name is nearly right."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from wellspring.screen import spellings
from wellspring.screen.dose_units import flat
from wellspring.screen.lookalikes import shown

PERT_TYPES = ("trt", "negcon", "poscon", "empty")
WORDS = {
    "trt": (
        "trt", "treatment", "treated", "test", "sample", "compound", "compounds", "cmpd", "drug", "perturbation",
        "experimental", "trtcp", "trtsh", "trtxpr", "trtoe", "testcompound", "testitem", "testarticle",
    ),
    "negcon": (
        "negcon", "negative", "neg", "negativecontrol", "negcontrol", "negctrl", "nc", "vehicle", "vehiclecontrol",
        "ctlvehicle", "solvent", "solventcontrol", "dmso", "dmsocontrol", "mock", "untreated", "untreatedcontrol",
        "nontargeting", "nontargetingcontrol", "ntc", "scrambled", "scramble", "scrambledcontrol", "lowcontrol",
        "neutralcontrol", "unperturbed", "nontarget", "sineg", "sicontrol", "sictrl", "sint", "sgnt", "sgcontrol",
    ),
    "poscon": (
        "poscon", "positive", "pos", "positivecontrol", "poscontrol", "posctrl", "pc", "posconcp", "poscondiverse",
        "posconorf", "highcontrol",
    ),
    "empty": ("empty", "blank", "unused", "notused", "emptywell", "nocells"),
}  # fmt: skip
_KIND = {word: kind for kind, words in WORDS.items() for word in words}
# Words beside the name of a control that make no other treatment of it, as in `DMSO 0.1% (vehicle)`.
BESIDE = frozenset(
    ("control", "controls", "ctrl", "ctl", "vehicle", "veh", "solvent", "only", "neg", "negative", "nc", "low", "high",
     "rep", "replicate", "well", "v", "vv", "vol", "in", "medium", "media", "final")
)  # fmt: skip
# Names of wells without a compound, in a column of compounds; they may be controls, or hold no cells.
BARE = frozenset(
    ("media", "medium", "mediaonly", "mediumonly", "mediacontrol", "control", "controls", "ctrl", "ctl", "water", "h2o",
     "pbs", "nocompound", "nodrug", "notreatment", "nontreated", "cellsonly", "noncompound", "buffer", "veh")
)  # fmt: skip
LIKE = 0.75  # similarity of two names, by difflib, from which one may be a misspelling of the other


def kind_of(value: str, given: Mapping[str, str]) -> str | None:
    """Return the type that a word of the platemap stands for; `given` (`index.pert_types`) has precedence.

    Examples
    --------
    >>> kind_of("Negative control", {}), kind_of("reference", {"reference": "negcon"}), kind_of("banana", {})
    ('negcon', 'negcon', None)
    """
    return given.get(value) or _KIND.get(flat(value))


def check_names(compounds: pd.Series, controls: Sequence[str], *, key: str, where: str) -> None:
    """Refuse compounds whose name differs from a control's by case or punctuation alone.

    Raises
    ------
    ValueError
        Names the compound, its wells' number, the control and the key.
    """
    exact, alike = set(controls), {flat(control): control for control in controls}
    counts = compounds.dropna().value_counts()
    found = [
        f"{shown(name)} in {count} wells is not the control {alike[flat(name)]!r}"
        for name, count in counts.items()
        if name not in exact and flat(name) in alike
    ]
    if found:
        listed = sorted({*controls, *(name for name in counts.index if flat(name) in alike)})
        raise ValueError(
            f"{where}: expected the controls of {key} as they are written there, found {'; '.join(found)} (correct the "
            f"platemap, or set {key}: [{', '.join(listed)}])"
        )


def may_be_control(compound: str, controls: Iterable[str]) -> bool:
    """Return whether a compound is probably a negative control under another name.

    :func:`near` accepts less similar names, for suggestions where controls are missing.

    Examples
    --------
    >>> [name for name in ("DMSO 0.1%", "0.1% dmso (vehicle)", "DMOS", "untreated", "DMSO + x", "x") if
    ...  may_be_control(name, ["DMSO"])]
    ['DMSO 0.1%', '0.1% dmso (vehicle)', 'DMOS', 'untreated']
    >>> may_be_control("compound 2", ["compound 1"]), may_be_control("Media", ["DMSO"])
    (False, True)
    """
    if _KIND.get(flat(compound)) == "negcon" or flat(compound) in BARE:
        return True
    words = re.findall(r"[^\W\d_]+", compound.casefold())
    for control in controls:
        own = re.findall(r"[^\W\d_]+", control.casefold())
        whole = len("".join(own)) > 2 and not re.search(r"\d", control)
        places = [place for place in range(len(words)) if own and words[place : place + len(own)] == own]
        rest = set(words[: places[0]] + words[places[0] + len(own) :]) if places else {"other"}
        if compound != control and (
            (whole and rest <= BESIDE and "+" not in compound) or spellings.alike(compound, control)
        ):
            return True
    return False


def near(controls: Iterable[str], compounds: Iterable[str]) -> list[str]:
    """Return the compounds that may be a control under another name, as `DMSO 0.1%` or `DMOS` for `DMSO`.

    These are suggestions where controls are missing; :func:`may_be_control` is stricter.
    """
    flattened = [flat(control) for control in controls]
    found = []
    for name in sorted(set(compounds)):
        other = flat(name)
        close = any(difflib.SequenceMatcher(None, each, other).ratio() >= LIKE for each in flattened)
        if close or any(each and each in other for each in flattened) or _KIND.get(other) == "negcon":
            found.append(name)
    return found
