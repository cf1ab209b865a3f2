"""The small screen from raw images to the report: every contract output, the planted faults, wells, verdicts."""

import json
import re

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import screens
from wellspring.io import tables
from wellspring.simulate.screen import layout, read_screen
from wellspring.simulate.truth import planted_faults

ENCODERS = ("simclr", "sslprofiler", "random")
PLATES = ("B1_U2OS", "B1_A549", "B2_U2OS", "B2_A549")
OUTPUTS = {
    "index/{plate}.parquet": "index",
    "index/{plate}.audit.parquet": "audit",
    "survey/{plate}.parquet": "survey",
    "images/{plate}.parquet": "intensity",
    "cells/{plate}.parquet": "cells",
    "crops/{plate}.parquet": "crops",
    "train/{encoder}/history.parquet": "history",
    "embed/{encoder}/{plate}.parquet": "embed",
    "profile/{encoder}/{plate}.aggregated.parquet": "profile",
    "profile/{encoder}/{plate}.normalised.parquet": "profile",
    "fit/{encoder}.features.parquet": "features",
    "align/{encoder}/{plate}.parquet": "profile",
    "align/{encoder}.parquet": "profile",
    "align/{encoder}.consensus.parquet": "consensus",
    "evaluate/{encoder}.items.parquet": "items",
    "evaluate/{encoder}.summary.parquet": "summary",
}
OTHERS = (
    "survey/{plate}.npy",
    "illumination/{plate}.npz",
    "images/{plate}.zarr/zarr.json",
    "cells/{plate}.zarr/zarr.json",
    "crops/{plate}.npy",
    "train/{encoder}/encoder.safetensors",
    "train/{encoder}/encoder.json",
    "profile/{encoder}/{plate}.normaliser.npz",
    "fit/{encoder}.npz",
    "report/index.html",
    "report/verdict.tsv",
)


@pytest.fixture(scope="module")
def results(finished):
    return finished / "results"


@pytest.fixture(scope="module")
def demo(root):
    return read_screen(root / "resources" / "demo" / "screen.yaml")


def spread(pattern):
    """Return every path that a pattern stands for."""
    names = [pattern.replace("{encoder}", encoder) for encoder in ENCODERS] if "{encoder}" in pattern else [pattern]
    return [name.replace("{plate}", plate) for name in names for plate in PLATES] if "{plate}" in pattern else names


@pytest.mark.parametrize("pattern", OTHERS)
def test_every_output_is_there(results, pattern):
    for name in spread(pattern):
        assert (results / name).stat().st_size > 0, name


@pytest.mark.parametrize("pattern", OUTPUTS)
def test_every_table_meets_its_schema_and_says_what_made_it(results, pattern):
    table = OUTPUTS[pattern]
    for name in spread(pattern):
        path = results / name
        stored = pq.read_schema(path)
        assert stored.metadata[b"wellspring.table"].decode() == table, name
        made = tables.provenance(path)
        assert made["code"], name
        assert made["commit"], name
        assert tables.verdict(path).keep, name
        assert not re.search(r"20\d\d-\d\d-\d\dT", json.dumps(made)), f"{name}: a time in its provenance"
        assert str(results) not in json.dumps(made), f"{name}: a path of this machine in its provenance"
        spec = tables.schema(table)
        frame = tables.read(path)
        assert name == "train/random/history.parquet" or not frame.empty, name
        assert frame[spec["key"]].equals(frame[spec["key"]].sort_values(spec["key"], kind="stable")), (
            f"{name}: not sorted"
        )
        again = tables.conform(frame, table=table).schema
        assert again.equals(
            stored.remove(stored.get_field_index("embedding")) if "embedding" in stored.names else stored
        ), name


def test_every_well_of_the_platemap_has_a_profile(results, demo):
    for plate, platemap in layout(demo, seed=1).items():
        for encoder in ENCODERS:
            for level in ("aggregated", "normalised"):
                found = tables.read(results / "profile" / encoder / f"{plate}.{level}.parquet")
                assert found["Metadata_Well"].tolist() == sorted(platemap["well_position"]), (
                    f"{plate} {encoder} {level}"
                )
                features = found[tables.features(found)].to_numpy()
                defined = found["Metadata_Verdict"] == "keep"
                assert np.isfinite(features[defined]).all()
    joined = tables.read(results / "align" / "simclr.parquet")
    assert len(joined) == sum(len(platemap) for platemap in layout(demo, seed=1).values())
    assert joined["Metadata_Plate"].unique().tolist() == sorted(PLATES)


def test_the_platemap_arrives(results, demo):
    planted = layout(demo, seed=1)["B2_A549"].set_index("well_position")
    found = tables.read(results / "align" / "simclr" / "B2_A549.parquet").set_index("Metadata_Well").loc[planted.index]
    assert found["Metadata_Compound"].tolist() == planted["compound"].tolist()
    assert found["Metadata_pert_type"].tolist() == planted["pert_type"].tolist()
    assert found["Metadata_moa"].isna().equals(planted["moa"].isna())
    np.testing.assert_array_equal(found["Metadata_Concentration"], planted["concentration"])
    assert set(found["Metadata_Batch"]) == {"B2"}
    assert set(found["Metadata_Cell_Line"]) == {"A549"}


def test_planted_faults_are_in_the_survey_and_nothing_else_is(results, demo):
    planted = planted_faults(demo)
    key = ["Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Channel"]
    survey = pd.concat([tables.read(results / "survey" / f"{plate}.parquet") for plate in PLATES])
    bad = survey[survey["Metadata_Verdict"] != "keep"].set_index(key)
    assert set(bad.index) == set(planted[["plate", "well", "site", "channel"]].itertuples(index=False, name=None))
    for fault in planted.itertuples():
        found = bad.loc[(fault.plate, fault.well, fault.site, fault.channel)]
        assert fault.expected in f"{found['Metadata_Status']} {found['Metadata_Reason']}", fault
        assert found["Metadata_Reason"]


def test_sites_with_a_fault_are_absent_downstream(results, demo):
    for fault in planted_faults(demo).itertuples():
        row, column = re.fullmatch(r"([A-Z]+)(\d+)", fault.well).groups()
        well = results / "images" / f"{fault.plate}.zarr" / row
        folders = [path for path in well.rglob(fault.site) if path.parent.name.lstrip("0") == column.lstrip("0")]
        assert folders == [], fault
        for name in (
            f"cells/{fault.plate}",
            f"crops/{fault.plate}",
            *(f"embed/{encoder}/{fault.plate}" for encoder in ENCODERS),
        ):
            found = tables.read(results / f"{name}.parquet")
            here = (found["Metadata_Well"] == fault.well) & (found["Metadata_Site"] == fault.site)
            assert not here.any(), f"{name}: {fault}"
            assert (found["Metadata_Well"] == fault.well).any(), f"{name}: the well's other site is lost too"


def test_training_left_no_checkpoint_and_no_time(results):
    for encoder in ENCODERS:
        names = {path.name for path in (results / "train" / encoder).iterdir()}
        record = ".encoder.safetensors.made"
        assert names == {"encoder.safetensors", "encoder.json", "history.parquet", record}
    steps = tables.read(results / "train" / "simclr" / "history.parquet")["Metadata_Step"]
    assert steps.max() == 19, "counted from 0"


def test_nothing_temporary_is_left(results):
    left = [path for path in results.rglob("*") if ".part" in path.name or path.name.endswith((".tmp", ".partial"))]
    assert left == []


def test_images_open_in_the_fields_own_reader(results):
    """NGFF 0.5 HCS by ome-zarr-py, which shares no code with what wrote it."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = list(Reader(parse_url(results / "images" / "B1_U2OS.zarr", mode="r"))())
    assert nodes
    assert nodes[0].data[0].shape[0] == 5 or 5 in nodes[0].data[0].shape


def test_evaluation_states_chance_and_interval(results):
    for encoder in ENCODERS:
        summary = tables.read(results / "evaluate" / f"{encoder}.summary.parquet")
        assert set(summary["Metadata_Level"]) == {"aggregated", "normalised", "aligned"}
        told = summary.dropna(subset=["value", "low", "high"])
        assert len(told) > len(summary) / 3
        assert (told["low"] <= told["high"]).all()


def test_the_report_is_one_file_that_loads_nothing(results):
    page = (results / "report" / "index.html").read_text()
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", page)
    for name in (*PLATES, *ENCODERS):
        assert name in page, name
    verdicts = pd.read_csv(results / "report" / "verdict.tsv", sep="\t")
    assert verdicts["plate"].tolist() == list(PLATES)
    assert set(verdicts["keep"]) == {"yes"}


def test_snakemakes_own_report(finished, tmp_path):
    done = screens.snakemake("--report", str(tmp_path / "report.html"), cwd=finished)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "report.html").stat().st_size > 1e5
