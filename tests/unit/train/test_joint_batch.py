"""Two processes that share a batch have the terms, gradients and centres of one process that has all of it."""

from pathlib import Path

import torch
from torch import distributed as dist
from torch import nn

import blobs
from wellspring.train import build, masks
from wellspring.train.data import Batch
from wellspring.train.settings import resolve

COUNT, CHANNELS, SIDE, SITES = 8, 2, 32, 2
# Without normalisation over a batch or anything drawn, so that what a process computes depends on its images alone.
PLAIN = {"preset": "flips", "overrides": {"flip": False, "rotate": "none"}}
DISTILLED = {
    "kind": "sslprofiler",
    "view": {"kind": "tile", "size": SIDE},
    "local_aggregation": {"kind": "aggregate", "pool": "attention"},
}
ENTRIES = {
    "centre": DISTILLED | {"distillation": {"drop_path": 0.0}},
    "sinkhorn": DISTILLED | {"distillation": {"drop_path": 0.0, "targets": "sinkhorn", "ibot": {"head": "own"}}},
    "pair": DISTILLED | {"distillation": {"drop_path": 0.0}, "local_aggregation": {"kind": "pair"}},
    "simclr": {"kind": "simclr", "augmentation": PLAIN, "projector": {"batch_norm": False}},
}


def method(name: str) -> nn.Module:
    known = resolve(blobs.entry(**ENTRIES[name]), seed=1)
    torch.manual_seed(0)
    backbone = build.network(known, channels=CHANNELS)
    return build.OBJECTIVES[known.kind](backbone, known, channels=CHANNELS, precision="float32").train()


def batch() -> Batch:
    images = torch.rand(COUNT, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    scale = torch.full((COUNT, CHANNELS), 0.5)
    return Batch(images, scale, scale, torch.arange(COUNT) // SITES, SITES)


def one_update(name: str, share: slice) -> dict[str, torch.Tensor]:
    """Terms, gradients and centres of a share of the images; crops and masks are drawn for all of them."""
    known, whole = method(name), batch()
    mine = Batch(whole.images[share], whole.mean[share], whole.std[share], whole.well[share], SITES)

    def cut(part: torch.Tensor) -> torch.Tensor:
        return part.unflatten(0, (-1, COUNT))[:, share].flatten(0, 1)

    if name != "simclr":
        wide, narrow = known._views(whole, 0, torch.Generator().manual_seed(0))
        mask = known._hidden(wide, torch.Generator().manual_seed(0)).mask
        known._views = lambda *_: (cut(wide), cut(narrow))
        known._hidden = lambda *_: masks.hide(cut(mask).numpy(), mask.device)
    terms, _ = known(mine, 0, torch.Generator().manual_seed(0))
    terms["loss"].backward()
    known.after_update(0)
    found = {f"term {term}": value.detach().clone() for term, value in terms.items()}
    found |= {each: value.grad for each, value in known.named_parameters() if value.grad is not None}
    return found | {each: value.clone() for each, value in known.named_buffers() if each.endswith("centre")}


def a_rank(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    half = COUNT // 2
    for name in ENTRIES:
        found = one_update(name, slice(half * rank, half * rank + half))
        for value in found.values():  # as DistributedDataParallel does with gradients
            dist.all_reduce(value)
            value /= 2
        if rank == 0:
            torch.save(found, folder / f"{name}.pt")
    dist.destroy_process_group()


def test_two_processes_have_what_the_joint_batch_has(tmp_path):
    torch.multiprocessing.spawn(a_rank, args=(tmp_path,), nprocs=2)
    for name in ENTRIES:
        whole, found = one_update(name, slice(0, COUNT)), torch.load(tmp_path / f"{name}.pt")
        assert set(found) == set(whole)
        assert {"term loss", "term local_aggregation"} <= set(found)
        for part, value in whole.items():
            assert torch.allclose(value, found[part], rtol=1e-4, atol=1e-5), (name, part)
