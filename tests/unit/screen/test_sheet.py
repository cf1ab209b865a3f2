"""The plate sheet: defaults, roles, and each mistake named with its file, row and value."""

from pathlib import Path

import pytest

from wellspring.screen import sheet

COLUMNS = ("plate", "images", "platemap", "batch", "role")


@pytest.fixture
def folder(tmp_path):
    for name in ("P1", "P2"):
        (tmp_path / name).mkdir()
    (tmp_path / "map.csv").write_text("well\n")
    return tmp_path


def write(folder, *rows, columns=COLUMNS, name="plates.tsv"):
    path = folder / name
    separator = "," if name.endswith(".csv") else "\t"
    path.write_text("\n".join(separator.join(line) for line in (columns, *rows)) + "\n")
    return path


def row(folder, plate="P1", *, images=None, platemap="map.csv", batch="b1", role="fit"):
    return (plate, str(folder / (images or plate)), str(folder / platemap), batch, role)


def test_defaults_and_further_columns(folder):
    rows = [(*row(folder, batch=""), "12h"), (*row(folder, "P2", role="no"), "24h")]
    plates = sheet.read(write(folder, *rows, columns=(*COLUMNS, "time")))
    assert plates.loc["P1", "batch"] == "batch1"
    assert plates.index.tolist() == ["P1"]
    assert plates.loc["P1", ["role", "optics", "cell_line", "time"]].tolist() == ["fit", "P1", "unknown", "12h"]


def test_a_screen_without_images_needs_no_folders(folder):
    (folder / "P1").rmdir()
    path = write(folder, row(folder)[:1] + row(folder)[2:], columns=COLUMNS[:1] + COLUMNS[2:])
    for written in (path, write(folder, row(folder), name="twin.tsv")):
        assert sheet.read(written, images=False)["images"].tolist() == [""]
    with pytest.raises(ValueError, match=r"expected the columns \['images'\]"):
        sheet.read(path)


def test_commas_comments_and_names_of_digits(folder):
    (folder / "0012").mkdir()
    path = write(folder, row(folder, "0012"), name="plates.csv")
    path.write_text("# a screen\n" + path.read_text())
    assert sheet.read(path).index.tolist() == ["0012"]


def test_shared_light_path(folder):
    rows = [(*row(folder), "scope7"), (*row(folder, "P2"), "")]
    assert sheet.read(write(folder, *rows, columns=(*COLUMNS, "optics")))["optics"].tolist() == ["scope7", "P2"]


def test_missing_sheet_is_named(folder):
    with pytest.raises(ValueError, match="nowhere.tsv: expected the plate sheet here, found no such file"):
        sheet.read(folder / "nowhere.tsv")


def test_missing_column_is_named(folder):
    path = write(folder, ("P1", "images"), columns=("plate", "images"))
    with pytest.raises(
        ValueError, match=r"plates.tsv: expected the columns \['platemap'\], found \['plate', 'images'\]"
    ):
        sheet.read(path)


def test_empty_cell_of_a_required_column_is_named(folder):
    with pytest.raises(ValueError, match="plates.tsv: line 2: expected a value in column 'platemap', found none"):
        sheet.read(write(folder, ("P1", str(folder / "P1"), "", "b1", "fit")))


def test_doubled_plate_is_named(folder):
    with pytest.raises(ValueError, match=r"expected each plate once, found \['P1'\] more than once"):
        sheet.read(write(folder, row(folder), row(folder)))


def test_path_that_does_not_exist_is_named(folder):
    with pytest.raises(ValueError, match="plate P1: expected images at '.*lost', found no such file or folder"):
        sheet.read(write(folder, row(folder, images="lost")))
    with pytest.raises(ValueError, match="plate P1: expected platemap at '.*lost.csv', found no such file or folder"):
        sheet.read(write(folder, row(folder, platemap="lost.csv")))


@pytest.mark.parametrize("role", ["train", "", "NA", "None", "null", "Fit", "heldout #2"])
def test_an_unknown_or_empty_role_is_an_error_and_never_fit(folder, role):
    with pytest.raises(ValueError, match=rf"plates.tsv: line 3: expected a role of .*, found '{role}'"):
        sheet.read(write(folder, row(folder), row(folder, "P2", role=role)))


@pytest.mark.parametrize("word", ["iPSC #3", "NA", "None", "null", "1e3", "Run #2"])
def test_words_of_the_sheet_stay_as_they_are(folder, word):
    """A `#` cut the row, so that a held-out plate was trained on; words for nothing became defaults."""
    (folder / "Run #2").mkdir()
    rows = [(*row(folder), "x"), (*row(folder, "P2", images="Run #2", batch=word, role="heldout"), word)]
    plates = sheet.read(write(folder, *rows, columns=(*COLUMNS, "cell_line")))
    assert plates.loc["P2", ["batch", "cell_line", "role"]].tolist() == [word, word, "heldout"]
    assert plates.loc["P2", "images"].endswith("Run #2")


@pytest.mark.parametrize("role", ["no", "project"])
def test_a_screen_without_a_plate_to_fit_on_is_refused(folder, role):
    with pytest.raises(ValueError, match="expected at least one plate"):
        sheet.read(write(folder, row(folder, role=role)))


@pytest.mark.parametrize(
    "name", ["P 1", "../P1", "P1;rm", "$(id)", "P1/x", "-P1", ".P1", "P1|P2", "{plate}", "`id`", "Plätte"]
)
def test_names_with_shell_or_path_characters_are_refused(folder, name):
    with pytest.raises(ValueError, match="line 2: expected a plate of letters, digits") as error:
        sheet.read(write(folder, row(folder, name, images="P1")))
    assert repr(name) in str(error.value)


def test_the_name_of_a_light_path_becomes_a_file_too(folder):
    path = write(folder, (*row(folder), "scope/7"), columns=(*COLUMNS, "optics"))
    with pytest.raises(ValueError, match="line 2: expected a light path of letters, digits"):
        sheet.read(path)


def test_the_demo_folder_is_for_the_demo_alone(folder):
    demo = folder / "results" / "demo"
    options = {"demo": demo, "simulated": ("B1_U2OS",)}
    own = ("B1_U2OS", str(demo / "B1_U2OS"), str(demo / "B1_U2OS" / "platemap.csv"), "b1", "fit")
    assert sheet.read(write(folder, own), **options).index.tolist() == ["B1_U2OS"]
    for plate, images in [("P1", "P1"), ("P1", "B1_U2OS"), ("B1_U2OS", "other"), ("B1_U2OS", ""), ("P1", "../demo/P1")]:
        foreign = (plate, str(demo / images), str(folder / "map.csv"), "b1", "fit")
        with pytest.raises(ValueError, match=f"plate {plate}: expected images outside of the demo's folder"):
            sheet.read(write(folder, foreign), **options)


@pytest.mark.parametrize("ending", [".audit", ".normalised"])
def test_a_name_that_collides_with_an_output_is_refused(folder, ending):
    with pytest.raises(ValueError, match=rf"ending of an output .* found 'P1\{ending}'"):
        sheet.read(write(folder, row(folder, f"P1{ending}", images="P1")))


def test_images_in_a_store_are_not_looked_for_and_carry_no_password(folder):
    plates = sheet.read(write(folder, ("P1", "s3://bucket/screen/P1", str(folder / "map.csv"), "b1", "fit")))
    assert plates.loc["P1", "images"] == "s3://bucket/screen/P1"
    for url, message in [
        ("s3://key:secret@bucket/P1", "line 2.images: expected a value without credentials"),
        ("s3://key:secret@bucket/../P1", "line 2.images: expected a value without credentials"),
        ("s3://bucket/P1/../P2", "plate P1: expected a URL without `..`"),
    ]:
        with pytest.raises(ValueError, match=message) as error:
            sheet.read(write(folder, ("P1", url, str(folder / "map.csv"), "b1", "fit")))
        assert "secret" not in str(error.value)


def test_a_file_url_is_a_path(folder):
    (folder / "a b").mkdir()
    url = f"file://{folder}/a%20b"
    plates = sheet.read(write(folder, ("P1", url, str(folder / "map.csv"), "b1", "fit")))
    assert plates.loc["P1", "images"] == str(folder / "a b")


def test_all_folders_that_are_not_there_are_named_together(folder):
    path = write(folder, row(folder, images="lost"), row(folder, "P2", images="gone", platemap="gone.csv"))
    with pytest.raises(ValueError, match="lost") as error:
        sheet.read(path)
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize("line", [2, 3, 4])
def test_a_batch_of_some_plates_alone_is_refused(folder, line):
    (folder / "P3").mkdir()
    rows = [row(folder, name, batch="" if at == line else "b1") for at, name in enumerate(("P1", "P2", "P3"), start=2)]
    with pytest.raises(ValueError, match=rf"expected batch for all plates .* lines \[{line}\] \(merged cells"):
        sheet.read(write(folder, *rows))


def test_plates_that_differ_in_case_alone_are_refused(folder):
    (folder / "p1").mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=r"differ in more than case, found \['P1', 'p1'\]"):
        sheet.read(write(folder, row(folder), row(folder, "p1")))


@pytest.mark.parametrize("name", ["P1.zip", "P1.tar.gz", "A01_s1.tif", "book.xlsx"])
def test_a_file_in_the_place_of_a_folder_of_images_is_named(folder, name):
    (folder / name).write_bytes(b"PK")
    with pytest.raises(ValueError, match=rf"plate P1: expected a folder of images or its LoadData table .*{name}"):
        sheet.read(write(folder, row(folder, images=name)))
    (folder / "load_data.CSV.gz").write_bytes(b"")
    assert sheet.read(write(folder, row(folder, images="load_data.CSV.gz"))).index.tolist() == ["P1"]


@pytest.mark.parametrize("lost", ["plate", "images", "platemap"])
@pytest.mark.parametrize("slip", [False, True])
def test_a_column_that_is_not_there_hides_no_other_finding(folder, lost, slip):
    """A role and a path are wrong too; a column whose name is a slip is read under the right one."""
    good = row(folder)
    lines = [good, (*row(folder, "P2", images="P2x" if lost != "images" else "P1")[:4], "fitt")]
    columns = [f"{name[:-2]}{name[-1]}{name[-2]}" if name == lost else name for name in COLUMNS]
    if not slip:
        place = COLUMNS.index(lost)
        columns, lines = (
            [name for name in COLUMNS if name != lost],
            [line[:place] + line[place + 1 :] for line in lines],
        )
    rows, problems = sheet.examined(write(folder, *lines, columns=columns))
    text = "\n".join(problems)
    assert f"expected the columns [{lost!r}], found {columns}" in text
    assert f"correct {columns[COLUMNS.index(lost)]!r} to {lost!r}" in text if slip else "correct" not in text
    assert "line 3: expected a role of" in text
    assert ("P2x" in text) == (lost != "images")
    assert [Path(found["images"]).name for found in rows if found["role"] == "fit"] == [
        "" if lost == "images" and not slip else "P1"
    ]


def test_a_sheet_without_any_column_of_ours_is_named_once(folder):
    rows, problems = sheet.examined(write(folder, ("a", "b"), columns=("x y", "z")))
    assert rows == []
    assert len(problems) == 1
    assert "names must be separated by a tab" in problems[0]
