"""What all processes must decide alike: a step's loss and wishes of each flow in, what all of them heard flows out.

A GPU computes while Python is ahead of it. Reading a number of the same step would make Python wait and then leave the
GPU without work, so on a GPU a step hears what was told at the step before.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from wellspring.train import distributed


@dataclass(frozen=True)
class Heard:
    """Of one step: the mean loss, and whether any process wants to stop or to write a checkpoint."""

    step: int
    loss: float
    stop: bool
    save: bool


class Agreement:
    """Tell and hear, once a step.

    Parameters
    ----------
    device
        Where the loss is.
    """

    def __init__(self, device: torch.device) -> None:
        self.late = device.type == "cuda"
        self._told: tuple[int, Tensor, torch.cuda.Event | None] | None = None
        self._asked = False

    def tell(self, step: int, loss: Tensor, *, stop: bool, save: bool) -> Heard:
        """Tell this process's loss and wishes; return what all told at this step, on a GPU at the one before.

        The first step of a GPU hears a finite loss and no wish. A wish to save that was told is not told again at the
        step at which it is heard. Of several processes, that of rank 0 has the say when to save.
        """
        before = self._told
        self._asked = save and not self._asked and distributed.rank() == 0
        wishes = [loss.new_full((), float(wish), dtype=torch.float32) for wish in (stop, self._asked)]
        joint = distributed.total(torch.stack([loss.detach().float(), *wishes]))
        self._told = (step, joint, None)
        if joint.is_cuda:
            host = torch.empty(joint.shape, pin_memory=True)
            host.copy_(joint, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._told = (step, host, event)
        if not self.late:
            return _read(self._told)
        return Heard(step - 1, 0.0, False, False) if before is None else _read(before)

    def settle(self) -> Heard:
        """Wait for what was told last."""
        return _read(self._told)


def _read(told: tuple[int, Tensor, torch.cuda.Event | None]) -> Heard:
    step, joint, event = told
    if event is not None:
        event.synchronize()
    loss, stop, save = joint.tolist()
    return Heard(step, loss / distributed.world(), stop > 0, save > 0)
