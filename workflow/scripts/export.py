"""Rule export: write AnnData files and the folders of the Cell Painting Gallery."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.export import run
from wellspring.io import provenance
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    params, inputs = snakemake.params, {name: snakemake.input.get(name) for name in snakemake.input.keys()}  # noqa: SIM118
    for path in snakemake.output.get("anndata", []):
        run.anndata(inputs, Path(path), encoder=Path(path).stem, provenance=provenance.of(snakemake))
    if snakemake.output.get("gallery"):
        names = {
            "sheet": params.sheet,
            "encoders": params.encoders,
            "options": sections.read(sections.Export, params.options),
        }
        run.gallery_of(inputs, Path(snakemake.output.gallery), **names)
