"""Profile tables of other tools: reading the rows of a plate, with named features.

CellProfiler, pycytominer, JUMP and DeepProfiler write one row per well, site or cell, with columns `Metadata_*` and
numbers. The keys are read first and checked. The numbers are read in blocks and sorted by key through a temporary file,
so that memory does not grow with the number of cells. All other metadata comes from the index of the plate.
"""

import logging
import os
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from wellspring.encoders.table_columns import VALUES, numbers, texts
from wellspring.encoders.table_features import Choice, choose
from wellspring.encoders.table_format import Source, open_source
from wellspring.encoders.table_keys import keys_of, refuse_times, wells_of
from wellspring.encoders.table_values import readable, refuse_copies, row_numbers
from wellspring.io import provenance
from wellspring.io.disk import filling
from wellspring.io.tables import Verdict
from wellspring.screen.lookalikes import tidy

logger = logging.getLogger(__name__)

ORDER = ["Metadata_Well", "Metadata_Site", "Metadata_View"]


@dataclass(frozen=True)
class Foreign:
    """The rows of one plate in a table of another tool.

    Attributes
    ----------
    source
        The file.
    rows
        One row per view in key order, with the columns of the table `embed`; its index is the row in the file.
    features
        The numeric columns that become the vectors, in the order of the file.
    verdict
        Not keep where the file has no row of the plate.
    origin
        For the provenance: name and digest of the file, the rule by which features were chosen and the numeric columns
        that were not, and wells that only the table or only the platemap has.
    """

    source: Source
    rows: pd.DataFrame
    features: list[str]
    verdict: Verdict
    origin: Mapping[str, object]

    def parts(self, folder: str | Path) -> Iterator[tuple[pd.DataFrame, np.ndarray]]:
        """Yield rows and their vectors (rows, d) float32 in key order; sorts through a temporary file in `folder`.

        Raises
        ------
        ValueError
            A value is not a number; names the column.
        """
        width = len(self.features)
        place = pd.Series(np.arange(len(self.rows)), index=self.rows.index)
        with filling(Path(folder) / "temporary file"), tempfile.TemporaryFile(dir=folder) as spool:
            for start, block in numbers(self.source, self.features, wanted=self.rows.index.to_numpy()):
                there = place.reindex(range(start, start + len(block)), fill_value=-1).to_numpy()
                block, there = block[there >= 0], there[there >= 0]
                # Consecutive rows are written at once.
                for run in np.split(np.arange(len(there)), np.flatnonzero(np.diff(there) != 1) + 1):
                    if len(run):
                        os.pwrite(spool.fileno(), block[run[0] : run[-1] + 1].tobytes(), int(there[run[0]]) * width * 4)
            step = max(VALUES // max(width, 1), 1)
            for start in range(0, len(self.rows), step):
                rows = self.rows.iloc[start : start + step]
                raw = os.pread(spool.fileno(), len(rows) * width * 4, start * width * 4)
                yield rows.reset_index(drop=True), np.frombuffer(raw, dtype=np.float32).reshape(-1, width)


def open_table(
    path: str | Path,
    *,
    plate: str,
    wells_of_plate: Collection[str],
    kind: str = "well",
    columns: Mapping[str, str] | None = None,
    features: Sequence[str] = (),
    one_plate: bool = False,
    lost_wells: str = "error",
) -> Foreign:
    """Read and check the keys of a table of another tool.

    Parameters
    ----------
    path
        A table of a format that :mod:`wellspring.encoders.table_format` knows; a folder of DeepProfiler's files.
    plate, wells_of_plate
        The plate, and the wells of its index.
    kind
        What a row is: `well`, `tile` (needs a column of sites) or `cell`.
    columns
        Key of `KEYS` to the name of the column, where it differs.
    features
        Regular expressions, from the start of a name; without any, see :mod:`wellspring.encoders.table_features`.
    one_plate
        Whether a table without a column of plates is of this plate.
    lost_wells
        For wells that the index lacks. `error`: refuse them; `report`: leave out their rows, and list them.

    Raises
    ------
    ValueError
        A format that is not taken; a column is missing, duplicated or not numeric; a row has no well; a well name is
        invalid or not in the index; or a row is duplicated.
    """
    path = Path(path)
    source = open_source(path)
    keys = keys_of(source.schema.names, columns or {}, path, kind=kind, one_plate=one_plate)
    chosen = chosen_features(source, keys=list(keys.values()), patterns=features)
    read = texts(source, list(dict.fromkeys(keys.values())))
    looks = {name: {cell: tidy(cell) for cell in read[name].dropna().unique()} for name in set(keys.values())}
    frame = pd.DataFrame({key: read[name].map(looks[name]).astype(object) for key, name in keys.items()})
    found = sorted(frame["plate"].dropna().unique()) if "plate" in frame else [plate]
    if "plate" in frame:
        if frame["plate"].isna().any():
            gaps = int(frame["plate"].isna().sum())
            raise ValueError(f"{path}: expected a plate in each row, found none in {gaps} rows")
        frame = frame[frame["plate"] == plate].copy()
    where = f"{path}: plate {plate}"
    frame["well"] = wells_of(frame, where)
    refuse_times(frame, keys.get("time"), where)
    strange = sorted(set(frame["well"]) - set(wells_of_plate))
    if strange:
        message = f"{where}: {len(strange)} wells are not in the platemap: {strange}"
        if lost_wells == "error":
            raise ValueError(f"{message} (index.lost_wells: report leaves out their rows)")
        logger.warning("%s: left out", message)
        frame = frame[~frame["well"].isin(strange)]
    rows = _rows(frame, plate=plate, kind=kind, where=where)
    absent = sorted(set(wells_of_plate) - set(rows["Metadata_Well"]))
    verdict = Verdict()
    if plate not in found:
        verdict = verdict.because(f"{path.name} has no row of plate {plate}, it has those of {found[:10]}")
    elif absent:
        logger.warning("%s: plate %s: %d wells of the platemap have no row: %s", path, plate, len(absent), absent)
    logger.info("%s: plate %s: %d rows of %d features", path, plate, len(rows), len(chosen.names))
    origin = {"file": path.name, "sha256": _digest(path), "left_out": strange, "absent": absent, **chosen.origin}
    return Foreign(source, rows, list(chosen.names), verdict, origin)


def chosen_features(source: Source, *, keys: Collection[str], patterns: Sequence[str] = ()) -> Choice:
    """Return the features of a table, and log the rule and what it left; see `wellspring.encoders.table_features`."""
    form = readable(source, keys=keys, patterns=patterns)
    chosen = choose(form, keys=keys, patterns=patterns, where=source.path)
    if chosen.rule == "numeric":
        counters = row_numbers(source, chosen.names)
        if counters:
            fewer = pa.schema([one for one in form if one.name not in counters])
            kept = choose(fewer, keys=keys, where=source.path)
            left = tuple(name for name in source.schema.names if name in {*kept.left, *counters})
            chosen = replace(kept, left=left)
    refuse_copies(source, chosen.names)
    logger.info("%s: %d features by the rule %r", source.path, len(chosen.names), chosen.rule)
    if chosen.left:
        few = f"{list(chosen.left[:20])}{' and others' if len(chosen.left) > 20 else ''}"
        logger.warning("%s: %d numeric columns are not features: %s", source.path, len(chosen.left), few)
    return chosen


def _digest(path: Path) -> str:
    """Return the sha256 of a file, or of the names and digests of a folder's files."""
    if path.is_file():
        return provenance.file_digest(path)
    return provenance.digest({str(one.relative_to(path)): provenance.file_digest(one) for one in path.rglob("*.npz")})


def _rows(frame: pd.DataFrame, *, plate: str, kind: str, where: str) -> pd.DataFrame:
    """Return the columns of the table `embed` in key order; refuse duplicates."""
    site = frame["site"] if "site" in frame else pd.Series("", index=frame.index, dtype=object)
    if site.isna().any():
        raise ValueError(f"{where}: expected a site in each row, found none in {int(site.isna().sum())} rows")
    rows = pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": frame["well"], "Metadata_Site": site})
    if "view" in frame:
        numbers = pd.to_numeric(frame["view"], errors="coerce")
        odd = numbers.isna() | (numbers % 1 != 0)
        if odd.any():
            raise ValueError(f"{where}: expected whole numbers of cells, found {frame.loc[odd, 'view'].tolist()[:5]}")
        rows["Metadata_View"] = numbers.astype("int32")
    elif kind == "well":
        rows["Metadata_View"] = np.int32(1)
    else:  # numbered in file order, so that duplicated cells are not detected
        rows["Metadata_View"] = rows.groupby(["Metadata_Well", "Metadata_Site"]).cumcount().astype("int32") + 1
    doubled = rows.loc[rows.duplicated(ORDER), "Metadata_Well"].unique().tolist()
    if doubled:
        hint = " (view.kind: cell or tile aggregates several rows)" if kind == "well" else ""
        raise ValueError(f"{where}: expected each {kind} once, found more in the wells {sorted(doubled)[:10]}{hint}")
    return rows.assign(Metadata_Center_Y=np.nan, Metadata_Center_X=np.nan).sort_values(ORDER, kind="stable")
