"""Export of a finished screen by encoder: AnnData files, folders of the Cell Painting Gallery, trained networks."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from wellspring.export import annotated, annotated_cells, gallery
from wellspring.export.licences import NOT_CHOSEN
from wellspring.io import tables
from wellspring.io.provenance import digest, file_digest
from wellspring.io.version import __version__
from wellspring.profile.aggregate import hand_made, wells_of
from wellspring.screen.names import check_label
from wellspring.screen.sections import Embed, Export

logger = logging.getLogger(__name__)

LEVELS = ("aggregated", "normalised")


def anndata(inputs: Mapping[str, Sequence[str]], path: Path, *, encoder: str, provenance: Mapping[str, object]) -> None:
    """Write the AnnData of an encoder; `inputs` as of `gallery_of`, `provenance` that of the export."""
    aligned, table = (_one(inputs[name], encoder) for name in ("aligned", "features"))
    layers = {
        level: pd.concat([tables.read(path) for path in _plates(inputs[level], encoder).values()], ignore_index=True)
        for level in LEVELS
    }
    made = {"export": dict(provenance), "aligned": tables.provenance(aligned)}
    data = annotated.annotate(tables.read(aligned), tables.read(table), layers=layers, provenance=made)
    annotated.write(data, path)
    logger.info("%s: %d wells of %d features", path.name, *data.shape)


def cells_of(inputs: Mapping[str, Sequence[str]], paths: Sequence[str], *, provenance: Mapping[str, object]) -> None:
    """Write the AnnData of single cells, `<encoder>/<plate>.h5ad` of `inputs["cells"]` and `inputs["cell_tests"]`."""
    for path in map(Path, paths):
        cells = _plates(inputs["cells"], path.parent.name)[path.stem]
        shape = annotated_cells.write_cells(
            cells, _one(inputs["cell_tests"], path.parent.name), path, provenance=provenance
        )
        logger.info("%s: %d cells of %d features", path.name, *shape)


def gallery_of(
    inputs: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    sheet: Sequence[Mapping[str, str]],
    encoders: Mapping[str, Mapping[str, object]],
    options: Export,
) -> None:
    """Write the folders of a screen below `folder`.

    Parameters
    ----------
    inputs
        Lists of paths by name: `index` and `illumination` (by plate and light path; none in a screen of tables),
        `aggregated`, `normalised` (by encoder and plate), `features`, `aligned`, `consensus`, `weights` (by encoder).
    sheet
        The plate sheet's rows.
    encoders
        Name -> config entry.
    options
        The config section `export`.

    Raises
    ------
    ValueError
        A batch cannot be the name of a folder; names the plate, and nothing is written.
    """
    batches = {row["plate"]: row["batch"] for row in sheet}
    for plate, batch in batches.items():  # a batch is free text in the sheet, and a folder here
        check_label(batch, what="batch", where=f"export: plate {plate}")
    place, source = folder / options.project / options.source, options.source
    wells = {Path(path).stem: wells_of(tables.read(path)) for path in inputs["index"]}
    gallery.write_platemaps(wells, place / "workspace" / "metadata", batches=batches)
    fields = {Path(path).stem: Path(path) for path in inputs["illumination"]}
    for row in sheet:
        if row["optics"] in fields:
            gallery.write_illumination(fields[row["optics"]], place / "images", plate=row["plate"], batch=row["batch"])
    # The layout has one place for classical features; those of a second encoder get a workspace of their own.
    taken = False
    for encoder, entry in encoders.items():
        aggregated, normalised = (_plates(inputs[level], encoder) for level in LEVELS)
        table = tables.read(_one(inputs["features"], encoder))
        joined = {name: tables.read(_one(inputs[name], encoder)) for name in ("aligned", "consensus")}
        if hand_made(table["Metadata_Feature"].tolist()):
            workspace, taken = f"workspace_{encoder}" if taken else "workspace", True
            kept = table.loc[table["Metadata_Kept"], "Metadata_Feature"].tolist()
            for plate, path in aggregated.items():
                keeps = tables.verdict(normalised[plate]).keep
                gallery.write_classical(
                    place / workspace / "profiles",
                    plate=plate,
                    batch=batches[plate],
                    source=source,
                    aggregated=tables.read(path),
                    normalised=tables.read(normalised[plate]) if keeps else None,
                    kept=kept,
                )
            assembled = place / workspace / "profiles_assembled" / encoder / f"v{__version__}"
            for name, frame in joined.items():
                gallery.write_table(frame, assembled / f"{name}.parquet", source=source)
        else:
            network, deep = f"{encoder}_{_hash(inputs['weights'], encoder, entry)}", place / "workspace_dl"
            for plate, path in aggregated.items():
                file = deep / "profiles" / network / batches[plate] / plate / f"{plate}.parquet"
                gallery.write_table(tables.read(path), file, source=source)
            for name, frame in {"collated": joined["aligned"], "consensus": joined["consensus"]}.items():
                gallery.write_table(frame, deep / name / network / f"{name}.parquet", source=source)


def models(
    inputs: Mapping[str, Sequence[str]],
    folder: Path,
    *,
    embed: Embed,
    options: Export,
    title: str,
    quantiles: Sequence[float],
    masked: bool,
) -> None:
    """Write the trained networks of a screen, each to a folder of its name below `folder`.

    Parameters
    ----------
    inputs
        Lists of paths by name: `cards`, `weights` and `scores` (by encoder), `intensity` (by plate).
    embed, options
        The config sections `embed` and `export`.
    title
        Of the screen.
    quantiles
        `images.low` and `images.high`.
    masked
        Whether pixels outside of the cell were replaced.
    """
    from wellspring.encoders.encoder import load
    from wellspring.export.model import write_model
    from wellspring.export.model_card import About

    intensities = pd.concat([tables.read(path) for path in inputs["intensity"]], ignore_index=True)
    if options.license == NOT_CHOSEN:
        logger.warning("export.license: no licence was chosen; nobody may use the models before it is")
    for path in map(Path, inputs["cards"]):
        name = path.parent.name
        about = About(
            title=title,
            license=options.license,
            authors=options.authors,
            intensities=intensities,
            summary=tables.read(_one(inputs["scores"], name)),
            quantiles=(quantiles[0], quantiles[1]),
            masked=masked,
        )
        known = load(path.with_name("encoder.safetensors"), path)
        write_model(known, folder / name, options=embed, about=about)


def _plates(paths: Sequence[str], encoder: str) -> dict[str, Path]:
    """Return plate -> path of the tables `<encoder>/<plate>.<level>.parquet`."""
    found = [Path(path) for path in paths if Path(path).parent.name == encoder]
    return {path.name.rsplit(".", 2)[0]: path for path in found}


def _one(paths: Sequence[str], encoder: str) -> Path:
    """Return the table of an encoder, `<encoder>.parquet` or `<encoder>.<what>.parquet`."""
    return next(Path(path) for path in paths if Path(path).name.split(".", 1)[0] == encoder)


def _hash(weights: Sequence[str], encoder: str, entry: Mapping[str, object]) -> str:
    """Return eight hex digits that identify a network: of its weights, or of its config entry where it has none."""
    files = [path for path in weights if Path(path).parent.name == encoder]
    return (file_digest(files[0]) if files else digest(entry))[:8]
