"""Profiles of LSF, PBS and Grid Engine: what they ask the engine, and what they make of its answers."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import engine as engines
import pytest
import yaml

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
ENGINES = ("lsf", "pbs", "sge")


class Queue:
    """An engine whose programs are on the PATH of what it calls, in a folder of a screen."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.engine, self.folder, self.state = engine, folder / "screen", folder / "state"
        self.folder.mkdir()
        engines.install(folder / "bin", engine, self.state)
        home = folder / "home"
        home.mkdir()
        paths = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        self.environment = {**os.environ, "PATH": paths, "HOME": str(home)}

    def call(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def submit(self, text: str = "exit 0", **resources) -> subprocess.CompletedProcess:
        asked = {"mem_mb": 8000, "runtime": 95, "queue": "short", **resources}
        threads = asked.pop("threads", 4)
        about = {"type": "single", "rule": "survey", "wildcards": {"plate": "P-1"}, "threads": threads}
        script = self.folder / "snakejob.sh"
        script.write_text(f"#!/bin/sh\n# properties = {json.dumps(about | {'resources': asked})}\n{text}\n")
        return self.call(str(PROFILES / self.engine / "submit"), str(script))

    def number(self, text: str = "exit 0", **resources) -> str:
        done = self.submit(text, **resources)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def status(self, number: str) -> str:
        done = self.call(str(PROFILES / self.engine / "status"), number)
        assert done.returncode == 0, done.stderr
        self.said = done.stderr
        return done.stdout.strip()

    def forget(self) -> None:
        """Let the list of the queue be asked for again."""
        (self.folder / ".snakemake" / "batch" / "queue").unlink(missing_ok=True)

    def ended(self, number: str) -> str:
        deadline = time.monotonic() + 30
        while (found := self.status(number)) == "running" and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    def file(self, number: str) -> Path:
        return self.state / number.split(".", maxsplit=1)[0]

    def asked(self, number: str) -> list[str]:
        return self.file(number).with_suffix(".asked").read_text().splitlines()


@pytest.fixture(params=ENGINES)
def queue(tmp_path, request):
    return Queue(tmp_path, request.param)


def test_a_job_runs_in_the_folder_of_the_screen_and_its_end_is_known(queue):
    """The engine may start it elsewhere; neither accounting nor a listing is needed for an end."""
    good, bad = queue.number("pwd >here"), queue.number("exit 3")
    assert [queue.ended(good), queue.ended(bad)] == ["success", "failed"]
    assert (queue.folder / "here").read_text().strip() == str(queue.folder)


def test_a_job_that_waits_or_runs_is_running(queue):
    (queue.state / "busy").touch()
    number = queue.number("while [ ! -e stop ]; do sleep 0.05; done")
    assert queue.status(number) == "running"
    (queue.state / "busy").unlink()
    while not queue.file(number).with_suffix(".group").exists():
        time.sleep(0.02)
    queue.forget()
    assert queue.status(number) == "running"
    (queue.folder / "stop").touch()
    assert queue.ended(number) == "success"


def test_a_killed_job_has_failed_after_a_minute(queue):
    """It noted no exit code. In the minute a network file system may still show one."""
    number = queue.number("sleep 60")
    while not queue.file(number).with_suffix(".group").exists():
        time.sleep(0.02)
    queue.call(engines.PROGRAMS[queue.engine][2], number)
    assert queue.status(number) == "running"
    gone = queue.folder / ".snakemake" / "batch" / f"{number}.gone"
    past = time.time() - 61
    os.utime(gone, (past, past))
    assert queue.status(number) == "failed"


def test_while_the_engine_does_not_answer_jobs_are_running(queue):
    (queue.state / "busy").touch()
    number = queue.number()
    (queue.state / "down").touch()
    assert queue.status(number) == "running"
    assert engines.DOWN[queue.engine].splitlines()[-1] in queue.said
    (queue.state / "down").unlink()
    (queue.state / "busy").unlink()
    assert queue.ended(number) == "success"


def test_the_queue_is_listed_once_for_many_jobs(queue):
    (queue.state / "busy").touch()
    numbers = [queue.number() for _ in range(3)]
    assert [queue.status(number) for number in numbers] == ["running"] * 3
    assert (queue.state / "calls").read_text() == "listed\n"
    (queue.state / "busy").unlink()


def test_a_job_that_the_engine_never_ends_has_failed_with_a_reason(tmp_path):
    for engine, state, reason in (("lsf", "ZOMBI", "does not answer"), ("sge", "Eqw", "qmod -cj")):
        (tmp_path / engine).mkdir()
        queue = Queue(tmp_path / engine, engine)
        (queue.state / "busy").touch()
        number = queue.number()
        queue.file(number).write_text(state)
        (queue.state / "busy").unlink()
        assert queue.status(number) == "failed"
        assert reason in queue.said


def test_a_refused_job_shows_what_was_asked_and_the_answer(queue):
    done = queue.submit(queue="refused")
    assert done.returncode != 0
    assert "Requested queue does not exist" in done.stderr
    assert engines.PROGRAMS[queue.engine][0] in done.stderr


def test_training_on_several_nodes_is_refused(queue):
    done = queue.submit(nodes=2)
    assert done.returncode != 0
    assert "only SLURM" in done.stderr
    assert not list(queue.state.glob("*.asked"))


@pytest.mark.parametrize(
    ("engine", "wanted", "absent"),
    [
        ("lsf", ["-n", "4", "span[hosts=1]", "1:35", "8000MB", "rusage[mem=8000MB]", "-q", "short"], "-gpu"),
        ("pbs", ["select=1:ncpus=4:mem=8000mb", "walltime=01:35:00", "-q", "short"], "ngpus"),
        ("sge", ["h_rt=5700,mem_free=2000M", "-pe", "smp", "4", "-q", "short"], "gpu"),
    ],
)
def test_what_a_rule_requests_is_asked_of_the_engine(tmp_path, engine, wanted, absent):
    """95 minutes, 8,000 MB and 4 cores; Grid Engine counts memory per core. A GPU only where one is requested."""
    queue = Queue(tmp_path, engine)
    asked = queue.asked(queue.number())
    assert set(wanted) <= set(asked), asked
    assert not any(absent in each for each in asked)
    asked = queue.asked(queue.number(gpu=2, account="lab", threads=1))
    gpu = {"lsf": "num=2", "pbs": "select=1:ncpus=1:mem=8000mb:ngpus=2", "sge": "h_rt=5700,mem_free=8000M,gpu=2"}
    assert gpu[engine] in asked
    assert "lab" in asked
    assert "wellspring_survey_P_1" in asked


def test_listings_as_the_manuals_print_them():
    """Held, suspended and moved jobs are not over; a job number is not cut off from its server."""
    lsf = "101 PEND\n102 RUN\n103 USUSP\n104 UNKWN\n105 DONE\n106 EXIT\n107 PROV\n108\n"
    running, over = "running", "over"
    assert dialect("lsf").states(lsf) == {
        "101": running, "102": running, "103": running, "104": running, "105": over, "106": over, "107": running,
        "108": running,
    }  # fmt: skip
    pbs = engines.PBS_TABLE + (
        "1201.pbs-head.uni someone workq STDIN -- 1 1 2gb 00:30 Q --\n"
        "1202.pbs-head.uni someone workq STDIN 99 1 1 2gb 00:30 H --\n"
        "1203.pbs-head.uni someone workq STDIN 99 1 1 2gb 00:30 E 00:01\n"
        "1204.pbs-head.uni someone workq STDIN 99 1 1 2gb 00:30 F 00:01\n"
    )
    assert dialect("pbs").states(pbs) == {"1201": running, "1202": running, "1203": running, "1204": over}
    rows = [(31, "qw"), (32, "hqw"), (33, "t"), (34, "Rr"), (35, "dr"), (36, "S")]
    sge = engines.SGE_TABLE + "".join(
        f"     {number} 0.5 wells someone {state} 11/30/2026 04:50:00 all.q@n1 4\n" for number, state in rows
    )
    assert dialect("sge").states(sge) == {str(number): running for number, _ in rows}
    assert "qstat -j" in dialect("sge").states(engines.SGE_TABLE + "  37 0.5 w me Ehqw 11/30/2026 04:50:00 1\n")["37"]


def test_profiles_agree_with_that_of_slurm():
    """Threads, retries and what is kept do not depend on the engine; nor do the rules that use a GPU."""
    slurm = yaml.safe_load((PROFILES / "slurm" / "config.yaml").read_text())
    for engine in ENGINES:
        own = yaml.safe_load((PROFILES / engine / "config.yaml").read_text())
        for key in ("set-threads", "retries", "keep-going", "keep-incomplete", "rerun-incomplete", "latency-wait"):
            assert own[key] == slurm[key], (engine, key)
        assert own["set-resources"].keys() == slurm["set-resources"].keys()
        assert {own["set-resources"][rule]["queue"] for rule in ("train", "embed")} != {
            own["default-resources"]["queue"]
        }


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_workflow_runs_and_a_killed_job_is_retried(tmp_path, engine):
    """Snakemake itself, with the shipped profile: the first attempt of one job kills itself without a trace."""
    queue = Queue(tmp_path, engine)
    (queue.folder / "Snakefile").write_text(
        "rule all:\n    input: expand('{n}.out', n=[1, 2])\n"
        "rule one:\n    output: '{n}.out'\n    resources: mem_mb=lambda w, attempt: 100 * attempt, runtime=5\n"
        "    shell: '[ {wildcards.n} = 1 ] || [ {resources.mem_mb} -gt 100 ]"
        ' || kill -9 -- -$(ps -o pgid= $$ | tr -d " ");'
        " echo {resources.mem_mb} >{output}'\n"
    )
    status = (PROFILES / "batch" / "status").read_text()  # a minute is long for a test
    profile = tmp_path / "profile"
    profile.mkdir()
    for file in (PROFILES / engine).iterdir():
        (profile / file.name).write_bytes(file.read_bytes())
        (profile / file.name).chmod(0o755)
    (profile / "status").write_text(status.replace("GRACE = 60", "GRACE = 2").replace("AGE = 20", "AGE = 1"))
    done = queue.call(
        sys.executable, "-m", "snakemake", "--profile", str(profile), "--nocolor", "--latency-wait", "5",
        "--seconds-between-status-checks", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trying to restart job" in done.stderr
    assert [(queue.folder / f"{n}.out").read_text().strip() for n in (1, 2)] == ["100", "200"]


def dialect(engine: str):
    """Load the dialect of a profile."""
    spec = importlib.util.spec_from_file_location(f"dialect_{engine}", PROFILES / engine / "dialect.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
