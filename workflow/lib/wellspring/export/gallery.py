"""Folders of the Cell Painting Gallery: writes profiles, platemaps and flat fields under its file names.

The layout is that of broadinstitute/cellpainting-gallery (documentation/data_structure.md): classical features lie in
`workspace/profiles`, learned ones in `workspace_dl`. Metadata is text throughout and features are float32, as in the
published tables of JUMP.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from wellspring.illumination import lightpath
from wellspring.io.tables import atomic, features

# Columns that have another name in the gallery's conventions.
NAMES = {
    "Metadata_Compound": "Metadata_pert_iname",
    "Metadata_Perturbation": "Metadata_broad_sample",
    "Metadata_target": "Metadata_target_list",
    "Metadata_Count_Cells": "Metadata_Object_Count",
}
# Columns of a platemap, in its order, and where they come from.
PLATEMAP = {
    "well_position": "Metadata_Well",
    "broad_sample": "Metadata_Perturbation",
    "pert_iname": "Metadata_Compound",
    "concentration": "Metadata_Concentration",
    "pert_type": "Metadata_pert_type",
    "moa": "Metadata_moa",
    "target_list": "Metadata_target",
    "cell_line": "Metadata_Cell_Line",
}
KEY = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_Well"]


def conventional(profiles: pd.DataFrame, *, source: str) -> pd.DataFrame:
    """Return profiles under the conventions' names: metadata as text or null, the key first, features float32."""
    names = features(profiles)
    metadata = profiles.drop(columns=names).rename(columns=NAMES).assign(Metadata_Source=source)
    metadata = pd.DataFrame({name: _text(column) for name, column in metadata.items()}, index=profiles.index)
    first = [name for name in KEY if name in metadata]
    metadata = metadata[first + [name for name in metadata if name not in first]]
    return pd.concat([metadata, profiles[names].astype("float32")], axis=1)


def write_platemaps(wells: Mapping[str, pd.DataFrame], folder: Path, *, batches: Mapping[str, str]) -> None:
    """Write `barcode_platemap.csv` and one platemap per plate, batch by batch, and the annotation of each perturbation.

    Parameters
    ----------
    wells
        Plate -> one row per well, as `profile.wells_of` gives them.
    folder
        `<source>/workspace/metadata`.
    batches
        Plate -> batch.
    """
    known = []
    for batch in sorted(set(batches.values())):
        place = folder / "platemaps" / batch
        (place / "platemap").mkdir(parents=True, exist_ok=True)
        plates = [plate for plate in wells if batches[plate] == batch]
        barcodes = pd.DataFrame({"Assay_Plate_Barcode": plates, "Plate_Map_Name": plates})
        with atomic(place / "barcode_platemap.csv") as temporary:
            barcodes.to_csv(temporary, index=False)
        for plate in plates:
            table = pd.DataFrame({name: wells[plate][column] for name, column in PLATEMAP.items()})
            table.insert(0, "plate_map_name", plate)
            with atomic(place / "platemap" / f"{plate}.txt") as temporary:
                table.to_csv(temporary, sep="\t", index=False)
            known.append(table[["broad_sample", "pert_iname", "moa", "target_list"]])
    about = pd.concat(known).dropna(subset=["broad_sample"]).drop_duplicates().sort_values("broad_sample")
    (folder / "external_metadata").mkdir(parents=True, exist_ok=True)
    with atomic(folder / "external_metadata" / "external_metadata.tsv") as temporary:
        about.to_csv(temporary, sep="\t", index=False)


def write_classical(
    folder: Path,
    *,
    plate: str,
    batch: str,
    source: str,
    aggregated: pd.DataFrame,
    normalised: pd.DataFrame | None,
    kept: list[str],
) -> None:
    """Write a plate of classical features as CSV: without and with metadata, normalised on controls, features selected.

    `folder` is `<source>/workspace/profiles`, `kept` names the selected features. A plate that could not be normalised
    has the first two.
    """
    place = folder / batch / plate
    place.mkdir(parents=True, exist_ok=True)
    whole = conventional(aggregated, source=source)
    bare = [name for name in whole if name in ("Metadata_Plate", "Metadata_Well") or not name.startswith("Metadata_")]
    _csv(whole[bare], place / f"{plate}.csv.gz")
    _csv(whole, place / f"{plate}_augmented.csv.gz")
    if normalised is not None:
        table = conventional(normalised, source=source)
        _csv(table, place / f"{plate}_normalized_negcon.csv.gz")
        dropped = set(features(table)) - set(kept)
        _csv(table.drop(columns=list(dropped)), place / f"{plate}_normalized_feature_select_negcon_all.csv.gz")


def write_table(profiles: pd.DataFrame, path: Path, *, source: str) -> None:
    """Write profiles as one Parquet file of text and float32."""
    with atomic(path) as temporary:
        conventional(profiles, source=source).to_parquet(temporary, index=False)


def write_illumination(path: Path, folder: Path, *, plate: str, batch: str) -> None:
    """Write the flat field of a plate's light path, `path`, as `<plate>_Illum<Channel>.npy` under `<source>/images`."""
    place = folder / batch / "illum" / plate
    place.mkdir(parents=True, exist_ok=True)
    lightpath.export(place, lightpath.load(path), plate=plate)


def _text(column: pd.Series) -> pd.Series:
    """Return a column as text: whole numbers without a point, null where there is nothing."""
    return pd.Series([None if pd.isna(value) else str(value) for value in column], index=column.index, dtype=object)


def _csv(table: pd.DataFrame, path: Path) -> None:
    # Nine digits give a float32 back; without a time in the file the same table gives the same bytes.
    with atomic(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", compression={"method": "gzip", "mtime": 0})
