"""Miniatures of the Cell Painting Gallery: folders, tables and names as in its documentation/data_structure.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile

import jump_lite

BUCKET = "s3://cellpainting-gallery"
SOURCE = ("cpg0016-jump", "source_4")
BATCHES = {"2021_04_26_Batch1": ["BR00117035", "BR00117036"], "2021_05_31_Batch2": ["BR00118041"]}
WELLS = {"a1": "", "A02": "BRD-K1", "B03": "BRD-K2"}
SAMPLES = pd.DataFrame(
    {
        "broad_sample": ["BRD-K1", "BRD-K2", ""],
        "pert_iname": ["nimodipine", "KG-5", "DMSO"],
        "pert_type": ["trt", "control", "control"],
        "control_type": ["", "poscon_cp", "negcon"],
        "gene": ["CACNB4", "FLT3", ""],
    }
)
CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito", "Brightfield")


def write(
    root: Path,
    *,
    place: Sequence[str] = SOURCE,
    batches: Mapping[str, Sequence[str]] = BATCHES,
    channels: Sequence[str] = CHANNELS,
    urls: bool = True,
    shape: tuple[int, int] = (6, 9),
    sites: int = 2,
    wells: Mapping[str, str] = WELLS,
) -> Path:
    """Write a source of a project below `root`; the image tables name URLs, or files and folders of another machine."""
    home, rng = root.joinpath(*place), np.random.default_rng(0)
    for batch, plates in batches.items():
        for plate in plates:
            measurement = f"{plate}__2021-05-02T16_02_51-Measurement1"
            folder = home / "images" / batch / "images" / measurement / "Images"
            folder.mkdir(parents=True)
            rows = []
            for number, well in enumerate(wells):
                for site in range(1, sites + 1):
                    row = {"Metadata_Plate": plate, "Metadata_Well": well.upper(), "Metadata_Site": str(site)}
                    pixels = jump_lite.field(rng, shape)
                    for order, channel in enumerate(channels):
                        name = f"r01c{number + 1:02d}f{site:02d}p01-ch{order + 1}sk1fk1fl1.tiff"
                        tifffile.imwrite(folder / name, pixels[order % len(pixels)] + order)
                        where = folder.relative_to(root).as_posix()
                        if urls:
                            row[f"URL_Orig{channel}"] = f"{BUCKET}/{where}/{name}"
                        else:
                            row[f"FileName_Orig{channel}"] = name
                            row[f"PathName_Orig{channel}"] = f"/home/ubuntu/bucket/{measurement}/Images"
                    row["URL_IllumDNA"] = f"{BUCKET}/illum/{plate}_IllumDNA.npy"
                    rows.append(row)
            table = home / "workspace" / "load_data_csv" / batch / plate / "load_data.csv"
            table.parent.mkdir(parents=True)
            pd.DataFrame(rows).to_csv(table, index=False)
        maps = home / "workspace" / "metadata" / "platemaps" / batch
        (maps / "platemap").mkdir(parents=True)
        named = pd.DataFrame({"Assay_Plate_Barcode": list(plates), "Plate_Map_Name": "OAA01.02.03.04.A"})
        named.to_csv(maps / "barcode_platemap.csv", index=False)
        layout = pd.DataFrame({"plate_map_name": "OAA01.02.03.04.A", "well_position": list(wells)})
        layout.assign(broad_sample=list(wells.values()), solvent="DMSO").to_csv(
            maps / "platemap" / "OAA01.02.03.04.A.txt", sep="\t", index=False
        )
    external = home / "workspace" / "metadata" / "external_metadata" / "external_metadata.tsv"
    external.parent.mkdir(parents=True)
    SAMPLES.to_csv(external, sep="\t", index=False)
    return root


def harmonized(path: Path, plates: Sequence[str]) -> Path:
    """Write a table of harmonised metadata, one row per image."""
    rows = [
        {
            "File Path": f"https://cellpainting-gallery.s3.us-east-1.amazonaws.com/{plate}/{well}{site}.tiff",
            "Source": "source_4",
            "Batch": "b",
            "Plate": plate,
            "Well": well,
            "Site": site,
            "Treatment_Primary_Treatment": treatment,
            "Treatment_Concentration": dose,
            "Treatment_Control_Class": kind,
            "Cell_Line_Name": "U2OS",
        }
        for plate in plates
        for well, treatment, dose, kind in (
            ("A01", "DMSO", "", "NegCon"),
            ("A02", "nimodipine", "5", "Treatment"),
            ("B03", "KG-5", "2.5", "PosCon"),
        )
        for site in (1, 2)
        for _ in CHANNELS
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
