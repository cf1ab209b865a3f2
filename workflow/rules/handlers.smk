"""Handlers: define what runs before the first job and after the last one.

They read `config`, `settings` and `plates`, which `common.smk` defines.
"""

import importlib.util

from snakemake.io import strip_wildcard_constraints
from snakemake.logging import logger as snakemake_logger
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence
from snakemake.settings.enums import PersistenceBackend
from snakemake.settings.types import DeploymentMethod, SharedFSUsage

from wellspring.cells import model_files
from wellspring.io.packaged import is_packaged
from wellspring.io.phrases import count
from wellspring.workflow import at_start, containers, failures, ownership, records, terminal, travel
from wellspring.workflow.outcome import outcome


def verify_weights():
    """Compare the weights that the jobs of this run read with the config's sha256, before the first job."""
    jobs = [] if stored else list(workflow.dag.needrun_jobs())
    files = {}
    for name in {job.wildcards.encoder for job in jobs if job.rule.name == "train"}:
        files[f"encoders.{name}.weights"] = settings.encoders[name].weights
    if networked and any(job.rule.name == "cells" for job in jobs):
        cellpose = settings.cells.cellpose.weights
        files |= {"cells.cellpose.weights.nuclei": cellpose.nuclei, "cells.cellpose.weights.cells": cellpose.cells}
    for key, file in files.items():
        # The package of a file may be installed in the job's conda environment only; the job compares the sha256, too.
        known = file is not None and file.path is not None
        if known and not (is_packaged(file.path) and workflow.deployment_settings.deployment_method):
            model_files.check(file.path, file.sha256, key=key)


def refuse_untracked():
    """Refuse a run whose jobs get the files that git tracks, and would lack the sheet, before its first job."""
    if stored and SharedFSUsage.SOURCES not in workflow.storage_settings.shared_fs_usage:
        found = travel.untracked(settings)
        if found:
            raise WorkflowError("\n".join(found))


def refuse_contradictions():
    """Refuse platemaps, sheet and config that contradict each other, before the first job of this run."""
    jobs = list(workflow.dag.needrun_jobs())
    if not any(job.output for job in jobs):
        return
    indexed = any(job.rule.name == "index" for job in jobs)
    found = at_start.contradictions(plates.to_dict("records"), settings, indexed=indexed)
    if found:
        raise WorkflowError("\n".join(found))


def verify_networks():
    """Build the networks that the jobs of this run train or build, before the first job; not where PyTorch is lacking."""
    names = {job.wildcards.encoder for job in workflow.dag.needrun_jobs() if job.rule.name == "train"}
    kinds = ("simclr", "sslprofiler", "dino", "timm")
    names = sorted(name for name in names if settings.encoders[name].kind in kinds)
    if names and importlib.util.find_spec("torch") is not None:
        from wellspring.train.rehearsal import rehearse

        for name in names:
            rehearse(settings.encoders[name], name=name, channels=len(settings.channels), seed=settings.seed)


def claim_results():
    """Refuse to write into the results of another screen, before the first job of a run that has outputs."""
    if any(job.output for job in workflow.dag.needrun_jobs()):
        ownership.claim(workflow.pathvars.apply("<results>"), Path.cwd())


def prepare_containers():
    """Show the containers of jobs the folders that they read, and refuse images that are not there; with apptainer only.

    Jobs on other machines read the Snakefile again, so this holds in every process.
    """
    if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
        if "WELLSPRING_IMAGES" in os.environ:
            workflow.register_envvars("WELLSPRING_IMAGES")
        lacking = containers.missing(rule.container_img for rule in workflow.rules) if workflow.is_main_process else []
        if lacking:
            raise WorkflowError("\n".join(lacking))
        read = [*plates["images"], *plates["platemap"], *containers.files_of(config)]
        for name in ("APPTAINER_BIND", "SINGULARITY_BIND"):
            try:
                os.environ[name] = containers.binds(here.parent, read, given=os.environ.get(name, ""))
            except ValueError as error:
                raise WorkflowError(error) from None


def correct_records():
    """Correct Snakemake's records of outputs from those of the jobs, before the jobs of a run are planned."""
    if workflow.is_main_process and workflow.workflow_settings.persistence_backend == PersistenceBackend.FILE:
        known = FilePersistence()
        outputs = [strip_wildcard_constraints(str(output)) for rule in workflow.rules for output in rule.output]
        version = {"record_format_version": RECORD_FORMAT_VERSION, "incomplete": False}

        def write(output, values):
            known._write_record(output, MetadataRecord(**version, **values))

        try:
            records.correct(outputs, read=known._read_record, write=write)
        except (ValueError, OSError) as error:
            raise WorkflowError(error) from None


def forget_records():
    """Delete the jobs' records of outputs that `--touch` takes for those of the present config."""
    if workflow.touch:
        records.forget([str(output) for job in workflow.dag.needrun_jobs() for output in job.output])


def failed_jobs():
    """Return the jobs of this run that failed in their last attempt."""
    return [
        failures.Failure(
            job.rule.name,
            job.wildcards_dict,
            [str(log) for log in job.log],
            next(map(str, job.output), ""),
            [str(output) for output in job.output],
        )
        for job in workflow.scheduler.failed
    ]


def note_failures(logs):
    """Update the list of failed jobs after a run with these logs of Snakemake, and print the jobs that failed in it."""
    path = workflow.pathvars.apply("<results>/failures.tsv")
    names = [*plates.index, *plates["optics"], *encoders]
    found = failures.update(path, failed_jobs(), names=names, slurm=".snakemake/slurm_logs", snakemake=logs)
    if len(found):
        print(f"{count(len(found), 'job')} failed (listed in {path}):\n{failures.words(found)}", file=sys.stderr)


def shortened():
    """Return the terminal of a run whose Snakemake writes a line per job; None where options ask for its own messages."""
    output = workflow.output_settings
    options = (output.dryrun, output.verbose, output.printshellcmds, output.debug_dag, output.quiet)
    if not workflow.is_main_process or len(workflow.modifier_stack) > 1 or any(options):
        return None
    return terminal.install(snakemake_logger.handlers, terminal.typical(workflow.pathvars.apply("<benchmarks>")))


def print_beginning():
    """Print what this run will make, and how long the like took."""
    rules = [job.rule.name for job in workflow.dag.needrun_jobs() if job.output]
    if shown is None or not rules:
        return
    page = workflow.pathvars.apply("<results>/report/index.html") if "report" in rules else ""
    cores = workflow.cores if workflow.local_exec else 0
    numbers = {"plates": len(plates), "encoders": len(encoders), "cores": cores}
    print(shown.begin(rules, page=page, demo=len(simulated) == len(plates), **numbers), file=sys.stderr)


def print_outcome(since=0.0):
    """Print the path of the page, the number of active treatments and what was left out, if this run has a report."""
    line = outcome(workflow.pathvars.apply("<results>/report"), since=since)
    if line is not None and any(job.rule.name == "report" for job in workflow.dag.jobs):
        if shown is None:
            print(line, file=sys.stderr)
        else:
            shown.outcome = line
