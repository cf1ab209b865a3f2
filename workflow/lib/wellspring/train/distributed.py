"""Several processes of one training: combine the tensors of all ranks.

In a single process every function returns its argument, so that an objective is written once. With several processes,
each rank computes the mean loss of its own images, and the mean of the gradients over ranks (`average`) is the gradient
of the joint batch. A loss that compares images is computed by every rank on gathered rows: all ranks have its joint
value. The backward pass of `gather` sums over ranks, so the mean of the gradients is exact for these losses too.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch import distributed as dist

logger = logging.getLogger(__name__)


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
        (world * B, ...). The gradient of this rank's rows is summed over all ranks.
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


def average(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients of this rank by their means over ranks, in one reduction after a step's backward pass.

    Reducing during the backward pass (DistributedDataParallel) would hide the transfer of 88 MB for a ViT-S, which
    takes some milliseconds of a step of hundreds; but it would not allow parameters that a step does not use. A
    gradient that is None on this rank counts as 0 if another rank has one, and stays None otherwise.
    """
    trained = [each for each in parameters if each.requires_grad]
    if world() == 1 or not trained:
        return
    given = torch.tensor([each.grad is not None for each in trained], dtype=torch.float32).to(trained[0].device)
    parts = [torch.zeros_like(each) if each.grad is None else each.grad for each in trained]
    flat = torch.cat([*(part.float().flatten() for part in parts), given])
    dist.all_reduce(flat)
    flat /= world()
    means = flat[: -len(trained)].split([each.numel() for each in trained])
    for number, (parameter, values) in enumerate(zip(trained, means, strict=True)):
        if parameter.grad is not None:
            parameter.grad.copy_(values.view_as(parameter))
        elif flat[number - len(trained)] > 0:
            parameter.grad = values.view_as(parameter).clone()


@contextmanager
def group(*, local: int) -> Iterator[None]:
    """Join the group of processes that torchrun started, `local` of them on this machine; else there is no group.

    With GPUs the backend is NCCL, and each process uses the GPU of its local rank; without GPUs it is gloo.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        yield
        return
    found = torch.cuda.device_count()
    if found:
        if found < local:
            raise ValueError(f"train.gpus: expected {local} GPUs on {os.uname().nodename}, found {found}")
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    logger.info("process %d of %d on %s", rank(), world(), os.uname().nodename)
    yield
    dist.destroy_process_group()  # not after an error: it would wait for ranks that may wait for this one


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows, memory_format=torch.contiguous_format) for _ in range(world())]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        joint = gradient.contiguous().clone()
        dist.all_reduce(joint)
        return joint.chunk(world())[rank()]


def _reduced(values: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if world() == 1:
        return values.detach()
    joint = values.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(joint, op=operation)
    return joint


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()
