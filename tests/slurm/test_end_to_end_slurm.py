"""The small screen from raw images to the report by the shipped profile, on a cluster that fails in the middle."""

import re

import cluster
import pytest
import runs

pytestmark = pytest.mark.slurm

# Stages of a plate one after the other in one job, and so those at the end: on two cores what takes the time is the
# start of a job. Without them each stage is a job of its own, in the test that is slow.
GROUPS = {
    "plate": ("simulate", "index", "survey", "illumination", "images", "cells", "crops"),
    "screen": ("profile", "fit", "align", "consensus", "evaluate", "report", "verdict"),
}
GROUPED = ("--groups", *(f"{rule}={group}" for group, rules in GROUPS.items() for rule in rules))
# All of the profile's `set-resources` are replaced by these, so what stays is said again.
PREEMPTIBLE = ("--set-resources", "train:slurm_partition=preempt", "embed:slurm_partition=gpu")


@pytest.mark.parametrize("arguments", [GROUPED, pytest.param((), marks=pytest.mark.slow)], ids=["grouped", "single"])
def test_a_node_dies_and_training_is_preempted_and_the_tables_are_those_of_a_local_run(
    slurm, workflow, undisturbed, tmp_path, arguments
):
    folder = runs.make(tmp_path / "screen", workflow)
    results = folder / "results"
    with runs.head(slurm, folder, workflow, *arguments, *PREEMPTIBLE) as head:
        # A job of each plate is under way when the node of one is lost.
        head.until(lambda: list(results.glob("survey/*.parquet")), what="survey")
        lost = head.until(lambda: slurm.jobs(states="running"), what="a running job")[0]
        slurm.kill(lost["node"])
        again = head.until(lambda: slurm.restarts(lost["id"]) and slurm.job(lost["id"])["node"], what="another node")
        assert again != lost["node"]
        slurm.start(lost["node"])
        log = results / "logs" / "train" / "simclr.log"
        head.until(lambda: log.exists() and "step 20:" in log.read_text(), what="training", seconds=900)
        preempted = slurm.running("train")
        cluster.say("sbatch", "--partition=gpu", "--gpus=2", "--output=/dev/null", "--wrap=sleep 3")
        head.until(lambda: slurm.job(preempted["id"])["state"] != "RUNNING", what="preemption")
        assert head.end(900) == 0, head.text()[-6000:]
    said = head.text()
    assert re.search(r"^(\d+) of \1 done: ", said, re.M)
    # Both went back to the queue under their numbers: no job counts as failed.
    assert slurm.restarts(lost["id"]) == slurm.restarts(preempted["id"]) == 1
    assert "Error in rule" not in said and "Trying to restart" not in said
    assert "resumed at step" in log.read_text()
    assert runs.different(folder, undisturbed) == []
