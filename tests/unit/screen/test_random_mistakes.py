"""Platemaps changed at random: what does not change the content is read as before, and what does is refused by name."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.screen import platemap

HEAD = ["well", "compound", "concentration_uM", "moa", "role", "replicate"]
ROWS = [
    [f"{row}{column:02d}", *(("DMSO", "", "", "vehicle") if column == 1 else (f"drug {column}", dose, kind, "treated"))]
    + [str(number)]
    for number, (row, dose) in enumerate(zip("ABCD", ("0.5", "2", "10", "50"), strict=True), 1)
    for column, kind in ((1, ""), (2, "kinase"), (3, "tubulin"), (5, "tubulin"))
]
CONTENT = ["Well", "Compound", "Concentration", "Perturbation", "pert_type", "moa", "Concentration_Unit"]
places = st.integers(0, len(ROWS) - 1)


def read(folder, content: bytes):
    path = folder / "map.csv"
    path.write_bytes(content)
    frame = platemap.reading(path, plate="P1").frame
    return frame[[f"Metadata_{name}" for name in CONTENT]].astype(object).where(lambda cells: cells.notna(), None)


def written(rows, *, separator=",", end="\n", quoting=csv.QUOTE_MINIMAL) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return read(tmp_path_factory.mktemp("good"), written([HEAD, *ROWS]).encode())


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_does_not_change_the_content_is_read_as_before(good, tmp_path_factory, data):
    table = [HEAD, *data.draw(st.permutations(ROWS))]
    order = data.draw(st.permutations(range(len(HEAD))))
    table = [[row[place] for place in order] for row in table]
    if data.draw(st.booleans()):  # a column for people
        table = [[*row, "note" if number == 0 else f"of {number}"] for number, row in enumerate(table)]
    form = data.draw(st.sampled_from([str, str.upper, str.title, lambda name: f" {name} "]))
    table[0] = [name if name.endswith("_uM") else form(name) for name in table[0]]
    names = {"A": ["A1", "a01", "A-01", "A 1"], "B": ["B1", "b1"]}
    place = order.index(0)
    for row in table[1:]:
        if row[place][1:] == "01" and row[place][0] in names:
            row[place] = data.draw(st.sampled_from(names[row[place][0]]))
    separator, end = data.draw(st.sampled_from(",\t;")), data.draw(st.sampled_from(["\n", "\r\n"]))
    quoting = data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    text = written(table, separator=separator, end=end, quoting=quoting)
    for line in data.draw(st.lists(st.sampled_from([f"# by hand{end}", end, f"{separator * 3}{end}"]), max_size=2)):
        text = line + text if line.startswith("#") else text + line
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    found = read(tmp_path_factory.mktemp("map"), text.encode(encoding))
    assert found.to_dict("list") == good.to_dict("list")


GARBAGE = {
    "well": ["", "A", "01", "Z99", "AAA1", "well A1", "A1:A2", "B1/B2", "#REF!"],
    "concentration_uM": ["high", "1.000,5", "-6", "#N/A", "<0.5", "1-2", "5 parrots", "1 mg/mL", "1,000"],
    "role": ["treatde", "x", "7", "#VALUE!"],
    "compound": ["#NAME?", "", "dmso", "Dmso"],
}


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(list(GARBAGE)), places, st.data())
def test_a_cell_that_cannot_be_right_is_refused_by_name(tmp_path_factory, name, place, data):
    cell = data.draw(st.sampled_from(GARBAGE[name]))
    rows = [list(row) for row in ROWS]
    wrong = place if rows[place][1] != "DMSO" else (place + 1) % len(rows)
    if name == "compound" and cell.casefold() == "dmso":  # a control without a type, written otherwise
        rows = [[*row[:4], "", row[5]] for row in rows]
    rows[wrong][HEAD.index(name)] = cell
    folder = tmp_path_factory.mktemp("map")
    with pytest.raises(ValueError, match=r"map\.csv") as error:
        read(folder, written([HEAD, *rows]).encode())
    assert "expected" in str(error.value) or "have no compound" in str(error.value)
    assert (
        cell == "" or cell in str(error.value) or cell.split(",")[0] in str(error.value) or "mg/mL" in str(error.value)
    )


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["doubled", "cut", "moved", "title", "second", "wider", "misspelt"]), places, st.data())
def test_rows_and_names_that_cannot_be_right_are_refused(tmp_path_factory, kind, place, data):
    rows, head = [list(row) for row in ROWS], list(HEAD)
    if kind == "doubled":
        rows.append(list(rows[place]))
    elif kind == "moved":  # a cell is lost, and the others of its row move to the left
        rows[place].pop(data.draw(st.integers(0, 1)))
    elif kind == "wider":
        rows[place].insert(data.draw(st.integers(1, 6)), "x")
    elif kind == "misspelt":
        column, wrong = data.draw(
            st.sampled_from([("well", "wel"), ("compound", "compuond"), ("concentration_uM", "concentratoin_uM")])
        )
        head[head.index(column)] = wrong
    text = written([head, *rows])
    if kind == "title":
        text = "Plate layout of Monday\n" + text
    elif kind == "second":
        text += text
    elif kind == "cut":  # within the cell of a well
        lines = text.splitlines(keepends=True)
        text = "".join(lines[: place + 1]) + lines[place + 1][:2]
    with pytest.raises(ValueError, match=r"map\.csv"):
        read(tmp_path_factory.mktemp("map"), text.encode())
