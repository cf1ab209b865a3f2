"""A SLURM cluster for the tests, started from Debian's packages and removed without a trace.

munge, slurmctld and several slurmd, each a "node", all on this machine's loopback; with accounting where slurmdbd and
MariaDB are installed. No systemd, no cgroups. The nodes claim more cores and memory than there are, so that jobs ask
for what their rules say; how many run at once is the caller's `--jobs`.
"""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "munged")
ACCOUNTING = ("slurmdbd", "mariadbd", "mariadb-install-db")
# Where Debian's SLURM looks. The executor plugin takes every SLURM_* out of a job's environment, SLURM_CONF with them,
# so that the `srun` inside a job finds its cluster only here.
HOME = Path("/etc/slurm")
PORTS = {"slurmctld": 17517, "slurmdbd": 17519, "mariadb": 17506, "slurmd": 17600}
SECONDS = 15  # after which a silent node is down; 300 is SLURM's own, and nobody wants to wait for it in a test


def missing() -> str | None:
    """Return why no cluster can be started here, None when one can."""
    if os.geteuid() != 0:
        return "SLURM's daemons need root"
    absent = [name for name in PROGRAMS if which(name) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (tests/slurm/install.sh)"
    clear()
    if any((HOME / name).exists() for name in ("slurm.conf", "slurmdbd.conf")):
        return f"{HOME} holds the configuration of another cluster"
    return None


def clear() -> None:
    """Take down a cluster of ours whose process was killed before it could."""
    file = HOME / "slurm.conf"
    folder = file.resolve().parents[1]
    owner = folder / "owner"
    if file.is_symlink() and owner.exists() and not psutil.pid_exists(int(owner.read_text())):
        Cluster(folder, nodes=len(list((folder / "run").glob("spool.node*")))).down()
        shutil.rmtree(folder, ignore_errors=True)


def which(program: str) -> str | None:
    """Return where a program is, administrators' folders included."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass
class Cluster:
    """Nodes node1 to node`nodes` and gpu1, in the partitions cpu, gpu and, for jobs that yield to others, preempt.

    Parameters
    ----------
    folder
        Empty, and every user may enter it.
    nodes
        Without a GPU.
    accounting
        Whether to start a database, so that `sacct` answers.
    """

    folder: Path
    nodes: int = 2
    accounting: bool = False
    past: set[str] = field(default_factory=set)  # jobs that are not spoken of any more

    @property
    def names(self) -> list[str]:
        """Names of all nodes."""
        return ["gpu1", *(f"node{number}" for number in range(1, self.nodes + 1))]

    def up(self) -> None:
        """Start all daemons and wait until every node is idle."""
        for name in ("etc", "log", "run", "state", "munge", *(f"run/spool.{node}" for node in self.names)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "owner").write_text(str(os.getpid()))
        self._munge()
        for name, text in self._files().items():
            path = self.folder / "etc" / name
            path.write_text(text)
            path.chmod(0o600 if name == "slurmdbd.conf" else 0o644)
            HOME.mkdir(exist_ok=True)
            (HOME / name).unlink(missing_ok=True)  # of a cluster that was killed and whose folder is gone
            (HOME / name).symlink_to(path)
        for number in range(2):
            # Only character devices are handed out as CUDA_VISIBLE_DEVICES; these are /dev/null's.
            os.mknod(self.folder / "run" / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
        if self.accounting:
            self._database()
        self._start("slurmctld", "-c")
        for node in self.names:
            self.start(node)
        wait(lambda: self.states() == dict.fromkeys(self.names, "idle"), what="all nodes idle", seconds=60)

    def down(self) -> None:
        """Cancel all jobs, stop all daemons that run and take away what lies outside of the folder."""
        subprocess.run(["scancel", "--quiet", "--user=root"], capture_output=True, check=False)
        time.sleep(1)
        for node in self.names:
            self.kill(node)
        for name in ("slurmctld", "slurmdbd", "mariadb", "munge"):
            self._stop(name)
        for file in HOME.glob("*.conf"):
            if file.is_symlink() and file.resolve().is_relative_to(self.folder):
                file.unlink()

    def start(self, node: str) -> None:
        """Start the daemon of a node, as its boot does."""
        self._start("slurmd", "-N", node)

    def kill(self, node: str) -> None:
        """Take a node away as a power cut does: its daemon and all of its jobs' processes, at once."""
        file = self.folder / "run" / f"slurmd.{node}.pid"
        daemon = self._process(file)
        stopped = [] if daemon is None else [daemon]
        # Each step of a job has a socket NODE_JOB.STEP in the spool folder, and a process that says which step it is.
        steps = {path.name.removeprefix(f"{node}_").partition(".")[0] for path in self._sockets(node)}
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "slurmstepd":
                with suppress(psutil.NoSuchProcess):
                    step = re.search(r"\[(\d+)\.", " ".join(process.cmdline()))
                    if step and step[1] in steps and process.cwd() == str(self.folder / "log"):
                        stopped += [process, *process.children(recursive=True)]
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        for path in (file, *self._sockets(node)):
            path.unlink(missing_ok=True)

    def stop_controller(self) -> None:
        """Stop the daemon that all commands ask; jobs go on."""
        self._stop("slurmctld")

    def start_controller(self) -> None:
        """Start it again, where it stood."""
        self._start("slurmctld")
        wait(lambda: _succeeds("sinfo"), what="the controller", seconds=30)

    def states(self) -> dict[str, str]:
        """Return the state of each node."""
        return dict(line.split() for line in say("sinfo", "-h", "-N", "-o", "%N %T").splitlines())

    def jobs(self, rule: str = "", *, states: str = "all") -> list[dict[str, str]]:
        """Return the jobs of a rule or group (all without one): id, state, node, comment (what it is of), partition."""
        said = say("squeue", "-h", f"--states={states}", "-o", "%i|%T|%N|%k|%P")
        names = ("id", "state", "node", "comment", "partition")
        rows = [dict(zip(names, line.split("|"), strict=True)) for line in said.splitlines()]
        return [row for row in rows if row["comment"].startswith(f"rule_{rule}") and row["id"] not in self.past]

    def job(self, number: str) -> dict[str, str]:
        """Return one job as `jobs` does."""
        return next(row for row in self.jobs() if row["id"] == number)

    def running(self, rule: str) -> dict[str, str] | None:
        """Return a running job of a rule, None without one."""
        return next(iter(self.jobs(rule, states="running")), None)

    def restarts(self, job: str) -> int:
        """Return how often SLURM has started a job again."""
        return int(re.search(r"Restarts=(\d+)", say("scontrol", "show", "job", job))[1])

    def hurry(self) -> None:
        """Let jobs that were requeued start at once; SLURM holds them back for two minutes."""
        for job in self.jobs(states="pending"):
            call = ["scontrol", "update", f"JobId={job['id']}", "StartTime=now"]
            subprocess.run(call, capture_output=True, check=False)

    def tidy(self) -> None:
        """Cancel all jobs, forget them, and bring back the nodes that are down."""
        subprocess.run(["scancel", "--quiet", "--user=root"], capture_output=True, check=False)
        self.past |= {job["id"] for job in self.jobs()}
        states = self.states()
        for node in self.names:
            if self._process(self.folder / "run" / f"slurmd.{node}.pid") is None:
                self.start(node)
        wait(lambda: set(self.states().values()) == {"idle"}, what=f"all nodes idle, after {states}", seconds=90)

    def _start(self, program: str, *arguments: str) -> None:
        with (self.folder / "log" / f"{program}.start").open("a") as log:
            subprocess.run([which(program), *arguments], stdout=log, stderr=log, check=True)

    def _stop(self, daemon: str) -> None:
        process = self._process(self.folder / "run" / f"{daemon}.pid")
        if process is not None:
            process.terminate()
            _, alive = psutil.wait_procs([process], timeout=15)
            for each in alive:
                each.kill()

    def _sockets(self, node: str) -> list[Path]:
        return list((self.folder / "run" / f"spool.{node}").glob(f"{node}_*.*"))

    def _process(self, file: Path) -> psutil.Process | None:
        try:
            return psutil.Process(int(file.read_text()))
        except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
            return None

    def _munge(self) -> None:
        home = self.folder / "munge"
        (home / "key").write_bytes(os.urandom(1024))
        (home / "key").chmod(0o400)
        home.chmod(0o755)
        pid = self.folder / "run" / "munge.pid"
        call = [which("munged"), f"--key-file={home}/key", f"--socket={home}/socket", f"--pid-file={pid}"]
        call += [f"--log-file={home}/log", f"--seed-file={home}/seed", "--force"]
        subprocess.run(call, check=True, capture_output=True)
        wait(lambda: (home / "socket").exists(), what="munge's socket", seconds=10)

    def _database(self) -> None:
        home, log = self.folder / "mysql", self.folder / "log" / "mariadb"
        home.mkdir()
        shutil.chown(home, "mysql", "mysql")
        _quietly(which("mariadb-install-db"), "--user=mysql", f"--datadir={home}/data", "--skip-test-db")
        call = [which("mariadbd"), "--no-defaults", "--user=mysql", f"--datadir={home}/data", f"--socket={home}/socket"]
        call += ["--bind-address=127.0.0.1", f"--port={PORTS['mariadb']}", f"--pid-file={home}/pid"]
        call += ["--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900"]
        with log.open("w") as stream:
            process = subprocess.Popen(call, stdout=stream, stderr=stream, start_new_session=True)
        (self.folder / "run" / "mariadb.pid").write_text(str(process.pid))
        client = ["mariadb", "--no-defaults", f"--socket={home}/socket", "-e"]
        wait(lambda: _succeeds(*client, "select 1"), what="the database", seconds=30)
        user = "grant all on slurm_acct_db.* to slurm@127.0.0.1 identified by 'slurm'"
        _quietly(*client, f"create database slurm_acct_db; {user};")
        self._start("slurmdbd")
        wait(lambda: _succeeds("sacctmgr", "-n", "show", "cluster"), what="the accounting daemon", seconds=30)
        for call in (("cluster", "wellspring"), ("account", "lab"), ("user", "root", "Account=lab")):
            _quietly("sacctmgr", "-i", "add", *call)

    def _files(self) -> dict[str, str]:
        here, host = self.folder, socket.gethostname().partition(".")[0]
        last = PORTS["slurmd"] + self.nodes
        size = "CPUs=16 RealMemory=128000 State=UNKNOWN"
        nodes = f"NodeHostname={host} NodeAddr=127.0.0.1"
        main = f"""\
ClusterName=wellspring
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={PORTS["slurmctld"]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={here}/munge/socket
CredType=cred/munge
MpiDefault=none
SwitchType=switch/none
# Without cgroups: jobs are found by their process tree, and their memory is looked at every second.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
# Jobs spread over the nodes, so that one node can be lost and another go on.
SelectTypeParameters=CR_Core_Memory,CR_LLN
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=0,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
# Nodes may claim more than the machine has.
SlurmdParameters=config_overrides
SlurmctldTimeout=30
SlurmdTimeout={SECONDS}
InactiveLimit=0
# Jobs that ended are asked about for longer than the default 300 seconds.
MinJobAge=3600
KillWait=30
OverTimeLimit=0
StateSaveLocation={here}/state
SlurmctldPidFile={here}/run/slurmctld.pid
SlurmctldLogFile={here}/log/slurmctld
SlurmdPidFile={here}/run/slurmd.%n.pid
SlurmdLogFile={here}/log/slurmd.%n
SlurmdSpoolDir={here}/run/spool.%n
GresTypes=gpu
NodeName=node[1-{self.nodes}] {nodes} Port={PORTS["slurmd"] + 1}-{last} {size}
NodeName=gpu1 {nodes} Port={PORTS["slurmd"]} Gres=gpu:2 {size}
PartitionName=cpu Nodes=node[1-{self.nodes}] Default=YES MaxTime=1-0 State=UP PriorityTier=10
PartitionName=gpu Nodes=gpu1 MaxTime=1-0 State=UP PriorityTier=10
PartitionName=preempt Nodes=ALL MaxTime=1-0 State=UP PriorityTier=1
"""
        files = {
            "gres.conf": f"NodeName=gpu1 Name=gpu File={here}/run/gpu[0-1]\n",
            "cgroup.conf": "CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace=no\n",
        }
        if self.accounting:
            main += f"""\
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={PORTS["slurmdbd"]}
AccountingStoragePass={here}/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"""
            files["slurmdbd.conf"] = f"""\
AuthType=auth/munge
AuthInfo=socket={here}/munge/socket
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={PORTS["slurmdbd"]}
SlurmUser=root
LogFile={here}/log/slurmdbd
PidFile={here}/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={PORTS["mariadb"]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
"""
        return files | {"slurm.conf": main}


@contextmanager
def cluster(**options) -> Iterator[Cluster]:
    """Start a cluster in a temporary folder; stop and remove it at the end, also after a failure while it starts."""
    reason = missing()
    if reason is not None:
        raise RuntimeError(f"no SLURM: {reason}")
    # Not in pytest's folder, which the database's user may not enter.
    with tempfile.TemporaryDirectory(prefix="wellspring-slurm-", ignore_cleanup_errors=True) as folder:
        made = Cluster(Path(folder), **options)
        try:
            made.up()
            yield made
        finally:
            made.down()


def say(*call: str) -> str:
    """Return what a command of SLURM prints."""
    return subprocess.run(call, capture_output=True, text=True, check=True, timeout=60).stdout


def wait(met: Callable[[], object], *, what: str, seconds: float, every: float = 0.2) -> object:
    """Call `met` until it gives something true and return that; a TimeoutError names what was waited for."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = met()
        if got:
            return got
        time.sleep(every)
    raise TimeoutError(f"waited {seconds:g} s for {what}")


def _succeeds(*call: str) -> bool:
    return subprocess.run(call, capture_output=True, check=False).returncode == 0


def _quietly(*call: str) -> None:
    subprocess.run(call, capture_output=True, check=True)
