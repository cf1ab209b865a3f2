"""Several processes of one training: tensors of each rank flow in, what all ranks hold together flows out.

In a single process every function gives back what it takes, so that an objective is written once. With several, each
rank has the mean of its own images' losses, and the mean of gradients over ranks (DistributedDataParallel) is that of
the joint batch. A loss that looks across images is computed by every rank on gathered rows: all have its joint value,
and since the backward of `gather` sums over ranks, the mean of gradients is exact for it too.
"""

import torch
from torch import Tensor
from torch import distributed as dist


def world() -> int:
    """Return the number of processes that train together; 1 outside a group."""
    return dist.get_world_size() if _grouped() else 1


def rank() -> int:
    """Return the number of this process among them, from 0."""
    return dist.get_rank() if _grouped() else 0


def gather(rows: Tensor) -> Tensor:
    """Join the rows of all ranks, in the order of the ranks.

    Parameters
    ----------
    rows
        (B, ...) of any dtype, of one shape on all ranks.

    Returns
    -------
    Tensor
        (world * B, ...). The gradient of this rank's rows is the sum of what all ranks hold of it.
    """
    return _Gather.apply(rows) if world() > 1 else rows


def mean(values: Tensor) -> Tensor:
    """Return the mean over ranks, without gradient."""
    return total(values) / world()


def total(values: Tensor) -> Tensor:
    """Return the sum over ranks, without gradient."""
    return _reduced(values, dist.ReduceOp.SUM)


def maximum(values: Tensor) -> Tensor:
    """Return the elementwise maximum over ranks, without gradient."""
    return _reduced(values, dist.ReduceOp.MAX)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        ctx.count = len(rows)
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        joint = gradient.contiguous().clone()
        dist.all_reduce(joint)
        return joint[rank() * ctx.count : (rank() + 1) * ctx.count]


def _reduced(values: Tensor, operation: dist.ReduceOp) -> Tensor:
    if world() == 1:
        return values.detach()
    joint = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(joint, op=operation)
    return joint


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()
