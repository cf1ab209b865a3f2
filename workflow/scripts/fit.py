"""Rule fit: fit the alignment steps on the normalised profiles of the plates of role `fit`."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.align.alignment import fit_alignment
from wellspring.io import provenance, tables
from wellspring.io.made import claim
from wellspring.profile.consensus import join_plates
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    paths = list(snakemake.input.profiles)
    plates = [tables.read(path) for path in paths]
    names = [Path(path).name.removesuffix(".normalised.parquet") for path in paths]
    verdicts = [tables.verdict(path) for path in paths]
    frame, verdict = join_plates(plates, names=names, verdicts=verdicts, features=snakemake.params.features)
    del plates  # of a large screen half a gigabyte
    alignment = fit_alignment(frame, options=sections.read(sections.Fit, snakemake.params.options))
    alignment.save(snakemake.output.state)
    verdict = tables.Verdict(verdict.keep, (*verdict.reasons, *map(str, alignment.notes)))
    of = provenance.of(snakemake)
    tables.write(alignment.selection, snakemake.output.features, table="features", provenance=of, verdict=verdict)
