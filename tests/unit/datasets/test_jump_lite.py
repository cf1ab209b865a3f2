"""JUMP-Lite's recipe: its tables become sheet, platemaps and table encoders; what is wrong in them is named."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml

import jump_lite as mini
import miniatures
import screens
from wellspring.datasets import jump_lite, site_embeddings
from wellspring.encoders import profile_table
from wellspring.io import raw_image

COLUMNS = ["source", "batch", "plate", "well", "jcp", "symbol", "pert_type", "kind"]
ONE, TWO, GENES = (
    ("source_4", "2021_04_26_Batch1", "BR00117035"),
    ("source_13", "20220914_Run1", "CP-CC9-R1-01"),
    ("source_4", "2021_06_14_Batch6", "BR00121559"),
)
WELLS = pd.DataFrame(
    [
        (*ONE, "A01", mini.DMSO, None, "negcon", "compound"),
        (*ONE, "A02", "JCP2022_000001", None, "trt", "compound"),
        (*ONE, "B01", "JCP2022_000003", None, "trt", "compound"),
        (*TWO, "A01", "JCP2022_800002", "non-targeting", "negcon", "crispr"),
        (*TWO, "A02", "JCP2022_800100", "TP53", "trt", "crispr"),
        (*GENES, "A01", "JCP2022_900001", "LacZ", "negcon", "orf"),
        (*GENES, "A02", "JCP2022_900100", "TP53", "trt", "orf"),
        (*GENES, "P24", None, None, None, None),
    ],
    columns=COLUMNS,
)
CODEC = "jpegxl_lossy_mq"


@pytest.fixture
def release(tmp_path):
    """Return folders of images, metadata and embeddings, two sites per well."""
    metadata = mini.metadata(tmp_path / "metadata", WELLS, unannotated=1)
    keys = pd.read_parquet(metadata / "jump_lite_site_index.parquet")["Metadata_Site_Key"].tolist()
    rng = np.random.default_rng(0)
    mini.store(tmp_path / "images", {key: mini.field(rng) for key in keys}, codec=CODEC)
    for name in (f"dinov2-{CODEC}", f"openphenom-{CODEC}", "dinov2-jpegxl_lossy_hq"):
        mini.embeddings(tmp_path / "embeddings", keys, name=name, flat=name.startswith("openphenom"))
    return tmp_path


def run(release, out, *further):
    given = ["--images", str(release / "images"), "--metadata", str(release / "metadata"), "--out", str(out)]
    jump_lite.main([*given, *further])
    return out


def test_the_index_has_every_well_with_its_perturbation(release, tmp_path, monkeypatch):
    folder = run(release, tmp_path / "screen")
    table = miniatures.indexed(folder, monkeypatch)
    assert len(table) == len(WELLS) * 2 * 5 and table["Metadata_Path"].notna().all()
    wells = table.drop_duplicates(["Metadata_Plate", "Metadata_Well"]).set_index(["Metadata_Plate", "Metadata_Well"])
    names = ["Metadata_Compound", "Metadata_pert_type", "Metadata_target", "Metadata_source", "Metadata_Batch"]
    expected = {
        ("BR00117035", "A01"): ["DMSO", "negcon", None, *ONE[:2]],
        ("BR00117035", "A02"): ["JCP2022_000001", "trt", "EGFR|ERBB2", *ONE[:2]],
        ("BR00117035", "B01"): ["JCP2022_000003", "trt", None, *ONE[:2]],
        ("CP-CC9-R1-01", "A01"): ["non-targeting_crispr", "negcon", None, *TWO[:2]],
        ("CP-CC9-R1-01", "A02"): ["TP53_crispr", "trt", "TP53", *TWO[:2]],
        ("BR00121559", "A01"): ["LacZ_orf", "negcon", None, *GENES[:2]],
        ("BR00121559", "A02"): ["TP53_orf", "trt", "TP53", *GENES[:2]],
        ("BR00121559", "P24"): [None, "empty", None, *GENES[:2]],
    }
    assert {key: wells.loc[key, names].tolist() for key in wells.index} == expected
    assert set(wells["Metadata_Cell_Line"]) == {"U2OS"}
    images = screens.read_sheet(folder).set_index("plate").loc["CP-CC9-R1-01", "images"]
    row = table[(table["Metadata_Plate"] == "CP-CC9-R1-01") & (table["Metadata_Channel"] == "ER")].iloc[0]
    found = raw_image.read(images, row["Metadata_Path"], row["Metadata_Page"])
    array = release / "images" / f"{CODEC}.zarr" / "__".join((*TWO, row["Metadata_Well"], row["Metadata_Site"]))
    np.testing.assert_array_equal(found, mini.decoded(array)[2])
    given = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    assert given["index"]["sites"] == ["1", "2"]


def test_sources_batches_and_plates_are_chosen(release, tmp_path):
    def plates(name, *further):
        return set(screens.read_sheet(run(release, tmp_path / name, *further))["plate"])

    assert plates("a", "--source", "source_4") == {"BR00117035", "BR00121559"}
    assert plates("b", "--source", "source_4", "--batch", "2021_06_14_Batch6") == {"BR00121559"}
    assert plates("c", "--plate", "CP-CC9-R1-01", "--plate", "BR00117035") == {"CP-CC9-R1-01", "BR00117035"}
    for further, message in (
        (["--source", "source_1"], r"expected a source of \['source_13', 'source_4'\], found \['source_1'\]"),
        (["--source", "source_13", "--plate", "BR00117035"], r"expected a plate of \['CP-CC9-R1-01'\]"),
        (["--codec", "zstd"], r"expected a store zstd.zarr, found \['jpegxl_lossy_mq.zarr'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            run(release, tmp_path / "d", *further)


def test_published_embeddings_are_table_encoders_of_the_same_tiles(release, tmp_path):
    folder = run(release, tmp_path / "screen", "--embeddings", str(release / "embeddings"))
    given = yaml.safe_load((folder / "config" / "config.yaml").read_text())["encoders"]
    assert set(given) == {"sslprofiler", "random", "dinov2", "openphenom"}
    for model in ("dinov2", "openphenom"):
        assert given[model]["kind"] == "table" and given[model]["view"] == {"kind": "tile"}
        path = folder / given[model]["files"].format(plate="BR00117035")
        opened = profile_table.open_table(
            path, plate="BR00117035", wells_of_plate=["A01", "A02", "B01"], kind="tile", one_plate=True
        )
        assert opened.features == [f"X_{number}" for number in range(6)]
        rows, matrix = next(iter(opened.parts(tmp_path)))
        assert len(rows) == 3 * 2 * 2
        for (well, site), place in rows.groupby(["Metadata_Well", "Metadata_Site"]).indices.items():
            key = "__".join((*ONE, well, site))
            home = release / "embeddings" / f"{model}-{CODEC}" / "2026_jump_lite_v1.0"
            flat = home / f"{key}.parquet"
            nested = home.joinpath(*ONE, f"{well}-{site}", "embedding.parquet")
            values = pd.read_parquet(flat if model == "openphenom" else nested, use_threads=False)["value"]
            np.testing.assert_array_equal(matrix[place], values.to_numpy().reshape(2, 6))
    only = run(release, tmp_path / "one", "--embeddings", str(release / "embeddings"), "--model", "dinov2")
    assert not (only / "config" / "embeddings" / "openphenom").exists()
    with pytest.raises(ValueError, match=r"expected the folders \['subcell-jpegxl_lossy_mq'\], found \['dinov2-"):
        run(release, tmp_path / "two", "--embeddings", str(release / "embeddings"), "--model", "subcell")
    shutil.rmtree(release / "embeddings" / f"dinov2-{CODEC}" / "2026_jump_lite_v1.0" / "/".join(ONE) / "A02-1")
    with pytest.raises(ValueError, match=r"a file for each of 6 sites, found none for 1: \['source_4__.*A02__1'\]"):
        run(release, tmp_path / "three", "--embeddings", str(release / "embeddings"), "--model", "dinov2")


LONG = pd.DataFrame({"tile": [0, 0, 1, 1], "metric": ["X_10", "X_2"] * 2, "value": [1.0, 2.0, 3.0, 4.0]})


def test_a_long_table_is_made_wide_in_the_order_of_numbers(tmp_path):
    LONG.assign(metric=LONG["metric"].str[2:], label=0, branch="b", tp=0).to_parquet(tmp_path / "a.parquet")
    table = site_embeddings.wide(tmp_path / "a.parquet", where="a")
    assert list(table.columns) == ["X_2", "X_10"]
    np.testing.assert_array_equal(table, [[2, 1], [4, 3]])
    LONG.assign(branch=["p", "p", "q", "q"], tile=0).to_parquet(tmp_path / "b.parquet")
    assert list(site_embeddings.wide(tmp_path / "b.parquet", where="b").columns) == [
        "p_X_2",
        "p_X_10",
        "q_X_2",
        "q_X_10",
    ]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (LONG.rename(columns={"value": "values"}), r"KEY: expected the columns \['tile', 'metric', 'value'\], found"),
        (LONG.assign(tile=0), "KEY: expected each metric once per tile, found some twice"),
        (LONG.iloc[:-1], "KEY: expected each metric for each tile, [0-9]+ rows, found [0-9]+"),
        (LONG.assign(metric=[None, *LONG["metric"][1:]]), "KEY: expected a tile and a metric in each row"),
        (LONG.assign(metric=["", *LONG["metric"][1:]]), "KEY: expected a tile and a metric in each row"),
        (LONG.assign(tp=range(4)), "KEY: expected one time point, found 4"),
        (LONG.assign(value="x"), "KEY: could not convert"),
        (LONG.assign(value=[1.0, 2.0, 3.0, -1e39]), r"KEY: expected values that float32 can hold, found -1e\+39"),
        (LONG.iloc[:0], "KEY: expected rows, found none"),
        (LONG.assign(tile=[0, 0, 1, 1], metric=["0", "X_0"] * 2), r"found several for \['X_0'\]"),
    ],
)
def test_what_is_no_long_table_is_named(tmp_path, frame, message):
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=message):
        site_embeddings.wide(tmp_path / "a.parquet", where="KEY")


def changed(release, name, change):
    path = release / "metadata" / name
    change(pd.read_parquet(path, use_threads=False)).to_parquet(path, index=False)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            jump_lite.SITES,
            lambda rows: rows.drop(columns="Metadata_Well"),
            r"index.parquet: expected the columns \['",
        ),
        (
            jump_lite.SITES,
            lambda rows: pd.concat([rows, rows[:1]]),
            "expected each site once, found source_4_.* twice",
        ),
        (jump_lite.SITES, lambda rows: rows.assign(Metadata_Well="C03"), "expected keys SOURCE__.*their rows, found"),
        (jump_lite.SITES, lambda rows: rows.assign(Metadata_Plate=None), "expected a value in each cell, found 16"),
        (
            jump_lite.WELLS,
            lambda rows: pd.concat([rows, rows[:1]]),
            "metadata.parquet: expected each well once",
        ),
        (
            jump_lite.TARGETS,
            lambda rows: rows.drop(columns="target"),
            r"annotations.parquet: expected the col",
        ),
    ],
)
def test_what_is_wrong_in_a_table_is_named(release, tmp_path, name, change, message):
    changed(release, name, change)
    with pytest.raises(ValueError, match=message):
        run(release, tmp_path / "screen")
    assert not (tmp_path / "screen").exists()


def test_a_mirror_without_a_site_is_an_error_unless_partial(release, tmp_path, monkeypatch):
    store = release / "images" / f"{CODEC}.zarr"
    shutil.rmtree(store / "__".join((*ONE, "A02", "1")))
    with pytest.raises(ValueError, match=r"expected 16 sites, found none of 1 of them: \['source_4__.*A02__1'\]"):
        run(release, tmp_path / "a")
    folder = run(release, tmp_path / "b", "--partial", "--plate", "BR00117035")
    given = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    assert given["index"]["sites"] == []  # the wells have no longer the same sites
    assert len(miniatures.indexed(folder, monkeypatch)) == 5 * 5


def test_plates_of_one_barcode_are_named_with_their_source(release, tmp_path):
    twin = WELLS[:3].assign(source="source_5")
    mini.metadata(release / "metadata", pd.concat([WELLS[:3], twin], ignore_index=True))
    rng = np.random.default_rng(0)
    keys = pd.read_parquet(release / "metadata" / jump_lite.SITES, use_threads=False)["Metadata_Site_Key"]
    mini.store(release / "twins", {key: mini.field(rng) for key in keys})
    folder = tmp_path / "screen"
    given = ["--images", str(release / "twins"), "--metadata", str(release / "metadata"), "--out", str(folder)]
    jump_lite.main(given)
    rows = screens.read_sheet(folder)
    assert set(rows["plate"]) == {f"{source}.{ONE[1]}.{ONE[2]}" for source in ("source_4", "source_5")}
    assert set(rows["batch"]) == {"source_4 2021_04_26_Batch1", "source_5 2021_04_26_Batch1"}
