import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.io import embeddings, tables
from wellspring.io.notes import Note, dumps
from wellspring.profile.aggregate import aggregate, wells_of
from wellspring.report.wording import worded


def wells(*names):
    frame = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": list(names)})
    text = {"Batch": "b1", "Cell_Line": "U2OS", "Optics": "P1", "Role": "fit", "Compound": "DMSO"}
    for name, value in text.items():
        frame[f"Metadata_{name}"] = value
    return frame.assign(
        Metadata_Concentration=np.nan,
        Metadata_Perturbation="DMSO",
        Metadata_pert_type="negcon",
        Metadata_moa=None,
        Metadata_target=None,
    )


def views(rng, *, sizes=(3, 1, 2)):
    """Return views of wells A01 and A02: `sizes` tiles in the sites 1, 2 of A01 and 1 of A02."""
    places = [("A01", "1"), ("A01", "2"), ("A02", "1")]
    rows = [("P1", *place, number) for place, size in zip(places, sizes, strict=True) for number in range(size)]
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_View"])
    return frame, rng.normal(size=(len(rows), 4)).astype(np.float32)


def survey(**verdicts):
    rows = [
        ("P1", well, site, "keep" if reason == "keep" else "exclude", "" if reason == "keep" else reason)
        for well, sites in verdicts.items()
        for site, reason in sites.items()
    ]
    names = ["Plate", "Well", "Site", "Verdict", "Reason"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def test_tiles_weigh_sites_equally_and_cells_weigh_alike():
    frame, matrix = views(np.random.default_rng(0))
    by_site = aggregate(frame, matrix, wells("A01", "A02"), prefix="e")
    by_cell = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind="cell")
    features = [f"e_{number}" for number in range(4)]
    expected = (matrix[:3].mean(axis=0) + matrix[3]) / 2
    np.testing.assert_allclose(by_site.loc[0, features].astype(float), expected, rtol=1e-5)
    np.testing.assert_allclose(by_cell.loc[0, features].astype(float), matrix[:4].mean(axis=0), rtol=1e-5)
    assert by_site["Metadata_Site_Count"].tolist() == [2, 1]
    assert by_site["Metadata_View_Count"].tolist() == [4, 2]
    assert by_site["Metadata_Count_Cells"].isna().all()
    assert by_cell["Metadata_Count_Cells"].tolist() == [4, 2]


@pytest.mark.parametrize("operation", ["mean", "median"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_equals_pycytominer(operation, dtype):
    from pycytominer import aggregate as foreign

    frame, matrix = views(np.random.default_rng(1), sizes=(5, 4, 7))
    matrix = matrix.astype(dtype)
    matrix[2, 1] = np.nan
    names = [f"e_{number}" for number in range(4)]
    single = pd.concat([frame, pd.DataFrame(matrix, columns=names)], axis=1)
    strata = ["Metadata_Plate", "Metadata_Well"]
    expected = foreign(single, strata=strata, features=names, operation=operation)
    ours = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind="cell", operation=operation)
    np.testing.assert_allclose(ours[names], expected[names], rtol=1e-6, atol=1e-7)
    sites = foreign(single, strata=[*strata, "Metadata_Site"], features=names, operation=operation)
    expected = foreign(sites, strata=strata, features=names, operation=operation)
    ours = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", operation=operation)
    np.testing.assert_allclose(ours[names], expected[names], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("operation", ["mean", "median"])
def test_vectors_of_a_file_are_read_well_by_well_and_bear_their_names(tmp_path, operation):
    frame, matrix = views(np.random.default_rng(8), sizes=(50, 30, 40))
    frame = frame.assign(Metadata_Center_Y=0.0, Metadata_Center_X=0.0)
    matrix[7, 2], matrix[90, 1] = np.nan, np.inf
    names = ["Cells_a", "Cells_b", "Nuclei_a", "Nuclei_b"]
    parts = [(frame[at : at + 20], matrix[at : at + 20]) for at in range(0, 120, 20)]
    path = tmp_path / "embed.parquet"
    embeddings.write_parts(parts, path, names=names, table="embed", provenance={}, values=100)
    options = {"prefix": "e", "kind": "cell", "operation": operation}
    expected = aggregate(frame, matrix, wells("A01", "A02"), **options).rename(
        columns={f"e_{number}": name for number, name in enumerate(names)}
    )
    found = aggregate(*embeddings.open_embedding(path), wells("A01", "A02"), names=embeddings.names_of(path), **options)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    with pytest.raises(ValueError, match="e: expected the names of 4 features, found 1"):
        aggregate(frame, matrix, wells("A01", "A02"), names=names[:1], **options)


@pytest.mark.parametrize("operation", ["mean", "median"])
def test_one_view_a_well_is_its_profile_and_stays_as_it_is_read(tmp_path, operation):
    frame, matrix = views(np.random.default_rng(10), sizes=(1, 0, 1))
    frame = frame.assign(Metadata_Center_Y=0.0, Metadata_Center_X=0.0)
    embeddings.write_parts([(frame, matrix)], tmp_path / "embed.parquet", table="embed", provenance={})
    rows, opened = embeddings.open_embedding(tmp_path / "embed.parquet")
    for kind in ("well", "cell", "tile"):
        found = aggregate(rows, opened, wells("A01", "A02"), prefix="e", kind=kind, operation=operation)
        np.testing.assert_array_equal(found[[f"e_{number}" for number in range(4)]], matrix)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    operation=st.sampled_from(["mean", "median"]),
    kind=st.sampled_from(["tile", "cell"]),
    dtype=st.sampled_from([np.float16, np.float32]),
    broken=st.sampled_from([0.0, 0.02, 0.3]),
    shuffled=st.booleans(),
)
def test_it_is_the_plain_mean_or_median_of_what_is_finite(seed, operation, kind, dtype, broken, shuffled):
    """Every feature of every well, to the last bit, by a loop over wells."""
    rng = np.random.default_rng(seed)
    frame, matrix = views(rng, sizes=rng.integers(0, 12, 3))
    matrix = matrix.astype(dtype)
    matrix[rng.random(matrix.shape) < broken] = rng.choice([np.nan, np.inf, -np.inf])
    if shuffled:
        order = rng.permutation(len(frame))
        frame, matrix = frame.iloc[order].reset_index(drop=True), matrix[order]
    found = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind=kind, operation=operation)
    one = {"mean": np.mean, "median": np.median}[operation]
    ordered = frame.sort_values(["Metadata_Well", "Metadata_Site", "Metadata_View"])
    for row, well in enumerate(["A01", "A02"]):
        for number in range(4):
            blocks = []
            for _, rows in ordered[ordered["Metadata_Well"] == well].groupby("Metadata_Site"):
                blocks.append(matrix[rows.index, number].astype(np.float64))
            blocks = [np.concatenate(blocks)] if kind == "cell" and blocks else blocks
            for _ in range(2 if kind == "tile" else 1):
                finite = [block[np.isfinite(block)] for block in blocks]
                blocks = [np.array([one(block) for block in finite if len(block)])]
            expected = np.float32(blocks[0][0]) if len(blocks[0]) else np.float32(np.nan)
            np.testing.assert_array_equal(found.loc[row, f"e_{number}"], expected)


def test_hand_made_features_have_the_median_by_default_and_others_the_mean():
    frame, matrix = views(np.random.default_rng(9), sizes=(5, 4, 7))
    options = {"prefix": "e", "kind": "cell"}
    for names, operation in ((["Cells_a", "Cytoplasm_b", "Nuclei_c", "Cells_d"], "median"), (None, "mean")):
        found = aggregate(frame, matrix, wells("A01", "A02"), names=names, operation="auto", **options)
        expected = aggregate(frame, matrix, wells("A01", "A02"), names=names, operation=operation, **options)
        pd.testing.assert_frame_equal(found, expected)


@pytest.mark.parametrize("kind", ["tile", "cell"])
def test_order_of_rows_does_not_count(kind):
    rng = np.random.default_rng(2)
    frame, matrix = views(rng, sizes=(50, 30, 40))
    order = rng.permutation(len(frame))
    one = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind=kind)
    two = aggregate(frame.iloc[order], matrix[order], wells("A02", "A01"), prefix="e", kind=kind)
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_wells_without_views_stay_with_their_reason(tmp_path):
    frame, matrix = views(np.random.default_rng(3))
    matrix[4:] = np.nan
    excluded = survey(A01={"1": "keep", "2": "keep"}, A03={"1": "keep"}, A04={"1": "blank", "2": "truncated"})
    result = aggregate(frame, matrix, wells("A01", "A02", "A03", "A04"), prefix="e", survey=excluded)
    assert result["Metadata_Verdict"].tolist() == ["keep", "undefined", "undefined", "undefined"]
    assert result["Metadata_Reason"].tolist() == [
        "",
        "no_finite_embedding",
        "no_foreground_tile",
        'all_sites_excluded(planes=1, notes="blank"); all_sites_excluded(planes=1, notes="truncated")',
    ]
    assert result["Metadata_View_Count"].tolist() == [4, 2, 0, 0]
    assert result.filter(regex="^e_").iloc[1:].isna().all(axis=None)
    cells = aggregate(frame, matrix, wells("A01", "A02", "A03", "A04"), prefix="e", survey=excluded, kind="cell")
    assert cells["Metadata_Reason"].tolist()[2] == "no_cells"
    tables.write(result, tmp_path / "p.parquet", table="profile", provenance={})
    again = tables.read(tmp_path / "p.parquet")
    assert again["e_0"].dtype == np.float32
    assert again["Metadata_Count_Cells"].isna().all()


def test_a_well_is_excluded_only_where_all_of_its_sites_are():
    """One site of A02 is kept, so that its lack of views is not the survey's doing."""
    frame, matrix = views(np.random.default_rng(3))
    excluded = survey(A02={"1": "blank", "2": "keep"}, A03={"1": "blank", "2": "blank"})
    some = frame["Metadata_Well"].eq("A01").to_numpy()
    result = aggregate(frame[some], matrix[some], wells("A01", "A02", "A03"), prefix="e", survey=excluded)
    assert result["Metadata_Reason"].tolist()[1:] == [
        "no_foreground_tile",
        'all_sites_excluded(planes=2, notes="blank")',
    ]


def test_a_plate_without_views_is_valid(tmp_path):
    frame, matrix = views(np.random.default_rng(4))
    result = aggregate(frame.iloc[:0], matrix[:0], wells("A01", "A02"), prefix="e", cells=frame.iloc[:0])
    assert result["Metadata_Verdict"].tolist() == ["undefined"] * 2
    assert result["Metadata_Count_Cells"].tolist() == [0, 0]
    tables.write(result, tmp_path / "p.parquet", table="profile", provenance={})
    assert len(tables.read(tmp_path / "p.parquet")) == 2


def test_cells_are_counted_for_tiles_too():
    frame, matrix = views(np.random.default_rng(5))
    cells = pd.DataFrame({"Metadata_Plate": "P1", "Metadata_Well": ["A02"] * 9, "Metadata_Site": "1"})
    result = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", cells=cells)
    assert result["Metadata_Count_Cells"].tolist() == [0, 9]


def test_refuses_a_well_that_the_index_lacks():
    frame, matrix = views(np.random.default_rng(6))
    with pytest.raises(ValueError, match="A02"):
        aggregate(frame, matrix, wells("A01"), prefix="e")


def test_wells_of_index():
    index = pd.concat([wells("A02", "A01").assign(Metadata_Channel=name) for name in ("DNA", "ER")])
    index["Metadata_Path"] = [f"{number}.tif" for number in range(4)]
    for name in (name for name in tables.schema("index")["columns"] if name.startswith("Metadata_Position_")):
        index[name] = np.arange(4.0)  # a field's place on the stage, and other things that are of a plane
    assert wells_of(index)["Metadata_Well"].tolist() == ["A01", "A02"]
    index["Metadata_Compound"] = ["x", "y", "z", "y"]
    with pytest.raises(ValueError, match="A02"):
        wells_of(index)


def test_a_well_is_a_row_per_time_point_on_request_only():
    planes = [("B02", time, site) for time in ("24", "48") for site in ("1", "2")]
    index = pd.DataFrame(planes, columns=["Metadata_Well", "Metadata_Timepoint", "Metadata_Site"])
    index = index.assign(Metadata_Plate="P1", Metadata_Compound="a")
    alone, timed = wells_of(index), wells_of(index[index["Metadata_Timepoint"] == "48"], by_time=True)
    assert list(alone) == ["Metadata_Well", "Metadata_Plate", "Metadata_Compound"] and len(alone) == 1
    with pytest.raises(ValueError, match="found several versions of"):
        wells_of(index.assign(Metadata_Compound=["a", "b", "a", "a"]))
    assert timed["Metadata_Timepoint"].tolist() == ["48"]


def test_rows_that_are_not_finite_are_counted_in_the_log(caplog):
    frame, matrix = views(np.random.default_rng(11), sizes=(5, 4, 7))
    matrix[2, 1], matrix[2, 3], matrix[9, 0] = np.nan, np.inf, -np.inf
    aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind="cell")
    assert "2 of 16 rows have values that are not finite" in caplog.text
    assert "undefined" not in caplog.text
    caplog.clear()
    aggregate(frame, np.zeros((16, 3), np.float32), wells("A01", "A02", "A03"), prefix="e")
    assert "not finite" not in caplog.text
    assert "e: 1 of 3 wells are undefined: A03 (no tile with foreground)" in caplog.text


def test_wells_of_two_plates_stay_apart_and_views_without_a_site_count_none():
    frame, matrix = views(np.random.default_rng(12), sizes=(2, 1, 3))
    frame.loc[frame["Metadata_Well"] == "A02", "Metadata_Site"] = ""
    both = pd.concat([frame, frame.assign(Metadata_Plate="P0")], ignore_index=True)
    known = pd.concat([wells("A01", "A02"), wells("A01", "A02").assign(Metadata_Plate="P0")])
    result = aggregate(both, np.vstack([matrix, matrix + 1]), known, prefix="e", kind="well")
    assert result["Metadata_Plate"].tolist() == ["P0", "P0", "P1", "P1"]
    assert result["Metadata_Site_Count"].tolist() == [2, 0, 2, 0]
    assert result["Metadata_View_Count"].tolist() == [3, 3, 3, 3]
    values = result[[f"e_{number}" for number in range(4)]].to_numpy()
    np.testing.assert_allclose(values[:2], values[2:] + 1, rtol=1e-5)
    np.testing.assert_allclose(values[2], matrix[:3].mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "field"}, "expected one of the kinds .*, found 'field'"),
        ({"operation": "sum"}, "operation: expected one of .*, found 'sum'"),
    ],
)
def test_unknown_kinds_and_operations_are_refused(options, message):
    frame, matrix = views(np.random.default_rng(13))
    with pytest.raises(ValueError, match=message):
        aggregate(frame, matrix, wells("A01", "A02"), prefix="e", **options)
    with pytest.raises(ValueError, match="expected 6 vectors, found 5"):
        aggregate(frame, matrix[:5], wells("A01", "A02"), prefix="e")


def test_an_encoder_without_features_leaves_every_well_undefined():
    frame, matrix = views(np.random.default_rng(14))
    result = aggregate(frame, matrix[:, :0], wells("A01", "A02"), prefix="e")
    assert result["Metadata_Verdict"].tolist() == ["undefined"] * 2
    assert result["Metadata_Reason"].tolist() == ["no_embedding"] * 2


def test_a_well_with_a_feature_that_has_no_value_is_kept():
    frame, matrix = views(np.random.default_rng(15))
    matrix[4:, 2] = np.nan
    result = aggregate(frame, matrix, wells("A01", "A02"), prefix="e")
    assert result["Metadata_Verdict"].tolist() == ["keep", "keep"]
    assert result.loc[1, [f"e_{number}" for number in range(4)]].isna().tolist() == [False, False, True, False]


@pytest.mark.parametrize("kind", ["tile", "cell"])
def test_a_well_whose_views_lie_apart_is_one_well(kind):
    """Site 2 of A01, then A02, then site 1 of A01; the numbers of the views rise all the way."""
    rows = [("P1", "A01", "2", 0), ("P1", "A02", "1", 1), ("P1", "A01", "1", 2)]
    frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_View"])
    matrix = np.array([[1.0, 10.0], [3.0, 30.0], [5.0, 50.0]], np.float32)
    result = aggregate(frame, matrix, wells("A01", "A02"), prefix="e", kind=kind)
    assert result[["e_0", "e_1"]].to_numpy().tolist() == [[3.0, 30.0], [3.0, 30.0]]
    assert result["Metadata_Site_Count"].tolist() == [2, 1]
    assert result["Metadata_View_Count"].tolist() == [2, 1]


def test_the_median_of_numbers_of_64_bits_is_rounded_once():
    """Half-way between two numbers of 32 bits, rounding before the mean gives another one than rounding after it."""
    step = 2.0**-23  # between 1 and the next number of 32 bits
    frame, matrix = views(np.random.default_rng(16), sizes=(2, 0, 1))
    values = np.ones((3, 4))
    values[:2] = [[1 + 0.4 * step], [1 + 1.4 * step]]
    result = aggregate(frame, values, wells("A01", "A02"), prefix="e", kind="cell", operation="median")
    assert result[[f"e_{number}" for number in range(4)]].to_numpy().tolist() == [[1 + step] * 4, [1.0] * 4]


def test_a_well_with_implausible_fields_has_the_notes_as_its_reason_and_its_profile():
    frame, matrix = views(np.random.default_rng(4), sizes=(3, 4, 2))
    cells = pd.concat([frame.drop(columns="Metadata_View")] * 2, ignore_index=True)
    cells["Metadata_Segmentation"] = ""
    there = (cells["Metadata_Well"] == "A01") & (cells["Metadata_Site"] == frame["Metadata_Site"].iloc[0])
    notes = [Note("vast_object", {"share": 0.3}), Note("most_fields_noted", {"fields": 3, "total": 4})]
    cells.loc[there, "Metadata_Segmentation"] = dumps(notes)
    options = {"prefix": "e", "kind": "cell"}
    found = aggregate(frame, matrix, wells("A01", "A02", "A03"), cells=cells, **options)
    expected = str(Note("implausible_fields", {"fields": 1, "notes": str(notes[0])}))
    assert found["Metadata_Verdict"].tolist() == ["keep", "keep", "undefined"]
    assert found["Metadata_Reason"].tolist() == [expected, "", "no_cells"]
    assert worded(expected) == "implausible segmentation of 1 field: an object covers 30.0 % of the field"
    plain = aggregate(frame, matrix, wells("A01", "A02", "A03"), **options)
    pd.testing.assert_frame_equal(found.filter(like="e_"), plain.filter(like="e_"))
