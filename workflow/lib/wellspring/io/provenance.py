"""What a table says of its making: workflow version and commit, rule, options, code, inputs, packages, seed.

In flows the running job (anything with Snakemake's attributes), out flows a dict for `tables.write`. No times and no
absolute paths: the same input gives the same bytes.
"""

import hashlib
import json
import re
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from wellspring import __version__
from wellspring.io.shipped import CLONE

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


def of(job: object) -> dict:
    """Return the provenance of the running job.

    Parameters
    ----------
    job
        Has `rule`, `params` and `input` as Snakemake gives them; `params.code` is the digest of the code,
        every other parameter counts as an option, `params.seed` is the seed where there is one.
    """
    params = {name: value for name, value in job.params.items() if name != "code"}
    packages = ("pyarrow", *PACKAGES.get(job.rule, ("numpy", "pandas")))
    return {
        "version": __version__,
        "commit": commit(),
        "rule": job.rule,
        "options": digest(params),
        "code": job.params.get("code"),
        "inputs": {path: file_digest(path) for path in sorted(str(item) for item in job.input) if _is_table(path)},
        "packages": {name: _version(name) for name in packages},
        "seed": job.params.get("seed"),
    }


def digest(value: object) -> str:
    """Return the sha256 of a JSON-like value; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """Return the sha256 of a file's bytes."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def commit(clone: Path = CLONE) -> str:
    """Return the commit of the workflow's clone, or `unknown`; a screen's own repository around it does not count.

    A tree that was taken out of a repository is a folder of the commit's name.
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


def _is_table(path: str) -> bool:
    return Path(path).suffix in {".parquet", ".npz", ".json", ".safetensors"} and not Path(path).is_absolute()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
