"""Common: put the library on the path, check the config and the sheet, and define the input functions of the rules.

Other rule files neither read the config and the sheet themselves nor define functions. `config` is the complete config
as a dict, from which rules take their parameters; `settings` is the same as dataclasses.
"""

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from snakemake.io import strip_wildcard_constraints
from snakemake.persistence import RECORD_FORMAT_VERSION, MetadataRecord
from snakemake.persistence.file import FilePersistence
from snakemake.settings.enums import PersistenceBackend
from snakemake.settings.types import SharedFSUsage


def folder_of(source):
    """Return the folder `workflow` of the clone that a rule file belongs to.

    If a module names a tag of a repository, as snakedeploy does, Snakemake fetches rules and scripts one by one from its
    copy of the repository; the library and its data files are then extracted into `.snakemake` of the working directory.
    """
    repository = getattr(source, "repo_path", None) or getattr(source, "hosted_repo", None)
    if repository is None:
        return Path(source.get_path_or_uri(secret_free=True)).resolve().parent
    git = ["git", "-C", str(getattr(repository, "repo_clone", repository))]
    commit = subprocess.check_output([*git, "rev-parse", f"{source.ref}^{{commit}}"], text=True).strip()
    folder = Path(".snakemake", "wellspring", commit).resolve()
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            archive = subprocess.check_output([*git, "archive", commit])
            subprocess.run(["tar", "-x", "-C", temporary], input=archive, check=True)
            Path(temporary).rename(folder)
    return folder / "workflow"


here = folder_of(workflow.current_basedir)
sys.path.insert(0, str(here / "lib"))
# Scripts run in processes of their own: they must import this library, not an installed one of another clone.
os.environ.update(PYTHONPATH=os.pathsep.join([str(here / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]))

# Threads that spin while waiting slow down other jobs on the node: training was ten times slower beside other jobs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from wellspring.cells import model_files
from wellspring.encoders.factory import source_of
from wellspring.illumination import given
from wellspring.index import times
from wellspring.io import object_store, site_arrays, zipped
from wellspring.io.packaged import is_packaged
from wellspring.io.shipped import REPORT_TEMPLATES, REPORT_WORDING
from wellspring.screen import doubled_keys, exclusions, sheet
from wellspring.screen.config import resolve, typed
from wellspring.screen.config_checks import check_roles, steps_of
from wellspring.screen.encoder_kinds import needs_images, ready_made, trains
from wellspring.simulate.screen import screen_of
from wellspring.cells.ready import settings as crop_settings
from wellspring.cells.ready.listing import table_of
from wellspring.report import checked
from wellspring.workflow import at_start, failures, ownership, records, travel
from wellspring.workflow.code_digest import age
from wellspring.workflow.code_digest import code as digest_of_code
from wellspring.workflow.outcome import outcome
from wellspring.workflow.wildcards import one_of

age(here / "scripts")
began = time.time()

given_config = {key: value for key, value in config.items() if key != "pathvars"}


def refuse(error):
    """Return an error with all that is wrong with config and sheet, and with the plates if the target is `check`."""
    results = Path(workflow.pathvars.apply("<results>"))
    return WorkflowError(checked.refusal(given_config, error, results=results, plates="check" in sys.argv))


twice = [text for path in workflow.configfiles for text in doubled_keys.doubled(Path(str(path)))]
try:
    if twice:
        raise ValueError("\n".join(twice))
    config.update(resolve(given_config))
except ValueError as error:
    raise refuse(error) from None
settings = typed(config)
store = settings.index.object_store
os.environ.update(object_store.environment(anonymous=store.anonymous, endpoint=store.endpoint))
# With a default storage provider, jobs share no folder: each input and output travels through a store (docs/cloud.md).
stored = workflow.storage_settings.default_storage_provider is not None
demo_screen = yaml.safe_load(Path(workflow.source_path("../../resources/demo/screen.yaml")).read_text())
demo = tuple(screen_of(demo_screen, where="resources/demo/screen.yaml").plates)
demo_folder = Path(workflow.pathvars.apply("<results>/demo"))
seeing = needs_images(settings.encoders)
imaged = seeing and not ready_made(settings.crops)
try:
    plates = sheet.read(settings.plates, demo=demo_folder, simulated=demo, images=seeing)
    own = {name: (demo_folder / name).resolve() for name in plates.index}
    simulated = [name for name in own if imaged and Path(plates.loc[name, "images"]).resolve() == own[name]]
    if imaged:
        # Jobs do not list the folders again: the main process gives them the time points that it found.
        again, rows = workflow.is_main_process, plates.to_dict("records")
        rows = times.expanded(rows, settings.index, simulated=simulated, known=os.environ, again=again)
        plates = pd.DataFrame(rows).set_index("plate", drop=False)
        config.update(times.grouped(config))
        settings = typed(config)
    check_roles(settings.fit, plates["role"].to_dict())
except ValueError as error:
    raise refuse(error) from None
obstacles = travel.obstacles(settings, plates, simulated=simulated) if stored else []
if obstacles:
    raise WorkflowError("\n".join(obstacles))
listed = exclusions.read(settings.survey.exclusions)
exclusions.check(listed, [*sheet.names(settings.plates), *plates.index])
encoders = list(settings.encoders)
classical = [name for name, entry in settings.encoders.items() if entry.kind == "classical"]
foreign = [name for name, entry in settings.encoders.items() if entry.kind == "table"]
learned = [name for name in encoders if name not in (*classical, *foreign)]
celled = [name for name, entry in settings.encoders.items() if entry.view.kind == "cell"]
trained = [name for name in learned if trains(settings.encoders[name])]
ready, pictured = ([], plates.index.tolist()) if imaged else (plates.index.tolist() if seeing else [], [])
segmented = imaged and settings.cells.activate
networked = segmented and settings.cells.method == "cellpose"
fitted = plates.index[plates["role"] == "fit"].tolist()


wildcard_constraints:
    plate=one_of(plates.index),
    optics=one_of(plates["optics"]),
    encoder=one_of(encoders),


def code(script, *also):
    """Return the digest of a script, the library code that it imports and further files; None without `track_code`."""
    if not settings.track_code:
        return None
    return digest_of_code(here / "scripts" / f"{script}.py", *(here / file for file in also))


def fitting(environment):
    """Return the conda environment of a stage that fits the alignment; a step of Harmony needs its own."""
    return "../../envs/harmony.yaml" if "harmony" in steps_of(settings.fit) else environment


def scaled(amount):
    """Return a resource that grows with each attempt: `amount` (a number or function of the job) times 1, 2, 3."""
    return lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount)


def stored_plate(folder):
    """Return the path by which rules declare the plates in a folder of the results: the root's metadata, or an archive.

    A shared folder has a plate as a folder of files; a storage provider moves it as one archive (`io/zipped.py`).
    """
    return f"<results>/{folder}/{{plate}}" + (zipped.SUFFIX if stored else ".zarr/zarr.json")


def if_stored(wanted):
    """Return `wanted` (an input function) where inputs travel through a store, else nothing."""
    return wanted if stored else []


def raw_images(wildcards):
    """Return the folder of a plate's raw images; none in an object store. Only the demo's modification time counts."""
    folder = plates.loc[wildcards.plate, "images"]
    of_sites = site_arrays.plate_of(folder)
    folder = of_sites[0] if of_sites else folder
    if not imaged or object_store.is_url(folder):
        return []
    return folder if wildcards.plate in simulated else ancient(folder)


def survey_options(wildcards):
    """Return the section `survey` without the exclusion file; `digest_of_exclusions` adds the lines of the plate.

    Without a shared folder the job reads the file among the sources of the run, by its path.
    """
    return {**config["survey"], "exclusions": settings.survey.exclusions if stored else None}


def profile_options(wildcards):
    """Return the section `profile` with `single_cell` off, since it adds jobs and changes no profile of a well."""
    return {**config["profile"], "single_cell": False}


def pixel_rules(wildcards):
    """Return the keys of the section index by which raw pixels are read."""
    return {key: config["index"][key] for key in ("range", "absent_chunks")}


def listed_exclusions(wildcards):
    """Return the exclusion file if it names the plate; its lines count (`digest_of_exclusions`), its time does not."""
    return ancient(settings.survey.exclusions) if digest_of_exclusions(wildcards) and not stored else []


def digest_of_exclusions(wildcards):
    """Return the digest of the lines of the exclusion file about the plate, None if there are none."""
    return exclusions.digest(listed, wildcards.plate)


def plate_map(wildcards):
    """Return the plate's platemap; a simulated plate has it in its folder of images.

    Without a shared folder the main process indexes the plate, so that a platemap needs no copy in the store.
    """
    platemap = plates.loc[wildcards.plate, "platemap"]
    return [] if wildcards.plate in simulated else local(platemap) if stored else platemap


def by_time(wildcards):
    """Return whether the plate is one of several time points, so that its profiles have `Metadata_Timepoint`."""
    return bool(plates.loc[wildcards.plate, "timepoint"])


def of_sheet(column):
    """Return a function of the job: the value of its plate in a column of the sheet."""
    return lambda wildcards: plates.loc[wildcards.plate, column]


def sheet_row(wildcards):
    """Return the plate's row of the sheet; without images where the screen has no fields."""
    row = plates.loc[wildcards.plate].to_dict()
    return row if imaged else {**row, "images": ""}


def table_of_crops(wildcards):
    """Return the table of the plate's ready-made crops."""
    return str(table_of(settings.crops.given, plates.loc[wildcards.plate, "images"], wildcards.plate))


def keys_of_crops(wildcards):
    """Return the keys of the config by which ready-made crops are packed."""
    return crop_settings.chosen(config)


def of_plates(pattern, names=None):
    """Return an input function: `pattern` for each plate of `names` (default: all), with the job's other wildcards."""
    return lambda wildcards: [pattern.format(plate=name, **wildcards) for name in (names or plates.index)]


def of_light_path(pattern):
    """Return an input function: `pattern` for each plate that shares the light path of the job."""
    return lambda wildcards: [pattern.format(plate=name) for name in plates.index[plates["optics"] == wildcards.optics]]


def beside(pattern):
    """Return a function of the job: `pattern` for each plate of its microscope that has another light path."""

    def found(wildcards):
        own = plates["optics"] == wildcards.optics
        microscopes = set(plates.loc[own, "microscope"]) - {""}
        chosen = plates[plates["microscope"].isin(microscopes) & ~own]
        return [pattern.format(plate=name, optics=optics) for name, optics in chosen["optics"].items()]

    return found


def given_flat_fields(wildcards):
    """Return the flat-field files of the config, which must exist; none if flat fields are estimated."""
    if settings.illumination.method != "given":
        return []
    files = given.files(settings.illumination.given, optics=wildcards.optics, channels=settings.channels)
    return [str(path) for path in files]


def illumination_of(wildcards):
    """Return the flat and dark field of the plate's light path."""
    return f"<results>/illumination/{plates.loc[wildcards.plate, 'optics']}.npz"


def if_view(kind, pattern, names=None):
    """Return an input function: as `of_plates` if the job's encoder takes views of `kind` (tile or cell), else nothing."""
    wanted = of_plates(pattern, names)
    return lambda wildcards: wanted(wildcards) if view(wildcards) == kind else []


def cell_weights(wildcards):
    """Return Cellpose's weights files, which must exist; none if cells are segmented without networks."""
    if not networked or stored:  # weights are in the image of the jobs, at the path of the config
        return []
    weights = config["cells"]["cellpose"]["weights"]
    return [ancient(str(path)) for path in model_files.named(weights, key="cells.cellpose.weights")]


def encoder_weights(wildcards):
    """Return the file of weights that the job's encoder starts from; its sha256 in the config counts, not its time.

    A file of an installed package is no input, since its place depends on the environment of the job.
    """
    weights = settings.encoders[wildcards.encoder].weights
    return [] if weights is None or is_packaged(weights.path) or stored else ancient(weights.path)


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


def if_imaged(wanted):
    """Return `wanted` (an input or input function) in a screen with images, nothing in a screen of tables only."""
    return wanted if imaged else []


def if_seeing(wanted):
    """Return `wanted` (an input or input function) in a screen with images or crops, nothing in one of tables only."""
    return wanted if seeing else []


def if_cropped(wanted):
    """Return `wanted` (an input or input function) in a screen with crops of cells, else nothing."""
    return wanted if segmented or ready else []


def if_ready(wanted):
    """Return `wanted` (an input or input function) in a screen of ready-made crops, else nothing."""
    return wanted if ready else []


def if_masked(wanted):
    """Return `wanted` (an input) if the surroundings of a cell are masked in its crops, else nothing."""
    return wanted if settings.crops.neighbours == "masked" else []


def if_exported(format, wanted):
    """Return `wanted` (an output) if its format is exported, else nothing."""
    return wanted if format in settings.export.formats else []


def if_single_cells(pattern):
    """Return `pattern` for each encoder of cells if profiles of single cells are wanted, else nothing."""
    return [pattern.format(encoder=name) for name in celled] if settings.profile.single_cell else []


def cells_of_plates(pattern):
    """Return `pattern` for each encoder of cells and plate if profiles of single cells are wanted, else nothing."""
    found = if_single_cells(pattern.replace("{plate}", "{{plate}}"))
    return [each.format(plate=name) for each in found for name in plates.index]


def if_segmented(wanted):
    """Return `wanted` if cells are segmented, else nothing."""
    return wanted if segmented else []


def seen(wildcards):
    """Return whether the job's encoder reads fields; a foreign table and ready-made crops do not."""
    return imaged and wildcards.encoder not in foreign


def foreign_table(wildcards):
    """Return the file of a foreign table that has the job's plate."""
    return settings.encoders[wildcards.encoder].files.replace("{plate}", wildcards.plate)


def if_trained(wanted):
    """Return an input function: as the input function `wanted` if the job's encoder is trained, else nothing."""
    return lambda wildcards: wanted(wildcards) if trains(settings.encoders[wildcards.encoder]) else []


def labelled(wildcards):
    """Return whether the training of the job's encoder reads the treatments of wells."""
    entry = settings.encoders[wildcards.encoder]
    return trains(entry) and entry.local_aggregation.positives != "site"


def if_labelled(wanted):
    """Return an input function: as the input function `wanted` if the job's encoder reads treatments, else nothing."""
    return lambda wildcards: wanted(wildcards) if labelled(wildcards) else []


def heldout_of(wildcards):
    """Return the folds and the fold of compounds that the job's encoder is judged on, or None for all compounds."""
    aggregation = settings.encoders[wildcards.encoder].local_aggregation
    return None if aggregation.heldout is None else [aggregation.heldout_folds, aggregation.heldout_fold]


def view(wildcards):
    """Return the views of the job's encoder: `tile` or `cell`; of a foreign table also `well`."""
    return settings.encoders[wildcards.encoder].view.kind


def gpus(wildcards):
    """Return the GPUs per node that train the job's encoder; an encoder that is not trained needs one."""
    return settings.train.gpus if trains(settings.encoders[wildcards.encoder]) else 1


def per_gpu(amount, beside=0):
    """Return a function of the job: `amount` per GPU of a node that trains its encoder, plus `beside`."""
    return lambda wildcards: beside + amount * gpus(wildcards)


def nodes(wildcards):
    """Return the nodes that train the job's encoder; None for one node, so that the resource is not requested."""
    count = settings.train.nodes if trains(settings.encoders[wildcards.encoder]) else 1
    return count if count > 1 else None


def gpus_of_job(wildcards):
    """Return the GPUs of a job on one node; 0 on several nodes, for which SLURM reads the GPUs per node from `gres`."""
    return 0 if nodes(wildcards) else gpus(wildcards)


def gpus_of_node(wildcards):
    """Return the GPUs per node as SLURM's `gres` on several nodes, None on one node."""
    return f"gpu:{gpus(wildcards)}" if nodes(wildcards) else None


def encoder_of(wildcards):
    """Return the config entry of the job's encoder."""
    return config["encoders"][wildcards.encoder]


def channels_of(wildcards):
    """Return the channels that the job's encoder takes, in their order."""
    return list(settings.encoders[wildcards.encoder].channels or settings.channels)


def source_of_network(wildcards):
    """Return the digest of the source of the job's encoder if it is of kind module, else None."""
    return source_of(config["encoders"][wildcards.encoder], name=wildcards.encoder)


def claim_results():
    """Refuse to write into the results of another screen, before the first job of a run that has outputs."""
    if any(job.output for job in workflow.dag.needrun_jobs()):
        ownership.claim(workflow.pathvars.apply("<results>"), Path.cwd())


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
        print(f"{len(found)} jobs failed (listed in {path}):\n{failures.words(found)}", file=sys.stderr)


def print_outcome(since=0.0):
    """Print the path of the page, the number of active treatments and what was left out, if this run has a report."""
    line = outcome(workflow.pathvars.apply("<results>/report"), since=since)
    if line is not None and any(job.rule.name == "report" for job in workflow.dag.jobs):
        print(line, file=sys.stderr)
