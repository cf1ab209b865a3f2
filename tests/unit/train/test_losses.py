"""Losses against loops that follow their definition."""

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


@pytest.mark.parametrize("sites", [2, 3])
def test_pair_nt_xent_equals_a_loop(sites):
    count = 4 * sites
    first, second = views(count)
    well = torch.tensor([0, 1, 2, 0]).repeat_interleave(sites)  # a well may be drawn twice
    similarity = np.exp(cosines(first, second) / 0.2)
    terms = []
    for anchor in range(2 * count):
        image = anchor % count
        against = sum(similarity[anchor, other] for other in range(2 * count) if well[other % count] != well[image])
        for other in range(count):
            if other // sites == image // sites and other != image:
                for positive in (other, other + count):
                    hit = similarity[anchor, positive]
                    terms.append(-math.log(hit / (hit + against)))
    found = losses.pair_nt_xent(first, second, sites=sites, well=well, temperature=0.2)
    assert float(found) == pytest.approx(np.mean(terms), rel=1e-5)


def test_pair_nt_xent_of_one_well_has_nothing_to_tell_apart():
    first, second = (view.requires_grad_() for view in views(4))
    loss = losses.pair_nt_xent(first, second, sites=2, well=torch.zeros(4, dtype=torch.int64), temperature=0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.isfinite(first.grad).all()


def test_nt_xent_is_symmetric_and_refuses_other_shapes():
    first, second = views()
    there = losses.nt_xent(first, second, temperature=0.1)
    assert torch.allclose(there, losses.nt_xent(second, first, temperature=0.1))
    with pytest.raises(ValueError, match="two of one shape"):
        losses.nt_xent(first, second[:3], temperature=0.1)


def distributions(images: int, *, known: int = 2, seen: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    teacher = torch.softmax(torch.randn(known, images, 7, generator=generator), dim=-1)
    return teacher, torch.log_softmax(torch.randn(seen, images, 7, generator=generator), dim=-1)


def test_distillation_equals_a_loop():
    teacher, student = distributions(4)
    terms = [
        -float((teacher[known, image] * student[seen, image]).sum())
        for known in range(2)
        for seen in range(5)
        for image in range(4)
        if known != seen
    ]
    assert float(losses.distillation(teacher, student)) == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("sites", [2, 3])
def test_pair_aggregation_equals_a_loop(sites):
    teacher, student = distributions(2 * sites)
    terms = [
        -float((teacher[known, one] * student[seen, other]).sum())
        for known in range(2)
        for seen in range(5)
        for one in range(2 * sites)
        for other in range(2 * sites)
        if one != other and one // sites == other // sites
    ]
    assert float(losses.pair_aggregation(teacher, student, sites=sites)) == pytest.approx(np.mean(terms), rel=1e-5)


@pytest.mark.parametrize("sites", [2, 3])
def test_pooled_aggregation_equals_a_loop(sites):
    teacher, _ = distributions(2 * sites)
    student = distributions(2)[1][0]
    terms = []
    for group in range(2):
        mean = sum(teacher[known, group * sites + site] for known in range(2) for site in range(sites)) / (2 * sites)
        terms.append(-float((mean * student[group]).sum()))
    assert float(losses.pooled_aggregation(teacher, student, sites=sites)) == pytest.approx(np.mean(terms), rel=1e-5)


def test_masked_patches_equal_a_loop():
    teacher, student = (part[0] for part in distributions(6))
    view = [0, 0, 0, 2, 2, 3]  # of 4 views, the second without a mask
    weight = torch.tensor([1 / (4 * view.count(each)) for each in view])
    means = [
        np.mean([-float((teacher[place] * student[place]).sum()) for place in range(6) if view[place] == each])
        for each in (0, 2, 3)
    ]
    assert float(losses.masked_patches(teacher, student, weight=weight)) == pytest.approx(sum(means) / 4, rel=1e-5)


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


def test_koleo_between_wells_ignores_the_other_images_of_a_well():
    features = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    well = torch.tensor([3, 3, 1, 1, 1, 2])
    unit = torch.nn.functional.normalize(features, dim=1).double()
    apart = [[float((unit[i] - unit[j]).norm()) for j in range(6) if well[i] != well[j]] for i in range(6)]
    expected = -np.mean([np.log(min(each)) for each in apart])
    assert float(losses.koleo(features, well=well)) == pytest.approx(expected, abs=1e-4)
    alike = features.clone().requires_grad_()
    assert float(losses.koleo(alike, well=torch.ones(6, dtype=torch.int64)).detach()) == 0.0
