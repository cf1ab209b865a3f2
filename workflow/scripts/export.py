"""Rule export: AnnData files, folders of the Cell Painting Gallery, plates for viewers, an RO-Crate, and models."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.export import crate, linked, run
from wellspring.io import provenance, zipped
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
    run.cells_of(inputs, snakemake.output.get("cells", []), provenance=provenance.of(snakemake))
    options = sections.read(sections.Export, params.options)
    if snakemake.output.get("gallery"):
        names = {"sheet": params.sheet, "encoders": params.encoders, "options": options}
        run.gallery_of(inputs, Path(snakemake.output.gallery), **names)
    if snakemake.output.get("models"):
        run.models(
            inputs,
            Path(snakemake.output.models),
            embed=sections.read(sections.Embed, params.embed),
            options=options,
            title=params.title,
            quantiles=params.quantiles,
            masked=params.masked,
        )
    stored = zip(inputs["images"], inputs["labels"], snakemake.output.get("plates", []), strict=True)
    for images, labels, plate in stored:
        with zipped.written(plate) as folder:
            linked.link_plate(zipped.opened(images), zipped.opened(labels), folder)
    if snakemake.output.get("crate"):
        crate.write_crate(
            crate.Run(
                title=params.title,
                license=options.license,
                config=params.config,
                sheet=params.sheet,
                index={Path(path).stem: Path(path) for path in inputs["index"]},
                results=[Path(path) for name in crate.PARTS for path in inputs[name]],
                base=Path(inputs["index"][0]).parent.parent,
            ),
            Path(snakemake.output.crate),
        )
