"""Miniatures of published data sets: their metadata files' exact columns and folder shapes, few wells, tiny images.

BBBC021: header lines, plate, file and folder names as in ``BBBC021_v1_image.csv`` and ``BBBC021_v1_moa.csv``. CPJUMP1:
header lines, barcodes and conditions as in the repository jump-cellpainting/2024_Chandrasekaran_NatureMethods, samples
and control types of wells as in its platemap and compound metadata, folders as in the Cell Painting Gallery.
"""

import csv
import gzip
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from wellspring.index import run as index
from wellspring.screen import config, sections, sheet

IMAGE_COLUMNS = (
    "TableNumber,ImageNumber,Image_FileName_DAPI,Image_PathName_DAPI,Image_FileName_Tubulin,Image_PathName_Tubulin,"
    "Image_FileName_Actin,Image_PathName_Actin,Image_Metadata_Plate_DAPI,Image_Metadata_Well_DAPI,Replicate,"
    "Image_Metadata_Compound,Image_Metadata_Concentration"
)
PREFIX = {"Week1": "Week1_150607_", "Week7": "Week7_7__"}  # what file names of a week begin with; nothing elsewhere
CONTROLS = {"B02": ("DMSO", "0"), "C02": ("DMSO", "0"), "D02": ("DMSO", "0"), "E11": ("DMSO", "0"),
            "F11": ("DMSO", "0"), "G11": ("DMSO", "0"), "E02": ("taxol", "0.3"), "B11": ("taxol", "0.3")}  # fmt: skip
# plate -> well -> compound and concentration as written in the published file
PLATES = {
    "Week1_22123": {"D05": ("taxol", "0.3"), "B03": ("cytochalasin B", "30"), "B09": ("cytochalasin B", "0.03")},
    "Week1_22141": {"D05": ("taxol", "0.3"), "B03": ("cytochalasin B", "30"), "B09": ("cytochalasin B", "0.03")},
    "Week7_34341": {"C03": ("epothilone B", "1"), "C04": ("latrunculin B", "3"), "C05": ("AZ-J", "3e-4")},
}  # fmt: skip
MOA = (
    ("taxol", "0.300000", "Microtubule stabilizers"),
    ("cytochalasin B", "30.000000", "Actin disruptors"),
    ("epothilone B", "1.000000", "Microtubule stabilizers"),
    ("latrunculin B", "3.000000", "Actin disruptors"),
    ("DMSO", "0.000000", "DMSO"),
)
# of the experiment's table: first barcode columns and conditions of the 24 compound plates and of two others
COMPOUND_PLATES = {
    ("A549", "24", "100", "Parental", "WGA"): ("BR00116991", "BR00116992", "BR00116993", "BR00116994"),
    ("U2OS", "24", "100", "Parental", "WGA"): ("BR00116995", "BR00117024", "BR00117025", "BR00117026"),
    ("A549", "48", "80", "Parental", "none"): ("BR00117008", "BR00117009"),
    ("U2OS", "48", "100", "Parental", "Mitotracker"): ("BR00117010", "BR00117013"),
    ("U2OS", "48", "100", "Parental", "none"): ("BR00117011", "BR00117012"),
    ("A549", "48", "100", "Parental", "none"): ("BR00117015", "BR00117016", "BR00117017", "BR00117019"),
    ("A549", "48", "100", "Cas9", "none"): ("BR00117050", "BR00117051", "BR00117052", "BR00117053"),
    ("A549", "48", "120", "Parental", "none"): ("BR00117054", "BR00117055"),
}
OTHER_PLATES = {"BR00117006": ("orf", "A549"), "BR00116996": ("crispr", "U2OS")}
EXPERIMENT_COLUMNS = (
    "Batch,Plate_Map_Name,Assay_Plate_Barcode,Perturbation,Cell_type,Time,Density,Antibiotics,Cell_line,Time_delay,"
    "Times_imaged,Anomaly,Number_of_images"
)
BATCH = "2020_11_04_CPJUMP1"
COMPOUND_COLUMNS = "broad_sample,InChIKey,pert_iname,pubchem_cid,gene,pert_type,control_type,smiles"
SAMPLES = (
    ("BRD-A86665761-001-01-1", "TZDUHAJSIBHXDL-UHFFFAOYSA-N", "gabapentin-enacarbil", "9883933", "CACNB4", "trt", ""),
    ("BRD-A58048407-001-20-4", "UIAGMCDKSXEBJQ-UHFFFAOYSA-N", "nimodipine", "4497", "CACNB4", "trt", ""),
    ("BRD-K38775274-001-22-1", "UREBDLICKHMUKA-CXSFZGCWSA-N", "dexamethasone", "5743", "ANXA1", "trt", ""),
    ("BRD-A10188456-001-04-9", "UREBDLICKHMUKA-QCYOSJOCSA-N", "dexamethasone", "5702035", "ANXA1", "trt", ""),
    ("BRD-K23363278-001-02-1", "MTJHLONVHHPNSI-IBGZPJMESA-N", "CYT-997", "", "TUBB", "control", "poscon_diverse"),
    ("BRD-K90747162-001-01-4", "CMYHZFCJPORPHY-UHFFFAOYSA-N", "KG-5", "53328059", "FLT3", "control", "poscon_cp"),
    ("BRD-K54330070-001-19-6", "QHKYPYXTTXKZST-UHFFFAOYSA-N", "SB-202190", "", "MAPK14", "control", "poscon_orf"),
    ("", "IAZDPXIOMUYVGZ-UHFFFAOYSA-N", "DMSO", "679", "", "control", "negcon"),
)  # fmt: skip
# well -> sample, as in the platemap; E06 repeats C09
WELLS = {
    "A01": "BRD-A86665761-001-01-1", "A02": "", "A09": "", "A17": "", "A21": "BRD-K38775274-001-22-1", "B03": "",
    "B14": "", "C03": "", "C09": "BRD-K23363278-001-02-1", "C13": "BRD-K90747162-001-01-4",
    "E06": "BRD-K23363278-001-02-1", "E09": "BRD-K54330070-001-19-6", "O02": "BRD-A10188456-001-04-9",
    "O21": "BRD-A58048407-001-20-4",
}  # fmt: skip


def bbbc021(
    folder: Path,
    *,
    plates: Mapping[str, Mapping[str, tuple[str, str]]] = PLATES,
    moa: Sequence[tuple[str, str, str]] = MOA,
    sites: int = 4,
    side: int = 16,
    nested: bool = False,
) -> tuple[Path, Path]:
    """Write a miniature of BBBC021; returns the folders of images and of metadata files.

    `nested` unpacks each archive into a folder of its own name instead of side by side; fields of `side` 0 are empty
    files.
    """
    images, metadata, rows = folder / "images", folder / "metadata", []
    rng = np.random.default_rng(0)
    for table, (plate, treated) in enumerate(plates.items(), start=1):
        week = plate.partition("_")[0]
        home = images / (f"BBBC021_v1_images_{plate}/{plate}" if nested else plate)
        home.mkdir(parents=True)
        for well, (compound, dose) in sorted({**CONTROLS, **treated}.items()):
            for site in range(1, sites + 1):
                names = [_file(plate, f"{PREFIX.get(week, '')}{well}_s{site}_w{number}") for number in (1, 2, 4)]
                for name, pixels in zip(names, _field(rng, side, 3), strict=True):
                    _image(home / name, pixels)
                pairs = [part for name in names for part in (name, f"{week}/{plate}")]
                replicate = str(1 + list(plates).index(plate) % 3)
                rows.append([str(table), str(len(rows) + 1), *pairs, plate, well, replicate, compound, dose])
    metadata.mkdir(parents=True)
    write(metadata / "BBBC021_v1_image.csv", IMAGE_COLUMNS, rows)
    text = "".join(f'"{name}",{dose},"{label}"\n' for name, dose, label in moa)
    (metadata / "BBBC021_v1_moa.csv").write_text('"compound",concentration,"moa"\n' + text)
    return images, metadata


def cpjump1(
    folder: Path,
    *,
    imaged: Sequence[str] = ("BR00116991", "BR00116995", "BR00117026"),
    wells: Mapping[str, str] = WELLS,
    sites: int = 2,
    side: int = 16,
) -> tuple[Path, Path]:
    """Write a miniature of CPJUMP1, all plates in the metadata and images of `imaged`; returns both folders."""
    images, metadata = folder / "images" / BATCH, folder / "metadata"
    rng = np.random.default_rng(0)
    for plate in imaged:
        home = images / "images" / f"{plate}__2020-11-05T19_51_35-Measurement1" / "Images"
        home.mkdir(parents=True)
        (home.parent / "Assaylayout").mkdir()
        (images / "illum" / plate).mkdir(parents=True)
        for well in wells:
            place = f"r{ord(well[0]) - 64:02d}c{int(well[1:]):02d}"
            for site in range(1, sites + 1):
                for number, pixels in enumerate(_field(rng, side, 8), start=1):
                    _image(home / f"{place}f{site:02d}p01-ch{number}sk1fk1fl1.tiff", pixels)
    name = "JUMP-Target-1_compound_platemap"
    experiment, barcodes = [], []
    for (line, time, density, modified, anomaly), plates in COMPOUND_PLATES.items():
        for plate in plates:
            conditions = [line, time, density, "absent", modified, "Day0", "1", anomaly, "27648"]
            experiment.append([BATCH, name, plate, "compound", *conditions])
            barcodes.append([plate, name])
    for plate, (kind, line) in OTHER_PLATES.items():
        other = f"JUMP-Target-1_{kind}_platemap"
        conditions = [line, "96", "100", "absent", "Parental", "Day0", "1", "Phalloidin", "27648"]
        experiment.append([BATCH, other, plate, kind, *conditions])
        barcodes.append([plate, other])
    experiment.append([f"{BATCH}_DL", *experiment[0][1:]])
    write(metadata / "benchmark/output/experiment-metadata.tsv", EXPERIMENT_COLUMNS, experiment, separator="\t")
    maps = metadata / "metadata/platemaps" / BATCH
    write(maps / "barcode_platemap.csv", "Assay_Plate_Barcode,Plate_Map_Name", barcodes)
    rows = [[well, sample, "DMSO"] for well, sample in sorted(wells.items())]
    for batch in (BATCH, "2020_12_08_CPJUMP1_Bleaching"):
        write(
            maps.parent / batch / "platemap" / f"{name}.txt", "well_position,broad_sample,solvent", rows, separator="\t"
        )
    samples = [[*sample, "CC"] for sample in SAMPLES]
    external = metadata / "metadata/external_metadata/JUMP-Target-1_compound_metadata.tsv"
    write(external, COMPOUND_COLUMNS, samples, separator="\t")
    return images, metadata


def load_data(folder: Path, plate: str, *, wells: Mapping[str, str] = WELLS, sites: int = 2) -> Path:
    """Write ``load_data_csv/<batch>/<plate>/load_data.csv.gz``; returns the folder ``load_data_csv``."""
    channels = ("Mito", "AGP", "RNA", "ER", "DNA", "HighZBF", "LowZBF", "Brightfield")
    stem = f"/home/ubuntu/bucket/projects/2019_07_11_JUMP-CP-pilots/{BATCH}/images/{plate}__2020-11-05T19_51_35"
    header = [f"{kind}_Orig{name}" for name in channels for kind in ("FileName", "PathName")]
    lines = [",".join([*header, "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_PositionX"])]
    for well in wells:
        place = f"r{ord(well[0]) - 64:02d}c{int(well[1:]):02d}"
        for site in range(1, sites + 1):
            names = [f"{place}f{site:02d}p01-ch{number}sk1fk1fl1.tiff" for number in range(1, 9)]
            pairs = [part for name in names for part in (name, f"{stem}-Measurement1/Images/")]
            lines.append(",".join([*pairs, plate, well, str(site), "0.1"]))
    path = folder / "load_data_csv" / BATCH / plate / "load_data.csv.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder / "load_data_csv"


def write(path: Path, columns: str, rows: Sequence[Sequence[str]], *, separator: str = ",") -> None:
    """Write a table; `columns` are joined by commas, whatever the separator."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter=separator, lineterminator="\n").writerows([columns.split(","), *rows])


def _image(path: Path, pixels: np.ndarray) -> None:
    """Write a plane as TIFF; an empty file where it has no pixels, which is enough for whoever lists files."""
    if pixels.size:
        tifffile.imwrite(path, pixels)
    else:
        path.touch()


def _file(plate: str, stem: str) -> str:
    return f"{stem}{str(uuid.uuid5(uuid.NAMESPACE_OID, plate + stem)).upper()}.tif"


def _field(rng: np.random.Generator, side: int, channels: int) -> np.ndarray:
    """Return a field (C, side, side) uint16: a few round cells on a dim ground, brighter in their nuclei."""
    rows, columns = np.mgrid[:side, :side]
    field = np.zeros((side, side))
    for _ in range(max(1, side * side // 1500)):
        centre, radius = rng.uniform(0.15, 0.85, 2) * side, rng.uniform(4, 6)
        field += np.exp(-((((rows - centre[0]) ** 2 + (columns - centre[1]) ** 2) / radius**2) ** 2))
    stack = field[None] * rng.uniform(1500, 3000, (channels, 1, 1))
    return (200 + stack + rng.normal(0, 20, (channels, side, side))).clip(0, 65535).astype(np.uint16)


def indexed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """Return the index of every plate of the screen, as the rule makes it in the screen's folder."""
    monkeypatch.chdir(folder)
    given = config.resolve(yaml.safe_load((folder / "config" / "config.yaml").read_text()))
    options = sections.read(sections.Index, given["index"])
    plates = sheet.read(given["plates"])
    found = [index.build(row, given["channels"], options) for row in plates.to_dict("records")]
    assert all(part.verdict.keep for part in found)
    return pd.concat([part.table for part in found], ignore_index=True)


def edited(mini: tuple[Path, Path], name: str, before: str, after: str) -> tuple[Path, Path]:
    """Replace the first `before` in a metadata file; fails if the file does not contain it."""
    path = mini[1] / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    return mini
