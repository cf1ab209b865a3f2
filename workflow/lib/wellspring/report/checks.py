"""Quality of a screen without metrics. Input: a screen. Output: totals and statements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from wellspring.align.odd_plates import COLLAPSED as NO_SPREAD
from wellspring.align.odd_plates import LEFT_OUT
from wellspring.illumination.flatfield import FEW
from wellspring.io.phrases import count, listed
from wellspring.report.gather import Record, Screen, pick
from wellspring.report.svg import number
from wellspring.report.wording import kinds, worded, words

COLLAPSED = 0.1  # share of its largest value under which the features' spread is called collapsed
FALLBACK = "too_few_for_step"  # code of the note of a step that had fewer wells than it needs
CLIPPED = 0.001  # share of an image's pixels at the ceiling from which the overview names it
LISTED = 200  # lines under a statement; the page shows the first and unfolds the others


@dataclass(frozen=True)
class Statement:
    """One sentence of the overview, the section that it links to, and the lines below it."""

    text: str
    anchor: str = ""
    lines: tuple[str, ...] = ()


def cut(lines: Sequence[str]) -> tuple[str, ...]:
    """Return the first lines, and the number of those that would make the page heavy."""
    more = (f"and {len(lines) - LISTED:,} more, which are in the tables of the results",) if len(lines) > LISTED else ()
    return (*lines[:LISTED], *more)


def undefined(screen: Screen) -> int:
    """Return how many wells of kept plates have no profile, by the encoder that lacks most."""
    frames = [frame for frame in screen.aligned.values() if "Metadata_Verdict" in frame]
    return max((int((frame["Metadata_Verdict"] == "undefined").sum()) for frame in frames), default=0)


def totals(screen: Screen) -> list[tuple[str, str, str]]:
    """Return (name, number, detail) of the numbers at the top of the page.

    Negative controls are wells, but their vehicle is not counted as a compound.
    """
    wells = screen.wells
    planes, missing = (int(pick(wells, name, 0).sum()) for name in ("Planes", "Missing"))
    out = int((screen.survey["Metadata_Verdict"] != "keep").sum()) if len(screen.survey) else 0
    lost, without = max(out, missing), undefined(screen)  # a missing plane is left out by the survey too
    profiles = "none without a profile" if screen.aligned else "no profiles"
    ready = screen.survey.empty and bool(screen.crops)  # cells that were cropped before
    cells = int(screen.cells["Cells"].sum()) if len(screen.cells) else None
    cells = sum(map(len, screen.crops.values())) if ready else cells
    density = f"{(cells or 0) / max(len(wells), 1):,.0f} per well"
    tested = wells[pick(wells, "Metadata_pert_type") != "negcon"]
    compounds, mechanisms = (pick(tested, name).nunique() for name in ("Metadata_Compound", "Metadata_moa"))
    return [
        ("plates", f"{len(screen.kept):,}", f"of {len(screen.plates):,} in the results"),
        ("wells", f"{len(wells):,}", f"{without:,} without a profile" if without else profiles),
        ("images", f"{planes + missing:,}", f"{lost:,} missing or left out" if lost else "none missing or left out")
        if planes or lost
        else ("images", "–", "cells are ready-made crops" if ready else "profiles come from tables"),
        ("cells", "–" if cells is None else f"{cells:,}", "cells were not segmented" if cells is None else density),
        ("compounds", f"{compounds:,}", count(mechanisms, "mechanism")),
    ]


def images(screen: Screen) -> list[Statement]:
    """Return the images that the survey left out, by reason."""
    if screen.survey.empty:
        return []
    bad = screen.survey[screen.survey["Metadata_Verdict"] != "keep"]
    if bad.empty:
        return []
    reasons = (
        bad["Metadata_Reason"]
        .fillna("")
        .map(lambda found: kinds(found) or "no reason given")
        .value_counts(sort=False)
        .sort_index()
    )
    reasons = reasons.sort_values(ascending=False, kind="stable")
    lines = [f"{amount:,} × {reason}" for reason, amount in reasons.items()]
    plates = count(bad["Metadata_Plate"].nunique(), "plate")
    text = f"{count(len(bad), 'image')} on {plates} excluded; a site with an excluded image is excluded as a whole."
    return [Statement(text, "quality", cut(lines))]


def clipping(screen: Screen) -> list[Statement]:
    """Return the plates and channels whose images are clipped at a grey value, with the share of their pixels."""
    found = screen.survey
    hit = found[pick(found, "Metadata_Ceiling").notna() & (found["saturated"] > CLIPPED)] if len(found) else found
    if hit.empty:
        return []
    lines = []
    for (plate, channel), rows in hit.groupby(["Metadata_Plate", "Metadata_Channel"], sort=True):
        tops = listed([f"{top:.0f}" for top in sorted(set(rows["Metadata_Ceiling"]))])
        share = 100 * rows["saturated"].max()
        lines.append(f"{plate}, {channel}: {count(len(rows), 'image')} at {tops}, up to {share:.1f} % of the pixels")
    text = f"{count(len(hit), 'image')} {'is' if len(hit) == 1 else 'are'} clipped at a grey value"
    return [Statement(f"{text} in more than {100 * CLIPPED:.1f} % of the pixels.", "quality", cut(lines))]


def wells(screen: Screen) -> list[Statement]:
    """Return the wells that images and platemap do not agree on, and those without a profile."""
    found, audit = [], screen.audit
    if len(audit):
        imaged = audit["Metadata_In_Images"].groupby(audit["Metadata_Plate"]).transform("any")  # no screen of tables
        for mask, words in (
            (audit["Metadata_In_Images"] & ~audit["Metadata_In_Platemap"], "in the images but not in the platemap"),
            (imaged & ~audit["Metadata_In_Images"], "in the platemap but without images"),
            (audit["Metadata_Doubled"], "with an image that the index has more than once"),
        ):
            if mask.any():
                names = audit.loc[mask, "Metadata_Well"].groupby(audit["Metadata_Plate"])
                lines = [f"{plate}: {', '.join(names_)}" for plate, names_ in names]
                found.append(Statement(f"{count(int(mask.sum()), 'well')} {words}.", "quality", cut(lines)))
    if undefined(screen):
        why = "no cells, foreground or row in a table"
        text = f"{count(undefined(screen), 'well')} of kept plates without a profile ({why})."
        found.append(Statement(text, "quality", ("All metrics count them as undefined.",)))
    for encoder, frame in screen.aligned.items():
        absent = [plate for plate in screen.kept if plate not in set(pick(frame, "Metadata_Plate"))]
        if absent:
            text = f"The profiles of {encoder} lack {count(len(absent), 'plate')} that other encoders have."
            found.append(Statement(text, "quality", (listed(absent),)))
    return found


def light(fields: Sequence[Record]) -> list[Statement]:
    """Return the flat fields that are not applied, weak, or did harm; `fields` as `lights.fields` gives them."""
    idle = [row for row in fields if not row.get("applied", True)]
    used = [row for row in fields if row.get("applied", True)]
    weak = [row for row in used if row["fields"] < FEW and row["method"] in ("basic", "median")]
    worse = [row for row in used if row["residual_change"][1] > 0]
    found = []
    if idle:
        lines = [f"{row['optics']}, {row['channel']}: {worded(row['notes'])}" for row in idle]
        channels = count(len(idle), "channel")
        text = f"{channels} of a light path {'is' if len(idle) == 1 else 'are'} not corrected for illumination."
        found.append(Statement(text, "illumination", cut(lines)))
    if weak:
        lines = [f"{row['optics']}, {row['channel']}: {count(row['fields'], 'field')}" for row in weak]
        text = f"{count(len(weak), 'flat field')} of fewer than {FEW} fields: weak."
        found.append(Statement(text, "illumination", cut(lines)))
    if worse:
        ends = [f"{number(row['residual_before'][0])} to {number(row['residual_after'][0])}" for row in worse]
        lines = [f"{row['optics']}, {row['channel']}: {end}" for row, end in zip(worse, ends, strict=True)]
        text = f"The correction made {count(len(worse), 'channel')} more uneven on held-out fields."
        found.append(Statement(text, "illumination", cut(lines)))
    return found


def odd_plates(screen: Screen) -> list[str]:
    """Return the kept plates that an alignment left out of its fit, wholly or in part, sorted."""
    notes = [note for found in screen.fit_notes.values() for note in found if note.code in LEFT_OUT]
    return sorted({str(note.values["plate"]) for note in notes} & set(screen.kept))


def unlike_others(screen: Screen) -> list[Statement]:
    """Return the alignments whose output has no spread, and the plates that are unlike all others."""
    found = []
    noted = [(name, note) for name, notes in screen.fit_notes.items() for note in notes]
    flat = [f"{name}: {words(note)}" for name, note in noted if note.code == NO_SPREAD]
    if flat:
        text = f"The alignment of {count(len(flat), 'encoder')} failed: its profiles have no spread."
        found.append(Statement(text, "alignment", tuple(flat)))
    lines = [f"{name}: {words(note)}" for name, note in noted if note.code in LEFT_OUT]
    if lines:
        plates = len({str(note.values["plate"]) for _, note in noted if note.code in LEFT_OUT})
        text = f"Wells of {count(plates, 'plate')} are unlike all others; no alignment is fitted on them."
        found.append(Statement(text, "alignment", cut(lines)))
    return found


def fits(screen: Screen) -> list[Statement]:
    """Return the steps of alignments that had too few controls or wells and did something else instead."""
    lines = [
        f"{name}: {words(note)}" for name, notes in screen.fit_notes.items() for note in notes if note.code == FALLBACK
    ]
    if not lines:
        return []
    text = f"Alignment did less than the config asks for in {count(len(lines), 'place')}: too few wells or controls."
    return [Statement(text, "alignment", cut(lines))]


def training(screen: Screen) -> list[Statement]:
    """Return the encoders whose features collapsed or whose loss ended without a finite value."""
    found = []
    for encoder, history in screen.history.items():
        spread = pd.to_numeric(pick(history, "feature_std"), errors="coerce").dropna().to_numpy()
        if len(spread) > 1 and spread[-1] < COLLAPSED * spread.max():
            words = f"the features' standard deviation fell from {number(spread.max())} to {number(spread[-1])}"
            found.append(Statement(f"Training of {encoder} may have collapsed: {words}.", "training"))
        loss = pd.to_numeric(pick(history, "loss"), errors="coerce").to_numpy(dtype=float)
        if len(loss) and not np.isfinite(loss[-1]):
            found.append(Statement(f"Training of {encoder} ended without a finite loss.", "training"))
    return found
