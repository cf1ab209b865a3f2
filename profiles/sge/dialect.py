"""The commands of Grid Engine (SGE, UGE, AGE); change here what differs at your site. See `qsub(1)`."""

NUMBER = "JOB_ID"  # variable in a job with its number
SUBMITTED = r"^(\d+)"
PARALLEL = "smp"  # a parallel environment that keeps a job on one host: `qconf -spl` lists them
MEMORY = "mem_free"  # the resource of memory, per slot; `h_vmem` counts address space, of which CUDA reserves very much
GPU = "gpu"  # the resource of GPUs


def submit(name, threads, megabytes, minutes, gpus, queue, account, logs):
    """Return the command that submits a script on its standard input."""
    limits = [f"h_rt={minutes * 60}", f"{MEMORY}={-(-megabytes // threads)}M", *([f"{GPU}={gpus}"] if gpus else [])]
    command = [
        "qsub",
        "-terse",
        "-N",
        name,
        "-cwd",
        "-V",
        "-S",
        "/bin/sh",
        "-l",
        ",".join(limits),
        "-j",
        "y",
        "-o",
        logs,
    ]
    command += ["-pe", PARALLEL, str(threads)] if threads > 1 else []
    command += ["-q", queue] if queue else []
    return command + (["-P", account] if account else [])


def queue(user):
    """Return the command that lists the jobs of a user."""
    return ["qstat", "-u", user]


def empty(said):
    """Return whether a command failed because there are no jobs."""
    return said.strip() == ""


def states(listed):
    """Return number to `running` or the reason why a job never starts; a job that ended is not listed."""
    rows = [line.split() for line in listed.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    stuck = "in error before it started: `qstat -j NUMBER` names the reason, `qmod -cj NUMBER` tries again"
    return {row[0]: f"{stuck} ({row[4]})" if "E" in row[4] else "running" for row in rows}
