"""Rule single_cells: normalise the cells of a plate, and describe the distribution of the cells of each well."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.io import embeddings, provenance, tables
from wellspring.io.made import claim
from wellspring.profile.single_cells import Plate
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    views, matrix = embeddings.open_embedding(snakemake.input.embed)
    names = embeddings.names_of(snakemake.input.embed)
    names = names or [f"{snakemake.params.encoder}_{number}" for number in range(matrix.shape[1])]
    wells, verdict = tables.read(snakemake.input.normalised), tables.verdict(snakemake.input.normalised)
    options = sections.read(sections.Profile, snakemake.params.options)
    plate = Plate(views, matrix, names, wells, options, seed=snakemake.params.seed)
    basis = plate.basis() if verdict.keep else None
    if basis is not None and basis.normaliser.reason:
        verdict, basis = verdict.because(basis.normaliser.reason), None
    of = provenance.of(snakemake)
    parts = plate.cells(basis) if basis is not None else ()
    written = {"table": "single_cells", "provenance": of, "verdict": verdict}
    count = embeddings.write_parts(parts, snakemake.output.cells, names=names, **written)
    described = [(pd.DataFrame([row]), values[None].astype(np.float32)) for row, values in plate.summaries]
    written["table"] = "distributions"
    named = basis.names() if basis is not None else []
    embeddings.write_parts(described, snakemake.output.distributions, names=named, **written)
    logging.getLogger(__name__).info("%d cells of %d wells", count, len(described))
