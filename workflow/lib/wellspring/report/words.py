"""The overview in words: a screen and its metric rows in, sentences out.

They say which plates were left out, what holds, what to look at and what can not be concluded.
"""

from collections.abc import Collection, Sequence

import numpy as np

from wellspring.evaluate.metric import LAYOUT_NOTES, METHOD_NOTES
from wellspring.io.notes import Note
from wellspring.report import checks
from wellspring.report.alignment import Change
from wellspring.report.checks import Statement, count, listed
from wellspring.report.gather import Screen, pick
from wellspring.report.metrics import Cell, Row
from wellspring.report.wording import words as sentence

UNTRAINED = "random"  # start of the name of an untrained encoder


def left_out(screen: Screen) -> list[Statement]:
    """Return one statement a plate that was left out, with its reasons."""
    reasons = {plate: screen.verdicts[plate].reasons or ("no reason was given",) for plate in screen.left_out}
    return [Statement(plate, "quality", found) for plate, found in reasons.items()]


def passes(screen: Screen, rows: Sequence[Row], *, level: str, changes: Sequence[Change] = ()) -> list[Statement]:
    """Return what holds: kept plates, biology above chance, nuisance that stays at chance, what alignment improved.

    Of the scores the main ones are named; the others are counted.
    """
    found = []
    if screen.kept:
        kept = f"{count(len(screen.kept), 'plate')} of {len(screen.plates)}"
        found.append(Statement(f"{kept} passed every check and joined the results.", "plates"))
    for name, lines in _scores(rows, level, direction=1, state="above", but=LAYOUT_NOTES):
        found.append(Statement(f"{name} is above chance.", "metrics", lines))
    for name, lines in _scores(rows, level, direction=-1, state="at"):
        found.append(Statement(f"{name} is not above chance.", "metrics", lines))
    found += _further(rows, level, direction=1, state="above", words="above chance")
    return found + _aligned(changes, good=True)


def look_at(
    screen: Screen, rows: Sequence[Row], fields: Sequence[dict], *, level: str, changes: Sequence[Change] = ()
) -> list[Statement]:
    """Return what a person should look at: nuisance, weak scores, harm of alignment, lost wells, light, collapse."""
    found = checks.fits(screen) + _aligned(changes, good=False) + _mixing(rows, level)
    for name, lines in _scores(rows, level, direction=-1, state="above"):
        found.append(Statement(f"{name} is above chance.", "metrics", lines))
    for name, lines in _scores(rows, level, direction=1, state="at"):
        found.append(Statement(f"{name} is not above chance.", "metrics", lines))
    found += _further(rows, level, direction=-1, state="above", words="above chance")
    found += _further(rows, level, direction=1, state="at", words="not above chance")
    found += _untrained(rows, level) + checks.images(screen) + checks.wells(screen)
    return found + checks.light(fields) + checks.training(screen)


def open_questions(screen: Screen, rows: Sequence[Row]) -> list[Statement]:
    """Return what can not be concluded: by position, the evaluation's notes, a lack of chance level or baseline."""
    shown = [(row, cell) for row in rows for cell in row.cells if cell]
    found: list[Statement] = []
    notes: dict[Note, dict[str, None]] = {}
    confounded = list(dict.fromkeys(row.name for row, cell in shown if cell.state == "position"))
    if confounded:
        text = "Above chance, but not above what the well's position alone gives: it may be the layout."
        found.append(Statement(text, "metrics", (_concerns(confounded),)))
    for row, cell in sorted(shown, key=lambda pair: pair[1].value == "–"):  # first what limits a value that is there
        for note in cell.notes:
            if note.code not in METHOD_NOTES:
                notes.setdefault(note, {})[row.name] = None
    for note, names in notes.items():
        found.append(
            Statement(f"{sentence(note)[:1].upper()}{sentence(note)[1:]}.", "metrics", (_concerns(list(names)),))
        )
    empty = sorted({row.name for row, cell in shown if cell.value == "–" and not cell.notes})
    if empty:
        text = "Could not be computed from this screen at one level at least."
        found.append(Statement(text, "metrics", (_concerns(empty),)))
    bare = sorted({row.name for row, cell in shown if cell.chance == "no chance level" and cell.value != "–"})
    if bare:
        text = "Without a chance level a value can only be compared between encoders and levels."
        found.append(Statement(text, "metrics", (_concerns(bare),)))
    return found + _limits(screen, rows)


def _limits(screen: Screen, rows: Sequence[Row]) -> list[Statement]:
    """Return the limits of the screen's design: no untrained encoder, no plate held out, nothing evaluated."""
    found = []
    if rows and not any(name.startswith(UNTRAINED) for name in screen.encoders):
        text = "No untrained encoder stands beside these: what training adds over an untrained network is not known."
        found.append(Statement(text, "metrics"))
    roles = zip(screen.sheet["plate"], pick(screen.sheet, "role", "fit"), strict=True)
    held = [plate for plate, role in roles if role == "heldout" and plate in screen.plates]
    if held:
        text = f"{count(len(held), 'plate')} held out; encoders saw the images of all other wells they are judged on."
        found.append(Statement(text, "", (listed(held),)))
    elif screen.history:
        text = (
            "No plate is held out: trained encoders saw the images of the wells they are judged on, not their labels."
        )
        found.append(Statement(text))
    if not screen.kept:
        found.append(Statement("No plate is left, so nothing can be concluded about the profiles."))
    elif not rows:
        found.append(Statement("Nothing was evaluated, so the profiles can not be judged."))
    return found


def _scores(
    rows: Sequence[Row], level: str, *, direction: int, state: str, but: Collection[str] = ()
) -> list[tuple[str, tuple[str, ...]]]:
    """Return (metric, a line an encoder) of the scores in a state, less those with a note of the codes `but`."""
    found = []
    for row in rows:
        cells = [cell for cell in row.cells if cell and cell.direction == direction and cell.state == state]
        cells = [cell for cell in cells if not any(note.code in but for note in cell.notes)]
        if row.level == level and row.main and cells:
            lines = [f"{cell.encoder} {cell.value} ({cell.interval}; {cell.chance})" for cell in cells]
            found.append((row.name, tuple(lines)))
    return found


def _further(rows: Sequence[Row], level: str, *, direction: int, state: str, words: str) -> list[Statement]:
    """Return one statement of how many further metrics are in a state for some encoder."""
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
    kind = "biology" if direction > 0 else "nuisance"
    text = f"{count(len(names), 'further score')} of {kind} {'is' if len(names) == 1 else 'are'} {words}."
    return [Statement(text, "metrics", (listed(names, limit=3),))] if names else []


def _mixing(rows: Sequence[Row], level: str) -> list[Statement]:
    """Return the scores of mixing that lie below full mixing, a line a metric and encoder."""
    cells = [(row.name, cell) for row in rows if row.level == level for cell in row.cells if cell]
    lines = [
        f"{cell.encoder}, {name}: {cell.value} ({cell.interval}; {cell.chance})"
        for name, cell in cells
        if cell.state == "below"
    ]
    if not lines:
        return []
    more = (f"and {len(lines) - checks.SHOWN} more",) if len(lines) > checks.SHOWN else ()
    text = f"{count(len(lines), 'score')} of mixing below full mixing: batches or plates can be told apart."
    return [Statement(text, "metrics", (*lines[: checks.SHOWN], *more))]


def _confounded(cell: Cell, direction: int) -> bool:
    """Return whether the layout alone could give a score of biology."""
    return direction > 0 and cell.state == "above" and any(note.code in LAYOUT_NOTES for note in cell.notes)


def _aligned(changes: Sequence[Change], *, good: bool) -> list[Statement]:
    """Return what the alignment changed clearly, for the better or the worse, a line a metric and encoder."""
    lines = [f"{one.encoder}, {one.name}: {one.before} to {one.after}" for one in changes if one.good == good]
    if not lines:
        return []
    text = f"Alignment made {count(len(lines), 'score')} {'better' if good else 'worse'} by more than the intervals."
    more = (f"and {len(lines) - checks.SHOWN} more",) if len(lines) > checks.SHOWN else ()
    return [Statement(text, "alignment", (*lines[: checks.SHOWN], *more))]


def _untrained(rows: Sequence[Row], level: str) -> list[Statement]:
    """Return the encoders whose interval does not clear the untrained encoder, the floor of all others."""
    behind: dict[str, list[str]] = {}
    for row in rows:
        floors = [
            cell for cell in row.cells if cell and cell.encoder.startswith(UNTRAINED) and np.isfinite(cell.number)
        ]
        if row.level != level or not floors:
            continue
        floor = max(cell.number for cell in floors)
        for cell in row.cells:
            if cell and cell.direction > 0 and not cell.encoder.startswith(UNTRAINED) and cell.low <= floor:
                behind.setdefault(cell.encoder, []).append(row.name)
    lines = tuple(f"{name}: {listed(names, limit=3)}" for name, names in behind.items())
    return [Statement("Not above the untrained encoder on every score.", "metrics", lines)] if lines else []


def _concerns(names: Sequence[str]) -> str:
    return f"Concerns: {listed(names, limit=4)}."
