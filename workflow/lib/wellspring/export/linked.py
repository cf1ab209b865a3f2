"""Plates for viewers: pixels and, in each field's group `labels`, one label image per kind of object.

The workflow keeps pixels and labels in two plates, since two stages make them. This one joins them as NGFF 0.5 has it,
so that napari-ome-zarr, ngio and ome-zarr-py open plate, well and field with labels. The pixels are links to those of
`results/images`, so that they are not stored twice; the label images are written anew, one array (Y, X) per kind.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec, BloscShuffle

from wellspring.io import ngff
from wellspring.io.ngff_levels import REDUCED, middles
from wellspring.io.ngff_metadata import NGFF, image, path_of, write_group

LEVELS = ("0", "1")  # resolution levels of pixels and labels


def link_plate(images: str | Path, labels: str | Path, path: str | Path) -> None:
    """Write the plate that joins pixels and labels to `path`.

    Parameters
    ----------
    images, labels
        Stored plates (`wellspring.io.ngff`); fields of `images` without labels get none.
    path
        Folder to write; one that is there is replaced. Its links are relative, so that the results can be moved.

    Raises
    ------
    ValueError
        The labels are those of another plate of pixels.
    """
    images, labels, path = Path(images), Path(labels), Path(path)
    pixels, objects = ngff.open_plate(images), ngff.open_labels(labels)
    if objects.source is None or (labels / objects.source).resolve() != images.resolve():
        raise ValueError(f"{labels}: expected the labels of {images}, found those of {objects.source}")
    shutil.rmtree(path, ignore_errors=True)
    labelled = set(objects.fields)
    for well, site in pixels.fields:
        place = path_of(well, site)
        folder, source = path / place, images / place
        write_group(folder, _attributes(source))
        for level in LEVELS:
            _link(source / level, folder / level)
        if (well, site) in labelled:
            _labels(folder / "labels", objects, well, site)
    for row_or_well in sorted({parent for place in pixels.fields for parent in Path(path_of(*place)).parents}):
        if row_or_well != Path():
            write_group(path / row_or_well, _attributes(images / row_or_well))
    write_group(path, {"ome": _attributes(images)["ome"]})  # the root comes last: a reader needs it


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a group of a stored plate."""
    found: dict[str, Any] = json.loads((folder / "zarr.json").read_text())["attributes"]
    return found


def _link(source: Path, link: Path) -> None:
    """Make a relative link to an array, whose folder may itself be reached by a link."""
    link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()), target_is_directory=True)


def _labels(folder: Path, objects: ngff.PlateLabels, well: str, site: str) -> None:
    """Write the label images of a field, each with two resolution levels, below its group `labels`."""
    write_group(folder, {"ome": {"version": NGFF, "labels": list(objects.channels)}})
    for name in objects.channels:
        values = objects.read(well, site, name)
        described = image(name, pixel_size=objects.pixel_size, factors=(1, REDUCED), channels=False)
        about = {"image-label": {"version": NGFF, "source": {"image": "../../"}}}
        write_group(folder / name, {"ome": described | about})
        for level, pixels in zip(LEVELS, (values, middles(values[None])[0]), strict=True):
            _write(folder / name / level, pixels, ngff.tile_of(pixels.shape))


def _write(folder: Path, values: np.ndarray, tile: Sequence[int]) -> None:
    """Write a label image (Y, X) uint32 as a Zarr array."""
    array = zarr.create_array(
        folder,
        shape=values.shape,
        chunks=tuple(tile),
        dtype=values.dtype,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle=BloscShuffle.bitshuffle),
        dimension_names=("y", "x"),
    )
    array[:] = values
