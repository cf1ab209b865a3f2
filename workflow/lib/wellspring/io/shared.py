"""Decode a block that holds several planes once for all threads that ask for one of them."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future

import numpy as np

BYTES = 2**28  # of blocks that are kept
ENTRIES = 128  # that are kept, of which most have no block


class Blocks:
    """Blocks (planes, H, W) by key, each loaded once; the least recently used ones are dropped beyond `most` bytes.

    A block is also dropped when each of its planes has been taken.
    """

    def __init__(self, most: int = BYTES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: dict[Hashable, Future[np.ndarray | None]] = {}
        self._taken: dict[Hashable, int] = {}

    def take(self, key: Hashable, load: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """Return the block of a key, for one of its planes; None where `load` returns none.

        Threads that ask for a key while it is loaded wait for it; an error of `load` is raised in all of them, and the
        next one loads again.
        """
        with self._lock:
            waiting = self._held.pop(key, None)
            future = waiting or Future[np.ndarray | None]()
            self._held[key] = future  # the last is the most recently used
        if waiting is None:
            try:
                future.set_result(load())
            except BaseException as error:
                with self._lock:
                    self._forget(key)
                future.set_exception(error)
                raise
        block = future.result()
        with self._lock:
            self._taken[key] = self._taken.get(key, 0) + 1
            if block is not None and self._taken[key] >= len(block):
                self._forget(key)
            self._trim()
        return block

    def _forget(self, key: Hashable) -> None:
        self._held.pop(key, None)
        self._taken.pop(key, None)

    def _trim(self) -> None:
        done = {key: future.result() for key, future in self._held.items() if future.done() and not future.exception()}
        size = sum(block.nbytes for block in done.values() if block is not None)
        for key, block in done.items():
            if size <= self._most and len(self._held) <= ENTRIES:
                return
            size -= 0 if block is None else block.nbytes
            self._forget(key)
