"""Miniatures of JUMP-Lite in its exact layout: stores of site arrays, metadata tables, embeddings of sites.

Keys, columns, codecs and folders as in afermg/JUMP_lite (cpg_upload/JUMP_LITE_README.md, build_cpg_metadata.py and
compress_tif_release.py): JPEG XL in zarr v2, Blosc/Zstd of level 9 with bit shuffle in zarr v3, one chunk per site.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pandas as pd
import zarr
from imagecodecs.numcodecs import Jpegxl
from zarr.codecs import BloscCodec

CHANNELS = ("AGP", "DNA", "ER", "Mito", "RNA")
SHAPE = (48, 64)  # not square
CODECS = {
    "jpegxl_lossy_hq": Jpegxl(lossless=False, distance=1.0),
    "jpegxl_lossy_mq": Jpegxl(lossless=False, distance=3.0),
    "jpegxl_lossy_d20": Jpegxl(lossless=False, distance=20.0),
    "zstd": BloscCodec(cname="zstd", clevel=9, shuffle="bitshuffle"),
}
DMSO = "JCP2022_033924"


def field(rng: np.random.Generator, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Return a site (5, H, W) uint16: round cells, brighter in some channels, on a dim ground."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    ground = np.zeros(shape)
    for _ in range(max(3, shape[0] * shape[1] // 1200)):
        centre = rng.uniform(0.1, 0.9, 2) * shape
        ground += np.exp(-((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / rng.uniform(20, 40))
    levels = rng.uniform(1500, 4000, (len(CHANNELS), 1, 1))
    return (200 + ground[None] * levels + rng.normal(0, 15, (len(CHANNELS), *shape))).clip(0, 65535).astype(np.uint16)


def store(folder: Path, sites: Mapping[str, np.ndarray], *, codec: str = "jpegxl_lossy_mq") -> Path:
    """Write ``CODEC.zarr`` with an array per key, as the release's own script does; returns the store."""
    place, form = folder / f"{codec}.zarr", 3 if codec == "zstd" else 2
    zarr.open_group(store=place, mode="a", zarr_format=form)
    for key, pixels in sites.items():
        zarr.create_array(
            store=place, name=key, data=pixels, chunks=pixels.shape, compressors=CODECS[codec], zarr_format=form
        )
    return place


def decoded(array: Path) -> np.ndarray:
    """Decode a site without zarr: (5, H, W)."""
    if (array / ".zarray").is_file():
        return np.asarray(imagecodecs.jpegxl_decode((array / "0.0.0").read_bytes()))
    shape = tuple(zarr.open_array(array, mode="r").shape)
    raw = imagecodecs.blosc_decode((array / "c" / "0" / "0" / "0").read_bytes())
    return np.frombuffer(raw, dtype="<u2").reshape(shape)


def metadata(folder: Path, wells: pd.DataFrame, *, sites: Sequence[int] = (1, 2), unannotated: int = 0) -> Path:
    """Write the four Parquet files of the release.

    `wells` has source, batch, plate, well, jcp, symbol, pert_type and kind (compound, crispr, orf); its last
    `unannotated` rows are in the site index only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = wells[["source", "batch", "plate", "well"]]
    place.columns = [f"Metadata_{name}" for name in ("Source", "Batch", "Plate", "Well")]
    index = place.merge(pd.DataFrame({"Metadata_Site": np.array(sites, dtype="int64")}), how="cross")
    index.insert(0, "Metadata_Site_Key", joined(index))
    for channel in CHANNELS:
        index[f"URL_Orig{channel}"] = "s3://cellpainting-gallery/cpg0016-jump/" + index["Metadata_Site_Key"] + channel
    index.to_parquet(folder / "jump_lite_site_index.parquet", index=False)
    known = place.iloc[: len(place) - unannotated].copy()
    given = wells.iloc[: len(known)]
    known.insert(0, "Metadata_Well_Key", joined(known))
    known["Metadata_JCP2022"] = given["jcp"]
    known["Metadata_broad_sample"] = None
    known["Metadata_Symbol"] = given["symbol"]
    known["Metadata_pert_type"] = given["pert_type"]
    known["Metadata_Perturbation_Type"] = given["kind"]
    known["Metadata_Group"] = "a"
    known.to_parquet(folder / "jump_lite_perturbation_metadata.parquet", index=False)
    targets = [
        ("JCP2022_000001", "EGFR", "Tier1"),
        ("JCP2022_000001", "ERBB2", "Tier2"),
        ("JCP2022_000001", "KRAS", "Tier4"),
        ("JCP2022_000002", "EGFR", "Tier1"),
    ]
    names = ["Metadata_JCP2022", "target", "WithinModalityTier"]
    pd.DataFrame(targets, columns=names).assign(mode="inhibitor").to_parquet(
        folder / "jump_lite_refchem_annotations.parquet", index=False
    )
    plates = (
        index.groupby(["Metadata_Source", "Metadata_Batch", "Metadata_Plate"]).size().reset_index(name="site_count")
    )
    plates.to_parquet(folder / "jump_lite_plate_manifest.parquet", index=False)
    return folder


def joined(frame: pd.DataFrame) -> pd.Series:
    """Return the columns Metadata_Source, _Batch, _Plate, _Well and _Site, if there, joined as a key."""
    names = [f"Metadata_{name}" for name in ("Source", "Batch", "Plate", "Well", "Site")]
    columns = [frame[name].astype(str) for name in names if name in frame]
    return columns[0].str.cat(columns[1:], sep="__")


def embeddings(
    folder: Path, keys: Sequence[str], *, name: str, size: int = 6, tiles: int = 2, flat: bool = False
) -> Path:
    """Write an embedding per site in long form; returns the folder of the release's batch.

    `flat` names the files by the key, as the pipeline writes them; else as in the gallery.
    """
    home = folder / name / "2026_jump_lite_v1.0"
    for key in keys:
        rng = np.random.default_rng(sum(map(ord, key + name)))
        source, batch, plate, well, site = key.split("__")
        path = home / (f"{key}.parquet" if flat else f"{source}/{batch}/{plate}/{well}-{site}/embedding.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [(tile, metric) for tile in range(2) for metric in range(size)]
        frame = pd.DataFrame(rows, columns=["tile", "metric"])
        frame = frame.assign(label=0, branch="max", value=rng.normal(size=len(frame)).astype(np.float32))
        frame = frame.assign(metric=frame["metric"].map("X_{}".format), object=name.partition("-")[0], tp=0)
        frame[["tile", "label", "branch", "metric", "value", "object", "tp"]].to_parquet(path, index=False)
    return home
