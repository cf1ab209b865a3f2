"""One process of a training: it opens the training set, trains, and writes the files of the encoder.

The same function `work` runs in the only process, or in each of several processes, which torchrun starts as
`python -m wellspring.train.worker JOB.json`.
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from wellspring.encoders import encoder
from wellspring.io import lease, progress, tables
from wellspring.screen.encoder_kinds import trains
from wellspring.train import data, distributed, run
from wellspring.train.checkpoint import Interrupted
from wellspring.train.job import Job
from wellspring.train.labels import COLUMNS

INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: not done, try again


def work(job: Job, *, hook: Callable[[int], None] | None = None) -> None:
    """Train an encoder; the process of rank 0 writes its weights, card and history.

    Parameters
    ----------
    job
        The training.
    hook
        Called with each step after it is done.
    """

    def write(network: nn.Module, card: run.Card, history: pd.DataFrame) -> None:
        encoder.save(network, card, job.weights, job.card)
        tables.write(history, job.history, table="history", provenance=job.provenance)

    torch.set_num_threads(job.threads)
    options = replace(job.options, cache_mb=job.options.cache_mb / job.options.gpus)
    source = None
    if trains(job.encoder):
        source = data.open_source(
            job.encoder.view,
            options,
            channels=job.channels,
            images=job.images,
            intensity=job.intensity,
            crops=job.crops,
            crop_tables=job.crop_tables,
            lacking=job.encoder.stem == "adaptive",
        )
    run.run(
        job.encoder,
        source,
        name=job.name,
        channels=job.channels,
        seed=job.seed,
        options=options,
        checkpoint=Path(job.checkpoint),
        code=job.code,
        wells=pd.concat([tables.read(path)[list(COLUMNS)] for path in job.wells]) if job.wells else None,
        write=write,
        hook=hook,
    )


def main(path: str) -> int:
    """Do a job as one of several processes; return the exit status.

    The first process that fails leaves its error in a file beside the job's file, for `launch.launch`.
    """
    job = Job.read(path)
    lease.inherit([job.weights, job.card, job.history])
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    logging.captureWarnings(True)
    try:
        with distributed.group(local=job.options.gpus):
            if distributed.rank():
                logging.getLogger().setLevel(logging.WARNING)  # all processes do the same; one of them logs it
            else:
                progress.follow()
            work(job)
    except Interrupted as stop:
        _leave(path, stop)
        return INTERRUPTED
    except Exception as error:
        _leave(path, error)
        raise
    return 0


def _leave(path: str, error: Exception) -> None:
    """Write an error to a file, unless another process has written one."""
    try:
        with Path(path).with_suffix(".failed").open("x") as file:
            json.dump({"kind": type(error).__name__, "message": str(error)}, file)
    except FileExistsError:
        return


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
