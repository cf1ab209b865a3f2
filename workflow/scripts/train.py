"""Rule train: train an encoder in one or more processes."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.io import provenance, zipped
from wellspring.io.made import claim
from wellspring.screen.sections import Encoder, Train, read
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    from wellspring.train.job import Job
    from wellspring.train.launch import launch

    launch(
        Job(
            name=snakemake.params.name,
            encoder=read(Encoder, snakemake.params.encoder),
            channels=tuple(snakemake.params.channels),
            seed=snakemake.params.seed,
            options=read(Train, snakemake.params.options),
            code=snakemake.params.get("code", ""),
            images=tuple(str(zipped.opened(path)) for path in snakemake.input.get("images", [])),
            intensity=tuple(snakemake.input.intensity),
            crops=tuple(snakemake.input.get("crops", [])),
            crop_tables=tuple(snakemake.input.get("crop_tables", [])),
            wells=tuple(snakemake.input.get("wells", [])),
            weights=snakemake.output.weights,
            card=snakemake.output.card,
            history=snakemake.output.history,
            checkpoint=str(Path(snakemake.output.weights).with_name("checkpoint.pt")),
            provenance=provenance.of(snakemake),
            threads=snakemake.threads,
        ),
        threads=snakemake.threads,
    )
