"""Check one plate: read its platemap, list its images, join both, and open the first image of each channel.

Platemap and images are read independently of each other, so that the faults of both are found in one go. What the
readers log as warnings is part of the findings.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from wellspring.index import run as index
from wellspring.index import times
from wellspring.index.readers import foreign
from wellspring.io import raw_image
from wellspring.io.object_store import home
from wellspring.screen import platemap
from wellspring.screen.sections import Index
from wellspring.workflow.disk_space import Size
from wellspring.workflow.finding import Finding, message
from wellspring.workflow.platemap_words import content

TRIED = 5  # files of a channel that are opened until one can be read


@dataclass(frozen=True)
class Plate:
    """The findings of a plate; its size, index and platemap if they could be read."""

    name: str
    findings: tuple[Finding, ...]
    size: Size | None = None
    table: pd.DataFrame | None = None
    wells: platemap.Reading | None = None
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Channel to the digest of the pixels of its image that was opened, without images of one value."""
    scaled: bool = True
    """Whether the export or an image that was opened states the pixel size; true without images."""


def plate(
    sheet: Mapping[str, object],
    channels: Sequence[str],
    options: Index,
    *,
    controls: bool = True,
    mapped: bool = True,
) -> Plate:
    """Check a plate; whatever a reader raises is a problem of the plate.

    Parameters
    ----------
    sheet, channels, options
        The plate's row, the channels of the screen, and the section ``index``.
    controls
        Whether a plate needs negative controls.
    mapped
        Whether the platemap is read; if not, or if it cannot be read, the images alone are checked.
    """
    name = str(sheet["plate"])
    what = f"plate {name}"
    found: list[Finding] = []
    wells, planes, images_failed = None, None, False
    with _warnings() as logged:
        try:
            if mapped and sheet["platemap"]:
                wells = platemap.of_plate(str(sheet["platemap"]), plate=times.imaged(sheet), options=options)
        except Exception as error:
            found.append(Finding("problem", what, message(error)))
        try:
            planes = index.listed(sheet, options)
        except Exception as error:
            images_failed = True
            found.append(Finding("problem", what, message(error, url=str(sheet["images"]))))
        result = Plate(name, tuple(found), wells=wells)
        frames = [] if images_failed or wells is None else [wells.frame]
        frames += [] if images_failed or planes is None else [_stand_in(planes)]
        for frame in frames:  # where the platemap has other wells, or cannot be read, the images are checked alone
            alone = wells is None or frame is not wells.frame
            needed = controls and not alone
            try:
                built = index.joined(planes, frame, sheet=sheet, channels=channels, options=options, controls=needed)
                rules = raw_image.Rules.of({"range": options.range, "absent_chunks": options.absent_chunks})
                looked = _looked(name, sheet, built, rules)
            except Exception as error:
                problem = Finding("problem", what, message(error, url=str(sheet["images"])))
                found += [] if problem in found else [problem]
                result = dataclasses.replace(result, findings=tuple(found))
                continue
            shown = [one for one in looked.findings if not (alone and one.grade == "ok")]
            result = dataclasses.replace(looked, findings=(*found, *shown), wells=wells)
            if not alone:
                result = dataclasses.replace(result, table=built.table)
                break
    if wells is not None:
        result = dataclasses.replace(result, findings=_with_content(result.findings, what, content(wells)))
    known = "\n".join(one.words for one in result.findings)
    noted = [Finding("warning", what, text) for text in dict.fromkeys(logged) if text not in known]
    return dataclasses.replace(result, findings=(*result.findings, *noted))


def _stand_in(planes: pd.DataFrame | None) -> pd.DataFrame:
    """Return wells in place of a platemap that cannot be read: all those of the images, with one treatment."""
    wells = [] if planes is None else sorted(planes["well"].unique())
    columns = dict.fromkeys(platemap.OURS.values())
    return pd.DataFrame({**columns, "Metadata_Well": wells, "Metadata_pert_type": "trt", "Metadata_Perturbation": "x"})


def _with_content(findings: Sequence[Finding], what: str, words: str) -> tuple[Finding, ...]:
    """Return the findings with the content of the platemap, in the line of a plate that is fine or in its own."""
    if not any(one.grade == "ok" for one in findings):
        return (*findings, Finding("ok", what.replace("plate ", "wells of ", 1), words))
    return tuple(
        dataclasses.replace(one, words=f"{one.words}; {words}") if one.grade == "ok" else one for one in findings
    )


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """Collect the sentences that the library logs as warnings."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler = Collector(logging.WARNING)
    library = logging.getLogger("wellspring")
    library.addHandler(handler)
    try:
        yield found
    finally:
        library.removeHandler(handler)


def _looked(name: str, sheet: Mapping[str, object], found: index.Index, rules: raw_image.Rules) -> Plate:
    what = f"plate {name}"
    table, verdict = found.table, found.verdict
    wells = table["Metadata_Well"].nunique()
    findings = []
    for reason in verdict.reasons:
        lacks = reason.startswith("channel_without_files(")
        way = " (if it was not stained so, name its channels in the column panel of the sheet)" if lacks else ""
        findings.append(Finding("warning", what, f"will be left out{way}: ", reason))
    if not sheet["images"]:
        return Plate(name, (*findings, Finding("ok", what, f"{wells} wells, no images")))
    there = table["Metadata_Path"].notna()
    if not there.all():
        lost = table.loc[~there, "Metadata_Well"].unique().tolist()
        words = f"{(~there).sum():,} of {len(table):,} planes have no file, in {len(lost)} wells"
        findings.append(Finding("warning", what, f"{words}: {', '.join(lost[:10])}"))
    pixels, opened = {}, []
    scaled = "Metadata_Pixel_Size" in table and bool((table["Metadata_Pixel_Size"] > 0).any())
    for channel, rows in table[there].groupby("Metadata_Channel", sort=False):
        first, readable = _opened(rows, str(sheet["images"]), rules)
        opened += [plane.pixels for plane in (first, readable) if plane is not None and plane.pixels is not None]
        if readable is not None and readable.pixels is not None:
            pixels[str(channel)] = readable.pixels
            scaled = scaled or (readable.pixel_size or 0) > 0
        if readable is not first and first.pixels is None:
            grade: Literal["warning", "problem"] = "problem" if readable is None else "warning"
            kind = foreign.recognised(Path(home(str(sheet["images"]))) / str(rows["Metadata_Path"].iloc[0]))
            known = f" ({': '.join(foreign.KINDS[kind])})" if kind else ""
            findings.append(Finding(grade, what, f"the first image of {channel}{known}: ", first.reason))
        if readable is not None and readable.status == "blank":
            words = f"{min(TRIED, len(rows))} images of {channel} were opened, none has two grey values: "
            findings.append(Finding("warning", what, words, readable.reason))
    forms = sorted({f"{array.shape[0]} x {array.shape[1]}" for array in opened})
    if len(forms) > 1:
        findings.append(Finding("problem", what, f"expected images of one size, found {', '.join(forms)}"))
    if not pixels or any(one.grade == "problem" for one in findings):
        return Plate(name, tuple(findings))
    fields = len(table.loc[there, ["Metadata_Well", "Metadata_Site"]].drop_duplicates())
    height, width = next(iter(pixels.values())).shape
    size = Size(wells, fields, int(there.sum()), len(pixels), height, width)
    kinds = ", ".join(sorted({str(array.dtype) for array in pixels.values()}))
    counts = f"{wells} wells, {size.fields:,} fields, {size.planes:,} planes of {forms[0]} {kinds}"
    varied = {channel: array for channel, array in pixels.items() if array.min() < array.max()}
    digests = {channel: hashlib.sha256(array.tobytes()).hexdigest() for channel, array in varied.items()}
    alike: dict[str, list[str]] = {}
    for channel, digest in digests.items():
        alike.setdefault(digest, []).append(channel)
    findings += [
        Finding("warning", what, f"{' and '.join(one)} have the same pixels in their first image: is one a copy?")
        for one in alike.values()
        if len(one) > 1
    ]
    ready = Finding("ok", what, f"{counts}: {', '.join(pixels)}")
    return Plate(name, (*findings, ready), size, digests=digests, scaled=scaled)


def _opened(rows: pd.DataFrame, images: str, rules: raw_image.Rules) -> tuple[raw_image.Plane, raw_image.Plane | None]:
    """Return the first plane of a channel as it was read, and of a few the first that is fine, else one with pixels."""
    spread = rows.iloc[:: max(1, len(rows) // TRIED)].head(TRIED).to_dict("records")
    first, found = None, None
    for row in spread:
        read = raw_image.status(images, row["Metadata_Path"], int(row["Metadata_Page"]), rules=rules)
        first = first or read
        if read.status == "ok":
            return first, read
        found = found or (read if read.pixels is not None else None)
    assert first is not None  # a channel of the table has a row
    return first, found
