"""What processes share: the same values and gradients as one process with all the rows."""

import pytest
import torch

from processes import ranks
from wellspring.train import distributed, losses

ROWS, WORLD = 6, 2


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, 4, generator=generator), torch.randn(4, 3, generator=generator)


def joint(rows: torch.Tensor) -> torch.Tensor:
    """A loss that looks across images, beside a mean over them."""
    return losses.koleo(distributed.gather(rows)) + rows.square().mean()


def shared() -> dict[str, torch.Tensor]:
    rows, weight = data()
    count = ROWS // distributed.world()
    mine = rows[distributed.rank() * count : (distributed.rank() + 1) * count]
    weight.requires_grad_()
    loss = joint(mine @ weight)
    loss.backward()
    return {
        "gathered": distributed.gather(mine),
        "gradient": distributed.mean(weight.grad),
        "loss": distributed.mean(loss),
        "total": distributed.total(mine.sum(dim=0)),
        "mean": distributed.mean(mine.mean(dim=0)),
        "maximum": distributed.maximum(mine.max(dim=0).values),
    }


def test_ranks_hold_together_what_one_process_holds(tmp_path):
    single = shared()
    assert torch.equal(single["gathered"], data()[0])
    for found in ranks(shared, count=WORLD, folder=tmp_path):
        for name, value in single.items():
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")


def test_one_process_gets_back_what_it_gives():
    rows = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(rows) is rows
    assert (distributed.world(), distributed.rank()) == (1, 0)
    for function in (distributed.mean, distributed.total, distributed.maximum):
        assert torch.equal(function(rows), rows)
        assert not function(rows).requires_grad


@pytest.mark.parametrize("function", [distributed.mean, distributed.total, distributed.maximum])
def test_what_is_reduced_is_left_as_it_was(function):
    rows = torch.randn(3)
    before = rows.clone()
    function(rows)
    assert torch.equal(rows, before)
