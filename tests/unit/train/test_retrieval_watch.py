"""Wells that find themselves: at the known values of planted features, and on small screens."""

import numpy as np
import pytest
import torch

import blobs
from wellspring.train.retrieval_watch import PLATES, VIEWS, WELLS, Retrieval, score, split
from wellspring.train.settings import resolve

CHANNELS = ["DNA"]
TILES = {"kind": "sslprofiler", "view": {"kind": "tile", "size": 32}}


def planted(wells: int, *, noise: float, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    own = rng.normal(size=(wells, 1, 16))
    return torch.from_numpy(own + noise * rng.normal(size=(wells, 2, 16)) + 100)


def test_replicates_are_found_and_noise_is_not():
    plates = torch.arange(400) // 20
    assert score(planted(400, noise=0.1), plates) == (1.0, pytest.approx(1 / 20))
    found, chance = score(planted(400, noise=1e3), plates)
    assert found == pytest.approx(chance, abs=3 * (chance / 800) ** 0.5)


def test_wells_are_compared_within_their_plate():
    """Equal wells on two plates do not hide each other; plates of other sizes weigh by their wells."""
    halves = planted(4, noise=0.01)
    assert score(torch.cat([halves, halves]), torch.arange(8) // 4)[0] == 1.0
    _, chance = score(planted(12, noise=1.0), torch.tensor([0] * 2 + [1] * 10))
    assert chance == pytest.approx((2 / 2 + 10 / 10) / 12)


@pytest.mark.parametrize("over", [{}, TILES], ids=["cells", "tiles"])
@pytest.mark.parametrize("sites", [("1",), ("1", "2", "3")])
def test_halves_are_of_two_sites_where_there_are_two(tmp_path, over, sites):
    paths = blobs.screen(tmp_path, channels=CHANNELS, names=("P1", "P2", "P3"), sites=sites, cells=6)
    entry = blobs.entry(**over)
    source = blobs.source(paths, entry, channels=CHANNELS)
    retrieval = Retrieval(source, resolve(entry, seed=1), precision="float32")
    assert retrieval.items.shape == (PLATES * 3, VIEWS, 2)
    assert len(set(retrieval.plates)) == PLATES <= WELLS
    for plate, (first, second) in zip(retrieval.plates, retrieval.items.transpose(0, 2, 1), strict=True):
        assert set(source.plate[np.r_[first, second]]) == {plate}
        assert len(set(source.well[np.r_[first, second]])) == 1
        if len(sites) > 1:
            assert len({*source.site[first]}) == len({*source.site[second]}) == 1
            assert source.site[first[0]] != source.site[second[0]]
        elif over == {}:
            assert not set(first) & set(second)  # other cells
    again = Retrieval(source, resolve(entry, seed=1), precision="float32")
    assert (again.items == retrieval.items).all()


class Mean(torch.nn.Module):
    """Features that distinguish images: a coarse picture of each."""

    def __init__(self):
        super().__init__()
        self.drop = torch.nn.Dropout()

    def forward(self, images):
        assert not self.training and not self.drop.training
        return torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)


def test_measuring_leaves_modes_and_random_states_alone(tmp_path):
    entry = blobs.entry(**TILES)
    source = blobs.source(blobs.screen(tmp_path, channels=CHANNELS), entry, channels=CHANNELS)
    retrieval = Retrieval(source, resolve(entry, seed=1), precision="float32")
    network = Mean().train()
    network.drop.eval()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, second = (retrieval.measure(network, torch.device("cpu")) for _ in range(2))
    assert first == second
    assert set(first) == {"retrieval", "retrieval_chance"}
    assert first["retrieval_chance"] == pytest.approx(1 / 3)
    assert network.training and not network.drop.training
    assert torch.equal(before[0], torch.get_rng_state()) and (before[1] == np.random.get_state()[1]).all()


def test_a_well_alone_has_nothing_to_be_told_from(tmp_path):
    entry = blobs.entry()
    paths = blobs.screen(tmp_path, channels=CHANNELS, wells=("B02",))
    source = blobs.source(paths, entry, channels=CHANNELS)
    retrieval = Retrieval(source, resolve(entry, seed=1), precision="float32")
    assert retrieval.measure(Mean(), torch.device("cpu")) == {}


def test_wells_are_held_back_whole_and_by_plate(tmp_path):
    wells = tuple(f"B{number:02d}" for number in range(2, 12))
    paths = blobs.screen(tmp_path, channels=CHANNELS, wells=wells, cells=2, side=48)
    source = blobs.source(paths, blobs.entry(), channels=CHANNELS)
    assert split(source, 0, seed=1) == (source, source)
    trained, held = split(source, 0.3, seed=1)
    names = [set(map(tuple, part.frame[["Metadata_Plate", "Metadata_Well"]].to_numpy())) for part in (trained, held)]
    assert not names[0] & names[1]
    assert {plate: sum(each[0] == plate for each in names[1]) for plate in ("P1", "P2")} == {"P1": 3, "P2": 3}
    assert len(names[0]) == 14 == trained.well.max() + 1
    items = np.array([0, len(held.frame) - 1])
    rng = np.random.default_rng(0)
    assert (held.read(items, rng) == source.read(held.items[items], rng)).all()
    assert {*split(source, 0.3, seed=2)[1].frame["Metadata_Well"]} != {*held.frame["Metadata_Well"]}
