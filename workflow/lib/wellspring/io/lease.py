"""Who writes a file or folder: the job that began last. A job that was overtaken stops and leaves what it finds.

Two jobs can write the same output: the process that started them was killed, its job went on, and a second run started
the job again; or a suspended job resumed after another had finished its work. Each job writes under a name of its own,
and gives the result its final name only while it holds the lease. A job claims all of its outputs when it starts, so
that the order of claims is the order of jobs.
"""

import atexit
import fcntl
import json
import os
import shutil
import socket
import sys
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Self

from wellspring.io.disk import filling

PLATE_ROOT = "zarr.json"  # the declared output of a plate, which is written as a whole folder
TOKEN = "WELLSPRING_JOB_TOKEN"  # processes that a job starts hold the leases of the job
_claimed: dict[Path, "Lease"] = {}


class Superseded(RuntimeError):
    """Another job began to write the same output after this one, or has finished it since."""


class Lease:
    """The right to write `path`, held by the job that took it last.

    A context manager takes the lease and removes it when the job ends, unless another job has taken it since.

    Parameters
    ----------
    path
        The output. The lease is the hidden file `.<name>.owner` beside it.
    token
        What identifies the job; None: a new one.
    started
        When the job began, ns of the file system's clock; None: when it takes the lease.

    Examples
    --------
    >>> import tempfile
    >>> output = Path(tempfile.mkdtemp()) / "P1.zarr"
    >>> first, second = Lease(output), Lease(output)
    >>> first.take(), second.take()
    (None, None)
    >>> first.held, second.held
    (False, True)
    """

    def __init__(self, path: Path | str, token: str | None = None, started: int | None = None) -> None:
        self.path, self.started = Path(path), started
        self.token = token or uuid.uuid4().hex
        self._file = self.path.with_name(f".{self.path.name}.owner")

    def __enter__(self) -> Self:
        """Take the lease."""
        self.take()
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the lease, if this job still holds it."""
        if self.held:
            self._file.unlink(missing_ok=True)

    @property
    def held(self) -> bool:
        """Whether this job is the last that took the lease."""
        return self._owner().get("token") == self.token

    def take(self) -> None:
        """Take the lease, also from a job that holds it; `Superseded` where that job began after this one.

        An owner that began in the future is a wrong clock, and does not count.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._file.with_name(f"{self._file.name}.{self.token}")
        with filling(self._file):
            try:
                temporary.touch()
                now = temporary.stat().st_mtime_ns
                self.started = self.started or now
                owner = self._owner()
                if owner.get("token") != self.token and self.started < _began(owner) <= now:
                    self.demand()
                job = os.environ.get("SLURM_JOB_ID", "")
                mine = {"token": self.token, "host": socket.gethostname(), "process": os.getpid(), "slurm_job": job}
                temporary.write_bytes(json.dumps(mine | {"started": self.started}).encode())
                temporary.replace(self._file)
            finally:
                temporary.unlink(missing_ok=True)

    def demand(self) -> None:
        """Raise `Superseded` when another job has taken the lease; the message names that job."""
        owner = self._owner()
        if owner.get("token") != self.token:
            slurm = f", SLURM job {owner['slurm_job']}" if owner.get("slurm_job") else ""
            other = f"process {owner.get('process')} on {owner.get('host')}{slurm}" if owner else "a job that has ended"
            raise Superseded(
                f"{self.path}: {other} began to write this output after this job; this job stops and leaves that output"
            )

    @contextmanager
    def publishing(self) -> Iterator[None]:
        """Hold other publishers off while the output gets its final name; `Superseded` where the lease is lost."""
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            with suppress(OSError):  # a file system without locks: what is left unguarded is the time of one rename
                fcntl.flock(folder, fcntl.LOCK_EX)
            self.demand()
            yield
        finally:
            os.close(folder)

    def _owner(self) -> dict[str, Any]:
        try:
            owner = json.loads(self._file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return owner if isinstance(owner, dict) else {}


def claim(outputs: Iterable[Path | str]) -> None:
    """Take the leases of all outputs of this job, as its first act; they are removed when the process ends.

    From then on `tables.atomic`, `ngff.PlateWriter` and `whole_folder` give an output its final name only while this
    job holds its lease. Of a plate, `outputs` has the `zarr.json` of its root; the lease is that of its folder.

    Raises
    ------
    Superseded
        Another job began later, or has finished an output since this job began. Snakemake removes the outputs of a job
        before it writes the job's script, so that an output newer than the script is another job's.
    """
    paths = [Path(output) for output in outputs]
    started = Path(sys.argv[0]).stat().st_mtime_ns
    for output in paths:
        if output.exists() and output.stat().st_mtime_ns > started:
            raise Superseded(f"{output}: another job has finished this output since this job began; this job stops")
    token = os.environ[TOKEN] = uuid.uuid4().hex
    atexit.register(release)
    for lease in _leases(paths, token, started):
        lease.take()


def inherit(outputs: Iterable[Path | str]) -> None:
    """Hold in this process the leases that the job which started it has claimed; nothing without such a job."""
    token = os.environ.get(TOKEN)
    if token is not None:
        _leases(outputs, token, None)


def release() -> None:
    """Remove the leases of this job that no other job has taken since."""
    while _claimed:
        _claimed.popitem()[1].__exit__()


def of(path: Path | str) -> Lease | None:
    """Return the lease of an output that this job has claimed; None for any other path."""
    return _claimed.get(Path(path).absolute())


def demand_all() -> None:
    """Raise `Superseded` when another job has taken one of the outputs that this job has claimed."""
    for lease in _claimed.values():
        lease.demand()


def publishing(path: Path | str) -> AbstractContextManager[None]:
    """Return the context in which `path` gets its final name: that of its lease, if this job has claimed it."""
    lease = of(path)
    return nullcontext() if lease is None else lease.publishing()


@contextmanager
def whole_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place if the block raises nothing."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    partial.mkdir(parents=True)
    try:
        with filling(path):
            yield partial
        with publishing(path):
            if path.exists():
                shutil.rmtree(path)
            partial.replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _leases(outputs: Iterable[Path | str], token: str, started: int | None) -> list[Lease]:
    paths = [Path(output).absolute() for output in outputs]
    for path in [each.parent if each.name == PLATE_ROOT else each for each in paths]:
        _claimed[path] = Lease(path, token, started)
    return list(_claimed.values())


def _began(owner: Mapping[str, Any]) -> int:
    """Return when the job of a lease began; 0 where its file does not have it."""
    began = owner.get("started")
    return began if isinstance(began, int) else 0
