"""Rule verdict: fail if a plate was left out, and name it."""

from typing import TYPE_CHECKING

from wellspring.io import spreadsheet
from wellspring.io.made import claim
from wellspring.io.tables import atomic
from wellspring.report import plate_verdicts
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    verdicts = plate_verdicts.collect(snakemake.input.tables, plates=snakemake.params.plates)
    plate_verdicts.require_keep(verdicts)
    with atomic(snakemake.output[0]) as path:
        spreadsheet.as_text(plate_verdicts.as_frame(verdicts)).to_csv(path, sep="\t", index=False)
