"""Jobs that share no folder: files travel through an object store, and results are those of a local run."""

import os
import shutil
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import boto3
import pandas as pd
import pytest
from moto.server import ThreadedMotoServer

import screens
from wellspring.io import ngff, tables, zipped

BUCKET, PREFIX = "screens", "small"
CHANGES = {**screens.SMALL, "encoders": {**screens.SMALL["encoders"], "random": None, "sslprofiler": None}}
KEYS = {"aws_access_key_id": "fake", "aws_secret_access_key": "fake"}


@contextmanager
def store():
    """Yield the address of an object store on this machine, and a client."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **KEYS)
    client.create_bucket(Bucket=BUCKET)
    try:
        yield address, client
    finally:
        server.stop()


def repository(folder: Path, root: Path) -> Path:
    """Make a clone with the config of a small screen, all of it tracked by git."""
    folder.mkdir()
    shutil.copy(root / "Snakefile", folder)
    for name in ("workflow", "resources", "envs", "config"):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    small(folder)
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run(["git", "add", "--all", "."], cwd=folder, check=True)
    return folder


def small(folder: Path) -> Path:
    """Make a screen of one plate per batch, with one encoder that is trained and one that is not."""
    screens.make(folder, changes=CHANGES)
    screens.write_sheet(folder, screens.read_sheet(folder).drop_duplicates("batch"))
    return folder


def run(folder: Path, address: str, *arguments: str, wait: float = 3000) -> subprocess.CompletedProcess:
    """Run the clone in `folder` by jobs of the executor `apart`, which get what the store has."""
    own = {
        "PYTHONPATH": str(screens.ROOT / "tests" / "apart"),
        "SNAKEMAKE_STORAGE_S3_ENDPOINT_URL": address,
        "SNAKEMAKE_STORAGE_S3_ACCESS_KEY": "fake",
        "SNAKEMAKE_STORAGE_S3_SECRET_KEY": "fake",
        "OMP_NUM_THREADS": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    command = [sys.executable, "-m", "snakemake", "--executor", "apart", "--nocolor", "--jobs", "2", "--cores", "2"]
    command += ["--default-storage-provider", "s3", "--default-storage-prefix", f"s3://{BUCKET}/{PREFIX}"]
    return subprocess.run(
        [*command, "--seconds-between-status-checks", "1", "--latency-wait", "90", *arguments],
        cwd=folder,
        env=screens.environment() | own,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=wait,
        check=False,
    )


def fetched(client, folder: Path) -> Path:
    """Copy all results of the store into a folder."""
    start = f"{PREFIX}/results/"
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=start):
        for key in (each["Key"] for each in page.get("Contents", [])):
            target = folder / key.removeprefix(start)
            target.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(BUCKET, key, str(target))
    return folder


def test_a_screen_in_a_folder_is_refused_before_any_job(root, tmp_path):
    """Jobs could not read its images; nothing is stored but the sources, which Snakemake sends first."""
    folder = repository(tmp_path / "clone", root)
    screens.write_sheet(folder, screens.fabricate(folder, ["P1"]))
    subprocess.run(["git", "add", "--all", "."], cwd=folder, check=True)
    with store() as (address, client):
        done = run(folder, address, wait=300)
        stored = [each["Key"] for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    assert done.returncode != 0
    assert "plate P1: expected images in an object store" in done.stdout
    assert not [key for key in stored if "results" in key]


@pytest.mark.slow
def test_all_tables_are_those_of_a_local_run(root, tmp_path):
    folder, near = repository(tmp_path / "clone", root), small(tmp_path / "near")
    done = screens.snakemake("--cores", "2", cwd=near)
    assert done.returncode == 0, done.stdout[-6000:]
    with store() as (address, client):
        done = run(folder, address)
        assert done.returncode == 0, done.stdout[-6000:]
        own = fetched(client, tmp_path / "results")
        again = run(folder, address, "--dry-run", wait=300)
    assert "Nothing to be done" in again.stdout, again.stdout[-3000:]
    assert not list((folder / "results").glob("*/*.parquet"))  # nothing is left beside the main process
    local = near / "results"
    names = [path.relative_to(local) for path in local.rglob("*.parquet")]
    assert len(names) == 40
    for name in names:
        pd.testing.assert_frame_equal(tables.read(own / name), tables.read(local / name), obj=str(name))
        assert tables.verdict(own / name) == tables.verdict(local / name)
    for name in ("report/hits.csv", "report/metrics.csv", "report/similar.csv", "report/verdict.tsv"):
        assert (own / name).read_bytes() == (local / name).read_bytes(), name
    for path in local.glob("*/*.zarr"):
        archive = own / path.parent.name / f"{path.stem}{zipped.SUFFIX}"
        with zipfile.ZipFile(archive) as content:
            files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
            assert sorted(content.namelist()) == sorted(files)
            assert all(content.read(name) == file.read_bytes() for name, file in files.items())
        assert ngff.open_plate(path).fields == ngff.open_plate(zipped.opened(archive)).fields
