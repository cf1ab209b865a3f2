"""Which plates may be pooled with a light path: by the sheet's microscope, or small plates of one batch."""

import numpy as np
import pandas as pd
import pytest

from wellspring.workflow.beside import NEAR, few_wells, plates_beside


def sheet(**columns):
    names = [f"P{number}" for number in range(6)]
    frame = pd.DataFrame({"plate": names, "optics": names, "microscope": "", "batch": "B1", "role": "fit"})
    frame = frame.assign(platemap=[f"{name}.csv" for name in names], **columns)
    return frame.set_index("plate", drop=False)


def small(path):
    return True


def test_small_plates_of_one_batch_stand_beside_each_other():
    plates = sheet(batch=["B1", "B2", "B1", "B1", "B2", "B3"])
    assert plates_beside(plates, "P0", few=small) == ["P2", "P3"]
    assert plates_beside(plates, "P4", few=small) == ["P1"]
    assert plates_beside(plates, "P5", few=small) == []


def test_the_microscope_of_the_sheet_counts_before_the_batch():
    plates = sheet(microscope=["one", "two", "", "one", "", "two"], batch=["B1", "B1", "B2", "B2", "B2", "B2"])
    assert plates_beside(plates, "P0", few=lambda path: False) == ["P3"]
    assert plates_beside(plates, "P2", few=small) == ["P4"]


@pytest.mark.parametrize("role", ["project", "heldout"])
def test_a_projected_plate_is_pooled_with_others_and_changes_none(role):
    plates = sheet(role=["fit", "fit", role, "fit", role, "fit"])
    assert plates_beside(plates, "P2", few=small) == ["P0", "P1", "P3", "P5"]
    assert plates_beside(plates, "P0", few=small) == ["P1", "P3", "P5"]


def test_large_plates_stand_alone():
    plates = sheet()
    assert plates_beside(plates, "P0", few=lambda path: path != "P0.csv") == []
    assert plates_beside(plates, "P0", few=lambda path: path not in ("P2.csv", "P4.csv")) == ["P1", "P3", "P5"]


def test_plates_of_one_light_path_are_not_beside_it():
    plates = sheet(optics=["scope", "scope", "P2", "P3", "P3", "P5"])
    assert plates_beside(plates, "scope", few=small) == ["P2", "P3", "P4", "P5"]


def test_of_many_plates_the_nearest_are_taken():
    """The number of inputs of 300 plates is linear in them."""
    names = [f"P{number}" for number in range(300)]
    plates = pd.DataFrame({"plate": names, "optics": names, "microscope": "", "batch": "B1", "role": "fit"})
    plates = plates.assign(platemap="map.csv").set_index("plate", drop=False)
    assert plates_beside(plates, "P0", few=small) == names[1 : NEAR + 1]
    assert plates_beside(plates, "P150", few=small) == [*names[146:150], *names[151:155]]


def test_a_platemap_has_few_wells_if_it_is_a_text_of_few_lines(tmp_path):
    rng = np.random.default_rng(0)
    for count in (1, 24, 63, 64, 65, int(rng.integers(66, 400))):
        path = tmp_path / f"{count}.csv"
        path.write_text("well,compound\n" + "".join(f"A{n},x\n\n" for n in range(count)))
        assert few_wells(str(path)) == (count < 64)
    (tmp_path / "map.xlsx").write_bytes(b"x")
    for other in (tmp_path / "map.xlsx", tmp_path / "absent.csv", tmp_path, "s3://bucket/map.csv"):
        assert not few_wells(str(other))
