"""The history of a training: it keeps the rows, and writes log lines, warnings and TensorBoard's curves."""

import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from wellspring.train import distributed, watch
from wellspring.train.settings import Settings

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

logger = logging.getLogger(__name__)

Row = dict[str, float]


class Journal:
    """Keeps the rows of the history; the process of rank 0 also logs them.

    Parameters
    ----------
    rows
        The rows before a resumed run; new rows are added in place.
    settings
        Settings of the encoder.
    first
        First step of this process.
    board
        Folder for TensorBoard, rewritten from the rows so that a resumed run shows every step once; None for no files.
    """

    def __init__(self, rows: list[Row], settings: Settings, *, first: int, board: Path | None) -> None:
        self.rows, self.settings, self.board = rows, settings, board
        self._writer: SummaryWriter | None = None
        self._began = self._last = (float(first), time.monotonic())

    def __enter__(self) -> "Journal":
        if self.board is not None and distributed.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.board, ignore_errors=True)
            # A running TensorBoard discards the events of a killed run.
            self._writer = SummaryWriter(str(self.board), purge_step=0)
            for row in self.rows:
                self._draw(row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, row: Row) -> None:
        """Keep a row; log it, with a warning if it shows a collapse."""
        self.rows.append(row)
        if distributed.rank():
            return
        done, now = row["Metadata_Step"] + 1, time.monotonic()
        images = (done - self._last[0]) * self.settings.batch / max(now - self._last[1], 1e-9)
        each = (now - self._began[1]) / (done - self._began[0])
        left = timedelta(seconds=round((self.settings.steps - done) * each))
        figures = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "Metadata_Step")
        logger.info("step %d: %s (%.0f images/s, %s left)", row["Metadata_Step"], figures, images, left)
        self._last = (done, now)
        prototypes = self.settings.distillation.prototypes
        for message in watch.collapse(self.rows, settled=self.settings.warmup, prototypes=prototypes):
            logger.warning("step %d: %s", row["Metadata_Step"], message)
        self._draw(row)

    def flush(self) -> None:
        """Write the rows that TensorBoard's writer still holds."""
        if self._writer is not None:
            self._writer.flush()

    def _draw(self, row: Row) -> None:
        if self._writer is not None:
            for name, value in row.items():
                if name != "Metadata_Step":
                    self._writer.add_scalar(name, value, row["Metadata_Step"])
