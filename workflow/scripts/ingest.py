"""Rule ingest: read a plate's rows of a table of another tool."""

from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.encoders import profile_table
from wellspring.io import embeddings, provenance, tables
from wellspring.io.made import claim
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    entry = snakemake.params.encoder
    table = profile_table.open_table(
        snakemake.input.table,
        plate=snakemake.params.plate,
        wells_of_plate=tables.read(snakemake.input.index, ["Metadata_Well"])["Metadata_Well"].unique().tolist(),
        kind=entry["view"]["kind"],
        columns=entry["columns"],
        features=entry["features"],
        one_plate="{plate}" in entry["files"],
        lost_wells=snakemake.params.lost_wells,
    )
    verdict = tables.verdict(snakemake.input.index)
    for reason in table.verdict.reasons:
        verdict = verdict.because(reason)
    parts = table.parts(Path(snakemake.output[0]).parent)
    of = provenance.of(snakemake) | {"foreign": table.origin}
    embeddings.write_parts(
        parts, snakemake.output[0], names=table.features, table="embed", provenance=of, verdict=verdict
    )
