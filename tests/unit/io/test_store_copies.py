"""Files of several pages in an object store are copied once, however many of their pages are read."""

from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pytest
import tifffile

from wellspring.io import object_store, raw_image, store_copies


@pytest.fixture
def stack(tmp_path, monkeypatch):
    """A TIFF of six pages of 20 x 28 px in a store, its pixels, and the list of copies that were made."""
    pixels = np.random.default_rng(0).integers(0, 4000, (6, 20, 28)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "stack.tif", pixels, photometric="minisblack")
    store = fsspec.filesystem("memory")
    store.pipe("/copies/stack.tif", (tmp_path / "stack.tif").read_bytes())
    monkeypatch.setattr(store_copies, "COPIES", store_copies.Copies())
    fetch, made = object_store.fetch, []
    monkeypatch.setattr(object_store, "fetch", lambda url, path: made.append(path) or fetch(url, path))
    yield "memory://copies/stack.tif", pixels, made
    store.rm("/copies", recursive=True)


@pytest.mark.parametrize("threads", [1, 8])
def test_a_file_is_copied_once_for_all_of_its_pages_and_then_removed(stack, threads):
    url, pixels, made = stack
    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(lambda page: raw_image.read(url.rpartition("/")[0], "stack.tif", page), range(6)))
    np.testing.assert_array_equal(found, pixels)
    assert len(made) == 1 and not made[0].exists()
    np.testing.assert_array_equal(raw_image.read("memory://copies", "stack.tif", 3), pixels[3])
    assert len(made) == 2 and made[1].exists()  # five pages may follow


def test_idle_copies_are_removed_beyond_the_limit(stack, monkeypatch):
    url, pixels, made = stack
    monkeypatch.setattr(store_copies, "MOST", 0)
    for page in (0, 1):
        np.testing.assert_array_equal(raw_image.read("memory://copies", "stack.tif", page), pixels[page])
    assert len(made) == 2 and not any(path.exists() for path in made)


def test_a_file_that_cannot_be_read_or_copied_leaves_nothing(stack, monkeypatch):
    url, pixels, made = stack
    fsspec.filesystem("memory").pipe("/copies/damaged.tif", b"II*\0broken")
    for name, status in (("damaged.tif", "truncated"), ("lost.tif", "missing")):
        assert raw_image.status("memory://copies", name).status in (status, "unreadable")
    assert not any(path.exists() for path in made)
    assert raw_image.status("memory://copies", "stack.tif", 9).status != "ok"
