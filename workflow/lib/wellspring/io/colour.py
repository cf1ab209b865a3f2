"""The one signal of a coloured image: RGB pixels and palettes in which a stain was drawn in a colour of its own.

Exports often draw a stain in green or magenta. The channels of such an image are 0 or equal to each other, so that one
of them has all grey values. An image of several signals has no grey values that would be right for a channel.
"""

from typing import Any

from numpy.typing import NDArray

REMEDY = "export one grey image per channel, without overlay or shades of several colours"


def signal(channels: NDArray[Any]) -> NDArray[Any] | None:
    """Return the values that all channels have that are not 0 everywhere, None where they differ.

    Parameters
    ----------
    channels
        (3, ...) red, green and blue.

    Examples
    --------
    >>> import numpy as np
    >>> signal(np.array([[0, 0], [7, 9], [7, 9]])).tolist()
    [7, 9]
    >>> signal(np.array([[0, 1], [7, 9], [7, 9]])) is None
    True
    """
    lit = [part for part in channels if part.any()] or [channels[0]]
    return lit[0] if all((part == lit[0]).all() for part in lit[1:]) else None
