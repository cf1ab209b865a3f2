"""Planes that read without an error but cannot be what the camera saw: copies of another plane, and lost last rows.

A copy has all pixels equal to those of another image of its plate. Noise makes that impossible for two exposures, so
at least one of them is not the image that its name states. A decoder that fills the rows that a file lacks with zeros
leaves a run of rows at the end that are exactly 0, where the camera's offset keeps all other pixels above 0.
"""

import hashlib

import numpy as np
import pandas as pd

from wellspring.io.keys import SITE_KEY
from wellspring.io.notes import Note
from wellspring.io.phrases import listed
from wellspring.io.tables import Verdict

DIGEST = "Metadata_Digest"
ZERO_ROWS = "Metadata_Zero_Rows"
COLUMNS = [DIGEST, ZERO_ROWS]
FEWEST_ROWS = 8  # rows of zeros at the end from which a plane is taken for incomplete, and at least
SHARE_OF_ROWS = 0.01  # this share of its rows
ZEROS = 1e-3  # share of zeros among the other rows above which zero is a usual value of the image
MOST_COPIED = 0.5  # share of a plate's wells with copies above which the plate is left out
NAMED = 6  # wells that a note names


def measure(pixels: np.ndarray) -> dict[str, object]:
    """Return the digest of a plane (H, W) and the number of its last rows that are exactly 0 while zeros are rare.

    Returns
    -------
    dict
        ``Metadata_Digest``: BLAKE2b of the shape, the dtype and all pixels, 32 hexadecimal digits.
        ``Metadata_Zero_Rows``: int; 0 where more than :data:`ZEROS` of the pixels before these rows are 0.
    """
    found = hashlib.blake2b(f"{pixels.shape} {pixels.dtype.str}".encode(), digest_size=16)
    found.update(np.ascontiguousarray(pixels).data)
    return {DIGEST: found.hexdigest(), ZERO_ROWS: _zero_rows(pixels)}


def incomplete(rows: pd.DataFrame) -> tuple[pd.Series, list[Note]]:
    """Return which planes end in too many rows of zeros, and a note for each of these.

    Parameters
    ----------
    rows
        One row per plane: status, height and ``Metadata_Zero_Rows``.
    """
    zero = pd.to_numeric(rows[ZERO_ROWS], errors="coerce").fillna(0)
    least = np.maximum(FEWEST_ROWS, SHARE_OF_ROWS * pd.to_numeric(rows["height"], errors="coerce").fillna(0))
    where = (rows["status"] == "ok") & (zero >= least)
    counts = zip(zero[where], rows["height"][where], strict=True)
    return where, [Note("zero_tail", {"rows": int(count), "height": int(height)}) for count, height in counts]


def copies(rows: pd.DataFrame, index: pd.DataFrame) -> tuple[pd.Series, list[Note]]:
    """Return which planes have the pixels of another well, site or channel of the plate, and a note for each of these.

    Parameters
    ----------
    rows
        One row per plane: status and ``Metadata_Digest``. Only planes of the status ok count, hence no blank ones.
    index
        The plate's index, in the same order.
    """
    good = rows["status"] == "ok"
    digests = rows[DIGEST].where(good)
    place = pd.Series(
        list(index[[*SITE_KEY, "Metadata_Channel"]].itertuples(index=False, name=None)), index=rows.index, dtype=object
    )
    where = good & (place.groupby(digests).transform("nunique") > 1)
    alike = {digest: index.loc[group.index] for digest, group in digests[where].groupby(digests[where])}
    notes = {digest: _note(planes) for digest, planes in alike.items()}
    return where, [notes[digest] for digest in digests[where]]


def judge(table: pd.DataFrame, verdict: Verdict) -> Verdict:
    """Return the verdict of a plate: left out if more than half of its wells have an excluded copy.

    Parameters
    ----------
    table
        The survey. Planes that a person's list keeps do not count.
    """
    left = table[(table["Metadata_Verdict"] == "exclude") & (table["Metadata_Status"] == "ok")]
    where, _ = copies(left.assign(status="ok"), left)
    wells, total = left.loc[where, "Metadata_Well"].nunique(), table["Metadata_Well"].nunique()
    if wells > MOST_COPIED * total:
        return verdict.because(Note("wells_copied", {"wells": wells, "total": total}))
    return verdict


def _zero_rows(pixels: np.ndarray) -> int:
    held = np.flatnonzero(pixels.any(axis=1))
    full = int(held[-1]) + 1 if len(held) else 0
    rest = pixels[:full]
    if full in (0, len(pixels)) or np.count_nonzero(rest == 0) > ZEROS * rest.size:
        return 0
    return len(pixels) - full


def _note(planes: pd.DataFrame) -> Note:
    wells = sorted(set(planes["Metadata_Well"]))
    return Note("same_pixels", {"images": len(planes), "wells": listed(wells, NAMED)})
