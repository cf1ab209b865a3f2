"""Rule pack: pack the ready-made crops of a plate."""

from typing import TYPE_CHECKING

from wellspring.cells.ready import pack
from wellspring.cells.ready.settings import Settings
from wellspring.io import provenance, tables
from wellspring.io.made import claim
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    params = snakemake.params
    found = pack.pack(
        snakemake.output.array,
        folder=params.root,
        plate=snakemake.wildcards.plate,
        wells=tables.read(snakemake.input.index, ["Metadata_Well"])["Metadata_Well"].unique().tolist(),
        settings=Settings.of(params.options),
        batch=params.batch,
        verdict=tables.verdict(snakemake.input.index),
        threads=snakemake.threads,
    )
    of = provenance.of(snakemake) | {"lost": found.lost, "channels": params.options["channels"]}
    tables.write(found.intensity, snakemake.output.intensity, table="intensity", provenance=of, verdict=found.verdict)
    tables.write(found.table, snakemake.output.table, table="crops", provenance=of, verdict=found.verdict)
