"""The digest of the code of a stage: a sha256 over its script and all modules of the library that it imports.

The digest depends on the text alone: touching, checking out or moving the clone does not change it, and an edit reruns
only the stages that import the edited module.
"""

import hashlib
import os
import re
from collections.abc import Collection
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


# A statement of import, at the top or inside a function; in a string at the start of a line, too, which does no harm.
_IMPORT = re.compile(
    r"^[ \t]*(?:import[ \t]+(?P<modules>(?:\\\n|[^\n#;])+)|"
    r"from[ \t]+(?P<module>wellspring[\w.]*)[ \t]+import[ \t]*"
    r"(?:\((?P<several>[^)]*)\)|(?P<names>(?:\\\n|[^\n#;(])+)))",
    re.MULTILINE,
)


@cache
def code(script: str | Path, *also: str | Path) -> str:
    """Return the digest of `script`, of the modules of this library that it imports, and of the files `also`.

    `FileNotFoundError` names a missing file.
    """
    files = [*closure(Path(script), without=PLUMBING), *map(Path, also)]
    parts = sorted(_read(file)[0] for file in files)
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
            waiting.extend(path for name, path in _modules(file).items() if name not in without)
    return found


def imports(file: Path) -> set[str]:
    """Return the modules of this library that `file` imports, at its top or inside functions."""
    return set(_modules(file))


def source(module: str) -> Path | None:
    """Return the file of a module or package of this library; None for other names."""
    return _source(module, LIBRARY)


def named(text: str) -> set[str]:
    r"""Return all names below `wellspring` that the text of a module imports.

    By a regular expression: parsing 400 modules takes seconds, in each start of Snakemake and so in each job.

    Examples
    --------
    >>> text = "import wellspring.io\nfrom wellspring.screen import (\n    sheet,  # plates\n    names as n,\n)"
    >>> sorted(named(text))
    ['wellspring.io', 'wellspring.screen', 'wellspring.screen.names', 'wellspring.screen.sheet']
    """
    found = set()
    for match in _IMPORT.finditer(text):
        if match["modules"]:
            found |= {part.split()[0] for part in match["modules"].replace("\\", "").split(",") if part.strip()}
        else:
            parts = re.sub(r"#.*", "", match["several"] or match["names"]).replace("\\", "").split(",")
            found |= {match["module"]} | {f"{match['module']}.{part.split()[0]}" for part in parts if part.strip()}
    return {name for name in found if name.split(".")[0] == "wellspring"}


def _modules(file: Path) -> dict[str, Path]:
    """Return name to file of the modules of this library that a file imports."""
    return _found(_read(file)[1], LIBRARY)


def _read(file: Path) -> tuple[str, frozenset[str]]:
    """Return the digest of a file, and the names that it imports if it is a module; kept while the file is the same."""
    state = file.stat()
    return _kept(file, state.st_mtime_ns, state.st_size)


@cache
def _kept(file: Path, changed: int, size: int) -> tuple[str, frozenset[str]]:
    content = file.read_bytes()
    names = named(content.decode()) if file.suffix == ".py" else ()
    return hashlib.sha256(content).hexdigest(), frozenset(names)


@cache
def _found(names: frozenset[str], library: Path) -> dict[str, Path]:
    return {name: path for name in names if (path := _source(name, library)) is not None}


@cache
def _source(module: str, library: Path) -> Path | None:
    path = library.joinpath(*module.split("."))
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.exists()), None)


def age(folder: Path) -> None:
    """Set the modification time of the scripts in `folder` to the epoch, if this user may.

    Snakemake reruns a stage whose script is newer than its results; after a checkout all scripts are. The digest of
    the text (`code`) decides instead.
    """
    for script in folder.glob("*.py"):
        if script.stat().st_mtime > 0 and os.access(script, os.W_OK):
            os.utime(script, (0, 0))
