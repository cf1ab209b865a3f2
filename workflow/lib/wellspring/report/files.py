"""Match files to plates and encoders by their paths."""

from collections.abc import Iterable, Sequence
from pathlib import Path


def as_list(paths: str | Path | Iterable[str | Path] | None) -> list[Path]:
    """Return the paths as a list: nothing, one path and many paths are all accepted."""
    if paths is None:
        return []
    if isinstance(paths, str | Path):
        return [Path(paths)] if str(paths) else []
    return [Path(path) for path in paths]


def owner(path: str | Path, names: Sequence[str]) -> str | None:
    """Return the name that is a folder of the path or the start of its file name; the longest wins.

    If several parts of the path match, the part nearest to the file wins: `embed/P1/P2.parquet` is of `P2`.
    """
    for part in reversed(Path(path).parts):
        found = [name for name in names if part == name or part.startswith(f"{name}.")]
        if found:
            return max(found, key=len)
    return None


def assign(paths: str | Path | Iterable[str | Path] | None, names: Sequence[str]) -> dict[str, Path]:
    """Return name -> path. Lists of one length are parallel; else each path is matched by a name in it.

    Raises
    ------
    ValueError
        A path has none of the names.
    """
    files = as_list(paths)
    if len(files) == len(names):
        return dict(zip(names, files, strict=True))
    result: dict[str, Path] = {}
    for path in files:
        name = owner(path, names)
        if name is None:
            raise ValueError(
                f"{path}: expected a file of one of {', '.join(names) or 'no names'}, found none of them in its path"
            )
        result[name] = path
    return result
