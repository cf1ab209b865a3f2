"""Units of concentration: their spellings in column names and cells, and exact conversion between them.

A unit is known by its spelling without case and punctuation: `uM`, `µM`, `[um]` and `micromolar` are one unit. `m`
alone is not taken for molar, since it is a spelling of too many things.
"""

import re
import unicodedata
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from wellspring.screen.lookalikes import folded

# Canonical unit -> family, power of ten within the family, spellings.
UNITS: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "fM": ("molar", -15, ("fm", "femtomolar", "fmol/l")),
    "pM": ("molar", -12, ("pm", "picomolar", "pmol/l")),
    "nM": ("molar", -9, ("nm", "nanomolar", "nmol/l", "nmolesperliter")),
    "µM": ("molar", -6, ("um", "micromolar", "umol/l", "umolesperliter", "micromolesperliter", "umolar")),
    "mM": ("molar", -3, ("mm", "millimolar", "mmol/l", "mmolesperliter", "mmolar")),
    "M": ("molar", 0, ("molar", "mol/l", "molesperliter")),
    "pg/mL": ("mass", -12, ("pg/ml", "pgml", "pgperml", "ng/l")),
    "ng/mL": ("mass", -9, ("ng/ml", "ngml", "ngperml", "ug/l")),
    "µg/mL": ("mass", -6, ("ug/ml", "ugml", "ugperml", "mg/l", "ng/ul", "ngul")),
    "mg/mL": ("mass", -3, ("mg/ml", "mgml", "mgperml", "g/l")),
    "mg/kg": ("body", 0, ("mg/kg", "mgkg", "mgperkg")),
    "%": ("share", 0, ("%", "percent", "pct")),
    "ppm": ("share", -4, ("ppm",)),
    "x": ("fold", 0, ("fold",)),
    "MOI": ("moi", 0, ("moi",)),
    "U/mL": ("activity", 0, ("u/ml", "uml", "iu/ml", "iuml", "units/ml", "unitsperml")),
    "fmol": ("amount", -15, ("fmol", "fmol/well", "fmolperwell")),
    "pmol": ("amount", -12, ("pmol", "pmol/well", "pmolperwell")),
    "nmol": ("amount", -9, ("nmol", "nmol/well", "nmolperwell")),
    "µmol": ("amount", -6, ("umol", "umol/well", "umolperwell")),
    "pg": ("weight", -12, ("pg", "pg/well", "pgperwell")),
    "ng": ("weight", -9, ("ng", "ng/well", "ngperwell")),
    "µg": ("weight", -6, ("ug", "ug/well", "ugperwell")),
    "mg": ("weight", -3, ("mg", "mg/well", "mgperwell")),
    "mGy": ("radiation", -3, ("mgy", "milligray")),
    "Gy": ("radiation", 0, ("gy", "gray")),
}
MEASURED = ("amount", "weight")  # families whose units are those of measurements too, as `protein_ng`
_SPELT = {spelling: unit for unit, (_, _, spellings) in UNITS.items() for spelling in spellings}
_BEFORE = ("conc", "concentration", "dose", "dosage", "value")  # a unit may follow these without a space
LARGEST = 30  # power of ten of a concentration, up or down
_NUMBER = re.compile(r"([+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^0-9\s].*)?")


def flat(text: str) -> str:
    """Return a text without case, spaces and punctuation except `/` and `%`; both signs for micro become `u`.

    Letters of other alphabets that look like a Latin one become that one.

    Examples
    --------
    >>> flat("Concentration [µM]"), flat("ug / mL")
    ('concentrationum', 'ug/ml')
    """
    plain = folded(unicodedata.normalize("NFKC", text)).casefold().replace("\u03bc", "u")
    return re.sub(r"[^\w/%]|_", "", plain)


def known(text: str) -> str | None:
    """Return the canonical unit of a spelling, None if it is none.

    Examples
    --------
    >>> known("uM"), known("ug/ml"), known("M"), known("mol"), known("plate")
    ('µM', 'µg/mL', 'M', None, None)
    """
    if text.strip() == "M":
        return "M"
    return _SPELT.get(flat(text))


def of_name(name: str) -> tuple[str, str | None]:
    """Return the flat name of a column without its unit, and the unit if the name ends in one.

    Examples
    --------
    >>> of_name("conc_uM"), of_name("Concentration (ng/mL)"), of_name("dose"), of_name("mmoles_per_liter")
    (('conc', 'µM'), ('concentration', 'ng/mL'), ('dose', None), ('', 'mM'))
    """
    whole = flat(name)
    if re.search(r"[\s_(\[]M[)\]\s]*$", name):
        return whole[:-1], "M"
    for spelling in sorted(_SPELT, key=len, reverse=True):
        base = whole.removesuffix(spelling).removesuffix("in")
        if whole.endswith(spelling) and (base.endswith(_BEFORE) or _apart(name, spelling)):
            return base, _SPELT[spelling]
    return whole, None


def _apart(name: str, spelling: str) -> bool:
    """Return whether no letter stands before the unit at the end of a name: `serum` does not end in a unit."""
    plain = folded(unicodedata.normalize("NFKC", name)).casefold().replace("\u03bc", "u")
    return re.search(r"(?:^|[^a-z])" + r"[\W_]*".join(map(re.escape, spelling)) + r"[\W_]*$", plain) is not None


def parse(text: str) -> tuple[Decimal, str | None]:
    """Return the number of a cell and the unit that follows it, if any; a comma may be the decimal sign.

    Raises
    ------
    ValueError
        The cell is no number, or its comma may separate thousands; the text is in the message.

    Examples
    --------
    >>> parse("0,5"), parse("10 nM"), parse("1e-3")
    ((Decimal('0.5'), None), (Decimal('10'), 'nM'), (Decimal('0.001'), None))
    """
    match = _NUMBER.fullmatch(text.strip().replace("\u2212", "-"))  # the sign for minus
    unit = known(match[2]) if match and match[2] else None
    if match is None or (match[2] and unit is None):
        raise ValueError(f"{text!r} is no number")
    digits = match[1]
    if re.fullmatch(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}", digits):
        raise ValueError(f"{text!r} may be {digits.replace(',', '')} or {digits.replace(',', '.')}")
    try:
        number = Decimal(digits.replace(",", "."))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is no number") from error
    if number and abs(number.adjusted()) > LARGEST:
        raise ValueError(f"{text!r} is no concentration: it is beyond 1e{LARGEST} or 1e-{LARGEST}")
    return number, unit


def two_readings(texts: Sequence[str]) -> list[str]:
    """Return the texts whose point may separate thousands, where others have a comma as the decimal sign.

    Examples
    --------
    >>> two_readings(["0,5", "1.000", "2.5"]), two_readings(["0.5", "1.000"])
    (['1.000'], [])
    """
    if not any(re.match(r"[+-]?[0-9]*,[0-9]", text) for text in texts):
        return []
    return sorted({text for text in texts if re.match(r"[+-]?[1-9][0-9]{0,2}\.[0-9]{3}(?![0-9.,])", text)})


def is_number(text: str) -> bool:
    """Return whether a cell holds a concentration, or a number that has two readings."""
    match = _NUMBER.fullmatch(text.strip())
    return match is not None and (not match[2] or known(match[2]) is not None)


def alike(columns: Sequence[tuple[str | None, Sequence[str | None]]]) -> bool:
    """Return whether columns, each with the unit of its name or None, hold the same concentrations.

    Columns without a unit have to hold the numbers of the others.

    Examples
    --------
    >>> alike([(None, ["1", "20", None]), ("µM", ["1", "20.0", None])]), alike([("µM", ["1"]), (None, ["1000"])])
    (True, False)
    >>> alike([("µM", ["1", "0.02"]), ("nM", ["1000", "20"])]), alike([("µM", ["1"]), ("ng/mL", ["1"])])
    (True, False)
    """
    try:
        rows = [[parse(cell) if cell else None for cell in cells] for _, cells in columns]
    except ValueError:
        return False
    units = [unit for unit, _ in columns if unit]
    if len(set(units)) < 2:
        return all(row == rows[0] for row in rows)
    known = [(UNITS[unit], row) for (unit, _), row in zip(columns, rows, strict=True) if unit]
    same = len(known) == len(columns) and len({family for (family, _, _), _ in known}) == 1
    bare = all(each is None or each[1] is None for row in rows for each in row)
    powers = [[each and each[0].scaleb(power) for each in row] for (_, power, _), row in known]
    return same and bare and all(row == powers[0] for row in powers)


def converted(number: Decimal, unit: str, to: str) -> float:
    """Return a concentration in another unit of the same family, without rounding between.

    Raises
    ------
    ValueError
        The units measure different things.

    Examples
    --------
    >>> converted(Decimal("0.98"), "nM", "µM")
    0.00098
    """
    (family, power, _), (other, wanted, _) = UNITS[unit], UNITS[to]
    if family != other:
        raise ValueError(f"{unit} cannot be converted to {to}")
    return float(number.scaleb(power - wanted))
