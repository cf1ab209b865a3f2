"""Make the folder of a screen from CPJUMP1's image folders (Cell Painting Gallery) and metadata files.

    python -m wellspring.datasets.cpjump1 --images IMAGES --metadata METADATA --out SCREEN

The 24 compound plates of batch 2020_11_04_CPJUMP1 (Chandrasekaran et al., Nature Methods 2024), U2OS and A549, those of
the cell line transferability challenge. Columns, file names and folders are those of the repository
jump-cellpainting/2024_Chandrasekaran_NatureMethods: ``benchmark/output/experiment-metadata.tsv`` (its ``Cell_type`` is
the cell line, its ``Cell_line`` is Parental or Cas9), ``metadata/platemaps/<batch>/barcode_platemap.csv`` and
``platemap/JUMP-Target-1_compound_platemap.txt`` (a well without ``broad_sample`` is DMSO),
``metadata/external_metadata/JUMP-Target-1_compound_metadata.tsv`` (whose last row, without ``broad_sample``, is DMSO).
Images lie as in broadinstitute/cellpainting-gallery ``documentation/data_structure.md``, project cpg0000-jump-pilot:
``<batch>/images/BR00116991__2020-11-05T19_51_35-Measurement1/Images/r01c01f01p01-ch1sk1fk1fl1.tiff``, with ch1 Mito,
ch2 AGP, ch3 RNA, ch4 ER, ch5 DNA and ch6 to ch8 brightfield.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wellspring.datasets import published, screen
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

BATCH = "2020_11_04_CPJUMP1"
EXPERIMENT, BARCODES = "experiment-metadata.tsv", "barcode_platemap.csv"
COMPOUNDS = "JUMP-Target-1_compound_metadata.tsv"
FOLDER = r"(?P<plate>BR[0-9]{8}[A-F]?)(?:__.*)?"
# column of the sheet -> column of the experiment's table
CONDITIONS = {
    "cell_line": "Cell_type",
    "Time": "Time",
    "Density": "Density",
    "Modification": "Cell_line",
    "Antibiotics": "Antibiotics",
    "Anomaly": "Anomaly",
}
NEGCON = "DMSO"
PLATES = 24  # of the challenge


def experiment(path: Path | str, *, batch: str = BATCH) -> pd.DataFrame:
    """Read ``experiment-metadata.tsv``: one row per plate of the batch, indexed by barcode.

    Returns
    -------
    pandas.DataFrame
        Perturbation, Plate_Map_Name and the sheet's columns of conditions (strings).
    """
    columns = ["Batch", "Plate_Map_Name", "Assay_Plate_Barcode", "Perturbation", *CONDITIONS.values()]
    rows = published.table(path, columns=columns, separator="\t")
    published.complete(rows, columns[:4], path)
    mine = rows[rows["Batch"] == batch]
    if mine.empty:
        raise ValueError(f"{path}: expected rows of batch {batch}, found {sorted(rows['Batch'].unique())}")
    published.complete(mine, list(CONDITIONS.values()), path)
    doubled = mine["Assay_Plate_Barcode"].duplicated()
    if doubled.any():
        index = doubled.idxmax()
        barcode = mine.loc[index, "Assay_Plate_Barcode"]
        raise ValueError(f"{path}: line {published.line(index)}: plate {barcode} is there twice in batch {batch}")
    mine = mine.set_index("Assay_Plate_Barcode")
    named = pd.DataFrame({ours: mine[theirs] for ours, theirs in CONDITIONS.items()})
    return named.assign(Perturbation=mine["Perturbation"], Plate_Map_Name=mine["Plate_Map_Name"])


def barcodes(path: Path | str) -> pd.Series:
    """Read ``barcode_platemap.csv``: barcode -> name of the platemap."""
    rows = published.table(path, columns=["Assay_Plate_Barcode", "Plate_Map_Name"])
    published.complete(rows, ["Assay_Plate_Barcode", "Plate_Map_Name"], path)
    doubled = rows["Assay_Plate_Barcode"].duplicated()
    if doubled.any():
        index = doubled.idxmax()
        barcode = rows.loc[index, "Assay_Plate_Barcode"]
        raise ValueError(f"{path}: line {published.line(index)}: plate {barcode} is there twice")
    return rows.set_index("Assay_Plate_Barcode")["Plate_Map_Name"]


def compounds(path: Path | str) -> pd.DataFrame:
    """Read ``JUMP-Target-1_compound_metadata.tsv``, indexed by ``broad_sample`` (empty for DMSO); all its columns."""
    columns = ["broad_sample", "InChIKey", "pert_iname", "gene", "pert_type", "control_type"]
    rows = published.table(path, columns=columns, separator="\t")
    published.complete(rows, ["pert_iname", "pert_type"], path)
    rows["broad_sample"] = rows["broad_sample"].fillna("")
    doubled = rows["broad_sample"].duplicated()
    if doubled.any():
        index = doubled.idxmax()
        name = rows.loc[index, "broad_sample"] or "the row without broad_sample"
        raise ValueError(f"{path}: line {published.line(index)}: {name} is there twice")
    return rows.set_index("broad_sample")


def layout(
    path: Path | str, table: pd.DataFrame, *, source: str = COMPOUNDS, names: str = "broad_sample"
) -> pd.DataFrame:
    """Read a platemap and join the metadata of its compounds: one row per well.

    Parameters
    ----------
    path
        ``JUMP-Target-1_compound_platemap.txt``.
    table
        As ``compounds``, read from the file `source`.
    names
        Column with the names of compounds: ``broad_sample``, as in the challenge, or ``pert_iname``, which makes two
        samples of one substance (dexamethasone has two) one compound.

    Returns
    -------
    pandas.DataFrame
        well, compound, pert_type (trt, or the control's type: negcon, poscon_cp, poscon_diverse, poscon_orf), target
        (the published ``gene``), and the published columns of compound and well.

    Raises
    ------
    ValueError
        A compound that `source` lacks, or a duplicated well; names the line.
    """
    rows = published.table(path, columns=["well_position", "broad_sample"], separator="\t")
    published.complete(rows, ["well_position"], path)
    rows["broad_sample"] = rows["broad_sample"].fillna("")
    unknown = ~rows["broad_sample"].isin(table.index)
    if unknown.any():
        index = unknown.idxmax()
        found = repr(rows.loc[index, "broad_sample"]) if rows.loc[index, "broad_sample"] else "an empty one (DMSO)"
        raise ValueError(f"{path}: line {published.line(index)}: expected a broad_sample of {source}, found {found}")
    well = [well_names.normalise(value) for value in rows["well_position"]]
    doubled = pd.Series(well, index=rows.index).duplicated()
    if doubled.any():
        index = doubled.idxmax()
        raise ValueError(
            f"{path}: line {published.line(index)}: well {rows.loc[index, 'well_position']} is there twice"
        )
    known = table.loc[rows["broad_sample"]].reset_index()
    own = rows.drop(columns=["well_position", "broad_sample"]).reset_index(drop=True)
    kind = known["pert_type"].where(known["pert_type"] != "control", known["control_type"])
    compound = known[names].where(known["broad_sample"] != "", NEGCON)
    known = known.rename(columns={"gene": "target"}).drop(columns="pert_type")
    front = pd.DataFrame({"well": well, "compound": compound, "pert_type": kind})
    return pd.concat([front, known, own], axis=1).sort_values("well", ignore_index=True)


def recipe(
    images: Path | str,
    metadata: Path | str,
    *,
    batch: str = BATCH,
    names: str = "broad_sample",
    tables: Path | str | None = None,
    partial: bool = False,
) -> screen.Screen:
    """Return the screen of the batch's compound plates.

    Parameters
    ----------
    images
        Folder with the plates' folders, as of the gallery: ``<batch>/images`` or one above it.
    metadata
        Folder with the published files, as the repository's clone has them or side by side.
    names
        See ``layout``.
    tables
        Folder of LoadData tables, ``<plate>/load_data.csv`` (or .gz) below it, as ``load_data_csv`` of the repository
        (they are LFS files there) and of the gallery's workspace. None: file names identify the images.
    partial
        Continue with the plates whose images exist.

    Raises
    ------
    ValueError
        The published files are not as expected; names the file and line, or the folder.
    """
    path = published.locate(metadata, EXPERIMENT)
    plates = experiment(path, batch=batch)
    folders = published.plate_folders(images, FOLDER)
    screen.checked(folders, plates.index, images=images, metadata=path)
    others = sorted(set(folders) & set(plates.index[plates["Perturbation"] != "compound"]))
    if others:
        logger.info("%s: %d plates do not have compounds and are left out: %s", images, len(others), others)
    wanted = plates.index[plates["Perturbation"] == "compound"].tolist()
    wanted = screen.present(wanted, folders, images=images, partial=partial)
    maps_path = published.locate(metadata, BARCODES, within=batch)
    maps = barcodes(maps_path)
    for plate in wanted:
        if maps.get(plate) != plates.loc[plate, "Plate_Map_Name"]:
            expected, found = plates.loc[plate, "Plate_Map_Name"], maps.get(plate, "none")
            raise ValueError(f"{maps_path}: plate {plate}: expected platemap {expected} as in {path}, found {found}")
    known_path = published.locate(metadata, COMPOUNDS)
    known, files = compounds(known_path), {}
    for name in sorted({maps[plate] for plate in wanted}):
        platemap = published.locate(metadata, f"{name}.txt", within=batch)
        files[f"platemaps/{name}.csv"] = layout(platemap, known, source=known_path.name, names=names)
    sheet = plates.loc[wanted, list(CONDITIONS)].rename_axis("plate").reset_index()
    sheet.insert(1, "batch", batch)
    sheet.insert(3, "images", [str(folders[plate].resolve()) for plate in wanted])
    sheet.insert(4, "platemap", [f"config/platemaps/{maps[plate]}.csv" for plate in wanted])
    sheet.insert(5, "role", "fit")
    _log_size(sheet, files)
    return screen.Screen(sheet, files, _reader(tables, wanted, batch) if tables is not None else {})


def _reader(tables: Path | str, plates: Sequence[str], batch: str) -> dict[str, str]:
    """Return the settings of the index for LoadData tables, which must all be there under one name."""
    found = {plate: published.located(tables, "load_data.csv", within=plate) for plate in plates}
    found = {plate: [path for path in paths if path.parent.name == plate] for plate, paths in found.items()}
    for plate, paths in found.items():
        near = [path for path in paths if batch in path.parts] or paths
        if len(near) != 1:
            message = f"expected one table {plate}/load_data.csv or .csv.gz below it, found {[str(p) for p in near]}"
            raise ValueError(f"{tables}: {message}")
        found[plate] = near
    patterns = {str(path.resolve().parent.parent / "{plate}" / path.name) for (path,) in found.values()}
    if len(patterns) > 1:
        raise ValueError(f"{tables}: expected the tables of all plates under one name, found {sorted(patterns)}")
    return {"reader": "loaddata", "loaddata": json.dumps(patterns.pop()), "channels": "{}"}


def _log_size(sheet: pd.DataFrame, files: dict[str, pd.DataFrame]) -> None:
    """Log the plates of the screen."""
    lines = sheet.groupby("cell_line")["plate"].count().to_dict()
    logger.info("%d of %d compound plates: %s", len(sheet), PLATES, lines)
    for name, table in files.items():
        logger.info(
            "%s: %d compounds; wells %s", name, table["compound"].nunique(), table["pert_type"].value_counts().to_dict()
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the folder of a screen, with the options that ``--help`` lists."""
    parser = screen.parser("Make the folder of a screen from CPJUMP1's published files.")
    parser.add_argument("--batch", default=BATCH, help="batch of the experiment's table (default: %(default)s)")
    parser.add_argument(
        "--compound",
        choices=("broad_sample", "pert_iname"),
        default="broad_sample",
        help="name of a compound: the sample, as in the challenge (default), or the substance",
    )
    parser.add_argument("--load-data", type=Path, help="folder of LoadData tables; without it file names are read")
    given = parser.parse_args(arguments)
    made = recipe(
        given.images,
        given.metadata,
        batch=given.batch,
        names=given.compound,
        tables=given.load_data,
        partial=given.partial,
    )
    screen.write(made, given.out, recipe="cpjump1", overwrite=given.overwrite)


if __name__ == "__main__":
    screen.run(main)
