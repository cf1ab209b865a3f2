"""Read ahead: results in order, while threads read the next ones, within a limit of items and bytes.

A store answers a request after some 50 ms whatever it asks for, so planes that are read one after the other take half
an hour per plate; with 32 requests at a time the processor or the network is the limit.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

REQUESTS = 32  # files that are read at a time from a store; more gained nothing at 50 ms per request
BYTES = 2**30  # of results that wait


def ahead(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int,
    size: Callable[[Result], int] = lambda result: 0,
    most: int = BYTES,
) -> Iterator[Result]:
    """Yield ``read(item)`` for each item, in order.

    Parameters
    ----------
    read
        Called in one of several threads; what it raises is raised here, at the item's place.
    items
        Taken one by one, never more than twice `threads` ahead of the results.
    threads
        Items that are read at a time.
    size
        Bytes of a result in memory.
    most
        No further item is begun while the results that wait, and those that are expected of the items that are being
        read, have more bytes; one item is always read.

    Examples
    --------
    >>> list(ahead(str.upper, ["a", "b"], threads=2))
    ['A', 'B']
    """
    waiting: deque[Future[Result]] = deque()
    largest = 0
    source = iter(items)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        try:
            while True:
                room = max(1, min(2 * threads, most // largest if largest else 2 * threads))
                while len(waiting) < room:
                    try:
                        item = next(source)
                    except StopIteration:
                        break
                    waiting.append(pool.submit(read, item))
                if not waiting:
                    return
                result = waiting.popleft().result()
                largest = max(largest, size(result))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
