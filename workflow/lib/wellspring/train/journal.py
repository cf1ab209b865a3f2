"""The course of a training: rows of the history flow in; log lines, warnings and TensorBoard's curves flow out."""

import logging
import shutil
import time
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from wellspring.train import distributed, watch
from wellspring.train.settings import Settings

logger = logging.getLogger(__name__)


class Journal:
    """Keeps the rows; the process of rank 0 tells of them too.

    Parameters
    ----------
    rows
        Those before a resumed run; added to in place.
    settings
        Of the encoder.
    first
        First step of this process.
    board
        Folder for TensorBoard, made anew from the rows so that a resumed run shows no step twice; None for none.
    """

    def __init__(self, rows: list[dict[str, float]], settings: Settings, *, first: int, board: Path | None) -> None:
        self.rows, self.settings, self.board = rows, settings, board
        self._writer = None
        self._began = self._last = (first, time.monotonic())

    def __enter__(self) -> "Journal":
        if self.board is not None and distributed.rank() == 0:
            from torch.utils.tensorboard import SummaryWriter

            shutil.rmtree(self.board, ignore_errors=True)
            # A TensorBoard that is looking on forgets what it has read of a killed run.
            self._writer = SummaryWriter(str(self.board), purge_step=0)
            for row in self.rows:
                self._draw(row)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()

    def add(self, row: dict[str, float]) -> None:
        """Keep a row, and tell of it."""
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
        for message in watch.collapse(self.rows, settled=self.settings.warmup, prototypes=self._prototypes):
            logger.warning("step %d: %s", row["Metadata_Step"], message)
        self._draw(row)

    def flush(self) -> None:
        """Write what is held back for TensorBoard."""
        if self._writer is not None:
            self._writer.flush()

    @property
    def _prototypes(self) -> int:
        return self.settings.distillation["prototypes"]

    def _draw(self, row: dict[str, float]) -> None:
        if self._writer is not None:
            for name, value in row.items():
                if name != "Metadata_Step":
                    self._writer.add_scalar(name, value, row["Metadata_Step"])
