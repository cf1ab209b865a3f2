"""Bind rule train to wellspring.train."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.io import provenance
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    from wellspring.train.launch import launch

    launch(
        {
            "name": snakemake.params.name,
            "encoder": snakemake.params.encoder,
            "channels": list(snakemake.params.channels),
            "seed": snakemake.params.seed,
            "options": dict(snakemake.params.options),
            "code": snakemake.params.get("code", ""),
            "images": [str(Path(path).parent) for path in snakemake.input.get("images", [])],
            "intensity": list(snakemake.input.intensity),
            "crops": list(snakemake.input.get("crops", [])),
            "crop_tables": list(snakemake.input.get("crop_tables", [])),
            "weights": snakemake.output.weights,
            "card": snakemake.output.card,
            "history": snakemake.output.history,
            "checkpoint": str(Path(snakemake.output.weights).with_name("checkpoint.pt")),
            "provenance": provenance.of(snakemake),
        },
        threads=snakemake.threads,
    )
