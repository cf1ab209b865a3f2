"""Bind rule train to wellspring.train."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring import encoder, provenance, tables
from wellspring.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    import torch

    from wellspring.train import data, run

    torch.set_num_threads(snakemake.threads)
    entry, channels = snakemake.params.encoder, list(snakemake.params.channels)
    stores = [Path(path).parent for path in snakemake.input.get("images", [])]
    source = data.open_source(
        entry,
        channels=channels,
        options=snakemake.params.options,
        images=stores,
        intensity=list(snakemake.input.intensity),
        crops=list(snakemake.input.get("crops", [])),
        crop_tables=list(snakemake.input.get("crop_tables", [])),
    )
    network, card, history = run.run(
        entry,
        source,
        name=snakemake.params.name,
        channels=channels,
        seed=snakemake.params.seed,
        options=snakemake.params.options,
        checkpoint=Path(snakemake.output.weights).with_name("checkpoint.pt"),
        code=snakemake.params.get("code", ""),
    )
    encoder.save(network, card, snakemake.output.weights, snakemake.output.card)
    tables.write(history, snakemake.output.history, table="history", provenance=provenance.of(snakemake))
