"""One task of transfer: a label predicted in one group of wells with references from another.

Used by `wellspring.evaluate.transfer`, which hands over similarities block by block.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from wellspring.evaluate import wells
from wellspring.evaluate.jackknife import Groups, Jackknife, of_queries
from wellspring.evaluate.left_out import listed, shortened
from wellspring.evaluate.nearest import dealt_labels, permuted
from wellspring.evaluate.neighbours import Nearest, largest, winners
from wellspring.evaluate.score import Score, absent
from wellspring.evaluate.wells import Array
from wellspring.io.notes import Note


@dataclass
class Task:
    """One prediction task: one label, between the groups of one column."""

    stem: str
    label: str
    member: Array  # (n,) wells that take part
    target: Array  # (n,) object
    group: Array  # (n,) object
    lost: int
    reason: Note | None
    parts: list[dict[str, Array]] = field(default_factory=list)
    without: list[list[dict[str, Array]]] = field(default_factory=list)

    @classmethod
    def of(cls, metadata: pd.DataFrame, usable: Array, between: str, label: str, column: str) -> "Task":
        """Return the task of a label (`column`) between groups; `usable` (n,) are the wells with a profile."""
        target, group = wells.column(metadata, column), wells.column(metadata, between)
        named = wells.labelled(metadata, column, between, "Metadata_Compound", wells.PLATE)
        member, reason = named & usable, None
        counts = len(set(group[member])), len(set(target[member]))
        if min(counts) < 2:
            reason = Note("too_few_groups", {"column": between, "groups": counts[0], "labels": counts[1]})
        stem = f"transfer.{between.removeprefix('Metadata_').lower()}.{label}"
        return cls(stem, label, member, target, group, int((named & ~usable).sum()), reason)

    def start(self, union: Array, compound: Array, plate: Array, family: Array, queries: Array) -> None:
        """Take the codes of the wells that are in the union, each group's references, and the jackknife's queries."""
        self.member, self.plate = self.member[union], plate
        self.families, self.queries = Groups.of(family), queries
        self.compound, self.owner = compound, wells.codes(compound)
        self.targets = np.unique(self.target[union][self.member].astype(str))
        self.groups = np.unique(self.group[union][self.member].astype(str))
        self.code = np.full(len(union), -1, dtype=np.int32)
        self.place = np.full(len(union), -1, dtype=np.int32)
        self.code[self.member] = np.searchsorted(self.targets, self.target[union][self.member].astype(str))
        self.place[self.member] = np.searchsorted(self.groups, self.group[union][self.member].astype(str))
        self.references = [np.flatnonzero(self.place == number) for number in range(len(self.groups))]
        self.without = [[] for _ in self.references]

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
            values = self._masked(similarity[np.ix_(mine, reference)], query, source)
            places, best = largest(values, k)
            valid, open_ = np.isfinite(best), np.isfinite(values)
            count = open_.sum(axis=1)
            same = (open_ & (self.code[query, None] == self.code[None, reference])).sum(axis=1)
            part = {"source": np.full(len(query), source), "query": query, "nearest": reference[places[:, 0]]}
            part |= {"partners": same, "allowed": count}
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
            self._keep_neighbours(values, query, source, max(neighbours))

    def _masked(self, values: Array, query: Array, source: int) -> Array:
        """Return similarities (b, references of a group), -inf where a reference may not be used."""
        reference = self.references[source]
        if self.label == "mechanism":
            values[self.owner[query, None] == self.owner[None, reference]] = -np.inf
        within = np.flatnonzero(self.place[query] == source)
        if len(within):
            other = self.plate[query[within], None] != self.plate[None, reference]
            values[within] = np.where(other, values[within], -np.inf)
        return values

    def _keep_neighbours(self, values: Array, query: Array, source: int, k: int) -> None:
        """Keep the neighbours of the jackknife's queries, so many that k are left without any family."""
        mine, reference = np.isin(query, self.queries), self.references[source]
        query, values = query[mine], values[mine]
        open_, groups = np.isfinite(values), Groups(self.families.code[reference], self.families.names)
        places, best = largest(values, listed(groups, k, len(reference)))
        allowed = open_.sum(axis=1)
        same = open_ & (self.code[query, None] == self.code[None, reference])
        left = allowed[:, None] - open_ @ groups.onehot()
        frequency = (same.sum(axis=1)[:, None] - same @ groups.onehot()) / np.maximum(left, 1)
        part = {"query": query, "places": places, "similarity": best, "allowed": allowed, "frequency": frequency}
        self.without[source].append(part)

    def _left_out(self, neighbours: tuple[int, ...]) -> dict[str, Array]:
        """Predict the labels of the jackknife's queries without each family of references."""
        found = list[dict[str, Array]]()
        for source, reference in enumerate(self.references):
            parts = self.without[source]
            kept = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            query, code, count = kept["query"], self.families.code[reference], len(self.families)
            near = Nearest(kept["places"], kept["similarity"], kept["allowed"], kept["allowed"])
            part = {"query": query, "source": np.full(len(query), source), "frequency": kept["frequency"]}
            for k in neighbours:
                part[f"k{k}"] = np.full((len(query), count), np.nan)
            for group in range(count):
                index, valid = shortened(near, code, group, max(neighbours))
                voters, some = self.code[reference[index]], valid.any(axis=1)
                for k in neighbours:
                    right = winners(voters[:, :k], valid[:, :k]) == self.code[query]
                    part[f"k{k}"][:, group] = np.where(some, right, np.nan)
            found.append(part)
        return {name: np.concatenate([part[name] for part in found]) for name in found[0]}

    def jackknife(self, score: Score, table: pd.DataFrame, left: dict[str, Array], k: int) -> Score:
        """Return the score of a part of the pairs with its jackknife over families.

        `table` has all predictions, `left` those without each family.
        """
        if not len(score.units):
            return score
        key = table["query"].to_numpy() * len(self.groups) + table["source"].to_numpy()
        order = np.argsort(key)
        mine = order[np.searchsorted(key[order], left["query"] * len(self.groups) + left["source"])]
        every = score.weights is not None
        valued = np.isfinite(table["value"].to_numpy(dtype=float))[mine]
        used = np.flatnonzero(valued & (every | ~table["diagonal"].to_numpy()[mine]))
        rows = table.iloc[mine[used]]
        value, chance = rows["value"].to_numpy(dtype=float), rows["chance"].to_numpy(dtype=float)
        whole = (rows["partners"] / np.maximum(rows["allowed"], 1)).to_numpy()[:, None]
        ratio = np.divide(left["frequency"][used], whole, out=np.ones_like(left["frequency"][used]), where=whole > 0)
        rise, shared = of_queries(
            value,
            left[f"k{k}"][used],
            np.full(len(value), np.nan) if every else chance,
            chance[:, None] * ratio,
            self.families.code[rows["query"].to_numpy()],
            stratum=rows["stratum"].to_numpy(),
            shares=score.weights,
        )
        found = Jackknife("mechanisms", pd.Series(score.value - rise, index=list(self.families.names)), shared)
        return replace(score, jackknives=(found,))

    def scores(self, neighbours: tuple[int, ...], permutations: int, seed: int, notes: tuple[Note, ...]) -> list[Score]:
        """Return the scores of all queries.

        A pair of groups without a label that a query could find has no value: 0 would be the layout's, not the
        profiles'.
        """
        if self.reason is not None:
            return [absent(f"{self.stem}.k{k}", self.reason, n_undefined=self.lost) for k in neighbours]
        table = pd.DataFrame({name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]})
        into, source = self.place[table["query"].to_numpy()], table["source"].to_numpy()
        pairs = np.array([f"{s}->{t}" for s in self.groups for t in self.groups], dtype=object)
        table["stratum"], table["diagonal"] = pairs[source * len(self.groups) + into], source == into
        table["cluster"] = self.compound[table["query"].to_numpy()]
        found, left = [], self._left_out(neighbours)
        hopeless = table.groupby("stratum")["partners"].transform("sum").to_numpy() == 0
        table.loc[hopeless, [f"{name}{k}" for name in ("k", "chance") for k in neighbours]] = np.nan
        if hopeless.any() and not hopeless.all():
            empty = table.loc[hopeless, "stratum"].nunique()
            notes = (*notes, Note("no_label_in_both", {"pairs": empty, "total": table["stratum"].nunique()}))
        for k in neighbours:
            mine = table.assign(value=table[f"k{k}"], chance=table[f"chance{k}"])
            each = _scores(f"{self.stem}.k{k}", mine, self.lost, k)
            found += [self.jackknife(score, mine, left, k).noted(*notes) for score in each]
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
                notes=(Note("no_label_in_other_group"),),
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
        return [main, absent(f"{metric}.gap", Note("no_label_twice_in_group"))]
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
