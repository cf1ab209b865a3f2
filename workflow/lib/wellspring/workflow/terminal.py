"""The terminal of a run: what will be made and how long the like took, a line per finished job, and the outcome last.

Snakemake writes some twelve lines about each job. `Terminal` takes the place of filter and format of its standard
stream, of no other: its log file in `.snakemake/log` keeps every message. Messages that this module does not know pass.
"""

import logging
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from statistics import median

from wellspring.io.phrases import count
from wellspring.io.progress import span

HANDLER = "DefaultStreamHandler"  # Snakemake's name of its standard stream
LONG = 20.0  # seconds from which a job is announced when it starts; so is the first one of each stage
MOST = 50  # benchmarks that are read for a stage
# Snakemake's messages about its own work.
HIDDEN = re.compile(
    r"Building DAG|Using shell|Provided (cores|remote nodes|resources)|Rules claiming more threads|Job stats:"
    r"|(Conda environments|Singularity containers): ignored|Group jobs: inactive|Select jobs to execute"
    r"|Execute \d+ jobs|Shutting down, this might take|Exiting because a job execution failed"
    r"|At least one job did not complete"
)
HIDDEN_EVENTS = ("workflow_started", "run_info", "resources_info", "progress", "shellcmd", "job_started")
# Of a failed or killed script Snakemake repeats its command in a temporary file; the job's error has all else.
REPEATED = re.compile(r"CalledProcessError in file .*(returned non-zero exit status|died with <Signals\.)", re.S)
# What an executor of other machines adds to each of its reasons.
POINTER = re.compile(
    r"For further error details see the cluster/cloud log and the log files of the involved rule\(s\)\."
)
DEMO = "The demo took 6 to 13 min on 2 cores."
PLATE = "A JUMP plate (384 wells x 9 fields) took 3.1 core-hours without training (docs/cloud.md)."


class Terminal(logging.Formatter):
    """Filter and format of Snakemake's standard stream.

    Parameters
    ----------
    seconds
        Rule -> seconds that its earlier jobs took (`typical`).
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.past: dict[str, list[float]] = {rule: [value] for rule, value in (seconds or {}).items()}
        self.jobs: dict[int, tuple[str, str, float]] = {}  # rule, name, start
        self.total = self.done = 0
        self.outcome = ""  # the last line
        self.last = ""  # the last message, which is not repeated
        self.handler: logging.Handler | None = None

    def begin(self, rules: Iterable[str], *, page: str, plates: int, encoders: int, cores: int, demo: bool) -> str:
        """Return the first line of a run.

        Parameters
        ----------
        rules
            The rule of each job that makes something.
        page
            Path of the page if this run makes it, else empty.
        plates, encoders
            Their numbers in the screen.
        cores
            On this machine; 0 where jobs run on others.
        demo
            Whether the screen is the shipped demo.
        """
        counts = Counter(rules)
        self.total = sum(counts.values())
        screen = f"{count(plates, 'plate')}, {count(encoders, 'encoder')}, {count(self.total, 'job')}"
        place = f" on {count(cores, 'core')}" if cores else ""
        made = page or f"the results of {', '.join(counts)}"
        return f"Wellspring makes {made}: {screen}{place}. {self._like(counts, cores, demo=demo)}"

    def _like(self, counts: Mapping[str, int], cores: int, *, demo: bool) -> str:
        """Return how long the same stages took before, or those of the shipped examples."""
        if set(counts) <= set(self.past):
            work = sum(median(self.past[rule]) * count for rule, count in counts.items())
            shared = f", {span(work / cores)} on {cores} cores" if cores > 1 else ""
            return f"Jobs like these took {span(work)} of computing before{shared}."
        return DEMO if demo else PLATE

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a message is shown, and note the jobs that start."""
        event, text = str(getattr(record, "event", None) or ""), str(record.msg or "")
        if event == "job_info":
            try:
                return self._starts(record)
            except (KeyError, AttributeError, TypeError):  # another version of Snakemake: its own words are shown
                return True
        if event in ("job_finished", "job_error", "group_error"):
            self.last = self.last if event == "job_finished" else ""  # a second restart of a job is announced, too
            return True
        if event in HIDDEN_EVENTS or HIDDEN.match(text.removeprefix("WorkflowError:\n")) or REPEATED.search(text):
            return False
        known, self.last = text == self.last, text
        return not known

    def _starts(self, record: logging.LogRecord) -> bool:
        """Note a job, and return whether its start is announced."""
        about = vars(record)
        rule, number = about["rule_name"], about["jobid"]
        name = " ".join([rule, *map(str, about["wildcards"].values())])
        announced = rule not in {other for other, _, _ in self.jobs.values()}
        announced |= median(self.past.get(rule, [0.0])) >= LONG
        self.jobs[number] = (rule, name, time.monotonic())
        if self.handler is not None:
            self.handler.last_msg_was_job_info = True  # type: ignore[attr-defined] # else it writes an empty line
        return announced and bool(about["output"])

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a message; Snakemake's own where another version has other fields."""
        try:
            return self._worded(record)
        except (KeyError, AttributeError, TypeError, ValueError):
            return str(record.msg or "")

    def _worded(self, record: logging.LogRecord) -> str:
        about, text = vars(record), str(record.msg or "")
        event = str(about.get("event") or "")
        if event == "job_info":
            return f"started: {self.jobs[about['jobid']][1]}"
        if event == "job_finished":
            return self._finished(about["job_id"])
        if event == "job_error":
            name = self.jobs.get(about["jobid"], ("", about["rule_name"], 0.0))[1]
            logs, why = ", ".join(about["log"]), POINTER.sub("", str(about.get("rule_msg") or "")).strip()
            return f"Error in rule {name}" + (f", see {logs}" if logs else "") + (f"\n{why}" if why else "")
        if text.startswith("Elapsed time: "):
            return "\n".join(filter(None, [f"Took {_words(text)}.", self.outcome]))
        again = re.fullmatch(r"Trying to restart job (\d+)\.", text)
        return f"{text[:-1]}: {self.jobs[int(again[1])][1]}" if again and int(again[1]) in self.jobs else text

    def _finished(self, number: int) -> str:
        """Return the line about a finished job; empty for one that makes nothing, as the target of a run."""
        if number not in self.jobs or self.done >= self.total:
            return ""
        rule, name, start = self.jobs[number]
        took = time.monotonic() - start
        self.past.setdefault(rule, []).append(took)
        self.done += 1
        return f"{self.done:>{len(str(self.total))}} of {self.total} done: {name}, {span(took)}"


def typical(folder: str | Path) -> dict[str, float]:
    """Return rule -> median seconds of its jobs, from the folder of Snakemake's benchmarks (`RULE/**/*.tsv`)."""
    found = {}
    for rule in sorted(path for path in Path(folder).glob("*") if path.is_dir()):
        seconds = [value for path in islice(rule.rglob("*.tsv"), MOST) if math.isfinite(value := _seconds(path))]
        if seconds:
            found[rule.name] = median(seconds)
    return found


def _seconds(path: Path) -> float:
    """Return the seconds of a job from its benchmark; NaN if the file has another form or cannot be read."""
    try:
        header, row = path.read_text().splitlines()[:2]
        return float(dict(zip(header.split("\t"), row.split("\t"), strict=True))["s"])
    except (ValueError, KeyError, OSError):
        return math.nan


def _words(elapsed: str) -> str:
    """Return the words for Snakemake's last line, `Elapsed time: 1 day, 0:18:22.44`."""
    *days, clock = elapsed.removeprefix("Elapsed time: ").split(", ")
    hours, minutes, seconds = (float(part) for part in clock.split(":"))
    whole = 24.0 * int(days[0].split()[0]) if days else 0.0
    return span(3600 * (whole + hours) + 60 * minutes + seconds)


def install(handlers: Iterable[logging.Handler], seconds: Mapping[str, float]) -> Terminal | None:
    """Shorten Snakemake's standard stream; None where a logger plugin has taken its place.

    Parameters
    ----------
    handlers
        Of Snakemake's logger.
    seconds
        As of `Terminal`.
    """
    for handler in handlers:
        if handler.name == HANDLER:
            terminal = Terminal(seconds)
            terminal.handler = handler
            handler.setFormatter(terminal)
            handler.addFilter(terminal)
            return terminal
    return None
