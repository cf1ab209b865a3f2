"""Bind rule weights to wellspring.cells.weights: fetch Cellpose's, and print the lines of the config that name them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.cells import weights
from wellspring.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    terminal = sys.stdout
    log_to(snakemake.log[0])
    digest = weights.fetch(snakemake.params.source, snakemake.output.file)
    lines = weights.lines(snakemake.output.file, digest)
    Path(snakemake.output.lines).write_text(lines)
    print(lines, file=terminal, flush=True)
