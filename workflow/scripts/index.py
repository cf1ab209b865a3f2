"""Rule index: list the planes of a plate and join them with its platemap."""

from typing import TYPE_CHECKING

from wellspring.index import run as index
from wellspring.io import provenance, tables, zipped
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    found = index.build(
        index.here(snakemake.params.sheet, zipped.raw(snakemake.input.get("images"))),
        snakemake.params.channels,
        sections.read(sections.Index, snakemake.params.options),
        controls=snakemake.params.normalised_on == "negcon",
    )
    origin = provenance.of(snakemake) | {"listing": found.listing}
    tables.write(found.table, snakemake.output.table, table="index", provenance=origin, verdict=found.verdict)
    tables.write(found.audit, snakemake.output.audit, table="audit", provenance=origin, verdict=found.verdict)
