"""Make the folder of a screen from the image folders and the three metadata files of BBBC021.

    python -m wellspring.datasets.bbbc021 --images IMAGES --metadata METADATA --out SCREEN

Human MCF7 cells, 55 plates of 10 weeks, DNA, tubulin and actin (Caie et al. 2010; Ljosa et al., Nature Methods 2012,
https://bbbc.broadinstitute.org/BBBC021). The columns and file names are those of ``BBBC021_v1_image.csv`` and
``BBBC021_v1_moa.csv`` in cytomining/cytominergallery ``inst/extdata``. The header of ``BBBC021_v1_compound.csv`` was
not available, so that file is optional, and only its columns compound and smiles (in any case) are used. The names of
the archives are those of https://data.broadinstitute.org/bbbc/BBBC021; an archive's folder is found by its plate's
name. Treatments, batches and control wells are defined as by Ljosa et al., J Biomol Screen 2013: its table of profiles
has 330 DMSO wells and 302 wells of the 103 treatments; taxol is in it as the dose series of week 1 only, not as the
positive controls of every plate.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from wellspring.datasets import published, screen
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

IMAGE, MOA, COMPOUND = "BBBC021_v1_image.csv", "BBBC021_v1_moa.csv", "BBBC021_v1_compound.csv"
CHANNELS = {"DNA": "DAPI", "Tubulin": "Tubulin", "Actin": "Actin"}  # ours -> in the names of the published columns
PLATE, WELL, REPLICATE = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI", "Replicate"
NAME, DOSE = "Image_Metadata_Compound", "Image_Metadata_Concentration"
FILES = [f"Image_{kind}_{name}" for name in CHANNELS.values() for kind in ("FileName", "PathName")]
FOLDER = r"(?:BBBC021_v1_images_)?(?P<plate>Week[0-9]+_[0-9]+)"
FILE = r"(?:.*_)?(?P<well>[A-H][0-9]{2})_s(?P<site>[0-9]+)_w[0-9].*"
NEGCON, POSCON = "DMSO", "taxol"
# On every plate B02-D02 and E11-G11 hold DMSO, E02-G02 and B11-D11 taxol 0.3 uM; taxol elsewhere is its dose series.
CONTROL_COLUMNS = (1, 10)  # counted from 0
TREATMENTS, COMPOUNDS, MECHANISMS = 103, 38, 12  # of the annotated subset
WELLS = ["well", "compound", "concentration", "pert_type", "moa", "replicate"]


def fields(path: Path | str) -> pd.DataFrame:
    """Read ``BBBC021_v1_image.csv``: one row per field of view.

    Returns
    -------
    pandas.DataFrame
        The published file and folder columns, and plate, week, well (normalised), site, compound, concentration
        (float64, micromolar), replicate.

    Raises
    ------
    ValueError
        A column is missing; a plate or file name is not of the published form, or its well differs from the row's;
        a well has two treatments. The line is named.
    """
    rows = published.table(path, columns=[PLATE, WELL, REPLICATE, NAME, DOSE, *FILES])
    published.complete(rows, [PLATE, WELL, NAME, DOSE, *FILES], path)
    dose = published.numbers(rows, DOSE, path)
    plate = rows[PLATE].str.extract(r"^((Week[0-9]+)_[0-9]+)$")
    name = rows[FILES[0]].str.extract(f"^{FILE}$")
    for what, bad, column in (
        ("a plate Week<number>_<number>", plate[0].isna(), PLATE),
        ("a file <...>_<well>_s<site>_w<channel><...>", name["well"].isna(), FILES[0]),
        (f"a file of the well in column {WELL}", name["well"] != rows[WELL], FILES[0]),
    ):
        if bad.any():
            index = bad.idxmax()
            message = f"expected {what} in column {column}, found {rows.loc[index, column]!r}"
            raise ValueError(f"{path}: line {published.line(index)}: {message}")
    rows = rows.assign(
        plate=plate[0],
        week=plate[1],
        well=[well_names.normalise(value) for value in rows[WELL]],
        site=name["site"],
        compound=rows[NAME],
        concentration=dose,
        replicate=rows[REPLICATE],
    )
    first = rows.groupby(["plate", "well"])[["compound", "concentration"]].transform("first")
    odd = (first["compound"] != rows["compound"]) | (first["concentration"] != rows["concentration"])
    if odd.any():
        row = rows.loc[odd.idxmax()]
        message = f"expected one treatment in {row['plate']} {row['well']}, found {row['compound']} as well"
        raise ValueError(f"{path}: line {published.line(row.name)}: {message}")
    return rows


def mechanisms(path: Path | str, treatments: pd.DataFrame, *, source: str = IMAGE) -> pd.DataFrame:
    """Read ``BBBC021_v1_moa.csv``: compound, concentration (float64), moa, without the row of DMSO.

    Parameters
    ----------
    treatments
        Compounds and concentrations that were imaged, from the file `source`; other rows are an error.
    """
    rows = published.table(path, columns=["compound", "concentration", "moa"])
    published.complete(rows, ["compound", "concentration", "moa"], path)
    rows["concentration"] = published.numbers(rows, "concentration", path)
    imaged = set(zip(treatments["compound"], treatments["concentration"], strict=True))
    for index, row in rows.iterrows():
        if (row["compound"], row["concentration"]) not in imaged:
            found = f"{row['compound']} at {row['concentration']:g}"
            raise ValueError(f"{path}: line {published.line(index)}: expected a treatment of {source}, found {found}")
    doubled = rows.duplicated(["compound", "concentration"])
    if doubled.any():
        index = doubled.idxmax()
        raise ValueError(f"{path}: line {published.line(index)}: {rows.loc[index, 'compound']} is there twice")
    return rows.loc[rows["compound"] != NEGCON, ["compound", "concentration", "moa"]]


def layout(rows: pd.DataFrame, moa: pd.DataFrame, *, taxol: str = "series") -> pd.DataFrame:
    """Return one row per well: plate, week and the columns `WELLS`.

    Parameters
    ----------
    rows
        As ``fields``.
    moa
        As ``mechanisms``.
    taxol
        How positive control wells of taxol are used. ``series``: only as controls, without a mechanism, as in the
        profiles of Ljosa et al. 2013; the treatment taxol 0.3 uM then has its three wells of week 1. ``all``: also as
        wells of that treatment, which then occurs in all ten weeks and has no reference for NSCB.
    """
    table = rows.drop_duplicates(["plate", "well"]).merge(
        moa, how="left", on=["compound", "concentration"], validate="many_to_one"
    )
    column = table["well"].map(lambda well: well_names.position(well)[1])
    control = (table["compound"] == POSCON) & column.isin(CONTROL_COLUMNS)
    table["pert_type"] = "trt"
    table.loc[control, "pert_type"] = "poscon"
    table.loc[table["compound"] == NEGCON, "pert_type"] = "negcon"
    if taxol == "series":
        table.loc[control, "moa"] = None
    table["moa"] = table["moa"].astype(object).where(table["moa"].notna(), None)
    return table[["plate", "week", *WELLS]]


def annotated(table: pd.DataFrame) -> pd.DataFrame:
    """Return the wells of treatments with a mechanism and the controls of their plates; other plates are left out."""
    treated = (table["pert_type"] == "trt") & table["moa"].notna()
    plates = set(table.loc[treated, "plate"])
    return table[table["plate"].isin(plates) & (treated | (table["pert_type"] != "trt"))]


def structures(folder: Path | str) -> pd.Series:
    """Return compound -> SMILES by ``BBBC021_v1_compound.csv``; empty where the folder has no such file."""
    if not published.located(folder, COMPOUND):
        return pd.Series(dtype=object)
    path = published.locate(folder, COMPOUND)
    rows = published.table(path, columns=[]).rename(columns=str.lower)
    if "compound" not in rows:
        raise ValueError(f"{path}: expected a column compound, found {list(rows.columns)}")
    if "smiles" not in rows:
        logger.warning("%s: no column smiles in %s: structures are left out", path, list(rows.columns))
        return pd.Series(dtype=object)
    return rows.dropna(subset="compound").drop_duplicates("compound").set_index("compound")["smiles"]


def load_data(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a LoadData table of fields of view, files and folders as published."""
    table = pd.DataFrame(
        {"Metadata_Plate": rows["plate"], "Metadata_Well": rows["well"], "Metadata_Site": rows["site"]}
    )
    for ours, theirs in CHANNELS.items():
        table[f"FileName_{ours}"] = rows[f"Image_FileName_{theirs}"]
        table[f"PathName_{ours}"] = rows[f"Image_PathName_{theirs}"]
    return table


def recipe(
    images: Path | str,
    metadata: Path | str,
    *,
    subset: bool = False,
    taxol: str = "series",
    partial: bool = False,
) -> screen.Screen:
    """Return the screen of the plates below `images`.

    Parameters
    ----------
    images
        Folder of the unpacked archives; the folder of a plate has its name (``Week1_22123``), at any depth.
    metadata
        Folder with the published files.
    subset
        Only the 103 annotated treatments, the controls beside them, and the 49 plates that hold them.
    taxol
        See ``layout``.
    partial
        Continue with the plates whose images exist.

    Raises
    ------
    ValueError
        The published files are not as expected; names the file and line, or the folder.
    """
    path = published.locate(metadata, IMAGE)
    rows = fields(path)
    table = layout(rows, mechanisms(published.locate(metadata, MOA), rows, source=path.name), taxol=taxol)
    table = annotated(table) if subset else table
    folders = published.plate_folders(images, FOLDER)
    screen.checked(folders, set(rows["plate"]), images=images, metadata=path)
    plates = screen.present(sorted(set(table["plate"]), key=_natural), folders, images=images, partial=partial)
    smiles = structures(metadata)
    files, sheet = {}, []
    for plate in plates:
        mine = table[table["plate"] == plate]
        kept = rows[(rows["plate"] == plate) & rows["well"].isin(mine["well"])]
        platemap = mine[WELLS].assign(smiles=mine["compound"].map(smiles)) if len(smiles) else mine[WELLS]
        files[f"platemaps/{plate}.csv"] = platemap.sort_values("well")
        files[f"load_data/{plate}.csv"] = load_data(kept).sort_values(["Metadata_Well", "Metadata_Site"])
        sheet.append(
            {
                "plate": plate,
                "batch": mine["week"].iloc[0],
                "cell_line": "MCF7",
                "images": str(folders[plate].resolve()),
                "platemap": f"config/platemaps/{plate}.csv",
                "role": "fit",
            }
        )
    _log_size(table[table["plate"].isin(plates)])
    return screen.Screen(pd.DataFrame(sheet), files)


def _log_size(table: pd.DataFrame) -> None:
    """Log the size of the screen and of the whole data set."""
    marked = table[(table["pert_type"] != "negcon") & table["moa"].notna()]
    logger.info(
        "%d plates of %d weeks, %d wells (%d DMSO, %d taxol controls); "
        "annotated: %d of %d treatments, %d of %d compounds, %d of %d mechanisms",
        table["plate"].nunique(),
        table["week"].nunique(),
        len(table),
        (table["pert_type"] == "negcon").sum(),
        (table["pert_type"] == "poscon").sum(),
        marked.groupby(["compound", "concentration"]).ngroups,
        TREATMENTS,
        marked["compound"].nunique(),
        COMPOUNDS,
        marked["moa"].nunique(),
        MECHANISMS,
    )


def _natural(plate: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", plate)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the folder of a screen, with the options that ``--help`` lists."""
    parser = screen.parser("Make the folder of a screen from BBBC021's published files.")
    parser.add_argument(
        "--annotated", action="store_true", help="only the 103 treatments with a mechanism, their controls and plates"
    )
    parser.add_argument(
        "--taxol",
        choices=("series", "all"),
        default="series",
        help="all: the taxol 0.3 uM controls of every plate are wells of that treatment too (default: %(default)s)",
    )
    given = parser.parse_args(arguments)
    made = recipe(given.images, given.metadata, subset=given.annotated, taxol=given.taxol, partial=given.partial)
    screen.write(made, given.out, recipe="bbbc021", overwrite=given.overwrite)


if __name__ == "__main__":
    screen.run(main)
