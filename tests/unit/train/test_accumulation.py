"""A batch computed in parts has the mean of the parts' gradients and terms."""

import pytest
import torch
from torch import nn

import blobs
from wellspring.train import loop
from wellspring.train.settings import resolve


class Linear(nn.Module):
    """A loss whose gradient is the mean of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, batch, step, generator):
        loss = (batch @ self.weight).mean()
        return {"loss": loss, "other": 2 * loss}, {"features": batch}


@pytest.mark.parametrize("accumulate", [1, 2, 4])
def test_gradients_and_terms_do_not_depend_on_the_number_of_parts(accumulate):
    batch = torch.arange(24.0).reshape(8, 3)
    method = Linear()
    parts = ((0, part, images) for part, images in enumerate(batch.chunk(accumulate)))
    settings = resolve(blobs.entry(), seed=0)
    terms, seen = loop._gradients(method, parts, settings, device=torch.device("cpu"), accumulate=accumulate, keep=True)
    torch.testing.assert_close(method.weight.grad, batch.mean(dim=0))
    torch.testing.assert_close(terms["loss"], batch.sum(dim=1).mean())
    torch.testing.assert_close(terms["other"], 2 * batch.sum(dim=1).mean())
    torch.testing.assert_close(torch.cat([each["features"] for each in seen]), batch)
