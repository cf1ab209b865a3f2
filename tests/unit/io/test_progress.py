"""The terminal: progress of long jobs, silence in batch logs, and the last line of a run."""

import io
import os
import re
import subprocess
import sys

import pandas as pd
import pytest

from wellspring.io import progress
from wellspring.workflow.outcome import outcome


class Terminal(io.StringIO):
    """Text that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    yield now
    progress.show(None, "")


def lines(clock, stream, *, seconds, count=100, done=0):
    progress.show(stream, "embed simclr P1")
    seen = []
    for item in progress.track(iter(range(done, count)), total=count, unit="fields", done=done):
        clock[0] += seconds
        seen.append(item)
    assert seen == list(range(done, count))
    return stream.getvalue().splitlines()


def test_a_long_job_shows_rate_and_time_left(clock):
    found = lines(clock, Terminal(), seconds=2.0)
    # After 3 items the first 5 s are over, then a line every 15 items (30 s), none of the last item.
    assert [int(re.search(r": (\d+) of 100 fields", line)[1]) for line in found] == [3, 18, 33, 48, 63, 78, 93]
    assert found[0] == "embed simclr P1: 3 of 100 fields, 2.0 s each, 3 min 14 s left"


def test_a_resumed_job_counts_what_was_done_and_rates_what_it_does(clock):
    found = lines(clock, Terminal(), seconds=0.125, count=1000, done=400)
    assert found[0] == "embed simclr P1: 440 of 1,000 fields, 8.0 per second, 1 min 10 s left"


def test_short_jobs_and_batch_logs_are_silent(clock):
    assert lines(clock, Terminal(), seconds=0.04) == []
    assert lines(clock, io.StringIO(), seconds=5.0) == []
    progress.show(None, "none")
    assert list(progress.track([1, 2], total=2, unit="steps")) == [1, 2]


def on_a_terminal(code):
    """Return what a Python process writes to a pseudo-terminal as its standard error."""
    ours, theirs = os.openpty()
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    os.close(theirs)
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    return shown


def test_progress_goes_to_the_terminal_and_messages_to_the_log(tmp_path):
    """In a process whose standard error is a pseudo-terminal, and in one where it is a pipe."""
    log = tmp_path / "logs" / "survey" / "P1.log"
    code = (
        "from wellspring.io import progress; from wellspring.workflow.log import log_to\n"
        f"progress.FIRST = 0.0; log_to({str(log)!r})\n"
        "print('in the log'); list(progress.track(range(3), total=3, unit='images'))"
    )
    shown = on_a_terminal(code)
    assert re.match(r"survey P1: 1 of 3 images, .* left\r\n$", shown)
    assert log.read_text() == "in the log\n"
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert piped.stderr == piped.stdout == ""


def test_a_process_that_a_job_starts_shows_progress_on_its_terminal(tmp_path):
    """As torchrun's first process does, whose own output is the log."""
    child = (
        "from wellspring.io import progress; progress.follow(); progress.FIRST = 0.0\n"
        "list(progress.track(range(4), total=4, unit='steps'))"
    )
    code = (
        "import os, subprocess, sys; from wellspring.io import progress\n"
        "from wellspring.workflow.log import log_to\n"
        f"log_to({str(tmp_path / 'logs' / 'train' / 'simclr.log')!r})\n"
        f"call = [sys.executable, '-c', {child!r}]; environment = os.environ | progress.handed_on()\n"
        "subprocess.run(call, check=True, env=environment, stdout=sys.stdout.fileno(), stderr=sys.stderr.fileno())"
    )
    shown = on_a_terminal(code)
    assert re.match(r"train simclr: 1 of 4 steps, .* left\r\n$", shown)
    piped = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert piped.stderr == piped.stdout == "", "a batch job hands no terminal on"
    progress.follow({progress.TERMINAL: str(tmp_path / "no" / "tty"), progress.JOB: "train"})
    assert progress.handed_on() == {}


def write(folder, active, *, lost=()):
    folder.mkdir(exist_ok=True)
    (folder / "index.html").write_text("page")
    rows = [{"type": "trt", "active": one, "encoder": "simclr"} for one in active]
    pd.DataFrame([*rows, {"type": "poscon", "active": "yes", "encoder": "simclr"}]).to_csv(folder / "hits.csv")
    frame = pd.DataFrame(lost, columns=["plate", "rule", "reason", "log", "last_lines"])
    frame.to_csv(folder / "failures.tsv", sep="\t", index=False)
    return folder


def test_the_last_line_of_a_run(tmp_path):
    folder = write(tmp_path / "report", ["yes", "yes", "no", "not tested"])
    found = f"{folder}/index.html: 2 of 3 treatments active (simclr); 1 treatment not tested; no plate left out"
    assert outcome(folder) == found
    lost = [("P2", "survey", "too dark; too few", "", ""), ("P2", "profile", "no controls", "", "")]
    assert outcome(write(folder, ["no"], lost=lost)).endswith(
        "index.html: 0 of 1 treatment active (simclr); left out: plate P2 (too dark)"
    )
    assert "no treatment was tested" in outcome(write(folder, []))


def test_no_last_line_without_a_page_of_this_run(tmp_path):
    assert outcome(tmp_path) is None
    folder = write(tmp_path / "report", ["yes"])
    page = folder / "index.html"
    assert outcome(folder, since=page.stat().st_mtime - 1) is not None
    assert outcome(folder, since=page.stat().st_mtime + 1) is None
