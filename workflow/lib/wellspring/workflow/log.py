"""Send the output of a job (stdout, stderr, warnings, logging, uncaught tracebacks) to its log file."""

import logging
import re
import sys
import traceback
from pathlib import Path
from types import TracebackType

from wellspring.io import credentials, progress

# Words of NumPy, PyTorch, zarr and Arrow for memory that the system refuses; PyTorch has a RuntimeError for it.
MEMORY = re.compile(r"can't allocate memory|not enough memory|out of memory|unable to allocate|malloc of size", re.I)


def log_to(path: str | Path) -> None:
    """Write this process's output to `path`, without credentials; an uncaught error also goes to the terminal.

    The terminal shows its last line only, with the path of the log, so that a screen of 40 plates stays readable.
    A lack of memory is named with the job, its plate and the remedies. An interactive terminal also shows the progress
    of long jobs (`wellspring.io.progress`).
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    progress.show(terminal, " ".join(_job(path)))
    stream = credentials.masking(Path(path).open("w", buffering=1))  # noqa: SIM115 - open until the process ends
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        lack = _lack_of_memory(path, error)
        if lack is not None:
            kind, error, trace = type(lack), lack, None
        traceback.print_exception(kind, error, trace, file=stream)
        print(credentials.redacted(f"{kind.__name__}: {error}\n(full log: {path})"), file=terminal)

    sys.excepthook = report


def _lack_of_memory(path: str | Path, error: BaseException) -> MemoryError | None:
    """Return the error that names the job of a log `<results>/logs/<rule>/<job>.log`; None for another error."""
    if not isinstance(error, MemoryError) and not (isinstance(error, RuntimeError) and MEMORY.search(str(error))):
        return None
    parts = _job(path)
    rule = parts[0]
    detail = str(error) or "no details"
    lack = MemoryError(
        f"{' '.join(parts)}: the job ran out of memory ({detail}). Give it more (--set-resources {rule}:mem_mb=32000 "
        f"on a cluster, a machine with more memory otherwise), or fewer threads (--set-threads {rule}=1), and run again"
    )
    lack.__cause__ = error
    return lack


def _job(path: str | Path) -> tuple[str, ...]:
    """Return the rule and the names of the job of a log `<results>/logs/<rule>/<job>.log`."""
    parts = Path(path).with_suffix("").parts
    return parts[len(parts) - parts[::-1].index("logs") :] if "logs" in parts[:-1] else parts[-1:]
