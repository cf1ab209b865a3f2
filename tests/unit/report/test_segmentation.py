"""Implausible segmentation in the report: a sentence on the first screen, a picture, no plate that passed."""

import pytest

from report_screen import fabricate
from wellspring.cells.plausible import COLUMN
from wellspring.io import tables
from wellspring.io.notes import Note, dumps
from wellspring.report import gather, overview, segmentation


@pytest.fixture
def inputs(tmp_path):
    return fabricate(tmp_path, rows=4, columns=6)


def noted(inputs, names, text):
    """Return the screen with a note on the first field of plate P2, and that field's well and site."""
    path = gather.gather(inputs, **names).cell_files["P2"]
    frame = tables.read(path).assign(**{COLUMN: ""})
    well, site = frame.loc[0, ["Metadata_Well", "Metadata_Site"]]
    frame.loc[(frame["Metadata_Well"] == well) & (frame["Metadata_Site"] == site), COLUMN] = text
    tables.write(frame, path, table="cells", provenance=tables.provenance(path), verdict=tables.verdict(path))
    return gather.gather(inputs, **names), well, site


def test_a_screen_without_notes_has_no_finding(inputs):
    screen = gather.gather(inputs[0], **inputs[1])
    found = segmentation.fields(screen)
    assert found.empty
    assert segmentation.statements(found) == [] and segmentation.pictures(screen, found) == []


def test_a_noted_field_is_a_finding_with_its_picture(inputs):
    text = dumps([Note("vast_object", {"share": 0.3}), Note("most_fields_noted", {"fields": 2, "total": 3})])
    screen, well, site = noted(*inputs, text)
    found = segmentation.fields(screen)
    assert len(found) == 1
    [statement] = segmentation.statements(found)
    assert statement.text == "The segmentation of 1 field in 1 well is implausible."
    assert statement.lines == (f"P2 {well}, site {site}: an object covers 30.0 % of the field",)
    [picture] = segmentation.pictures(screen, found)
    assert picture.title == f"P2 {well}, site {site}" and picture.address.startswith("data:image/jpeg")
    assert picture.lines[0] == "an object covers 30.0 % of the field"
    assert statement in overview.look_at(screen, [], [], level="aligned")


def test_its_plate_did_not_pass_every_check(inputs):
    before = overview.passes(gather.gather(inputs[0], **inputs[1]), [], level="aligned")[0].text
    screen, _, _ = noted(*inputs, str(Note("cells_flagged", {"share": 0.75})))
    after = overview.passes(screen, [], level="aligned")[0].text
    kept = len(screen.kept)
    assert before.startswith(f"{kept} of 3 plates passed every check")
    assert after.startswith(f"{kept - 1} of 3 plates passed every check")
