"""The digest of the code behind a stage: a sha256 over a module and all it imports from this library.

In flows a module's name, out flows a hex digest. It depends on the text alone, so a touch, a checkout or a move of the
clone changes nothing, and an edit reruns just the stages whose modules were edited.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
# How a table is written, logged or described does not change what a stage computes.
PLUMBING = {"wellspring", "wellspring.tables", "wellspring.provenance", "wellspring.log"}


@cache
def code(*modules: str) -> str:
    """Return the digest of `modules` and their first-party import closure; `ValueError` names an unknown one."""
    closure: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in closure or module in PLUMBING:
            continue
        if source(module) is None:
            raise ValueError(f"{module}: expected a module of {LIBRARY}, found none")
        closure.add(module)
        waiting.extend(imports(module))
    parts = [hashlib.sha256(source(module).read_bytes()).hexdigest() for module in sorted(closure)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def imports(module: str) -> set[str]:
    """Return the modules of this library that `module` imports, at its top or within a function."""
    found = set()
    for node in ast.walk(ast.parse(source(module).read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.startswith("wellspring") and source(name) is not None}


def source(module: str) -> Path | None:
    """Return the file of a module or package of this library, or None."""
    path = LIBRARY.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)
