"""Weak labels: training may match wells of one treatment, but only of compounds that the evaluation does not judge.

With `local_aggregation.positives: well` or `treatment`, the images of a group come from different wells of one
treatment in place of different sites of one well. A replicate loss raises the scores of the treatments whose labels it
saw, whether or not it finds biology. So the compounds are dealt into folds, by a digest of their names: those of one
fold (`heldout_fold`) give no labels, and only they are judged. Their wells, and negative controls, stay in training as
groups of sites, without labels: controls that were pulled together would make every treatment look active.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wellspring.io.keys import WELL_KEY
from wellspring.screen.heldout import held_out
from wellspring.screen.sections import LocalAggregation
from wellspring.train.sources import Source

COLUMNS = (*WELL_KEY, "Metadata_Compound", "Metadata_Perturbation", "Metadata_pert_type")


class Grouped:
    """A source whose groups are wells of one treatment, where labels are allowed, and sites of one well elsewhere.

    Parameters
    ----------
    source
        The images.
    wells
        One row per well: `COLUMNS`.
    options
        The section `local_aggregation` of the encoder; its `positives` is `well` (of one plate) or `treatment`.

    Attributes
    ----------
    well, site
        (N,) int64: codes of the group, and of the part of it from which one item is drawn (a well, or a site).
    labelled
        (N,) bool: whether the group of an item is a treatment.
    compounds
        Names of the compounds that gave labels, sorted.
    """

    def __init__(self, source: Source, wells: pd.DataFrame, options: LocalAggregation) -> None:
        self.source, self.frame, self.pixels, self.plate = source, source.frame, source.pixels, source.plate
        known = wells.drop_duplicates(WELL_KEY).set_index(WELL_KEY)
        mine = known.reindex(pd.MultiIndex.from_frame(self.frame[WELL_KEY].astype(str)))
        if mine["Metadata_pert_type"].isna().any():
            lost = mine.index[mine["Metadata_pert_type"].isna()][:5].tolist()
            raise ValueError(f"local_aggregation.positives: expected treatments of all wells, found none for {lost}")
        kept_out = held_out(mine["Metadata_Compound"], folds=options.heldout_folds, fold=options.heldout_fold)
        self.labelled = (mine["Metadata_pert_type"] == "trt").to_numpy() & ~kept_out
        names = pd.Series(mine["Metadata_Perturbation"].to_numpy(), dtype=str)
        if options.positives == "well":
            names = names + "\0" + pd.Series(self.plate).astype(str)
        treatment = names.groupby(names).ngroup().to_numpy(np.int64)
        many = int(source.well.max()) + 1
        self.well = np.where(self.labelled, many + treatment, source.well)
        self.site = np.where(self.labelled, int(source.site.max()) + 1 + source.well, source.site)
        self.compounds = sorted(set(mine.loc[self.labelled, "Metadata_Compound"].astype(str)))

    def read(self, items: NDArray[np.int64], rng: np.random.Generator, *, sites: int = 1) -> NDArray[np.float32]:
        """Return the scaled pixels of items, in groups of `sites` items."""
        return self.source.read(items, rng, sites=sites)
