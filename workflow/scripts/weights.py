"""Bind rule weights to wellspring.cells.model_files: fetch Cellpose's, print the config lines that name them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wellspring.cells import model_files
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    terminal = sys.stdout
    log_to(snakemake.log[0])
    digest = model_files.fetch(snakemake.params.source, snakemake.output.file)
    lines = model_files.lines(snakemake.output.file, digest)
    Path(snakemake.output.lines).write_text(lines)
    print(lines, file=terminal, flush=True)
