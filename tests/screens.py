"""Small screens for tests: a folder with a config of its own, Snakemake runs, and the parsing of their output."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tifffile
import yaml

ROOT = Path(__file__).resolve().parents[1]
# As short as it can be: every stage runs, nothing is learned.
SMALL = {
    "encoders": {
        "simclr": {"steps": 20, "batch": 16},
        "sslprofiler": {
            "steps": 20,
            "batch": 4,
            "view": {"size": 40},
            "distillation": {"global_size": 32, "local_size": 16, "local_count": 2, "prototypes": 64, "hidden": 64},
        },
    },
    "crops": {"cells_per_well": 12},
    "evaluate": {"null_size": 1000, "bootstrap": 100, "permutations": 10},
}


def snakemake(*arguments: str, cwd: Path, workflow: Path = ROOT, wait: float = 1800) -> subprocess.CompletedProcess:
    """Run Snakemake on the workflow's Snakefile in the folder `cwd`; its output, both streams, is in `.stdout`."""
    return subprocess.run(
        command(*arguments, cwd=cwd, workflow=workflow),
        cwd=workflow,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=wait,
        check=False,
    )


def command(*arguments: str, cwd: Path, workflow: Path = ROOT) -> list[str]:
    """Return the command line that `snakemake` runs."""
    return [
        sys.executable,
        "-m",
        "snakemake",
        "-s",
        str(workflow / "Snakefile"),
        "-d",
        str(cwd),
        "--nocolor",
        *arguments,
    ]


def environment() -> dict[str, str]:
    """Return the environment without variables that would change a run (another library, a profile)."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "SNAKEMAKE_PROFILE")}


def make(
    folder: Path, *, changes: Mapping | None = None, sheet: pd.DataFrame | None = None, workflow: Path = ROOT
) -> Path:
    """Make the folder of a screen: the shipped config with `changes` merged in, and the shipped sheet or `sheet`."""
    (folder / "config").mkdir(parents=True, exist_ok=True)
    shutil.copy(workflow / "config" / "plates.tsv", folder / "config")
    written = yaml.safe_load((workflow / "config" / "config.yaml").read_text())
    # Frozen as `intensity` is, and a network of full size: tests/unit/encoders/test_imagenet.py runs it.
    written["encoders"].pop("imagenet", None)
    write_config(folder, merge(written, changes or {}))
    if sheet is not None:
        write_sheet(folder, sheet)
    return folder


def merge(base: Mapping, changes: Mapping) -> dict:
    """Return `base` with `changes`, however deep; a change of None takes the key away."""
    merged = dict(base)
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key) or {}, value) if isinstance(value, Mapping) else value
    return merged


def change(folder: Path, changes: Mapping) -> None:
    """Merge `changes` into the screen's config."""
    write_config(folder, merge(yaml.safe_load((folder / "config" / "config.yaml").read_text()), changes))


def write_config(folder: Path, config: Mapping) -> None:
    """Write the screen's config."""
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(dict(config), sort_keys=False))


def read_sheet(folder: Path) -> pd.DataFrame:
    """Return the screen's sheet as it is written."""
    return pd.read_csv(folder / "config" / "plates.tsv", sep="\t", dtype=str)


def write_sheet(folder: Path, sheet: pd.DataFrame) -> None:
    """Write the screen's sheet."""
    sheet.to_csv(folder / "config" / "plates.tsv", sep="\t", index=False)


def planned(folder: Path, *arguments: str, workflow: Path = ROOT) -> dict[str, int]:
    """Return what a dry run would do: rule to number of jobs, `all` left out; empty when there is nothing to do."""
    done = snakemake("-n", "--cores", "2", *arguments, cwd=folder, workflow=workflow)
    assert done.returncode == 0, done.stdout
    table = re.search(r"^Job stats:\n(.*?)^total ", done.stdout, re.M | re.S)
    if table is None:
        assert "Nothing to be done" in done.stdout, done.stdout
        return {}
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table[1], re.M) if rule != "all"}


def refusal(folder: Path, *arguments: str) -> str:
    """Return the output of a run that must fail before any job; assert that it did and made nothing."""
    done = snakemake("--cores", "2", *arguments, cwd=folder)
    assert done.returncode != 0, done.stdout
    assert "Wellspring makes" not in done.stdout and "started: " not in done.stdout, done.stdout
    assert not (folder / "results").exists() or not any((folder / "results").iterdir())
    return done.stdout


def fabricate(folder: Path, names: Sequence[str]) -> pd.DataFrame:
    """Make folders and platemaps of plates that no rule makes; enough for the DAG. Returns their sheet."""
    rows = []
    for number, name in enumerate(names):
        images = folder / "raw" / name
        images.mkdir(parents=True)
        platemap = folder / "raw" / f"{name}.csv"
        platemap.write_text("well_position,compound,pert_type\nA01,DMSO,negcon\n")
        batch = f"B{1 + number % 2}"
        rows.append((name, f"raw/{name}", f"raw/{name}.csv", batch, "U2OS", "fit"))
    return pd.DataFrame(rows, columns=["plate", "images", "platemap", "batch", "cell_line", "role"])


def draw(folder: Path, plate: str, well: str) -> None:
    """Write one field of a fabricated plate, all channels of the shipped config; enough for its index."""
    for channel in ("DNA", "ER", "RNA", "AGP", "Mito"):
        file = folder / "raw" / plate / f"{well}_s1_{channel}.tif"
        tifffile.imwrite(file, np.arange(64, dtype=np.uint16).reshape(8, 8))


def digests(folder: Path) -> dict[str, str]:
    """Return path to sha256 for each result that must not depend on where and how the run went: no logs and timings."""
    from wellspring.io.provenance import file_digest

    results = folder / "results"
    apart = ("logs", "benchmarks", ".screen", "failures.tsv")
    files = [
        file
        for file in sorted(results.rglob("*"))
        if file.is_file() and file.relative_to(results).parts[0] not in apart
    ]
    return {str(file.relative_to(results)): file_digest(file) for file in files}
