"""Rule check: print the findings of `wellspring.workflow.preflight`, and fail if the screen cannot run."""

import sys
from typing import TYPE_CHECKING

from wellspring.report import checked, wording
from wellspring.screen.config import typed
from wellspring.workflow import preflight
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    terminal = sys.stdout
    log_to(snakemake.log[0])
    params = snakemake.params
    found = preflight.run(
        params.sheet,
        config=typed(params.options),
        results=params.results,
        simulated=params.simulated,
        processes=snakemake.threads,
    )
    print(preflight.table(found, worded=wording.worded), file=terminal, flush=True)
    print(checked.ending(found), file=terminal, flush=True)
    if any(one.grade == "problem" for one in found):
        sys.exit(1)
