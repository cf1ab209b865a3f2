"""The cluster, the clone and the run that nothing disturbed, each made once for all tests on SLURM."""

from pathlib import Path

import cluster
import pytest
import runs


@pytest.fixture(scope="session")
def slurm() -> cluster.Cluster:
    """Yield a running cluster, taken down at the end; skipped, with the reason, where none can be started."""
    reason = cluster.missing()
    if reason is not None:
        pytest.skip(f"no SLURM: {reason}")
    accounting = all(cluster.which(name) for name in cluster.ACCOUNTING)
    with cluster.cluster(accounting=accounting) as made:
        yield made


@pytest.fixture(scope="session")
def workflow(root, tmp_path_factory) -> Path:
    """Return a clone of its own with a small demo screen."""
    return runs.clone(root, tmp_path_factory.mktemp("clones") / "clone")


@pytest.fixture(scope="session")
def undisturbed(workflow, tmp_path_factory) -> Path:
    """Return the folder of a local run to the end that nothing disturbed. Tests leave it as it is."""
    folder = runs.make(tmp_path_factory.mktemp("screens") / "undisturbed", workflow)
    runs.local(folder, workflow)
    return folder


@pytest.fixture(autouse=True)
def tidy(request) -> None:
    """Leave the cluster to the next test as it was: no jobs, every node there."""
    yield
    if "slurm" in request.fixturenames:
        request.getfixturevalue("slurm").tidy()
