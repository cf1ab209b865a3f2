"""Run index, survey and images on a specimen under guard; return the results or the error.

Watched are the files and sockets that Python opens, and the programs that it starts (audit events); bounded are memory
(``RLIMIT_AS``) and time. A case that hangs ends the whole process with the stacks of its threads.
"""

import faulthandler
import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from options import options as defaults
from specimens import CHANNELS, PLATE, Key, Specimen
from wellspring.illumination import lightpath
from wellspring.images import run as images
from wellspring.index import run as index
from wellspring.io import ngff, raw_image, tables
from wellspring.screen import exclusions, sections
from wellspring.survey import run as survey

SECONDS = 20  # of a case, which takes a tenth of one
ROOM = 2 << 30  # bytes a case may add to the process: two fields of planes.PIXELS, which is where a header is refused
NOBODY = 65534
REACHING = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn")
# What hostile names lead to besides the secret.
SYSTEM = ("/etc", "/dev/zero", "/proc/self/mem")


@dataclass
class Outcome:
    """The results of a run: an error, or tables, verdict and stored pixels.

    ``said`` is its log, ``strayed`` the files that it opened outside of the plate. ``read`` has the pixels of each
    plane with the status ok in the survey, by well, site and channel.
    """

    error: ValueError | None = None
    index: pd.DataFrame | None = None
    audit: pd.DataFrame | None = None
    survey: pd.DataFrame | None = None
    verdict: tables.Verdict | None = None
    stored: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)
    read: dict[Key, np.ndarray] = field(default_factory=dict)
    said: str = ""
    strayed: list[str] = field(default_factory=list)

    def words(self) -> str:
        """Return all messages of the run about faults, as one text."""
        parts = [self.said, str(self.error or "")]
        for table in (self.audit, self.survey):
            parts += [] if table is None else [table.astype(str).to_csv()]
        return "\n".join([*parts, *(self.verdict.reasons if self.verdict else ())])


def run(specimen: Specimen, *, auto: bool = False, lost_wells: str = "report") -> Outcome:
    """Run a plate through the library; a ``ValueError`` is an outcome, everything else is raised."""
    outcome = Outcome()
    # The schemas are read before rights are dropped, since the repository may lie below a folder of root's.
    over = {**specimen.options, "lost_wells": lost_wells} | ({"reader": "auto"} if auto else {})
    options, looking, writing = defaults("index", **over), defaults("survey"), defaults("images")
    with _bounded(), _denied(specimen), _listening(outcome), _watching(specimen, outcome):
        try:
            _stages(specimen, outcome, options, looking, writing)
        except ValueError as error:
            outcome.error = error
    return outcome


def _stages(
    specimen: Specimen, outcome: Outcome, options: sections.Index, looking: sections.Survey, writing: sections.Images
) -> None:
    sheet = {"plate": PLATE, "images": str(specimen.folder), "platemap": str(specimen.platemap), "batch": "b",
             "cell_line": "U2OS", "optics": PLATE, "role": "fit"}  # fmt: skip
    found = index.build(sheet, CHANNELS, options)
    outcome.audit = tables.conform(found.audit, table="audit").to_pandas()
    outcome.index = tables.conform(found.table, table="index").to_pandas()
    looked = survey.run(outcome.index, specimen.folder, options=looking, verdict=found.verdict, threads=2)
    exclusions.write(exclusions.excluded(looked.table), specimen.out / "excluded.tsv")
    outcome.survey, outcome.verdict = tables.conform(looked.table, table="survey").to_pandas(), looked.verdict
    good = outcome.survey[outcome.survey["Metadata_Status"] == "ok"]
    shape = good[["Metadata_Height", "Metadata_Width"]].astype(int).iloc[0].tolist() if len(good) else [1, 1]
    flat, none = np.ones((len(CHANNELS), *shape), np.float32), np.zeros(len(CHANNELS), np.int32)
    even = lightpath.LightPath(list(CHANNELS), flat, np.zeros_like(flat), "given", none)
    scale = images.write(
        specimen.out / "plate.zarr",
        index=outcome.index,
        surveyed=outcome.survey,
        light=even,
        folder=specimen.folder,
        plate=PLATE,
        channels=CHANNELS,
        options=writing,
    )
    tables.conform(scale, table="intensity")
    plate = ngff.open_plate(specimen.out / "plate.zarr")
    outcome.stored = {key: plate.read(*key) for key in plate.fields}
    keys = ["Metadata_Well", "Metadata_Site", "Metadata_Channel"]
    good = outcome.index[(outcome.survey["Metadata_Status"] == "ok").to_numpy()]
    for row in good.to_dict("records"):
        here = raw_image.read(specimen.folder, row["Metadata_Path"], row["Metadata_Page"])
        outcome.read[tuple(row[key] for key in keys)] = here


class _Watch:
    """An audit hook, which can not be taken out again, so there is one; it notes while it has somewhere to note."""

    def __init__(self) -> None:
        self.base, self.allowed, self.notes = "", (), None
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple) -> None:
        if self.notes is None:
            return
        if event in REACHING:
            self.notes.append(f"{event}{arguments!r}"[:200])
        elif event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            own = any(path == place or path.startswith(f"{place}/") for place in self.allowed)
            if path.startswith(SYSTEM) or (path.startswith(self.base) and not own):
                self.notes.append(path)


_WATCH = _Watch()


@contextmanager
def _watching(specimen: Specimen, outcome: Outcome) -> Iterator[None]:
    _WATCH.base = os.path.realpath(specimen.base)
    places = (specimen.folder, specimen.archive, specimen.platemap, specimen.out)
    _WATCH.allowed = tuple(os.path.realpath(place.parent) + "/" + place.name for place in places)
    _WATCH.notes = outcome.strayed
    try:
        yield
    finally:
        _WATCH.notes = None


@contextmanager
def _listening(outcome: Outcome) -> Iterator[None]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # a line that can not be formatted raises here
    logger = logging.getLogger("wellspring")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        outcome.said = "\n".join(lines)


@contextmanager
def _bounded() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + ROOM, before[1]))
    faulthandler.dump_traceback_later(SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        resource.setrlimit(resource.RLIMIT_AS, before)


@contextmanager
def _denied(specimen: Specimen) -> Iterator[None]:
    """Take root's power over permissions, for a case whose fault is one."""
    if not specimen.denied or os.geteuid() != 0:
        yield
        return
    for path in (specimen.base, *specimen.base.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
