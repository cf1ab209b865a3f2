"""The commands of LSF; change here what differs at your site. See `bsub(1)` and `bjobs(1)`."""

NUMBER = "LSB_JOBID"  # variable in a job with its number
SUBMITTED = r"Job <(\d+)> is submitted"
OVER = {"DONE", "EXIT", "POST_DONE", "POST_ERR"}


def submit(name, threads, megabytes, minutes, gpus, queue, account, logs):
    """Return the command that submits a script on its standard input."""
    command = [
        "bsub",
        "-J",
        name,
        "-n",
        str(threads),
        "-R",
        "span[hosts=1]",
        "-W",
        f"{minutes // 60}:{minutes % 60:02d}",
    ]
    # Memory of the job, where LSF reserves by job. With RESOURCE_RESERVE_PER_SLOT=Y divide it by `threads`.
    command += ["-M", f"{megabytes}MB", "-R", f"rusage[mem={megabytes}MB]", "-o", f"{logs}/%J.log"]
    command += ["-gpu", f"num={gpus}"] if gpus else []
    command += ["-q", queue] if queue else []
    return command + (["-P", account] if account else [])


def queue(user):
    """Return the command that lists the jobs of a user, including those that ended recently."""
    return ["bjobs", "-a", "-u", user, "-noheader", "-o", "jobid stat"]


def empty(said):
    """Return whether a command failed because there are no jobs."""
    return "No unfinished job found" in said or "No job found" in said


def states(listed):
    """Return number to `running`, `over` or the reason why a job never ends.

    A job of state UNKWN is on a host that does not answer: LSF itself decides what becomes of it. A row without a state
    counts as running.
    """
    rows = [(*line.split(), "")[:2] for line in listed.splitlines() if line.strip()]
    reasons = {"ZOMBI": "killed on a host that does not answer (ZOMBI)"}
    return {number: "over" if state in OVER else reasons.get(state, "running") for number, state in rows}
