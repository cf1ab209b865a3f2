"""The views of ready-made cells: squares from the middle of packed crops, site by site."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.io.packed import Packed
from wellspring.views.fields import Part

CENTRE = ["Metadata_Center_Y", "Metadata_Center_X"]


@dataclass(frozen=True)
class PackedCells:
    """The ready-made cells of a plate.

    Attributes
    ----------
    plate
        Its name.
    array
        Crops (N, C, Y, X), one item per row number of `table`.
    table
        Table `crops` of the plate.
    channels
        Of the array, in its order.
    """

    plate: str
    array: Packed
    table: pd.DataFrame
    channels: list[str]

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The sites that have cells, (well, site), sorted."""
        pairs = self.table[["Metadata_Well", "Metadata_Site"]].drop_duplicates()
        return sorted(pairs.itertuples(index=False, name=None))

    def parts(self, channels: Sequence[str], *, size: int, most: int = 256) -> Iterator[Part]:
        """Yield the cells of each site, at most `most` at once, cut to squares of edge `size` px.

        Raises
        ------
        ValueError
            The crops are smaller than `size`, or lack a channel.
        """
        height, width = self.array.shape[2:]
        lacking = [name for name in channels if name not in self.channels]
        if lacking or min(height, width) < size:
            expected = f"expected crops of {size} px or more with the channels {list(channels)}"
            found = f"{height} x {width} px with {list(self.channels)}"
            raise ValueError(f"{self.plate}: {expected}, found {found} (crops.size, view.size)")
        order = [self.channels.index(name) for name in channels]
        rows = slice((height - size) // 2, (height - size) // 2 + size)
        columns = slice((width - size) // 2, (width - size) // 2 + size)
        by_site = self.table.sort_values("Metadata_Cell").groupby(["Metadata_Well", "Metadata_Site"], sort=True)
        for (well, site), cells in by_site:
            for start in range(0, len(cells), most):
                here = cells.iloc[start : start + most]
                pixels = self.array.take(here["Metadata_Row"])[:, order, rows, columns]
                numbers, centres = here["Metadata_Cell"].to_numpy(), here[CENTRE].to_numpy(np.float64)
                yield Part(well, site, numbers, centres, np.ascontiguousarray(pixels), pixels[0])
