"""A full disk: whichever library writes, the error names what was written, the folder and the remedy."""

import errno
import os
import resource
import signal
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from wellspring.io import disk, tables


@contextmanager
def narrow():
    """Let this process write files of 64 kB at most, as a disk that is nearly full does; pytest's own log is longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def _bytes(path):
    path.write_bytes(bytes(2**20))


def _array(path):
    np.save(path, np.zeros(2**18))


def _archive(path):
    with path.open("wb") as stream:
        np.savez(stream, a=np.zeros(2**18))


def _parquet(path):
    pd.DataFrame({"a": np.random.default_rng(0).random(2**18)}).to_parquet(path)


def _text(path):
    pd.DataFrame({"a": np.zeros(2**18)}).to_csv(path)


@pytest.mark.parametrize("write", [_bytes, _array, _archive, _parquet, _text])
def test_every_writer_names_file_and_folder(tmp_path, write):
    with (
        narrow(),
        pytest.raises(disk.DiskFullError) as caught,
        tables.atomic(tmp_path / "views.npy") as path,
    ):
        write(path)
    assert f"views.npy: could not be written to {tmp_path}: no space left (" in str(caught.value)
    assert "Free space or move the results" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_stay_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), tables.atomic(tmp_path / "a"):
        (tmp_path / "absent").read_bytes()
    inner = disk.full("inner", tmp_path, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(disk.DiskFullError, match="inner: could not"), tables.atomic(tmp_path / "outer"):
        raise inner


def test_a_memory_map_without_space_is_an_error_and_no_signal(tmp_path, monkeypatch):
    def refuse(descriptor, start, size):
        assert size == 2**20
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / "map").write_bytes(bytes(2**20))
    disk.reserve(tmp_path / "map")
    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with (
        pytest.raises(disk.DiskFullError, match="crops.npy: could not be written"),
        tables.atomic(tmp_path / "crops.npy"),
    ):
        disk.reserve(tmp_path / "map")
