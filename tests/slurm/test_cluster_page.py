"""The administrator's page agrees with rules and profile."""

import re

import pytest
import yaml


@pytest.fixture
def page(root) -> str:
    return (root / "docs" / "cluster.md").read_text()


@pytest.fixture
def profile(root) -> dict:
    return yaml.safe_load((root / "profiles" / "slurm" / "config.yaml").read_text())


def asked(root, profile, rule) -> tuple[str, str, str]:
    """Return the requests of a rule without GPU: cores, GB, minutes."""
    text = (root / "workflow" / "rules").glob("*.smk")
    (body,) = [
        part
        for file in text
        for part in re.findall(rf"^rule {rule}:\n(.*?)(?=^rule |\Z)", file.read_text(), re.M | re.S)
    ]
    threads = profile["set-threads"].get(rule) or int(re.search(r"threads: (\d+)", body)[1])
    memory = int(re.search(r"mem_mb=scaled\((\d+)\)", body)[1])
    return str(threads), f"{memory / 1000:g}", re.search(r"runtime=scaled\((\d+)\)", body)[1]


def test_cores_memory_and_time_of_each_stage(root, page, profile):
    rows = re.findall(
        r"^\| ([a-z_, ]+?)(?:, (?:in place of|with) [^|]*)? \| ([^|]*) \| ([^|]*) \| [^|]*\| ([^|]*) \| ([^|]*) \|$",
        page,
        re.M,
    )
    found = {}
    for stages, _, *said in rows:
        for place, stage in enumerate(stages.split(", ")):
            found[stage] = tuple(each.split(", ")[min(place, each.count(", "))] for each in said)
    found.pop("stage")
    assert found.pop("train") == ("8 per GPU", "16", "1440")
    assert found == {stage: asked(root, profile, stage) for stage in found}
    rules = {
        name
        for file in (root / "workflow/rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+)", file.read_text(), re.M)
    }
    assert rules - found.keys() == {"train", "simulate", "weights", "export", "check"}


def test_intervals_and_limits(page, profile):
    assert profile["max-jobs-per-timespan"] == "10/1s" and "ten a second" in page
    assert f"at most {profile['jobs']} jobs in the queue" in page
    assert f"{profile['slurm-init-seconds-before-status-checks']} s after a submission" in page
    assert profile["slurm-status-attempts"] / profile["max-status-checks-per-second"] == 3600
    assert "every ten seconds for an hour" in page
    assert f"`latency-wait`, {profile['latency-wait']} s" in page
    assert profile["set-resources"]["train"]["runtime"] == 1440
