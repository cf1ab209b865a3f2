"""Sentences about a profile table that may be read wrongly: no controls, and wells pooled as replicates that differ."""

from collections.abc import Collection

import pandas as pd

from wellspring.api.score_columns import DMSO, OWN
from wellspring.screen import platemap_parts, well_types


def without_controls(frame: pd.DataFrame) -> str:
    """Return a sentence about a table without negative controls: which wells may be some, and how to name them."""
    treated = frame.loc[frame["Metadata_pert_type"] == "trt", "Metadata_Compound"]
    counts, missing = treated.value_counts(), int(frame["Metadata_Compound"].isna().sum())
    near = well_types.near(DMSO, counts.index.astype(str))
    said = [f"perhaps --controls {' '.join(repr(name) for name in near[:5])}"] if near else []
    said.append(f"the commonest compounds are {[f'{name} ({count} wells)' for name, count in counts.head(5).items()]}")
    if missing:
        said.append(f"{missing} wells have no compound, which `--controls COLUMN=` takes for controls")
    return "; ".join(["no negative controls: activity and grit are undefined", *said])


def pooled(frame: pd.DataFrame, *, shared: Collection[str] = ()) -> str | None:
    """Return a sentence about columns in which wells of one treatment differ, as doses under an odd name, or None.

    Plates, positions, cell lines, batches and the columns `shared` (of `--replicates-share`) are left out.
    """
    known = {*(f"Metadata_{name}" for name in (*OWN, "Cell_Line", "Concentration_Unit")), *shared}
    copied = [frame[name] for name in ("Metadata_Cell_Line", "Metadata_Batch", *shared) if name in frame]
    columns = [one for one in frame if one.startswith("Metadata_") and one not in known]
    columns = [one for one in columns if not any(frame[one].equals(other) for other in copied)]
    found = platemap_parts.differing(frame, [one for one in columns if not platemap_parts.is_dose(frame, one)])
    if not found:
        return None
    parts = [
        f"Metadata_{name} ({', '.join(part.values)} for {part.treatment})" for name, part in list(found.items())[:5]
    ]
    return (
        f"wells of one treatment, which count as replicates, differ in {'; '.join(parts)}: --dose names the column of "
        "concentrations, --replicates-share columns in which replicates agree"
    )
