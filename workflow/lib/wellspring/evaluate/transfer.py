"""Transfer between cell lines or batches: labels predicted in one group with references from another.

A[s, t] is the accuracy of k-nearest-neighbour prediction (cosine) of the wells of group t with references from group s;
where s = t, references are wells on other plates. For mechanisms, wells of the same compound are left out; for
compounds (as in CPJUMP1), they are the ones to be found. The score is the mean over pairs s ≠ t. The gap is the mean of
the diagonal minus the score.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.metric import Metric
from wellspring.evaluate.nearest import dealt_labels, permuted
from wellspring.evaluate.neighbours import blocks, largest, winners
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note
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
    labels, usable = labels or LABELS, wells.defined(features, metadata)
    tasks = [_Task.of(metadata, usable, column, name, labels[name]) for column in between for name in label]
    union = np.flatnonzero(np.logical_or.reduce([task.member for task in tasks])) if tasks else np.zeros(0, dtype=int)
    compound = wells.column(metadata, "Metadata_Compound")[union].astype(str)
    rows, taken = wells.units(features[union]), np.arange(len(union))
    if queries is not None:
        taken = wells.drawn(compound, at_most=queries, seed=seed)
    plate = wells.codes(wells.column(metadata, wells.PLATE))[union]
    open_ = [task for task in tasks if task.reason is None]
    for task in open_:
        task.start(union, compound, plate)
    rng, rounds = np.random.default_rng(seed), -(-CHANCE_DRAWS // max(len(taken), 1))
    for block in blocks(len(taken), len(union)) if open_ else ():
        similarity = wells.cosine(rows[taken[block]], rows)
        for task in open_:
            task.read(taken[block], similarity, neighbours, rng=rng, rounds=rounds)
    notes, found = wells.sampling(len(taken), len(union)), []
    for task in tasks:
        found += task.scores(neighbours, permutations, seed, notes)
    return found


@dataclass
class _Task:
    """One prediction task: one label, between the groups of one column."""

    stem: str
    label: str
    member: Array  # (n,) wells that take part
    target: Array  # (n,) object
    group: Array  # (n,) object
    lost: int
    reason: Note | None
    parts: list[dict[str, Array]] = field(default_factory=list)

    @classmethod
    def of(cls, metadata: pd.DataFrame, usable: Array, between: str, label: str, column: str) -> "_Task":
        target, group = wells.column(metadata, column), wells.column(metadata, between)
        named = wells.labelled(metadata, column, between, "Metadata_Compound", wells.PLATE)
        member, reason = named & usable, None
        counts = len(set(group[member])), len(set(target[member]))
        if min(counts) < 2:
            reason = Note("too_few_groups", {"column": between, "groups": counts[0], "labels": counts[1]})
        stem = f"transfer.{between.removeprefix('Metadata_').lower()}.{label}"
        return cls(stem, label, member, target, group, int((named & ~usable).sum()), reason)

    def start(self, union: Array, compound: Array, plate: Array) -> None:
        """Take the codes of the wells that are in the union, and each group's references."""
        self.member, self.plate = self.member[union], plate
        self.compound, self.owner = compound, wells.codes(compound)
        self.targets = np.unique(self.target[union][self.member].astype(str))
        self.groups = np.unique(self.group[union][self.member].astype(str))
        self.code = np.full(len(union), -1, dtype=np.int32)
        self.place = np.full(len(union), -1, dtype=np.int32)
        self.code[self.member] = np.searchsorted(self.targets, self.target[union][self.member].astype(str))
        self.place[self.member] = np.searchsorted(self.groups, self.group[union][self.member].astype(str))
        self.references = [np.flatnonzero(self.place == number) for number in range(len(self.groups))]

    def read(
        self,
        query: Array,
        similarity: Array,
        neighbours: tuple[int, ...],
        *,
        rng: np.random.Generator,
        rounds: int,
    ) -> None:
        """Predict the labels of the queries (b,) from each group; `similarity` (b, union).

        For one neighbour, chance is the frequency of the label. For a vote, which common labels win more often than
        they are frequent, chance is the share of `rounds` votes of randomly drawn neighbours.
        """
        mine, k = self.member[query], max(neighbours)
        query = query[mine]
        for source, reference in enumerate(self.references):
            values = similarity[np.ix_(mine, reference)]
            if self.label == "mechanism":
                values[self.owner[query, None] == self.owner[None, reference]] = -np.inf
            within = np.flatnonzero(self.place[query] == source)
            if len(within):
                other = self.plate[query[within], None] != self.plate[None, reference]
                values[within] = np.where(other, values[within], -np.inf)
            places, best = largest(values, k)
            valid, open_ = np.isfinite(best), np.isfinite(values)
            count = open_.sum(axis=1)
            same = (open_ & (self.code[query, None] == self.code[None, reference])).sum(axis=1)
            part = {"source": np.full(len(query), source), "query": query, "nearest": reference[places[:, 0]]}
            part |= {"partners": same}
            wins = {number: np.zeros(len(query)) for number in neighbours if number > 1}
            for _ in range(rounds if wins else 0):
                drawn, lots = largest(np.where(open_, rng.random(open_.shape), -np.inf), k)
                for number, won in wins.items():
                    won += (
                        winners(self.code[reference[drawn[:, :number]]], np.isfinite(lots[:, :number]))
                        == self.code[query]
                    )
            for number in neighbours:
                right = winners(self.code[reference[places[:, :number]]], valid[:, :number]) == self.code[query]
                chance = wins[number] / rounds if number in wins else same / np.maximum(count, 1)
                part[f"k{number}"] = np.where(count > 0, right, np.nan)
                part[f"chance{number}"] = np.where(count > 0, chance, np.nan)
            self.parts.append(part)

    def scores(self, neighbours: tuple[int, ...], permutations: int, seed: int, notes: tuple[Note, ...]) -> list[Score]:
        """Return the scores of all queries."""
        if self.reason is not None:
            return [absent(f"{self.stem}.k{k}", self.reason, n_undefined=self.lost) for k in neighbours]
        table = pd.DataFrame({name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]})
        into, source = self.place[table["query"].to_numpy()], table.pop("source").to_numpy()
        pairs = np.array([f"{s}->{t}" for s in self.groups for t in self.groups], dtype=object)
        table["stratum"], table["diagonal"] = pairs[source * len(self.groups) + into], source == into
        table["cluster"] = self.compound[table["query"].to_numpy()]
        found = [
            score.noted(*notes)
            for k in neighbours
            for score in _scores(
                f"{self.stem}.k{k}", table.assign(value=table[f"k{k}"], chance=table[f"chance{k}"]), self.lost, k
            )
        ]
        if self.label == "mechanism" and 1 in neighbours and permutations:
            main = next(score for score in found if score.metric == f"{self.stem}.k1")
            if len(main.units):
                members, rng = np.flatnonzero(self.member), np.random.default_rng(seed)
                deals = dealt_labels(self.owner[members], self.code[members], permutations, rng)
                spread = (_spread(dealt, members, len(self.member)) for dealt in deals)
                found.append(permuted(main, _dealt(table.assign(value=table["k1"]), spread)))
        return found


def _spread(values: Array, places: Array, size: int) -> Array:
    result = np.full(size, -1, dtype=values.dtype)
    result[places] = values
    return result


def _dealt(table: pd.DataFrame, deals: Iterable[Array]) -> Array:
    """Return the 1-nearest-neighbour score under each permuted labelling of the wells."""
    off = table[~table["diagonal"] & np.isfinite(table["value"])]
    pair, names = pd.factorize(off["stratum"])
    query, nearest = off["query"].to_numpy(), off["nearest"].to_numpy()
    count = np.bincount(pair, minlength=len(names))
    return np.array([(np.bincount(pair, weights=dealt[query] == dealt[nearest]) / count).mean() for dealt in deals])


def _scores(metric: str, frame: pd.DataFrame, lost: int, k: int) -> list[Score]:
    by = frame.groupby("stratum", sort=True)
    items = by.agg(value=("value", "mean"), n=("value", "count"), size=("value", "size")).reset_index()
    items["n_undefined"] = items["size"] - items["n"]
    items = items.rename(columns={"stratum": "Metadata_Item"})
    scored = frame[np.isfinite(frame["value"])]
    off, on = scored[~scored["diagonal"]], scored[scored["diagonal"]]
    if not len(off):
        return [
            Score(
                metric,
                items=items,
                n_undefined=lost + len(frame),
                notes=(Note("no_reference_of_another_compound"),),
            )
        ]
    main = Score(
        metric,
        items=items,
        units=off[["stratum", "cluster", "value"]],
        chance=float(off.groupby("stratum")["chance"].mean().mean()),
        n=len(off),
        proportion=True,
        n_undefined=lost + int((~frame["diagonal"] & ~np.isfinite(frame["value"])).sum()),
    )
    few = int((scored["partners"] < (k + 1) // 2).sum())
    weak = (Note("too_few_references", {"queries": few, "total": len(scored), "votes": k}),) if few else ()
    main = main.noted(*weak)
    if not len(on):
        return [main, absent(f"{metric}.gap", Note("no_group_on_two_plates"))]
    diagonal, others = sorted(set(on["stratum"])), sorted(set(off["stratum"]))
    weights = {name: 1 / len(diagonal) for name in diagonal} | {name: -1 / len(others) for name in others}
    gap = Score(
        f"{metric}.gap",
        units=scored[["stratum", "cluster", "value"]],
        weights=weights,
        n=len(scored),
        chance=0.0,
        n_undefined=lost,
        notes=(Note("gap"),),
    )
    return [main, gap.noted(*weak)]


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
    chance="frequency of the label among the references allowed; for several neighbours, votes of random references",
    title="Transfer",
    meaning="Share of wells of one group (cell line, batch) with the label of their nearest wells in another group. "
    "The gap is the gain of references in the same group, on other plates.",
    compute=_compute,
    permuted=True,
    position_only=True,
    layout=True,
    splits=2,
)
