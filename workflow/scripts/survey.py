"""Rule survey: measure the quality of a plate's images and decide exclusions."""

from typing import TYPE_CHECKING

import numpy as np

from wellspring.io import packed, provenance, raw_image, tables, zipped
from wellspring.io.made import claim
from wellspring.report import wording
from wellspring.screen import exclusions, sections
from wellspring.survey import run as survey
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    found = survey.run(
        tables.read(snakemake.input.index),
        zipped.raw(snakemake.input.get("raw")) or snakemake.params.root,
        options=sections.read(sections.Survey, snakemake.params.options),
        verdict=tables.verdict(snakemake.input.index),
        listed=exclusions.read(snakemake.input.get("exclusions") or snakemake.params.options["exclusions"]),
        rules=raw_image.Rules.of(snakemake.params.pixels),
        threads=snakemake.threads,
        named=wording.kinds,
    )
    with tables.atomic(snakemake.output.views) as path:
        np.save(path, found.views)
        packed.seal(path)
    with tables.atomic(snakemake.output.excluded) as path:
        exclusions.write(exclusions.excluded(found.table, worded=wording.worded), path)
    tables.write(
        found.table,
        snakemake.output.table,
        table="survey",
        provenance=provenance.of(snakemake),
        verdict=found.verdict,
    )
