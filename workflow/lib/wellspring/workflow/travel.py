"""What keeps a screen from running without a shared folder, where every input and output travels through a store.

Jobs then have what a storage provider copies for them (inputs that rules declare), the sources that Snakemake sends
(files that git tracks, below the working directory), and their image. Everything else must be named before the first
job, since a job would fail for want of it, or would run without it.
"""

import subprocess
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from wellspring.io import object_store
from wellspring.screen.encoder_kinds import ready_made
from wellspring.screen.sections import Config

HOW = "Run it on a cluster with a shared file system, or see docs/cloud.md"


def obstacles(config: Config, sheet: pd.DataFrame, *, simulated: Collection[str]) -> list[str]:
    """Return what a screen reads that jobs without a shared folder do not have, and the remedy.

    Parameters
    ----------
    config, sheet
        The complete config, and the plate sheet with `images` by `plate`.
    simulated
        Plates whose images are made in this run.
    """
    found = [
        f"plate {plate}: expected images in an object store (s3://..., gs://...), found the folder {images!r}, which "
        f"jobs without a shared folder cannot read. Copy it to a store, and give its URL in {config.plates}"
        for plate, images in sheet["images"].items()
        if images and plate not in simulated and not object_store.is_url(images)
    ]
    if config.illumination.method == "given":
        found.append(
            f"illumination.method: expected `estimate` or `none` without a shared folder, found `given`. {HOW}"
        )
    if ready_made(config.crops):
        found.append(f"crops.given: expected none without a shared folder, found ready-made crops. {HOW}")
    if config.train.nodes > 1:
        found.append(f"train.nodes: expected 1 without a shared folder, found {config.train.nodes}. {HOW}")
    for name, entry in config.encoders.items():
        if entry.kind == "table":
            found.append(f"encoders.{name}: expected a network without a shared folder, found a table. {HOW}")
    return found


def untracked(config: Config) -> list[str]:
    """Return what is wrong with the files that each job reads: git does not track them below the working directory.

    Snakemake sends the tracked files to jobs without shared sources, and no others.
    """
    call = ["git", "ls-files", "--recurse-submodules", "."]
    try:
        done = subprocess.run(call, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ["git: expected the program git, which Snakemake calls to send the sources to jobs, found none"]
    if done.returncode:
        said = done.stderr.strip()
        return [f"{Path.cwd()}: expected a git repository, whose tracked files each job gets; found none ({said})"]
    sent = {Path(line) for line in done.stdout.splitlines()}
    return [
        f"{path}: expected a file that git tracks below the working directory, since each job reads it; found one that "
        f"it does not (git add {path})"
        for path in filter(None, [config.plates, config.survey.exclusions])
        if Path(path) not in sent
    ]
