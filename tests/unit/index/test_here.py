"""A job reads images where they are, which a storage provider decides; without one the sheet does."""

import pytest

from wellspring.index import run

ROW = {"plate": "P1", "images": "results/demo/P1", "platemap": "results/demo/P1/maps/platemap.csv", "batch": "B1"}
COPY = ".snakemake/storage/s3/bucket/results/demo/P1"


@pytest.mark.parametrize(
    ("listed", "given"),
    [
        ("results/demo/P1", "results/demo/P1"),
        ("s3://bucket/P1", []),
        ("", []),
        ("mirror/v1.0::P1", "mirror/v1.0"),  # a part of a folder: what is watched is not what is read
    ],
)
def test_without_a_copy_paths_are_those_of_the_sheet(listed, given):
    row = {**ROW, "images": listed}
    assert run.here(row, given) == row


def test_a_platemap_among_copied_images_is_read_there():
    assert run.here(ROW, COPY) == {**ROW, "images": COPY, "platemap": f"{COPY}/maps/platemap.csv"}


def test_a_platemap_elsewhere_stays():
    row = {**ROW, "platemap": "config/P1.csv"}
    assert run.here(row, COPY) == {**row, "images": COPY}
