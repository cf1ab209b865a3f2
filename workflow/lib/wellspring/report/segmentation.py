"""Fields whose segmentation is implausible, as sentences of the first screen and as pictures."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from wellspring.cells.plausible import COLUMN, of_field
from wellspring.io import sealed, tables
from wellspring.io.keys import SITE_KEY
from wellspring.io.ngff import open_labels
from wellspring.io.notes import dumps
from wellspring.io.phrases import count
from wellspring.report import overlays
from wellspring.report.checks import Statement, cut
from wellspring.report.gather import Screen
from wellspring.report.pictures import Picture
from wellspring.report.wording import worded

PICTURES = 12  # of implausible fields in a page


def fields(screen: Screen) -> pd.DataFrame:
    """Return one row per field with a note: the columns of `SITE_KEY` and the notes on the field as text."""
    found = [_fields(path) for path in screen.cell_files.values()]
    full = [frame for frame in found if len(frame)]
    return pd.concat(full, ignore_index=True) if full else pd.DataFrame(columns=[*SITE_KEY, COLUMN])


def statements(noted: pd.DataFrame) -> list[Statement]:
    """Return the sentence about implausible fields; `noted` as `fields` returns them."""
    if noted.empty:
        return []
    wells = noted[SITE_KEY[:2]].drop_duplicates()
    lines = [
        f"{row[SITE_KEY[0]]} {row[SITE_KEY[1]]}, site {row[SITE_KEY[2]]}: {worded(row[COLUMN])}"
        for row in noted.to_dict("records")
    ]
    text = f"The segmentation of {count(len(noted), 'field')} in {count(len(wells), 'well')} is implausible."
    return [Statement(text, "cells", cut(lines))]


def pictures(screen: Screen, noted: pd.DataFrame, *, limit: int = PICTURES) -> list[Picture]:
    """Return the outlined fields of the first `limit` rows of `noted` that have images and labels."""
    shown = []
    for row in noted.head(limit).to_dict("records"):
        plate, well, site = (str(row[name]) for name in SITE_KEY)
        if plate in screen.label_files and plate in screen.image_files:
            labels = open_labels(screen.label_files[plate].parent)
            shown.append(overlays.field(screen, labels, plate, well, site, words=[worded(row[COLUMN])]))
    return shown


def _fields(path: Path) -> pd.DataFrame:
    sealed.seal(path)
    if COLUMN not in pq.read_schema(path).names:
        return pd.DataFrame(columns=[*SITE_KEY, COLUMN])
    rows = tables.read(path, [*SITE_KEY, COLUMN]).drop_duplicates(SITE_KEY)
    own = rows[COLUMN].fillna("").map(lambda text: dumps(of_field(text)))
    return rows.assign(**{COLUMN: own})[own != ""]
