"""A miniature of the aimed races of tests/slurm/soak.py: overtaken jobs and a purge end with the same bytes."""

import pytest
import races

import screens


@pytest.mark.parametrize(
    ("kind", "stage"), [("suspended", "images"), ("resumed", "crops"), ("purge", "cells")], ids=lambda name: name
)
def test_a_race_converges_or_stops_by_name(finished, tmp_path, kind, stage):
    plate = screens.read_sheet(finished)["plate"].iloc[0]
    ground = races.Ground(screens.ROOT, finished, plate)
    row = races.race(ground, tmp_path / "race", kind=kind, stage=stage, seed=f"{kind} {stage}")
    assert not row["missed"], row
    assert row["different"] == [] and row.get("named", True), row
