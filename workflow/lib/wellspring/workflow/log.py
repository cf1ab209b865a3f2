"""Send the output of a job (stdout, stderr, warnings, logging, uncaught tracebacks) to its log file."""

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType


def log_to(path: str | Path) -> None:
    """Write this process's output to `path`; an uncaught error also goes to the terminal.

    The terminal shows its last line only, with the path of the log, so that a screen of 40 plates stays readable.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    stream = Path(path).open("w", buffering=1)  # noqa: SIM115 - open until the process ends
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace, file=stream)
        print(f"{kind.__name__}: {error}\n(full log: {path})", file=terminal)

    sys.excepthook = report
