"""Concentrations of a platemap: numbers and their unit, which a column's name, a column of units or the cells state."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from wellspring.screen import dose_units

# Cells of programs without a concentration. Words as `unknown` are refused: the well may have had one.
BLANK = frozenset(("", "na", "n/a", "nan", "none", "null", "<na>", "not applicable", "-", "--", "\u2013", "\u2014"))


@dataclass(frozen=True)
class Doses:
    """Concentrations ``values`` (n,) float64, NaN where there is none, and their unit, None if unknown."""

    values: npt.NDArray[Any]
    unit: str | None


def read(
    cells: pd.Series,
    column: str | None,
    units: pd.Series | None,
    wanted: str | None,
    *,
    where: str,
    keys: tuple[str, str] = ("index.columns.concentration", "index.unit"),
) -> Doses:
    """Read the concentrations of a platemap.

    Parameters
    ----------
    cells
        Text or None; those of `BLANK` are empty.
    column
        Name of the column, which may end in a unit; None: there are no concentrations.
    units
        A unit per row (text or None), or None.
    wanted
        Unit of the result (`index.unit`). None takes the unit of most rows.
    where
        The platemap, for messages.
    keys
        How a person names another column and the unit, for messages.

    Raises
    ------
    ValueError
        A cell is no number or is negative; a unit is unknown, contradicts another, or cannot be converted.
    """
    if column is None:
        return Doses(np.full(len(cells), np.nan), None)
    if wanted is not None:
        wanted = _known([wanted], keys[1])[0]
    numbers, of_cells = _numbers(cells, column, where, keys[0])
    of_name = dose_units.of_name(column)[1]
    stated = _stated(numbers, of_cells, units, of_name, where)
    used = [unit for number, unit in zip(numbers, stated, strict=True) if number and unit]
    bare = sum(bool(number) and unit is None for number, unit in zip(numbers, stated, strict=True))
    if used and bare:
        raise ValueError(
            f"{where}: expected a unit for all concentrations, found none in {bare} rows, {sorted(set(used))} in others"
        )
    unit = wanted or (max(sorted(set(used)), key=used.count) if used else of_name)
    try:
        values = [_value(number, each, unit) for number, each in zip(numbers, stated, strict=True)]
    except ValueError as error:
        raise ValueError(
            f"{where}: expected concentrations in one unit, found that {error} (write them in units of one kind; "
            "leave the cells of controls empty)"
        ) from error
    return Doses(np.asarray(values, dtype=np.float64), unit)


def _value(number: Decimal | None, stated: str | None, unit: str | None) -> float:
    if number is None:
        return float("nan")
    return dose_units.converted(number, stated, unit) if stated and unit else float(number)


def _numbers(cells: pd.Series, column: str, where: str, key: str) -> tuple[list[Decimal | None], list[str | None]]:
    numbers: list[Decimal | None] = []
    units: list[str | None] = []
    wrong: dict[str, str] = {}
    for cell in cells:
        number, unit = None, None
        if cell is not None and not pd.isna(cell) and str(cell).strip().casefold() not in BLANK:
            try:
                number, unit = dose_units.parse(str(cell))
            except ValueError as error:
                wrong[str(cell)] = str(error)
        numbers.append(number)
        units.append(unit)
    for text in dose_units.two_readings(
        [str(cell).strip() for cell in cells if cell is not None and not pd.isna(cell)]
    ):
        wrong.setdefault(text, f"{text!r} may be {text.replace('.', '')}, since other cells have decimal commas")
    if wrong:
        reason = next(iter(wrong.values()))
        raise ValueError(
            f"{where}: expected numbers as concentrations, found {sorted(wrong)[:10]} in column {column!r} ({reason}; "
            f"correct them, leave cells without a concentration empty, or name another column in {key})"
        )
    below = sorted({float(number) for number in numbers if number is not None and number < 0})
    if below:
        raise ValueError(
            f"{where}: expected concentrations of 0 or more, found {below[:10]} in column {column!r} (logarithms? "
            "write the concentrations themselves)"
        )
    return numbers, units


def _stated(
    numbers: Sequence[Decimal | None],
    of_cells: Sequence[str | None],
    units: pd.Series | None,
    of_name: str | None,
    where: str,
) -> list[str | None]:
    """Return the unit of each row: of its cell, or its row of the column of units, or the column's name."""
    of_rows: list[str | None] = [None] * len(numbers)
    if units is not None:
        texts = [None if unit is None or pd.isna(unit) else str(unit) for unit in units]
        of_rows = _known(texts, where)
    result: list[str | None] = []
    for number, cell, row in zip(numbers, of_cells, of_rows, strict=True):
        if number is not None and cell and row and cell != row:
            raise ValueError(
                f"{where}: expected one unit per concentration, found {cell} in the cell and {row} in its row"
            )
        if number is not None and cell and of_name and dose_units.UNITS[cell][0] != dose_units.UNITS[of_name][0]:
            raise ValueError(
                f"{where}: expected {of_name} as in the column's name, found {cell} in a cell: write the number alone, "
                "or name the column without a unit"
            )
        result.append(cell or row or of_name)
    if of_name and units is not None:
        other = {unit for number, unit in zip(numbers, of_rows, strict=True) if number and unit} - {of_name}
        if other:
            raise ValueError(f"{where}: expected {of_name} as in the column's name, found the units {sorted(other)}")
    return result


def _known(texts: Sequence[str | None], where: str) -> list[str | None]:
    found = {text: dose_units.known(text) for text in texts if text}
    unknown = sorted(text for text, unit in found.items() if unit is None)
    if unknown:
        raise ValueError(f"{where}: expected a unit of {list(dose_units.UNITS)}, found {unknown[:10]}")
    return [found[text] if text else None for text in texts]
