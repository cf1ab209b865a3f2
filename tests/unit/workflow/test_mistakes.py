"""Ordinary mistakes, one at a time: the check names the thing, what was expected, what was found and the remedy."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import tifffile
import yaml

from wellspring.__main__ import main as command
from wellspring.report import checked, wording
from wellspring.workflow import disk_space, preflight

PATTERN = r"(?P<well>[A-Z][0-9]{2})_s(?P<site>[0-9]+)_(?P<channel>[A-Za-z]+)\.tif"
CONFIG = {
    "plates": "plates.tsv",
    "channels": ["DNA", "ER"],
    "index": {"pattern": PATTERN},
    "cells": {"nuclei": "DNA", "cytoplasm": ["ER"]},
    "encoders": {"classical": {"kind": "classical"}},
    "profile": {"min_controls": 2},
}
MAP = "well,compound,dose_uM\nA01,DMSO,\nA02,DMSO,\nB01,x,1\nB02,y,2\n"
SHEET = "plate\timages\tplatemap\trole\nP1\tP1\tP1.csv\tfit\nP2\tP2\tP2.csv\tfit\n"


@pytest.fixture(scope="module")
def screen(tmp_path_factory) -> Path:
    """Two plates of four wells, one site and two channels, of 20 x 28 px."""
    folder, rng = tmp_path_factory.mktemp("screen"), np.random.default_rng(0)
    for plate in ("P1", "P2"):
        (folder / plate).mkdir()
        (folder / f"{plate}.csv").write_text(MAP)
        for well in ("A01", "A02", "B01", "B02"):
            for channel in ("DNA", "ER"):
                pixels = rng.integers(100, 4000, (20, 28)).astype(np.uint16)
                tifffile.imwrite(folder / plate / f"{well}_s1_{channel}.tif", pixels)
    (folder / "plates.tsv").write_text(SHEET)
    return folder


def config(**sections: object) -> Callable[[Path, dict], None]:
    """Replace keys of sections, or whole keys, of the config."""

    def change(folder: Path, written: dict) -> None:
        for name, value in sections.items():
            both = isinstance(value, dict) and isinstance(written.get(name), dict)
            written[name] = written[name] | value if both else value

    return change


def file(name: str, content: str | bytes) -> Callable[[Path, dict], None]:
    """Replace a file."""

    def change(folder: Path, written: dict) -> None:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def sheet(old: str, new: str) -> Callable[[Path, dict], None]:
    """Replace a text of the sheet."""
    return file("plates.tsv", SHEET.replace(old, new, 1))


def wells(old: str, new: str) -> Callable[[Path, dict], None]:
    """Replace a text of the first platemap."""
    return file("P1.csv", MAP.replace(old, new))


def images(change: Callable[[Path], None]) -> Callable[[Path, dict], None]:
    """Change each image of channel ER of the first plate."""
    return lambda folder, written: [change(path) for path in sorted((folder / "P1").glob("*_ER.tif"))] and None


def workbook(folder: Path, written: dict) -> None:
    """Save the sheet as Excel under the old name."""
    book = openpyxl.Workbook()
    for line in SHEET.splitlines():
        book.active.append(line.split("\t"))
    book.save(folder / "plates.xlsx")
    (folder / "plates.xlsx").rename(folder / "plates.tsv")


def colour(path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (20, 28, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb")


def _tabled(folder: Path) -> None:
    """Describe the first plate by a LoadData table whose images lie in another folder."""
    for path in (folder / "P1").iterdir():
        path.unlink()
    rows = f"Metadata_Well,FileName_DNA,PathName_DNA,FileName_ER,PathName_ER\nA01,a.tif,{folder}/x,a.tif,{folder}/x\n"
    (folder / "P1" / "load_data.csv").write_text(rows)
    (folder / "x").mkdir()
    (folder / "x" / "a.tif").write_bytes((folder / "P2" / "A01_s1_DNA.tif").read_bytes())


def _moved(folder: Path, written: dict) -> None:
    """Describe the images of both plates by LoadData tables, and state where another folder lies now."""
    head = "Metadata_Well,FileName_DNA,PathName_DNA,FileName_ER,PathName_ER\n"
    for plate in ("P1", "P2"):
        rows = [
            f"{well},{well}_s1_DNA.tif,{folder}/{plate},{well}_s1_ER.tif,{folder}/{plate}\n"
            for well in ("A01", "A02", "B01", "B02")
        ]
        (folder / plate / "load_data.csv").write_text(head + "".join(rows))
    written["index"] = {"moved": {"/old/{plate}": "/lost"}}


def _annotated(**moas: str) -> Callable[[Path, dict], None]:
    """Give the compound x of plates a mechanism."""

    def change(folder: Path, written: dict) -> None:
        for plate, moa in moas.items():
            rows = MAP.replace("dose_uM", "dose_uM,moa").replace("x,1", f"x,1,{moa}")
            (folder / f"{plate}.csv").write_text(rows)

    return change


def _two_lines(folder: Path, written: dict) -> None:
    """Name a cell line in the sheet and another one in a platemap."""
    (folder / "plates.tsv").write_text("plate,images,platemap,cell_line\nP1,P1,P1.csv,A549\nP2,P2,P2.csv,A549\n")
    rows = [f"{row},U2OS" for row in MAP.splitlines()[1:]]
    (folder / "P1.csv").write_text("\n".join(["well,compound,dose_uM,cell line", *rows]) + "\n")


def without_controls(folder: Path, written: dict) -> None:
    for plate in ("P1", "P2"):
        (folder / f"{plate}.csv").write_text(MAP.replace("DMSO", "DMSO (0.1 %)"))


MISTAKES = {
    "pattern that matches nothing": (
        config(index={"pattern": r"(?P<well>[A-Z][0-9]{2})-(?P<channel>\w+)\.tif"}),
        ("P1", "expected in", "index.pattern", "A01_s1_DNA.tif"),
    ),
    "pattern that is no expression": (
        config(index={"pattern": "(?P<well>["}),
        ("index.pattern: expected a regular expression", "found '(?P<well>['"),
    ),
    "pattern without a well": (
        config(index={"pattern": r"(?P<site>[0-9])\.tif"}),
        ("index.pattern", "expected a group well", "found ['site']"),
    ),
    "channel of another name": (
        config(channels=["DAPI", "TRITC"], cells={"nuclei": "DAPI", "cytoplasm": ["TRITC"]}),
        ("P1", "expected the channels ['DAPI', 'TRITC']", "found ['DNA', 'ER']", "index.channels"),
    ),
    "name in the files for a channel that is not there": (
        config(index={"channels": {"AGP": "w3"}}),
        ("index.channels", "['DNA', 'ER']", "'AGP'"),
    ),
    "no channels": (config(channels=[]), ("channels: expected the names of the channels", "found none")),
    "misspelled key": (
        config(survey={"max_exclude": 0.1}),
        ("survey: unknown key 'max_exclude'", "did you mean 'max_excluded'?"),
    ),
    "misspelled section": (config(surveys={}), ("unknown key 'surveys'", "did you mean 'survey'?")),
    "key of an earlier version": (
        config(survey={"verdicts": "x"}),
        ("survey.verdicts was renamed to survey.exclusions",),
    ),
    "text for a number": (config(seed="one"), ("seed: 'one' is not of type 'integer'",)),
    "share above one": (config(survey={"max_excluded": 2}), ("survey.max_excluded", "2", "maximum of 1")),
    "word that is no choice": (config(images={"projection": "maximum"}), ("images.projection", "'maximum'", "'max'")),
    "misspelled kind": (config(encoders={"a": {"kind": "simcrl"}}), ("encoders.a.kind", "'simcrl'", "'simclr'")),
    "preset that does not exist": (
        config(encoders={"a": {"like": "demo.simcrl"}}),
        ("encoders.a.like", "expected", "demo.simclr", "found 'demo.simcrl'"),
    ),
    "presets in a circle": (
        config(encoders={"a": {"like": "b"}, "b": {"like": "a"}}),
        ("like: expected no circle", "a -> b -> a"),
    ),
    "encoder of the report that is not there": (
        config(report={"encoder": "clasical"}),
        ("report.encoder", "['classical']", "found 'clasical'", "did you mean"),
    ),
    "channel of nuclei that is not there": (config(cells={"nuclei": "DAPI"}), ("cells.nuclei", "'DNA'", "'DAPI'")),
    "channel of cells that is not there": (config(cells={"cytoplasm": ["RNA"]}), ("cells.cytoplasm", "'ER'", "'RNA'")),
    "stain of the tiles that is no channel": (
        config(embed={"stain": "DAPI"}),
        ("embed.stain: expected names out of channels, ['DNA', 'ER'], found ['DAPI']",),
    ),
    "channel of the foreground that is none": (
        config(train={"foreground_channel": "Dna"}),
        ("train.foreground_channel: expected names out of channels", "found ['Dna']", "did you mean 'DNA'?"),
    ),
    "batch that the GPUs cannot share": (
        config(encoders={"a": {"kind": "simclr", "view": {"kind": "tile"}, "batch": 64}}, train={"gpus": 3}),
        ("encoders.a.batch: expected a multiple of train.gpus", "= 3, found 64"),
    ),
    "weights that are not there": (
        config(encoders={"a": {"kind": "timm", "weights": "/lost/w.pth"}}),
        ("encoders.a.weights: expected a local file", "/lost/w.pth"),
    ),
    "table that is not there": (
        config(encoders={"a": {"kind": "table", "files": "{plate}.parquet"}}),
        ("P1: expected a table at P1.parquet",),
    ),
    "classical features without cells": (
        config(cells={"activate": False}),
        ("encoders.classical", "expected cells.activate true", "found false"),
    ),
    "sheet that is not there": (
        config(plates="plate.tsv"),
        ("plate.tsv: expected the plate sheet here", "no such file"),
    ),
    "spaces for tabs": (
        file("plates.tsv", SHEET.replace("\t", " ")),
        ("plates.tsv: expected the columns", "found ['plate images", "a tab"),
    ),
    "missing tab": (
        file("plates.tsv", "plate\timages\tplatemap\nP1\tP1 P1.csv\n"),
        ("plates.tsv: line 2: expected a value in column 'platemap'", "is a tab missing in 'P1 P1.csv'?"),
    ),
    "sheet in Latin-1": (
        file("plates.tsv", SHEET.replace("role", "Größe").encode("latin-1")),
        ("plates.tsv: line 1: expected UTF-8", "Latin-1", "save the file as UTF-8"),
    ),
    "workbook called .tsv": (
        workbook,
        ("plates.tsv: expected a plate sheet as text", "give Excel files the ending .xlsx"),
    ),
    "swapped columns": (
        sheet("P1\tP1.csv", "P1.csv\tP1"),
        ("plate P1: expected a folder of images and a platemap", "swap the two columns"),
    ),
    "missing column": (
        file("plates.tsv", "plate\timages\nP1\tP1\n"),
        ("expected the columns ['platemap']", "found ['plate', 'images']"),
    ),
    "plate twice": (sheet("P2\tP2", "P1\tP2"), ("expected each plate once, found ['P1'] more than once",)),
    "misspelled role": (
        sheet("\tfit", "\theldut"),
        ("line 2: expected a role of", "found 'heldut'", "did you mean 'heldout'?"),
    ),
    "no plate to fit on": (
        file("plates.tsv", SHEET.replace("\tfit", "\tproject")),
        ("expected at least one plate of role `fit`", "['project']"),
    ),
    "folder that is not there": (
        sheet("\tP1\t", "\traw/P1\t"),
        ("plate P1: expected images at 'raw/P1', found no such",),
    ),
    "platemap that is not there": (
        sheet("P1.csv", "map.csv"),
        ("plate P1: expected platemap at 'map.csv', found no such",),
    ),
    "plate name with a slash": (sheet("P1\tP1", "a/P1\tP1"), ("line 2: expected a plate of letters, digits", "'a/P1'")),
    "platemap without wells": (
        wells("well,", "place,"),
        ("P1.csv: expected a column well", "found ['place', 'compound', 'dose_uM']", "index.columns.well"),
    ),
    "compounds under another name": (
        wells("compound", "locus"),
        (
            "P1.csv: no well has a compound",
            "found ['well', 'locus'",
            "rename that of compounds to compound, or set index",
        ),
    ),
    "column of the config that the platemap lacks": (
        config(index={"columns": {"compound": "compond"}}),
        ("P1.csv has no column ['compond']", "index.columns", "found ['well'", "did you mean 'compound'?"),
    ),
    "control in small letters": (
        wells("DMSO", "dmso"),
        ("P1.csv: expected the controls of index.negcon", "'dmso' in 2 wells", "'DMSO'", "index.negcon: ["),
    ),
    "control under another name": (
        without_controls,
        ("expected negative controls", "index.negcon ['DMSO']", "found none", "perhaps DMSO (0.1 %)"),
    ),
    "unknown type": (
        wells("dose_uM\nA01,DMSO,\n", "pert_type\nA01,DMSO,controll\n"),
        ("P1.csv: expected ('trt',", "in pert_type, found ['1', '2', 'controll']", "index.pert_types"),
    ),
    "well twice": (wells("A02", "A01"), ("P1: expected a well once in", "found twice ['A01']")),
    "well that no plate has": (
        wells("A02", "AZ99"),
        ("P1.csv: line 3: well 'AZ99': expected rows A to AF and columns 1 to 48",),
    ),
    "dose in words": (
        wells(",1\n", ",lots\n"),
        ("P1.csv: expected numbers as concentrations, found ['lots'] in column 'dose_uM'", "index.columns"),
    ),
    "two columns of doses": (
        file("P1.csv", "well,compound,dose_uM,conc_nM\nA01,DMSO,,\nB01,x,1,999\n"),
        ("P1.csv: expected one column of concentrations, found ['dose_uM', 'conc_nM']", "index.columns.concentration"),
    ),
    "plates of different units": (
        wells("uM", "nM"),
        ("expected one unit", "'nM': ['P1']", "'µM': ['P2']", "set index.unit"),
    ),
    "unit that is none": (config(index={"unit": "uMx"}), ("index.unit", "'uMx'", "'µM'")),
    "platemap of other plates": (
        file("P1.csv", "plate,well,compound\nQ1,A01,DMSO\n"),
        ("P1: no row in P1.csv, column plate has ['Q1']",),
    ),
    "grid of another size": (
        file("P1.csv", "compound,1,2,3\nA,DMSO,DMSO,x\n"),
        ("P1: 2 wells have images and no row in the platemap: ['B01', 'B02']",),
    ),
    "compound in two spellings": (
        file("P1.csv", "well,compound\nA01,DMSO\nA02,DMSO\nB01,5-FU\nB02,5 fu\n"),
        ("one compound in two spellings? '5 fu' (1 well) and '5-FU' (1): they count as two; correct one of them",),
    ),
    "cell line in two spellings": (
        file("plates.tsv", "plate,images,platemap,cell_line\nP1,P1,P1.csv,U2OS\nP2,P2,P2.csv,U-2 OS\n"),
        ("one cell line in two spellings? ",),
    ),
    "word for an empty cell": (
        wells("y,2", "n/a,2"),
        ("'n/a' (1 well) is read as the name of one compound", "give these wells the type empty"),
    ),
    "mechanism that is not known": (
        file("P1.csv", "well,compound,moa\nA01,DMSO,\nA02,DMSO,\nB01,x,unknown\nB02,y,unknown\n"),
        ("'unknown' (2 wells) is read as the name of one mechanism: empty the cells",),
    ),
    "second compound": (
        file("P1.csv", "well,compound,drug 2\nA01,DMSO,\nA02,DMSO,\nB01,x,y\nB02,x,z\n"),
        ("P1.csv: expected one value of 'drug 2' for a compound at a dose, found ['y', 'z'] for 'x'", "perturbation"),
    ),
    "time in a column": (
        file("P1.csv", "well,compound,hours\nA01,DMSO,\nA02,DMSO,\nB01,x,24\nB02,x,48\n"),
        ("the column hours differs among the wells of x (24, 48), which count as replicates", "column perturbation"),
    ),
    "too few controls on all plates": (
        config(profile={"min_controls": 3}),
        ("2 of the 3 negative controls that profile.min_controls asks for", "problem  plates", "all will be left out"),
    ),
    "column of the evaluation that no plate has": (
        config(evaluate={"label": "Metadata_mechanism"}),
        ("problem  column", "evaluate.label: no plate has the column 'Metadata_mechanism'"),
    ),
    "misspelt column of the sheet": (
        file("plates.tsv", SHEET.replace("role", "Role").replace("P2.csv\tfit", "P2.csv\theldout")),
        ("plates.tsv: expected the column 'role', found 'Role'; correct its name",),
    ),
    "misspelt column of the platemap": (
        wells("dose_uM", "concentraton_uM"),
        (
            "P1.csv: the column 'concentraton_uM' is not known, perhaps it is 'concentration'",
            "index.columns.concentration",
        ),
    ),
    "column of concentrations without values": (
        file("P1.csv", "well,compound,dose_uM\nA01,DMSO,\nA02,DMSO,\nB01,x,\nB02,y,\n"),
        ("P1: no treated well has a number in the column 'dose_uM': wells of one compound count as one treatment",),
    ),
    "title above the header": (
        file("P1.csv", "Plate layout\n" + MAP),
        (
            "P1.csv: expected the names of the columns in the first row, found a column of wells in line 2",
            "the lines above",
        ),
    ),
    "column without a name": (
        file("P1.csv", "".join(f"{n},{line}\n" if n else f",{line}\n" for n, line in enumerate(MAP.splitlines()))),
        ("P1.csv: expected a name for each column, found none for column 1; name it, or remove it",),
    ),
    "folder of another plate copied": (
        lambda folder, written: [shutil.copy(path, folder / "P1") for path in (folder / "P2").iterdir()] and None,
        ("P1, P2 have the same pixels in the first image of each channel: is one folder a copy of another?",),
    ),
    "channel that is a copy of another": (
        images(lambda path: shutil.copy(path.with_name(path.name.replace("ER", "DNA")), path) and None),
        ("warning  plate P1", "DNA and ER have the same pixels in their first image: is one a copy?"),
    ),
    "channel that is a link to another": (
        images(lambda path: path.unlink() or path.symlink_to(path.name.replace("ER", "DNA"))),
        ("problem  plate P1", "expected each image for one well, site, channel and plane", "ER 1"),
    ),
    "controls in both lists": (
        config(index={"negcon": ["DMSO"], "poscon": ["DMSO"]}),
        ("index.poscon: expected other compounds than in index.negcon, found ['DMSO'] in both",),
    ),
    "compounds by number beside their names": (
        lambda folder, written: (
            [
                (folder / f"{plate}.csv").write_text(
                    MAP.replace("compound", "compound,name")
                    .replace("DMSO", "0,DMSO")
                    .replace("x,", "1,x,")
                    .replace("y,", "2,y,")
                )
                for plate in ("P1", "P2")
            ]
            and None
        ),
        ("expected negative controls", "the column name has them: set index.columns.compound"),
    ),
    "controls under two names": (
        wells("A02,DMSO", "A02,DMSO 0.1%"),
        ("the treatments DMSO 0.1% (1 well) may be negative controls, which are DMSO", "index.negcon"),
    ),
    "control of the type of treatments": (
        file(
            "P1.csv",
            MAP.replace("\n", ",role\n", 1)
            .replace("A01,DMSO,", "A01,DMSO,,treated")
            .replace("A02,DMSO,", "A02,DMSO,,vehicle")
            .replace(",1\n", ",1,treated\n")
            .replace(",2\n", ",2,treated\n"),
        ),
        ("DMSO of index.negcon is of the type trt in 1 well: correct the column of types",),
    ),
    "positive control that no plate has": (
        config(index={"poscon": ["taxol"]}),
        ("index.poscon: no platemap has the compounds ['taxol']",),
    ),
    "a plate of controls alone": (
        lambda folder, written: (
            [
                (folder / f"{plate}.csv").write_text(MAP.replace("x,1", "DMSO,").replace("y,2", "DMSO,"))
                for plate in ("P1", "P2")
            ]
            and None
        ),
        ("expected treated wells, found none on any plate",),
    ),
    "two rows of the sheet with each other's images": (
        file("plates.tsv", SHEET.replace("P1\tP1\t", "P1\tP2\t").replace("P2\tP2\t", "P2\tP1\t")),
        ("the images of P1 (P2) have the name of the plate P2 of this sheet", "are two rows swapped?"),
    ),
    "two channels taken for each other": (
        config(index={"channels": {"DNA": "ER", "ER": "DNA"}}),
        ("index.channels: DNA takes the channel that the files call 'ER'", "of ER: are the two swapped?"),
    ),
    "type that no platemap has": (
        config(index={"pert_types": {"ref": "negcon"}}),
        ("index.pert_types: no platemap has the types ['ref'], none has a column of types", "correct or remove"),
    ),
    "root that is not there": (
        config(index={"roots": ["/lost/raw"]}),
        ("index.roots: expected a folder, found none at '/lost/raw'",),
    ),
    "moved folder that no table names": (
        _moved,
        (
            "index.moved: '/old/{plate}' is the beginning of no path in the LoadData tables",
            "index.moved: expected a folder, found none at '/lost'",
        ),
    ),
    "one of two negative controls that no plate has": (
        config(index={"negcon": ["DMSO", "ethanol"]}),
        ("index.negcon: no platemap has the compounds ['ethanol']; correct their names or remove them",),
    ),
    "wells of medium among the treatments": (
        wells("y,2", "Media,"),
        ("the treatments Media (1 well) may be negative controls, which are DMSO",),
    ),
    "mechanisms that differ between plates": (
        _annotated(P1="actin", P2="tubulin"),
        ("compounds with several mechanisms: x (actin, tubulin)",),
    ),
    "mechanism that one plate lacks": (
        _annotated(P1="actin"),
        ("compounds with mechanisms in some wells and none in others: x; fill in the empty cells",),
    ),
    "cell line of the sheet that is not the platemap's": (
        _two_lines,
        ("P1: the sheet has the cell line 'A549', the platemap ['U2OS'], which is taken: correct one of them",),
    ),
    "plate of another binning": (
        lambda folder, written: (
            [tifffile.imwrite(path, tifffile.imread(path)[::2, ::2]) for path in (folder / "P2").iterdir()] and None
        ),
        ("the plates have images of different sizes: 10 x 14 (P2), 20 x 28 (P1)",),
    ),
    "sites under other names": (
        config(index={"sites": ["01"]}),
        ("P1: expected the sites ['01'] of index.sites, found ['1']: name them as the files do",),
    ),
    "table of images outside of the plate's folder": (
        lambda folder, written: _tabled(folder),
        ("P1: none of the 2 files named in", "is below P1", "(index.roots)"),
    ),
    "truncated images": (
        images(lambda path: path.write_bytes(path.read_bytes()[:40])),
        ("plate P1", "the first image of ER"),
    ),
    "pointers of Git LFS": (
        images(
            lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n") and None
        ),
        ("the first image of ER (pointers of Git LFS, not the files: run `git lfs pull` in the clone)",),
    ),
    "web pages in the place of images": (
        images(lambda path: path.write_text("<!DOCTYPE html><p>Forbidden</p>") and None),
        ("the first image of ER (a web page or XML, as a download that failed leaves it: fetch the file again)",),
    ),
    "pattern that matches half of the images": (
        config(
            channels=["DNA"],
            cells={"nuclei": "DNA", "cytoplasm": []},
            index={"pattern": PATTERN.replace("[A-Za-z]+", "DNA")},
        ),
        ("P1: 4 of 8 images do not match index.pattern and are left out, as ['A01_s1_ER.tif'", "let the pattern match"),
    ),
    "colour images": (
        images(colour),
        ("plate P1", "the first image of ER"),
    ),
    "channels of different sizes": (
        images(lambda path: tifffile.imwrite(path, np.ones((10, 28), np.uint16))),
        ("P1", "images of one size, found 10 x 28, 20 x 28"),
    ),
    "no images": (images(lambda path: path.unlink()), ("plate P1", "ER")),
}


def shown(folder: Path, written: dict, monkeypatch) -> str:
    """Return the problems and warnings of a screen as the check prints them."""
    monkeypatch.chdir(folder)
    found = [one for one in checked.of(written, results=folder / "results") if one.grade != "ok"]
    return preflight.table(found, worded=wording.worded)


def test_the_screen_without_a_mistake_can_run(screen, monkeypatch):
    monkeypatch.chdir(screen)
    found = checked.of(CONFIG, results=screen / "results")
    assert checked.ending(found).startswith("Can run"), preflight.table(found, worded=wording.worded)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_what_was_expected_and_found(screen, tmp_path, monkeypatch, name):
    change, words = MISTAKES[name]
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    written = yaml.safe_load(yaml.safe_dump(CONFIG))
    change(folder, written)
    text = shown(folder, written, monkeypatch)
    assert [word for word in words if word not in text] == [], text
    assert "Traceback" not in text and "…" not in text


def test_mistakes_of_config_sheet_and_plates_are_shown_together(screen, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    (folder / "config").mkdir()
    wrong = CONFIG | {"seeds": 1, "survey": {"max_excluded": 2}}
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(wrong))
    sheet("P2.csv\tfit", "P2.csv\theldut")(folder, {})
    wells("A02", "A01")(folder, {})
    monkeypatch.chdir(folder)
    assert checked.main([]) == 1
    text = capsys.readouterr().out
    for word in ("unknown key 'seeds'", "survey.max_excluded", "found 'heldut'", "found twice ['A01']"):
        assert word in text
    assert "Cannot run: 4 problems" in text.splitlines()[-1]


def test_a_key_that_is_there_twice_is_named_with_its_lines(screen, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    (folder / "config").mkdir()
    text = yaml.safe_dump(CONFIG, sort_keys=False)
    (folder / "config" / "config.yaml").write_text(text + "cells:\n  nuclei: ER\n  nuclei: DNA\n")
    monkeypatch.chdir(folder)
    assert checked.main([]) == 1
    shown, lines = capsys.readouterr().out, text.splitlines()
    first, end = lines.index("cells:") + 1, len(lines)
    assert f"expected the key 'cells' once, found it in lines {first} and {end + 1}; remove one of them" in shown
    assert f"expected the key 'cells.nuclei' once, found it in lines {end + 2} and {end + 3}" in shown


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("channels: [DNA\n", "config.yaml: expected YAML"),
        ("seed:\t1\n\tx: 2\n", "config.yaml: expected YAML"),
        ("", "expected keys with values, found None"),
        ("just words", "expected keys with values, found 'just words'"),
    ],
)
def test_a_config_that_is_no_yaml_is_named(tmp_path, monkeypatch, capsys, content, words):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert checked.main(["--configfile", str(path)]) == 1
    assert words in capsys.readouterr().out


def test_a_folder_without_a_screen_is_named_with_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert checked.main([]) == 1
    words = "config.yaml: expected a screen's config, found no such file (run this in the folder of a screen"
    assert words in capsys.readouterr().out


def test_an_unknown_command_is_named(capsys):
    assert command(["chek"]) == 2
    assert capsys.readouterr().err.startswith("wellspring: expected one of init, check, score, found 'chek'")


ONE_OF_THE_CONFIG = [
    "misspelled key", "misspelled section", "key of an earlier version", "text for a number", "share above one",
    "word that is no choice", "misspelled kind", "preset that does not exist", "presets in a circle",
    "encoder of the report that is not there", "channel of nuclei that is not there",
    "stain of the tiles that is no channel", "batch that the GPUs cannot share", "classical features without cells",
    "unit that is none", "weights that are not there",
]  # fmt: skip


@pytest.mark.parametrize("name", ONE_OF_THE_CONFIG)
def test_no_mistake_hides_those_of_weights_sheet_platemaps_images_and_disk(screen, tmp_path, monkeypatch, name):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    written = yaml.safe_load(yaml.safe_dump(CONFIG))
    change, words = MISTAKES[name]
    change(folder, written)
    config(encoders={"other": {"kind": "timm", "weights": "/lost/other.pth"}})(folder, written)
    sheet("P2.csv\tfit", "P2.csv\theldut")(folder, written)
    wells(",1\n", ",lots\n")(folder, written)
    MISTAKES["channels of different sizes"][0](folder, written)
    monkeypatch.setattr(disk_space, "free", lambda place: (10, None))
    text = shown(folder, written, monkeypatch)
    expected = [
        *words,
        "encoders.other.weights: expected a local file",
        "expected a role of",
        "P1: expected images of one size",
        "needed",
    ]
    expected += [] if name == "unit that is none" else ["found ['lots'] in column 'dose_uM'"]
    assert [word for word in expected if word.removeprefix("P1: ") not in text] == [], text
    assert "Traceback" not in text


def test_credentials_hide_no_other_mistake_and_are_not_repeated(screen, tmp_path, monkeypatch):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    secret = "wJalrXUtnFEMI"
    written = CONFIG | {"seed": "one", "survey": {"max_excluded": f"AccountKey={secret}"}}
    lines = SHEET.splitlines()
    (folder / "plates.tsv").write_text(
        "\n".join([f"{lines[0]}\tsource", f"{lines[1]}\tpassword={secret}", f"{lines[2].replace('fit', 'heldut')}\t"])
        + "\n"
    )
    text = shown(folder, written, monkeypatch)
    for word in (
        "survey.max_excluded: expected a value without cred",
        "seed: 'one'",
        "line 2.source: ",
        "found 'heldut'",
    ):
        assert word in text
    assert secret not in text


@pytest.mark.parametrize("lost", ["plate", "images", "platemap"])
def test_a_sheet_without_a_column_hides_no_mistake_of_platemaps_and_images(screen, tmp_path, monkeypatch, lost):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    written = yaml.safe_load(yaml.safe_dump(CONFIG))
    expected = [f"expected the columns [{lost!r}]"]
    for mistake in ("truncated images", "dose in words"):
        MISTAKES[mistake][0](folder, written)
    rows = [line.split("\t") for line in SHEET.splitlines()]
    place = rows[0].index(lost)
    (folder / "plates.tsv").write_text("\n".join("\t".join(row[:place] + row[place + 1 :]) for row in rows) + "\n")
    expected += ["the first image of ER"] if lost != "images" else []
    expected += ["found ['lots'] in column 'dose_uM'"] if lost != "platemap" else []
    text = shown(folder, written, monkeypatch)
    for word in expected:
        assert word in text, text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "mistake", ["missing column", "dose in words", "well twice", "unknown type", "platemap without wells"]
)
def test_a_platemap_that_cannot_be_read_hides_no_mistake_of_the_images(screen, tmp_path, monkeypatch, mistake):
    folder = tmp_path / "screen"
    shutil.copytree(screen, folder)
    written = yaml.safe_load(yaml.safe_dump(CONFIG))
    for change in (MISTAKES[mistake][0], MISTAKES["truncated images"][0]):
        change(folder, written)
    text = shown(folder, written, monkeypatch)
    for word in (*MISTAKES[mistake][1], "the first image of ER"):
        assert word in text, text
