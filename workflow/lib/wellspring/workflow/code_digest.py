"""The digest of the code behind a stage: a sha256 over its script and all that this imports from the library.

In flows a script's path, out flows a hex digest. It depends on the text alone, so a touch, a checkout or a move of the
clone changes nothing, and an edit reruns just the stages whose modules were edited.
"""

import ast
import hashlib
import os
from functools import cache
from pathlib import Path

from wellspring.io.shipped import LIBRARY

# How a table is written, logged or described does not change what a stage computes.
PLUMBING = {
    "wellspring",
    "wellspring.io.tables",
    "wellspring.io.embeddings",
    "wellspring.io.provenance",
    "wellspring.screen.sections",  # the options themselves are parameters of each job
    "wellspring.screen.section_reader",
    "wellspring.workflow.log",
}


@cache
def code(script: str | Path, *also: str | Path) -> str:
    """Return the digest of `script`, its import closure in this library, and the files `also` (templates).

    `FileNotFoundError` names a file that is not there.
    """
    closure: set[Path] = set()
    waiting = [Path(script)]
    while waiting:
        file = waiting.pop()
        if file not in closure:
            closure.add(file)
            waiting.extend(source(module) for module in imports(file) - PLUMBING)
    parts = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in [*closure, *map(Path, also)])
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def imports(file: Path) -> set[str]:
    """Return the modules of this library that `file` imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] == "wellspring" and source(name) is not None}


def source(module: str) -> Path | None:
    """Return the file of a module or package of this library, or None."""
    path = LIBRARY.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def age(folder: Path) -> None:
    """Set the modification time of the scripts in `folder` to the epoch, where this user may.

    Snakemake reruns a stage whose script file is newer than its results, which after a checkout is all of them. What
    counts here is the text, by `code`.
    """
    for script in folder.glob("*.py"):
        if script.stat().st_mtime > 0 and os.access(script, os.W_OK):
            os.utime(script, (0, 0))
