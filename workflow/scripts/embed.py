"""Rule embed: embed the views of a plate with a network."""

from typing import TYPE_CHECKING

from wellspring.encoders import encoder
from wellspring.io import embeddings, ngff, provenance, tables, zipped
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    import torch

    from wellspring.embed import run as embed
    from wellspring.io.packed import Packed
    from wellspring.views import fields, scaling
    from wellspring.views.packed_cells import PackedCells

    torch.set_num_threads(snakemake.threads)
    cells, labels, crops = (snakemake.input.get(name, None) for name in ("cells", "labels", "crops"))
    if crops:
        table = snakemake.input.crop_table
        channels = tables.provenance(table)["channels"]
        images = PackedCells(snakemake.wildcards.plate, Packed(str(crops)), tables.read(table), channels)
    else:
        images = ngff.open_plate(zipped.opened(str(snakemake.input.images)))
    known = encoder.load(snakemake.input.weights, snakemake.input.card).on(images.channels)
    plate = embed.PlateInputs(
        images,
        scaling.intensity_scale(tables.read(snakemake.input.intensity), known.channels),
        cells=tables.read(cells, fields.CELLS) if cells else None,
        labels=ngff.open_plate(zipped.opened(str(labels))) if labels else None,
    )
    options = sections.read(sections.Embed, snakemake.params.options)
    parts = embed.stream(known, plate, options, device=encoder.device())
    origin = provenance.of(snakemake)
    verdict = tables.verdict(snakemake.input.intensity)
    embeddings.write_parts(parts, snakemake.output[0], table="embed", provenance=origin, verdict=verdict)
