"""Trained encoders beside their untrained twins and beside simple encoders, by paired differences of their scores.

Input: a screen. Output: which encoders are compared, the table of differences, and statements with verdicts.
"""

from collections.abc import Mapping

import pandas as pd

from wellspring.encoders import cards
from wellspring.evaluate.paired import BETTER, UNDECIDED, WORSE, differences
from wellspring.io.phrases import count, listed
from wellspring.io.tables import features
from wellspring.profile.aggregate import hand_made
from wellspring.report import naming
from wellspring.report.checks import Statement
from wellspring.report.gather import Screen
from wellspring.report.svg import fixed

TRAINED, UNTRAINED = "trained", "untrained"  # values of `training` in an encoder's card
SIMPLE = "intensity"  # the objective of encoders that measure intensities alone


def described(screen: Screen) -> dict[str, Mapping[str, object]]:
    """Return encoder -> card of the encoders whose card states their training."""
    known = {name: screen.cards.get(name, {}) for name in screen.encoders}
    return {name: card for name, card in known.items() if {"training", "network_sha256"} <= set(card)}


def of_training(screen: Screen, training: str) -> list[str]:
    """Return the encoders whose cards state this training."""
    return [name for name, card in described(screen).items() if card["training"] == training]


def twins(screen: Screen) -> dict[str, str]:
    """Return trained encoder -> its untrained twin, by their cards; encoders without one are left out."""
    known = described(screen)
    names = {id(card): name for name, card in known.items()}
    found = {name: cards.twin(card, known.values()) for name, card in known.items()}
    return {name: names[id(card)] for name, card in found.items() if card is not None}


def classical(screen: Screen) -> list[str]:
    """Return the encoders of classical features: no network, and most features have names of such."""
    tables = {name: screen.aligned.get(name) for name in screen.encoders if name not in screen.cards}
    return [name for name, table in tables.items() if table is not None and hand_made(features(table))]


def _judged(screen: Screen, encoder: str) -> tuple[object, ...]:
    """Return which fold of compounds an encoder is judged on; nothing for all compounds."""
    options = screen.cards.get(encoder, {}).get("entry", {}).get("local_aggregation", {})
    return (options["heldout_folds"], options["heldout_fold"]) if options.get("heldout") else ()


def beaten(screen: Screen, found: pd.DataFrame, level: str) -> list[Statement]:
    """Return one statement that names the encoders that do not exceed a simpler one at a level, a line each; or none.

    An encoder exceeds a base if at least one of the scores that the report shows first is better and none is worse.
    """
    first = [naming.main(str(name)) for name in found["Metadata_Metric"]]
    mine = found[(found["Metadata_Level"] == level) & pd.Series(first, index=found.index, dtype=bool)]
    lines = []
    for encoder, theirs in mine.groupby("Encoder", sort=False):
        lost = []
        for base, verdicts in theirs.groupby("Base", sort=False)["Metadata_Verdict"]:
            better, worse = (int((verdicts == each).sum()) for each in (BETTER, WORSE))
            if not better or worse:
                lost.append(f"{base} ({better} better, {worse} worse, {len(verdicts) - better - worse} undecided)")
        lines += [f"{encoder} does not exceed {listed(lost, limit=6)}"] if lost else []
    if not lines:
        return []
    names = count(len(lines), "encoder")
    verb = "does" if len(lines) == 1 else "do"
    text = f"{names} {verb} not exceed a simpler one on the main scores (same wells, paired)."
    return [Statement(text, "metrics", tuple(lines))]


def pairs(screen: Screen) -> list[tuple[str, str]]:
    """Return (encoder, base) of the encoders that are compared.

    The bases of a trained encoder are its untrained twin, or every untrained encoder where it has none, every encoder
    of intensities, and classical features. Other encoders are compared with every untrained and every simple one;
    classical features are no base of themselves. Encoders that are judged on different compounds
    (`local_aggregation.heldout`) are not compared.
    """
    paired, untrained = twins(screen), of_training(screen, UNTRAINED)
    simple = [name for name, card in screen.cards.items() if card.get("objective", card.get("kind")) == SIMPLE]
    floors, handmade = {*untrained, *paired.values(), *simple}, classical(screen)
    found = []
    for name in screen.encoders:
        if name not in floors:
            bases = [paired[name]] if name in paired else untrained
            bases = [*bases, *(one for one in simple if one in screen.encoders)]
            bases += [] if name in handmade else handmade
            found += [(name, base) for base in bases if _judged(screen, name) == _judged(screen, base)]
    return list(dict.fromkeys(found))


def table(screen: Screen) -> pd.DataFrame:
    """Return the paired differences of the screen's encoders, see `wellspring.evaluate.paired.differences`."""
    return differences(screen.summary, pairs(screen) if len(screen.summary) else [])


def statements(found: pd.DataFrame, level: str, verdict: str) -> list[Statement]:
    """Return one statement on the differences with a verdict at a level, one line per pair of encoders; or none."""
    mine = found[(found["Metadata_Level"] == level) & (found["Metadata_Verdict"] == verdict)]
    if mine.empty:
        return []
    lines = []
    for (encoder, base), rows in mine.groupby(["Encoder", "Base"], sort=False):
        ordered = rows.sort_values("Metadata_Metric", key=lambda names: names.map(naming.order), kind="stable")
        lines.append(f"{encoder} minus {base}: {listed([_words(row) for row in ordered.to_dict('records')], limit=3)}")
    scores = f"{count(len(mine), 'score')} of learned profiles {'is' if len(mine) == 1 else 'are'}"
    text = {
        BETTER: f"{scores} better than those of an untrained or simple encoder (same wells, paired).",
        WORSE: f"{scores} worse than those of an untrained or simple encoder (same wells, paired).",
        UNDECIDED: f"{scores} neither better nor worse than those of an untrained or simple encoder (same wells, "
        "paired): the interval of the difference holds 0, or there are too few groups for one.",
    }[verdict]
    return [Statement(text, "metrics", tuple(lines))]


def _words(row: Mapping[str, object]) -> str:
    value, low, high = (float(str(row[name])) for name in ("value", "low", "high"))
    name = naming.describe(str(row["Metadata_Metric"]))[0]
    sign = "+" if value > 0 else ""
    return f"{name} {sign}{fixed(value)}" + ("" if low != low else f" ({fixed(low)} to {fixed(high)})")


def rows(found: pd.DataFrame) -> pd.DataFrame:
    """Return the differences as rows of the summary: the encoder's name is `<encoder> minus <base>`."""
    return found.assign(Encoder=found["Encoder"].astype(str) + " minus " + found["Base"].astype(str))
