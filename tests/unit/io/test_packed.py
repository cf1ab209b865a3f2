"""Stored arrays: a bit that changes anywhere in a file is an error that names it, or changes nothing that is read."""

import numpy as np
import pytest

from wellspring.io import packed
from wellspring.io.packed import Packed, archive

FLIPS = 400


@pytest.fixture
def array():
    return np.random.default_rng(3).integers(0, 60000, (7, 2, 5, 6)).astype(np.uint16)


@pytest.fixture
def stored(array, tmp_path):
    """Return a sealed file of the array."""
    path = tmp_path / "P1.npy"
    np.save(path, array)
    packed.seal(path)
    return path


def flipped(path, seed):
    """Yield a place and the file's bytes with one bit changed there; half of the places are outside of the data."""
    content, rng = path.read_bytes(), np.random.default_rng(seed)
    head, whole = rng.integers(0, 8 * 128, FLIPS // 4), rng.integers(0, 8 * len(content), FLIPS // 2)
    tail = rng.integers(8 * (len(content) - 60), 8 * len(content), FLIPS // 4)
    for place in [*head.tolist(), *whole.tolist(), *tail.tolist()]:
        other = bytearray(content)
        other[place // 8] ^= 1 << (place % 8)
        yield place, bytes(other)


def test_a_sealed_array_is_read_by_numpy_and_item_by_item(stored, array):
    np.testing.assert_array_equal(np.load(stored), array)
    np.testing.assert_array_equal(Packed(stored).take([6, 0, 3]), array[[6, 0, 3]])
    np.testing.assert_array_equal(packed.mapped(stored), array)


def test_a_flipped_bit_of_an_array_is_an_error_by_name(stored, array):
    for place, content in flipped(stored, 5):
        stored.write_bytes(content)
        with pytest.raises(ValueError, match=r"P1\.npy: "):
            packed.mapped(stored)
            pytest.fail(f"bit {place} was not noticed")


def test_only_the_damaged_item_is_lost(stored, array):
    content = bytearray(stored.read_bytes())
    content[128 + 3 * array[0].nbytes + 17] ^= 4
    stored.write_bytes(content)
    items = Packed(stored)
    np.testing.assert_array_equal(items.take([0, 1, 2, 4, 5, 6]), array[[0, 1, 2, 4, 5, 6]])
    with pytest.raises(ValueError, match=r"P1\.npy: item 3 is damaged"):
        items.read(3)


@pytest.mark.parametrize("left", [0, 5, 100, 200, -1, -20, -30])
def test_a_cut_array_is_an_error_by_name(stored, left):
    stored.write_bytes(stored.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"P1\.npy: "):
        packed.mapped(stored)


def test_an_array_without_checksums_and_one_without_items_are_read(tmp_path, array):
    np.save(tmp_path / "old.npy", array)
    np.testing.assert_array_equal(packed.mapped(tmp_path / "old.npy"), array)
    np.save(tmp_path / "none.npy", array[:0])
    packed.seal(tmp_path / "none.npy")
    assert Packed(tmp_path / "none.npy").take([]).shape == (0, 2, 5, 6)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_of_an_archive_is_an_error_by_name_or_changes_nothing(tmp_path, array, save):
    path, caught = tmp_path / "fit.npz", 0
    right = {"flat": array, "names": np.array(["DNA", "ER"]), "count": np.array(3)}
    save(path, **right)
    for place, content in flipped(path, 9):
        path.write_bytes(content)
        try:
            found = archive(path)
        except ValueError as error:
            assert "fit.npz: " in str(error), (place, error)
            caught += 1
        else:
            assert found.keys() == right.keys(), place
            for name, value in right.items():
                np.testing.assert_array_equal(found[name], value, err_msg=str(place))
    assert caught > FLIPS / 3
