"""Fixtures that all tests share."""

from pathlib import Path

import pandas as pd
import pytest

# Importing pycytominer switches this on for its process: what holds under it holds without, but not the reverse.
pd.options.mode.copy_on_write = True

ROOT = Path(__file__).resolve().parents[1]
FIRST = ("slurm", "workflow")  # folders of files that take minutes


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes, so that at the end of a parallel run no process waits for one of them."""

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(ROOT).parts[1] if item.path.is_relative_to(ROOT / "tests") else ""
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=rank)


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
