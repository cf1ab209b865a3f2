"""Which columns of a platemap are doses by their names, and which may be: in other languages, scales and units."""

import re
import unicodedata
from collections.abc import Sequence

import pandas as pd

from wellspring.screen import dose_units
from wellspring.screen.lookalikes import folded

DOSES = (
    "concentration", "conc", "dose", "dosage", "finalconcentration", "finalconc", "pertdose", "compoundconcentration",
    "compoundconc", "drugconcentration", "drugconc", "treatmentconcentration", "testconcentration", "testconc",
    "concentrationvalue", "dosevalue", "cmpdconc", "finaldose", "compounddose", "drugdose", "",
    "konzentration", "konz", "dosis", "dosierung", "endkonzentration", "concentracion", "concentracao",
    "concentrazione", "concentratie", "koncentration", "koncentrace", "koncentracja", "stezenie", "dawka",
    "doza", "dosering",
    "\u043a\u043e\u043d\u0446\u0435\u043d\u0442\u0440\u0430\u0446\u0438\u044f", "\u0434\u043e\u0437\u0430",
    "\u6d53\u5ea6", "\u6fc3\u5ea6", "\u5242\u91cf", "\u7528\u91cf", "\ub18d\ub3c4",
)  # fmt: skip
# Names of doses only with a unit of concentration, amount or radiation behind them: `amount_nmol`, `Final [uM]`.
WITH_UNIT = ("amount", "quantity", "menge", "final", "c", "drug", "compound", "radiation", "irradiation", "cpd", "cmpd")
_DOSES = frozenset(dose_units.flat(name) for name in DOSES)
# Names with the word for a concentration, and a scale or a unit that is not known: `log10 conc`, `conc (?M)`.
SCALED = re.compile(
    r"(?:.*[^a-z])?(log(10|2|e)?|ln|p)?[\W_]*(of|final|test|drug|compound|treatment)?[\W_]*(concentration|conc|dosage|dose)s?"
    r"(log|level|rank)?(?![a-z])(?![\W_]*(units?|2|3|4|b|second)(?![a-z])).*|[\W_]*(minus|neg)?[\W_]*log(10)?[\W_]*(molar|m)"
)
# Words in the name of a column that may hold doses or amounts: a warning, if its numbers differ within a treatment.
SUSPECT = re.compile(
    r"conc|konz|kon[ck]|(?<![a-z])dos(?!sier)|dilut|verd(ue|u)nn|amount|menge|quantit|cantidad|molar|titer|titre|titrat|"
    r"potenc|ic50|ec50|cmax|(?<![a-z])(log(2|10|e)?|ln|mol|iu|ppb|c)(?![a-z])"
)
# Words of measurements, whose numbers are no doses whatever their unit: `viability %`, `wavelength nm`.
MEASURES = re.compile(
    r"(?<![a-z])(viability|viabilitat|survival|purity|reinheit|confluen(?:ce|cy|t)|konfluenz|wavelength|wellenlange|"
    r"excitation|emission|exposure|humidity|efficiency|recovery|inhibition|response|yield|similarity|identity|tanimoto|"
    r"knockdown|coverage|diameter|size|thickness|length|distance|area|rin|cv)(?![a-z])"
)
NUMERIC = re.compile(r"[<>~\u2264\u2265\u2248=\u00b1+\-\u2212.,(]*\s*\d.*|#+|[+-]?inf|nan", re.IGNORECASE)
STEEP = 1.3  # ratio of neighbouring values, from which values with one ratio are those of a dilution series


def dose_names(table: pd.DataFrame) -> list[str]:
    """Return the columns that have a usual name of a concentration, with or without a unit."""
    named = {column: of_column(column) for column in table.columns}
    return [
        column
        for column, (base, unit) in named.items()
        if (_bare(base) in _DOSES and (base or unit)) or (base in WITH_UNIT and unit not in (None, "%", "x"))
    ]


def _bare(name: str) -> str:
    """Return a flat name as that of a dose is compared: without accents, and with Latin letters."""
    return dose_units.flat(without_marks(name))


def of_column(column: str) -> tuple[str, str | None]:
    """Return the flat name of a column without its unit, and the unit if the name ends in one."""
    return dose_units.of_name(re.sub(r"^(?:Image_)?Metadata_", "", column))


def scaled(table: pd.DataFrame) -> list[str]:
    """Return the columns of numbers that may be concentrations: in an odd unit, as logarithms, by their unit."""
    return [
        column
        for column in table.columns
        if (SCALED.fullmatch(folded(column).casefold()) or _in_unit(column) or _begins(column))
        and any(map(dose_units.is_number, table[column].dropna()))
    ]


def _in_unit(column: str) -> bool:
    """Return whether a name ends in a unit that measurements seldom have."""
    unit = of_column(column)[1]
    return unit is not None and not _measures(_plain(column)) and dose_units.UNITS[unit][0] not in dose_units.MEASURED


def _begins(column: str) -> bool:
    """Return whether a name begins with a unit, as `nM final`, or is `molarity`; `% confluence` is no concentration."""
    first = re.split(r"[\s_(\[,;]", column.strip(" ([_"), maxsplit=1)[0]
    amount = re.fullmatch(r"[fpnum\u00b5\u03bc]M|.*/.*", first) is not None and dose_units.known(first) is not None
    return amount or first.casefold() == "molarity"


def suspected(column: str) -> bool:
    """Return whether a column may hold doses or amounts by a word or a unit in its name.

    Examples
    --------
    >>> suspected("Dilution factor"), suspected("rna_ng"), suspected("passage"), suspected("viability %")
    (True, True, False, False)
    """
    plain = _plain(column)
    unit = of_column(column)[1] is not None or _begins(column)
    return SUSPECT.search(plain) is not None or (unit and not _measures(plain))


def _measures(plain: str) -> bool:
    """Return whether a plain name has the word of a measurement and none of a dose."""
    return MEASURES.search(plain) is not None and SUSPECT.search(plain) is None


def _plain(column: str) -> str:
    """Return the name of a column without accents, in small letters."""
    return without_marks(re.sub(r"^(?:Image_)?Metadata_", "", column)).casefold()


def series(values: Sequence[float]) -> bool:
    """Return whether numbers are a dilution series: three positive ones or more, each as many times the one before.

    Examples
    --------
    >>> series([0.1, 0.3162, 1.0, 3.162, 0.0]), series([1.0, 2.0, 3.0, 4.0])
    (True, False)
    """
    found = sorted({value for value in values if value > 0})
    ratios = [later / before for before, later in zip(found, found[1:], strict=False)]
    return len(ratios) > 1 and min(ratios) > STEEP and max(ratios) < min(ratios) * 1.25


def numbers(cells: pd.Series) -> pd.Series | None:
    """Return the cells of a column as numbers, without signs and units around them; None if a cell is no number."""
    texts = cells.dropna().astype(str).str.strip()
    texts = texts[texts != ""]
    found = texts.str.extract(
        r"^[<>~=\u2264\u2265\u2248\s]*([+\-\u2212]?[0-9]*[.,]?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*[^0-9.,]{0,12}$"
    )[0]
    if texts.empty or found.isna().any():
        return None
    return found.str.replace(",", ".").str.replace("\u2212", "-").astype(float)


def without_marks(text: str) -> str:
    """Return a text without accents."""
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
