"""Rule cell_tests: compare the cells of each treatment with the control cells of its plates."""

from typing import TYPE_CHECKING

from wellspring.evaluate.cell_tests import PlateCells, cell_tests, chosen_cells
from wellspring.io import embeddings, provenance, tables
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    files = zip(snakemake.input.distributions, snakemake.input.normalised, strict=True)
    plates = [
        PlateCells(*tables.read_embedding(first), embeddings.names_of(first) or [], tables.read(second))
        for first, second in files
        if tables.verdict(first).keep
    ]
    options = sections.read(sections.Evaluate, snakemake.params.options)
    found = cell_tests(plates, share=options.replicates_share, seed=snakemake.params.seed)
    of = provenance.of(snakemake)
    tables.write(found, snakemake.output.tests, table="cell_tests", provenance=of)
    chosen = chosen_cells([tables.read(path) for path in snakemake.input.cells])
    tables.write(chosen, snakemake.output.chosen, table="chosen_cells", provenance=of)
