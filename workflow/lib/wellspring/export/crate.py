"""RO-Crate of a finished run: results, config, versions and digests in one folder that travels (Workflow Run profile).

The crate follows the profiles Process Run and Workflow Run Crate 0.5 (Leo et al. 2024): the workflow is the main
entity, and one `CreateAction` has its inputs, results and software. Files in it have their sha256. Raw images are not
in it: `inputs.tsv` has, per plate, their number, bytes and the digest of their listing. The package `rocrate` is
imported only here.
"""

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow.parquet as pq
import yaml

from wellspring.export.licences import words as licence_words
from wellspring.io import tables
from wellspring.io.phrases import count
from wellspring.io.provenance import commit, file_digest
from wellspring.io.shipped import CLONE, WORKFLOW
from wellspring.io.version import __version__

if TYPE_CHECKING:
    from rocrate.model import Entity
    from rocrate.rocrate import ROCrate

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
SPECIFICATION = "1.1"  # of RO-Crate: the profiles in version 0.5 are built on it
PARTS = ("report", "summary", "aligned", "consensus")  # inputs of the export whose files are in the crate
ENVIRONMENT = ("requirements.lock", "envs/torch.txt", "envs/core.yaml", "envs/cells.yaml", "envs/torch.yaml")
TEXTS = {
    "config.yaml": "Config, with every default",
    "plates.tsv": "Plate sheet",
    "inputs.tsv": "Images and platemaps that were read, with digests",
    "provenance.json": "Provenance of each table: version, commit, options, code, inputs, packages",
}
KINDS = {
    ".csv": "text/csv",
    ".smk": "text/plain",
    ".txt": "text/plain",
    ".lock": "text/plain",
    ".tsv": "text/tab-separated-values",
    ".html": "text/html",
    ".json": "application/json",
    ".yaml": "application/yaml",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
MISSING = "export.formats: rocrate needs the package rocrate (pip install rocrate), or leave it out of the list"


@dataclass(frozen=True)
class Run:
    """A finished run: what goes into its crate.

    Attributes
    ----------
    title, license
        Of the crate; the licence is a URL.
    config
        The complete config.
    sheet
        The plate sheet's rows, with columns plate and platemap.
    index
        Plate -> its table `index`.
    results
        Files of the results, each copied to its path below `base`.
    base
        The results folder.
    """

    title: str
    license: str
    config: Mapping[str, Any]
    sheet: Sequence[Mapping[str, Any]]
    index: Mapping[str, Path]
    results: Sequence[Path]
    base: Path


def write_crate(run: Run, folder: str | Path) -> None:
    """Write the crate of a run to `folder`; one that is there is replaced.

    Raises
    ------
    ModuleNotFoundError
        rocrate is not installed; the message names the remedy.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error
    folder = Path(folder)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    with TemporaryDirectory() as made:
        crate = ROCrate(version=SPECIFICATION)
        _fill(crate, run, Path(made))
        crate.write(partial)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _fill(crate: "ROCrate", run: Run, work: Path) -> None:
    """Add workflow, inputs, results and their action; files that are made for the crate are written to `work`."""
    workflow = crate.add_workflow(
        WORKFLOW / "Snakefile", "workflow/Snakefile", main=True, lang="snakemake", lang_version=version("snakemake")
    )
    workflow["name"] = "Wellspring"
    workflow["version"], workflow["encodingFormat"] = __version__, "text/plain"
    packages = [_software(crate, *pair) for pair in sorted(_packages(run).items())]
    workflow["softwareRequirements"] = packages
    for rules in sorted((WORKFLOW / "rules").glob("*.smk")):
        _file(crate, rules, f"workflow/rules/{rules.name}", f"Rules of {rules.stem}")
    texts = {}
    for name, text in _texts(run).items():
        (work / name).write_text(text, encoding="utf-8")
        texts[name] = _file(crate, work / name, name, TEXTS[name])
    made = [_file(crate, path, path.relative_to(run.base).as_posix(), path.name) for path in run.results]
    made.append(texts.pop("provenance.json"))
    environment = [
        _file(crate, CLONE / name, f"environment/{Path(name).name}", f"Environment: {Path(name).name}")
        for name in ENVIRONMENT
        if (CLONE / name).is_file()
    ]
    ended = max((path.stat().st_mtime for path in run.results), default=0.0)
    began = min((path.stat().st_mtime for path in run.index.values()), default=ended)
    action = crate.add_action(
        workflow,
        "#run",
        object=[*texts.values(), *environment],
        result=made,
        properties={
            "name": f"Run of {run.title}",
            "startTime": _time(began),
            "endTime": _time(ended),
            "actionStatus": "http://schema.org/CompletedActionStatus",
            "description": f"Wellspring {__version__}, commit {commit()}, Python {platform.python_version()}",
        },
    )
    root = crate.root_dataset
    crate.name, crate.datePublished = run.title, datetime.fromtimestamp(ended, UTC)
    crate.description = (
        f"Results of the high-content screen {run.title}: {count(len(run.index), 'plate')}, with the workflow that "
        "made them, its config, and the digests of all inputs. Raw images are not part of it."
    )
    root["license"] = _context(crate, run.license, "CreativeWork", name=licence_words(run.license))
    root["conformsTo"] = [
        _context(crate, address, "CreativeWork", name=name, version=address.rpartition("/")[2])
        for address, name in PROFILES.items()
    ]
    root.append_to("mentions", action)


def _texts(run: Run) -> dict[str, str]:
    """Return name -> content of the files that are made for the crate."""
    origins = {
        path.relative_to(run.base).as_posix(): tables.provenance(path)
        for path in (*run.index.values(), *run.results)
        if path.suffix == ".parquet"
    }
    sheet = pd.DataFrame([dict(row) for row in run.sheet])
    return {
        "config.yaml": yaml.safe_dump(json.loads(json.dumps(run.config)), sort_keys=False, allow_unicode=True),
        "plates.tsv": sheet.to_csv(sep="\t", index=False),
        "inputs.tsv": _inputs(run, sheet).to_csv(sep="\t", index=False),
        "provenance.json": json.dumps(origins, indent=1, sort_keys=True),
    }


def _inputs(run: Run, sheet: pd.DataFrame) -> pd.DataFrame:
    """Return, per plate, the images that were listed, and digests of the listing, of its table and of the platemap."""
    rows = []
    maps = dict(zip(sheet["plate"], sheet["platemap"], strict=True)) if "platemap" in sheet else {}
    for plate, path in run.index.items():
        frame = pq.read_table(path, columns=["Metadata_Path", "Metadata_Bytes"]).to_pandas()
        files = frame.dropna(subset=["Metadata_Path"]).drop_duplicates("Metadata_Path")
        platemap = Path(str(maps.get(plate, "")))
        rows.append(
            {
                "plate": plate,
                "files": len(files),
                "bytes": int(files["Metadata_Bytes"].sum()),
                "listing_sha256": tables.provenance(path).get("listing", ""),
                "index_sha256": file_digest(path),
                "platemap": str(maps.get(plate, "")),
                "platemap_sha256": file_digest(platemap) if platemap.is_file() else "",
            }
        )
    return pd.DataFrame(rows)


def _packages(run: Run) -> dict[str, str]:
    """Return package -> version, as the tables of the run record them, with Python and Snakemake."""
    found = {"python": platform.python_version(), "snakemake": version("snakemake")}
    for path in (*run.index.values(), *run.results):
        if path.suffix == ".parquet":
            packages = tables.provenance(path).get("packages", {})
            found |= dict(packages) if isinstance(packages, Mapping) else {}
    return found


def _file(crate: "ROCrate", source: Path, place: str, name: str) -> "Entity":
    """Add a file with its size, kind and sha256."""
    about = {"name": name, "contentSize": str(source.stat().st_size), "sha256": file_digest(source)}
    return crate.add_file(source, place, properties=about | {"encodingFormat": KINDS[source.suffix]})


def _software(crate: "ROCrate", name: str, number: str) -> "Entity":
    return _context(crate, f"#package-{name}", "SoftwareApplication", name=name, version=number)


def _context(crate: "ROCrate", identifier: str, kind: str, **properties: str) -> "Entity":
    """Add an entity that is no file."""
    from rocrate.model import ContextEntity

    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **properties}))


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
