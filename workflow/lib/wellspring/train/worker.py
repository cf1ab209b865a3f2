"""One process of a training: a job's description flows in, the files of an encoder flow out.

The same function does the work whether it is called in the only process or in each of several, which torchrun starts as
`python -m wellspring.train.worker JOB.json`. What a job holds is in `launch.launch`.
"""

import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from wellspring.encoders import encoder
from wellspring.io import tables
from wellspring.screen.encoder_kinds import trains
from wellspring.screen.sections import Encoder, read
from wellspring.train import data, distributed, run
from wellspring.train.checkpoint import Interrupted

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, try again


def work(job: Mapping[str, object], *, hook: Callable[[int], None] | None = None) -> None:
    """Train an encoder and write its weights, card and history, in the process of rank 0.

    Parameters
    ----------
    job
        As in `launch.launch`.
    hook
        Called with each step when it is done.
    """

    def write(network: nn.Module, card: dict, history: pd.DataFrame) -> None:
        encoder.save(network, card, job["weights"], job["card"])
        tables.write(history, job["history"], table="history", provenance=job["provenance"])

    torch.set_num_threads(job["threads"])
    options = job["options"] | {"cache_mb": job["options"]["cache_mb"] / job["options"]["gpus"]}
    files = {kind: job[kind] for kind in ("images", "intensity", "crops", "crop_tables")}
    source = None
    if trains(read(Encoder, job["encoder"])):
        source = data.open_source(job["encoder"], channels=job["channels"], options=options, **files)
    run.run(
        job["encoder"],
        source,
        name=job["name"],
        channels=job["channels"],
        seed=job["seed"],
        options=options,
        checkpoint=Path(job["checkpoint"]),
        code=job["code"],
        write=write,
        hook=hook,
    )


def main(path: str) -> int:
    """Do the work of a job's file as one of several processes; return the exit status.

    What went wrong is left in a file beside it, in words; the first process that fails has the say.
    """
    job = json.loads(Path(path).read_text())
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    try:
        with distributed.group(local=job["options"]["gpus"]):
            if distributed.rank():
                logging.getLogger().setLevel(logging.WARNING)  # all do the same; one tells of it
            work(job)
    except Interrupted as stop:
        _leave(path, stop)
        return INTERRUPTED
    except Exception as error:
        _leave(path, error)
        raise
    return 0


def _leave(path: str, error: Exception) -> None:
    try:
        with Path(path).with_suffix(".failed").open("x") as file:
            json.dump({"kind": type(error).__name__, "message": str(error)}, file)
    except FileExistsError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
