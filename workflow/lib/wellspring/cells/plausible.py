"""Judgement of a segmentation: objects that cannot be nuclei, and fields that are unlike the others of their plate.

A note is stored with each cell of the field (`COLUMN`); a note on the plate leaves the plate out. The limits were
judged on fields drawn at random, good and bad, and on the LINCS fields.
"""

import numpy as np
import pandas as pd

from wellspring.cells.flags import usual, weights
from wellspring.io.keys import SITE_KEY
from wellspring.io.notes import Note, dumps, loads
from wellspring.io.tables import Verdict

COLUMN = "Metadata_Segmentation"
VAST = 0.15  # an object above this share of its field, and flagged large, is no cell
UNLIKE = 2.5  # the median area of a field's nuclei is within this factor of the plate's
FEW = 10  # cells of a field below which shares and medians are not judged
FLAGGED = 0.5  # share of cells with a flag other than border
# A nucleus with more than CONTACT of its outline at others is a piece of an object. A field is noted from LEAST pieces
# on, if they are more than PIECES of its nuclei; by the true outlines of 140 images of the tuning half, none is noted.
CONTACT, PIECES, LEAST = 0.3, 0.4, 5
# Median sharpness of a field's nuclei below which they are blurred: of 116 images of DSB2018, 0.99 lie above 4.1
# (median 6.9), LINCS and BBBC013 at 6.0 to 6.9; a Gaussian blur by a fifth of a diameter gives 3.0 to 4.4 (median 3.6).
BLURRED = 4.0
FIELDS = 0.5  # share of fields with a note above which the plate is implausible
OF_PLATE = (
    "diameter_beyond_field",
    "nuclei_fill_field",
    "most_cells_flagged",
    "most_nuclei_pieces",
    "no_nuclear_signal",
    "most_fields_noted",
)


def judge(frame: pd.DataFrame, *, diameter: float, shape: tuple[int, ...], large: float) -> pd.DataFrame:
    """Return the table ``cells`` of a plate with `COLUMN`: notes on the cell's field and on the plate, empty if none.

    Parameters
    ----------
    frame
        Rows of all fields, with flags.
    diameter
        Nucleus diameter of the plate, px.
    shape
        (H, W) of a field.
    large
        Nuclei above this multiple of the typical area are flagged large.
    """
    pixels = int(np.prod(shape))
    fields = _fields(frame, pixels=pixels, least=large * np.pi / 4 * diameter**2)
    notes = _of_plate(frame, fields, diameter=diameter, shape=shape)
    texts = fields["notes"].map(lambda found: dumps([*found, *notes])) if len(fields) else fields
    index = pd.MultiIndex.from_frame(frame[SITE_KEY])
    return frame.assign(**{COLUMN: texts.reindex(index).to_numpy(dtype=object) if len(frame) else ""})


def of_field(text: str) -> tuple[Note, ...]:
    """Return the notes on the field among those of a cell (`COLUMN`), without those on its plate."""
    return tuple(note for note in loads(text) if note.code not in OF_PLATE)


def verdict(frame: pd.DataFrame, before: Verdict) -> Verdict:
    """Return the verdict `before` with the notes on the plate, which leave it out."""
    for note in loads(str(frame[COLUMN].iloc[0])) if len(frame) else ():
        if note.code in OF_PLATE:
            before = before.because(note)
    return before


def _fields(frame: pd.DataFrame, *, pixels: int, least: float) -> pd.DataFrame:
    """Return one row per field with cells: `notes`, a list."""
    nuclei = frame[frame["Metadata_Nucleus_Area"] > 0]
    middle = usual(nuclei["Metadata_Nucleus_Area"], weights(nuclei))
    usual_count = float(nuclei.groupby(SITE_KEY).size().median()) if len(nuclei) else np.nan
    rows = {}
    for key, cells in frame.groupby(SITE_KEY, sort=False):
        area = cells.loc[cells["Metadata_Nucleus_Area"] > 0, "Metadata_Nucleus_Area"]
        notes, flagged = [], float(_flagged(cells).mean())
        if len(area) and area.max() > max(VAST * pixels, least):
            notes.append(Note("vast_object", {"share": float(area.max() / pixels)}))
        if len(area) >= FEW and area.median() > UNLIKE * middle:
            notes.append(Note("nuclei_larger", {"ratio": float(area.median() / middle)}))
        if len(area) >= max(FEW, usual_count) and area.median() * UNLIKE < middle:
            notes.append(Note("nuclei_smaller", {"ratio": float(middle / area.median()), "found": len(area)}))
        pieces = _pieces(cells)
        if pieces.sum() >= LEAST and pieces.mean() > PIECES:
            notes.append(Note("nuclei_split", {"pieces": int(pieces.sum()), "found": len(pieces)}))
        if len(cells) >= FEW and flagged > FLAGGED:
            notes.append(Note("cells_flagged", {"share": flagged}))
        sharp = float(cells.loc[cells["Metadata_Nucleus_Area"] > 0, "Metadata_Nucleus_Sharpness"].median())
        if len(area) >= FEW and 0 < sharp < BLURRED:
            notes.append(Note("nuclei_blurred", {"sharpness": sharp}))
        rows[key] = notes
    index = pd.MultiIndex.from_tuples(rows, names=SITE_KEY) if rows else pd.MultiIndex.from_arrays([[]] * 3)
    return pd.DataFrame({"notes": list(rows.values())}, index=index)


def _of_plate(frame: pd.DataFrame, fields: pd.DataFrame, *, diameter: float, shape: tuple[int, ...]) -> list[Note]:
    """Return the notes on the plate."""
    notes: list[Note] = []
    edge, nuclei = min(shape), frame[frame["Metadata_Nucleus_Area"] > 0]
    if diameter > edge / 2:
        notes.append(Note("diameter_beyond_field", {"diameter": float(diameter), "edge": int(edge)}))
    if not len(nuclei):
        return notes
    weight = weights(nuclei)
    share = usual(nuclei["Metadata_Nucleus_Area"], weight) / float(np.prod(shape))
    if share > VAST:
        notes.append(Note("nuclei_fill_field", {"share": share}))
    flagged = float(np.average(_flagged(frame), weights=weights(frame)))
    if len(frame) >= FEW and flagged > FLAGGED:
        notes.append(Note("most_cells_flagged", {"share": flagged}))
    pieces = float(np.average(_pieces(frame), weights=weight))
    if len(nuclei) >= FEW and pieces > PIECES:
        notes.append(Note("most_nuclei_pieces", {"share": pieces}))
    if usual(nuclei["Metadata_Nucleus_Brightness"], weight) <= 0:
        notes.append(Note("no_nuclear_signal"))
    # Objects may have soft edges, as spheroids: blur is told, and leaves no plate out.
    noted = sum(any(note.code != "nuclei_blurred" for note in found) for found in fields["notes"])
    if noted > FIELDS * len(fields) and len(fields) > 1:
        notes.append(Note("most_fields_noted", {"fields": noted, "total": len(fields)}))
    return notes


def _pieces(cells: pd.DataFrame) -> pd.Series:
    """Return which of the nuclei share so much of their outline with others that they are parts of one object."""
    return cells.loc[cells["Metadata_Nucleus_Area"] > 0, "Metadata_Nucleus_Contact"] > CONTACT


def _flagged(cells: pd.DataFrame) -> pd.Series:
    """Return which cells have a flag other than border."""
    return ~cells["Metadata_Flags"].fillna("").isin(["", "border"])
