"""Rule illumination: estimate or read the flat and dark field of a light path."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from wellspring.illumination import estimate, lightpath
from wellspring.io import packed, tables
from wellspring.io.made import claim
from wellspring.screen import sections
from wellspring.workflow.log import log_to

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

if __name__ == "__main__":
    log_to(snakemake.log[0])
    claim(snakemake)
    others: dict[str, tuple[list[pd.DataFrame], list[np.ndarray]]] = {}
    paths = zip(snakemake.params.beside, snakemake.input.surveys_beside, snakemake.input.views_beside, strict=True)
    for optics, survey, views in paths:
        tables_of, stacks_of = others.setdefault(optics, ([], []))
        tables_of.append(tables.read(survey))
        stacks_of.append(packed.mapped(views))
    light = estimate.light_path(
        [tables.read(path) for path in snakemake.input.surveys],
        [packed.mapped(path) for path in snakemake.input.views],
        channels=snakemake.params.channels,
        options=sections.read(sections.Illumination, snakemake.params.options),
        optics=snakemake.wildcards.optics,
        aliases=snakemake.params.aliases,
        others=others,
    )
    with tables.atomic(snakemake.output[0]) as path:
        lightpath.save(path, light)
