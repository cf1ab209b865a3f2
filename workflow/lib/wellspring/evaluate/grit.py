"""Grit: how much more a well resembles its replicates than the negative controls, in units of the controls' spread.

For well i with replicates j and controls c, with Pearson correlations r: grit_i = mean over j of
(r_ij - mean_c r_ic) / sd_c r_ic, the standard deviation over n, as in cytominer-eval (Way et al. 2022). The grit of a
treatment is the mean over its wells. Controls are all defined negative controls of the table.
"""

from collections.abc import Mapping, Sequence

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
TREATMENTS = 2000  # treatments by which the jackknife over controls is computed


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
    alike = np.full(len(keep), np.nan)
    groups = {name: places.to_numpy() for name, places in pd.Series(np.arange(len(keep))).groupby(names[keep])}
    moa, items, units, known = wells.column(metadata, wells.MOA)[keep], [], [], dict[str, Array]()
    family = wells.families(metadata, label)[keep]
    for name in sorted(count.index, key=str):
        mine = groups.get(name, np.zeros(0, dtype=int))
        value = np.nan
        if len(mine) > 1:
            own = rows[mine]
            alike[mine] = (own @ own.sum(axis=0) - (own**2).sum(axis=1)) / (len(mine) - 1)
            flat = spread[mine] <= SMALLEST
            value = np.nan if flat.any() else float(((alike[mine] - middle[mine]) / spread[mine]).mean())
        item = {"Metadata_Item": name, "value": value, "n": len(mine), "n_undefined": int(count[name]) - len(mine)}
        items.append(item | {"Metadata_Group": moa[mine[0]] if len(mine) else None})
        if np.isfinite(value):
            units.append((family[mine[0]], value))
            known[name] = mine
    flat = bool((spread <= SMALLEST).any())
    notes = (Note("controls_without_spread"),) if flat else ()
    if not units and not flat:
        notes = (Note("no_replicates"),)
    frame = pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum="trt")
    without = without_controls(features, metadata, control, rows=rows, alike=alike, known=known, values=frame["value"])
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


def without_controls(
    features: Array,
    metadata: pd.DataFrame,
    control: Array,
    *,
    rows: Array,
    alike: Array,
    known: Mapping[str, Array],
    values: Sequence[float],
) -> Controls:
    """Return the sets of controls with the grit of treatments without each of them, for the jackknife over controls.

    Parameters
    ----------
    features, metadata, control
        (n, d) and n rows of all wells, and the places of the controls among them.
    rows, alike
        The treated wells as rows (w, d) whose products are correlations, and the mean correlation (w,) of each with
        its replicates.
    known, values
        Places of the wells of each treatment that has a value, among `rows`, and the values in the same order. At most
        `TREATMENTS` of them, drawn at random, are computed without each set.
    """
    without = Controls.of({"": control}, metadata)
    order = wells.drawn(np.arange(len(known)), at_most=TREATMENTS, seed=0)
    each = list(known.values())
    mine = [each[number] for number in order]
    if not mine:
        return without
    places, value = np.concatenate(mine), np.asarray(values, dtype=float)[order]
    middles, spreads = without.moments(rows[places], wells.correlated(features[control]), control)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = (alike[places, None] - middles) / spreads
    start = 0
    for own, whole in zip(mine, value.tolist(), strict=True):
        found = left[start : start + len(own)].mean(axis=0)
        start += len(own)
        without.add(whole, np.nan, np.where(np.isfinite(found), found, whole), np.full(len(found), np.nan))
    return without


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
