"""The populations that are judged: at each level the wells of plates that fit or are projected, and held-out wells."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from wellspring.evaluate import position, wells
from wellspring.evaluate.centring import Centre, centred
from wellspring.evaluate.crossfit import crossfitted, crossfitted_beside, crowded_plates, deal
from wellspring.evaluate.gaps import closed
from wellspring.evaluate.levels import join, judged, lacking, split_role
from wellspring.evaluate.metric import Reads
from wellspring.io.notes import Note
from wellspring.screen.sections import Evaluate, Fit

HELD_OUT = ".heldout"
TWO_HALVES = Note("two_halves")


@dataclass(frozen=True)
class Population:
    """The wells that are judged together at one level, as the tables that the metrics read.

    Attributes
    ----------
    level
        `aggregated`, `normalised` or `aligned`.
    controls
        The table for metrics that compare with the negative controls of the same plate, and for doses. Two tables where
        plates are judged by halves of their controls: each lacks one half.
    across
        The table, or two, for metrics that compare wells of different plates.
    treated
        The table for metrics that read treated wells alone.
    chance
        Tables in place of `controls` for the chance levels of activity and grit (`wellspring.evaluate.chance`).
    beside, beside_chance
        The controls that each table of `controls` and `chance` lacks, treated as its wells were.
    centred
        How each plate was centred on its controls, for the chance levels of batch and plate effects
        (`wellspring.evaluate.centring`).
    held_out
        Whether the wells are of held-out plates; the names of their scores end in `.heldout`.
    notes
        How the controls that are judged were kept out of the fit.
    gaps
        What was left out or filled because values are missing (`wellspring.evaluate.gaps`).
    """

    level: str
    controls: tuple[pd.DataFrame, ...]
    across: tuple[pd.DataFrame, ...]
    treated: pd.DataFrame
    chance: tuple[pd.DataFrame, ...] | None = None
    beside: tuple[pd.DataFrame, ...] = ()
    beside_chance: tuple[pd.DataFrame, ...] = ()
    centred: Mapping[str, Centre] = field(default_factory=dict)
    held_out: bool = False
    notes: tuple[Note, ...] = ()
    gaps: tuple[Note, ...] = ()

    @classmethod
    def of(cls, frame: pd.DataFrame, *, level: str) -> "Population":
        """Return the population in which all metrics read the same table."""
        return cls(level, (frame,), (frame,), frame, centred=centred(frame))

    def closed(self, *, max_missing: float) -> "Population":
        """Return the population without gaps in its profiles."""
        parts = [closed(frame, max_missing=max_missing) for frame in (*self.controls, *self.across, self.treated)]
        if not any(notes for _, notes in parts):
            return self
        frames, many = [frame for frame, _ in parts], len(self.controls)
        gaps = tuple(dict.fromkeys(note for _, notes in parts[-1:] + parts[:1] for note in notes))
        return replace(
            self, controls=tuple(frames[:many]), across=tuple(frames[many:-1]), treated=frames[-1], gaps=gaps
        )

    def adjusted_chance(self) -> tuple[pd.DataFrame, ...]:
        """Return the tables for the chance levels of metrics that read adjusted profiles."""
        return _adjusted(self.chance, self.beside_chance) if self.chance else self.frames("adjusted")

    def emptied(self) -> "Population":
        """Return the population without wells: its level and the end of the names of its scores."""
        none = self.treated.iloc[:0]
        return Population(self.level, (none,), (none,), none, held_out=self.held_out)

    @property
    def suffix(self) -> str:
        """The end of the names of its scores."""
        return HELD_OUT if self.held_out else ""

    def frames(self, reads: Reads) -> tuple[pd.DataFrame, ...]:
        """Return the table, or two, that metrics of this kind read."""
        if reads == "treated":
            return (self.treated,)
        if reads == "adjusted":
            return _adjusted(self.controls, self.beside)
        return self.across if reads == "across" else self.controls


def populations(
    aggregated: Sequence[pd.DataFrame],
    normalised: Sequence[pd.DataFrame],
    aligned: pd.DataFrame,
    *,
    options: Evaluate,
    fit: Fit,
    seed: int = 0,
) -> Iterator[Population]:
    """Yield the populations of all levels that have wells; parameters as of `wellspring.evaluate.run.evaluate`.

    The tables of a level are made when it is asked for and not kept, since those of a large screen are gigabytes.

    At `aligned`, `controls` and `across` hold profiles aligned by fits that did not see their controls
    (`wellspring.evaluate.crossfit`), and `treated` holds the published profiles.
    """
    metadata = [frame[[name for name in frame if str(name).startswith("Metadata_")]] for frame in normalised]
    fitted, unseen = split_role(join(metadata))
    share = options.replicates_share
    dealt = deal(fitted, options=fit, folds=options.folds, replicates_share=share)
    every, halved = dealt.by_halves(), dealt.halved | crowded_plates(unseen, replicates_share=share)
    notes = (TWO_HALVES,) if dealt.halved else ()

    def of_level(level: str, table: pd.DataFrame) -> Iterator[Population]:
        mine, theirs = split_role(table)
        controls, beside = (take(mine, halved=halved, seed=seed) for take in (judged, lacking))
        across = judged(mine, halved=every.halved, seed=seed, recentre=False)
        yield Population(level, controls, across, mine, beside=beside, centred=centred(mine), notes=notes)
        yield _held_out(level, theirs, centred(theirs), halved=halved, seed=seed)

    first = of_level("aggregated", join(aggregated))
    del aggregated
    yield from _closed(first, fit)
    table = join(normalised)
    del normalised
    yield from _closed(of_level("normalised", table), fit)
    kept, apart = split_role(table)
    del table
    published, held = split_role(join([aligned])) if len(aligned) else (aligned, aligned)
    del aligned
    known = published[wells.PLATE].isin(set(kept[wells.PLATE]))
    published = published if known.all() else published[known].reset_index(drop=True)
    controls, across, beside = (kept,), (kept,), (kept.iloc[:0],)
    if len(kept):
        controls, beside = crossfitted_beside(kept, dealt, options=fit, published=published, seed=seed)
        across = crossfitted(kept, every, options=fit, published=published, seed=seed, recentre=False)
    # The normalised profiles of the same wells: aligned controls took part in the fits of other plates.
    chance, others = (take(kept, halved=halved, seed=seed) for take in (judged, lacking))
    last = Population("aligned", controls, across, published, chance, beside, others, centred(kept), notes=dealt.notes)
    yield from _closed([last], fit)
    del last, controls, across, chance
    yield from _closed([_held_out("aligned", held, centred(apart), halved=halved, seed=seed, aligned=True)], fit)


def _adjusted(frames: tuple[pd.DataFrame, ...], beside: tuple[pd.DataFrame, ...]) -> tuple[pd.DataFrame, ...]:
    """Return the tables without effects of position; `beside` has the controls that each lacks, where any does."""
    others = beside or (None,) * len(frames)
    return tuple(position.adjusted(*pair) for pair in zip(frames, others, strict=True))


def _closed(found: Iterable[Population], fit: Fit) -> Iterator[Population]:
    """Yield the populations that have wells, without gaps in their profiles."""
    for each in found:
        if len(each.controls[0]):
            yield each.closed(max_missing=fit.max_missing)


def _held_out(level: str, frame: pd.DataFrame, centres: Mapping[str, Centre], **given: Any) -> Population:
    controls, beside = judged(frame, **given), lacking(frame, **given)
    notes = (TWO_HALVES,) if len(controls) > 1 else ()
    return Population(level, controls, (frame,), frame, beside=beside, centred=centres, held_out=True, notes=notes)
