"""An executor for tests whose jobs share no folder with the main process or each other, as pods of a cloud do.

Each job runs in a new empty folder and gets what a storage provider and the sources give it. Where mounts are allowed,
the job has a mount namespace of its own, in which the folder of the main process is empty. The folder of a job is
deleted when the job ends. The environment is that of the main process without `PYTHONPATH`.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncGenerator
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=True,
    job_deploy_sources=True,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=True,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)
HIDDEN = ["unshare", "--mount"]


class Executor(RemoteExecutor):
    """Run each job as a process in a folder of its own."""

    def __post_init__(self) -> None:
        self.apart = subprocess.run([*HIDDEN, "true"], capture_output=True, check=False).returncode == 0

    def run_job(self, job: JobExecutorInterface) -> None:
        """Start the job."""
        folder = Path(tempfile.mkdtemp(prefix="apart_"))
        command = self.format_job_exec(job)
        if self.apart:
            hide = f"mount -t tmpfs none {str(Path.cwd())!r} && cd {str(folder)!r} && {command}"
            call = [*HIDDEN, "bash", "-c", hide]
        else:
            call = ["bash", "-c", command]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with (folder.parent / f"{folder.name}.log").open("w") as log:
            process = subprocess.Popen(
                call, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        aux = {"process": process, "folder": folder, "log": Path(log.name)}
        self.report_job_submission(SubmittedJobInfo(job, external_jobid=str(process.pid), aux=aux))

    async def check_active_jobs(self, active_jobs: list[SubmittedJobInfo]) -> AsyncGenerator[SubmittedJobInfo, None]:
        """Yield the jobs that run."""
        for one in active_jobs:
            ended = one.aux["process"].poll()
            if ended is None:
                yield one
                continue
            said = one.aux["log"].read_text()
            shutil.rmtree(one.aux["folder"])
            one.aux["log"].unlink()
            if ended:
                self.report_job_error(one, msg=f"{' '.join(one.aux['process'].args)[-3000:]}\n{said[-6000:]}\n")
            else:
                self.report_job_success(one)

    def cancel_jobs(self, active_jobs: list[SubmittedJobInfo]) -> None:
        """End the jobs that run."""
        for one in active_jobs:
            one.aux["process"].terminate()
