"""Masks of patches: how many views and places, in blocks, and the weights of their sum."""

import numpy as np
import pytest
import torch

from wellspring.train import masks


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("grid", [(14, 14), (6, 6), (3, 4)])
@pytest.mark.parametrize(("probability", "masked"), [(0.5, 16), (0.25, 8), (1.0, 32), (0.001, 1)])
def test_as_many_views_have_a_mask_of_a_share_in_the_range(grid, probability, masked):
    found = masks.draw(32, grid, probability=probability, ratio=(0.1, 0.5), rng=seeded())
    share = found.mean(axis=(1, 2))
    assert (share > 0).sum() == masked
    rounding = 0.5 / (grid[0] * grid[1]) + 1e-9
    assert (share[share > 0] >= 0.1 - rounding).all()
    assert share.max() <= 0.5 + rounding


def test_a_batch_holds_the_whole_range_of_shares():
    found = masks.draw(64, (14, 14), probability=0.5, ratio=(0.1, 0.5), rng=seeded())
    share = np.sort(found.mean(axis=(1, 2)))[32:]
    middles = 0.1 + 0.4 * (np.arange(32) + 0.5) / 32
    assert np.abs(share - middles).max() < 0.4 / 32 + 1 / 196


def test_masks_follow_the_random_state():
    one, again, other = (
        masks.draw(8, (6, 6), probability=0.5, ratio=(0.1, 0.5), rng=seeded(seed)) for seed in (1, 1, 2)
    )
    assert (one == again).all()
    assert (one != other).any()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 40, 195, 196])
def test_blocks_mask_exactly_as_many_patches(count):
    for seed in range(20):
        assert masks.blocks((14, 14), count, rng=seeded(seed)).sum() == count


def test_blocks_hang_together_more_than_single_patches():
    def neighbours(mask: np.ndarray) -> int:
        return int((mask[1:] & mask[:-1]).sum() + (mask[:, 1:] & mask[:, :-1]).sum())

    blocks = [neighbours(masks.blocks((14, 14), 60, rng=seeded(seed))) for seed in range(50)]
    singles = [neighbours(seeded(seed).permutation(196).reshape(14, 14) < 60) for seed in range(50)]
    assert min(blocks) > max(singles)


def test_weights_are_a_mean_over_a_views_masked_places_and_then_over_views():
    mask = masks.draw(6, (4, 5), probability=0.5, ratio=(0.1, 0.5), rng=seeded())
    hidden = masks.hide(mask, torch.device("cpu"))
    values = torch.randn(6, 20, generator=torch.Generator().manual_seed(0))
    means = [values[view][torch.from_numpy(mask[view].ravel())].mean() for view in range(6) if mask[view].any()]
    found = (values.flatten()[hidden.place] * hidden.weight).sum()
    assert torch.allclose(found, sum(means) / 6, atol=1e-6)


def test_a_crop_of_one_patch_can_not_be_masked():
    with pytest.raises(ValueError, match="two patches or more"):
        masks.draw(4, (1, 1), probability=0.5, ratio=(0.1, 0.5), rng=seeded())
