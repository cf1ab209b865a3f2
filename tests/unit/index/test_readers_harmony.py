import logging
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

import vendors
from wellspring.index.readers import flatfields, harmony

AWKWARD = "plate $(touch x) 'µ' & <é>"


def _read(folder, **options):
    return vendors.order(harmony.planes(folder, plate="P1", **options))


def _edit(path, old, new, count=1):
    text = path.read_text(encoding="utf-8-sig")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


@pytest.mark.parametrize("version", vendors.NAMESPACES)
def test_every_version_is_read_alike(tmp_path, version):
    expected = vendors.harmony(tmp_path, version=version, planes=2, timepoints=2)
    assert harmony.present(tmp_path)
    assert_frame_equal(_read(tmp_path), expected)


@pytest.mark.parametrize(
    "options",
    [
        {"wells": ["A01", "P24"]},
        {"wells": ["A01", "AF48", "Z26", "AA01"]},
        {"channels": ["HOECHST 33342", "405ex, 570-630-em)", "Brightfield [high] {2}", "µ & <é> 'x'"]},
        {"images": "."},
        {"index": "index.idx.xml"},
        {"plate": AWKWARD},
    ],
    ids=["384", "1536", "channels", "index beside images", "lower case", "awkward"],
)
def test_plates_of_all_kinds(tmp_path, options):
    folder = tmp_path / options.get("plate", "P1")
    expected = vendors.harmony(folder, **options)
    assert_frame_equal(_read(folder), expected)


def test_a_real_export(shared_data):
    folder = shared_data / "vendor_layout_samples/operetta_plate"
    frame = harmony.planes(folder, plate="P1")
    assert frame["path"].tolist() == [f"Images/r03c03f0{n}p01-ch1sk1fk1fl1.tiff" for n in (1, 2)]
    assert frame[["well", "site", "plane", "timepoint", "channel"]].values.tolist() == [
        ["C03", "1", "1", "0", "Fluorescein (FITC)"],
        ["C03", "2", "1", "0", "Fluorescein (FITC)"],
    ]
    assert frame["bytes"].tolist() == [(folder / path).stat().st_size for path in frame["path"]]
    found = frame[["pixel_size", "x", "y", "z", "exposure"]].to_numpy()
    at = [[1.1959521619, -645.814, 645.814, 137510.493, 6.0], [1.1959521619, 645.814, 645.814, 137508.094, 6.0]]
    assert found == pytest.approx(np.array(at))
    assert not harmony.present(shared_data / "nf1_jump_pccma_fov_samples/JUMP_plate_BR00117006/images")


def test_real_images_of_a_phenix_behind_a_link(shared_data, tmp_path):
    real = shared_data / "nf1_jump_pccma_fov_samples/JUMP_plate_BR00117006/images/orig"
    vendors.harmony(tmp_path, wells=["A01"], fields=1, channels={2: "AGP", 3: "RNA", 5: "DNA"}, side=0)
    for path in (tmp_path / "Images").glob("*.tiff"):
        path.unlink()
        path.symlink_to(real / path.name)
    with pytest.raises(ValueError, match="index.roots"):
        harmony.planes(tmp_path, plate="BR00117006")
    frame = harmony.planes(tmp_path, plate="BR00117006", roots=[shared_data])
    assert frame[["well", "site", "plane", "channel"]].values.tolist() == [
        ["A01", "1", "1", name] for name in ("AGP", "RNA", "DNA")
    ]
    assert frame["bytes"].tolist() == [path.stat().st_size for path in sorted(real.iterdir())]
    assert frame["path"].tolist() == [f"Images/{path.name}" for path in sorted(real.iterdir())]


def test_channels_of_one_name_are_kept_apart(tmp_path):
    for version in (5, 7):
        folder = tmp_path / str(version)
        vendors.harmony(folder, version=version, channels={1: "GFP", 2: "DNA", 7: "GFP", 8: ""})
        assert set(harmony.planes(folder, plate="P1")["channel"]) == {"GFP_1", "DNA", "GFP_7", "8"}
        assert set(harmony.flat_fields(next(folder.rglob("Index*")), (4, 4))) == {"GFP_1", "DNA", "GFP_7", "8"}


def test_a_channel_of_two_names_is_told(tmp_path, caplog):
    vendors.harmony(tmp_path, version=5, wells=["A01"])
    _edit(tmp_path / "Images/Index.idx.xml", "<ChannelName>Alexa 488", "<ChannelName>Alexa 568")
    assert set(_read(tmp_path)["channel"]) == {"HOECHST 33342", "Alexa 568"}
    assert "channels that have several names get the first" in caplog.text


def test_units_are_honoured(tmp_path):
    vendors.harmony(tmp_path, version=5, wells=["A01"], fields=1, channels=["DNA"])
    index = tmp_path / "Images/Index.idx.xml"
    _edit(index, "<ImageResolutionX Unit='m'>5.98E-07<", "<ImageResolutionX Unit='nm'>598<")
    _edit(index, "<PositionX Unit='m'>0.0<", "<PositionX Unit='mm'>0.5<")
    _edit(index, "<PositionY Unit='m'>-0.0<", "<PositionY Unit='furlong'>1<")
    _edit(index, "<AbsPositionZ Unit='m'>0.135<", "<AbsPositionZ>NaN<")
    _edit(index, "<ExposureTime Unit='s'>0.01<", "<ExposureTime Unit='ms'>12<")
    row = _read(tmp_path).iloc[0]
    assert row[["pixel_size", "x", "exposure"]].tolist() == pytest.approx([0.598, 500, 12])
    assert row[["y", "z"]].isna().all()


def test_states_missing_files_and_files_without_name(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    expected = vendors.harmony(tmp_path, wells=["A01"], fields=3, channels=["DNA"])
    gone, failed = expected["path"][0], expected["path"][1]
    (tmp_path / gone).unlink()
    (tmp_path / "Images/r09c09f01p01-ch1sk1fk1fl1.tiff").write_bytes(b"x")
    name = failed.rpartition("/")[2]
    _edit(tmp_path / "Images/Index.xml", f"<State>Ok</State><URL>{name}", f"<State>Error</State><URL>{name}")
    frame = harmony.planes(tmp_path, plate="P1")
    assert frame["path"].tolist() == [None, None, expected["path"][2]]
    assert frame["bytes"].tolist()[:2] == [0, 0]
    assert "1 files named in" in caplog.text and "are not in" in caplog.text
    assert "state is not Ok" in caplog.text and "{'Error': 1}" in caplog.text
    assert "1 images in" in caplog.text and "r09c09f01p01" in caplog.text


def test_a_plane_named_twice_stays_twice(tmp_path, caplog):
    expected = vendors.harmony(tmp_path, wells=["A01"], fields=2, channels=["DNA"])
    _edit(tmp_path / "Images/Index.xml", "<FieldID>2<", "<FieldID>1<")
    frame = harmony.planes(tmp_path, plate="P1")
    assert frame.duplicated(["well", "site", "channel", "plane", "timepoint"], keep=False).tolist() == [True, True]
    assert "named more than once" not in caplog.text
    first, second = (path.rpartition("/")[2] for path in expected["path"])
    _edit(tmp_path / "Images/Index.xml", f"<URL>{second}", f"<URL>{first}")
    assert harmony.planes(tmp_path, plate="P1")["path"].tolist() == [f"Images/{first}"] * 2
    assert "1 files are named more than once" in caplog.text


OUTSIDE = [
    "../../outside.tiff",
    "..\\..\\outside.tiff",
    "/etc/passwd",
    "{outside}",
    "file://{outside}",
    "file:outside.tiff",
    "FILE:///etc/passwd",
    "https://localhost/r01c01f01p01-ch1sk1fk1fl1.tiff",
    "s3://bucket/outside.tiff",
    "C:\\plate\\r01c01f01p01-ch1sk1fk1fl1.tiff",
    "../P1/../../outside.tiff",
    "x" * 5000 + "/../../../outside.tiff",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_files_outside_are_refused_and_told(tmp_path, caplog, name):
    plate, outside = tmp_path / "P1", tmp_path / "outside.tiff"
    outside.write_bytes(b"secret")
    expected = vendors.harmony(plate, wells=["A01"], fields=1, channels=["DNA"])
    name = name.format(outside=outside)
    _edit(plate / "Images/Index.xml", f"<URL>{expected['path'][0].rpartition('/')[2]}", f"<URL>{name}")
    row = harmony.planes(plate, plate="P1").iloc[0]
    assert row["path"] is None and row["bytes"] == 0
    assert "are not opened" in caplog.text and repr(name) in caplog.text


@pytest.mark.parametrize("name", ["../../archive/far.tiff", "{archive}/far.tiff", "../../link/far.tiff"])
def test_files_below_an_allowed_root_are_taken(tmp_path, name):
    plate, archive = tmp_path / "P1", tmp_path / "archive"
    archive.mkdir()
    (archive / "far.tiff").write_bytes(b"pixels")
    (tmp_path / "link").symlink_to(archive)
    expected = vendors.harmony(plate, wells=["A01"], fields=1, channels=["DNA"])
    text = f"<URL>{name.format(archive=archive)}"
    _edit(plate / "Images/Index.xml", f"<URL>{expected['path'][0].rpartition('/')[2]}", text)
    row = harmony.planes(plate, plate="P1", roots=[archive]).iloc[0]
    assert (plate / row["path"]).read_bytes() == b"pixels" and row["bytes"] == 6
    assert harmony.planes(plate, plate="P1", roots=[tmp_path / "other"])["path"].tolist() == [None]


def test_names_that_lead_back_into_the_folder_are_relative(tmp_path):
    expected = vendors.harmony(tmp_path, wells=["A01"], fields=3, channels=["DNA"])
    index = tmp_path / "Images/Index.xml"
    for path, way in zip(expected["path"], ("../Images/", f"{tmp_path}/Images/", ".\\"), strict=True):
        name = path.rpartition("/")[2]
        _edit(index, f"<URL>{name}", f"<URL>{way}{name}")
    assert_frame_equal(_read(tmp_path), expected)


def test_an_index_above_the_images(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    expected = vendors.harmony(tmp_path, images="Images")
    (tmp_path / "Images/Index.xml").rename(tmp_path / "Index.xml")
    assert_frame_equal(_read(tmp_path), expected)
    assert "8 files named in" in caplog.text and "lie in another folder" in caplog.text


def test_a_name_in_two_folders_is_not_guessed(tmp_path):
    expected = vendors.harmony(tmp_path, wells=["A01"], fields=1, channels=["DNA"])
    name = expected["path"][0].rpartition("/")[2]
    for other in ("one", "two"):
        (tmp_path / other).mkdir()
        (tmp_path / other / name).write_bytes(b"other")
    (tmp_path / "Images" / name).unlink()
    assert harmony.planes(tmp_path, plate="P1")["path"].tolist() == [None]
    (tmp_path / "one" / name).unlink()
    assert harmony.planes(tmp_path, plate="P1")["path"].tolist() == [f"two/{name}"]


def test_no_file_stands_for_two(tmp_path):
    expected = vendors.harmony(tmp_path, wells=["A01"], fields=3, channels=["DNA"])
    first, second, third = (path.rpartition("/")[2] for path in expected["path"])
    (tmp_path / "Images" / second).unlink()
    _edit(tmp_path / "Images/Index.xml", f"<URL>{second}", f"<URL>gone/{first}")
    assert harmony.planes(tmp_path, plate="P1")["path"].tolist() == [f"Images/{first}", None, f"Images/{third}"]
    _edit(tmp_path / "Images/Index.xml", f"<URL>{first}", f"<URL>lost/{first}")
    assert harmony.planes(tmp_path, plate="P1")["path"].tolist() == [None, None, f"Images/{third}"]


def test_two_indices_and_a_link_to_another_place(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    plate = tmp_path / "P1"
    vendors.harmony(plate, version=7)
    vendors.harmony(plate, version=5, wells=["H12"])
    assert set(harmony.planes(plate, plate="P1")["well"]) == {"A01", "B02"}
    assert "['Index.idx.xml'] is ignored" in caplog.text
    (plate / "Images/Index.xml").rename(tmp_path / "far.xml")
    (plate / "Images/Index.xml").symlink_to(tmp_path / "far.xml")
    with pytest.raises(ValueError, match="found a link to .*far.xml"):
        harmony.planes(plate, plate="P1")


def test_images_that_are_not_understood_are_left_and_told(tmp_path, caplog):
    vendors.harmony(tmp_path, wells=["A01"], fields=6, channels=["DNA"])
    index = tmp_path / "Images/Index.xml"
    for old, new in (
        ("<FieldID>1</FieldID>", "<FieldID>one</FieldID>"),
        ("<FieldID>2</FieldID>", "<FieldID/>"),
        ("<ChannelID>1</ChannelID>", "<ChannelID>-1</ChannelID>"),
        ("<Row>1</Row><Col>1</Col><FieldID>4", "<Row>A1</Row><Col>1</Col><FieldID>4"),
        ("<Row>1</Row><Col>1</Col><FieldID>5", "<Row>99</Row><Col>1</Col><FieldID>5"),
    ):
        _edit(index, old, new)
    assert harmony.planes(tmp_path, plate="P1")["site"].tolist() == ["3", "6"]
    assert "4 images of" in caplog.text and "cannot be parsed and are skipped" in caplog.text


def test_no_index_and_no_image(tmp_path):
    with pytest.raises(ValueError, match="P1: expected index.xml or index.idx.xml or imageindex.columbusidx.xml in"):
        harmony.planes(tmp_path, plate="P1")
    assert not harmony.present(tmp_path) and not harmony.present(tmp_path / "none")
    (tmp_path / "Index.xml").write_text("<EvaluationInputData/>")
    with pytest.raises(ValueError, match=r"Index\.xml: expected images, found none"):
        harmony.planes(tmp_path, plate="P1")


def test_a_truncated_index_is_an_error(tmp_path):
    vendors.harmony(tmp_path)
    index = tmp_path / "Images/Index.xml"
    text = index.read_bytes()
    for end in (0, 50, len(text) // 2, len(text) - 10):
        index.write_bytes(text[:end])
        with pytest.raises(ValueError, match=r"Index\.xml: expected"):
            harmony.planes(tmp_path, plate="P1")


# flat fields


def _slowly(terms, side, shape):
    """Evaluate a polynomial pixel by pixel, at the centres of the pixels of a binned image."""
    step = side / shape[0]
    found = np.empty(shape)
    for row in range(shape[0]):
        for column in range(shape[1]):
            x = ((column + 0.5) * step - 0.5 - (side - 1) / 2) / side
            y = ((row + 0.5) * step - 0.5 - (side - 1) / 2) / side
            found[row, column] = sum(
                weight * x ** (degree - j) * y**j for degree, row_ in enumerate(terms) for j, weight in enumerate(row_)
            )
    return found / found.mean()


TERMS = [[1.2], [-0.15, 0.05], [-1.6, 0.1, -0.8]]


@pytest.mark.parametrize("foreground", [True, False])
@pytest.mark.parametrize("shape", [(24, 24), (12, 12), (8, 8)])
def test_a_profile_is_its_polynomial(foreground, shape):
    profile = flatfields.read(vendors.profile(1, "DNA", side=24, foreground=foreground), source="s")
    found = flatfields.field(profile, shape, source="s")
    assert found.dtype == np.float32 and found.shape == shape
    assert found.mean() == pytest.approx(1, abs=1e-6)
    assert found == pytest.approx(_slowly(TERMS, 24, shape), rel=1e-5)
    assert found[:, 0].mean() > found[:, -1].mean()  # brighter to the left, where columns are few


def test_the_profiles_of_a_real_export(shared_data):
    index = shared_data / "vendor_layout_samples/operetta_plate/Images/Index.idx.xml"
    fields = harmony.flat_fields(index, (1080, 1080))
    assert list(fields) == ["Fluorescein (FITC)"]
    field = fields["Fluorescein (FITC)"]
    assert field.mean() == pytest.approx(1, abs=1e-5)
    text = re.search(r"Foreground.*?Coefficients: (\[\[.*?\]\])", index.read_text("utf-8-sig"))[1]
    terms = [[float(word) for word in row.split(",")] for row in re.findall(r"\[([^\[\]]+)\]", text)]
    whole = _slowly(terms, 1080, (27, 27))
    assert field.reshape(27, 40, 27, 40).mean((1, 3)) == pytest.approx(whole, rel=5e-3)


@pytest.mark.parametrize("version", vendors.NAMESPACES)
def test_flat_fields_have_the_channels_of_the_planes(tmp_path, version):
    channels = ["HOECHST 33342", "405ex, 570-630-em)", "Alexa 488"]
    vendors.harmony(tmp_path, version=version, channels=channels)
    fields = harmony.flat_fields(next(tmp_path.rglob("Index*")), (16, 16))
    assert set(fields) == set(harmony.planes(tmp_path, plate="P1")["channel"]) == set(channels)


IDENTITY = "{Character: %s, Profile: {Type: Identity}, Quality: 1}"


@pytest.mark.parametrize(
    ("text", "flat", "told"),
    [
        (f"{{Background: {IDENTITY % 'Null'}, Channel: 7, Version: Acapella:2013}}", True, "no estimate"),
        (f"{{Background: {IDENTITY % 'Flat'}, Channel: 7}}", True, ""),
        (vendors.profile(1, "x").replace("NonFlat,", "Null,"), True, "no estimate"),
        ("{Channel: 7}", True, "no estimate"),
        (vendors.profile(1, "x", foreground=False)[:-1] + f", Foreground: {IDENTITY % 'Null'}}}", False, ""),
        (vendors.profile(1, "x", foreground=False)[:-1] + f", Foreground: {IDENTITY % 'Flat'}}}", True, ""),
    ],
)
def test_channels_that_harmony_found_flat_or_could_not_judge(caplog, text, flat, told):
    found = flatfields.field(flatfields.read(text, source="s"), (6, 6), source="s")
    assert (found == 1).all() == flat
    assert told in caplog.text and bool(told) == bool(caplog.text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[[1.2]", "[[-1.2]", "positive flat field, found a minimum"),
        ("[[1.2]", "[[NaN]", "positive flat field"),
        ("[[1.2]", "[[__import__('os')]", "expected Dims, Origin, Scale and Coefficients"),
        ("[-0.15, 0.05]", "[-0.15]", r"n \+ 1 coefficients of degree n, found \[1, 1, 3\]"),
        ("Dims: [1080, 1080]", "Dims: [1080, 540]", r"expected images of \(6, 6\), found a profile for \[540"),
        ("Dims: [1080, 1080]", "Dims: [0, 0]", "expected images of"),
        ("Dims: [1080, 1080], ", "", "expected Dims, Origin, Scale and Coefficients"),
        ("Type: Polynomial", "Type: Spline", "expected a profile of type Polynomial or Identity, found 'Spline'"),
    ],
)
def test_profiles_that_are_no_flat_field(old, new, message):
    text = vendors.profile(1, "DNA").replace(old, new)
    with pytest.raises(ValueError, match=f"file: .*{message}"):
        flatfields.field(flatfields.read(text, source="file"), (6, 6), source="file")


NO_PROFILES = ["", "{", "}", "[1]", "{a}", "{: }", "{a: 1, a: 2}", "{a: [1, 2}", "{a: 1} x", '{a: "x}', "{a: {}"]
NO_PROFILES += ["{" * 9000, "{a: " + "[" * 20 + "]" * 20 + "}", "{a: 1" + " " * flatfields.LENGTH + "}"]


@pytest.mark.parametrize("text", NO_PROFILES)
def test_text_that_is_no_profile(text):
    with pytest.raises(ValueError, match="file: expected a flat-field profile"):
        flatfields.read(text, source="file")


WORDS = st.text("abcXYZ019.- :()µ", min_size=1).filter(lambda word: word.strip() == word and ":" not in word)
TREES = st.recursive(
    WORDS | st.text("a,[]{}: \"\\'", min_size=1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


def _written(tree):
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{name}: {_written(value)}" for name, value in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_written, tree)) + "]"
    if set(tree) & set("[]{},\"\\'") or tree.strip() != tree or ":" in tree:
        return '"' + tree.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return tree


def _deep(tree):
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ()
    return (1 + max(map(_deep, inner), default=0)) if isinstance(tree, dict | list) else 0


@given(st.dictionaries(WORDS, TREES, max_size=4).filter(lambda tree: _deep(tree) <= flatfields.DEPTH))
def test_whatever_is_written_is_read(tree):
    assert flatfields.read(_written(tree), source="s") == tree


@given(st.text('{}[],:" \\ab1', max_size=40))
def test_no_text_does_more_than_be_refused(text):
    try:
        assert isinstance(flatfields.read(text, source="s"), dict)
    except ValueError as error:
        assert str(error).startswith("s: expected a flat-field profile")


def test_a_file_without_profiles(tmp_path):
    (tmp_path / "a.xml").write_text("<a/>")
    with pytest.raises(ValueError, match=r"a\.xml: expected flat-field profiles of Harmony, found none"):
        harmony.flat_fields(tmp_path / "a.xml", (4, 4))
