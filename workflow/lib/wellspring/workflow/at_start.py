"""Refuse a run whose platemaps, sheet and config contradict each other, before its first job.

Readers of single plates find the errors of one plate. This module finds those that only all plates together show, which
would otherwise stop a run after hours, in the stages that join plates.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.index import run as index
from wellspring.index import times
from wellspring.io import keys
from wellspring.io.tables import schema
from wellspring.screen import platemap, treatments
from wellspring.screen.sections import Config
from wellspring.workflow import foresight


def contradictions(sheet: Sequence[Mapping[str, str]], config: Config, *, indexed: bool) -> list[str]:
    """Return what is wrong between platemaps, sheet and config.

    Parameters
    ----------
    sheet
        Rows of the plate sheet, expanded by time point. A platemap that cannot be read is left to the plate's own job,
        which names the fault.
    config
        The complete config.
    indexed
        Whether a plate is to be indexed in this run. If not, platemaps are read only if a key names a column that not
        every screen has.
    """
    usual = pd.DataFrame(columns=[*schema("profile")["columns"], *_of_sheet(sheet)])
    if not indexed and not foresight.unknown_columns([usual], config):
        return []
    frames, whole = [], True
    for row in sheet:
        try:
            frame = platemap.of_plate(Path(row["platemap"]), plate=times.imaged(row), options=config.index).frame
        except (ValueError, OSError):
            whole = False
        else:
            frames.append(frame.assign(Metadata_Plate=row["plate"]))
    found = []
    if frames:
        try:
            treatments.check_units(pd.concat(frames, ignore_index=True))
        except ValueError as error:
            found.append(f"platemaps: {error}")
    if frames and whole:
        found += foresight.unknown_columns([*frames, usual], config)
    return found


def _of_sheet(sheet: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the columns that profiles have from the sheet."""
    columns = {column for row in sheet for column in row}
    found = [index.SHEET.get(column, f"Metadata_{column.removeprefix('Metadata_')}") for column in sorted(columns)]
    timed = any(row.get("timepoint") for row in sheet)
    return [name for name in (*found, keys.TIME if timed else None) if name]
