"""Rule crops: pack a seeded sample of a plate's cells for training."""

from typing import TYPE_CHECKING

from wellspring.io import ngff, provenance, tables, zipped
from wellspring.io.made import claim
from wellspring.views import crops, cutting
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    options = snakemake.params.options
    images = ngff.open_plate(zipped.opened(snakemake.input.zarr))
    size = round(
        cutting.length_in_pixels(options["size"], unit=options["unit"], pixel_size=images.pixel_size, key="crops.size")
    )
    rows = crops.sample(
        tables.read(snakemake.input.cells),
        seed=snakemake.params.seed,
        cells_per_well=options["cells_per_well"],
        border_cells=options["border_cells"],
        batch=snakemake.params.batch,
    )
    masked = {}
    if snakemake.input.get("labels", None):
        low = tables.read(snakemake.input.intensity).set_index("Metadata_Channel").loc[images.channels, "low"]
        labels = ngff.open_plate(zipped.opened(str(snakemake.input.labels)))
        masked = {"labels": labels, "background": low.round().to_numpy()}
    crops.pack(images, rows, snakemake.output.array, size=size, threads=snakemake.threads, **masked)
    verdict = tables.verdict(snakemake.input.cells)
    of = provenance.of(snakemake) | {"channels": images.channels}
    tables.write(rows, snakemake.output.table, table="crops", provenance=of, verdict=verdict)
