"""The sentences of the overview: left-out plates, what holds, what to look at, and what is not testable.

Input: a screen and the rows of its metric table. Output: statements, each a sentence with further lines.
"""

from collections.abc import Collection, Sequence

import numpy as np

from wellspring.io.keys import SITE_KEY
from wellspring.io.notes import Note
from wellspring.io.phrases import count, listed
from wellspring.report import checks, segmentation
from wellspring.report.alignment import Change
from wellspring.report.checks import Statement
from wellspring.report.differences import TRAINED, UNTRAINED, of_training, twins
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.metrics import Cell, Row
from wellspring.report.wording import capital, words
from wellspring.report.wording_profiles import LAYOUT_NOTES, METHOD_NOTES

PLATE = SITE_KEY[0]


def left_out(screen: Screen) -> list[Statement]:
    """Return one statement per plate that was left out, with its reasons."""
    reasons = {plate: screen.verdicts[plate].reasons or ("no reason given",) for plate in screen.left_out}
    return [Statement(plate, "quality", found) for plate, found in reasons.items()]


def passes(screen: Screen, rows: Sequence[Row], *, level: str, changes: Sequence[Change] = ()) -> list[Statement]:
    """Return what holds: kept plates, biology above chance, batch effects at chance, gains by alignment.

    The main scores are named; the others are counted.
    """
    found = []
    odd = checks.odd_plates(screen)
    implausible = set(segmentation.fields(screen)[PLATE])
    passed = [plate for plate in screen.kept if plate not in odd and plate not in implausible]
    if passed:
        kept = f"{len(passed):,} of {count(len(screen.plates), 'plate')}"
        found.append(Statement(f"{kept} passed every check and {_are(passed)} in the results.", "plates"))
    for name, lines in _scores(rows, level, direction=1, state="above", but=LAYOUT_NOTES):
        found.append(Statement(f"{name}: above chance.", "metrics", lines))
    for name, lines in _scores(rows, level, direction=-1, state="at"):
        found.append(Statement(f"{name}: not above chance.", "metrics", lines))
    found += _further(rows, level, direction=1, state="above", relation="above chance")
    return found + _aligned(changes, good=True)


def look_at(
    screen: Screen, rows: Sequence[Row], fields: Sequence[Record], *, level: str, changes: Sequence[Change] = ()
) -> list[Statement]:
    """Return what to look at: batch effects, weak scores, losses by alignment, lost wells, light, collapse."""
    found = checks.unlike_others(screen) + checks.fits(screen) + _aligned(changes, good=False) + _mixing(rows, level)
    for name, lines in _scores(rows, level, direction=-1, state="above"):
        found.append(Statement(f"{name}: above chance.", "metrics", lines))
    for name, lines in _scores(rows, level, direction=1, state="at"):
        found.append(Statement(f"{name}: not above chance.", "metrics", lines))
    found += _further(rows, level, direction=-1, state="above", relation="above chance")
    found += _further(rows, level, direction=1, state="at", relation="not above chance")
    found += checks.images(screen) + checks.clipping(screen) + checks.wells(screen)
    found += segmentation.statements(segmentation.fields(screen))
    return found + checks.light(fields) + checks.training(screen)


def open_questions(screen: Screen, rows: Sequence[Row]) -> list[Statement]:
    """Return what is not testable: scores that position explains, limits of scores, missing chance levels and twins."""
    shown = [(row, cell) for row in rows for cell in row.cells if cell]
    found: list[Statement] = []
    notes: dict[Note, dict[str, None]] = {}
    confounded = list(dict.fromkeys(row.name for row, cell in shown if cell.state == "position"))
    if confounded:
        text = "Above chance, but not above the score of the well position alone: the plate layout may explain it."
        found.append(Statement(text, "metrics", (_concerns(confounded),)))
    for row, cell in sorted(shown, key=lambda pair: not pair[1].defined):  # limits of existing values first
        for note in cell.notes:
            if note.code not in METHOD_NOTES:
                notes.setdefault(note, {})[row.name] = None
    for note, names in notes.items():
        found.append(Statement(f"{capital(words(note))}.", "metrics", (_concerns(list(names)),)))
    empty = sorted({row.name for row, cell in shown if not cell.defined and not cell.notes})
    if empty:
        found.append(Statement("No value at one profile level or more.", "metrics", (_concerns(empty),)))
    bare = sorted({row.name for row, cell in shown if cell.defined and not np.isfinite(cell.expected)})
    if bare:
        text = "No chance level: values can only be compared between encoders and profile levels."
        found.append(Statement(text, "metrics", (_concerns(bare),)))
    return found + _limits(screen, rows)


def _limits(screen: Screen, rows: Sequence[Row]) -> list[Statement]:
    """Return the limits of the screen's design: no untrained encoder, no held-out plate, nothing evaluated."""
    found, paired = [], twins(screen)
    alone = [name for name in of_training(screen, TRAINED) if name not in paired]
    if rows and not of_training(screen, UNTRAINED):
        text = "No untrained encoder in this screen: the gain over an untrained network is unknown."
        found.append(Statement(text, "metrics"))
    elif rows and alone:
        text = "No untrained twin (same network, view and initial weights): the gain by training is unknown."
        found.append(Statement(text, "metrics", (_concerns(alone),)))
    roles = zip(screen.sheet["plate"], pick(screen.sheet, "role", "fit"), strict=True)
    held = [plate for plate, role in roles if role == "heldout" and plate in screen.plates]
    if held:
        text = (
            f"{count(len(held), 'plate')} held out of training; the encoders saw the images of all other evaluated "
            "wells."
        )
        found.append(Statement(text, "", (listed(held),)))
    elif screen.history:
        text = "No plate is held out: trained encoders saw the images of the evaluated wells, but not their labels."
        found.append(Statement(text))
    labelled = {name: card["labels"]["compounds"] for name, card in screen.cards.items() if card.get("labels")}
    if labelled:
        lines = [f"{name}: labels of {count(seen, 'compound')}" for name, seen in labelled.items()]
        text = "Training read the labels of some compounds; the scores of these encoders are those of other compounds."
        found.append(Statement(text, "metrics", tuple(lines)))
    if not screen.kept:
        found.append(Statement("No plate is left, so the profiles cannot be evaluated."))
    elif not rows:
        found.append(Statement("Nothing was evaluated, so the quality of the profiles is unknown."))
    return found


def _scores(
    rows: Sequence[Row], level: str, *, direction: int, state: str, but: Collection[str] = ()
) -> list[tuple[str, tuple[str, ...]]]:
    """Return (metric, one line per encoder) of the scores in a state, less those with a note of the codes `but`."""
    found = []
    for row in rows:
        cells = [cell for cell in row.cells if cell and cell.direction == direction and cell.state == state]
        cells = [cell for cell in cells if not any(note.code in but for note in cell.notes)]
        if row.level == level and row.main and cells:
            lines = [f"{cell.encoder} {cell.value} ({cell.interval}; {cell.chance})" for cell in cells]
            found.append((row.name, tuple(lines)))
    return found


def _further(rows: Sequence[Row], level: str, *, direction: int, state: str, relation: str) -> list[Statement]:
    """Return one statement with the number of further metrics in a state for one encoder or more."""
    names = [
        row.name
        for row in rows
        if row.level == level
        and not row.main
        and any(
            cell and cell.direction == direction and cell.state == state and not _confounded(cell, direction)
            for cell in row.cells
        )
    ]
    kind = "biology" if direction > 0 else "batch effects"
    text = f"{count(len(names), 'further score')} of {kind} {_are(names)} {relation}."
    return [Statement(text, "metrics", (listed(names, limit=3),))] if names else []


def _mixing(rows: Sequence[Row], level: str) -> list[Statement]:
    """Return the scores of mixing that are below full mixing, one line per metric and encoder."""
    cells = [(row.name, cell) for row in rows if row.level == level for cell in row.cells if cell]
    lines = [
        f"{cell.encoder}, {name}: {cell.value} ({cell.interval}; {cell.chance})"
        for name, cell in cells
        if cell.state == "below"
    ]
    if not lines:
        return []
    text = f"{count(len(lines), 'mixing score')} below full mixing: profiles differ between batches or plates."
    return [Statement(text, "metrics", checks.cut(lines))]


def _confounded(cell: Cell, direction: int) -> bool:
    """Return whether the plate layout alone could give a score of biology."""
    return direction > 0 and cell.state == "above" and any(note.code in LAYOUT_NOTES for note in cell.notes)


def _aligned(changes: Sequence[Change], *, good: bool) -> list[Statement]:
    """Return the clear changes by alignment, better or worse, one line per metric and encoder."""
    lines = [f"{one.encoder}, {one.name}: {one.before} to {one.after}" for one in changes if one.good == good]
    if not lines:
        return []
    text = f"Alignment made {count(len(lines), 'score')} {'better' if good else 'worse'} by more than the intervals."
    return [Statement(text, "alignment", checks.cut(lines))]


def _are(names: Collection[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _concerns(names: Sequence[str]) -> str:
    return f"Concerns: {listed(names, limit=4)}."
