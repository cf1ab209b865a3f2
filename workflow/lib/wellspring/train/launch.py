"""Start a training: a job's description flows in, an encoder's files flow out, of one process or of several.

Several processes are torchrun's: on one node it is started here, on several by `srun` once a node of the allocation
that this process has. They meet at this host.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from wellspring.screen.encoder_kinds import trains
from wellspring.screen.sections import Encoder, read
from wellspring.train.checkpoint import SIGNALS, Interrupted

GRACE = 300  # seconds for the steps and the checkpoint after a signal; schedulers kill before that where they give less
PORTS = range(20000, 30000)  # below those that Linux gives to outgoing connections


def launch(job: Mapping[str, object], *, threads: int) -> None:
    """Train an encoder in as many processes as `job` asks for.

    Parameters
    ----------
    job
        JSON values: `name`, `encoder` (entry), `channels`, `seed`, `options` (section `train`), `code` (digest); the
        files read, `images`, `intensity`, `crops`, `crop_tables` (lists); the files written, `weights`, `card`,
        `history`, and `checkpoint`; and the `provenance` of the history.
    threads
        Of this node, shared by its processes.

    Raises
    ------
    Interrupted
        The processes were asked to stop and have written a checkpoint.
    RuntimeError
        A process failed; in its words.
    """
    gpus, nodes = (job["options"][name] if trains(read(Encoder, job["encoder"])) else 1 for name in ("gpus", "nodes"))
    job = dict(job) | {"threads": max(threads // gpus, 1)}
    if gpus * nodes == 1:
        from wellspring.train.worker import work

        work(job)
        return
    file = Path(job["checkpoint"]).with_name("job.json").absolute()
    failed = file.with_suffix(".failed")
    file.parent.mkdir(parents=True, exist_ok=True)
    failed.unlink(missing_ok=True)
    file.write_text(json.dumps(job))
    try:
        ended = _run(command(file, gpus=gpus, nodes=nodes, threads=threads), threads=job["threads"])
        if failed.exists():
            said = json.loads(failed.read_text())
            kind = Interrupted if said["kind"] == Interrupted.__name__ else RuntimeError
            raise kind(said["message"] if kind is Interrupted else f"{said['kind']}: {said['message']}")
        if ended:
            raise RuntimeError(
                f"training: expected all {gpus * nodes} processes to end well, found exit status {ended}"
            )
    finally:
        file.unlink(missing_ok=True)
        failed.unlink(missing_ok=True)


def command(file: Path, *, gpus: int, nodes: int, threads: int) -> list[str]:
    """Return the call that starts torchrun on each node."""
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
        # This process runs in a step of the allocation itself, hence `--overlap`.
        step = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
        call = [*step, f"--cpus-per-task={threads}", f"--gpus-per-node={gpus}", "--kill-on-bad-exit=1", *call]
    return [*call, "-m", "wellspring.train.worker", str(file)]


def _run(call: list[str], *, threads: int) -> int:
    """Run a call whose output goes where this process's goes, hand on signals, and return its exit status."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    # `srun` takes options from these, which are those of the step that this process is.
    kept = ("SLURM_JOB_ID", "SLURM_JOBID", "SLURM_CLUSTER_NAME", "SLURM_CONF")
    environment = {name: each for name, each in environment.items() if name in kept or not name.startswith("SLURM_")}
    with (
        subprocess.Popen(call, env=environment, stdout=sys.stdout.fileno(), stderr=sys.stderr.fileno()) as process,
        _handed_on(process),
    ):
        return process.wait()


@contextmanager
def _handed_on(process: subprocess.Popen) -> Iterator[None]:
    before = {number: signal.signal(number, lambda got, _: process.send_signal(got)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
