"""Read everything that the report shows, once. Input: paths of the stages' tables. Output: one `Screen`.

Any list may be empty and any plate may be left out: missing tables give empty frames, never an error. Only the
columns that are shown are read of the large tables, and indexes are counted by well, so that a hundred plates fit in
memory.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from wellspring.align.alignment import Alignment
from wellspring.io import tables
from wellspring.io.keys import PLANE_KEY, WELL_KEY
from wellspring.io.notes import Note, loads
from wellspring.io.tables import Verdict
from wellspring.report import dropped, plate_verdicts, runtime
from wellspring.report.files import as_list, assign
from wellspring.report.wording import words

Record = dict[str, Any]  # one row of a table or one drawing of the page, as its template reads it
Paths = str | Path | Iterable[str | Path] | None

PLATE_TABLES = ("index", "audit", "survey", "intensity", "cells", "crop_tables")
ENCODER_TABLES = ("history", "aligned", "consensus", "per_item", "summary", "features", "cell_tests", "chosen_cells")
NOT_IN_PROFILES = Note("not_in_profiles")
LEVELS = ("aggregated", "normalised", "aligned")
COLUMNS = {
    "cells": [*WELL_KEY, "Metadata_Flags"],
    "survey": [*PLANE_KEY, *(f"Metadata_{name}" for name in ("Status", "Verdict", "Reason"))]
    + ["Metadata_Ceiling", "quantile_0.5", "saturated", "focus", "sharpness", "foreground"],
}


@dataclass(frozen=True)
class Screen:
    """What a screen's stages wrote; frames have the columns of their tables and are empty where nothing was made."""

    plates: tuple[str, ...]
    encoders: tuple[str, ...]
    channels: tuple[str, ...]
    sheet: pd.DataFrame  # one row per plate, as in the sheet
    verdicts: dict[str, Verdict]
    dropped: pd.DataFrame  # one row per plate and stage that left it out, see `dropped.read`
    wells: pd.DataFrame  # one row per well of the index: well columns, Planes (found), Missing
    audit: pd.DataFrame
    survey: pd.DataFrame  # Row is the row of the plate's binned views
    intensity: pd.DataFrame
    cells: pd.DataFrame  # one row per plate and well: Cells
    flags: pd.DataFrame  # one row per plate and set of flags: Cells
    crops: dict[str, pd.DataFrame]  # plate -> crop table
    crop_files: dict[str, Path]
    view_files: dict[str, Path]
    image_files: dict[str, Path]  # plate -> zarr.json of its corrected pixels
    label_files: dict[str, Path]  # plate -> zarr.json of its label images
    cell_files: dict[str, Path]
    illumination: dict[str, Path]  # light path -> file
    cards: dict[str, Record]
    history: dict[str, pd.DataFrame]
    aligned: dict[str, pd.DataFrame]
    consensus: dict[str, pd.DataFrame]
    normalised: dict[str, tuple[Path, ...]]  # encoder -> tables of single plates, before alignment
    features: dict[str, pd.DataFrame]
    fit_notes: dict[str, tuple[Note, ...]]  # encoder -> notes of its profiles and their alignment
    items: pd.DataFrame  # with Encoder
    summary: pd.DataFrame  # with Encoder
    cell_tests: dict[str, pd.DataFrame]  # encoder -> tests of single cells, where they are wanted
    chosen_cells: dict[str, pd.DataFrame]  # encoder -> the cells that are pictured
    sources: pd.DataFrame  # one row per table: Stage, Name, Rows, Digest and its provenance
    jobs: pd.DataFrame  # one row per timed job, see `runtime.read`
    seed: int | None = None
    shared: tuple[str, ...] = ()  # columns that replicates of a treatment share (`evaluate.replicates_share`)

    @property
    def kept(self) -> tuple[str, ...]:
        """The plates whose verdict is keep."""
        return tuple(plate for plate in self.plates if self.verdicts[plate].keep)

    @property
    def left_out(self) -> tuple[str, ...]:
        """The plates that were left out of the results."""
        return tuple(plate for plate in self.plates if not self.verdicts[plate].keep)


def gather(
    inputs: Mapping[str, Paths],
    *,
    plates: Sequence[str],
    encoders: Sequence[str],
    channels: Sequence[str],
    sheet: Sequence[Mapping[str, object]] = (),
    seed: int | None = None,
    benchmarks: str | Path | None = None,
    logs: str | Path | None = None,
    shared: Sequence[str] = (),
) -> Screen:
    """Read a screen.

    Parameters
    ----------
    inputs
        Lists of paths by name: of `PLATE_TABLES` and `ENCODER_TABLES`, `views`, `crops` (npy), `illumination` (npz),
        `images` and `labels` (the `zarr.json` of stored plates),
        `cards` (json), `fits` (npz), and `tables` (normalised profiles of single plates, for their verdicts and for the
        map before alignment). Any may be absent.
    plates, encoders, channels
        Names, in the order in which they are shown. Lists of paths are parallel to them, or matched by name.
    sheet
        The plate sheet's rows.
    benchmarks
        The folder of the jobs' run times; None without one.
    logs
        The folder of the jobs' logs; None without one.
    shared
        Columns that replicates of a treatment share, as `evaluate.replicates_share`.
    """
    by_plate = {name: assign(inputs.get(name), plates) for name in PLATE_TABLES}
    by_encoder = {name: assign(inputs.get(name), encoders) for name in ENCODER_TABLES}
    judged = [path for files in by_plate.values() for path in files.values()] + as_list(inputs.get("tables"))
    read = {name: {plate: _read(path, name) for plate, path in files.items()} for name, files in by_plate.items()}
    coded = {name: {code: tables.read(path) for code, path in files.items()} for name, files in by_encoder.items()}
    rows, cells = pd.DataFrame([dict(row) for row in sheet]), _join(read["cells"].values())
    return Screen(
        plates=tuple(plates),
        encoders=tuple(encoders),
        channels=tuple(channels),
        sheet=rows if "plate" in rows else pd.DataFrame({"plate": list(plates)}),
        verdicts=_verdicts(plate_verdicts.collect(judged, plates=plates), coded["aligned"]),
        dropped=dropped.read(judged, plates=plates, encoders=encoders, logs=logs),
        wells=_join(read["index"].values()),
        audit=_join(read["audit"].values()),
        survey=_join(frame.assign(Row=range(len(frame))) for frame in read["survey"].values()),
        intensity=_join(read["intensity"].values()),
        cells=_together(cells, WELL_KEY),
        flags=_together(cells, [PLANE_KEY[0], "Metadata_Flags"]),
        crops=read["crop_tables"],
        crop_files=assign(inputs.get("crops"), plates),
        view_files=assign(inputs.get("views"), plates),
        image_files=assign(inputs.get("images"), plates),
        label_files=assign(inputs.get("labels"), plates),
        cell_files=by_plate["cells"],
        illumination={path.name.removesuffix(".npz"): path for path in as_list(inputs.get("illumination"))},
        cards={name: json.loads(path.read_text()) for name, path in assign(inputs.get("cards"), encoders).items()},
        history=coded["history"],
        aligned=coded["aligned"],
        consensus=coded["consensus"],
        normalised={
            name: tuple(path for path in as_list(inputs.get("tables")) if path.parent.name == name) for name in encoders
        },
        features=coded["features"],
        fit_notes={
            name: (*_decided(as_list(inputs.get("tables")), name), *Alignment.load(path).notes)
            for name, path in assign(inputs.get("fits"), encoders).items()
        },
        items=_join(frame.assign(Encoder=name) for name, frame in coded["per_item"].items()),
        summary=_join(frame.assign(Encoder=name) for name, frame in coded["summary"].items()),
        cell_tests=coded["cell_tests"],
        chosen_cells=coded["chosen_cells"],
        sources=_sources({**by_plate, **by_encoder}),
        jobs=runtime.read(benchmarks, names=[*plates, *encoders, *pick(rows, "optics").dropna()]),
        seed=seed,
        shared=tuple(shared),
    )


def _decided(paths: Sequence[Path], encoder: str) -> tuple[Note, ...]:
    """Return what was decided about an encoder's profiles (`wellspring.profile.decisions`), each note once."""
    mine = [tables.provenance(path) for path in paths if path.parent.name == encoder]
    return tuple(dict.fromkeys(note for found in mine for note in loads(str(found.get("decided", "")))))


def ordered_levels(found: Sequence[str]) -> list[str]:
    """Return the profile levels in the order of the flow, unknown ones last."""
    unique = sorted(set(found))
    return [level for level in LEVELS if level in unique] + [level for level in unique if level not in LEVELS]


def chosen_level(screen: Screen, wanted: str) -> str:
    """Return the profile level whose scores are shown first: the wanted one, or the last that was scored."""
    found = ordered_levels(screen.summary["Metadata_Level"].astype(str).tolist()) if len(screen.summary) else []
    return wanted if wanted in found or not found else found[-1]


def pick(frame: pd.DataFrame, name: str, default: object = None) -> pd.Series:
    """Return a column, or a column of the default where the frame has none."""
    return frame[name] if name in frame else pd.Series([default] * len(frame), index=frame.index, dtype=object)


def _verdicts(found: dict[str, Verdict], aligned: dict[str, pd.DataFrame]) -> dict[str, Verdict]:
    """Return the verdicts; a plate that is in no encoder's joined profiles counts as left out."""
    joined = {plate for frame in aligned.values() for plate in pick(frame, "Metadata_Plate")}
    absent = [plate for plate, one in found.items() if one.keep and aligned and plate not in joined]
    return found | {plate: found[plate].because(words(NOT_IN_PROFILES)) for plate in absent}


def _read(path: Path, name: str) -> pd.DataFrame:
    """Return a plate's table as it is shown: index and cells as counts by well, the survey without most quantiles."""
    names = set(pq.read_schema(path).names)  # a finished table of an earlier version lacks columns
    frame = tables.read(path, [column for column in COLUMNS[name] if column in names] if name in COLUMNS else None)
    return _wells(frame) if name == "index" else _cells(frame) if name == "cells" else frame


def _join(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    full = [frame for frame in frames if len(frame)]
    return pd.concat(full, ignore_index=True) if full else pd.DataFrame()


def _wells(index: pd.DataFrame) -> pd.DataFrame:
    """Return one row per well of an index table, with the number of planes found and missing."""
    if index.empty:
        return index
    wells = index.drop(columns=[name for name in index if name in PLANE_KEY and name not in WELL_KEY]).drop_duplicates(
        WELL_KEY
    )
    # A screen of tables has no images: its wells are of no channel.
    found, expected = index["Metadata_Path"].notna(), index["Metadata_Channel"] != ""
    planes, missing = (some.groupby([index[key] for key in WELL_KEY]).sum() for some in (found, expected & ~found))
    counts = pd.DataFrame({"Planes": planes, "Missing": missing}).reset_index()
    return wells.merge(counts, on=WELL_KEY, how="left")


def _cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the number of cells (`Cells`) per well and set of flags of a table of cells."""
    counted = cells.fillna({"Metadata_Flags": ""}).groupby([*WELL_KEY, "Metadata_Flags"], as_index=False).size()
    return counted.rename(columns={"size": "Cells"})


def _together(cells: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    return cells.groupby(key, as_index=False)["Cells"].sum() if len(cells) else cells


def _sources(files: Mapping[str, Mapping[str, Path]]) -> pd.DataFrame:
    from wellspring.io.provenance import file_digest

    rows = [
        {"Stage": stage, "Name": name, "Rows": pq.read_metadata(path).num_rows, "Digest": file_digest(path)}
        | _origin(path)
        for stage, by_name in files.items()
        for name, path in by_name.items()
    ]
    return pd.DataFrame(rows)


def _origin(path: Path) -> dict[str, object]:
    found = tables.provenance(path)
    return {key: found.get(key) for key in ("version", "commit", "rule", "options", "code", "packages", "seed")}
