"""The terminal of a run: Snakemake's records, through its own handler, become a line per job; unknown ones pass."""

import io
import logging
import re
from types import SimpleNamespace

import pytest
from snakemake.logging import ColorizingTextHandler
from snakemake_interface_logger_plugins.common import LogEvent

from wellspring.workflow import terminal
from wellspring.workflow.terminal import Terminal, typical


@pytest.fixture
def stream():
    """A logger of its own with Snakemake's handler; returns (send, terminal, text)."""
    handler = ColorizingTextHandler(stream=io.StringIO())
    handler.name = "DefaultStreamHandler"
    shown = terminal.install([logging.NullHandler(), handler], {"train": 90.0})
    logger = logging.Logger("snakemake.test", logging.INFO)
    logger.addHandler(handler)

    def send(text=None, event=None, level=logging.INFO, **more):
        logger.log(level, text, extra={"event": event, **more})

    return send, shown, handler.stream.getvalue


def starts(send, number, rule, *, output=("x",), **names):
    send(
        f" Rule: {rule}, Jobid: {number}",
        LogEvent.JOB_INFO,
        jobid=number,
        rule_name=rule,
        wildcards=names,
        output=list(output),
    )
    send("Shell command: None", LogEvent.SHELLCMD)


def ends(send, number):
    send(f"Finished jobid: {number}", LogEvent.JOB_FINISHED, job_id=number)
    send(None, LogEvent.PROGRESS, done=1, total=2)


def test_a_run_has_a_line_per_job_and_the_outcome_last(stream):
    send, shown, text = stream
    send("Workflow has started!", LogEvent.WORKFLOW_STARTED)
    for noise in ("Building DAG of jobs...", "Using shell: /bin/sh", "Conda environments: ignored"):
        send(noise)
    send("Provided cores: 2", LogEvent.RESOURCES_INFO)
    send("Job stats:\njob  count", LogEvent.RUN_INFO)
    shown.begin(["embed", "embed", "train"], page="", plates=2, encoders=1, cores=2, demo=False)
    for number, name in enumerate(("P1", "P2")):
        send("Select jobs to execute...")
        send("Execute 1 jobs...", LogEvent.JOB_STARTED, jobs=[number])
        starts(send, number, "embed", encoder="simclr", plate=name)
        ends(send, number)
    starts(send, 2, "train", encoder="simclr")
    ends(send, 2)
    starts(send, 3, "all", output=())
    ends(send, 3)
    shown.outcome = "page: 8 of 12"
    send("Elapsed time: 1 day, 2:03:04.5")
    assert text().splitlines() == [
        "started: embed simclr P1",
        "1 of 3 done: embed simclr P1, 0 s",
        "2 of 3 done: embed simclr P2, 0 s",
        "started: train simclr",
        "3 of 3 done: train simclr, 0 s",
        "Took 26 h 3 min.",
        "page: 8 of 12",
    ]


def test_a_job_that_took_long_before_is_announced_and_its_time_is_printed(stream, monkeypatch):
    """Earlier jobs of the run count, too: after 25 s and 5 s, the median of `index` is below 20 s."""
    clock = [1000.0]
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    send, shown, text = stream
    shown.begin(["train"] * 2 + ["index"] * 3, page="", plates=3, encoders=2, cores=2, demo=False)
    jobs = [("train", "a", 95), ("train", "b", 61), ("index", "P1", 25), ("index", "P2", 5), ("index", "P3", 7)]
    for number, (rule, name, seconds) in enumerate(jobs):
        starts(send, number, rule, name=name)
        clock[0] += seconds
        ends(send, number)
    assert text().splitlines() == [
        "started: train a",
        "1 of 5 done: train a, 1 min 35 s",
        "started: train b",
        "2 of 5 done: train b, 1 min 1 s",
        "started: index P1",
        "3 of 5 done: index P1, 25 s",
        "started: index P2",
        "4 of 5 done: index P2, 5 s",
        "5 of 5 done: index P3, 7 s",
    ]


@pytest.mark.parametrize("end", ["returned non-zero exit status 1.", "died with <Signals.SIGTERM: 15>."])
def test_an_error_names_its_job_and_log_and_is_not_repeated(stream, end):
    send, shown, text = stream
    shown.begin(["index"], page="", plates=1, encoders=1, cores=1, demo=False)
    starts(send, 0, "index", plate="P1")
    failed = f"RuleException:\nCalledProcessError in file x.smk:\nCommand 'a\nb' {end}"
    send(failed, LogEvent.ERROR, logging.ERROR, exception="RuleException")
    error = {"rule_name": "index", "jobid": 0, "log": ["results/logs/index/P1.log"]}
    send("Error in rule index, jobid: 0", LogEvent.JOB_ERROR, logging.ERROR, **error)
    send("Trying to restart job 0.")
    for _ in range(3):
        send("Will exit after finishing currently running jobs (scheduler).")
    send("WorkflowError:\nAt least one job did not complete successfully.", LogEvent.ERROR, logging.ERROR)
    assert text().splitlines() == [
        "started: index P1",
        "Error in rule index P1, see results/logs/index/P1.log",
        "Trying to restart job 0: index P1",
        "Will exit after finishing currently running jobs (scheduler).",
    ]


def test_the_reason_of_another_machine_is_shown_and_each_restart(stream):
    send, shown, text = stream
    shown.begin(["index"], page="", plates=1, encoders=1, cores=0, demo=False)
    # As snakemake_interface_executor_plugins words it.
    pointer = "For further error details see the cluster/cloud log and the log files of the involved rule(s)."
    starts(send, 0, "index", plate="P1")
    for status in ("OUT_OF_MEMORY", "TIMEOUT"):
        why = f"SLURM-job '7' failed, SLURM status is: '{status}'. {pointer}"
        error = {"rule_name": "index", "rule_msg": why, "jobid": 0, "log": ["a.log", "slurm/7.log"]}
        send("Error in rule index, jobid: 0", LogEvent.JOB_ERROR, logging.ERROR, **error)
        send("Trying to restart job 0.")
    failed = "SLURM sbatch failed. The error message was 'Invalid account'.\n    sbatch call:\n        sbatch -A x"
    error = {"rule_name": "index", "rule_msg": failed + pointer, "jobid": 0, "log": []}
    send("Error in rule index, jobid: 0", LogEvent.JOB_ERROR, logging.ERROR, **error)
    assert text().splitlines() == [
        "started: index P1",
        "Error in rule index P1, see a.log, slurm/7.log",
        "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.",
        "Trying to restart job 0: index P1",
        "Error in rule index P1, see a.log, slurm/7.log",
        "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'.",
        "Trying to restart job 0: index P1",
        "Error in rule index P1",
        *failed.splitlines(),
    ]


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.ERROR])
def test_what_is_not_known_passes_whole(stream, level):
    send, _, text = stream
    unknown = "MissingOutputException in rule x: Job 3 completed, but\nfiles are missing"
    send(unknown, None, level)
    assert text() == f"{unknown}\n"


def test_the_first_line_has_what_is_made_and_how_long_the_like_took(tmp_path):
    def line(rules, *, page="", cores=2, demo=False, seconds=None):
        return Terminal(seconds).begin(rules, page=page, plates=1, encoders=3, cores=cores, demo=demo)

    for rule, values in {"embed": (2, 4, 9), "index": (10,)}.items():
        for number, value in enumerate(values):
            path = tmp_path / rule / "simclr" / f"P{number}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"s\th:m:s\n{value}\t0:00:00\n")
    (tmp_path / "embed" / "broken.tsv").write_text("")
    (tmp_path / "embed" / "gone.tsv").symlink_to("nowhere")
    (tmp_path / "embed" / "endless.tsv").write_text("s\th:m:s\ninf\t-\n")
    known = typical(tmp_path)
    assert known == {"embed": 4.0, "index": 10.0} and typical(tmp_path / "absent") == {}
    assert line(["index", *["embed"] * 10], page="results/report/index.html", seconds=known) == (
        "Wellspring makes results/report/index.html: 1 plate, 3 encoders, 11 jobs on 2 cores. "
        "Jobs like these took 50 s of computing before, 25 s on 2 cores."
    )
    assert line(["index"], cores=0, seconds=known) == (
        "Wellspring makes the results of index: 1 plate, 3 encoders, 1 job. "
        "Jobs like these took 10 s of computing before."
    )
    assert line(["index", "train"], demo=True, seconds=known).endswith(terminal.DEMO), "train has no earlier job"
    assert line(["train"]).endswith(terminal.PLATE)


def test_readme_and_terminal_state_the_same_time_of_the_demo(request):
    low, high, cores = re.search(r"took (\d+) to (\d+) min on (\d+) cores", terminal.DEMO).groups()
    readme = (request.config.rootpath / "README.md").read_text()
    assert f"The demo takes {low} to {high} minutes on {cores} cores" in readme


def test_a_logger_plugin_in_its_place_is_left_alone():
    other = logging.StreamHandler(io.StringIO())
    assert terminal.install([other], {}) is None and other.formatter is None and other.filters == []


@pytest.mark.parametrize("event", [LogEvent.JOB_INFO, LogEvent.JOB_FINISHED, LogEvent.JOB_ERROR])
def test_records_of_another_version_are_shown_in_its_words(stream, event):
    send, _, text = stream
    send("Rule train begins or ends", event, renamed=3)
    assert text().strip() == "Rule train begins or ends"  # Snakemake puts an empty line before a job
