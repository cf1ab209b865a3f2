"""Rule simulate: write a plate of the demo screen."""

from typing import TYPE_CHECKING

from wellspring.io import zipped
from wellspring.io.made import claim
from wellspring.simulate.plate import write_plate
from wellspring.simulate.screen import screen_of
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    screen = screen_of(snakemake.params.screen, where="resources/demo/screen.yaml")
    with zipped.raw_written(snakemake.output[0]) as folder:
        write_plate(screen, snakemake.wildcards.plate, folder, seed=snakemake.params.seed)
