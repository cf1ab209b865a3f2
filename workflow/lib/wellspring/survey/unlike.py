"""Planes that differ from most of their plate in size, data type or number of pages."""

import pandas as pd

from wellspring.io.notes import Note


def unlike(rows: pd.DataFrame, *, alone: pd.Series) -> pd.DataFrame:
    """Give the status ``shape`` or ``dtype`` to planes that differ from most of the plate.

    Where most files have one page, a file of several pages that the index lists once (``alone``) is of another kind.
    """
    rows = rows.copy()
    read = rows[rows["status"] == "ok"]
    if (read["pages"] == 1).mean() > 0.5:
        for number, pages in read.loc[(read["pages"] > 1) & alone[read.index], "pages"].items():
            rows.loc[number, ["status", "reason"]] = ["shape", str(Note("several_pages", {"pages": int(pages)}))]
    for columns, status in ((["height", "width"], "shape"), (["dtype"], "dtype")):
        read = rows[rows["status"] == "ok"]
        if read.empty:
            continue
        usual = read[columns].value_counts().sort_index().idxmax()
        for number, values in zip(read.index, read[columns].itertuples(index=False, name=None), strict=True):
            if values != usual:
                found, most = (" x ".join(str(value).removesuffix(".0") for value in pair) for pair in (values, usual))
                note = Note(f"other_{status}", {"found": found, "usual": most})
                rows.loc[number, ["status", "reason"]] = [status, str(note)]
    return rows
