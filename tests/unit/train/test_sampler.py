"""The items of each step."""

import numpy as np
import pytest

from wellspring.train.sampler import Sampler


def items(plates: int = 2, wells: int = 3, sites: int = 2, each: int = 4) -> dict[str, np.ndarray]:
    """Codes of the items of a full screen."""
    site = np.repeat(np.arange(plates * wells * sites), each)
    return {"plate": site // (wells * sites), "well": site // sites, "site": site}


def test_a_draw_depends_on_seed_and_step_alone():
    codes = items()
    one, two = (Sampler(**codes, batch=8, sites=2, one_plate=True, seed=3) for _ in range(2))
    late = one.draw(7)
    for step in range(7):
        two.draw(step)
    assert (late == two.draw(7)).all()
    other = Sampler(**codes, batch=8, sites=2, one_plate=True, seed=4)
    assert any((other.draw(step) != one.draw(step)).any() for step in range(3))


def test_single_items_cover_an_epoch_before_any_returns():
    drawn = Sampler(**items(), batch=10, sites=1, one_plate=False, seed=0)
    seen = np.concatenate([drawn.draw(step) for step in range(24)])  # 5 epochs of 48
    for epoch in seen.reshape(5, 48):
        assert sorted(epoch) == list(range(48))


@pytest.mark.parametrize("one_plate", [True, False])
@pytest.mark.parametrize("sites", [2, 3, 4])
def test_groups_are_different_sites_of_a_well(one_plate, sites):
    codes = items(sites=4)
    drawn = Sampler(**codes, batch=4 * sites, sites=sites, one_plate=one_plate, seed=0)
    plates = set()
    for step in range(30):
        batch = drawn.draw(step)
        assert len(batch) == 4 * sites
        for group in batch.reshape(4, sites):
            assert len(set(codes["well"][group])) == 1
            assert len(set(codes["site"][group])) == sites
        plates |= set(codes["plate"][batch])
        if one_plate:
            assert len(set(codes["plate"][batch])) == 1
    assert plates == {0, 1}


def test_wells_are_drawn_evenly_however_many_items_they_have():
    well = np.array([0] * 40 + [1] * 4)
    site = np.concatenate([np.arange(40) % 2, 2 + np.arange(4) % 2])
    drawn = Sampler(np.zeros(44, int), well, site, batch=8, sites=2, one_plate=True, seed=0)
    seen = np.concatenate([well[drawn.draw(step)] for step in range(20)])
    assert (seen == 1).mean() == 0.5


def test_a_well_with_one_site_gives_two_of_its_items():
    codes = items(sites=1)
    drawn = Sampler(**codes, batch=4, sites=2, one_plate=False, seed=0)
    assert drawn.short_wells == 6
    batch = drawn.draw(0)
    assert (codes["well"][batch[::2]] == codes["well"][batch[1::2]]).all()
    assert (batch[::2] != batch[1::2]).all()


def test_a_well_with_fewer_sites_than_a_group_gives_each_before_any_returns():
    codes = items(plates=1, wells=2, sites=2, each=3)
    drawn = Sampler(**codes, batch=10, sites=5, one_plate=False, seed=0)
    assert drawn.short_wells == 2
    for step in range(20):
        for group in drawn.draw(step).reshape(2, 5):
            counts = np.bincount(codes["site"][group])
            assert sorted(counts[counts > 0]) == [2, 3]
            assert len(set(group)) == 5


def test_a_lone_field_pairs_with_itself_and_a_lone_cell_does_not():
    codes = items(sites=1, each=1)
    assert (np.diff(Sampler(**codes, batch=2, sites=2, one_plate=False, seed=0, alone=True).draw(0)) == 0).all()
    with pytest.raises(ValueError, match="wells with 2 items"):
        Sampler(**codes, batch=2, sites=2, one_plate=False, seed=0)


def test_what_can_not_be_drawn_is_refused():
    empty = np.zeros(0, int)
    with pytest.raises(ValueError, match="at least one item"):
        Sampler(empty, empty, empty, batch=2, sites=1, one_plate=False, seed=0)
    with pytest.raises(ValueError, match="multiple of 2"):
        Sampler(**items(), batch=3, sites=2, one_plate=False, seed=0)


@pytest.mark.parametrize("sites", [1, 2])
def test_a_plate_is_drawn_in_proportion_to_its_size(sites):
    """Plate 0 has three times as many wells and items as plate 1; 400 draws have a standard deviation of 0.022."""
    well = np.repeat(np.arange(8), 4)
    site = np.repeat(np.arange(16), 2)
    plate = (well >= 6).astype(int)
    drawn = Sampler(plate, well, site, batch=4, sites=sites, one_plate=True, seed=0)
    share = np.mean([plate[drawn.draw(step)[0]] == 0 for step in range(400)])
    assert abs(share - 0.75) < 0.08
