"""A run whose platemaps and config contradict each other is refused before its first job."""

import pytest
import yaml

from wellspring.screen import config
from wellspring.workflow import at_start

MAP = "well,compound,conc_uM,donor\nA1,x,1,d1\nA2,DMSO,,d1\n"


@pytest.fixture
def screen(tmp_path, root):
    """Return rows of two plates, and a function that gives the typed config with changed sections."""
    shipped = yaml.safe_load((root / "config" / "config.yaml").read_text())
    rows = []
    for plate in ("P1", "P2"):
        (tmp_path / f"{plate}.csv").write_text(MAP)
        rows.append({"plate": plate, "images": "", "platemap": str(tmp_path / f"{plate}.csv"), "lab": "L"})

    def typed(**sections):
        return config.typed(config.resolve(shipped | {name: shipped[name] | one for name, one in sections.items()}))

    return rows, typed, tmp_path


def test_units_that_differ_over_plates(screen):
    rows, typed, folder = screen
    assert at_start.contradictions(rows, typed(), indexed=True) == []
    (folder / "P2.csv").write_text(MAP.replace("uM", "nM"))
    (found,) = at_start.contradictions(rows, typed(), indexed=True)
    assert (
        found == "platemaps: expected one unit of concentrations, found {'nM': ['P2'], 'µM': ['P1']} (set index.unit)"
    )
    assert at_start.contradictions(rows, typed(index={"unit": "nM"}), indexed=True) == []
    assert at_start.contradictions(rows, typed(), indexed=False) == []  # nothing is read


def test_columns_that_no_plate_has(screen):
    rows, typed, folder = screen
    wrong = typed(evaluate={"label": "Metadata_dono", "replicates_share": ["Metadata_lab"]})
    expected = ["evaluate.label: no plate has the column 'Metadata_dono' (did you mean 'Metadata_donor'?)"]
    assert at_start.contradictions(rows, wrong, indexed=False) == expected
    right = typed(evaluate={"label": "Metadata_donor", "replicates_share": ["Metadata_lab"]})
    assert at_start.contradictions(rows, right, indexed=False) == []


def test_a_platemap_that_cannot_be_read_is_left_to_its_plate(screen):
    rows, typed, folder = screen
    (folder / "P2.csv").write_text("locus\nx\n")
    wrong = typed(evaluate={"label": "Metadata_dono"})
    assert at_start.contradictions(rows, wrong, indexed=True) == []


@pytest.mark.parametrize("named", [True, False])
def test_time_points_share_the_platemap_of_their_plate(screen, named):
    """The platemap may name the plate as the sheet does, not as a time point of it is called."""
    rows, typed, folder = screen
    lines = [f"{line},{'Plate' if not number else 'P1'}" for number, line in enumerate(MAP.split())]
    (folder / "P1.csv").write_text("\n".join(lines) if named else MAP)
    timed = [{**rows[0], "plate": f"P1_T{time}", "timepoint": time, "imaged_plate": "P1"} for time in "03"]
    by_time = {"profile": {"group_by": ["Metadata_Perturbation", "Metadata_Timepoint"]}}
    assert at_start.contradictions(timed, typed(**by_time), indexed=True) == []
    (found,) = at_start.contradictions(rows[1:], typed(**by_time), indexed=True)
    assert found.startswith("profile.group_by: no plate has the column 'Metadata_Timepoint'")
    wrong = typed(evaluate={"label": "Metadata_dono", "replicates_share": ["Metadata_Imaged_Plate"]})
    (found,) = at_start.contradictions(timed, wrong, indexed=True)
    assert found.startswith("evaluate.label: no plate has the column 'Metadata_dono'")
