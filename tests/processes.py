"""Several gloo processes on this machine: run a function, return its result on each rank."""

import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed as dist
from torch import multiprocessing


def ranks(function: Callable, *args: object, count: int, folder: Path) -> list:
    """Call `function(*args)` in `count` processes that form a group; return its results in rank order.

    The function is at the top level of an importable module; results are tensors and plain values. They meet in a file,
    not at a port, so that tests can run side by side.
    """
    folder.mkdir(parents=True, exist_ok=True)
    multiprocessing.spawn(_work, (function, args, count, str(folder)), nprocs=count)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _work(rank: int, function: Callable, args: tuple, count: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=count)
    try:
        torch.save(function(*args), Path(folder) / f"{rank}.pt")
    except Exception:
        traceback.print_exc()
        raise
    finally:
        dist.destroy_process_group()
