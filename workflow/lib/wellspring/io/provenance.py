"""Provenance of a table: version and commit of the workflow, rule, options, code, inputs, packages and seed.

It contains no times and no absolute paths: the same input gives the same bytes.
"""

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

import pyarrow.parquet as pq

from wellspring.io.shipped import CLONE
from wellspring.io.version import __version__

# Packages whose version is recorded, by rule; the others record numpy and pandas.
PACKAGES = {
    "index": ("pandas", "tifffile"),
    "survey": ("numpy", "tifffile", "scikit-image"),
    "illumination": ("numpy", "scipy", "scikit-image"),
    "images": ("numpy", "zarr", "tifffile"),
    "cells": ("numpy", "scikit-image", "scipy", "zarr", "cellpose", "torch"),
    "crops": ("numpy", "zarr"),
    "train": ("numpy", "torch", "timm"),
    "embed": ("numpy", "torch", "timm"),
    "measure": ("numpy", "cp-measure", "scikit-image", "mahotas", "centrosome"),
    "profile": ("numpy", "pandas", "pycytominer"),
    "fit": ("numpy", "pandas", "pycytominer"),
    "export": ("numpy", "pandas", "anndata"),
    "evaluate": ("numpy", "pandas"),
}


class Job(Protocol):
    """A running job, as Snakemake gives it to a script."""

    @property
    def rule(self) -> str:
        """Name of the rule."""

    @property
    def params(self) -> Mapping[str, Any]:
        """Parameters: `code` is the digest of the code, `seed` the seed, every other one an option."""

    @property
    def input(self) -> Iterable[str]:
        """Paths of the input files."""


def of(job: Job) -> dict[str, object]:
    """Return the provenance of the running job.

    The code is recorded by its digest (`params.code`), the other parameters together by theirs, and each input table by
    the sha256 of its file.

    Raises
    ------
    ValueError
        An input table was made from another version of a further input, such as one that a person has replaced. Names
        both and the remedy.
    """
    params = {name: value for name, value in job.params.items() if name != "code"}
    packages = ("pyarrow", *PACKAGES.get(job.rule, ("numpy", "pandas")))
    inputs = {path: file_digest(path) for path in sorted(str(item) for item in job.input) if _is_table(path)}
    for path in inputs:
        _check_origin(path, inputs)
    return {
        "version": __version__,
        "commit": commit(),
        "rule": job.rule,
        "options": digest(params),
        "code": job.params.get("code"),
        "inputs": inputs,
        "packages": {name: _version(name) for name in packages},
        "seed": job.params.get("seed"),
    }


def digest(value: object) -> str:
    """Return the sha256 of a JSON-like value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def commit(clone: Path = CLONE) -> str:
    """Return the commit of the workflow's clone, or `unknown`; a screen's own repository around it is ignored.

    A tree that was extracted from a repository is in a folder of the commit's name.
    """
    try:
        call = ["git", "-C", str(clone), "rev-parse", "--show-toplevel", "HEAD"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        done = None
    top, _, head = done.stdout.strip().partition("\n") if done and done.returncode == 0 else ("", "", "")
    if top and Path(top).resolve() == clone:
        return head
    return clone.name if re.fullmatch("[0-9a-f]{40}", clone.name) else "unknown"


def _check_origin(path: str, digests: Mapping[str, str]) -> None:
    """Compare the inputs from which a table was made with those of this job, by the sha256 that its footer has."""
    if not path.endswith(".parquet"):
        return
    try:
        footer = pq.read_schema(path).metadata or {}
    except ValueError:  # of another tool, or damaged: reading its rows raises the error that names it
        return
    made = json.loads(footer.get(b"wellspring.provenance", b"{}"))
    for other, digest in made.get("inputs", {}).items():
        if digests.get(other, digest) != digest:
            raise ValueError(
                f"{path}: expected a table that was made from the present {other}, found one of another version of it "
                f"(sha256 {digest[:12]}, now {digests[other][:12]}). Make it again: snakemake -R {made['rule']}"
            )


def _is_table(path: str) -> bool:
    return Path(path).suffix in {".parquet", ".npz", ".json", ".safetensors"} and not Path(path).is_absolute()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
