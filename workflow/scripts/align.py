"""Rule align: apply a fitted alignment to the normalised profiles of a plate."""

from typing import TYPE_CHECKING

from wellspring.align.alignment import Alignment, apply_alignment
from wellspring.io import provenance, tables
from wellspring.io.made import claim
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    aligned = apply_alignment(tables.read(snakemake.input.profile), Alignment.load(snakemake.input.state))
    of = provenance.of(snakemake)
    verdict = tables.verdict(snakemake.input.profile)
    tables.write(aligned, snakemake.output[0], table="profile", provenance=of, verdict=verdict)
