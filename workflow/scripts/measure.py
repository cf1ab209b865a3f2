"""Rule measure: compute classical features of a plate's cells."""

from typing import TYPE_CHECKING

from wellspring.io import embeddings, ngff, provenance, tables, zipped
from wellspring.io.made import claim
from wellspring.measure import run
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    setting = run.settle(
        ngff.open_plate(zipped.opened(snakemake.input.images)),
        ngff.open_labels(zipped.opened(snakemake.input.labels)),
        tables.read(snakemake.input.intensity),
        options=sections.read(sections.Measure, snakemake.params.options),
    )
    parts = run.measure(
        setting,
        tables.read(snakemake.input.cells),
        leave_out=snakemake.params.leave_out,
        workers=snakemake.threads,
    )
    verdict = tables.verdict(snakemake.input.cells)
    of = provenance.of(snakemake)
    embeddings.write_parts(
        parts, snakemake.output[0], names=setting.names, table="embed", provenance=of, verdict=verdict
    )
