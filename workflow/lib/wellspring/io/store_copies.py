"""Copies of a store's images on the node's own disk: a file of several pages is copied once for all of them.

A copy is removed when each of its pages was read. Copies of which some pages are not asked for are kept up to `MOST`
bytes together, and removed when the process ends.
"""

import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from wellspring.io import object_store

MOST = 2**30  # bytes of copies that nothing reads at the time


class Copy:
    """A copy of one file; ``pages`` is set by who has opened it, and stays None if that fails."""

    def __init__(self) -> None:
        self.pages: int | None = None
        self.path: Path | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.lock = Lock()
        self.users = 0
        self.read: set[int] = set()

    def fetch(self, url: str) -> Path:
        """Copy the file unless it is there; raises as :func:`wellspring.io.object_store.fetch`."""
        if self.path is None:
            folder = tempfile.TemporaryDirectory(prefix="wellspring-")
            path = Path(folder.name, object_store.file_name(url))
            try:
                object_store.fetch(url, path)
            except BaseException:
                folder.cleanup()
                raise
            self._folder, self.path = folder, path
        return self.path

    def spent(self) -> bool:
        """Return whether the copy serves no further page, as far as is known."""
        return self.path is None or self.pages is None or len(self.read) >= self.pages

    def remove(self) -> None:
        """Remove the copy from the disk."""
        if self._folder is not None:
            self._folder.cleanup()
            self._folder, self.path = None, None


class Copies:
    """The copies of a process; several threads may ask for pages of one file at a time."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: OrderedDict[str, Copy] = OrderedDict()

    @contextmanager
    def of(self, url: str, page: int) -> Iterator[tuple[Copy, Path]]:
        """Yield the copy of a file, to read one page, and its path; raises as :meth:`Copy.fetch`."""
        with self._lock:
            copy = self._held.setdefault(url, Copy())
            self._held.move_to_end(url)
            copy.users += 1
        try:
            with copy.lock:
                path = copy.fetch(url)
            yield copy, path
            copy.read.add(page)
        finally:
            with self._lock:
                copy.users -= 1
                if copy.users == 0 and copy.spent():
                    self._held.pop(url).remove()
                self._trim()

    def _trim(self) -> None:
        """Remove the copies that were used the longest ago, beyond `MOST` bytes."""
        idle = {url: copy for url, copy in self._held.items() if copy.users == 0 and copy.path is not None}
        total = sum(copy.path.stat().st_size for copy in idle.values() if copy.path is not None)
        for url, copy in idle.items():
            if total <= MOST:
                return
            total -= copy.path.stat().st_size if copy.path is not None else 0
            self._held.pop(url).remove()


COPIES = Copies()
