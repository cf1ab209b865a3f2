"""Fixtures that all tests share."""

from pathlib import Path

import pandas as pd
import pytest

# Importing pycytominer switches this on for its process: what holds under it holds without, but not the reverse.
pd.options.mode.copy_on_write = True

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the clone's root."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real example data beside the clone; the test is skipped where there is none."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("no example data beside the clone")
    return path
