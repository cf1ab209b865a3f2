"""Grit by mechanism: how much more a well resembles other compounds of its mechanism than the negative controls.

For well i with the wells j of other compounds of its mechanism and the controls c, with Pearson correlations r:
grit_i = mean over j of (r_ij - mean_c r_ic) / sd_c r_ic, the grit of Way et al. 2022, with the compound as profile and
the mechanism as group. The grit of a compound is the mean over its wells. With one profile per compound it is
cytominer-eval's; of several wells, cytominer-eval takes mean and sd over the controls of all of them together, which
adds the differences between the wells to the spread.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.grit import CONTROLS, SMALLEST, against, without_controls
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import Controls
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.multilabel import membership
from wellspring.evaluate.score import Score, absent, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

NAME = "grit.mechanism"


def grit_mechanism(
    features: Array, metadata: pd.DataFrame, *, label: str = wells.MOA, separator: str | None = "|"
) -> Score:
    """Return the mean grit of compounds against their mechanism; items are compounds.

    Compounds that share any label, split at `separator`, are of one mechanism.
    """
    usable, named = wells.varied(features, metadata), wells.labelled(metadata, label, "Metadata_Compound")
    control, keep = np.flatnonzero(usable & wells.kind(metadata, "negcon")), np.flatnonzero(usable & named)
    compound, value = wells.column(metadata, "Metadata_Compound"), wells.column(metadata, label)
    count = pd.Series(compound[named].astype(str)).value_counts()
    if len(control) < CONTROLS:
        note = Note("too_few_controls", {"found": len(control), "needed": CONTROLS})
        return absent(NAME, note, n_undefined=len(count))
    rows, owner = wells.correlated(features[keep]), compound[keep].astype(str)
    middle, spread = against(rows, wells.correlated(features[control]))
    member = membership(value[keep], separator or "")[0]
    found, flat = np.full(len(keep), np.nan), spread <= SMALLEST
    several = bool((member.sum(axis=1) > 1).any())
    groups = Groups.of(owner if several else value[keep])
    alike, onehot = np.full(len(keep), np.nan), groups.onehot()
    left = np.full((len(keep), len(groups)), np.nan)
    lists, code = [np.flatnonzero(of_label) for of_label in member.T], wells.codes(owner)
    for well in range(len(keep)):
        labels = np.flatnonzero(member[well])
        same = lists[labels[0]] if len(labels) == 1 else np.unique(np.concatenate([lists[label] for label in labels]))
        same = same[code[same] != code[well]]
        if len(same) and not flat[well]:
            likeness, count_of = rows[same] @ rows[well], onehot[same]
            alike[well] = likeness.mean()
            found[well] = (alike[well] - middle[well]) / spread[well]
            with np.errstate(invalid="ignore", divide="ignore"):
                stay = len(likeness) - count_of.sum(axis=0)
                others = (likeness.sum() - likeness @ count_of) / np.where(stay > 0, stay, np.nan)
                left[well] = (others - middle[well]) / spread[well]
    items, units, parts, places, judged = [], [], [], wells.places(owner), dict[str, Array]()
    for name in sorted(count.index):
        mine = places.get(name, np.zeros(0, dtype=int))
        known = mine[np.isfinite(found[mine])]
        mean = float(found[known].mean()) if len(known) else np.nan
        item = {"Metadata_Item": name, "value": mean, "n": len(known), "n_undefined": int(count[name]) - len(known)}
        items.append(item | {"Metadata_Group": value[keep[mine[0]]] if len(mine) else None})
        if len(known):
            units.append((value[keep[known[0]]], mean))
            parts.append((groups.code[known[0]], left[known].mean(axis=0)))
            judged[name] = known
    frame = pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum="trt")
    without = without_controls(features, metadata, control, rows=rows, alike=alike, known=judged, values=frame["value"])
    notes = (Note("controls_without_spread"),) if flat.any() else ()
    return Score(
        NAME,
        items=filled(pd.DataFrame(items)) if items else Score(NAME).items,
        units=frame,
        jackknives=_jackknives(frame, parts, groups, without, "compounds" if several else "mechanisms"),
        chance=0.0,
        n=len(units),
        n_undefined=len(items) - len(units),
        unbounded=True,
        spreads=True,
        notes=notes if units or notes else (Note("no_shared_mechanism"),),
    )


def _jackknives(
    units: pd.DataFrame, parts: list[tuple[int, Array]], groups: Groups, without: Controls, population: str
) -> tuple[Jackknife, ...]:
    """Return the jackknives over groups, each left out as compounds and as references, and over controls."""
    if not parts:
        return ()
    value, left = units["value"].to_numpy(float), np.array([row for _, row in parts])
    none = np.full(left.shape, np.nan)
    rise, shared = of_queries(value, left, none[:, 0], none, np.array([code for code, _ in parts]))
    found = Jackknife(
        population, pd.Series(float(value.mean()) - rise, index=list(groups.names)), shared, groups.worth()
    )
    return found, without.jackknives(units, none[:, 0])[1]


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return [grit_mechanism(features, metadata, label=options.label, separator=options.separator)]


METRIC = Metric(
    name=NAME,
    family="mechanisms",
    reads="controls",
    direction=1,
    bounds=None,
    chance="compounds of a mechanism correlate as controls do",
    level="mechanisms",
    title="Compounds of a mechanism against the spread of controls (grit by mechanism)",
    meaning="Number of standard deviations by which a well correlates more with other compounds of its mechanism than "
    "with the negative controls.",
    compute=_compute,
    layout=True,
)
