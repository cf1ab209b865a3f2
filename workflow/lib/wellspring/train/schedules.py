"""Schedules of settings that change during training, as arrays indexed by the step."""

import numpy as np


def cosine(start: float, end: float, *, steps: int, warmup: int = 0, first: float = 0.0) -> np.ndarray:
    """Return a cosine from `start` to `end`, after a linear warm-up from `first`.

    Parameters
    ----------
    start, end
        Value at the first step after the warm-up, and at the last step.
    steps
        Length of the schedule, the warm-up included.
    warmup
        Steps of linear rise from `first`; `start` is reached at step `warmup`.
    first
        Value at step 0 when there is a warm-up.

    Returns
    -------
    np.ndarray
        (steps,) float64.

    Raises
    ------
    ValueError
        If the warm-up is longer than the schedule.
    """
    if not 0 <= warmup <= steps:
        raise ValueError(f"schedule: expected a warm-up of 0 to {steps} steps, found {warmup}")
    rest = steps - warmup
    phase = np.arange(rest) / max(rest - 1, 1)
    return np.concatenate(
        [
            np.linspace(first, start, warmup, endpoint=False),
            end + 0.5 * (start - end) * (1 + np.cos(np.pi * phase)),
        ]
    )


def ramp(start: float, end: float, *, steps: int, warmup: int) -> np.ndarray:
    """Return a line from `start` to `end` over `warmup` steps, then `end`; (steps,) float64."""
    if not 0 <= warmup <= steps:
        raise ValueError(f"schedule: expected a warm-up of 0 to {steps} steps, found {warmup}")
    return np.concatenate([np.linspace(start, end, warmup, endpoint=False), np.full(steps - warmup, end)])
