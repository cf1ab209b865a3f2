"""Tables that people open in a spreadsheet: text that a spreadsheet would run as a formula is shown as text."""

import pandas as pd

# Excel, LibreOffice and Google Sheets take a cell that begins so for a formula, which may read files or call programs.
FORMULA = r"^\s*[=+\-@]"
NUMBER = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table for people: an apostrophe before each text that begins like a formula and is not a number.

    Examples
    --------
    >>> table = pd.DataFrame({"compound": ["=1+1", "-3.5", "(-)-nicotine"], "dose": [1.0, -2.0, 3.0]})
    >>> as_text(table)["compound"].tolist()
    ["'=1+1", '-3.5', '(-)-nicotine']
    """
    shown = frame.copy()
    for name in shown.columns:
        if shown[name].dtype == object or isinstance(shown[name].dtype, pd.StringDtype | pd.CategoricalDtype):
            text = shown[name].map(lambda value: value if isinstance(value, str) else None)
            like = text.str.contains(FORMULA, na=False) & ~text.str.contains(NUMBER, na=False)
            shown[name] = shown[name].astype(object).where(~like, "'" + text.fillna(""))
    return shown.rename(columns=lambda name: f"'{name}" if str(name).startswith(("=", "+", "-", "@")) else name)
