"""Mechanisms retrieved: mean average precision of compounds by mechanism, as in copairs (Kalinin et al. 2025).

Profiles are compounds (medians of their wells, in each cell line). For each label, a compound that has it ranks the
other compounds with the label against those that share no label with it. The value of the label is the mean over its
compounds, p is that of copairs (`precision.listed_p`), and the score is the share of labels with q below the threshold:
the "fraction retrieved" of target matching in JUMP and CPJUMP1.
"""

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.multilabel import membership, precisions
from wellspring.evaluate.precision import listed_p
from wellspring.evaluate.score import Score, absent, benjamini_hochberg, filled
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate

NAME = "mechanisms.retrieved"


def mechanisms_retrieved(
    features: Array,
    metadata: pd.DataFrame,
    *,
    label: str = wells.MOA,
    separator: str | None = "|",
    null_size: int = 10_000,
    threshold: float = 0.05,
    seed: int = 0,
) -> Score:
    """Return the share of labels that are retrieved; items are labels, their values mean average precisions.

    A label of one compound, or one that every compound shares, has no value. In several cell lines, a label is an item
    of each line, `<label>|<line>`.
    """
    named = wells.labelled(metadata, label, "Metadata_Compound")
    usable = named & wells.directed(features, metadata)
    line, compound, value = wells.lines(metadata), *(wells.column(metadata, at) for at in ("Metadata_Compound", label))
    lines, items = sorted({str(name) for name in line[named]}), list[dict[str, object]]()
    for name in lines:
        mine = np.flatnonzero(usable & (line.astype(str) == name))
        groups = list(pd.Series(mine).groupby(compound[mine].astype(str), sort=True))
        if len(groups) < 2:
            continue
        profiles = np.array([np.median(features[places.to_numpy()], axis=0) for _, places in groups])
        first = np.array([value[places.iloc[0]] for _, places in groups], dtype=object)
        for item in _labels(wells.units(profiles), first, separator or "", size=null_size, seed=seed):
            items.append(item | ({"Metadata_Item": f"{item['Metadata_Item']}|{name}"} if len(lines) > 1 else {}))
    table = filled(pd.DataFrame(items)) if items else Score(NAME).items
    scored = table[np.isfinite(table["p"].to_numpy(float))]
    if not len(scored):
        return absent(NAME, Note("no_shared_mechanism"), n_undefined=len(table))
    table["q"] = benjamini_hochberg(table["p"].to_numpy())
    found = (table.loc[scored.index, "q"] < threshold).astype(float)
    return Score(
        NAME,
        items=table,
        units=pd.DataFrame({"stratum": NAME, "cluster": scored["Metadata_Group"], "value": found}),
        chance=0.0,
        n=len(scored),
        n_undefined=len(table) - len(scored),
        proportion=True,
    )


def _labels(rows: Array, labels: Array, separator: str, *, size: int, seed: int) -> list[dict[str, object]]:
    """Return the items of the compounds of one line: unit rows (c, d) and their labels (c,)."""
    member, names = membership(labels, separator)
    values, shapes = (np.full((*member.shape, *more), np.nan) for more in ((), (2,)))
    every = np.arange(len(rows))
    for query in every:
        allowed, mine = every != query, np.flatnonzero(member[query])
        similar = wells.cosine(rows[query][None], rows)[0]
        found, shapes[query, mine] = precisions(similar, allowed, member[query], member)
        # Without negatives nothing is ranked.
        values[query, mine] = np.where(shapes[query, mine, 0] < shapes[query, mine, 1], found, np.nan)
    items = list[dict[str, object]]()
    for place, name in enumerate(names):
        own = np.flatnonzero(np.isfinite(values[:, place]))
        item: dict[str, object] = {"Metadata_Item": name, "Metadata_Group": name, "n": len(own)}
        item["n_undefined"] = int(member[:, place].sum()) - len(own)
        if len(own):
            mean = float(values[own, place].mean())
            p = listed_p(mean, *shapes[own, place].astype(int).T, size=size, seed=seed)
            item |= {"value": mean, "p": p}
        items.append({"value": np.nan, "p": np.nan} | item)
    return items


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    size, threshold = options.null_size, options.threshold
    label, separator = options.label, options.separator
    given = {"null_size": size, "seed": seed}
    return [mechanisms_retrieved(features, metadata, label=label, separator=separator, threshold=threshold, **given)]


METRIC = Metric(
    name=NAME,
    family="mechanisms",
    reads="treated",
    direction=1,
    chance="no mechanism passes where compounds do not resemble each other",
    title="Mechanisms retrieved (share, mAP of compounds)",
    meaning="Share of mechanisms whose compounds find each other among all compounds, at a controlled false discovery "
    "rate; the fraction retrieved of published target matching.",
    compute=_compute,
    position_only=True,
    layout=True,
)
