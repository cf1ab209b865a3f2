"""Fixtures that all tests share."""

from pathlib import Path

import pandas as pd
import pytest

# Importing pycytominer switches this on for its process: what holds under it holds without, but not the reverse.
pd.options.mode.copy_on_write = True

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the tests that share the finished screen, or a fixture of their module, to one worker: it is made once."""
    for item in items:
        fixtures = item._fixtureinfo.name2fixturedefs if isinstance(item, pytest.Function) else {}
        if "finished" in fixtures:
            item.add_marker(pytest.mark.xdist_group("finished screen"))
        elif any(definitions[-1].scope == "module" for definitions in fixtures.values()):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


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
