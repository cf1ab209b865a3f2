"""Progress of a job on the terminal of an interactive run: how much is done, the rate, and the time left.

Lines, not a bar that is drawn over: several jobs and Snakemake itself write to the same terminal. A job that takes less
than `FIRST` seconds writes none, and so does every job without a terminal, as in a batch log.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO, TypeVar

T = TypeVar("T")
FIRST = 5.0  # seconds until the first line
EVERY = 30.0  # seconds between further lines
TERMINAL, JOB = "WELLSPRING_TERMINAL", "WELLSPRING_JOB"  # environment of processes that a job starts

_shown: list[tuple[TextIO, str]] = []  # the terminal and the job's name; empty where nothing is shown


def show(stream: TextIO | None, job: str) -> None:
    """Show the progress of this process on `stream` under the name `job`, if it is a terminal."""
    _shown.clear()
    if stream is not None and stream.isatty():
        _shown.append((stream, job))


def handed_on() -> dict[str, str]:
    """Return the environment variables by which a process that is started here shows progress on the same terminal."""
    if not _shown:
        return {}
    stream, job = _shown[0]
    return {TERMINAL: os.ttyname(stream.fileno()), JOB: job}


def follow(environment: Mapping[str, str] = os.environ) -> None:
    """Show the progress of this process on the terminal of the process that started it, if that handed one on.

    A terminal that this process cannot open, as that of another node, is not used.
    """
    if TERMINAL not in environment:
        return
    try:
        stream = Path(environment[TERMINAL]).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    except OSError:
        return
    show(stream, environment.get(JOB, ""))


def track(items: Iterable[T], *, total: int, unit: str, done: int = 0) -> Iterator[T]:
    """Yield the items, and write lines about them where the job has a terminal.

    Parameters
    ----------
    total
        Number of items in all, with those that were done before.
    unit
        What an item is, in the plural.
    done
        Items that were done before, for example by an earlier run.
    """
    if not _shown:
        yield from items
        return
    began = last = time.monotonic()
    wait = FIRST
    for count, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= wait and done + count < total:
            last, wait = now, EVERY
            stream, job = _shown[0]
            print(line(job, done + count, total, unit, rate=count / (now - began)), file=stream, flush=True)


def line(job: str, done: int, total: int, unit: str, *, rate: float) -> str:
    """Return the line about a job, `rate` in items per second.

    Examples
    --------
    >>> line("survey P1", 5120, 17280, "images", rate=85.0)
    'survey P1: 5,120 of 17,280 images, 85 per second, 2 min 23 s left'
    """
    speed = (
        f"{rate:.0f} per second" if rate >= 10 else f"{rate:.1f} per second" if rate >= 1 else f"{1 / rate:.1f} s each"
    )
    return f"{job}: {done:,} of {total:,} {unit}, {speed}, {span((total - done) / rate)} left"


def span(seconds: float) -> str:
    """Return a duration in its two largest units.

    Examples
    --------
    >>> span(9.6), span(143), span(7260)
    ('10 s', '2 min 23 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
