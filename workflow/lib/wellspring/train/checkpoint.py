"""Checkpoints: the state of a run flows to a file and back, so that a killed run goes on where it stood.

A checkpoint carries the fingerprint of config, data and code: one of another run is refused by name, and the run starts
anew. It is removed at the end, so a finished run is never taken for progress.
"""

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from wellspring.io.tables import atomic

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # what a scheduler sends before it kills, and `--signal=USR1@120` of SLURM


class Interrupted(RuntimeError):
    """The run was asked to stop, and has written its checkpoint."""


class Checkpoint:
    """The file of one run.

    Parameters
    ----------
    path
        Where it lies; not an output of the workflow, so that a retry finds it.
    fingerprint
        Of the run.
    minutes
        Time between two writes.
    """

    def __init__(self, path: str | Path, *, fingerprint: str, minutes: float) -> None:
        self.path, self.fingerprint, self.minutes = Path(path), fingerprint, minutes
        self._written = time.monotonic()

    def read(self) -> dict | None:
        """Return the state to go on from, or None when there is none of this run."""
        if not self.path.exists():
            return None
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        if state.get("fingerprint") != self.fingerprint:
            logger.warning("%s is of another config, data or code and is not used; the run starts anew", self.path)
            return None
        return state

    def due(self) -> bool:
        """Whether the time between two writes has passed."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def write(self, state: dict) -> None:
        """Write a state, whole or not at all."""
        with atomic(self.path) as temporary:
            torch.save(state | {"fingerprint": self.fingerprint}, temporary)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file of a finished run."""
        self.path.unlink(missing_ok=True)


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Yield an event that is set when the process is asked to stop; previous handlers come back afterwards."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, lambda *_: event.set()) for number in SIGNALS}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
