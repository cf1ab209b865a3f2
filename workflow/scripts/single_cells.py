"""Rule single_cells: normalise the cells of a plate, and describe the distribution of the cells of each well."""

from typing import TYPE_CHECKING

from wellspring.io import embeddings, provenance, tables
from wellspring.io.made import claim
from wellspring.profile.single_cells import Plate, write
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    views, vectors = embeddings.open_embedding(snakemake.input.embed)
    names = embeddings.names_of(snakemake.input.embed)
    names = names or [f"{snakemake.params.encoder}_{number}" for number in range(vectors.shape[1])]
    wells, options = tables.read(snakemake.input.normalised), sections.read(sections.Profile, snakemake.params.options)
    write(
        Plate(views, vectors, names, wells, options, seed=snakemake.params.seed),
        snakemake.output.cells,
        snakemake.output.distributions,
        provenance=provenance.of(snakemake),
        verdict=tables.verdict(snakemake.input.normalised),
    )
