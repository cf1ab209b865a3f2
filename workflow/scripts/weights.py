"""Rule weights: download Cellpose's weights, and print the config lines that name them."""

import sys
from typing import TYPE_CHECKING

from wellspring.cells import model_files
from wellspring.io.made import claim
from wellspring.io.tables import atomic
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    terminal = sys.stdout
    log_to(snakemake.log[0])
    claim(snakemake)
    digest = model_files.fetch(snakemake.params.source, snakemake.output.file)
    lines = model_files.lines(snakemake.output.file, digest)
    with atomic(snakemake.output.lines) as path:
        path.write_text(lines)
    print(lines, file=terminal, flush=True)
