"""Who writes a file or folder: the job that began last. A job that was overtaken stops and leaves what it finds.

Two jobs can write the same output: the process that started them was killed, its job went on, and a second run started
the job again; or a suspended job resumed after another had finished its work. Each job writes under a name of its own,
and gives the result its final name only while it holds the lease.
"""

import fcntl
import json
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from wellspring.io.tables import atomic


class Superseded(RuntimeError):
    """Another job began to write the same output after this one."""


class Lease:
    """The right to write `path`, held by the job that took it last.

    A context manager takes the lease and removes it when the job ends, unless another job has taken it since.

    Parameters
    ----------
    path
        The output. The lease is the hidden file `.<name>.owner` beside it.

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

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.token = uuid.uuid4().hex
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
        """Take the lease, also from a job that holds it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        job = os.environ.get("SLURM_JOB_ID", "")
        owner = {"token": self.token, "host": socket.gethostname(), "process": os.getpid(), "slurm_job": job}
        with atomic(self._file) as temporary:
            temporary.write_bytes(json.dumps(owner).encode())

    def demand(self) -> None:
        """Raise `Superseded` when another job has taken the lease; the message names that job."""
        owner = self._owner()
        if owner.get("token") != self.token:
            slurm = f", SLURM job {owner['slurm_job']}" if owner.get("slurm_job") else ""
            other = f"process {owner['process']} on {owner['host']}{slurm}" if owner else "a job that has ended"
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

    def _owner(self) -> dict[str, str]:
        try:
            owner = json.loads(self._file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return owner if isinstance(owner, dict) else {}
