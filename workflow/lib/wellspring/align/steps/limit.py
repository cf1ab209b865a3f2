"""Limit: no value of a well exceeds a multiple of the controls' spread. Part of every alignment, before its steps.

It changes nothing on a plate without a fault. On a plate whose normalisation failed it keeps values from overflowing
in the steps, and from outweighing all other plates where profiles are averaged over plates.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.steps import frames
from wellspring.align.steps.state import Array, State


@dataclass(frozen=True)
class Limits(State):
    """Smallest and largest value of each feature, (d,) each."""

    low: Array
    high: Array


def apply(frame: pd.DataFrame, state: Limits) -> pd.DataFrame:
    """Return `frame` with values beyond the limits replaced by the limit; a value that is not finite is NaN."""
    values = frames.matrix(frame, state.features)
    return frames.replaced(frame, state.features, np.clip(values, state.low, state.high))
