"""The commands of PBS Professional and OpenPBS; change here what differs at your site. See `qsub(1B)`, `qstat(1B)`."""

NUMBER = "PBS_JOBID"  # variable in a job with its number
SUBMITTED = r"^(\d+\S*)"
OVER = {"C", "F", "X"}


def submit(name, threads, megabytes, minutes, gpus, queue, account, logs):
    """Return the command that submits a script on its standard input."""
    chunk = f"select=1:ncpus={threads}:mem={megabytes}mb" + (f":ngpus={gpus}" if gpus else "")
    command = ["qsub", "-N", name[:230], "-l", chunk, "-l", f"walltime={minutes // 60:02d}:{minutes % 60:02d}:00"]
    command += ["-j", "oe", "-o", f"{logs}/", "-V", "-S", "/bin/sh"]
    command += ["-q", queue] if queue else []
    return command + (["-A", account] if account else [])


def queue(user):
    """Return the command that lists the jobs of a user."""
    return ["qstat", "-u", user]


def empty(said):
    """Return whether a command failed because there are no jobs."""
    return said.strip() == ""


def states(listed):
    """Return number to `running` or `over`; PBS holds a job that it cannot start until a person releases it."""
    rows = [line.split() for line in listed.splitlines() if line[:1].isdigit()]
    return {row[0].split(".")[0]: "over" if row[-2] in OVER else "running" for row in rows}
