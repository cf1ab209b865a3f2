"""Send all that a job says (stdout, stderr, warnings, logging, an uncaught traceback) to its log file."""

import logging
import sys
import traceback
from pathlib import Path
from types import TracebackType


def log_to(path: str | Path) -> None:
    """Route this process's output to `path`; an uncaught error is written there and on the terminal.

    Only its last line goes to the terminal, so that a screen of 40 plates shows what failed and where to read on.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    terminal = sys.stderr
    stream = Path(path).open("w", buffering=1)  # noqa: SIM115 - open until the process ends
    sys.stdout = sys.stderr = stream
    logging.basicConfig(stream=stream, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", force=True)
    logging.captureWarnings(True)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        traceback.print_exception(kind, error, trace, file=stream)
        print(f"{kind.__name__}: {error}\n(the whole of it: {path})", file=terminal)

    sys.excepthook = report
