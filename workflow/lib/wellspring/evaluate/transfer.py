"""Transfer between cell lines or batches: labels predicted in one group with references from another.

A[s, t] is the accuracy of k-nearest-neighbour prediction (cosine) of the wells of group t with references from group s;
where s = t, references are wells on other plates. For mechanisms, wells of the same compound are left out; for
compounds (as in CPJUMP1), they are the ones to be found. The score is the mean over pairs s ≠ t. The gap is the mean of
the diagonal minus the score. A pair is undefined where no well of t has a reference of its label in s: where replicates
of a compound are in different batches, the diagonal of transfer between batches is.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.left_out import QUERIES
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.neighbours import blocks
from wellspring.evaluate.score import Score
from wellspring.evaluate.transfer_task import Task
from wellspring.evaluate.wells import Array
from wellspring.screen.sections import Evaluate

LABELS = {"mechanism": wells.MOA, "compound": "Metadata_Compound"}
CHANCE_DRAWS = 4000  # random votes behind a chance level, whose standard error is then below 0.01


def transfer(features: Array, metadata: pd.DataFrame, **options: Any) -> list[Score]:
    """Return the scores of one pair of `between` and `label` (default Metadata_Cell_Line, mechanism): `transfers`."""
    between, label = options.pop("between", wells.LINE), options.pop("label", "mechanism")
    return transfers(features, metadata, between=[between], label=[label], **options)


def transfers(
    features: Array,
    metadata: pd.DataFrame,
    *,
    between: Sequence[str] = (wells.LINE, wells.BATCH),
    label: Sequence[str] = ("mechanism", "compound"),
    neighbours: tuple[int, ...] = (1, 5),
    labels: dict[str, str] | None = None,
    permutations: int = 0,
    queries: int | None = None,
    seed: int = 0,
) -> list[Score]:
    """Return, for each `between`, `label` and k, the transfer score and its gap; items are the pairs `s->t`.

    Similarities are computed once for all of them, block by block.

    Parameters
    ----------
    features, metadata
        (n, d) and n rows; wells of type `trt` with a label and a group take part.
    between
        Columns of the groups; the metric's name is `transfer.<its name in lower case>.<label>.k<k>`.
    label
        `mechanism` or `compound`, keys of `labels` (default `Metadata_moa`, `Metadata_Compound`).
    neighbours
        Values of k; with fewer references than k, all of them vote. A tie of votes goes to the label of the nearest.
    permutations
        Permutations of the mechanisms over compounds for the score `<metric>.permuted`, computed for k = 1.
    queries
        Largest number of wells whose label is predicted, drawn evenly over compounds; None: all. References are always
        all wells.
    seed
        Of the draw and of the permutations.
    """
    labels, usable = labels or LABELS, wells.directed(features, metadata)
    tasks = [Task.of(metadata, usable, column, name, labels[name]) for column in between for name in label]
    union = np.flatnonzero(np.logical_or.reduce([task.member for task in tasks])) if tasks else np.zeros(0, dtype=int)
    compound = wells.column(metadata, "Metadata_Compound")[union].astype(str)
    rows, taken = wells.units(features[union]), np.arange(len(union))
    if queries is not None:
        taken = wells.drawn(compound, at_most=queries, seed=seed)
    plate = wells.codes(wells.column(metadata, wells.PLATE))[union]
    open_ = [task for task in tasks if task.reason is None]
    family = wells.families(metadata, labels.get("mechanism", wells.MOA))[union]
    for task in open_:
        task.start(union, compound, plate, family, taken[wells.drawn(compound[taken], at_most=QUERIES, seed=seed)])
    rng, rounds = np.random.default_rng(seed), -(-CHANCE_DRAWS // max(len(taken), 1))
    for block in blocks(len(taken), len(union)) if open_ else ():
        similarity = wells.cosine(rows[taken[block]], rows)
        for task in open_:
            task.read(taken[block], similarity, neighbours, rng=rng, rounds=rounds)
    notes, found = wells.sampling(len(taken), len(union)), []
    for task in tasks:
        found += task.scores(neighbours, permutations, seed, notes)
    return found


def _compute(features: Array, metadata: pd.DataFrame, options: Evaluate, seed: int) -> list[Score]:
    return transfers(
        features,
        metadata,
        between=options.transfer_between,
        label=options.transfer_labels,
        labels=LABELS | {"mechanism": options.label},
        neighbours=options.neighbours,
        permutations=options.permutations,
        queries=wells.most_queries(len(metadata), options.pairs),
        seed=seed,
    )


METRIC = Metric(
    name="transfer",
    family="transfer",
    reads="treated",
    direction=1,
    chance="share of the compared wells that have the label; for several neighbours, votes of random wells",
    title="Transfer",
    meaning="Share of wells of one group (cell line, batch) whose compound or mechanism is right if it is taken from "
    "the most similar wells of another group. The gap is the gain if they are taken from the same group, on other "
    "plates.",
    compute=_compute,
    permuted=True,
    position_only=True,
    layout=True,
    splits=2,
)
