"""Rule cells: segment a plate into label images and a table of cells."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.cells import plausible, run
from wellspring.io import ngff, provenance, tables
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    frame = run.segment_plate(
        ngff.open_plate(Path(snakemake.input.zarr).parent),
        tables.read(snakemake.input.intensity),
        Path(snakemake.output.zarr).parent,
        options=sections.read(sections.Cells, snakemake.params.options),
        threads=snakemake.threads,
    )
    verdict = plausible.verdict(frame, tables.verdict(snakemake.input.intensity))
    tables.write(frame, snakemake.output.table, table="cells", provenance=provenance.of(snakemake), verdict=verdict)
