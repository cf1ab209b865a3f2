"""Common: the library's path, the config and the sheet, checked, and the few functions that rules ask for their inputs.

No other rule file knows the config or the sheet, and no rule file holds a function.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml


def folder_of(source):
    """Return the folder `workflow` of the clone that a rule file is of.

    Where a module names a tag of a repository, as snakedeploy does, Snakemake fetches rules and scripts one by one out of
    its copy of the repository; the library and what it reads are put into `.snakemake` of the working directory.
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
# For the scripts, which are processes of their own: this library, not one of another clone that is installed.
os.environ.update(PYTHONPATH=os.pathsep.join([str(here / "lib"), *filter(None, [os.environ.get("PYTHONPATH")])]))

# Threads that wait by spinning starve the jobs beside them: training slowed down tenfold next to other jobs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from wellspring.cells.model_files import named
from wellspring.encoders.factory import source_of
from wellspring.illumination import given
from wellspring.io import object_store
from wellspring.screen import exclusions, sheet
from wellspring.screen.config import check_roles, needs_images, resolve, steps_of, trains
from wellspring.simulate.screen import screen_of
from wellspring.workflow import failures, ownership
from wellspring.workflow.code_digest import age
from wellspring.workflow.code_digest import code as digest_of_code
from wellspring.workflow.wildcards import one_of

age(here / "scripts")

config.update(resolve({key: value for key, value in config.items() if key != "pathvars"}))
os.environ.update(object_store.environment(config["index"]["object_store"]))
demo_screen = yaml.safe_load(Path(workflow.source_path("../../resources/demo/screen.yaml")).read_text())
demo = tuple(screen_of(demo_screen, where="resources/demo/screen.yaml").plates)
demo_folder = Path(workflow.pathvars.apply("<results>/demo"))
imaged = needs_images(config)
plates = sheet.read(config["plates"], demo=demo_folder, simulated=demo, images=imaged)
check_roles(config, plates["role"].to_dict())
listed = exclusions.read(config["survey"]["exclusions"])
exclusions.check(listed, sheet.names(config["plates"]))
encoders = list(config["encoders"])
classical = [name for name in encoders if config["encoders"][name]["kind"] == "classical"]
foreign = [name for name in encoders if config["encoders"][name]["kind"] == "table"]
learned = [name for name in encoders if name not in (*classical, *foreign)]
segmented = imaged and config["cells"]["activate"]
networked = segmented and config["cells"]["method"] == "cellpose"
fitted = plates.index[plates["role"] == "fit"].tolist()
simulated = [
    name
    for name in plates.index
    if imaged and Path(plates.loc[name, "images"]).resolve() == (demo_folder / name).resolve()
]


wildcard_constraints:
    plate=one_of(plates.index),
    optics=one_of(plates["optics"]),
    encoder=one_of(encoders),


def code(script, *also):
    """Return the digest of a script, the library code behind it and files beside it; None when it is not tracked."""
    return (
        digest_of_code(here / "scripts" / f"{script}.py", *(here / file for file in also))
        if config["track_code"]
        else None
    )


def fitting(environment):
    """Return the conda environment of a stage that fits the alignment: another where a step needs Harmony's package."""
    return "../../envs/harmony.yaml" if "harmony" in steps_of(config) else environment


def scaled(amount):
    """Return a resource that grows with each retry: `amount` (or what it gives for the job), twice and three times of it."""
    return lambda wildcards, attempt: attempt * (amount(wildcards) if callable(amount) else amount)


def raw_images(wildcards):
    """Return the folder of a plate's raw images, none where a store has them; only the demo's are made and remade."""
    folder = plates.loc[wildcards.plate, "images"]
    if not imaged or object_store.is_url(folder):
        return []
    return folder if wildcards.plate in simulated else ancient(folder)


def survey_options(wildcards):
    """Return how a plate is surveyed; what a person said of images counts by its lines about the plate alone."""
    return {**config["survey"], "exclusions": None}


def listed_verdicts(wildcards):
    """Return the file in which a person said something of the plate, if any; its time does not count, its lines do."""
    return ancient(config["survey"]["exclusions"]) if digest_of_verdicts(wildcards) else []


def digest_of_verdicts(wildcards):
    """Return the digest of what a person said of the plate's images, None where nothing was said."""
    return exclusions.digest(listed, wildcards.plate)


def plate_map(wildcards):
    """Return the plate's platemap; that of a simulated plate lies in its folder and comes with it."""
    return [] if wildcards.plate in simulated else plates.loc[wildcards.plate, "platemap"]


def of_sheet(column):
    """Return a function of the job: what the sheet says of its plate in `column`."""
    return lambda wildcards: plates.loc[wildcards.plate, column]


def sheet_row(wildcards):
    """Return what the sheet says of the plate."""
    return plates.loc[wildcards.plate].to_dict()


def of_plates(pattern, names=None):
    """Return an input function: `pattern` for each plate of `names` (default: all), other wildcards as in the job."""
    return lambda wildcards: [pattern.format(plate=name, **wildcards) for name in (names or plates.index)]


def of_light_path(pattern):
    """Return an input function: `pattern` for each plate that shares the light path of the job."""
    return lambda wildcards: [pattern.format(plate=name) for name in plates.index[plates["optics"] == wildcards.optics]]


def given_flat_fields(wildcards):
    """Return the files of flat fields that the config gives, which must be there; none where they are estimated."""
    options, names = config["illumination"], {"optics": wildcards.optics, "channels": config["channels"]}
    return [str(path) for path in given.files(options["given"], **names)] if options["method"] == "given" else []


def illumination_of(wildcards):
    """Return the flat and dark field of the plate's light path."""
    return f"<results>/illumination/{plates.loc[wildcards.plate, 'optics']}.npz"


def if_view(kind, pattern, names=None):
    """Return an input function: as `of_plates` when the job's encoder looks at `kind` (tile or cell), nothing otherwise."""
    wanted = of_plates(pattern, names)
    return lambda wildcards: wanted(wildcards) if view(wildcards) == kind else []


def cell_weights(wildcards):
    """Return the files of weights that segment cells, which must be there; none without networks."""
    weights = config["cells"]["cellpose"]["weights"]
    return [ancient(str(path)) for path in named(weights, key="cells.cellpose.weights")] if networked else []


def if_imaged(wanted):
    """Return `wanted`, an input or a function of the job, in a screen with images, nothing in one of tables only."""
    return wanted if imaged else []


def if_masked(wanted):
    """Return `wanted`, an input, when what is around a cell is masked in its squares, nothing otherwise."""
    return wanted if config["crops"]["neighbours"] == "masked" else []


def if_exported(format, wanted):
    """Return `wanted`, an output, when it is of a format that is exported, nothing otherwise."""
    return wanted if format in config["export"]["formats"] else []


def seen(wildcards):
    """Return whether the job's encoder looks at the plate's images, which a foreign table does not."""
    return wildcards.encoder not in foreign


def foreign_table(wildcards):
    """Return the file of a foreign table that holds the job's plate."""
    return config["encoders"][wildcards.encoder]["files"].replace("{plate}", wildcards.plate)


def if_trained(wanted):
    """Return an input function: as the input function `wanted` when the job's encoder is trained, nothing otherwise."""
    return lambda wildcards: wanted(wildcards) if trains(config["encoders"][wildcards.encoder]) else []


def view(wildcards):
    """Return what the job's encoder looks at: `tile` or `cell`; of a foreign table, also `well`."""
    return config["encoders"][wildcards.encoder]["view"]["kind"]


def gpus(wildcards):
    """Return the GPUs of a node that train the job's encoder; one that is not trained needs no more than one."""
    return config["train"]["gpus"] if trains(config["encoders"][wildcards.encoder]) else 1


def per_gpu(amount, beside=0):
    """Return a function of the job: `amount` for each GPU of a node that trains its encoder, and `beside` once."""
    return lambda wildcards: beside + amount * gpus(wildcards)


def nodes(wildcards):
    """Return the nodes that train the job's encoder, None where it is one, so that nothing is asked for."""
    count = config["train"]["nodes"] if trains(config["encoders"][wildcards.encoder]) else 1
    return count if count > 1 else None


def gpus_of_job(wildcards):
    """Return the GPUs of a job on one node. On several 0: SLURM then takes those of a node from `gres`."""
    return 0 if nodes(wildcards) else gpus(wildcards)


def gpus_of_node(wildcards):
    """Return the GPUs of each of several nodes as SLURM's `gres`, None for one node."""
    return f"gpu:{gpus(wildcards)}" if nodes(wildcards) else None


def encoder_of(wildcards):
    """Return the config entry of the job's encoder."""
    return config["encoders"][wildcards.encoder]


def source_of_network(wildcards):
    """Return the digest of the source of the job's encoder where it is a network of one's own, None otherwise."""
    return source_of(config["encoders"][wildcards.encoder], name=wildcards.encoder)


def claim_results():
    """Refuse the results of another screen, before the first job of a run that makes any."""
    if any(job.output for job in workflow.dag.needrun_jobs()):
        ownership.claim(workflow.pathvars.apply("<results>"), Path.cwd())


def failed_jobs():
    """Return the jobs of this run that failed in their last attempt, as the ledger takes them."""
    return [
        failures.Failure(
            job.rule.name, job.wildcards_dict, [str(log) for log in job.log], next(map(str, job.output), "")
        )
        for job in workflow.scheduler.failed
    ]


def note_failures():
    """Bring the ledger up to date after a run, and print what failed in it."""
    path = workflow.pathvars.apply("<results>/failures.tsv")
    names = [*plates.index, *plates["optics"], *encoders]
    found = failures.update(path, failed_jobs(), names=names, slurm=".snakemake/slurm_logs")
    if len(found):
        print(f"{len(found)} jobs failed, as {path} says:\n{failures.words(found)}", file=sys.stderr)
