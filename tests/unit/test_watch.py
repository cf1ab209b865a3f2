"""Figures of collapse at their known values."""

import math

import pytest
import torch

from wellspring.train import watch


def test_a_point_and_a_sphere():
    spread = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))
    assert watch.feature_std(spread) == pytest.approx(1, abs=0.02)
    assert watch.feature_std(torch.ones(10, 16)) == pytest.approx(0, abs=1e-6)
    assert watch.effective_rank(torch.ones(10, 16)) == 0


@pytest.mark.parametrize("rank", [1, 3, 8])
def test_rank_of_features_in_a_subspace(rank):
    orthogonal = torch.linalg.qr(
        torch.randn(64, rank + 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ).Q
    centred = torch.linalg.qr(orthogonal - orthogonal.mean(dim=0)).Q[:, :rank]
    assert watch.effective_rank(centred @ torch.eye(rank, 16, dtype=torch.float64)) == pytest.approx(rank, rel=0.05)


def test_entropy_of_flat_and_certain_distributions():
    assert watch.entropy(torch.full((4, 8), 1 / 8)) == pytest.approx(math.log(8), abs=1e-4)
    assert watch.entropy(torch.eye(8)) == pytest.approx(0, abs=1e-6)
