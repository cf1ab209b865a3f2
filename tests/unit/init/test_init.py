"""`wellspring init`: a folder of images becomes a screen that the check passes, without a regular expression."""

import gzip
import itertools
import re

import numpy as np
import pytest
import tifffile
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import vendors
from wellspring.init import name_pattern, profiles, stains
from wellspring.init.__main__ import main
from wellspring.screen import config

ROWS, COLUMNS = "ABC", (1, 2, 3, 4)


def field(rng, *, nuclei: bool) -> np.ndarray:
    """A field of 60 x 84 px: round nuclei on a dark background, or a stain that fills most of it."""
    y, x = np.mgrid[:60, :84]
    image = rng.normal(100, 3, (60, 84))
    if not nuclei:
        return (image + 400 + 300 * np.sin(x / 7) * np.cos(y / 9)).astype(np.uint16)
    for row, column in itertools.product((12, 30, 48), (14, 34, 54, 72)):
        image += 900 * (np.hypot(y - row, x - column) < 5)
    return image.astype(np.uint16)


@pytest.fixture
def plate(tmp_path):
    """A plate in no known format: wells as letter and number apart, channels by number, two sites."""
    rng, folder = np.random.default_rng(0), tmp_path / "raw" / "Plate 7"
    folder.mkdir(parents=True)
    for row, column, site, channel in itertools.product(ROWS, COLUMNS, (1, 2), (1, 2)):
        pixels = field(rng, nuclei=channel == 2)
        tifffile.imwrite(folder / f"scan_{row}-{column:02d}_fld{site}_chan{channel}.tif", pixels)
    layout = tmp_path / "layout.csv"
    cells = "".join(f"{row},DMSO,x,x,dmso 0.1%\n" for row in ROWS).replace("dmso 0.1%", "y")
    layout.write_text("compound,1,2,3,4\n" + cells)
    return folder, layout


def test_a_folder_of_unknown_names_becomes_a_screen_that_can_run(plate, tmp_path, capsys):
    folder, layout = plate
    out = tmp_path / "screen"
    assert main([str(folder), "--platemap", str(layout), "--out", str(out), "--yes"]) == 0
    text = (out / "config" / "config.yaml").read_text()
    written = yaml.safe_load(text)
    config.resolve(written)
    assert written["channels"][0] == "DNA" and written["index"]["channels"]["DNA"] == "2"
    assert written["cells"]["nuclei"] == "DNA"
    keys = [line for line in text.splitlines() if re.match(r" *[a-z_]+: ?\S", line)]
    assert len(keys) <= 20 and text.count("#") > len(keys)
    sheet = (out / "config" / "plates.tsv").read_text().splitlines()
    assert sheet[1].split("\t")[:3] == ["Plate_7", str(folder), str(layout)]
    assert (out / "channels" / "1.png").is_file() and (out / "channels" / "2.png").is_file()
    shown = capsys.readouterr().out
    assert "12 wells, 24 fields, 48 planes of 60 x 84 uint16: DNA" in shown and "Can run" in shown


def test_nothing_is_overwritten_and_mistakes_are_named(plate, tmp_path, capsys):
    folder, layout = plate
    assert main([str(tmp_path / "lost"), "--out", str(tmp_path)]) == 2
    assert "there is no file or folder" in capsys.readouterr().err
    assert main([]) == 2
    assert main([str(folder), "--channels", "DNA", "--out", str(tmp_path)]) == 2
    assert "expected NAME=NAME_IN_FILES" in capsys.readouterr().err
    assert main([str(folder), "--channels", "DNA=9", "--out", str(tmp_path)]) == 2
    assert "names of the channels ['1', '2'] in the files, found ['9']" in capsys.readouterr().err
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text("seed: 2\n")
    assert main([str(folder), "--out", str(tmp_path)]) == 2
    assert (tmp_path / "config" / "config.yaml").read_text() == "seed: 2\n"


def _answering(monkeypatch, capsys, answers):
    """Answer the questions; return what was on the screen before each of them."""
    given, before = iter(answers), []

    def answer(question):
        before.append(capsys.readouterr().out + question)
        try:
            return next(given)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", answer)
    monkeypatch.setattr("wellspring.init.images.answers", lambda: True)
    return before


def test_a_question_comes_after_its_picture_and_no_two_channels_share_a_name(plate, tmp_path, capsys, monkeypatch):
    folder, layout = plate
    out = tmp_path / "my screen"
    before = _answering(monkeypatch, capsys, ["Hoechst", "Hoechst", "FKHR-GFP", "FKHR_GFP"])
    assert main([str(folder), "--platemap", str(layout), "--out", str(out)]) == 0
    assert str(out / "channels" / "1.png") in before[0] and "[Ch1]" in before[0]
    assert str(out / "channels" / "2.png") in before[1] and "[DNA]" in before[1]
    assert "Hoechst is channel 1" in before[2] and "FKHR-GFP cannot be a name" in before[3]
    written = yaml.safe_load((out / "config" / "config.yaml").read_text())
    assert written["index"]["channels"] == {"Hoechst": "1", "FKHR_GFP": "2"}
    assert written["cells"] == {"nuclei": "Hoechst", "cytoplasm": ["FKHR_GFP"]}
    shown = capsys.readouterr().out
    assert "channel 2 is FKHR_GFP, as answered" in shown and "taken as" not in shown
    assert f"cd '{out}'" in shown


def test_nuclei_are_the_rounder_channel_where_no_name_states_them(plate, tmp_path):
    folder, layout = plate
    arguments = [str(folder), "--platemap", str(layout), "--out", str(tmp_path), "--channels", "red=1", "blue=2"]
    assert main(arguments) == 0
    assert yaml.safe_load((tmp_path / "config" / "config.yaml").read_text())["cells"]["nuclei"] == "blue"


@pytest.mark.parametrize(
    ("controls", "wells", "expected"),
    [
        (5, 12, None),
        (3, 12, {"min_controls": 3}),
        (1, 12, {"normalise_on": "all"}),
        (0, 3, {"normalise_on": "all", "min_controls": 3}),
        (0, 1, {"normalise": "none", "normalise_on": "all"}),
    ],
)
def test_a_screen_of_few_controls_or_wells_can_run(plate, tmp_path, capsys, controls, wells, expected):
    folder, layout = plate
    names = [f"{row}{column:02d}" for row in ROWS for column in COLUMNS]
    for name in names[wells:]:
        for path in folder.glob(f"scan_{name[0]}-{name[1:]}_*"):
            path.unlink()
    cells = [f"{name},{'DMSO' if number < controls else 'x'}\n" for number, name in enumerate(names[:wells])]
    layout.write_text("well,compound\n" + "".join(cells))
    assert main([str(folder), "--platemap", str(layout), "--out", str(tmp_path), "--yes", "--steps", "7"]) == 0
    written = yaml.safe_load((tmp_path / "config" / "config.yaml").read_text())
    assert written.get("profile") == expected
    assert written["encoders"]["simclr"]["steps"] == 7 and written["encoders"]["untrained"]["steps"] == 0
    assert "Can run" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["images", "Raw Images", "TIFF", "data"])
def test_a_folder_called_by_its_content_has_the_name_of_the_one_above(plate, tmp_path, name):
    folder, layout = plate
    (folder.parent / "BR00117").mkdir()
    folder.rename(folder.parent / "BR00117" / name)
    arguments = [str(folder.parent / "BR00117" / name), "--platemap", str(layout), "--out", str(tmp_path), "--yes"]
    assert main(arguments) == 0
    assert (tmp_path / "config" / "plates.tsv").read_text().splitlines()[1].split("\t")[0] == "BR00117"


def test_questions_without_an_answer_write_no_config(plate, tmp_path, capsys, monkeypatch):
    folder, layout = plate
    _answering(monkeypatch, capsys, ["GFP"])
    assert main([str(folder), "--platemap", str(layout), "--out", str(tmp_path / "screen")]) == 2
    assert "--yes takes the guesses" in capsys.readouterr().err
    assert not (tmp_path / "screen" / "config").exists()


@pytest.mark.parametrize("given", [("DNA=1", "DNA=2"), ("DNA=1", "GFP=1")])
def test_a_channel_given_twice_is_refused(plate, tmp_path, capsys, given):
    assert main([str(plate[0]), "--out", str(tmp_path), "--channels", *given]) == 2
    assert "once, found" in capsys.readouterr().err


def test_without_a_platemap_a_blank_one_lists_the_wells(plate, tmp_path, capsys):
    folder, layout = plate
    layout.unlink()
    out = tmp_path / "screen"
    assert main([str(folder), "--out", str(out), "--yes", "--channels", "DNA=2", "Actin=1"]) == 1
    path = out / "config" / "platemaps" / "Plate_7.csv"
    blank = path.read_text().splitlines()
    assert blank[2].startswith("A01,") and len(blank) == 2 + len(ROWS) * len(COLUMNS)
    shown = capsys.readouterr().out
    assert f"no platemap found; fill in {path}" in shown and "Cannot run" in shown
    assert "no platemap names a compound, only unknown: fill in compounds and types" in shown
    written = yaml.safe_load((out / "config" / "config.yaml").read_text())
    assert "profile" not in written  # the controls that are filled in count
    assert written["channels"] == ["DNA", "Actin"]


def test_a_platemap_that_was_filled_in_is_kept_and_read(plate, tmp_path, capsys):
    folder, layout = plate
    layout.unlink()
    out = tmp_path / "screen"
    again = [str(folder), "--out", str(out), "--yes", "--overwrite"]
    assert main(again) == 1 and main(again) == 1  # untouched, it is written again
    path = out / "config" / "platemaps" / "Plate_7.csv"
    filled = path.read_text().replace("unknown,,trt", "DMSO,,negcon", 3).replace("unknown", "taxol")
    path.write_text(filled)
    capsys.readouterr()
    assert main(again) == 0
    assert path.read_text() == filled
    assert f"the platemap that was filled in, {path}" in capsys.readouterr().out
    assert yaml.safe_load((out / "config" / "config.yaml").read_text())["profile"] == {"min_controls": 3}


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("AS_09047_{row}{column:02d}f{site:02d}d{channel}.TIF", {"well", "site", "channel"}),
        ("{row} - {column:02d}(fld {site} wv {channel} - DAPI).tif", {"row", "column", "site", "channel"}),
        ("r{number:02d}c{column:02d}f{site:02d}p01-ch{channel}sk1fk1fl1.tiff", {"row", "column", "site", "channel"}),
        ("Channel{channel}-{column:02d}-{row}-{column:02d}-s{site}.tif", {"row", "column", "site", "channel"}),
        ("plate_{row}{column}_T0001F{site:03d}L01A01Z01C{channel:02d}.tif", {"well", "site", "channel"}),
        ("{row}{column:02d}_s{site}_w{channel}[BEDC2073-A983-4B98-95E9-84466707A2{site}{channel}].tif",
         {"well", "site", "channel"}),
    ],
)  # fmt: skip
def test_patterns_of_usual_microscopes_are_found(name, groups):
    paths, places = [], {}
    for (number, row), column, site, channel in itertools.product(enumerate("ABD", 1), (1, 3, 12), (1, 2), (1, 2, 4)):
        path = "images/" + name.format(row=row, number=number, column=column, site=site, channel=channel)
        paths.append(path)
        places[path] = (row, number, column, site, channel)
    found = name_pattern.propose(paths)
    compiled = re.compile(f"(?:.*/)?(?:{found.pattern})")
    assert set(compiled.groupindex) == groups
    for path, (row, number, column, site, channel) in places.items():
        match = compiled.fullmatch(path).groupdict()
        assert match.get("well", f"{match.get('row')}{match.get('column')}").lstrip("0") in {
            f"{row}{column:02d}", f"{row}{column}", f"{number}{column:02d}"
        }  # fmt: skip
        assert (int(match["site"]), int(match["channel"])) == (site, channel)


@pytest.mark.parametrize(
    "name",
    [
        "{row}{column}_{number:02d}_1_{site}_{stain}_001.tif",  # Gen5: the number of the channel, and its name
        "{row}{column}_{site}_{stain}_{number}.tif",
        "{number}-{stain}-{row}{column:02d}-{site}.tif",
        "Well{row}{column:02d}_Point{row}{column:02d}_{site:04d}_Channel{stain}_Seq{running:04d}.tif",  # NIS-Elements
        "{running}_{row}{column}_{site}_{stain}.tif",
        "{row}{column}--W{well:05d}--P{site:05d}--Z00000--T00000--{stain}.tif",  # scanR: P is the position
        "{row}{column:02d}_w{well}_p{site}_{stain}.tif",
        "plate1_{small}{column:02d}f{site}_{stain}.TIF",
        "{row}{column:02d}_{drug}_{site}_{stain}.tif",
    ],
)
def test_a_stain_beside_its_number_or_other_words_is_the_channel_and_no_site(name):
    paths, places = [], {}
    for running, (row, column, site) in enumerate(itertools.product("ABD", (1, 3, 12), (1, 2, 3)), 1):
        for number, stain in enumerate(("DAPI", "GFP"), 1):
            drug = "none" if column == 1 else "taxol"
            path = name.format(
                row=row, column=column, site=site, number=number, stain=stain, running=running, drug=drug,
                well="ABD".index(row) * 12 + column, small=row.lower(),
            )  # fmt: skip
            paths.append(path)
            places[path] = (f"{row}{column}", site, stain)
    found = name_pattern.propose(paths)
    assert set(re.compile(found.pattern).groupindex) == {"well", "site", "channel"} and found.matched == len(paths)
    for path, place in places.items():
        match = re.fullmatch(found.pattern, path).groupdict()
        assert (re.sub("(?<=[A-D])0", "", match["well"].upper()), int(match["site"]), match["channel"]) == place


@settings(max_examples=25, deadline=None)
@given(
    st.permutations(["_s{site}", "_w{channel}", "_z{plane}"]),
    st.sampled_from(["{row}{column:02d}", "{row}-{column}", "{row}{column}"]),
    st.sampled_from(["exp_", "2024-05-01 ", "Run7_", ""]),
)
def test_random_names_give_each_image_its_place(parts, well, head):
    name = head + well + "".join(parts) + ".tif"
    keys = list(itertools.product("BCF", (2, 11), (1, 2), (1, 2, 3), (1, 2)))
    paths = [name.format(row=r, column=c, site=s, channel=w, plane=z) for r, c, s, w, z in keys]
    found = name_pattern.propose(paths)
    assert found is not None and found.matched == len(paths)
    for path, (_, _, site, channel, plane) in zip(paths, keys, strict=True):
        match = re.fullmatch(found.pattern, path).groupdict()
        assert (match["site"], match["channel"], match["plane"]) == (str(site), str(channel), str(plane))


def test_names_without_a_place_for_each_image_have_no_pattern():
    assert name_pattern.propose(["overview.tif", "notes.tif"]) is None
    assert name_pattern.propose(["readme.txt"]) is None


def test_stains_are_guessed_by_name_and_nuclei_by_look():
    rng = np.random.default_rng(1)
    images = {"1": [field(rng, nuclei=False)], "2": [field(rng, nuclei=True)]}
    assert stains.guess(["1", "2"], images) == {"1": "Ch1", "2": "DNA"}
    assert stains.guess(["HOECHST 33342", "Alexa 488", "FITC"], {}) == {
        "HOECHST 33342": "DNA", "Alexa 488": "ER", "FITC": "GFP",
    }  # fmt: skip


@pytest.mark.parametrize(("folder", "wells"), [("bbbc013", 48), ("lincs_a549", 4)])
def test_real_folders_become_screens(shared_data, tmp_path, capsys, folder, wells):
    # Without a platemap, a blank one is to be filled in first.
    assert main([str(shared_data / folder), "--out", str(tmp_path), "--yes"]) == (0 if folder == "bbbc013" else 1)
    shown = capsys.readouterr().out
    assert f"{wells} wells" in shown and "channel 2 is taken as " + ("DNA" if folder == "bbbc013" else "Ch2") in shown
    assert "to name it otherwise: --channels NAME=2" in shown
    assert folder != "bbbc013" or "negative controls: 8 wells by their type ('none')" in shown


def test_the_option_that_renames_a_channel_can_be_pasted(shared_data, tmp_path, capsys):
    home = shared_data / "vendor_layout_samples" / "ImageXpress_exported"
    main([str(home), "--out", str(tmp_path), "--yes"])
    assert "to name it otherwise: --channels 'NAME=Texas Red'" in capsys.readouterr().out


def test_the_ljosa_table_becomes_a_screen_of_tables(shared_data, tmp_path, capsys):
    home = shared_data / "bbbc021_ljosa_profiles"
    table, layout = home / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz", home / "BBBC021_v1_image.csv.gz"
    assert main(["--tables", str(table), "--platemap", str(layout), "--out", str(tmp_path)]) in (0, 1)
    sheet = (tmp_path / "config" / "plates.tsv").read_text().splitlines()
    assert len(sheet) == 1 + 55
    batch = sheet[0].split("\t").index("batch")
    assert len({line.split("\t")[batch] for line in sheet[1:]}) == 10  # weeks
    assert "Can run" in capsys.readouterr().out
    written = yaml.safe_load((tmp_path / "config" / "config.yaml").read_text())
    assert written["index"]["columns"] == {"well": "Image_Metadata_Well_DAPI", "plate": "Image_Metadata_Plate_DAPI"}


def test_tables_are_read_in_every_format_of_encoders(tmp_path):
    text = "Metadata_Plate;Metadata_Well;a\nNA;A01;0.5\n007;A02;1.5\n"
    (tmp_path / "plain.csv").write_text(text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("plain.csv", "packed.csv.gz"):
        assert sorted(profiles._plates(tmp_path / name)) == ["007", "NA"]
    (tmp_path / "bare.csv").write_text("a;b\n1;2\n")
    with pytest.raises(ValueError, match="expected a column of plates"):
        profiles._plates(tmp_path / "bare.csv")


def test_a_folder_above_the_plate_and_a_path_that_is_absent_are_named_with_the_way_out(tmp_path, capsys):
    below = tmp_path / "day" / "run 1" / "plate"
    below.mkdir(parents=True)
    (below / "measurement.log").write_text("x")
    assert main([str(tmp_path / "day"), "--out", str(tmp_path / "screen"), "--yes"]) == 2
    shown = capsys.readouterr().err
    assert "it has files in ['run 1/plate']; name the folder of the plate" in shown and len(shown) < 900
    assert main([str(tmp_path / "dya"), "--out", str(tmp_path / "screen"), "--yes"]) == 2
    assert f"there is no file or folder {tmp_path / 'dya'}: correct the path" in capsys.readouterr().err


def _copied(folder, target, name="{}"):
    target.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        (target / name.format(path.name)).write_bytes(path.read_bytes())


def test_plates_in_sub_folders_of_a_known_format_are_one_plate_each(tmp_path, capsys):
    for name in ("P1", "P2"):
        vendors.cellvoyager(tmp_path / "day" / "run" / name, plate=name, side=40)
    out = tmp_path / "screen"
    main([str(tmp_path / "day"), "--out", str(out), "--yes"])
    shown = capsys.readouterr()
    assert "day: 2 plates in sub-folders: P1, P2" in shown.out and "format: cellvoyager" in shown.out, shown.err
    sheet = [line.split("\t") for line in (out / "config" / "plates.tsv").read_text().splitlines()]
    assert [line[:2] for line in sheet[1:]] == [[name, str(tmp_path / "day/run" / name)] for name in ("P1", "P2")]


def test_plates_by_barcode_in_the_file_names_are_one_plate_each(plate, tmp_path, capsys):
    folder, layout = plate
    for barcode in ("BR0017", "BR0018"):
        _copied(folder, tmp_path / "all", barcode + "_{}")
    out = tmp_path / "screen"
    assert main([str(tmp_path / "all"), "--platemap", str(layout), "--out", str(out), "--yes"]) == 0
    shown = capsys.readouterr().out
    assert "2 plates by a part of the file names: BR0017, BR0018" in shown and "Can run" in shown
    assert shown.count("12 wells, 24 fields, 48 planes") == 2
    sheet = (out / "config" / "plates.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in sheet[1:]] == ["BR0017", "BR0018"]


@pytest.mark.parametrize(
    ("heads", "sites"),
    [(("plateA", "plateB"), (2, 2)), (("Plate1", "Plate2"), (1, 2)), (("20240501", "20240502", "20240509"), (2, 2, 2))],
)
def test_the_name_of_the_plate_before_the_well_does_not_keep_other_plates_out(heads, sites):
    folders = [
        [f"{head}_{row}{column:02d}_f{site}_{stain}.tif" for row, column, site, stain in
         itertools.product("BCD", (2, 3, 11), range(1, 1 + count), ("DAPI", "Actin", "Tubulin"))]
        for head, count in zip(heads, sites, strict=True)
    ]  # fmt: skip
    assert not name_pattern.fits(name_pattern.propose(folders[0]).pattern, folders[1])
    found = name_pattern.propose(folders[0], others=folders[1:])
    assert found.matched == found.total == sum(map(len, folders))
    for path in itertools.chain(*folders):
        groups = re.fullmatch(found.pattern, path).groupdict()
        assert [groups["well"], f"f{groups['site']}", groups["channel"]] == path.removesuffix(".tif").split("_")[1:]


def test_a_running_number_that_starts_anew_in_each_folder_is_no_site():
    folders = [
        [f"run{folder}-{start + 2 * well:03d}-{row}{column:02d}-{stain}.tif" for stain in ("DAPI", "GFP")
         for well, (row, column) in enumerate(itertools.product("BCD", (2, 3, 11)))]
        for folder, start in ((1, 1), (2, 40))
    ]  # fmt: skip
    found = name_pattern.propose(folders[0], others=folders[1:])
    assert set(re.compile(found.pattern).groupindex) == {"well", "channel"} and found.matched == 36


def test_folders_of_names_that_begin_with_their_plate_are_one_screen(plate, tmp_path, capsys):
    folder, layout = plate
    places = [tmp_path / "day" / name for name in ("P-one", "P-two")]
    for place in places:
        _copied(folder, place, place.name.partition("-")[2] + "_{}")
    out = tmp_path / "screen"
    assert main([*map(str, places), "--platemap", str(layout), "--out", str(out), "--yes"]) == 0
    assert capsys.readouterr().out.count("12 wells, 24 fields, 48 planes") == 2


def test_a_folder_of_other_names_is_named_with_its_files_and_the_way_out(plate, tmp_path, capsys):
    folder, layout = plate
    (tmp_path / "odd").mkdir()
    for source in folder.iterdir():
        (tmp_path / "odd" / source.name.replace("_", ".").replace(".tif", "..tif")).write_bytes(source.read_bytes())
    out = tmp_path / "screen"
    assert main([str(folder), str(tmp_path / "odd"), "--platemap", str(layout), "--out", str(out), "--yes"]) != 0
    shown = capsys.readouterr().err
    assert f"{tmp_path / 'odd'}: expected file names of the form" in shown and str(folder) in shown
    assert "scan.A-01.fld1.chan1..tif" in shown and "--yes" not in shown and "harmony" not in shown
