"""Phenotypic activity: mean average precision of replicates against controls (Kalinin et al. 2025), and its share.

Activity ranks, for each well of a treatment, its replicates on all plates and the negative controls of its own plate.

p comes from the null of random similarities (`precision.shared_null`). Where replicates share plates and this p is
small, it is the larger of two: the other by the null of wells that change places with the controls of their plates
(`wellspring.evaluate.exchange`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.exchange import Exchange
from wellspring.evaluate.jackknife import Jackknife, of_units
from wellspring.evaluate.left_out import Controls, apart_from, mean_precision
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.precision import chance_error, expected, p_value, shared_null
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

SHORT = 1000  # draws of the null of exchanged wells for all treatments whose p by the other null is at most SMALL
SMALL = 0.1
REPLICATES = 1000  # wells of a treatment (as of a control on each plate of a large screen) that are compared
_NO_CONTROLS = Note("no_negative_controls")


@dataclass
class _Treatment:
    """A treatment, its wells, and its value and nulls."""

    members: Array
    mates: Array
    value: float
    nulls: list[Array]
    left: Array = field(default_factory=lambda: np.zeros(0))

    def p(self, value: float | None = None) -> float:
        """Return the largest p of a value, by default its own, over the nulls."""
        value = self.value if value is None else value
        return max(p_value(value, null) for null in self.nulls)


def activity(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    replicates_share: tuple[str, ...] = (),
    replicates_differ: tuple[str, ...] = (),
    null_size: int = 10_000,
    threshold: float = 0.05,
    seed: int = 0,
) -> Score:
    """Return mean average precision of each perturbation's replicates against the negative controls of their plates.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows with Metadata_Plate, Metadata_pert_type and the perturbation.
    label
        Column whose mechanisms are the groups of the interval.
    replicates_share
        Further columns that replicates must have in common, such as the cell line; none by default.
    replicates_differ
        Columns in all of which two replicates must differ (copairs' `pos_diffby`), such as the plate or the well.
        Other wells of the treatment are neither replicates nor negatives; a well without any replicate is undefined.
    null_size, seed
        Of the null distributions. A perturbation whose plates have unequal numbers of controls is compared with the
        null of the smallest number, which is conservative.
    threshold
        A perturbation whose smallest possible p is not below it has no p: it is undefined, not negative.

    Returns
    -------
    Score
        Items: every treatment and positive control. The mean is over treatments (`trt`) alone.
    """
    treated, usable = wells.kind(metadata, "trt", "poscon"), wells.directed(features, metadata)
    known = wells.kind(metadata, "negcon")
    control = known & usable
    if not treated.any():
        return absent("activity", Note("no_treated_wells"))
    if not control.any():
        why = Note("controls_without_profile", {"found": int(known.sum())}) if known.any() else _NO_CONTROLS
        return absent("activity", why)
    rows, plate = wells.units(features), wells.column(metadata, wells.PLATE).astype(str)
    controls = {name: np.flatnonzero(control)[own] for name, own in wells.places(plate[control]).items()}
    names = wells.replicate_names(metadata, replicates_share)
    differ = [wells.codes(wells.column(metadata, name)) for name in replicates_differ]
    groups = pd.Series(np.flatnonzero(treated), index=names[treated]).groupby(level=0, sort=True)
    moa, kind = (wells.column(metadata, n) for n in (wells.MOA, "Metadata_pert_type"))
    family = wells.families(metadata, label)
    items, units, chances, nulls = list[dict[str, Any]](), list[tuple[Any, float]](), list[float](), list[Array]()
    without, apart = (
        Controls.of(controls, metadata),
        apart_from(controls, rows, np.flatnonzero(treated & usable), plate),
    )
    exchange, tested, taken, total = Exchange(rows, controls, metadata), dict[int, _Treatment](), 0, 0
    for name, group in groups:
        index = group.to_numpy()
        members = np.array([i for i in index if usable[i] and plate[i] in controls], dtype=int)
        spared = max(0, len(members) - REPLICATES)
        if spared:
            taken, total = taken + REPLICATES, total + len(members)
            members = members[wells.drawn(plate[members], at_most=REPLICATES, seed=seed)]
        members, mates = _replicates(members, differ)
        item = {
            "Metadata_Item": name,
            "n": len(members),
            "n_undefined": len(index) - spared - len(members),
            "value": np.nan,
            "p": np.nan,
        }
        item["Metadata_Group"] = moa[index[0]] if moa[index[0]] is not None else kind[index[0]]
        if len(members) > 1:
            own, count = [controls[plate[i]] for i in members], mates.sum(axis=1)
            item["value"], few, left = mean_precision(rows, members, mates, own, apart, without)
            graph = None if mates.sum() == len(members) * (len(members) - 1) else mates.tobytes()
            null = shared_null(len(members), few, size=null_size, seed=seed, mates=graph)
            sizes = np.array([len(mine) for mine in own])
            chance = float(expected(count, sizes + count).mean())
            level = expected(count[:, None], without.sizes(own) + count[:, None]).mean(axis=0)
            # Chance rises where controls are left out; the null of all of them is read at the value less that rise.
            one = _Treatment(members, mates, item["value"], [null], left - (level - chance))
            if p_value(1.0, null) < threshold:
                tested[len(items)] = one
            if kind[index[0]] == "trt":
                units.append((family[index[0]], item["value"]))
                chances.append(chance)
                nulls.append(null)
                without.add(item["value"], chance, left, level)
        items.append(item)
    _exchanged(tested, exchange, size=null_size, threshold=threshold, seed=seed)
    left_p = np.full((len(items), len(without.groups)), np.nan)
    for place, one in tested.items():
        items[place]["p"] = one.p()
        left_p[place] = [one.p(value) for value in one.left]
    table = filled(pd.DataFrame(items))
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    frame = pd.DataFrame(units, columns=["cluster", "value"]).assign(stratum="trt")
    lost = sum(1 for item in items if not np.isfinite(item["value"]))
    return Score(
        "activity",
        items=table,
        units=frame,
        chance=float(np.mean(chances)) if chances else float("nan"),
        n=len(units),
        n_undefined=lost,
        jackknives=without.jackknives(frame, np.array(chances)),
        chance_error=chance_error(nulls, frame["value"].mean(), float(np.mean(chances))) if units else 0.0,
        left_p=pd.DataFrame(left_p, index=table["Metadata_Item"], columns=list(without.groups.names)),
        notes=(
            *wells.sampling(taken, total, f"wells of treatments with more than {REPLICATES:,}"),
            *(() if units else (Note("no_replicates_with_controls"),)),
        ),
    )


def _replicates(members: Array, differ: list[Array]) -> tuple[Array, Array]:
    """Return the wells (m,), and which of them are each other's replicates (m, m) bool.

    Where replicates must differ, wells without a replicate are left out.
    """
    mates = ~np.eye(len(members), dtype=bool)
    if not differ:
        return members, mates
    for code in differ:
        mates &= code[members][:, None] != code[members][None, :]
    some = mates.any(axis=1)
    return members[some], mates[np.ix_(some, some)]


def _exchanged(tested: Mapping[int, _Treatment], exchange: Exchange, *, size: int, threshold: float, seed: int) -> None:
    """Add the null of exchanged wells to crowded treatments with a small p: first a short one.

    A long null is drawn where the short one leaves open whether q is below the threshold.
    """
    order = [place for place, one in tested.items() if exchange.crowded(one.members, one.mates)]
    for draws, bound in ((min(size, SHORT), SMALL), (size, 10 / SHORT)):
        q = dict(zip(tested, benjamini_hochberg(np.array([one.p() for one in tested.values()])), strict=True))
        for place in order:
            one, own = tested[place], q[place]
            again = len(one.nulls) > 1
            if one.p() > bound or (draws > SHORT and (own < threshold or not again)):
                continue
            found = exchange.null(one.members, one.mates, draws=draws, seed=[seed, draws, place])
            one.nulls[1:] = [] if found is None else [found]


def retrieved(
    score: Score,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    replicates_share: tuple[str, ...] = (),
    threshold: float = 0.05,
) -> Score:
    """Return the share of treatments of the score `activity` with q below `threshold`.

    q is by Benjamini and Hochberg over all items with a p. Items without a p count as undefined.
    """
    items = filled(score.items)
    family, treated = wells.families(metadata, label), wells.kind(metadata, "trt")
    owner = dict(zip(wells.replicate_names(metadata, replicates_share)[treated], family[treated], strict=True))
    mine = items[items["Metadata_Item"].isin(list(owner))]
    tested = mine[np.isfinite(mine["q"].to_numpy(float))]
    if not len(tested):
        return absent(
            "activity.retrieved",
            Note("threshold_out_of_reach", {"threshold": threshold}),
            n_undefined=len(mine),
        )
    units = pd.DataFrame(
        {
            "stratum": "trt",
            "cluster": [str(owner[name]) for name in tested["Metadata_Item"]],
            "value": (tested["q"] < threshold).astype(float),
        }
    )
    value = float(units["value"].mean())
    parts = [of_units(units, None).shifted(value)]
    if score.left_p is not None:
        known = items.set_index("Metadata_Item")["p"].notna()
        left = score.left_p.where(known.reindex(score.left_p.index, fill_value=False), np.nan, axis=0)
        shares = {
            name: (pd.Series(benjamini_hochberg(left[name].to_numpy()), index=left.index) < threshold)
            .reindex(tested["Metadata_Item"])
            .mean()
            for name in left.columns
        }
        mean = float(np.mean(list(shares.values())))
        parts.append(Jackknife("controls", pd.Series(shares, dtype=float) + value - mean))
    return Score(
        "activity.retrieved",
        units=units,
        chance=0.0,
        n=len(tested),
        n_undefined=len(mine) - len(tested),
        jackknives=tuple(parts),
        proportion=True,
    )


def _compute_activity(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    share, size = options.replicates_share, options.null_size
    return [
        activity(
            features,
            metadata,
            label=options.label,
            replicates_share=share,
            replicates_differ=options.replicates_differ,
            null_size=size,
            threshold=options.threshold,
            seed=seed,
        )
    ]


def _derive_retrieved(scores: Mapping[str, Score], metadata: pd.DataFrame, options: Evaluate) -> Score:
    share, threshold = options.replicates_share, options.threshold
    return retrieved(scores["activity"], metadata, label=options.label, replicates_share=share, threshold=threshold)


ACTIVITY = Metric(
    name="activity",
    family="replicates",
    reads="controls",
    direction=1,
    chance="controls in the place of treatments",
    level="replicates",
    title="Phenotypic activity (mAP)",
    meaning="Mean average precision with which a well retrieves its replicates among its plate's negative controls; 1 "
    "where every replicate ranks first.",
    compute=_compute_activity,
    position_only=True,
    layout=True,
    main=True,
)
RETRIEVED = Metric(
    name="activity.retrieved",
    family="replicates",
    reads="controls",
    direction=1,
    chance="no treatment passes where none is active",
    title="Active treatments (share)",
    meaning="Share of treatments whose activity is above chance, at a controlled false discovery rate.",
    derive=_derive_retrieved,
    needs=("activity",),
    position_only=True,
    layout=True,
    main=True,
)
