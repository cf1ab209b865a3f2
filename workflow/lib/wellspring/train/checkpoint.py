"""Checkpoints: write the state of a training run and read it back, so that a killed run resumes.

A checkpoint has the fingerprint of config, data and code. A checkpoint with another fingerprint is not used: a warning
names it, and the run starts from the first step. Checkpoints are removed at the end, so that a finished run is never
taken for an unfinished one.
"""

import hashlib
import io
import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from wellspring.io import lease
from wellspring.io.tables import atomic
from wellspring.train import distributed

logger = logging.getLogger(__name__)

HEADER = b"wellspring checkpoint 1\n"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)  # sent by schedulers before they kill, and by `--signal=USR1@120` of SLURM


class Interrupted(RuntimeError):
    """The run was asked to stop, and has written its checkpoint."""


class Damaged(ValueError):
    """A checkpoint's content does not match its digest."""


class Checkpoint:
    """The state of one unfinished run on disk: the newest checkpoint and the one before it.

    A file is a header with the SHA-256 of the rest, then what `torch.save` wrote. A checkpoint that does not match its
    digest is renamed to `*.damaged`, and the one before it is used.

    Parameters
    ----------
    path
        File of the newest checkpoint; not an output of the workflow, so that a retry finds it. The one before it is
        `{stem}.previous{suffix}`.
    fingerprint
        Fingerprint of the run.
    minutes
        Minutes between two checkpoints.
    """

    def __init__(self, path: str | Path, *, fingerprint: str, minutes: float) -> None:
        self.path, self.fingerprint, self.minutes = Path(path), fingerprint, minutes
        self.previous = self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")
        self._written = time.monotonic()

    def read(self) -> dict[str, Any] | None:
        """Return the newest undamaged state of this run, or None if there is none."""
        for path in (self.path, self.previous):
            try:
                state = _load(path)
            except FileNotFoundError:
                continue
            except Damaged as error:
                aside = _aside(path)
                logger.warning("%s; renamed to %s, looking for the checkpoint before it", error, aside.name)
                if distributed.rank() == 0:
                    path.replace(aside)
                continue
            if state.get("fingerprint") != self.fingerprint:
                logger.warning(
                    "%s is of another config, data or code and is not used; the run starts from the first step", path
                )
                return None
            return state
        return None

    def due(self) -> bool:
        """Return whether the time between two checkpoints has passed."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def write(self, state: dict[str, Any]) -> None:
        """Write a state and flush it to disk; the checkpoint before it is kept."""
        buffer = io.BytesIO()
        torch.save(state | {"fingerprint": self.fingerprint}, buffer)
        content = buffer.getbuffer()
        lease.demand_all()
        with atomic(self.path) as temporary:
            with temporary.open("wb") as file:
                file.write(HEADER + hashlib.sha256(content).digest())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            if self.path.exists():
                self.path.replace(self.previous)
        _flush_folder(self.path.parent)
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove both checkpoints of a finished run, and the damaged ones that were renamed."""
        lease.demand_all()
        for path in (self.path, self.previous):
            path.unlink(missing_ok=True)
            _aside(path).unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    """Return the name that a damaged checkpoint gets."""
    return path.with_name(f"{path.name}.damaged")


def _load(path: Path) -> dict[str, Any]:
    """Read a checkpoint; `Damaged` if its content does not match its digest."""
    content = path.read_bytes()
    start = len(HEADER) + hashlib.sha256().digest_size
    if content[: len(HEADER)] != HEADER or hashlib.sha256(content[start:]).digest() != content[len(HEADER) : start]:
        raise Damaged(f"{path}: checkpoint is damaged ({len(content)} bytes do not match their SHA-256)")
    state: dict[str, Any] = torch.load(io.BytesIO(content[start:]), map_location="cpu", weights_only=True)
    return state


def _flush_folder(folder: Path) -> None:
    """Flush a folder's entries, so that a rename outlives a power failure."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """Yield an event that is set when the process is asked to stop; the previous handlers are restored afterwards."""
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
