"""The scores of mechanisms agree with a peer's on published profiles."""

import logging

import numpy as np
import pytest

import benchmarks_of
from wellspring.io import tables
from wellspring.screen import config

ljosa = benchmarks_of.load("ljosa")
DATA = ljosa.REPOSITORY.parent / "shared" / "data" / "bbbc021_ljosa_profiles"


@pytest.mark.skipif(not DATA.is_dir(), reason="the profiles of Ljosa et al. 2013 are not beside the repository")
def test_nsc_is_within_two_treatments_of_the_peers_and_nscb_judges_92(caplog):
    caplog.set_level(logging.ERROR)
    options = config.resolve({"encoders": {"ljosa": {"kind": "table", "files": "ljosa.csv"}}})
    wells = ljosa.read(DATA)
    assert (wells["Metadata_pert_type"] == "negcon").sum() == 330
    own, steps, operation = ljosa.CHAINS[ljosa.AS_PEER]
    frame = ljosa.chained(wells, options, own=own, steps=steps)
    values = frame[tables.features(frame)].to_numpy(dtype=np.float64)
    values = values - values.mean(axis=1, keepdims=True)
    score = ljosa.nsc(values, frame, operation=operation)
    assert score.n == 103 and abs(round(score.value * score.n) - ljosa.PEER) <= 2
    assert ljosa.nscb(values, frame, operation=operation).n == 92
    assert ljosa.by_mechanism(wells, {"nsc": score}).index.size == 12
