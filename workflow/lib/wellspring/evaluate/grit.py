"""Grit: how much more a well resembles its replicates than the negative controls, in units of the controls' spread.

For well i with replicates j and controls c, with Pearson correlations r: grit_i = mean over j of
(r_ij - mean_c r_ic) / sd_c r_ic, the standard deviation over n, as in cytominer-eval (Way et al. 2022). The grit of a
treatment is the mean over its wells. Controls are all defined negative controls of the table.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.left_out import Controls
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.neighbours import blocks
from wellspring.evaluate.score import Score, absent, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note

CONTROLS = 3  # the spread of fewer is too uncertain: that of two is |r_1 - r_2| / 2
SMALLEST = 1e-9  # a spread of correlations below this is rounding


def grit(
    features: Array, metadata: pd.DataFrame, *, label: str = wells.MOA, replicates_share: tuple[str, ...] = ()
) -> Score:
    """Return the mean grit of treatments (`trt`); items are treatments."""
    usable, treated = wells.varied(features, metadata), wells.kind(metadata, "trt")
    control, keep = np.flatnonzero(usable & wells.kind(metadata, "negcon")), np.flatnonzero(usable & treated)
    names = wells.replicate_names(metadata, replicates_share)
    count = pd.Series(names[treated]).value_counts()
    if not treated.any():
        return absent("grit", Note("no_treated_wells"))
    if len(control) < CONTROLS:
        note = Note("too_few_controls", {"found": len(control), "needed": CONTROLS})
        return absent("grit", note, n_undefined=len(count))
    rows = wells.correlated(features[keep])
    middle, spread = against(rows, wells.correlated(features[control]))
    without = Controls.of({"": control}, metadata)
    middles, spreads = without.moments(rows, wells.correlated(features[control]), control)
    groups = {name: places.to_numpy() for name, places in pd.Series(np.arange(len(keep))).groupby(names[keep])}
    moa, items, units = wells.column(metadata, wells.MOA)[keep], [], []
    family = wells.families(metadata, label)[keep]
    for name in sorted(count.index, key=str):
        mine = groups.get(name, np.zeros(0, dtype=int))
        value = np.nan
        if len(mine) > 1:
            own = rows[mine]
            likeness = (own @ own.sum(axis=0) - (own**2).sum(axis=1)) / (len(mine) - 1)
            flat = spread[mine] <= SMALLEST
            value = np.nan if flat.any() else float(((likeness - middle[mine]) / spread[mine]).mean())
        item = {"Metadata_Item": name, "value": value, "n": len(mine), "n_undefined": int(count[name]) - len(mine)}
        items.append(item | {"Metadata_Group": moa[mine[0]] if len(mine) else None})
        if np.isfinite(value):
            units.append((family[mine[0]], value))
            with np.errstate(invalid="ignore", divide="ignore"):
                left = ((likeness[:, None] - middles[mine]) / spreads[mine]).mean(axis=0)
            without.add(np.where(np.isfinite(left), left, value), np.full(len(left), np.nan))
    flat = bool((spread <= SMALLEST).any())
    notes = (Note("controls_without_spread"),) if flat else ()
    if not units and not flat:
        notes = (Note("no_replicates"),)
    frame = pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum="trt")
    return Score(
        "grit",
        items=filled(pd.DataFrame(items)),
        units=frame,
        unbounded=True,
        spreads=True,
        jackknives=without.jackknives(frame, np.full(len(frame), np.nan)),
        chance=0.0,
        n=len(units),
        n_undefined=len(items) - len(units),
        notes=notes,
    )


def against(rows: Array, controls: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation (n,) of each row's products with the controls (c, d), without all products.

    The mean is the product with the mean control; the variance is |R x|^2 with R of the QR decomposition of the
    controls less their mean, over the root of c.
    """
    middle = controls.mean(axis=0)
    factor = np.asarray(np.linalg.qr((controls - middle) / np.sqrt(len(controls)), mode="r"))
    spread = [np.linalg.norm(rows[block] @ factor.T, axis=1) for block in blocks(len(rows), len(factor))]
    return rows @ middle, np.concatenate(spread) if spread else np.zeros(0)


METRIC = Metric(
    name="grit",
    family="replicates",
    reads="controls",
    direction=1,
    bounds=None,
    chance="replicates correlate as controls do",
    level="replicates",
    title="Replicates against the spread of controls (grit)",
    meaning="Number of standard deviations by which a well correlates more with its replicates than with the negative "
    "controls.",
    compute=lambda features, metadata, options, seed: [
        grit(features, metadata, label=options.label, replicates_share=options.replicates_share)
    ],
    layout=True,
)
