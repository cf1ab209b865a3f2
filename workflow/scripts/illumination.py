"""Rule illumination: estimate or read the flat and dark field of a light path."""

from typing import TYPE_CHECKING

from wellspring.illumination import estimate, lightpath
from wellspring.io import packed, tables
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    light = estimate.light_path(
        [tables.read(path) for path in snakemake.input.surveys],
        [packed.mapped(path) for path in snakemake.input.views],
        channels=snakemake.params.channels,
        options=sections.read(sections.Illumination, snakemake.params.options),
        optics=snakemake.wildcards.optics,
        aliases=snakemake.params.aliases,
    )
    with tables.atomic(snakemake.output[0]) as path:
        lightpath.save(path, light)
