"""The synthetic screen: its description, its files, its planted truth, its faults."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

from wellspring.simulate.optics import flat_field, is_edge
from wellspring.simulate.plate import write_plate
from wellspring.simulate.screen import Fault, layout, read_screen, sheet, treatments
from wellspring.simulate.traits import CHANNELS
from wellspring.simulate.truth import planted_faults, shifts, truth

SHIPPED = Path(__file__).resolve().parents[3] / "resources" / "demo" / "screen.yaml"


@pytest.fixture(scope="module")
def shipped():
    return read_screen(SHIPPED)


@pytest.fixture(scope="module")
def small(shipped):
    """A screen of 2 x 3 wells of one site, 96 pixels a side, with one fault of each kind on its first plate."""
    faults = tuple(
        Fault(kind=kind, plate="B1_U2OS", well=well, site="1", channel=channel)
        for kind, well, channel in (
            ("truncated", "A01", "RNA"),
            ("blank", "A02", "all"),
            ("missing", "A03", "Mito"),
            ("debris", "B01", "AGP"),
        )
    )
    return dataclasses.replace(
        shipped, rows=2, columns=3, sites=1, field=96, controls=3, mechanism_count=1, inactive=1, faults=faults
    )


@pytest.fixture(scope="module")
def plate(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("screen") / "B1_U2OS"
    write_plate(small, "B1_U2OS", folder, seed=3)
    return folder


def digest(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def edited(tmp_path, **changes):
    path = tmp_path / "screen.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SHIPPED.read_text()) | changes))
    return path


def test_shipped_screen_is_the_one_described(shipped):
    assert list(shipped.plates) == ["B1_U2OS", "B1_A549", "B2_U2OS", "B2_A549"]
    maps = layout(shipped, seed=1)
    for platemap in maps.values():
        assert len(platemap) == platemap["well_position"].nunique() == 24
        assert (platemap["pert_type"] == "negcon").sum() == 12
        assert platemap["moa"].notna().sum() == 8
        assert platemap.loc[platemap["pert_type"] == "trt", "compound"].nunique() == 12
    assert sorted(fault.kind for fault in shipped.faults) == ["blank", "debris", "missing", "truncated"]
    assert sum(is_edge(shipped, well) for well in shipped.wells) == 16


def test_fixed_layout_is_shared_and_shuffled_is_not(shipped):
    maps = layout(shipped, seed=1)
    order = {plate: tuple(platemap["compound"]) for plate, platemap in maps.items()}
    assert order["B1_U2OS"] == order["B1_A549"]
    assert len({order["B1_U2OS"], order["B2_U2OS"], order["B2_A549"]}) == 3
    assert tuple(layout(shipped, seed=2)["B1_U2OS"]["compound"]) != order["B1_U2OS"]


def test_each_faulty_well_keeps_a_site(shipped):
    faults = planted_faults(shipped)
    sites = faults.groupby(["plate", "well"])["site"].nunique()
    assert (sites < shipped.sites).all()
    assert dict(zip(faults["kind"], faults["expected"], strict=True)) == {
        "truncated": "truncated",
        "blank": "blank",
        "missing": "missing",
        "debris": "saturated",
    }


def test_truth_tells_actives_apart(shipped):
    table = truth(shipped, seed=1)
    assert table["active"].sum() == 8 and table["mechanism"].nunique() == 4
    parameters = table.drop(columns=["compound", "concentration", "mechanism", "active", "pert_type"])
    assert (parameters[~table["active"]] == 0).all(axis=None)
    chromatin = table[table["mechanism"] == "chromatin"]
    expected = 1.5 * 0.40 * np.array([1.15, 0.85])
    np.testing.assert_allclose(chromatin["chromatin_scale"], expected, atol=0.2)


def test_lower_dose_shifts_less(shipped):
    dosed = dataclasses.replace(shipped, doses=(0.1, 10.0), mechanism_count=1, inactive=0, controls=4)
    planted = shifts(dosed, seed=1)
    weak, strong = planted["WS-001", 0.1]["mito_position"], planted["WS-001", 10.0]["mito_position"]
    assert abs(weak) < 0.2 * abs(strong)


def test_sizes_follow_the_keys(tmp_path):
    screen = read_screen(edited(tmp_path, rows=8, columns=8, mechanism_count=8, compounds_per_mechanism=4, faults=[]))
    assert len(treatments(screen)) == 36
    assert all(len(platemap) == 48 for platemap in layout(screen, seed=1).values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wells": 3}, "unknown keys"),
        ({"rows": "four"}, "rows: expected int"),
        ({"controls": 13}, "expected at most 24 wells"),
        ({"mechanism_count": 9}, "mechanism_count: expected 0 to 8"),
        ({"mechanisms": {"x": {"colour": 1.0}}, "mechanism_count": 1}, "colour"),
        ({"doses": 10.0}, "doses: expected a list"),
        ({"faults": [{"kind": "truncated", "plate": "B9", "well": "A01", "site": 1, "channel": "DNA"}]}, "B9"),
    ],
)
def test_wrong_screen_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        read_screen(edited(tmp_path, **changes))


def test_unknown_plate_is_named(shipped, tmp_path):
    with pytest.raises(ValueError, match="B7_U2OS"):
        write_plate(shipped, "B7_U2OS", tmp_path, seed=1)


def test_plate_has_its_files(small, plate):
    names = {path.name for path in plate.iterdir()}
    expected = {f"{well}_s1_{channel}.tif" for well in small.wells for channel in CHANNELS} | {"platemap.csv"}
    assert expected - names == {"A03_s1_Mito.tif"} and names <= expected
    platemap = pd.read_csv(plate / "platemap.csv")
    assert list(platemap.columns) == ["well_position", "compound", "concentration_uM", "pert_type", "moa"]
    image = tifffile.imread(plate / "B02_s1_DNA.tif")
    assert image.shape == (96, 96) and image.dtype == np.uint16 and 60 < image.min() < image.max() < 65535
    with tifffile.TiffFile(plate / "B02_s1_DNA.tif") as file:
        assert {"DateTime", "Software"}.isdisjoint(tag.name for tag in file.pages[0].tags)


def test_faults_are_in_the_files(plate):
    with pytest.raises(Exception):  # noqa: B017 - any failure to read is right
        tifffile.imread(plate / "A01_s1_RNA.tif")
    assert all(np.ptp(tifffile.imread(plate / f"A02_s1_{channel}.tif")) == 0 for channel in CHANNELS)
    assert 0.02 < (tifffile.imread(plate / "B01_s1_AGP.tif") == 65535).mean() < 0.2
    assert (tifffile.imread(plate / "B01_s1_DNA.tif") == 65535).sum() == 0


def test_same_seed_gives_same_bytes(small, plate, tmp_path):
    write_plate(small, "B1_U2OS", tmp_path / "again", seed=3)
    write_plate(small, "B1_U2OS", tmp_path / "other", seed=4)
    assert digest(tmp_path / "again") == digest(plate)
    assert digest(tmp_path / "other") != digest(plate)


def test_flat_field_is_off_centre_with_mean_one(shipped):
    flat = flat_field(shipped, "B1_U2OS", "ER", seed=1)
    assert flat.shape == (400, 400) and flat.dtype == np.float32
    assert abs(flat.mean() - 1) < 1e-5 and flat.max() / flat.min() > 1.3
    peak = np.array(np.unravel_index(flat.argmax(), flat.shape))
    assert np.abs(peak - 200).max() > 5
    small = flat_field(shipped, "B1_U2OS", "ER", seed=1, shape=(50, 50))
    np.testing.assert_allclose(small, flat.reshape(50, 8, 50, 8).mean(axis=(1, 3)), atol=2e-3)
    assert not np.array_equal(flat, flat_field(shipped, "B2_U2OS", "ER", seed=1))


def test_sheet_names_the_folders(shipped):
    table = sheet(shipped, folder="results/demo")
    assert list(table.columns) == ["plate", "batch", "cell_line", "images", "platemap", "role"]
    assert table["platemap"].iloc[3] == "results/demo/B2_A549/platemap.csv"
