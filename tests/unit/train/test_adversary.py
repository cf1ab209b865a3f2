"""The adversary: its gradient is reversed for the network alone, and training with it forgets the plate."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import blobs
import trainings
from wellspring.train.adversary import Adversary, codes


def test_heads_learn_and_the_network_gets_the_reversed_gradient():
    torch.manual_seed(0)
    heads = Adversary(5, classes=(3, 2), weight=0.7)
    known = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
    features = torch.randn(4, 5, requires_grad=True)
    heads(features, known).backward()
    plain = features.detach().clone().requires_grad_()
    straight = sum(cross_entropy(head(plain), known[:, place]) for place, head in enumerate(heads.heads)) / 2
    wanted = torch.autograd.grad(straight, [plain, *heads.parameters()])
    torch.testing.assert_close(features.grad, -0.7 * wanted[0])
    for parameter, gradient in zip(heads.parameters(), wanted[1:], strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_features_forget_the_plate_and_keep_the_rest():
    """A linear network on four inputs, of which the first is the plate; a task on the others is learned beside it."""
    rng = torch.Generator().manual_seed(1)
    plate = torch.arange(200) % 2
    images = torch.randn(200, 4, generator=rng)
    images[:, 0] = 2.0 * plate - 1 + 0.1 * images[:, 0]
    signal = images[:, 1:3]
    read = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(2)
        network, task = nn.Linear(4, 3), nn.Linear(3, 2)
        heads = Adversary(3, classes=(2,), weight=weight)
        optimiser = torch.optim.Adam([*network.parameters(), *task.parameters(), *heads.parameters()], lr=0.02)
        for _ in range(300):
            optimiser.zero_grad()
            features = network(images)
            loss = (task(features) - signal).square().mean() + heads(features, plate[:, None])
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            shown = network(images)
            gap = shown[plate == 1].mean(dim=0) - shown[plate == 0].mean(dim=0)
            read[weight] = float((gap / shown.std(dim=0)).abs().max())
            assert float((task(shown) - signal).square().mean()) < 0.2
    assert read[1.0] < 0.4 * read[0.0]


def test_codes_are_of_plate_row_and_column(tmp_path):
    wells = ("B02", "B03", "C11")
    screen = blobs.screen(tmp_path, channels=trainings.CHANNELS, wells=wells, names=("P1", "P2", "P3"))
    source = blobs.source(screen, blobs.entry(), channels=trainings.CHANNELS)
    matrix, counts = codes(source, ["plate", "row", "column"])
    assert counts == (3, 2, 3) and matrix.shape == (len(source.frame), 3)
    key = source.frame.groupby(["Metadata_Plate", "Metadata_Well"], observed=True).ngroup().to_numpy()
    assert len(np.unique(np.column_stack([key, matrix]), axis=0)) == 9 == len(np.unique(matrix, axis=0))
    alone = blobs.source(
        blobs.screen(tmp_path / "one", channels=trainings.CHANNELS, names=("P1",)),
        blobs.entry(),
        channels=trainings.CHANNELS,
    )
    assert codes(alone, ["plate", "row"])[1] == (2,)


@pytest.mark.parametrize("kind", ["simclr", "sslprofiler"])
def test_a_training_with_an_adversary(tmp_path, kind):
    screen = blobs.screen(tmp_path, channels=trainings.CHANNELS)
    found = {}
    for weight in (0.0, 1.0):
        entry = blobs.entry(kind=kind, steps=2, view={"kind": "cell", "size": 24}, adversary={"weight": weight})
        network, _, history = trainings.train(entry, screen, tmp_path / f"{weight}", log_every=1)
        assert history["adversary"].notna().all() == bool(weight)
        found[weight] = torch.cat([value.flatten().float() for value in network.state_dict().values()])
    assert not torch.equal(found[0.0], found[1.0])


def test_what_cannot_be_predicted_is_logged(tmp_path, caplog):
    """One plate of one row: only the column differs."""
    screen = blobs.screen(tmp_path, channels=trainings.CHANNELS, wells=("B02", "B03", "B04"), names=("P1",))
    entry = blobs.entry(steps=1, view={"kind": "cell", "size": 24}, adversary={"weight": 1.0})
    with caplog.at_level("WARNING"):
        _, _, history = trainings.train(entry, screen, tmp_path / "run", log_every=1)
    assert "adversary: 2 of plate, row, column have a single value" in caplog.text
    assert history["adversary"].notna().all()
