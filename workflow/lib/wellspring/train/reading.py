"""What each step sees, read ahead: a source and a sampler flow in, the batches of this process flow out.

The joint batch of a step is cut into blocks of whole groups, one for each process and each part that gradients are
accumulated over; a process reads its own blocks alone. Which images, places and views a block has hangs on its number,
not on who computes it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from wellspring.train import distributed
from wellspring.train.data import Batch, load
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings
from wellspring.train.sources import Source

READ, SEED = 3, 4  # streams of random numbers beside the sampler's
READERS = 8  # threads that read ahead, at most; half of the process's threads


def seed_of(settings: Settings, step: int, block: int) -> int:
    """Return the seed of what is drawn while a block of a step is computed: views, masks, drop path."""
    return int(np.random.default_rng([settings.seed, step, SEED, block]).integers(2**62))


def parts(settings: Settings, *, accumulate: int) -> int:
    """Return the number of blocks of a joint batch; a ValueError where they would not be of whole groups."""
    blocks = accumulate * distributed.world()
    if settings.batch % (blocks * settings.sites):
        raise ValueError(
            f"encoders.batch: expected a multiple of {blocks * settings.sites} ({distributed.world()} processes x "
            f"{accumulate} parts that are accumulated x {settings.sites} images of a well), found {settings.batch}"
        )
    return blocks


@contextmanager
def reading(
    source: Source, sampler: Sampler, settings: Settings, *, device: torch.device, first: int, accumulate: int
) -> Iterator[Iterator[tuple[int, int, Batch]]]:
    """Give an iterator over this process's blocks, in the order of the steps; threads read ahead until the block ends.

    Parameters
    ----------
    source, sampler, settings
        Images, which of them a step sees, and the encoder's settings.
    device
        Where the batches go.
    first
        The first step; the last is that of the settings.
    accumulate
        Blocks of a step that this process computes one after the other.

    Yields
    ------
    Iterator
        Of the step, the number of the block in the joint batch, and the block.
    """
    size = settings.batch // parts(settings, accumulate=accumulate)
    world, rank = distributed.world(), distributed.rank()

    def read(number: int) -> tuple[int, int, Batch]:
        step, part = divmod(number, accumulate)
        block = part * world + rank
        items = sampler.draw(step)[block * size : (block + 1) * size]
        rng = np.random.default_rng([settings.seed, step, READ, block])
        batch = load(source, items, sites=settings.sites, rng=rng, device=torch.device("cpu"))
        return step, block, _each(batch, Tensor.pin_memory) if device.type == "cuda" else batch

    def ahead() -> Iterator[tuple[int, int, Batch]]:
        count = 2 * readers
        numbers = iter(range(first * accumulate, settings.steps * accumulate))
        waiting = [pool.submit(read, number) for number in islice(numbers, count)]
        while waiting:
            found = waiting.pop(0).result()
            waiting.extend(pool.submit(read, number) for number in islice(numbers, 1))
            yield found

    readers = min(max(torch.get_num_threads() // 2, 1), READERS)
    with ThreadPoolExecutor(readers) as pool:
        try:
            yield _on_device(ahead(), device)
        finally:
            pool.shutdown(cancel_futures=True)


def _on_device(batches: Iterator[tuple[int, int, Batch]], device: torch.device) -> Iterator[tuple[int, int, Batch]]:
    """Move batches to a device; to a GPU one ahead, on a stream of its own, so that copying hides behind computing."""
    if device.type != "cuda":
        yield from batches
        return
    stream, waiting = torch.cuda.Stream(), None

    def move(values: Tensor) -> Tensor:
        moved = values.to(device, non_blocking=True)
        moved.record_stream(torch.cuda.default_stream())  # where it is used: its memory is not given away before that
        return moved

    for step, block, batch in batches:
        with torch.cuda.stream(stream):
            moved = step, block, _each(batch, move)
        if waiting is not None:
            yield waiting
        stream.synchronize()  # the copy was under way while the batch before was computed
        waiting = moved
    if waiting is not None:
        yield waiting


def _each(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    values = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return replace(batch, **{name: function(each) for name, each in values.items() if isinstance(each, Tensor)})
