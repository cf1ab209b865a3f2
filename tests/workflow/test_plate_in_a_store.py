"""A plate whose images are in an object store, from the sheet to corrected pixels, as a user runs it."""

import boto3
import numpy as np
import pandas as pd
import pytest
import tifffile
from moto.server import ThreadedMotoServer

import screens
from wellspring.io import ngff, tables


@pytest.fixture
def address():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    yield "http://{}:{}".format(*server.get_host_and_port())
    server.stop()


def test_from_the_sheet_to_corrected_pixels(tmp_path, address):
    rng, here = np.random.default_rng(0), tmp_path / "P1"
    here.mkdir()
    keys = {"aws_access_key_id": "fake", "aws_secret_access_key": "fake"}
    client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
    client.create_bucket(Bucket="plates")
    for well in ("A01", "A02"):
        for site in range(1, 5):
            path = here / f"{well}_s{site}_DNA.tif"
            tifffile.imwrite(path, rng.integers(100, 4000, (96, 96)).astype(np.uint16))
            client.upload_file(str(path), "plates", f"screen/P2/{path.name}", ExtraArgs={"ACL": "public-read"})
    (tmp_path / "map.csv").write_text("well,compound\nA01,DMSO\nA02,drug\n")
    shared = {"platemap": str(tmp_path / "map.csv"), "batch": "b1"}
    places = {"P1": str(here), "P2": "s3://plates/screen/P2"}
    sheet = pd.DataFrame([{"plate": plate, "images": images, **shared} for plate, images in places.items()])
    folder = screens.make(tmp_path / "screen", sheet=sheet, changes={"channels": ["DNA"], "track_code": False})
    storage = {"anonymous": True, "endpoint": address}
    screens.change(folder, {"index": {"reader": "auto", "object_store": storage}, "illumination": {"method": "none"}})
    screens.change(folder, {"cells": {"activate": False}, "encoders": None})
    screens.change(folder, {"encoders": {"ones": {"kind": "simclr", "view": {"kind": "tile"}}}})
    wanted = [f"results/images/{plate}.zarr/zarr.json" for plate in places]
    done = screens.snakemake("--cores", "1", *wanted, cwd=folder)
    assert done.returncode == 0, done.stdout
    near, far = (tables.read(folder / "results" / "survey" / f"{plate}.parquet") for plate in places)
    pd.testing.assert_frame_equal(near.assign(Metadata_Plate="P2"), far)
    own, its = (ngff.open_plate(folder / "results" / "images" / f"{plate}.zarr") for plate in places)
    assert own.fields == its.fields
    assert len(its.fields) == 8
    for field in its.fields:
        np.testing.assert_array_equal(own.read(*field), its.read(*field))
    assert not screens.planned(folder, *wanted)  # nothing of the store makes a finished plate old
