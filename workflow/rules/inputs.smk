"""Inputs: define the functions by which rules choose their inputs, parameters and resources.

They read `config`, `settings` and `plates`, which `common.smk` defines.
"""

from functools import cache
from wellspring.cells import model_files
from wellspring.cells.ready import settings as crop_settings
from wellspring.cells.ready.listing import table_of
from wellspring.encoders.factory import source_of
from wellspring.illumination import given
from wellspring.io import object_store, site_arrays, zipped
from wellspring.io.packaged import is_packaged
from wellspring.io.shipped import REPORT_TEMPLATES, REPORT_WORDING
from wellspring.screen.config_checks import steps_of
from wellspring.workflow import containers
from wellspring.workflow.beside import FITTED, few_wells, plates_beside


def fitting(environment):
    """Return the conda environment of a stage that fits the alignment; a step of Harmony needs its own."""
    return "../../envs/harmony.yaml" if "harmony" in steps_of(settings.fit) else environment


def image(environment):
    """Return the image of a conda environment, which jobs take with `--software-deployment-method apptainer` only."""
    return containers.image(environment, where=os.environ.get("WELLSPRING_IMAGES"))


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


def simulated_plate():
    """Return the output of `simulate`: a folder, or an archive, since a store of objects has no folders."""
    folder = "<results>/demo/{plate}"
    return folder + zipped.RAW if stored else directory(folder)


def raw_images(wildcards):
    """Return the folder of a plate's raw images; none in an object store. Only the demo's modification time counts.

    Without a shared folder the demo's plates travel as archives.
    """
    folder = plates.loc[wildcards.plate, "images"]
    of_sites = site_arrays.plate_of(folder)
    folder = of_sites[0] if of_sites else folder
    if not imaged or object_store.is_url(folder):
        return []
    if wildcards.plate in simulated:
        return folder + zipped.RAW if stored else folder
    return ancient(folder)


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


@cache  # a plan and its jobs need one answer, whatever becomes of the file
def few(platemap):
    """Return whether a plate has few wells by its platemap; not known of one that a job makes or a store has."""
    made = platemap in set(plates.loc[simulated, "platemap"])
    return not stored and not made and few_wells(platemap)


def beside(pattern):
    """Return a function of the job: `pattern` for each plate that its light path may be pooled with."""

    def found(wildcards):
        if settings.illumination.method not in FITTED:
            return []
        names = plates_beside(plates, wildcards.optics, few=few)
        return [pattern.format(plate=name, optics=plates.loc[name, "optics"]) for name in names]

    return found


def given_flat_fields(wildcards):
    """Return the flat-field files of the config, which must exist; none if flat fields are estimated."""
    if settings.illumination.method != "given":
        return []
    files = given.files(settings.illumination.given, optics=wildcards.optics, channels=panel_of_light(wildcards))
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


def panel_of(wildcards):
    """Return the channels of the job's plate."""
    return panels.of(plates.loc[wildcards.plate], settings.channels)


def panel_of_light(wildcards):
    """Return the channels that plates of the job's light path have."""
    mine = [panels.of(row, settings.channels) for row in plates.to_dict("records") if row["optics"] == wildcards.optics]
    return [name for name in settings.channels if any(name in panel for panel in mine)]


def channels_of(wildcards):
    """Return the channels that the job's encoder takes, in their order."""
    return list(settings.encoders[wildcards.encoder].channels or settings.channels)


def source_of_network(wildcards):
    """Return the digest of the source of the job's encoder if it is of kind module, else None."""
    return source_of(config["encoders"][wildcards.encoder], name=wildcards.encoder)
