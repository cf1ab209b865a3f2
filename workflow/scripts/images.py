"""Rule images: store the corrected pixels of a plate."""

from typing import TYPE_CHECKING

from wellspring.illumination import lightpath
from wellspring.images import run as images
from wellspring.io import provenance, raw_image, tables, zipped
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    light = lightpath.load(snakemake.input.illumination)
    with zipped.written(snakemake.output.zarr) as folder:
        scale = images.write(
            folder,
            index=tables.read(snakemake.input.index),
            surveyed=tables.read(snakemake.input.survey),
            light=light,
            folder=zipped.raw(snakemake.input.get("raw")) or snakemake.params.root,
            plate=snakemake.wildcards.plate,
            channels=snakemake.params.channels,
            options=sections.read(sections.Images, snakemake.params.options),
            rules=raw_image.Rules.of(snakemake.params.pixels),
            threads=snakemake.threads,
        )
    tables.write(
        scale,
        snakemake.output.intensity,
        table="intensity",
        provenance=provenance.of(snakemake) | {"illumination": light.records()},
        verdict=tables.verdict(snakemake.input.survey),
    )
