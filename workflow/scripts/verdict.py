"""Bind rule verdict to wellspring.report.verdict: pass when every plate joined the results, else name the others."""

from typing import TYPE_CHECKING

from wellspring.io.tables import atomic
from wellspring.report import verdict
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    verdicts = verdict.collect(snakemake.input.tables, plates=snakemake.params.plates)
    verdict.require_keep(verdicts)
    with atomic(snakemake.output[0]) as path:
        verdict.as_frame(verdicts).to_csv(path, sep="\t", index=False)
