"""Make the folder of a screen from JUMP-Lite: plates of six sources of JUMP, with published embeddings beside.

    python -m wellspring.datasets.jump_lite --images IMAGES --metadata METADATA --source source_4 --out SCREEN

Stores, tables and columns are those of the release 1.0 (Munoz et al. 2026, arXiv 2608.07632; afermg/JUMP_lite,
``cpg_upload/JUMP_LITE_README.md`` and ``build_cpg_metadata.py``): ``CODEC.zarr/SOURCE__BATCH__PLATE__WELL__SITE``,
``jump_lite_site_index.parquet``, ``jump_lite_perturbation_metadata.parquet``,
``jump_lite_refchem_annotations.parquet``. IMAGES and METADATA are folders of a mirror, or URLs.
"""

import argparse
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from wellspring.datasets import places, screen, site_embeddings
from wellspring.io import object_store, site_arrays
from wellspring.screen import names, well_names

logger = logging.getLogger(__name__)

SITES, WELLS = "jump_lite_site_index.parquet", "jump_lite_perturbation_metadata.parquet"
TARGETS = "jump_lite_refchem_annotations.parquet"
CODEC = "jpegxl_lossy_mq"
PLATE = ["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]
WELL = [*PLATE, "Metadata_Well"]
CONTENT = ["Metadata_JCP2022", "Metadata_Symbol", "Metadata_pert_type", "Metadata_Perturbation_Type"]
TIERS = ("Tier1", "Tier2", "Tier3")  # of confidence, those of the publication's own targets
CELLS = "U2OS"  # of all plates of cpg0016
NEGCON = "DMSO"


def table(place: str, name: str, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of a published Parquet file as strings, null where a cell is empty.

    Raises
    ------
    ValueError
        There is no such file, it is not Parquet, or a column is missing.
    """
    where = places.join(place, name)
    try:
        with places.local(where) as path:
            form = pq.read_schema(path).names
            absent = [column for column in columns if column not in form]
            if absent:
                raise ValueError(f"{where}: expected the columns {absent}, found {form}")
            rows = pq.ParquetFile(path).read(columns=list(columns), use_threads=False).to_pandas()
    except FileNotFoundError as error:
        raise ValueError(f"{where}: expected a file, found none") from error
    except (ValueError, OSError) as error:  # errors of Arrow are of these kinds
        raise error if where in str(error) else ValueError(f"{where}: {error}") from error
    texts = rows.astype(object).where(rows.notna(), None)
    return texts.map(lambda value: None if value is None or str(value).strip() == "" else str(value))


def sites(place: str) -> pd.DataFrame:
    """Read the site index: Metadata_Site_Key, source, batch, plate, well and site of every array, strings.

    Raises
    ------
    ValueError
        An empty cell, a key that is there twice, or that is not the other columns joined.
    """
    rows = table(place, SITES, ["Metadata_Site_Key", *WELL, "Metadata_Site"])
    where = places.join(place, SITES)
    if rows.isna().any(axis=None) or rows.empty:
        raise ValueError(f"{where}: expected a value in each cell, found {int(rows.isna().sum().sum())} empty ones")
    joined = rows[WELL[0]].str.cat([rows[name] for name in (*WELL[1:], "Metadata_Site")], sep=site_arrays.BETWEEN)
    odd = (joined != rows["Metadata_Site_Key"]) | rows["Metadata_Site_Key"].map(site_arrays.key).isna()
    if odd.any():
        first = rows.loc[odd, "Metadata_Site_Key"].tolist()[:3]
        raise ValueError(f"{where}: expected keys SOURCE__BATCH__PLATE__WELL__SITE of their rows, found {first}")
    doubled = rows["Metadata_Site_Key"].duplicated()
    if doubled.any():
        raise ValueError(
            f"{where}: expected each site once, found {rows.loc[doubled, 'Metadata_Site_Key'].iloc[0]} twice"
        )
    return rows


def wells(place: str) -> pd.DataFrame:
    """Read what is in each well, with a column ``target``: genes of compounds (RefChemDB), and of ORF and CRISPR.

    Raises
    ------
    ValueError
        A well is there twice.
    """
    rows = table(place, WELLS, [*WELL, "Metadata_broad_sample", *CONTENT])
    doubled = rows.duplicated(WELL)
    if doubled.any():
        found = rows.loc[doubled, WELL].iloc[0].tolist()
        raise ValueError(f"{places.join(place, WELLS)}: expected each well once, found {found} twice")
    if TARGETS not in places.names(place):
        logger.warning("%s: no %s, so that compounds have no targets", place, TARGETS)
        genes = pd.Series(dtype=object)
    else:
        known = table(place, TARGETS, ["Metadata_JCP2022", "target", "WithinModalityTier"])
        known = known[known["WithinModalityTier"].isin(TIERS)].dropna()
        genes = known.groupby("Metadata_JCP2022")["target"].agg(lambda found: "|".join(sorted(set(found))))
    gene = rows["Metadata_Perturbation_Type"].isin(["orf", "crispr"])
    target = rows["Metadata_Symbol"].where(gene, rows["Metadata_JCP2022"].map(genes))
    return rows.assign(target=target.where(rows["Metadata_pert_type"] != "negcon", None))


def layout(index: pd.DataFrame, known: pd.DataFrame) -> pd.DataFrame:
    """Return the platemap of a plate from its rows of `sites` and of `wells`.

    A perturbation is a modality and an entity: a compound by its JCP2022 identifier, a gene by symbol and modality, so
    that overexpression and knock-out of one gene are two. A well without perturbation metadata is ``empty``.
    """
    rows = index[["Metadata_Well"]].drop_duplicates().merge(known, how="left", on="Metadata_Well")
    kind, jcp = rows["Metadata_Perturbation_Type"], rows["Metadata_JCP2022"]
    gene = rows["Metadata_Symbol"].fillna(jcp) + "_" + kind.fillna("")
    compound = jcp.where(~kind.isin(["orf", "crispr"]), gene)
    compound = compound.where((rows["Metadata_pert_type"] != "negcon") | (kind != "compound"), NEGCON)
    described = rows["Metadata_pert_type"].notna() | compound.notna()
    return pd.DataFrame(
        {
            "well": [well_names.normalise(well) for well in rows["Metadata_Well"]],
            "compound": compound,
            "pert_type": rows["Metadata_pert_type"].fillna("trt").where(described, "empty"),
            "target": rows["target"],
            "modality": kind,
            "jcp2022": jcp,
            "symbol": rows["Metadata_Symbol"],
            "broad_sample_id": rows["Metadata_broad_sample"],
        }
    ).sort_values("well", ignore_index=True)


def chosen(index: pd.DataFrame, **wanted: Sequence[str]) -> pd.DataFrame:
    """Return the rows of the sources, batches and plates that are named; `ValueError` lists those that do not exist."""
    for column, values in wanted.items():
        name = f"Metadata_{column.title()}"
        unknown = sorted(set(values) - set(index[name]))
        if unknown:
            raise ValueError(f"expected a {column} of {sorted(index[name].unique())[:20]}, found {unknown}")
        index = index[index[name].isin(list(values))] if values else index
    if index.empty:
        raise ValueError(f"expected plates of {wanted}, found none of all three together")
    return index


def recipe(
    images: str, metadata: str, *, codec: str = CODEC, partial: bool = False, **wanted: Sequence[str]
) -> tuple[screen.Screen, dict[str, list[str]]]:
    """Return the screen of the chosen plates, and plate -> the keys of its sites.

    Parameters
    ----------
    images
        Folder or URL with the stores ``CODEC.zarr``.
    metadata
        Folder or URL with the published tables.
    codec
        Name of a store: zstd, jpegxl_lossy_hq, jpegxl_lossy_mq, jpegxl_lossy_d20.
    partial
        Continue with the sites that a mirror has.
    wanted
        ``source``, ``batch`` and ``plate``: only these; of each, none means all.

    Raises
    ------
    ValueError
        The published files are not as expected, a choice does not exist, or the mirror lacks a site.
    """
    if f"{codec}.zarr" not in (found := places.names(images)):
        stores = [name for name in found if name.endswith(".zarr")]
        raise ValueError(f"{images}: expected a store {codec}.zarr, found {stores or 'none'} (--codec chooses one)")
    store = places.join(images, f"{codec}.zarr")
    index, known = chosen(sites(metadata), **wanted), wells(metadata)
    index = _held(index, store, partial=partial)
    called = _called(index)
    owners = index[PLATE[:2]].drop_duplicates()[PLATE[1]].value_counts()  # sources that have a batch of a name
    rows, files, keys = [], {}, {}
    content = dict(list(known.groupby(PLATE)))
    for plate, mine in index.groupby(PLATE, sort=True):
        name = called[plate]
        empty = known.iloc[:0]
        files[f"platemaps/{name}.csv"] = layout(mine, content.get(plate, empty).drop(columns=PLATE))
        keys[name] = mine["Metadata_Site_Key"].tolist()
        place = store if object_store.is_url(store) else str(Path(store).resolve())
        rows.append(
            {
                "plate": name,
                "batch": plate[1] if owners[plate[1]] == 1 else f"{plate[0]} {plate[1]}",
                "cell_line": CELLS,
                "source": plate[0],
                "images": places.join(place, site_arrays.BETWEEN.join(plate)),
                "platemap": f"config/platemaps/{name}.csv",
                "role": "fit",
            }
        )
    own = index.groupby(WELL)["Metadata_Site"].agg(frozenset).unique()
    same = sorted(own[0], key=lambda site: (len(site), site)) if len(own) == 1 else []
    _log_size(files, len(index))
    return screen.Screen(pd.DataFrame(rows), files, {"sites": json.dumps(same)}), keys


def _held(index: pd.DataFrame, store: str, *, partial: bool) -> pd.DataFrame:
    """Return the rows whose arrays a mirror has; of an object store all, since its listing takes minutes."""
    if object_store.is_url(store):
        return index
    with os.scandir(store) as listing:
        held = {entry.name for entry in listing}
    there = index["Metadata_Site_Key"].isin(held)
    if not there.all():
        lost = index.loc[~there, "Metadata_Site_Key"].tolist()
        message = f"{store}: expected {len(index)} sites, found none of {len(lost)} of them: {lost[:3]}"
        if not partial or not there.any():
            raise ValueError(f"{message} (--partial goes on without them)")
        logger.warning(message)
    return index[there]


def _called(index: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """Return the name of each plate in the sheet: its barcode, with the source before it where two have one."""
    plates = list(index[PLATE].drop_duplicates().itertuples(index=False, name=None))
    barcodes = [plate for *_, plate in plates]
    found = {
        (source, batch, plate): plate if barcodes.count(plate) == 1 else f"{source}.{batch}.{plate}"
        for source, batch, plate in plates
    }
    for name in found.values():
        names.check(name, what="plate", where=SITES)
    return found


def _log_size(files: dict[str, pd.DataFrame], count: int) -> None:
    """Log the size of the screen."""
    content = pd.concat(files.values(), ignore_index=True)
    kinds = content["pert_type"].value_counts().to_dict()
    logger.info("%d plates, %d wells, %d sites; wells %s", len(files), len(content), count, kinds)
    if kinds.get("empty"):
        logger.warning("%d wells have images and no perturbation metadata: they count as empty", kinds["empty"])
    if not kinds.get("negcon"):
        logger.warning("none of the wells is a negative control: profiles are normalised on them by default")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    made = argparse.ArgumentParser(description="Make the folder of a screen from JUMP-Lite's published files.")
    made.add_argument("--images", required=True, help="folder or URL with the stores CODEC.zarr")
    made.add_argument("--metadata", required=True, help="folder or URL with the published tables")
    made.add_argument(
        "--codec", default=CODEC, help="name of the store, as zstd or jpegxl_lossy_hq (default: %(default)s)"
    )
    for name, plural in (("source", "sources"), ("batch", "batches"), ("plate", "plates")):
        made.add_argument(
            f"--{name}", action="append", default=[], help=f"only this one; repeat it for several {plural}"
        )
    made.add_argument(
        "--embeddings", help="folder or URL with MODEL-CODEC of published embeddings; adds table encoders"
    )
    made.add_argument("--model", action="append", default=[], help="only embeddings of this model; may be repeated")
    made.add_argument("--embedded", help="codec of the images that were embedded, where it is not --codec")
    return screen.incomplete(screen.outcome(screen.store(made)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the folder of a screen, with the options that ``--help`` lists."""
    given = parser().parse_args(arguments)
    access = screen.reach(given)
    wanted = {"source": given.source, "batch": given.batch, "plate": given.plate}
    made, keys = recipe(given.images, given.metadata, codec=given.codec, partial=given.partial, **wanted)
    tables = {}
    if given.embeddings:
        models = site_embeddings.sets(given.embeddings, given.embedded or given.codec, given.model)
        tables = {model: f"config/embeddings/{model}/{{plate}}.parquet" for model in models}
    made = replace(made, settings={**made.settings, **access}, encoders=tables)
    screen.write(made, given.out, recipe="jump_lite", overwrite=given.overwrite)
    for model, place in (models if tables else {}).items():
        for plate, own in keys.items():
            path = given.out / "config" / "embeddings" / model / f"{plate}.parquet"
            count = site_embeddings.write(place, own, path, partial=given.partial)
            logger.info("%s: %d tiles of %s", path, count, place)


if __name__ == "__main__":
    screen.run(main)
