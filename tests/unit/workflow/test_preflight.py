"""The check reports all problems at once, writes nothing, and passes screens that can run."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

import own_networks
from wellspring.io import raw_image
from wellspring.report import checked, wording
from wellspring.screen import config
from wellspring.workflow import disk_space, plate_check, preflight
from wellspring.workflow.disk_space import Size

CHANNELS = ["DNA", "ER"]
TILES = {"kind": "simclr", "view": {"kind": "tile"}}


@pytest.fixture(scope="module")
def complete(root) -> dict:
    shipped = yaml.safe_load((root / "config" / "config.yaml").read_text())
    shipped |= {"channels": CHANNELS, "encoders": {"ones": TILES}}
    return config.resolve(shipped)


@pytest.fixture
def screen(tmp_path):
    """Return a function that makes a plate of two wells and two sites, and its row of the sheet."""

    def make(name: str = "P1", *, side: int = 24, dtype=np.uint16) -> dict[str, str]:
        rng = np.random.default_rng(0)
        images = tmp_path / name
        images.mkdir()
        for well in ("A01", "A02"):
            for site in (1, 2):
                for channel in CHANNELS:
                    pixels = rng.integers(0, 255, (side, side)).astype(dtype)
                    tifffile.imwrite(images / f"{well}_s{site}_{channel}.tif", pixels)
        platemap = tmp_path / f"{name}.csv"
        platemap.write_text("well_position,compound,pert_type\nA01,DMSO,negcon\nA02,C1,trt\n")
        row = {"plate": name, "images": str(images), "platemap": str(platemap)}
        return row | {"batch": "B1", "cell_line": "U2OS", "role": "fit", "optics": name}

    return make


def found(rows, complete, tmp_path, **more):
    return preflight.run(rows, config=config.typed(complete), results=tmp_path / "results", **more)


def of(findings, what):
    return [
        (one.grade, one.words + (wording.worded(one.notes) if one.notes else ""))
        for one in findings
        if one.what == what
    ]


def test_a_screen_that_can_run_passes_and_nothing_is_written(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2")]
    Path(rows[1]["platemap"]).write_text("well,compound,pert_type\nA01,DMSO,negcon\nA02,DMSO,negcon\n")
    complete = complete | {"profile": complete["profile"] | {"min_controls": 2}}
    before = sorted(tmp_path.rglob("*"))
    findings = found(rows, complete, tmp_path)
    of_images = "2 wells, 4 fields, 8 planes of 24 x 24 uint16: DNA, ER"
    of_map = "platemap of 2 wells: 1 treatment of 1 compound, 1 well per treatment, 1 negative control (DMSO)"
    assert of(findings, "plate P1") == [("ok", f"{of_images}; {of_map}")]
    few = "will be left out: 1 of the 2 negative controls that profile.min_controls asks for"
    assert of(findings, "profiles of P1") == [("warning", few)]
    assert {one.grade for one in findings} <= {"ok", "warning"}
    assert sorted(tmp_path.rglob("*")) == before


def test_all_that_is_wrong_is_listed_at_once(screen, complete, tmp_path):
    rows = [screen(f"P{number}") for number in range(5)]
    Path(rows[0]["platemap"]).write_text("compound\nDMSO\n")
    for file in Path(rows[1]["images"]).glob("*_ER.tif"):
        file.write_bytes(file.read_bytes()[:30])
    for file in Path(rows[2]["images"]).glob("*.tif"):
        file.unlink()
    tifffile.imwrite(Path(rows[3]["images"]) / "A01_s1_DNA.tif", np.zeros((12, 24), dtype=np.uint16))
    findings = found(rows, complete, tmp_path)
    problems = {one.what for one in findings if one.grade == "problem"}
    assert problems == {"plate P0", "plate P1", "plate P2", "plate P3"}
    assert "the first image of ER" in of(findings, "plate P1")[0][1]
    assert "12 x 24, 24 x 24" in of(findings, "plate P3")[0][1]
    assert checked.ending(findings).startswith("Cannot run: 4 problems")
    assert all(f"plate P{number}" in preflight.table(findings) for number in range(4))


def test_processes_find_the_same(screen, complete, tmp_path, monkeypatch):
    monkeypatch.setattr(disk_space, "free", lambda place: (10**11, 10**6))  # that of the disk changes in between
    rows = [screen(f"P{number}") for number in range(3)]
    assert found(rows, complete, tmp_path, processes=2) == found(rows, complete, tmp_path)


def test_planes_without_a_file_and_a_plate_that_will_be_left_out_are_warned_of(screen, complete, tmp_path):
    row = screen()
    (Path(row["images"]) / "A02_s2_ER.tif").unlink()
    Path(row["platemap"]).write_text("well_position,compound,pert_type\nA01,C2,trt\nA02,C1,trt\n")
    said = of(found([row], complete, tmp_path), "plate P1")
    assert said[0] == ("warning", "will be left out: no negative controls")
    assert said[1] == ("warning", "1 of 8 planes have no file, in 1 wells: A02")
    assert said[2][0] == "ok"


def test_a_screen_whose_plates_are_all_left_out_is_warned_of_once(screen, complete, tmp_path):
    complete = complete | {"profile": complete["profile"] | {"min_controls": 1}}
    rows = [screen("P1"), screen("P2")]
    for row in rows:
        assert of(found(rows, complete, tmp_path), "plates") == []
        Path(row["platemap"]).write_text(
            "well,compound,pert_type\nA01,DMSO,negcon\nA02,C1,trt\nB01,C1,trt\nB02,C1,trt\n"
        )
    complete["index"] = complete["index"] | {"lost_wells": "report"}
    findings = found(rows, complete, tmp_path)
    [(grade, words)] = of(findings, "profiles of P2")
    assert grade == "warning" and "sites lack a file" in words
    assert "give them the type `empty`" in words
    assert len(of(findings, "plates")) == 1 and "all will be left out" in of(findings, "plates")[0][1]
    for row in rows:
        Path(row["platemap"]).write_text(
            Path(row["platemap"]).read_text().replace("B01,C1,trt\nB02,C1,trt", "B01,,empty\nB02,,empty")
        )
    assert of(found(rows, complete, tmp_path), "plates") == []


def test_an_error_of_opening_images_does_not_hide_other_plates(screen, complete, tmp_path, monkeypatch):
    rows = [screen("P1"), screen("P2")]
    opened = raw_image.status

    def unreachable(images, path, page, *, rules):
        if images.endswith("P1"):
            raise ConnectionError("the store does not answer")
        return opened(images, path, page, rules=rules)

    monkeypatch.setattr(raw_image, "status", unreachable)
    findings = found(rows, complete, tmp_path)
    assert of(findings, "plate P1") == [("problem", "the store does not answer")]
    assert of(findings, "plate P2")[0][0] == "ok"


def test_tables_of_other_tools_are_looked_for(complete, tmp_path):
    (tmp_path / "P1.csv").touch()
    entry = complete["encoders"]["ones"] | {"kind": "table", "files": str(tmp_path / "{plate}.csv")}
    chosen = complete | {"encoders": {"cp": entry}}
    assert [one.grade for one in preflight.foreign(config.typed(chosen), ["P1"])] == ["ok"]
    (lost,) = preflight.foreign(config.typed(chosen), ["P1", "P2"])
    assert lost.grade == "problem" and f"P2: expected a table at {tmp_path / 'P2.csv'}" in lost.words


def test_networks_of_ones_own_are_built(complete, tmp_path, monkeypatch):
    file = own_networks.write(tmp_path)
    entry = complete["encoders"]["ones"] | {"kind": "module", "factory": f"{file}:small", "objective": "frozen"}
    (found,) = preflight.own_networks(config.typed(complete | {"encoders": {"own": entry}}))
    assert found == preflight.Finding("ok", "encoder own", f"{file}:small: built, with 408 weights")
    (found,) = preflight.own_networks(
        config.typed(complete | {"encoders": {"own": entry | {"objective": "sslprofiler"}}})
    )
    assert found.grade == "problem" and "needs patch tokens" in found.words
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    (found,) = preflight.own_networks(config.typed(complete | {"encoders": {"own": entry}}))
    assert found.grade == "warning" and "not built: PyTorch is not installed here" in found.words


def test_simulated_plates_are_not_looked_for(screen, complete, tmp_path):
    findings = found([screen() | {"images": "nowhere"}], complete, tmp_path, simulated=["P1"])
    assert of(findings, "plate P1") == [("ok", "simulated by this workflow")]


def test_weights_are_checked_by_their_digest(screen, complete, tmp_path):
    file = tmp_path / "weights"
    file.write_bytes(b"weights")
    cells = complete["cells"] | {"activate": True, "method": "cellpose"}
    for digest, grade in ((hashlib.sha256(b"weights").hexdigest(), "ok"), ("0" * 64, "problem")):
        named = {"nuclei": {"path": str(file), "sha256": digest}, "cells": {"path": None, "sha256": None}}
        chosen = complete | {"cells": cells | {"cellpose": cells["cellpose"] | {"weights": named}}}
        assert [one.grade for one in preflight.trained(config.typed(chosen))] == [grade]
    absent = dict.fromkeys(("nuclei", "cells"), {"path": None, "sha256": None})
    chosen = complete | {"cells": cells | {"cellpose": cells["cellpose"] | {"weights": absent}}}
    assert "snakemake weights" in preflight.trained(config.typed(chosen))[0].words


def test_weights_of_an_encoder_are_checked_by_their_digest(complete, tmp_path):
    file = tmp_path / "start.pth"
    file.write_bytes(b"weights")
    entry = complete["encoders"]["ones"] | {"kind": "timm", "steps": 0}
    for digest, grade in ((hashlib.sha256(b"weights").hexdigest(), "ok"), ("0" * 64, "problem")):
        chosen = complete | {"encoders": {"own": entry | {"weights": {"path": str(file), "sha256": digest}}}}
        (found,) = preflight.trained(config.typed(chosen))
        assert found.grade == grade
        assert hashlib.sha256(b"weights").hexdigest() in found.words, "for copying"


def test_too_little_room_is_a_problem_and_what_is_stored_needs_none(complete, tmp_path, monkeypatch):
    plates = [preflight.Plate("P1", (), Size(384, 3456, 17280, 5, 1080, 1080))]
    monkeypatch.setattr(disk_space, "free", lambda folder: (10**9, None))
    (short,) = preflight.room(plates, config=config.typed(complete), results=tmp_path)
    assert short.grade == "problem" and "images 29 GB" in short.words
    monkeypatch.setattr(disk_space, "free", lambda folder: (10**12, 1000))
    assert [one.grade for one in preflight.room(plates, config=config.typed(complete), results=tmp_path)] == [
        "ok",
        "problem",
    ]
    store = tmp_path / "images" / "P1.zarr"
    store.mkdir(parents=True)
    (store / "zarr.json").touch()
    (training,) = preflight.room(plates, config=config.typed(complete), results=tmp_path)
    assert training.grade == "ok" and "needed (checkpoints 7" in training.words, "of a ViT-S/16 and its optimiser"
    weights = tmp_path / "train" / "ones" / "encoder.safetensors"
    weights.parent.mkdir(parents=True)
    weights.touch()
    (enough,) = preflight.room(plates, config=config.typed(complete), results=tmp_path)
    assert enough.grade == "ok" and "no further space needed" in enough.words


def test_checkpoints_without_pytorch_and_of_a_network_that_cannot_be_built(complete, tmp_path, monkeypatch):
    odd = complete | {"encoders": {"odd": complete["encoders"]["ones"] | {"backbone": "resnet_none"}}}
    (wrong,) = preflight.room([], config=config.typed(odd), results=tmp_path)
    assert wrong.grade == "problem" and "encoders.odd: backbone: expected a timm model" in wrong.words
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert disk_space.checkpoints(config.typed(odd), tmp_path) == disk_space.CHECKPOINTS
    frozen = complete | {"encoders": {"odd": complete["encoders"]["ones"] | {"kind": "timm"}}}
    assert disk_space.checkpoints(config.typed(frozen), tmp_path) == 0


def test_room_of_a_jump_plate_is_that_of_the_storage_table(complete):
    """The README states: images 25 to 29 GB, crops 3.5 GB at 100 cells per well, views 280 MB, embeddings 0.4 GB."""
    with_cells = complete | {"cells": complete["cells"] | {"activate": True}}
    size = Size(384, 3456, 17280, 5, 1080, 1080)
    room = disk_space.expected(size, config.typed(with_cells | {"survey": complete["survey"] | {"view_edge": 64}}))
    assert room["images"] == pytest.approx(29e9, rel=0.03)
    assert room["survey"] == pytest.approx(2.8e8, rel=0.02)
    assert room["embed"] == pytest.approx(4e8)
    crops = with_cells | {"crops": complete["crops"] | {"cells_per_well": 100, "size": 96, "unit": "px"}}
    assert disk_space.expected(size, config.typed(crops))["crops"] == pytest.approx(3.5e9, rel=0.02)


def test_only_networks_ask_for_a_gpu(complete, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    (warned,) = preflight.gpu(config.typed(complete))
    assert warned.grade == "warning" and "ones" in warned.words
    tables = complete | {"encoders": {"ones": complete["encoders"]["ones"] | {"kind": "table"}}}
    assert preflight.gpu(config.typed(tables)) == []
    command = tmp_path / "nvidia-smi"
    command.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\n")
    command.chmod(0o755)
    assert preflight.gpu(config.typed(complete)) == [preflight.Finding("ok", "GPU", "GPU 0: NVIDIA H200")]


def test_the_table_has_a_line_a_finding(complete):
    lines = preflight.table(
        [preflight.Finding("ok", "disk", "much"), preflight.Finding("problem", "plate P1", "a\nb")]
    ).splitlines()
    assert lines == ["ok       disk      much", "problem  plate P1  a", "problem  plate P1  b"]


def test_how_each_platemap_was_read_is_described(screen, complete, tmp_path):
    row = screen()
    Path(row["platemap"]).write_text(
        "Well,Drug,dose_nM,role,donor\nA01,DMSO,,vehicle,d1\nA02,C1,0.5,treated,d1\nA03,C1,2,treated,d2\nA04,,,empty,\n"
    )
    findings = found([row], complete, tmp_path)
    (words,) = [text for grade, text in of(findings, "platemap of P1") if grade == "ok"]
    assert words.splitlines() == [
        f"{row['platemap']}: table",
        "Well is the well; Drug is the compound; role is the type of well; dose_nM is the concentration in nM",
        "kept as metadata only: donor",
    ]
    assert of(findings, "wells of P1")[-1] == (
        "ok",
        "platemap of 4 wells: 2 treatments of 1 compound, 2 doses (0.5 to 2 nM), 1 well per treatment, 1 negative "
        "control (DMSO), 1 empty well",
    )


@pytest.mark.parametrize(("name", "shown"), [("none", "'none'"), ("n/a", "'n/a'"), ("Mock", "Mock")])
def test_the_name_of_a_control_cannot_be_read_as_their_absence(screen, complete, tmp_path, name, shown):
    row = screen()
    Path(row["platemap"]).write_text(f"well,compound,type\nA01,{name},negcon\nA02,C1,trt\nA03,C1,trt\nA04,,empty\n")
    words = "; ".join(text for _, text in of(found([row], complete, tmp_path), "wells of P1"))
    assert f"1 negative control ({shown}), 1 empty well" in words


def test_plates_have_a_line_each_and_platemaps_that_are_alike_are_described_once(screen, complete, tmp_path):
    rows = [screen(f"P{number}") for number in range(4)]
    Path(rows[3]["platemap"]).write_text("well,compound,type\nA01,DMSO,negcon\nA02,C1,trt\n")
    findings = found(rows, complete | {"profile": complete["profile"] | {"min_controls": 1}}, tmp_path)
    assert [len(of(findings, f"plate P{number}")) for number in range(4)] == [1, 1, 1, 1]
    ((_, words),) = of(findings, "platemap of P0 and 2 more")
    assert words.startswith(f"{rows[0]['platemap']} and 2 more files: table\nwell_position is the well; compound is ")
    assert len(of(findings, "platemap of P3")) == 1


def test_a_screen_without_controls_is_a_problem_that_names_what_may_be_one(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2")]
    for row in rows:
        Path(row["platemap"]).write_text("well,compound\nA01,DMSO 0.1%\nA02,C1\n")
    ((grade, words),) = of(found(rows, complete, tmp_path), "controls")
    assert grade == "problem" and "perhaps DMSO 0.1% (set index.negcon)" in words
    Path(rows[1]["platemap"]).write_text("well,compound\nA01,DMSO\nA02,C1\n")
    ((grade, words),) = of(found(rows, complete, tmp_path), "controls")
    assert grade == "warning" and "DMSO 0.1% (1 well) may be negative controls, which are DMSO" in words
    Path(rows[0]["platemap"]).write_text("well,compound\nA01,DMSO\nA02,C1\n")
    assert of(found(rows, complete, tmp_path), "controls") == []


def test_plates_of_different_units_are_a_problem(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2")]
    for row, unit in zip(rows, ("uM", "nM"), strict=True):
        Path(row["platemap"]).write_text(f"well,compound,dose_{unit}\nA01,DMSO,\nA02,C1,5\n")
    ((grade, words),) = of(found(rows, complete, tmp_path), "concentrations")
    assert grade == "problem" and "{'nM': ['P2'], 'µM': ['P1']} (set index.unit)" in words
    chosen = complete | {"index": complete["index"] | {"unit": "uM"}}
    assert of(found(rows, chosen, tmp_path), "concentrations") == []


def test_faults_of_platemap_and_images_of_a_plate_are_found_together_and_uncut(screen, complete, tmp_path):
    row = screen()
    Path(row["platemap"]).write_text("well,compound,pert_type\n" + "".join(f"A{n},x,{'t' * n}\n" for n in range(1, 49)))
    for file in Path(row["images"]).glob("*.tif"):
        file.rename(file.with_suffix(".bmp"))
    texts = [text for grade, text in of(found([row], complete, tmp_path), "plate P1") if grade == "problem"]
    assert len(texts) == 2 and "t" * 48 in texts[0] and "A01_s1_DNA.bmp" in texts[1]


def test_a_truncated_first_image_is_a_warning_if_others_can_be_read(screen, complete, tmp_path):
    row = screen()
    file = Path(row["images"]) / "A01_s1_ER.tif"
    file.write_bytes(file.read_bytes()[:30])
    grades = [grade for grade, text in of(found([row], complete, tmp_path), "plate P1") if "first image of ER" in text]
    assert grades == ["warning"]


def test_columns_that_no_plate_has_are_named_with_their_key(screen, complete, tmp_path):
    rows = [screen("P1") | {"donor": "D1"}]
    assert of(found(rows, complete, tmp_path), "column") == []
    changed = complete | {
        "evaluate": complete["evaluate"] | {"label": "Metadata_moaa", "replicates_share": ["Metadata_donor"]},
        "profile": complete["profile"] | {"group_by": ["Metadata_Plate", "Metadata_Cell_Lin"]},
    }
    assert of(found(rows, changed, tmp_path), "column") == [
        (
            "problem",
            "profile.group_by: no plate has the column 'Metadata_Cell_Lin' (did you mean 'Metadata_Cell_Line'?)",
        ),
        ("problem", "evaluate.label: no plate has the column 'Metadata_moaa' (did you mean 'Metadata_moa'?)"),
    ]


def test_a_default_of_cells_that_is_no_channel_is_a_warning(screen, complete, tmp_path):
    findings = of(found([screen("P1")], complete, tmp_path), "cells will fail")
    expected = "cells.cytoplasm: expected names out of channels, ['DNA', 'ER'], found ['RNA', 'AGP']"
    assert findings == [("warning", expected)]
    fitting = complete | {"cells": complete["cells"] | {"cytoplasm": ["ER"]}}
    assert of(found([], fitting, tmp_path), "cells will fail") == []


def test_two_thresholds_on_q_that_differ_are_a_warning(complete, tmp_path):
    assert of(found([], complete, tmp_path), "thresholds") == []
    stricter = complete | {"report": complete["report"] | {"significance": 0.01}}
    ((grade, words),) = of(found([], stricter, tmp_path), "thresholds")
    assert grade == "warning" and words.startswith("evaluate.threshold is 0.05 and report.significance 0.01: ")


def test_lengths_in_micrometres_need_a_pixel_size(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2")]
    complete = complete | {"survey": complete["survey"] | {"pixel_size": None}}
    assert of(found(rows, complete, tmp_path), "lengths") == []
    given = complete | {"cells": complete["cells"] | {"activate": True, "nucleus_diameter": 10, "unit": "um"}}
    ((grade, words),) = of(found(rows, given, tmp_path), "lengths")
    assert grade == "problem" and words.startswith(
        "cells.nucleus_diameter in um: the images of P1, P2 state no pixel size"
    )
    assert "set survey.pixel_size" in words
    stated = given | {"survey": complete["survey"] | {"pixel_size": 0.5}}
    assert of(found(rows, stated, tmp_path), "lengths") == []
    for path in (tmp_path / "P2").iterdir():
        pixels = tifffile.imread(path)
        tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5})
    ((_, words),) = of(found(rows, given, tmp_path), "lengths")
    assert "the images of P1 state" in words


@pytest.mark.parametrize("words", ["Forbidden", "Access Denied", "Unable to locate credentials"])
def test_a_private_store_names_its_address_and_the_key(words):
    text = plate_check.message(OSError(words), url="s3://bucket/P1")
    assert text.startswith(words) and "s3://bucket/P1: index.object_store.anonymous reads without" in text
    assert plate_check.message(OSError(words), url="/data/P1") == words
    assert plate_check.message(OSError("no such key"), url="s3://bucket/P1") == "no such key"


def test_plates_of_the_same_pixels_are_named(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2"), screen("P3", side=32)]
    (grade, words), (_, sizes) = sorted(
        of(found(rows, complete, tmp_path), "images"), key=lambda one: "sizes" in one[1]
    )
    assert "different sizes: " in sizes and "(P3)" in sizes
    assert grade == "warning" and words.startswith("P1, P2 have the same pixels in the first image of each channel")


def test_a_platemap_without_a_number_among_its_doses_is_named(screen, complete, tmp_path):
    rows = [screen("P1"), screen("P2")]
    Path(rows[1]["platemap"]).write_text("well,compound,dose_uM\nA01,DMSO,\nA02,C1,\n")
    ((grade, words),) = of(found(rows, complete, tmp_path), "concentrations")
    assert (grade, words.split(":")[0]) == ("warning", "P2")
    Path(rows[0]["platemap"]).write_text("well,compound,dose_uM\nA01,DMSO,\nA02,C1,3\n")
    Path(rows[1]["platemap"]).write_text("well,compound\nA01,DMSO\nA02,C1\n")
    ((grade, words),) = of(found(rows, complete, tmp_path), "concentrations")
    assert words.startswith("P2: no column of concentrations, which other platemaps have")
    Path(rows[1]["platemap"]).write_text(Path(rows[0]["platemap"]).read_text())
    assert of(found(rows, complete, tmp_path), "concentrations") == []


def test_a_channel_of_blank_images_is_named(screen, complete, tmp_path):
    row = screen()
    files = sorted(Path(row["images"]).glob("*_ER.tif"))
    for file in files[1:]:
        tifffile.imwrite(file, np.zeros((24, 24), np.uint16))
    assert not any("grey values" in words for _, words in of(found([row], complete, tmp_path), "plate P1"))
    tifffile.imwrite(files[0], np.full((24, 24), 7, np.uint16))
    texts = [words for grade, words in of(found([row], complete, tmp_path), "plate P1") if grade == "warning"]
    (text,) = [words for words in texts if "grey values" in words]
    assert text.startswith("4 images of ER were opened, none has two grey values: ") and "7" in text


def test_a_plate_that_lacks_a_channel_is_shown_the_column_panel_which_lets_it_run(screen, complete, tmp_path):
    row = screen()
    for file in Path(row["images"]).glob("*_ER.tif"):
        file.unlink()
    told = of(found([row], complete, tmp_path), "plate P1")
    way = "if it was not stained so, name its channels in the column panel of the sheet"
    assert ("warning", f"will be left out ({way}): no file of channel ER") in told
    named = of(found([row | {"panel": "DNA"}], complete, tmp_path), "plate P1")
    assert [grade for grade, _ in named] == ["ok"] and "4 planes of 24 x 24 uint16: DNA;" in named[0][1]
