"""Programs of LSF, PBS and Grid Engine that really run jobs, on this machine, and print what those engines print.

`install` puts `bsub`, `bjobs`, `bkill` or `qsub`, `qstat`, `qdel` into a folder. A job is a file of its number in the
folder FAKE_STATE: its state, and the process that runs it. A test may write another state into the file, and a file
`down` there makes the engine answer with an error.
"""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = {"lsf": ("bsub", "bjobs", "bkill"), "pbs": ("qsub", "qstat", "qdel"), "sge": ("qsub", "qstat", "qdel")}
NUMBER = {"lsf": "LSB_JOBID", "pbs": "PBS_JOBID", "sge": "JOB_ID"}
WAITING = {"lsf": "PEND", "pbs": "Q", "sge": "qw"}
RUNNING = {"lsf": "RUN", "pbs": "R", "sge": "r"}
DOWN = {
    "lsf": "Failed in an LSF library call: LIM is down; try later",
    "pbs": "Connection refused\nqstat: cannot connect to server head (errno=111)",
    "sge": "error: commlib error: got select error (Connection refused)\nerror: unable to send message to qmaster",
}
PBS_TABLE = """
head:
                                                            Req'd  Req'd   Elap
Job ID          Username Queue    Jobname    SessID NDS TSK Memory Time  S Time
--------------- -------- -------- ---------- ------ --- --- ------ ----- - -----
"""
SGE_TABLE = """\
job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID
-----------------------------------------------------------------------------------------------------------------
"""


def write(file: Path, text: str) -> None:
    """Write a state whole: a listing that reads at this moment finds the old one or the new one."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)


def install(folder: Path, engine: str, state: Path) -> None:
    """Write the programs of an engine into a folder."""
    folder.mkdir(parents=True)
    state.mkdir(parents=True)
    for action, name in zip(("submit", "list", "kill"), PROGRAMS[engine], strict=True):
        program = folder / name
        own = f'exec "{sys.executable}" "{__file__}" {engine} {action} "{state}" "$@"'
        program.write_text(f"#!/bin/sh\n{own}\n")
        program.chmod(0o755)


def submit(engine: str, state: Path, arguments: list[str]) -> int:
    """Accept a job from the standard input, start it in the background, and print its number."""
    if "refused" in arguments:
        print("Requested queue does not exist", file=sys.stderr)
        return 1
    number = 100 + len(list(state.glob("*.asked")))
    (state / f"{number}.asked").write_text("\n".join(arguments))
    (state / f"{number}.sh").write_text(sys.stdin.read())
    write(state / str(number), WAITING[engine])
    subprocess.Popen(
        [sys.executable, __file__, engine, "run", str(state), str(number)],
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=(state / f"{number}.said").open("w"),
        stderr=subprocess.STDOUT,
        cwd=os.environ["HOME"] if engine == "pbs" else None,
    )
    said = {"lsf": f"Job <{number}> is submitted to default queue <normal>.", "pbs": f"{number}.head", "sge": number}
    print(said[engine])
    return 0


def run(engine: str, state: Path, number: str) -> int:
    """Run a job to its end, if nothing else was written as its state before."""
    while (state / "busy").exists():
        time.sleep(0.05)
    file = state / number
    if not file.exists() or file.read_text() != WAITING[engine]:
        return 0
    own = {NUMBER[engine]: f"{number}.head" if engine == "pbs" else number}
    job = subprocess.Popen(["/bin/sh", str(state / f"{number}.sh")], env=os.environ | own, start_new_session=True)
    (state / f"{number}.group").write_text(str(job.pid))
    write(file, RUNNING[engine])
    code = job.wait()
    if engine == "lsf":
        write(file, "EXIT" if code else "DONE")  # which `bjobs -a` lists for an hour
    else:
        file.unlink(missing_ok=True)
    return 0


def listing(engine: str, state: Path) -> int:
    """Print the jobs as the engine does."""
    with (state / "calls").open("a") as stream:
        stream.write("listed\n")
    if (state / "down").exists():
        print(DOWN[engine], file=sys.stderr)
        return 255
    jobs = {int(file.name): file.read_text() for file in state.iterdir() if re.fullmatch(r"\d+", file.name)}
    if engine == "lsf":
        for number, found in jobs.items():
            print(number, found)
        if not jobs:
            print("No job found", file=sys.stderr)
        return 0 if jobs else 255
    if jobs:
        print(PBS_TABLE if engine == "pbs" else SGE_TABLE, end="")
    for number, found in jobs.items():
        if engine == "pbs":
            print(f"{number}.head        someone  workq    wellspring    777   1   4 8000mb 02:00 {found} 00:01")
        else:
            print(f"{number:7} 0.55500 wellspring someone      {found:5} 11/30/2026 04:50:00 {'all.q@node1':30} {1:5}")
    return 0


def kill(engine: str, state: Path, numbers: list[str]) -> int:
    """Kill jobs."""
    for number in (each.split(".")[0] for each in numbers):
        group = state / f"{number}.group"
        with suppress(ProcessLookupError, FileNotFoundError):
            os.killpg(int(group.read_text()), signal.SIGKILL)
        file = state / number
        if engine == "lsf":
            write(file, "EXIT")
        else:
            file.unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    engine, action, folder, *rest = sys.argv[1:]
    if action == "submit":
        code = submit(engine, Path(folder), rest)
    elif action == "run":
        code = run(engine, Path(folder), *rest)
    elif action == "list":
        code = listing(engine, Path(folder))
    else:
        code = kill(engine, Path(folder), rest)
    sys.exit(code)
