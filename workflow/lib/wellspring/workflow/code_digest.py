"""The digest of the code of a stage: a sha256 over its script and all modules of the library that it imports.

The digest depends on the text alone: touching, checking out or moving the clone does not change it, and an edit reruns
only the stages that import the edited module.
"""

import ast
import hashlib
import os
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

from wellspring.io.shipped import LIBRARY

# Modules that write, describe or log results do not change what a stage computes.
PLUMBING = {
    "wellspring",
    "wellspring.io.tables",
    "wellspring.io.embeddings",
    "wellspring.io.made",
    "wellspring.io.provenance",
    "wellspring.io.version",
    "wellspring.screen.sections",  # options are parameters of each job
    "wellspring.screen.section_reader",
    "wellspring.workflow.log",
    "wellspring.report.wording",  # sentences of reasons; rules whose results are sentences add the files themselves
}


@cache
def code(script: str | Path, *also: str | Path) -> str:
    """Return the digest of `script`, of the modules of this library that it imports, and of the files `also`.

    `FileNotFoundError` names a missing file.
    """
    files = [*closure(Path(script), without=PLUMBING), *map(Path, also)]
    parts = sorted(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def closure(script: Path, *, without: Collection[str] = ()) -> set[Path]:
    """Return `script` and the files of all library modules that it imports, directly or through others.

    Parameters
    ----------
    script
        A Python file.
    without
        Names of modules that are left out, together with what only they import.
    """
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            waiting.extend(filter(None, map(source, imports(file).difference(without))))
    return found


def imports(file: Path) -> set[str]:
    """Return the modules of this library that `file` imports, at its top or inside functions."""
    return {name for name in _named(file.read_text()) if source(name) is not None}


def source(module: str) -> Path | None:
    """Return the file of a module or package of this library; None for other names."""
    path = LIBRARY.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


@cache
def _named(text: str) -> frozenset[str]:
    """Return all names below `wellspring` that a module imports; kept, since most stages share most modules."""
    found = set()
    for node in _statements(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(name for name in found if name.split(".")[0] == "wellspring")


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the statements of a module, however deep; imports are never inside of expressions, which are most nodes."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            inner = getattr(node, block, None)
            waiting += inner if isinstance(inner, list) else ()


def age(folder: Path) -> None:
    """Set the modification time of the scripts in `folder` to the epoch, if this user may.

    Snakemake reruns a stage whose script is newer than its results; after a checkout all scripts are. The digest of
    the text (`code`) decides instead.
    """
    for script in folder.glob("*.py"):
        if script.stat().st_mtime > 0 and os.access(script, os.W_OK):
            os.utime(script, (0, 0))
