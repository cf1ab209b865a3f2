"""Losses, centres and targets against lightly, another implementation of the same papers: values and gradients."""

import numpy as np
import pytest
import torch
from lightly.loss import DINOLoss, IBOTPatchLoss, KoLeoLoss, NTXentLoss
from lightly.loss.swav_loss import sinkhorn

from wellspring.train import losses, masks


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def agree(ours, theirs, *inputs: torch.Tensor) -> None:
    """Values, and gradients with respect to each input."""
    found = []
    for loss in (ours, theirs):
        leaves = [each.clone().requires_grad_() for each in inputs]
        value = loss(*leaves)
        value.backward()
        found.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent(seed, temperature):
    theirs = NTXentLoss(temperature=temperature)
    agree(
        lambda one, two: losses.nt_xent(one, two, temperature=temperature),
        theirs,
        random(16, 12, seed=seed),
        random(16, 12, seed=seed + 100),
    )


@pytest.mark.parametrize("seed", range(5))
def test_koleo(seed):
    agree(losses.koleo, KoLeoLoss(), random(16, 12, seed=seed))


@pytest.mark.parametrize("views", [2, 10])
def test_distillation_with_a_centre(views):
    teacher, student, centre = random(2, 6, 32), random(views, 6, 32, seed=1), 0.3 * random(32, seed=2)
    theirs = DINOLoss(output_dim=32, teacher_temp=0.06, student_temp=0.1, center_momentum=0.9)
    theirs.center.copy_(centre)

    def ours(logits):
        known = losses.centred(teacher, centre, temperature=0.06)
        return losses.distillation(known, torch.log_softmax(logits / 0.1, dim=-1))

    agree(ours, lambda logits: theirs(list(teacher), list(logits), teacher_temp=0.06), student)


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_masked_patches_with_a_centre(probability):
    mask = masks.draw(8, (5, 6), probability=probability, ratio=(0.1, 0.5), rng=np.random.default_rng(0))
    hidden = masks.hide(mask, torch.device("cpu"))
    teacher, student = random(len(hidden.place), 32), random(len(hidden.place), 32, seed=1)
    centre = 0.3 * random(32, seed=2)
    theirs = IBOTPatchLoss(output_dim=32, teacher_temp=0.06, student_temp=0.1)
    theirs.center.center.copy_(centre)

    def ours(logits):
        known = losses.centred(teacher, centre, temperature=0.06)
        return losses.masked_patches(known, torch.log_softmax(logits / 0.1, dim=-1), weight=hidden.weight)

    agree(ours, lambda logits: theirs(teacher, logits, torch.from_numpy(mask), teacher_temp=0.06), student)


@pytest.mark.parametrize("iterations", [1, 3])
def test_sinkhorn(iterations):
    logits = random(24, 10)
    ours = losses.sinkhorn(logits, temperature=0.5, iterations=iterations)
    assert torch.allclose(ours, sinkhorn(logits.clone(), iterations=iterations, epsilon=0.5), atol=1e-5)
