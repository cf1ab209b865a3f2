"""Rule consensus: join the aligned plates, and combine the replicates of each treatment."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.io import provenance, tables
from wellspring.io.made import claim
from wellspring.profile.consensus import consensus, join_plates
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    paths = list(snakemake.input.profiles)
    plates = [tables.read(path) for path in paths]
    names = [Path(path).stem for path in paths]
    joined, verdict = join_plates(plates, names=names, verdicts=[tables.verdict(path) for path in paths])
    of = provenance.of(snakemake)
    tables.write(joined, snakemake.output.joined, table="profile", provenance=of, verdict=verdict)
    options = sections.read(sections.Profile, snakemake.params.options)
    result = consensus(joined, operation=options.consensus, group_by=options.group_by)
    tables.write(result, snakemake.output.consensus, table="consensus", provenance=of, verdict=verdict)
