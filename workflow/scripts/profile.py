"""Rule profile: aggregate the views of a plate to wells, and normalise the wells."""

from typing import TYPE_CHECKING

from wellspring.io import embeddings, provenance, tables
from wellspring.io.made import claim
from wellspring.io.notes import dumps
from wellspring.profile.aggregate import aggregate, operation_for, wells_of
from wellspring.profile.decisions import decisions
from wellspring.profile.normalise import normalise
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    options = sections.read(sections.Profile, snakemake.params.options)
    survey, cells = (snakemake.input.get(name) for name in ("survey", "cells"))
    views, matrix = embeddings.open_embedding(snakemake.input.embed)
    aggregated = aggregate(
        views,
        matrix,
        wells_of(tables.read(snakemake.input.index), by_time=snakemake.params.by_time),
        prefix=snakemake.params.encoder,
        names=embeddings.names_of(snakemake.input.embed),
        kind=snakemake.params.views,
        operation=options.operation,
        survey=tables.read(survey) if survey else None,
        cells=tables.read(cells) if cells else None,
    )
    verdict = tables.verdict(snakemake.input.embed)
    of = provenance.of(snakemake)
    tables.write(aggregated, snakemake.output.aggregated, table="profile", provenance=of, verdict=verdict)
    normalised, normaliser, verdict = normalise(aggregated, options=options, verdict=verdict)
    decided = decisions(
        aggregated,
        options=options,
        method=normaliser.method,
        operation=operation_for(options.operation, tables.features(aggregated)),
        foreign=tables.provenance(snakemake.input.embed).get("foreign"),
    )
    of = of | {"decided": dumps(decided)}
    tables.write(normalised, snakemake.output.normalised, table="profile", provenance=of, verdict=verdict)
    normaliser.save(snakemake.output.normaliser)
