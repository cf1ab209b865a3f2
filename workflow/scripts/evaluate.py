"""Rule evaluate: compute the tables `items` and `summary` of an encoder at every level."""

from typing import TYPE_CHECKING

from wellspring.evaluate.run import evaluate
from wellspring.io import provenance, tables
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    pairs = zip(snakemake.input.aggregated, snakemake.input.normalised, strict=True)
    kept = [pair for pair in pairs if tables.verdict(pair[1]).keep]
    items, summary = evaluate(
        [tables.read(first) for first, _ in kept],
        [tables.read(second) for _, second in kept],
        tables.read(snakemake.input.aligned),
        options=sections.read(sections.Evaluate, snakemake.params.options),
        fit=sections.read(sections.Fit, snakemake.params.fit),
        seed=snakemake.params.seed,
        heldout=snakemake.params.get("heldout"),
    )
    of = provenance.of(snakemake)
    tables.write(items, snakemake.output.per_item, table="items", provenance=of)
    tables.write(summary, snakemake.output.summary, table="summary", provenance=of)
