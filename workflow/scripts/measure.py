"""Bind rule measure to wellspring.measure: hand-made features of a plate's cells."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring import provenance, store, tables, vectors
from wellspring.log import log_to
from wellspring.measure import run

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    setting = run.settle(
        store.open_plate(Path(snakemake.input.images).parent),
        store.open_labels(Path(snakemake.input.labels).parent),
        tables.read(snakemake.input.intensity),
        options=snakemake.params.options,
    )
    parts = run.measure(
        setting,
        tables.read(snakemake.input.cells),
        leave_out=snakemake.params.leave_out,
        workers=snakemake.threads,
    )
    verdict = tables.verdict(snakemake.input.cells)
    of = provenance.of(snakemake)
    vectors.write_parts(parts, snakemake.output[0], names=setting.names, table="embed", provenance=of, verdict=verdict)
