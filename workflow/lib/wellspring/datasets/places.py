"""Published files in a folder on disk or below a URL: the names there, and a local copy of a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wellspring.io import object_store


def join(place: str, *parts: str) -> str:
    """Return the path or URL of a file below a place."""
    return "/".join([place.rstrip("/") or "/", *parts])


def names(place: str) -> list[str]:
    """Return the names of files and folders directly in a folder or below a prefix, sorted, without hidden ones."""
    if object_store.is_url(place):
        return object_store.names(place)
    folder = Path(place)
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


@contextmanager
def local(place: str) -> Iterator[Path]:
    """Yield a file on disk: the file itself, or a copy of a URL that is removed at the end.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    if object_store.is_url(place):
        with object_store.staged(place) as copy:
            yield copy
    elif not Path(place).is_file():
        raise FileNotFoundError(place)
    else:
        yield Path(place)
