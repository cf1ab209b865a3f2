"""The crate of a run: read by the package rocrate, by plain JSON, and by a validator of the profile where installed."""

import hashlib
import io
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

import pandas as pd
import pytest

from report_screen import MADE
from wellspring.export.crate import PROFILES, Run, write_crate
from wellspring.io import tables

CONTEXT = "https://w3id.org/ro/crate/1.1/context"

rocrate = pytest.importorskip("rocrate.rocrate", reason="rocrate is not installed")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """A run of two plates with three results."""
    base = tmp_path_factory.mktemp("results")
    index = {}
    for number, plate in enumerate(("P1", "P2")):
        rows = [
            {"Metadata_Plate": plate, "Metadata_Well": f"A{well:02d}", "Metadata_Path": f"{well}.tif" if well else None}
            for well in range(4)
        ]
        frame = pd.DataFrame(rows).assign(Metadata_Bytes=[0, 10, 20, 30 + number], Metadata_pert_type="trt")
        for name, column in tables.schema("index")["columns"].items():
            if name not in frame:
                frame[name] = {"string": "1", "int32": 0}.get(column["type"], 0) if not column.get("nullable") else None
        index[plate] = base / "index" / f"{plate}.parquet"
        index[plate].parent.mkdir(exist_ok=True)
        tables.write(frame, index[plate], table="index", provenance=MADE | {"listing": plate * 32})
    (base / "report").mkdir()
    for name in ("index.html", "hits.csv"):
        (base / "report" / name).write_text(f"{name}\n")
    (base / "map.csv").write_text("well\n")
    sheet = [{"plate": plate, "platemap": str(base / "map.csv")} for plate in index]
    results = [base / "report" / "index.html", base / "report" / "hits.csv"]
    licence = "https://creativecommons.org/licenses/by/4.0/"
    return Run("a screen", licence, {"seed": 1, "channels": ["DNA"]}, sheet, index, results, base)


@pytest.fixture(scope="module")
def folder(run: Run, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("export") / "rocrate"
    write_crate(run, path)
    return path


def test_every_file_is_listed_with_its_digest(folder: Path):
    graph = json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]
    listed = {one["@id"]: one for one in graph if "sha256" in one}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == {*listed, "ro-crate-metadata.json", "workflow/Snakefile"} | {"ro-crate-preview.html"} & there
    assert {"config.yaml", "plates.tsv", "inputs.tsv", "provenance.json", "report/hits.csv"} <= set(listed)
    for name, about in listed.items():
        data = (folder / name).read_bytes()
        assert about["sha256"] == hashlib.sha256(data).hexdigest() and int(about["contentSize"]) == len(data)


def test_the_action_joins_workflow_inputs_and_results(folder: Path, run: Run):
    crate = rocrate.ROCrate(folder)
    assert crate.mainEntity["@id"] == "workflow/Snakefile" and "ComputationalWorkflow" in crate.mainEntity.type
    assert {one["@id"] for one in crate.root_dataset["conformsTo"]} == set(PROFILES)
    [action] = [one for one in crate.contextual_entities if one.type == "CreateAction"]
    assert action["instrument"].id == "workflow/Snakefile"
    assert {one.id for one in action["object"]} >= {"config.yaml", "plates.tsv", "inputs.tsv"}
    assert {one.id for one in action["result"]} == {"report/index.html", "report/hits.csv", "provenance.json"}
    packages = {one["name"]: one["version"] for one in crate.mainEntity["softwareRequirements"]}
    assert packages["numpy"] == MADE["packages"]["numpy"] and "snakemake" in packages and "python" in packages
    assert crate.root_dataset["license"].id == run.license


def test_the_digests_of_the_inputs_are_those_of_the_files(folder: Path, run: Run):
    table = pd.read_csv(folder / "inputs.tsv", sep="\t", dtype=str).set_index("plate")
    assert table["files"].tolist() == ["3", "3"] and table["bytes"].tolist() == ["60", "61"]
    assert table["listing_sha256"].tolist() == ["P1" * 32, "P2" * 32]
    for plate, path in run.index.items():
        assert table.loc[plate, "index_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert table.loc[plate, "platemap_sha256"] == hashlib.sha256(b"well\n").hexdigest()
    assert json.loads((folder / "provenance.json").read_text())["index/P1.parquet"]["rule"] == MADE["rule"]


def test_a_crate_is_replaced_whole(run: Run, tmp_path):
    write_crate(run, tmp_path / "rocrate")
    write_crate(replace(run, results=run.results[:1]), tmp_path / "rocrate")
    assert not (tmp_path / "rocrate" / "report" / "hits.csv").exists() and len(list(tmp_path.iterdir())) == 1


class Answer(io.BytesIO):
    """What a server answers."""

    url = CONTEXT
    headers: ClassVar[dict[str, str]] = {"content-type": "application/ld+json"}

    def info(self) -> dict[str, str]:
        return self.headers

    def geturl(self) -> str:
        return CONTEXT


def test_it_is_of_the_version_that_the_profiles_are_built_on(folder: Path):
    graph = {one["@id"]: one for one in json.loads((folder / "ro-crate-metadata.json").read_text())["@graph"]}
    conforms = graph["ro-crate-metadata.json"]["conformsTo"]
    assert "https://w3id.org/ro/crate/1.1" in [
        one["@id"] for one in (conforms if isinstance(conforms, list) else [conforms])
    ]
    assert all("encodingFormat" in one for one in graph.values() if "File" in one["@type"])


def test_a_validator_accepts_the_crate(folder: Path, monkeypatch):
    """The JSON-LD context is not read from the network but from rocrate, whose later version renames workflows."""
    services = pytest.importorskip("rocrate_validator.services", reason="roc-validator is not installed")
    models = pytest.importorskip("rocrate_validator.models")
    parser = pytest.importorskip("rdflib.parser")
    text = (files("rocrate") / "data" / "ro-crate.jsonld").read_text()
    text = text.replace(
        "https://bioschemas.org/terms/ComputationalWorkflow", "https://bioschemas.org/ComputationalWorkflow"
    )
    monkeypatch.setattr(parser, "_urlopen", lambda *_, **__: Answer(text.encode()))
    settings = services.ValidationSettings(
        rocrate_uri=str(folder),
        profile_identifier="workflow-run-crate",
        requirement_severity=models.Severity.REQUIRED,
    )
    issues = services.validate(settings).get_issues()
    # Whether the context can be retrieved is a question to the network.
    assert [one.message for one in issues if not one.check.identifier.startswith("ro-crate-1.1_3.")] == []
