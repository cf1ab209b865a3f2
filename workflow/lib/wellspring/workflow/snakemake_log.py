"""Read in Snakemake's own log when a job began and why it failed, for jobs whose own log has no error.

A job that is not submitted, that is killed, or whose output arrives with a wrong time, writes no error itself.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

READ = 2**24  # bytes at the end of a log that are read; 10,000 jobs take some 5 MB
NAMED = re.compile(r"(\d{4}-\d\d-\d\dT\d{6})\.\d+\.snakemake\.log$")
DATE = re.compile(r"\[(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4})\]")
BEGINS = re.compile(r"(?:local)?(?:rule|checkpoint) \w+:")
FAILS = re.compile(r"Error in rule (\w+).*:")
STATUS = re.compile(r"died with <Signals\.(\w+): \d+>|returned non-zero exit status (\d+)")
INTERRUPTED = "interrupted ({}) before it was done; run again to continue"
SIGNALS = {
    "SIGTERM": INTERRUPTED,
    "SIGINT": INTERRUPTED,
    "SIGHUP": INTERRUPTED,
    "SIGKILL": "killed ({}), often for memory",
}
OF_STATUS = {"143": "SIGTERM", "130": "SIGINT", "129": "SIGHUP", "137": "SIGKILL"}
SKEW = r"Output {} has older modification time \(.*?\) than input (.+?) \("
CLOCKS = "clock skew: {} is older than its input {}; synchronise the clocks of nodes and file server, then run again"
MISSING = "{} did not appear although the job ended well; the file system may be slow (--latency-wait) or full"
SUBMISSION = re.compile(r"sbatch failed.*?The error message was '(.*?)'\.?(?:\n|$)|submission failed.*", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """What Snakemake wrote about a job: its begin or its failure."""

    text: str
    outputs: frozenset[str]
    time: float


class Log:
    """The messages of one run of Snakemake."""

    def __init__(self, paths: Sequence[str | Path]) -> None:
        self.text = "\n".join(_end(Path(path)) for path in paths)
        self.started = min((_named(Path(path)) for path in paths), default=0.0)
        blocks = list(_blocks(self.text))
        self._begun = [block for block in blocks if BEGINS.match(block.text)]
        self._failed = [block for block in blocks if FAILS.match(block.text)]

    def begun(self, outputs: Sequence[str]) -> float | None:
        """Return the time (seconds since 1970) when the job with these outputs last began; None if it is not there."""
        return next((block.time for block in reversed(self._begun) if block.outputs & set(outputs)), None)

    def reason(self, outputs: Sequence[str]) -> str | None:
        """Return why the job with these outputs failed, if Snakemake's log has the reason; else None."""
        for output in outputs:
            skewed = re.search(SKEW.format(re.escape(output)), self.text)
            if skewed:
                return CLOCKS.format(output, skewed[1])
            if re.search(rf"^{re.escape(output)} \(missing locally", self.text, re.MULTILINE):
                return MISSING.format(output)
        block = next((block for block in reversed(self._failed) if block.outputs & set(outputs)), None)
        if block is None:
            return None
        message = re.search(r"^ +message: (.*(?:\n(?! +jobid: ).*)*)", block.text, re.MULTILINE)
        if message and message[1].strip() not in ("None", ""):
            return _submission(message[1].strip())
        head = self.text[: self.text.index(block.text)]
        before = head.rstrip().splitlines()[-2:]  # the error, and then the time
        status = STATUS.search("\n".join(before))
        name = (status[1] or OF_STATUS.get(status[2], "")) if status else ""
        return SIGNALS[name].format(name) if name in SIGNALS else None


def signalled(reason: str | None) -> bool:
    """Return whether a reason of `Log.reason` is a signal that ended the process."""
    return reason is not None and any(reason == text.format(name) for name, text in SIGNALS.items())


def _named(path: Path) -> float:
    """Return the time in the name of a log of Snakemake, which is when the run began; 0 for another name."""
    found = NAMED.match(path.name)
    return time.mktime(time.strptime(found[1], "%Y-%m-%dT%H%M%S")) if found else 0.0


def _submission(message: str) -> str:
    refused = SUBMISSION.search(message)
    if refused is None:
        return " ".join(message.splitlines()[0].split())  # of SLURM: the job's number and state
    return f"not submitted: {' '.join((refused[1] or refused[0]).split())}"[:400]


def _blocks(text: str) -> Iterator[Block]:
    """Yield a head without indent and the indented lines below it, as far as they name outputs."""
    now, head, body = 0.0, "", list[str]()
    for line in [*text.splitlines(), "end"]:
        if line.startswith(" ") and head:
            body.append(line)
            continue
        if head:
            yield _block(head, body, now)
        date = DATE.fullmatch(line.strip())
        now = time.mktime(time.strptime(date[1])) if date else now
        head, body = (line, []) if BEGINS.match(line) or FAILS.match(line) else ("", [])


def _block(head: str, body: list[str], now: float) -> Block:
    text = "\n".join([head, *body])
    named = re.search(r"^ +output: (.*)$", text, re.MULTILINE)
    # Snakemake appends flags of a file in brackets to its name.
    files = re.sub(r" \((?:update|send to storage|retrieve from storage|check log.*?)\)", "", named[1]) if named else ""
    return Block(text, frozenset(filter(None, files.split(", "))), now)


def _end(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - READ))
        return stream.read().decode("utf-8", errors="replace")
