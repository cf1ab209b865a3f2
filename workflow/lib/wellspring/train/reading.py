"""Read the batches of this process ahead of the steps.

The joint batch of a step is cut into blocks of whole groups, one for each process and each part over which gradients
are accumulated. A process reads only its own blocks. The images, places and views of a block depend on its number, not
on the process that computes it.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from wellspring.train import distributed
from wellspring.train.adversary import codes
from wellspring.train.data import Batch, load
from wellspring.train.sampler import Sampler
from wellspring.train.settings import Settings
from wellspring.train.sources import Source

READ, SEED = 3, 4  # streams of random numbers, besides those of the sampler
READERS = 8  # largest number of threads that read ahead; fewer if half of the process's threads are fewer


def seed_of(settings: Settings, step: int, block: int) -> int:
    """Return the seed for the views, masks and drop path of a block of a step."""
    return int(np.random.default_rng([settings.seed, step, SEED, block]).integers(2**62))


def parts(settings: Settings, *, accumulate: int) -> int:
    """Return the number of blocks of a joint batch; a ValueError if the groups cannot be shared equally."""
    blocks = accumulate * distributed.world()
    if settings.batch % (blocks * settings.sites):
        raise ValueError(
            f"encoders.batch: expected a multiple of {blocks * settings.sites} ({distributed.world()} processes x "
            f"{accumulate} accumulated parts x {settings.sites} images per well), found {settings.batch}"
        )
    return blocks


@contextmanager
def reading(
    source: Source, sampler: Sampler, settings: Settings, *, device: torch.device, first: int, accumulate: int
) -> Iterator[Iterator[tuple[int, int, Batch]]]:
    """Yield an iterator over the blocks of this process, in the order of the steps; threads read them ahead.

    Parameters
    ----------
    source, sampler, settings
        Images, which of them a step uses, and the settings of the encoder.
    device
        Device of the batches.
    first
        The first step; the settings have the number of steps.
    accumulate
        Blocks per step of this process.

    Yields
    ------
    Iterator
        Triples of the step, the number of the block in the joint batch, and the block.
    """
    size = settings.batch // parts(settings, accumulate=accumulate)
    world, rank = distributed.world(), distributed.rank()
    adversary = settings.adversary
    nuisances = codes(source, adversary.against)[0] if adversary.weight else None

    def read(number: int) -> tuple[int, int, Batch]:
        step, part = divmod(number, accumulate)
        block = part * world + rank
        items = sampler.draw(step)[block * size : (block + 1) * size]
        rng = np.random.default_rng([settings.seed, step, READ, block])
        cpu = torch.device("cpu")
        batch = load(source, items, sites=settings.sites, rng=rng, device=cpu, nuisances=nuisances)
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
    """Move batches to a device; to a GPU one batch ahead, on its own stream, while the batch before is computed."""
    if device.type != "cuda":
        yield from batches
        return
    stream, waiting = torch.cuda.Stream(), None

    def move(values: Tensor) -> Tensor:
        moved = values.to(device, non_blocking=True)
        moved.record_stream(torch.cuda.default_stream())  # its memory is not reused before
        return moved

    for step, block, batch in batches:
        with torch.cuda.stream(stream):
            moved = step, block, _each(batch, move)
        if waiting is not None:
            yield waiting
        stream.synchronize()  # the copy ran while the batch before was computed
        waiting = moved
    if waiting is not None:
        yield waiting


def _each(batch: Batch, function: Callable[[Tensor], Tensor]) -> Batch:
    images, mean, std, well = (function(each) for each in (batch.images, batch.mean, batch.std, batch.well))
    nuisances = None if batch.nuisances is None else function(batch.nuisances)
    return replace(batch, images=images, mean=mean, std=std, well=well, nuisances=nuisances)
