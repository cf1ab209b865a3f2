"""Bind rule check to wellspring.check: print what was found, and fail where something can not run."""

import sys
from typing import TYPE_CHECKING

from wellspring import check
from wellspring.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    terminal = sys.stdout
    log_to(snakemake.log[0])
    params = snakemake.params
    found = check.run(
        params.sheet,
        config=params.options,
        results=params.results,
        simulated=params.simulated,
        processes=snakemake.threads,
    )
    print(check.table(found), file=terminal, flush=True)
    check.require(found)
