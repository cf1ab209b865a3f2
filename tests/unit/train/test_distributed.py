"""What processes share: the same values, gradients and trained weights as one process with all the rows."""

import numpy as np
import pytest
import torch

import blobs
import trainings
from processes import ranks
from wellspring.train import distributed, losses, masks, simclr, sslprofiler
from wellspring.train.reading import seed_of
from wellspring.train.settings import resolve

ROWS, WORLD = 6, 2
CHANNELS = ["DNA", "RNA"]
SIDE = 32  # of fields and of tiles, so that blocks have one place only
# No batch normalisation, no drop path; no bias of keys, whose gradient is nothing but rounding, which Adam blows up.
SMALL = {
    "steps": 4,
    "projector": {"batch_norm": False},
    "backbone_options": {"embed_dim": 32, "depth": 2, "num_heads": 2, "patch_size": 8, "qkv_bias": False},
}
TILES = SMALL | {"kind": "sslprofiler", "view": {"kind": "tile", "size": SIDE}}
ENTRIES = {
    "contrast": SMALL | {"local_aggregation": {"kind": "none"}},
    "contrast of pairs": SMALL | {"one_plate": True},
    "centre, masks, KoLeo, pairs": TILES | {"distillation": {"drop_path": 0.0}},
    "sinkhorn, masks, aggregate": TILES
    | {
        "distillation": {"drop_path": 0.0, "targets": "sinkhorn"},
        "local_aggregation": {"kind": "aggregate", "pool": "attention"},
    },
    "dino": TILES | {"kind": "dino", "distillation": {"drop_path": 0.0}},
}


def data() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(ROWS, 4, generator=generator), torch.randn(4, 3, generator=generator)


def joint(rows: torch.Tensor) -> torch.Tensor:
    """A loss that looks across images, beside a mean over them."""
    return losses.koleo(distributed.gather(rows)) + rows.square().mean()


def shared() -> dict[str, torch.Tensor]:
    rows, weight = data()
    count = ROWS // distributed.world()
    mine = rows[distributed.rank() * count : (distributed.rank() + 1) * count]
    weight.requires_grad_()
    loss = joint(mine @ weight)
    loss.backward()
    return {
        "gathered": distributed.gather(mine),
        "gradient": distributed.mean(weight.grad),
        "loss": distributed.mean(loss),
        "total": distributed.total(mine.sum(dim=0)),
        "mean": distributed.mean(mine.mean(dim=0)),
        "maximum": distributed.maximum(mine.max(dim=0).values),
    }


def test_ranks_hold_together_what_one_process_holds(tmp_path):
    single = shared()
    assert torch.equal(single["gathered"], data()[0])
    for found in ranks(shared, count=WORLD, folder=tmp_path):
        for name, value in single.items():
            torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")


def test_one_process_gets_back_what_it_gives():
    rows = torch.randn(3, 2, requires_grad=True)
    assert distributed.gather(rows) is rows
    assert (distributed.world(), distributed.rank()) == (1, 0)
    for function in (distributed.mean, distributed.total, distributed.maximum):
        assert torch.equal(function(rows), rows)
        assert not function(rows).requires_grad


@pytest.mark.parametrize("function", [distributed.mean, distributed.total, distributed.maximum])
def test_what_is_reduced_is_left_as_it_was(function):
    rows = torch.randn(3)
    before = rows.clone()
    function(rows)
    assert torch.equal(rows, before)


def trained(paths: dict, names: list[str], folder: str, *, accumulate: int = 1) -> dict[str, dict]:
    """Losses and weights of small runs."""
    found = {}
    for name in names:
        entry, place = blobs.entry(**ENTRIES[name]), blobs.Path(folder) / name
        how = {"log_every": 1, "accumulate": accumulate, "retrieve_every": 2}
        network, _, history = trainings.train(entry, paths, place, channels=CHANNELS, **how)
        columns = history.drop(columns=["retrieval", "retrieval_chance"]).to_numpy(np.float64)  # only rank 0 has these
        found[name] = {"history": torch.from_numpy(columns), "weights": dict(network.state_dict())}
    return found


def draw_in_blocks(monkeypatch, settings, *, world: int) -> None:
    """Let one process draw the views and masks of the joint batch as `world` processes draw those of their slices."""
    steps = {seed_of(settings, step, 0): step for step in range(settings.steps)}
    generators: dict[int, list[torch.Generator]] = {}
    seeds: list[int] = []
    view, draw = simclr.view, masks.draw

    def of_blocks(generator: torch.Generator) -> list[torch.Generator]:
        first = generator.initial_seed()
        if first not in generators:
            seeds[:] = [seed_of(settings, steps[first], block) for block in range(world)]
            generators[first] = [torch.Generator().manual_seed(seed) for seed in seeds]
        return generators[first]

    def views(images, recipe, generator, *, mean, std, **options):
        parts = zip(images.chunk(world), of_blocks(generator), mean.chunk(world), std.chunk(world), strict=True)
        return torch.cat([view(part, recipe, own, mean=m, std=s, **options) for part, own, m, s in parts])

    def hidden(count, grid, *, rng, **options):
        rngs = [np.random.default_rng([seed, sslprofiler.MASKS]) for seed in seeds]
        crops = settings.distillation.global_count
        parts = [draw(count // world, grid, rng=own, **options).reshape(crops, -1, *grid) for own in rngs]
        return np.concatenate(parts, axis=1).reshape(count, *grid)

    monkeypatch.setattr(simclr, "view", views)
    monkeypatch.setattr(sslprofiler, "view", views)
    monkeypatch.setattr(masks, "draw", hidden)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("screen"), channels=CHANNELS, side=SIDE, cells=6)


@pytest.fixture(scope="module")
def shares(screen, tmp_path_factory):
    """What each of two processes ends with."""
    folder = tmp_path_factory.mktemp("ranks")
    return ranks(trained, screen, list(ENTRIES), str(folder), count=WORLD, folder=folder)


def assert_same(found: dict, expected: dict) -> None:
    torch.testing.assert_close(found["history"], expected["history"], rtol=1e-5, atol=1e-5, equal_nan=True)
    for name, value in expected["weights"].items():
        torch.testing.assert_close(
            found["weights"][name], value, rtol=1e-5, atol=1e-5, msg=lambda text, at=name: f"{at}: {text}"
        )


@pytest.mark.parametrize("name", ENTRIES)
def test_two_processes_train_as_one_with_the_joint_batch(screen, shares, tmp_path, monkeypatch, name):
    draw_in_blocks(monkeypatch, resolve(blobs.entry(**ENTRIES[name]), seed=1), world=WORLD)
    single = trained(screen, [name], str(tmp_path))[name]
    for share in shares:
        assert_same(share[name], single)
    first, second = (share[name]["weights"] for share in shares)
    assert all(torch.equal(first[each], second[each]) for each in first)


def test_two_processes_train_as_one_that_accumulates_two_parts(screen, shares, tmp_path):
    """Without terms across images; the parts see the same images, views and places."""
    single = trained(screen, ["dino"], str(tmp_path), accumulate=2)["dino"]
    assert_same(shares[0]["dino"], single)
