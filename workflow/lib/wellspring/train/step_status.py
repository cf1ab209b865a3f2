"""Loss, stop flag and save flag of a step, all-reduced over processes so that all take the same decision.

A GPU computes while Python is ahead of it. Reading a number of the current step would make Python wait and then leave
the GPU without work, so on a GPU each step reads the status of the step before.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wellspring.train import distributed


@dataclass(frozen=True)
class StepStatus:
    """Mean loss of a step, and whether any process asks to stop or to write a checkpoint."""

    step: int
    loss: float
    stop: bool
    save: bool


class StatusReduction:
    """All-reduce the status of each step.

    Parameters
    ----------
    device
        Device of the loss.
    """

    def __init__(self, device: torch.device) -> None:
        self.late = device.type == "cuda"
        self._sent: tuple[int, Tensor, torch.cuda.Event | None] | None = None
        self._asked = False

    def reduce(self, step: int, loss: Tensor, *, stop: bool, save: bool) -> StepStatus:
        """All-reduce this process's loss and flags; return the status of this step, on a GPU of the step before.

        The first call on a GPU returns a finite loss and no flags. A save flag is not repeated at the step that reads
        it. Only rank 0's save flag counts.
        """
        before = self._sent
        self._asked = save and not self._asked and distributed.rank() == 0
        flags = [loss.new_full((), float(flag), dtype=torch.float32) for flag in (stop, self._asked)]
        joint = distributed.total(torch.stack([loss.detach().float(), *flags]))
        self._sent = (step, joint, None)
        if joint.is_cuda:
            host = torch.empty(joint.shape, pin_memory=True)
            host.copy_(joint, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._sent = (step, host, event)
        if not self.late:
            return _read(self._sent)
        return StepStatus(step - 1, 0.0, False, False) if before is None else _read(before)

    def newest(self) -> StepStatus:
        """Wait for the status of the step that was reduced last, and return it."""
        if self._sent is None:
            raise RuntimeError("step status: expected a call of reduce before newest, found none")
        return _read(self._sent)


def _read(sent: tuple[int, Tensor, torch.cuda.Event | None]) -> StepStatus:
    step, joint, event = sent
    if event is not None:
        event.synchronize()
    loss, stop, save = joint.tolist()
    return StepStatus(step, loss / distributed.world(), stop > 0, save > 0)
