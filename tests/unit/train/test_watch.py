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


def rows(*values: dict) -> list[dict]:
    usual = {"feature_std": 0.5, "rank": 11.0, "teacher_entropy": 2.0}
    return [usual | value | {"Metadata_Step": 10 * step} for step, value in enumerate(values)]


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ({}, []),
        ({"feature_std": 0.11, "rank": 3.1}, []),
        ({"feature_std": 0.09}, ["feature_std 0.09 is below 20% of its value at step 0, 0.5"]),
        ({"rank": 2.9}, ["rank 2.9 is below"]),
        ({"teacher_entropy": math.log(8) * 0.995}, ["distributions are flat; a lower"]),
        ({"teacher_entropy": 0.005}, ["each image is one prototype; a higher"]),
        ({"feature_std": 0.0, "rank": 0.0, "teacher_entropy": 0.0}, ["feature_std", "rank", "teacher_entropy"]),
    ],
)
def test_a_collapse_is_told_once(last, said):
    found = watch.collapse(rows({}, {}, last), settled=5, prototypes=8)
    assert len(found) == len(said)
    assert all(words in text for words, text in zip(said, found, strict=True))
    assert watch.collapse(rows({}, {}, last, last), settled=5, prototypes=8) == []
    assert watch.collapse(rows({}, {}, last, {}, last), settled=5, prototypes=8) == found
    assert watch.collapse(rows({}, {}, last), settled=20, prototypes=8) == []


def test_objectives_without_a_teacher_are_watched_too():
    history = [{"Metadata_Step": step, "feature_std": 0.5, "rank": 5.0} for step in (0, 10)]
    assert watch.collapse(history, settled=0, prototypes=8) == []
