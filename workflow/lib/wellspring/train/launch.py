"""Start a training in one process or in several, and raise the error of a process that failed.

Several processes are started by torchrun. On one node, torchrun is started here; on several nodes, `srun` starts it
once per node of the allocation of this process. The processes meet at this host.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from wellspring.io import progress
from wellspring.io.shipped import LIBRARY
from wellspring.screen.encoder_kinds import trains
from wellspring.train.checkpoint import SIGNALS, Interrupted
from wellspring.train.job import Job

GRACE = 300  # seconds for the steps and the checkpoint after a signal; a scheduler may give less and kill before
PORTS = range(20000, 30000)  # below those that Linux gives to outgoing connections


def launch(job: Job, *, threads: int) -> None:
    """Train an encoder in as many processes as `job.options` asks for.

    Parameters
    ----------
    job
        The training; its `threads` are replaced.
    threads
        Threads of this node, shared by its processes.

    Raises
    ------
    Interrupted
        The processes were asked to stop and have written a checkpoint.
    RuntimeError
        A process failed; the message is the message of its error.
    """
    gpus, nodes = (job.options.gpus, job.options.nodes) if trains(job.encoder) else (1, 1)
    job = replace(job, threads=max(threads // gpus, 1))
    if gpus * nodes == 1:
        from wellspring.train.worker import work

        work(job)
        return
    file = Path(job.checkpoint).with_name("job.json").absolute()
    failed = file.with_suffix(".failed")
    file.parent.mkdir(parents=True, exist_ok=True)
    failed.unlink(missing_ok=True)
    job.write(file)
    try:
        ended = _run(command(file, gpus=gpus, nodes=nodes, threads=threads), threads=job.threads)
        if failed.exists():
            error = json.loads(failed.read_text())
            if error["kind"] == Interrupted.__name__:
                raise Interrupted(error["message"])
            raise RuntimeError(f"{error['kind']}: {error['message']}")
        if ended:
            raise RuntimeError(
                f"training: expected exit status 0 of all {gpus * nodes} processes, found {ended}; the reason is in "
                "the log"
            )
    finally:
        file.unlink(missing_ok=True)
        failed.unlink(missing_ok=True)


def command(file: Path, *, gpus: int, nodes: int, threads: int) -> list[str]:
    """Return the command that starts torchrun on each node."""
    call = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={gpus}", f"--shutdown-timeout={GRACE}"]
    call += [f"--signals-to-handle={','.join(each.name for each in (*SIGNALS, signal.SIGINT))}"]
    if nodes == 1:
        call += ["--standalone"]
    else:
        number = os.environ.get("SLURM_JOB_ID")
        if number is None:
            raise ValueError(f"train.nodes: expected 1 outside of a SLURM job, found {nodes}")
        port = PORTS[int(number) % len(PORTS)]
        call += [f"--nnodes={nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={socket.gethostname()}:{port}"]
        call += [f"--rdzv-id={number}"]
        # `--overlap`, because this process itself runs in a step of the allocation.
        step = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
        call = [*step, f"--cpus-per-task={threads}", f"--gpus-per-node={gpus}", "--kill-on-bad-exit=1", *call]
    return [*call, "-m", "wellspring.train.worker", str(file)]


def _run(call: list[str], *, threads: int) -> int:
    """Run a command with this process's standard output and error, forward signals to it, return its exit status."""
    # `srun` takes options from SLURM's variables, which are those of this process's step: only these are kept.
    kept = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF")
    environment = {name: each for name, each in os.environ.items() if name in kept or not name.startswith("SLURM_")}
    path = [str(LIBRARY), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment |= progress.handed_on() | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(path)}
    with (
        subprocess.Popen(call, env=environment, stdout=sys.stdout.fileno(), stderr=sys.stderr.fileno()) as process,
        _forwarded(process),
    ):
        return process.wait()


@contextmanager
def _forwarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    before = {number: signal.signal(number, lambda got, _: process.send_signal(got)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
