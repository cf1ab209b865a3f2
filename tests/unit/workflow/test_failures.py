"""The list of failed jobs: rule, plate and reason; a row stays until its output exists or is no longer requested."""

import dataclasses
import os

import pytest

from wellspring.workflow import failures
from wellspring.workflow.failures import Failure

TRACE = """\
INFO wellspring.survey.run: 3 planes excluded
Traceback (most recent call last):
  File "survey.py", line 3, in <module>
ValueError: P1: expected much
  of this, found\tlittle
"""


@pytest.fixture
def failed(tmp_path):
    """Return a function that makes a failed job of a rule and plate, with a log."""

    def make(rule: str, plate: str, text: str | None = TRACE) -> Failure:
        log = tmp_path / f"{rule}.{plate}.log"
        if text is not None:
            log.write_text(text)
        return Failure(rule, {"plate": plate}, [str(log)], str(tmp_path / f"{rule}.{plate}"))

    return make


def update(tmp_path, *failed_jobs, names=("P1", "P2"), slurm=""):
    return failures.update(tmp_path / "failures.tsv", failed_jobs, names=names, slurm=slurm)


def test_a_row_says_what_failed_where_and_why(failed, tmp_path):
    new = update(tmp_path, failed("survey", "P1"))
    (row,) = failures.read(tmp_path / "failures.tsv").to_dict("records")
    assert (row["rule"], row["of"]) == ("survey", "P1")
    assert row["reason"] == "ValueError: P1: expected much"
    assert row["last_lines"].endswith("ValueError: P1: expected much |   of this, found little")
    assert row["log"].endswith("survey.P1.log")
    assert new.to_dict("records") == [row]
    assert "survey P1: ValueError: P1: expected much" in failures.words(new)


def test_a_row_stays_until_its_output_is_there(failed, tmp_path):
    update(tmp_path, failed("survey", "P1"), failed("index", "P2"))
    assert len(update(tmp_path)) == 0, "another run, in which nothing failed"
    assert len(failures.read(tmp_path / "failures.tsv")) == 2
    (tmp_path / "survey.P1").touch()
    update(tmp_path)
    assert failures.read(tmp_path / "failures.tsv")["of"].tolist() == ["P2"]
    (tmp_path / "index.P2").touch()
    update(tmp_path)
    assert not (tmp_path / "failures.tsv").exists()


def test_a_job_that_failed_again_has_one_row(failed, tmp_path):
    update(tmp_path, failed("survey", "P1"))
    update(tmp_path, failed("survey", "P1", "TypeError: other\n"))
    assert failures.read(tmp_path / "failures.tsv")["reason"].tolist() == ["TypeError: other"]


def test_a_plate_that_is_no_longer_wanted_goes(failed, tmp_path):
    update(tmp_path, failed("survey", "P1"), failed("survey", "P2"))
    update(tmp_path, names=["P2"])
    assert failures.read(tmp_path / "failures.tsv")["of"].tolist() == ["P2"]


def test_a_job_that_makes_nothing_is_passed_over(tmp_path):
    assert update(tmp_path, Failure("check", {}, [], "")).empty
    assert not (tmp_path / "failures.tsv").exists()


@pytest.mark.parametrize(
    "said",
    ["slurmstepd: error: Detected 1 oom_kill event in StepId=7.0", "slurmstepd: error: *** JOB 7 DUE TO TIME LIMIT"],
)
def test_a_killed_job_has_the_words_of_slurm_or_none(failed, tmp_path, said):
    killed = failed("train", "P1", "INFO step 3\n")
    update(tmp_path, killed)
    assert failures.read(tmp_path / "failures.tsv")["reason"].tolist() == [failures.SILENT]
    folder = tmp_path / "slurm" / "rule_train" / "P1"
    folder.mkdir(parents=True)
    (folder / "7.log").write_text(f"begins\n{said}\nends\n")
    update(tmp_path, killed, slurm=tmp_path / "slurm")
    assert failures.read(tmp_path / "failures.tsv")["reason"].tolist() == [said]


def test_a_job_without_a_log_is_listed_all_the_same(failed, tmp_path):
    new = update(tmp_path, failed("embed", "P1", None), Failure("report", {}, [], str(tmp_path / "page")))
    assert set(new["rule"]) == {"embed", "report"}
    assert set(new["reason"]) == {failures.SILENT}


def test_of_a_large_log_the_end_is_read(tmp_path):
    log = tmp_path / "a.log"
    log.write_text("x" * 300_000 + "\nlast\n\n")
    assert failures.tail(log, 1) == ["last"]


def test_where_nothing_can_be_written_it_is_told_all_the_same(failed, tmp_path, caplog):
    (tmp_path / "full").write_text("")
    new = failures.update(tmp_path / "full" / "failures.tsv", [failed("survey", "P1")], names=["P1"])
    assert new["of"].tolist() == ["P1"]
    assert "could not be written" in caplog.text


def test_a_reason_that_is_a_list_has_its_first_item(failed, tmp_path):
    new = update(tmp_path, failed("verdict", "P1", "ValueError: 2 plates were left out:\n  P1: dim\n  P2: dim\n"))
    assert new["reason"].tolist() == ["ValueError: 2 plates were left out: P1: dim"]
    assert failures.words(new.assign(of="")).startswith("verdict: ValueError: 2 plates were left out: P1: dim\n")


def began(plate: str, tmp_path, when: str = "Sun Nov 29 15:53:30 2026") -> str:
    return f"""\
[{when}]
localrule survey:
    input: index/{plate}.parquet
    output: {tmp_path}/survey.{plate}, {tmp_path}/{plate}.npy
    jobid: 2
"""


FAILED = "[Sun Nov 29 15:53:40 2026]\nError in rule survey:\n    message: {}\n    jobid: 2\n    output: {}/survey.P1\n"


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            "RuleException:\nCommand 'python x' died with <Signals.SIGTERM: 15>.\n" + FAILED.format(None, "{0}"),
            "interrupted (SIGTERM) before it was done; run again to continue",
        ),
        (
            "RuleException:\nCommand 'python x' returned non-zero exit status 137.\n" + FAILED.format(None, "{0}"),
            "killed (SIGKILL), often for memory",
        ),
        (
            "WorkflowError in rule survey in file s.smk, line 5:\nOutput {0}/P1.npy has older modification time "
            "(2026-11-29 15:00:00) than input index/P1.parquet (2026-11-29 15:10:00). This could indicate a clock "
            "skew problem",
            "clock skew: {0}/P1.npy is older than its input index/P1.parquet; synchronise the clocks",
        ),
        (
            "MissingOutputException in rule survey in file s.smk, line 5:\nJob 2 completed successfully, but some "
            "output files are missing:\n{0}/survey.P1 (missing locally, parent dir not present)",
            "{0}/survey.P1 did not appear although the job ended well",
        ),
        (
            FAILED.format(
                "SLURM sbatch failed. The error message was 'sbatch: error: invalid partition'.\n        sbatch", "{0}"
            ),
            "not submitted: sbatch: error: invalid partition",
        ),
        (
            FAILED.format("Job submission failed with exception: [Errno 2] sbatch", "{0}"),
            "not submitted: submission failed with",
        ),
        (
            FAILED.format("SLURM-job '12' failed, SLURM status is: 'NODE_FAIL'. Reason: None.", "{0}"),
            "SLURM-job '12' failed, SLURM status is: 'NODE_FAIL'.",
        ),
        (FAILED.format("None", "/other"), failures.SILENT),
    ],
)
def test_snakemake_s_own_log_knows_why_and_an_older_log_of_the_job_is_not_quoted(failed, tmp_path, said, reason):
    job = failed("survey", "P1")
    os.utime(job.logs[0], (0, 0))  # of an earlier run, with an error of its own
    job = dataclasses.replace(job, outputs=[job.output, f"{tmp_path}/P1.npy"])
    log = tmp_path / "snakemake.log"
    log.write_text(began("P2", tmp_path) + began("P1", tmp_path) + said.format(tmp_path) + "\n")
    new = failures.update(tmp_path / "failures.tsv", [job], names=["P1"], snakemake=[log])
    (row,) = new.to_dict("records")
    assert row["reason"].startswith(reason.format(tmp_path))
    assert row["last_lines"] == "" and row["time"] > "2000"


def test_the_error_in_a_job_s_own_log_comes_first(failed, tmp_path):
    log = tmp_path / "snakemake.log"
    log.write_text(began("P1", tmp_path, "Mon Jan  3 00:00:00 2000") + FAILED.format("None", tmp_path))
    new = failures.update(tmp_path / "failures.tsv", [failed("survey", "P1")], names=["P1"], snakemake=[log])
    assert new["reason"].tolist() == ["ValueError: P1: expected much"]


def test_an_interrupted_job_is_not_an_error(failed, tmp_path):
    new = update(tmp_path, failed("train", "P1", "Traceback\nKeyboardInterrupt\n"))
    assert new["reason"].tolist() == ["interrupted (SIGINT) before it was done; run again to continue"]


def test_a_signal_is_the_reason_whatever_the_job_logged_before(failed, tmp_path):
    """A caught error in the log did not end a process that Snakemake saw die by a signal."""
    began_at = began("P1", tmp_path)
    snakemake = tmp_path / "run.log"
    died = "RuleException:\nCommand 'python x' died with <Signals.SIGTERM: 15>.\n"
    snakemake.write_text(began_at + died + FAILED.format(None, tmp_path))
    log = failed("survey", "P1", "ValueError: caught and gone on\nINFO step 7\n")
    new = failures.update(tmp_path / "failures.tsv", [log], names=["P1"], snakemake=[snakemake])
    assert new["reason"].tolist() == ["interrupted (SIGTERM) before it was done; run again to continue"]
    assert "step 7" in new["last_lines"].iloc[0], "the log of this job is quoted"


def test_a_job_that_never_began_quotes_no_log_of_an_earlier_run(failed, tmp_path):
    job = failed("survey", "P1", "ValueError: of an earlier run\n")
    os.utime(job.logs[0], (1.7e9, 1.7e9))
    snakemake = tmp_path / "2026-11-29T155330.123456.snakemake.log"
    snakemake.write_text("nothing about the job\n")
    new = failures.update(tmp_path / "failures.tsv", [job], names=["P1"], snakemake=[snakemake])
    assert new["reason"].tolist() == [failures.SILENT] and new["last_lines"].tolist() == [""]
