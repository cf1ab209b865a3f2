"""Rule cells: segment a plate into label images and a table of cells."""

from typing import TYPE_CHECKING

from wellspring.cells import plausible, run
from wellspring.io import ngff, provenance, tables, zipped
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    with zipped.written(snakemake.output.zarr) as folder:
        frame = run.segment_plate(
            ngff.open_plate(zipped.opened(snakemake.input.zarr)),
            tables.read(snakemake.input.intensity),
            folder,
            options=sections.read(sections.Cells, snakemake.params.options),
            threads=snakemake.threads,
        )
    verdict = plausible.verdict(frame, tables.verdict(snakemake.input.intensity))
    tables.write(frame, snakemake.output.table, table="cells", provenance=provenance.of(snakemake), verdict=verdict)
