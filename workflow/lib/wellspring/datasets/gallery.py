"""Make the folder of a screen from plates of the Cell Painting Gallery, by project, source, batch and plate.

    python -m wellspring.datasets.gallery --project cpg0016-jump --source source_4 --batch BATCH --out SCREEN

Folders and files are those of broadinstitute/cellpainting-gallery ``documentation/data_structure.md``:
``PROJECT/SOURCE/workspace/load_data_csv/BATCH/PLATE/load_data.csv``, ``workspace/metadata/platemaps/BATCH`` with
``barcode_platemap.csv`` and ``platemap/NAME.txt``, ``workspace/metadata/external_metadata/*.tsv``, and
``workspace/metadata_harmonized`` (broadinstitute/cellpainting-gallery-metadata). They are read from the bucket or from
a mirror on disk; images are neither copied nor linked.
"""

import argparse
import json
import logging
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from wellspring.datasets import places, published, screen
from wellspring.datasets.harmonized import harmonized
from wellspring.io import object_store
from wellspring.screen import well_names

logger = logging.getLogger(__name__)

BUCKET = "s3://cellpainting-gallery"
# Usual names of a plate's image table, the first that exists; tables with illumination functions name the same images.
TABLES = [f"{stem}.{end}" for stem in ("load_data", "load_data_with_illum") for end in ("csv", "csv.gz", "parquet")]
STAINS = ("DNA", "ER", "RNA", "AGP", "Mito")  # of Cell Painting, in the order of the default config
BRIGHT = re.compile(r"(?i)bright|bf$|phase")
FOLDERS = 4  # that lie between a project and the folder of a plate's images: source, images, batch, images
CHANNEL = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
IMAGE = re.compile(r"(URL|FileName|PathName|Frame|Series)_(?!Illum)(?:Orig)?(.+)")


@dataclass(frozen=True)
class Plate:
    """A plate of the gallery: its place in the tree, and its image table."""

    source: str
    batch: str
    name: str
    table: pd.DataFrame

    @property
    def channels(self) -> list[str]:
        """Return the channels that the table names images of, without ``Orig``."""
        found = [IMAGE.fullmatch(column) for column in self.table]
        return list(dict.fromkeys(match[2] for match in found if match and match[1] in ("URL", "FileName")))


def below(place: str, chosen: Sequence[str], what: str) -> list[str]:
    """Return the names in a place, only those that are chosen if any; `ValueError` lists what is there instead."""
    there = places.names(place)
    absent = sorted(set(chosen) - set(there))
    if absent or not there:
        raise ValueError(f"{place}: expected the {what} {absent or 'of the gallery'}, found {there[:20] or 'nothing'}")
    return list(chosen) or there


def image_table(place: str, plate: str) -> pd.DataFrame:
    """Read a plate's LoadData table: strings, its columns of images and metadata, rows of this plate.

    Raises
    ------
    ValueError
        No table of a usual name, no column of images or wells, or no row of the plate.
    """
    there = places.names(place)
    name = next((name for name in TABLES if name in there), None)
    if name is None:
        raise ValueError(f"{place}: expected one of {TABLES}, found {there[:10] or 'nothing'}")
    where = places.join(place, name)
    with places.local(where) as path:
        if name.endswith(".parquet"):
            rows = pd.read_parquet(path, use_threads=False)
            rows = (
                rows.astype(object).where(rows.notna(), None).map(lambda value: None if value is None else str(value))
            )
        else:
            rows = published.table(path, columns=[])
    kept = [column for column in rows if IMAGE.fullmatch(column) or column.startswith("Metadata_")]
    if not any(column.startswith(("URL_", "FileName_")) for column in kept) or "Metadata_Well" not in kept:
        raise ValueError(f"{where}: expected columns Metadata_Well and URL_ or FileName_, found {list(rows)[:20]}")
    if "Metadata_Plate" in kept:
        others = sorted(rows["Metadata_Plate"].dropna().unique())
        rows = rows[rows["Metadata_Plate"] == plate]
        if rows.empty:
            raise ValueError(f"{where}: expected rows of the plate {plate}, found those of {others[:5]}")
    return rows[kept].reset_index(drop=True)


def folder(plate: Plate, root: str, project: str) -> str:
    """Return the folder or URL that holds a plate's images.

    It is the one that all URLs of its table are below, at the same place under `root`; for a table of file names, the
    only folder of ``images/BATCH/images`` whose name begins with the plate's.

    Raises
    ------
    ValueError
        URLs of other places than the gallery, or of several measurements; no such folder, or several.
    """
    columns = [column for column in plate.table if column.startswith("URL_")]
    if columns:
        urls = [str(url) for url in plate.table[columns].stack().dropna()]
        keys = [posixpath.dirname(url.removeprefix(f"{BUCKET}/")) for url in urls if url.startswith(f"{BUCKET}/")]
        inside = posixpath.commonpath(sorted(set(keys))) if keys else ""
        apart = len(keys) < len(urls) or inside.count("/") < FOLDERS or object_store.climbs(inside)
        if apart or not inside.startswith(f"{project}/"):
            found = inside or urls[:2]
            raise ValueError(f"{plate.name}: expected URLs below a folder of {BUCKET}/{project}, found {found}")
        return places.join(root, inside)
    home = places.join(root, project, plate.source, "images", plate.batch, "images")
    named = [name for name in places.names(home) if re.fullmatch(rf"{re.escape(plate.name)}(?![A-Za-z0-9]).*", name)]
    if len(named) != 1:
        raise ValueError(f"{home}: expected one folder of the plate {plate.name}, found {named or 'none'}")
    return places.join(home, named[0])


def platemap(metadata: str, plate: Plate) -> pd.DataFrame:
    """Read the platemap of a plate and join the external metadata of its samples, where there is one file of them.

    Raises
    ------
    ValueError
        No platemap of the plate, a well is there twice, or a sample is there twice in the external metadata.
    """
    home = places.join(metadata, "platemaps", plate.batch)
    try:
        with places.local(places.join(home, "barcode_platemap.csv")) as path:
            barcodes = published.table(path, columns=["Assay_Plate_Barcode", "Plate_Map_Name"])
    except FileNotFoundError as error:
        raise ValueError(f"{home}: expected barcode_platemap.csv, found {places.names(home) or 'nothing'}") from error
    named = barcodes.loc[barcodes["Assay_Plate_Barcode"] == plate.name, "Plate_Map_Name"].dropna().unique()
    if len(named) != 1:
        raise ValueError(f"{home}: expected one platemap of {plate.name} in barcode_platemap.csv, found {list(named)}")
    there = places.names(places.join(home, "platemap"))
    name = next((f"{named[0]}{end}" for end in (".txt", ".tsv", ".csv") if f"{named[0]}{end}" in there), None)
    if name is None:
        raise ValueError(f"{home}/platemap: expected {named[0]}.txt, found {there[:10] or 'nothing'}")
    with places.local(places.join(home, "platemap", name)) as path:
        rows = published.table(path, columns=["well_position"], separator="," if name.endswith(".csv") else "\t")
    wells = rows["well_position"].map(lambda well: well_names.normalise(str(well)))
    if wells.duplicated().any():
        raise ValueError(
            f"{home}/platemap/{name}: expected each well once, found {wells[wells.duplicated()].iloc[0]} twice"
        )
    return _with_external(rows.assign(well_position=wells), places.join(metadata, "external_metadata"))


def _with_external(rows: pd.DataFrame, home: str) -> pd.DataFrame:
    """Return a platemap with the columns of the only table of samples; samples without a row have none."""
    files = [name for name in places.names(home) if name.endswith((".tsv", ".tsv.gz", ".txt"))]
    if len(files) != 1:
        if files:
            logger.warning("%s: several tables, so that none is joined: %s", home, files)
        return rows
    with places.local(places.join(home, files[0])) as path:
        known = published.table(path, columns=[], separator="\t")
    keys = [name for name in ("broad_sample", "jcp2022_id", "Metadata_JCP2022") if name in known and name in rows]
    if not keys:
        logger.warning("%s: %s has no column of samples that the platemap has, and is not joined", home, files[0])
        return rows
    own = [keys[0], *(column for column in known if column not in rows)]
    if known[keys[0]].duplicated().any():
        twice = known.loc[known[keys[0]].duplicated(), keys[0]].iloc[0]
        raise ValueError(f"{home}/{files[0]}: expected each {keys[0]} once, found {twice or 'an empty one'} twice")
    return rows.merge(known[own], how="left", on=keys[0])


def channels(plates: Sequence[Plate], chosen: Sequence[str] = ()) -> list[str]:
    """Return the channels of the screen: those that are chosen, else the stains of all plates, without brightfield.

    Raises
    ------
    ValueError
        A channel is not in all plates, or its name cannot be a channel's.
    """
    shared = [name for name in plates[0].channels if all(name in plate.channels for plate in plates)]
    stains = [name for name in STAINS if name in shared]
    usual = stains if len(stains) == len(STAINS) else [name for name in shared if not BRIGHT.search(name)]
    found = list(chosen) or [name for name in usual if CHANNEL.fullmatch(name)]
    absent = [name for name in found if name not in shared or not CHANNEL.fullmatch(name)]
    if absent or not found:
        raise ValueError(f"expected channels that all plates have, of {shared}, found {absent or 'none'}")
    return found


def recipe(root: str, project: str, given: argparse.Namespace) -> screen.Screen:
    """Return the screen of the chosen plates of a project; `given` has the command's arguments."""
    plates: list[Plate] = []
    for source in below(places.join(root, project), given.source, "sources"):
        tables = places.join(root, project, source, "workspace", "load_data_csv")
        if not given.source and not places.names(tables):
            continue  # source_all and others without plates
        for batch in below(tables, given.batch, "batches"):
            for name in places.names(places.join(tables, batch)):
                if given.plate and name not in given.plate:
                    continue
                table = image_table(places.join(tables, batch, name), name)
                plates.append(Plate(source, batch, name, table))
    doubled = sorted({plate.name for plate in plates if [other.name for other in plates].count(plate.name) > 1})
    if doubled or not (plates or given.plate):
        raise ValueError(f"{root}/{project}: expected plates of different names, found {doubled or 'no plate'}")
    lost = sorted(set(given.plate) - {plate.name for plate in plates})
    if lost:
        raise ValueError(f"{root}/{project}: expected the plates {given.plate}, found none of {lost} in the batches")
    maps = harmonized(given.harmonized, [plate.name for plate in plates]) if given.harmonized else {}
    files: dict[str, pd.DataFrame] = {}
    rows = []
    for plate in plates:
        metadata = places.join(root, project, plate.source, "workspace", "metadata")
        content = maps[plate.name] if maps else platemap(metadata, plate)
        files[f"platemaps/{plate.name}.csv"] = _named(content, given.blank, plate.name)
        files[f"load_data/{plate.name}.csv"] = _named_below(root, plate.table.assign(Metadata_Plate=plate.name))
        place = folder(plate, root, project)
        rows.append(
            {
                "plate": plate.name,
                "batch": plate.batch,
                "cell_line": given.cell_line,
                "source": plate.source,
                "images": place if object_store.is_url(place) else str(Path(place).resolve()),
                "platemap": f"config/platemaps/{plate.name}.csv",
                "role": "fit",
            }
        )
    found = channels(plates, given.channel)
    logger.info("%d plates of %s, channels %s", len(rows), project, found)
    # The images of a plate in a bucket are named by URLs, which the config must allow.
    settings = {"roots": json.dumps([places.join(root, project)])} if object_store.is_url(root) else {}
    return screen.Screen(pd.DataFrame(rows), files, settings, channels=found)


def _named_below(root: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return an image table whose URLs are of another bucket, where `root` is one; a mirror on disk needs no change."""
    if root == BUCKET or not object_store.is_url(root):
        return table
    columns = {name: table[name].str.replace(BUCKET, root, regex=False) for name in table if name.startswith("URL_")}
    return table.assign(**columns)


def _named(content: pd.DataFrame, blank: str | None, plate: str) -> pd.DataFrame:
    """Return a platemap whose wells without a sample are of the compound `blank`, where that is stated."""
    column = next((name for name in ("pert_iname", "compound", "broad_sample") if name in content), None)
    if column is None or not content[column].isna().any():
        return content
    if blank:
        return content.assign(**{column: content[column].fillna(blank)})
    logger.warning("%s: %d wells have no %s (--blank names it, as DMSO)", plate, content[column].isna().sum(), column)
    return content


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(description="Make the folder of a screen from plates of the Cell Painting Gallery.")
    made.add_argument(
        "--root", default=BUCKET, help="the gallery: its bucket, or a mirror on disk (default: %(default)s)"
    )
    made.add_argument("--project", required=True, help="as cpg0016-jump")
    for name in ("source", "batch", "plate", "channel"):
        made.add_argument(
            f"--{name}", action="append", default=[], help="only this one; may be repeated (default: all)"
        )
    made.add_argument("--harmonized", help="table of metadata_harmonized, file or URL, in place of the platemaps")
    made.add_argument("--blank", help="compound of wells whose platemap names none, as DMSO")
    made.add_argument("--cell-line", default="", help="cell line of the plates")
    return screen.outcome(screen.store(made))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the folder of a screen, with the options that ``--help`` lists."""
    given = parser().parse_args(arguments)
    access = screen.reach(given)
    made = recipe(given.root.rstrip("/"), given.project, given)
    title = json.dumps(f"Cell Painting Gallery, {given.project}")
    made = replace(made, settings={**made.settings, **access})
    home = screen.write(made, given.out, recipe="gallery", overwrite=given.overwrite)
    config = home / "config.yaml"
    config.write_text(config.read_text().replace("title: Cell Painting Gallery", f"title: {title}"))


if __name__ == "__main__":
    screen.run(main)
