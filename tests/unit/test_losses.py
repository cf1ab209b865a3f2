"""Losses against loops that say what they mean."""

import math

import numpy as np
import pytest
import torch

from wellspring.train import losses


def views(count: int = 6, features: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(count, features, generator=generator) for _ in range(2))


def cosines(first: torch.Tensor, second: torch.Tensor) -> np.ndarray:
    stacked = np.concatenate([first.numpy(), second.numpy()]).astype(np.float64)
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    return stacked @ stacked.T


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_equals_a_loop(temperature):
    first, second = views()
    similarity, count = np.exp(cosines(first, second) / temperature), len(first)
    terms = []
    for anchor in range(2 * count):
        positive = (anchor + count) % (2 * count)
        against = sum(similarity[anchor, other] for other in range(2 * count) if other != anchor)
        terms.append(-math.log(similarity[anchor, positive] / against))
    assert float(losses.nt_xent(first, second, temperature=temperature)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_pair_nt_xent_equals_a_loop():
    first, second = views(8)
    group = torch.tensor([0, 0, 1, 1, 2, 2, 0, 0])
    partner = torch.arange(8) ^ 1
    similarity = np.exp(cosines(first, second) / 0.2)
    terms = []
    for anchor in range(16):
        well = int(group[anchor % 8])
        against = sum(similarity[anchor, other] for other in range(16) if int(group[other % 8]) != well)
        for positive in (int(partner[anchor % 8]), int(partner[anchor % 8]) + 8):
            hit = similarity[anchor, positive]
            terms.append(-math.log(hit / (hit + against)))
    found = losses.pair_nt_xent(first, second, partner=partner, group=group, temperature=0.2)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


def test_pair_nt_xent_of_one_well_has_nothing_to_tell_apart():
    first, second = (view.requires_grad_() for view in views(4))
    loss = losses.pair_nt_xent(
        first, second, partner=torch.arange(4) ^ 1, group=torch.zeros(4, dtype=torch.int64), temperature=0.1
    )
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(first.grad).all()


def test_nt_xent_is_symmetric_and_refuses_other_shapes():
    first, second = views()
    there = losses.nt_xent(first, second, temperature=0.1)
    assert torch.allclose(there, losses.nt_xent(second, first, temperature=0.1))
    with pytest.raises(ValueError, match="two of one shape"):
        losses.nt_xent(first, second[:3], temperature=0.1)


def test_distillation_and_aggregation_equal_loops():
    generator = torch.Generator().manual_seed(0)
    teacher = torch.softmax(torch.randn(2, 4, 7, generator=generator), dim=-1)
    student = torch.log_softmax(torch.randn(5, 4, 7, generator=generator), dim=-1)
    partner = torch.tensor([1, 0, 3, 2])
    own, across = [], []
    for known in range(2):
        for seen in range(5):
            for image in range(4):
                if known != seen:
                    own.append(-float((teacher[known, image] * student[seen, image]).sum()))
                across.append(-float((teacher[known, partner[image]] * student[seen, image]).sum()))
    assert float(losses.distillation(teacher, student)) == pytest.approx(np.mean(own), rel=1e-5)
    assert float(losses.aggregation(teacher, student, partner=partner)) == pytest.approx(np.mean(across), rel=1e-5)


def test_teacher_distributions_sum_to_one_and_sinkhorn_uses_all_prototypes():
    logits = torch.randn(64, 8, generator=torch.Generator().manual_seed(0)) + torch.arange(8) * 0.05
    centred = losses.centred(logits, logits.mean(dim=0), temperature=0.07)
    balanced = losses.sinkhorn(logits, temperature=0.5, iterations=50)
    for found in (centred, balanced):
        assert torch.allclose(found.sum(dim=1), torch.ones(64), atol=1e-5)
    assert torch.allclose(balanced.sum(dim=0), torch.full((8,), 8.0), atol=0.1)


def test_koleo_equals_a_loop_and_falls_when_points_part():
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    unit = torch.nn.functional.normalize(features, dim=1).double()
    nearest = [min(float((unit[i] - unit[j]).norm()) for j in range(6) if j != i) for i in range(6)]
    assert float(losses.koleo(features)) == pytest.approx(-np.mean(np.log(nearest)), abs=1e-4)
    close = torch.ones(6, 4) + 1e-3 * features
    assert losses.koleo(close) > losses.koleo(features)
    assert torch.isfinite(losses.koleo(torch.ones(6, 4)))
