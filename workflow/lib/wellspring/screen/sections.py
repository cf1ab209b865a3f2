"""The config's sections as frozen dataclasses.

Generated from `workflow/schemas/config` by `python -m wellspring.screen.config_docs`; edit there. Field names are the
keys of `config/config.yaml`. `read` builds an instance from a complete mapping, `wellspring.screen.config.default`
from the defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wellspring.screen.section_reader import read

__all__ = [
    "Adversary",
    "Augmentation",
    "Cellpose",
    "CellposeDiameters",
    "CellposeWeights",
    "Cells",
    "Config",
    "Crops",
    "Distillation",
    "Embed",
    "Encoder",
    "EncoderWeights",
    "Evaluate",
    "Export",
    "Family",
    "Fit",
    "Flag",
    "GivenCrops",
    "Ibot",
    "Illumination",
    "Images",
    "Index",
    "LocalAggregation",
    "Measure",
    "MetricName",
    "Nuisance",
    "ObjectStore",
    "Outliers",
    "Profile",
    "Projector",
    "Report",
    "Step",
    "StepEntry",
    "Survey",
    "Train",
    "View",
    "WeightsFile",
    "read",
]

Nuisance = Literal["plate", "row", "column"]
Flag = Literal["border", "small", "large", "unmatched", "dim", "bright", "blurred"]
Family = Literal["intensity", "shape", "texture", "granularity", "radial", "correlation", "costes", "neighbours"]
Step = Literal["select", "sphere", "coral", "well_position", "cell_count", "rank_normal", "standardize", "harmony"]
StepEntry = Step | Mapping[str, Mapping[str, object]]
MetricName = Literal[
    "replicates",
    "mechanisms",
    "nuisance",
    "mixing",
    "transfer",
    "dose",
    "activity",
    "activity.retrieved",
    "activity.adjusted",
    "grit",
    "grit.mechanism",
    "nuisance.batch",
    "nuisance.plate",
    "nuisance.row",
    "nuisance.column",
    "nuisance.edge",
    "mixing.kbet",
    "mixing.ilisi",
    "mixing.silhouette",
    "replicating",
    "consistency",
    "consistency.retrieved",
    "mechanisms.retrieved",
    "matching",
    "nsc",
    "nscb",
    "hit",
    "precision",
    "enrichment",
    "clisi",
    "connectivity",
    "nsc.drop",
    "dose.spearman",
    "dose.z_prime",
]


@dataclass(frozen=True)
class View:
    """The views that the network takes."""

    kind: Literal["tile", "cell", "well"]
    """`tile`: squares of the field (SSLProfiler). `cell`: squares around cells; needs `cells.activate`. null is cell
    for classical, which measures the cells themselves, and tile for the others. Of a table, what its rows are: `well`
    (null), one profile per well, or `cell` and `tile`, which are aggregated as those of other encoders. Default:
    null."""

    size: int
    """Edge of a view, px. For cells: the square that the network sees, cut from the middle of the packed crop
    (`crops.size` should leave room for rotation: 1.3 times this size). For tiles: the block of the field in which crops
    are drawn, and the tile that is embedded; 224 is the usual input of ViTs, at native resolution since cell size is
    signal. Default: 224."""

    embedded: int | None
    """Edge of the square that is embedded, px; it is resized to the network's input. null: for tiles, the edge at which
    the magnification is the mean magnification of the crops in training (with crops at native resolution, the edge of
    the network's input); for cells, `view.size`. If the magnifications of training and embedding differ by more than a
    factor of 1.25 and no edge is given here, both are refused. Default: null."""

    pixels: Literal["plate", "view", "range"]
    """The pixels that have mean 0 and standard deviation 1. `plate`: those of a channel and plate, so that intensity
    within a plate is signal. `view`: those of each channel of each view, which removes brightness and contrast of a
    view. Frozen models need the normalisation of their training: `view` for Cell-DINO, DINO4Cells, MorphEm and
    OpenPhenom. `range`: the smallest and the largest pixel of each view, over its channels, become 0 and 1, as for
    SubCell; for encoders that are not trained here. Default: "plate"."""

    window: float | None
    """Width (sigma, px) of a Gaussian window that fades a cell's surroundings; null for none. For views of cells:
    simclr fades each of its views, which keep the cell in the middle; sslprofiler and dino fade the view before crops
    are drawn in it. Default: null."""


@dataclass(frozen=True)
class EncoderWeights:
    """A local file of weights to start from; null is from scratch, which timm refuses."""

    path: str
    """Absolute path of the file, or `package:MODULE/FILE` for a file inside an installed Python package (safetensors,
    or a PyTorch file of tensors, bare or within `state_dict`, `model`, `teacher`; with timm's names, or those of
    torchvision's ResNets and ViTs, DINO, DINOv2, DINOv3, Hugging Face's ViTs and efficientnet_pytorch). The kernels of
    a stem for three colours are averaged, replicated and scaled by 3 / channels. Mind the licence of weights. `weights:
    null` is from scratch, which timm refuses."""

    sha256: str
    """Its sha256, checked before any job and again before the file is loaded. Write a path alone, and `snakemake check`
    prints both lines for copying."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes by which views differ from their image."""

    preset: Literal["sslprofiler", "perakis", "perakis_strong", "flips", "cells"] | None
    """`sslprofiler`: channel-aware colour, microscope noise, elastic deformation. `perakis`: as released;
    `perakis_strong`: with the jitter that the released code defines but does not use. `flips`: flips and right angles
    only, the baseline of the ablation. `cells`: cells at native size with varied staining, focus and noise. null is
    `cells` for cells and `sslprofiler` for tiles. Default: null."""

    overrides: Mapping[str, float | str | bool | tuple[float, ...]]
    """Single strengths of the preset, e.g. `{elastic: 0}`, or `{crop: native}` for crops at native resolution, where
    cell size is signal (CellPaintSSL); their names are those of wellspring.train.augment.Recipe. Default: {}."""

    ramp: float
    """Share of the steps over which the strengths of colour, noise and elastic deformation rise from 0 to those of the
    preset. Random features of strongly augmented views mostly describe the augmentation, so that the distributions of
    an untrained teacher soon become flat: with `cells` from the first step, sslprofiler did not recover in 150 steps;
    with a ramp, it learned (measured). Default: 0."""


@dataclass(frozen=True)
class LocalAggregation:
    """Brings the features of the sites of a well together.

    The sites also share position and plate, so check the nuisance metrics.
    """

    kind: Literal["none", "pair", "aggregate"] | None
    """`pair`: views of a site are matched with those of the well's other sites. In a prototype it raised consistency
    from 0.68 to 0.88 (simclr). `aggregate` (sslprofiler, dino): the student's local crops of all drawn sites of a well
    are pooled and matched with the teacher's mean over them. `none` switches it off (the ablation). null is `pair`, and
    `none` for dino. Default: null."""

    sites_per_well: int
    """Sites of a well in a batch; two is the smallest number that can be matched. With more, a batch has fewer wells. A
    well with fewer sites contributes several places of one site. Default: 2."""

    positives: Literal["site", "well", "treatment"]
    """The images that are matched. `site`: sites of a well, without labels. `well`: wells of one treatment on one
    plate. `treatment`: wells of one treatment on any plate, as in weakly supervised training and alignment across
    wells. The last two read the platemap and raise the scores of the treatments that they read, so they need `heldout:
    compound`. Negative and positive controls are never used as labels. Default: "site"."""

    heldout: Literal["compound"] | None
    """With `compound`, training does not see the labels of the compounds of one fold, and the evaluation of this
    encoder judges only these compounds. The fold of a compound depends on its name alone; with one encoder per fold,
    all compounds are judged. Default: null."""

    heldout_folds: int
    """Number of these folds. Default: 2."""

    heldout_fold: int
    """The fold whose labels are withheld and that is judged, from 0. Default: 0."""

    pool: Literal["mean", "attention"]
    """How `aggregate` pools the crops of a well: their mean, or a mean weighted by one learned query (inferred; the
    published form is unknown). Default: "mean"."""

    weight: float
    """Weight of the term; the published one is unknown. Default: 1.0."""


@dataclass(frozen=True)
class Adversary:
    """Heads that predict plate and well position from the features, with a gradient that is reversed for the network.

    The network then loses this information (Ganin et al. 2016). Where treatment and position coincide, it also loses
    information on treatments.
    """

    weight: float
    """Weight of the reversed gradient; 0 means no adversary. Default: 0."""

    against: tuple[Nuisance, ...]
    """What the heads predict. Default: ["plate", "row", "column"]."""


@dataclass(frozen=True)
class Projector:
    """The head of simclr, left out of the encoder."""

    hidden: int
    """Width of the hidden layer; Perakis 2048. Default: 512."""

    out: int
    """Width of the projection; Perakis 256. Default: 128."""

    batch_norm: bool
    """Batch normalisation in the head; small networks did not learn without it (measured). Perakis has none. Default:
    true."""


@dataclass(frozen=True)
class Ibot:
    """Masked patches (iBOT).

    Some patches of the student's global crops are masked; it predicts the teacher's distributions for them.
    """

    weight: float | None
    """Weight of the term; null is 1 for sslprofiler (DINOv2) and 0 for dino and for stems other than widened. Needs a
    vision transformer, or a convolutional network of timm, for which places of the last map are predicted and pixels
    are masked (SimMIM); take a small step of this map for small crops (`backbone_options: {output_stride: 8}`).
    Default: null."""

    probability: float
    """Share of the global crops with a mask (DINOv2). Default: 0.5."""

    ratio: tuple[float, float]
    """Range of the share of a crop's patches that are masked, in blocks (DINOv2). Default: [0.1, 0.5]."""

    head: Literal["shared", "own"]
    """Whether patches have the head of whole crops (iBOT, DINOv2's default) or a separate head (DINOv2's largest
    models). Default: "shared"."""


@dataclass(frozen=True)
class Distillation:
    """Crops, heads and teacher of sslprofiler and dino."""

    global_count: int
    """Global crops, which the teacher sees too (DINO). Default: 2."""

    global_size: int
    """Their edge, px, the network's input (DINO). Default: 224."""

    global_scale: tuple[float, float]
    """Range of their share of the view's area (Cell-DINO). Default: [0.4, 1.0]."""

    local_count: int
    """Local crops (DINO). Default: 8."""

    local_size: int
    """Their edge, px (DINO); a multiple of a ViT's patch. Default: 96."""

    local_scale: tuple[float, float]
    """Range of their share of the view's area (DINO). Default: [0.05, 0.4]."""

    prototypes: int
    """Prototypes of the head. 65,536 for millions of images (DINO), 20,000 for some 1e5 (CellPaintSSL), 4,096 for small
    runs. Default: 4096."""

    hidden: int
    """Width of the head's hidden layers (DINO). Default: 2048."""

    bottleneck: int
    """Width before the prototypes (DINO). Default: 256."""

    batch_norm: bool
    """Batch normalisation in the head. Off as in DINO's ViTs; networks did not learn in a few hundred steps without it
    (measured). Default: false."""

    targets: Literal["centre", "sinkhorn"]
    """Protection of the teacher from collapse: centring (DINO) or three rounds of Sinkhorn-Knopp (DINOv2). Default:
    "centre"."""

    teacher_temperature: tuple[float, float]
    """Temperature of the teacher, at first and after its warm-up (DINO). Default: [0.04, 0.07]."""

    teacher_warmup: float
    """Share of the steps of that warm-up (30 of 100 epochs, DINO). Default: 0.3."""

    momentum: float
    """Momentum of the teacher, at first; it rises to 1 by a cosine (DINO). Lower for short runs. Default: 0.996."""

    centre_momentum: float
    """Momentum of the teacher's centre (DINO). Default: 0.9."""

    freeze_last: float
    """Share of the steps, from the first, in which the prototypes are not trained (1 of 100 epochs, DINO). Default:
    0.01."""

    ibot: Ibot
    """Masked patches (iBOT). Some patches of the student's global crops are masked; it predicts the teacher's
    distributions for them."""

    koleo: float | None
    """Weight of the nearest-neighbour entropy term, summed over global crops (DINOv2); null is 0.1 for sslprofiler
    (DINOv2) and 0 for dino. Default: null."""

    koleo_neighbours: Literal["images", "other_wells"]
    """The nearest neighbour from which KoLeo separates an image: among all images (DINOv2), or among images of other
    wells, so that the sites of a well, which local aggregation brings together, are not separated. Default:
    "images"."""

    drop_path: float
    """Share of the student's residual branches that are skipped (DINO, Cell-DINO). Default: 0.1."""


@dataclass(frozen=True)
class Encoder:
    """One encoder.

    `kind` is its training method; `like` inherits all keys that are not stated here from another entry, so that an
    untrained twin is `{like: NAME, steps: 0}`.
    """

    kind: Literal["sslprofiler", "dino", "simclr", "timm", "module", "intensity", "classical", "table"]
    """`sslprofiler`: a student follows a teacher across crops of a site, on masked patches, and across the sites of a
    well (reconstruction of Dai et al. 2025, arXiv 2506.14265). `dino`: the same without masked patches, KoLeo and local
    aggregation (Caron et al. 2021). `simclr`: two views of a cell are distinguished from other cells (Perakis et al.
    2021, arXiv 2103.16670). `timm`: a frozen model, from a local file of `weights`; by default its input has mean 0 and
    standard deviation 1 per plate and channel, as for all encoders, even if the model was trained with another
    normalisation (see `view.pixels`). `module`: a network of your own, from `factory`, trained by `objective` or
    frozen. `intensity`: mean, standard deviation and correlations of the channels of a view, the simplest baseline.
    `classical`: classical features of cells (cp_measure), without a network. `table`: profiles that another tool made
    (CellProfiler, JUMP, pycytominer, DeepProfiler), from `files`, without images. Any trained kind with `steps: 0` is
    untrained. Default: "sslprofiler"."""

    files: str | None
    """For table: a file, relative to the working directory; {plate} is replaced, without it one file holds all plates.
    Parquet, Feather, CSV (comma, semicolon or tab; UTF-8 or UTF-16; also compressed), recognised by content, or a
    folder of DeepProfiler's .npz files of a plate. A long table (`metric`, `value`) and a column of vectors are read
    too. Every other fact about a well comes from platemap and sheet. A screen whose encoders are all tables needs no
    images. Default: null."""

    columns: Mapping[str, str]
    """Names of the columns of a table, where they are not the usual ones. Default: {}."""

    features: tuple[str, ...]
    """For table, its features: regular expressions that match from the start of the name, so that a prefix is one, as
    `[Cells_, Nuclei_]`. Without any, a rule decides, which the log and the provenance name: columns of CellProfiler's
    compartments, else numbered columns of one stem (efficientnet_0), else numeric columns that are not known metadata.
    Positions, counts, times and row numbers are features only where an expression mentions them (`Cells_Location_`).
    Default: []."""

    factory: str | None
    """For module, the function that builds the network: `PACKAGE.MODULE:FUNCTION`, importable where Snakemake runs and
    in its jobs (by `PYTHONPATH`, for example), or `FILE.py:FUNCTION`, relative to the working directory. It is called
    with `channels` (number) and `size` (edge of the input, px) as keywords and returns a `torch.nn.Module` that maps
    images (B, channels, size, size) to features (B, D). An edit of the file, or of any `.py` file of the package,
    reruns training and embedding. Default: null."""

    arguments: Mapping[str, object]
    """For module, further keyword arguments of `factory`. Default: {}."""

    objective: Literal["frozen", "sslprofiler", "dino", "simclr"] | None
    """For module, how the network is trained; null is frozen, which embeds with the weights that the factory or
    `weights` gives. sslprofiler and dino need patch tokens (the protocol `wellspring.encoders.module.PatchTokens`).
    Settings that are null follow the objective. Default: null."""

    channels: tuple[str, ...]
    """The channels of the config's `channels` that the network takes, in this order; empty means all. Not for classical
    features and tables. Default: []."""

    inputs: tuple[str, ...]
    """For a frozen published model (timm or module) of fixed inputs: their names in the model's order, as `[red, green,
    blue]` or `[microtubules, protein, DNA, ER]`. Weights for another number of inputs are refused, not fitted. None
    means `channels`. Default: []."""

    channel_map: Mapping[str, str | tuple[str, ...] | None]
    """For each of `inputs`, the channel that is used for it, as `{protein: RNA, microtubules: AGP}`; a list such as
    `[AGP, Mito]` uses the mean; null sets the input to 0. An input that is not listed uses the channel of the same
    name. Default: {}."""

    seed: int | None
    """Seed for initialisation, batches and augmentation; null is the run's seed. Default: null."""

    view: View
    """The views that the network takes."""

    backbone: str
    """Any timm model, with as many input channels as `channels`. ViT-S/16 is the size of most published screens of this
    scale; Perakis uses resnet50. Default: "vit_small_patch16_224"."""

    backbone_options: Mapping[str, object]
    """Passed on to the timm model, for example `{embed_dim: 128, depth: 4, num_heads: 4, patch_size: 8}` for one that
    trains on a CPU. Default: {}."""

    weights: EncoderWeights | None
    """A local file of weights to start from; null is from scratch, which timm refuses."""

    stem: Literal["widened", "channelwise", "adaptive"]
    """How a network takes any number of channels. `widened`: all channels at once, with the kernels described at
    `weights`. `channelwise`: each channel passes through the network alone, as if it were a grey picture with three
    equal colours (kernels for colours are summed), and the features are concatenated (channels x features); the network
    stays as it was trained (uniDINO). `adaptive`: the same, but with the mean over channels, with learned gains per
    channel; training shows random subsets of the channels (ChannelViT), so that the encoder can embed panels that lack
    channels. Masked patches need `widened`. Default: "widened"."""

    steps: int | None
    """Steps of training; 0 keeps the initial network, the baseline for trained ones. The length is stated in steps and
    not in minutes, so that the result does not depend on the machine. null is 0 for timm and 20,000 for the others:
    with batches of 64 these are 1,280,000 images, about 170 epochs of 20 plates of 384 wells with one site each.
    Default: null."""

    batch: int
    """Images per step, before views are drawn; a multiple of local_aggregation.sites_per_well. Perakis takes 256; a
    batch of 64 is meant for ViT-S with ten crops on one GPU. Default: 64."""

    optimiser: Literal["adamw", "adam"]
    """AdamW as in DINO; Perakis uses Adam, whose weight decay is part of the gradient. Default: "adamw"."""

    lr: float | None
    """Peak learning rate. null is 5e-4 x batch / 256 for sslprofiler and dino (DINO; a number given here is scaled by
    the batch likewise), and 1e-3 for simclr (measured with small ViTs on a synthetic screen; Perakis takes 3e-4 with
    ResNets). Default: null."""

    weight_decay: float | tuple[float, float] | None
    """A number, or [first, last] of a cosine. null is [0.04, 0.4] for sslprofiler and dino (DINO) and 0.05 for simclr
    (Perakis 1e-5). Default: null."""

    warmup: float | None
    """Share of the steps in which the learning rate rises. null is 0.1 for sslprofiler and dino (10 of 100 epochs,
    DINO) and 0.06 for simclr. Default: null."""

    clip: float
    """Largest norm of the gradient (DINO, DINOv2). Default: 3.0."""

    temperature: float
    """Temperature of the student (DINO) and of the contrast (Perakis). Default: 0.1."""

    augmentation: Augmentation
    """Random changes by which views differ from their image."""

    local_aggregation: LocalAggregation
    """Brings the features of the sites of a well together. The sites also share position and plate, so check the
    nuisance metrics."""

    one_plate: bool
    """Draw each batch from one plate, so that the contrast cannot use the plate to separate cells. It was true in the
    setting that was measured for simclr; its effect was not measured separately from that of local aggregation.
    Default: false."""

    adversary: Adversary
    """Heads that predict plate and well position from the features, with a gradient that is reversed for the network.
    The network then loses this information (Ganin et al. 2016). Where treatment and position coincide, it also loses
    information on treatments."""

    projector: Projector
    """The head of simclr, left out of the encoder."""

    distillation: Distillation
    """Crops, heads and teacher of sslprofiler and dino."""


@dataclass(frozen=True)
class ObjectStore:
    """Object stores, for plates whose images are a URL (`s3://bucket/prefix`).

    Credentials come from the environment or the user's own files (`AWS_PROFILE`, `~/.aws`), never from here.
    """

    anonymous: bool
    """Read without credentials, as public buckets such as the Cell Painting Gallery allow. Default: true."""

    endpoint: str | None
    """Address of a store other than Amazon's, as `https://minio.example.org:9000`. Default: null."""


@dataclass(frozen=True)
class Index:
    """How the images of a plate are found and joined with its platemap."""

    reader: Literal[
        "auto",
        "pattern",
        "loaddata",
        "harmony",
        "imagexpress",
        "cellvoyager",
        "incell",
        "ometiff",
        "omezarr",
        "jumplite",
        "container",
        "flex",
    ]
    """auto chooses the reader that recognises the plate's folder, logs the choice, and stops if several do; pattern is
    used only if no other reader does. pattern: a regular expression reads the file names. loaddata: a CellProfiler
    LoadData table. harmony: Operetta and Phenix, Index.xml. imagexpress: MetaXpress, .HTD. cellvoyager: .mlf. incell:
    .xdce. container: Nikon ND2 and Leica LIF, with the packages nd2 and liffile, and Zeiss CZI. flex: Opera without an
    index. ometiff: OME-TIFF, single- and multi-file, with wells of its OME-XML or of index.pattern. omezarr: an
    OME-Zarr plate, zarr v2 or v3. jumplite: a store of one zarr array per site, as JUMP-Lite has. Default: "auto"."""

    pattern: str
    r"""Regular expression for the end of a file's path relative to the plate's folder, with the groups well (or row and
    column, or a number as well96, counted along the rows), and optionally plate, site, channel, plane and timepoint.
    The default reads names as `plate_A01_s1_w1.TIF`. Phenix and Operetta:
    `r(?P<row>[0-9]+)c(?P<column>[0-9]+)f(?P<site>[0-9]+)p(?P<plane>[0-9]+)-ch(?P<channel>[0-9]+)sk1fk1fl1\.tiff`.
    Default: "(?:.*_)?(?P<well>[A-Za-z]{1,2}[0-9]{1,2})_s(?P<site>[0-9]+)_(?P<channel>[A-Za-z0-9]+)\\.(?i:tiff?)"."""

    pages: Literal["single", "first", "channel", "plane"]
    """Meaning of the pages of a TIFF. single: a file is one plane; if files have several pages, their ImageJ metadata
    or the .HTD name them, and without either they are an error. first: only the first page counts. channel or plane,
    for the reader pattern: page n is channel or plane n. The reader ometiff reads it from the metadata. Default:
    "single"."""

    range: tuple[float, float] | None
    """Grey values that become 0 and 65535 in images that are not 8 or 16 bit unsigned (float32, int16, uint32), as `[0,
    1]`; those in between linearly. Nothing is clipped: an image with a value outside is excluded. null: images of such
    types are excluded. Default: null."""

    absent_chunks: Literal["auto", "zeros", "missing"]
    """Meaning of a chunk of an OME-Zarr array that has no file. missing: it is lost. zeros: the writer left it out
    because it is black. auto: zeros if the fill value is 0, the pixels around it are zeros and no stored chunk is all
    zeros, else lost. Default: "auto"."""

    loaddata: str | None
    """LoadData table (CSV, .gz or Parquet) for the reader of that name; {plate} is replaced; a URL, or relative to the
    working directory or to the plate's folder. Not needed if the sheet's column images names the table itself, or if
    the folder has a load_data.csv. Default: null."""

    moved: Mapping[str, str]
    """A folder as a LoadData table names it, and its present path, as `/home/ubuntu/run2: /data/{plate}_run2`. Needed
    only where the two folders have different names: a folder in the table whose name is neither that of the plate nor
    that of the plate's folder counts as another measurement, and its files count as missing. Default: {}."""

    timepoint: str | int | None
    """Time point to use, as the files name it. null: use the only time point; if there are several, an error lists
    them. all: each time point of a plate becomes a plate of its own, `PLATE_T<time point>`: profiles have a row per
    well and time point (Metadata_Timepoint), normalised on the controls of that time point, and consensus, activity and
    dose scores are by time point. The sheet's column `timepoint` chooses for a single plate. Default: null."""

    acquisition: str | int | None
    """Acquisition (measurement) of each plate to use, where it has several: its name in the metadata, or a folder of
    its images. null: use the only one; if there are several, an error lists them. Sub-folders are acquisitions too,
    unless index.pattern takes a well, site, channel, focal plane or time point from them, or their names state it with
    a word (`Row 2`, `DNA`, `w1`, not `1`). all: the sub-folders are parts of one measurement. Acquisitions of different
    channels that the metadata of one plate names are the cycles of one measurement and are joined; name channels of
    cycles as `DNA: DAPI@2` in index.channels to state it, or where several have one. Default: null."""

    roots: tuple[str, ...]
    """Absolute folders, or prefixes of URLs as `s3://cellpainting-gallery/cpg0016-jump`, that links in a plate's folder
    and paths in a vendor's or LoadData table may lead to. Nothing else outside of a plate's folder is opened. Default:
    []."""

    object_store: ObjectStore
    """Object stores, for plates whose images are a URL (`s3://bucket/prefix`). Credentials come from the environment or
    the user's own files (`AWS_PROFILE`, `~/.aws`), never from here."""

    channels: Mapping[str, str]
    """For each channel of the config, its name in the files, if they differ, as `DNA: w1`. Default: {}."""

    columns: Mapping[str, str]
    """For each column of the workflow, its name in the platemap, if that is not one of the usual names. Default: {}."""

    unit: str | None
    """Unit of concentrations in all tables and figures, as `uM`, `nM`, `ug/mL`; platemaps that state another unit are
    converted. null: as the platemaps state it, in the column's name (`conc_uM`), a column of units or the cells (`10
    nM`). Plates of different units, or with and without one, are an error. Default: null."""

    pert_types: Mapping[str, Literal["trt", "negcon", "poscon", "empty"]]
    """Type of well in the platemap to one of trt, negcon, poscon, empty, as `vehicle: negcon`. Default: {}."""

    negcon: tuple[str, ...]
    """Compounds that are negative controls in wells without a type in the platemap. DMSO is the usual vehicle. Default:
    ["DMSO"]."""

    poscon: tuple[str, ...]
    """Compounds that are positive controls in wells without a type in the platemap. Default: []."""

    sites: tuple[str, ...]
    """Sites that every well must have, as the files name them. Empty: a well must have the sites that its files or its
    export name, so that wells may have different numbers of sites; a warning gives the numbers. Default: []."""

    lost_wells: Literal["error", "report"]
    """What to do about wells that only the images or only the platemap contain, and about planes that are found twice.
    error stops and lists them. report lists them in the audit, keeps wells without images and planes found twice as
    rows without paths, and leaves out wells that the platemap lacks. Default: "error"."""


@dataclass(frozen=True)
class Outliers:
    """How far from the rest of its plate an image may be, by measure.

    A robust standard deviation is 1.4826 times the median absolute deviation. Null, for all of them, excludes none: a
    strong phenotype is far from the median too. In the demo, no image without a fault is more than 6 of them away in
    any measure.
    """

    focus: float | None
    """For the slope of the power spectrum, on the blurred side only: the number of robust standard deviations from the
    plate's median of a channel and plane beyond which an image is excluded. Default: null."""

    sharpness: float | None
    """The same for the sharpness, on the blurred side only. A field without cells has no value and is not counted as an
    outlier. Default: null."""

    mean: float | None
    """The same for the mean intensity, on both sides, as after a failed lamp or a doubled exposure. Default: null."""

    foreground: float | None
    """The same for the share of foreground, on both sides. A limit excludes wells that a toxic compound emptied,
    although these are results. Default: null."""


@dataclass(frozen=True)
class Survey:
    """Quality measures of every raw image, and the limits beyond which an image or a plate is left out."""

    pixel_size: float | None
    """Micrometres per pixel of all plates; null takes it from the export's metadata or else from the file's OME-XML.
    The resolution tags of other TIFFs are not used, since microscopes write the camera's or the screen's resolution
    there. Default: null."""

    view_edge: int
    """Bins along the shorter edge of the binned views. 64 bins resolve the shape of the illumination and groups of
    cells; the 17,280 images of a JUMP plate then take 280 MB. Default: 64."""

    saturation: float | None
    """Grey value from which a pixel is saturated, as 4095 for a 12-bit camera. null determines it: the largest value of
    the data type, or the largest value of the plate, channel or image if at least five times as many pixels have it as
    any value just below it. Default: null."""

    max_saturated: float
    """Share of saturated pixels above which an image is excluded. Cells in mitosis saturate far less than 1 % of the
    pixels, debris saturates more. Default: 0.01."""

    min_focus: float | None
    """Log-log slope of the power spectrum below which an image is excluded; of a stack, its best plane counts. null
    only measures and reports it: a well that a toxic compound emptied has a steep slope too but is a result, and noise
    makes the slope of strongly defocused images shallow again. min_sharpness has neither problem. Default: null."""

    min_sharpness: float | None
    """Share of the contrast within 8 pixels that is found within 3, below which an image is excluded; of a stack, its
    best plane counts. Straight edges have 0.29, smooth gradients 0.13. Noise and brightness do not change it; a
    reduction to one eighth of the cells changes it by a tenth of the effect of a blur of 2 pixels
    (benchmarks/sharpness.py). Usual values depend on stain and magnification: see the report's heatmap, then set the
    limit. null only measures it. Default: null."""

    outliers: Outliers
    """How far from the rest of its plate an image may be, by measure. A robust standard deviation is 1.4826 times the
    median absolute deviation. Null, for all of them, excludes none: a strong phenotype is far from the median too. In
    the demo, no image without a fault is more than 6 of them away in any measure."""

    exclusions: str | None
    """Your own list: a tab-separated file with the columns plate, well, site, verdict (`exclude` or `keep`) and reason;
    an empty site means the whole well, an empty well the whole plate, and `#` begins a comment. Surveys write their
    exclusions in this form (`results/survey/{plate}.excluded.tsv`), so you can concatenate and edit these. An edit
    repeats the survey of only those plates whose lines change. `keep` overrides limits, but not a missing or damaged
    image. Default: null."""

    max_excluded: float
    """Share of excluded sites above which the whole plate is left out. The default has no source in the literature;
    check it in the report. Default: 0.2."""


@dataclass(frozen=True)
class Illumination:
    """How flat and dark field of a light path are estimated."""

    method: Literal["basic", "median", "given", "none"]
    """basic: smooth flat and dark field by low rank and sparse parts, after Peng et al. 2017. median: the
    median-filtered mean over fields of the JUMP pipelines, after an even dark field. given: the files of `given`. none:
    no correction. On sets of 64 simulated fields, the relative error of the flat field is 0.006 to 0.024 by basic,
    0.066 to 0.81 by JUMP's method and 0.20 to 0.21 by none (benchmarks/illumination.py). Default: "basic"."""

    given: str | None
    """With the method given, the path of flat fields at full size: .npy files, with {optics} and {channel} for the
    names of light path and channel, as `illum/{optics}/{optics}_Illum{channel}.npy`, or a Harmony Index.xml with its
    profiles. Default: null."""

    offset: Literal["estimate"] | float
    """Counts that the camera adds to every pixel, if known from a dark image (100 for most sCMOS cameras), or estimate:
    an even or tilted dark field, if fields outside the fit confirm it. With the method given, estimate means 0.
    Default: "estimate"."""

    max_gain: float
    """Largest factor by which an estimated flat field multiplies a pixel, and the inverse of the smallest. Light falls
    by the fourth power of the cosine towards the edge of a lens, which is a factor of 2 to 3 in the corners of real
    plates; a darker corner is a well's wall, and a larger factor amplifies mainly noise there. Default: 4."""

    apply: Literal["auto", "always"]
    """auto: a channel is corrected only if wells that were not used for the estimate become more even, by the 95 %
    interval of the change of their background or of their objects, and the other interval does not show that they
    become less even. Otherwise its pixels stay as they are, and report, log and the plate's table give the reason.
    always: every channel is corrected. Flat fields of the method given are applied unless wells become less even.
    Default: "auto"."""


@dataclass(frozen=True)
class Images:
    """How corrected pixels are stored, and the intensity scale of a plate's channels.

    The store is OME-Zarr (NGFF 0.5): a field is one array of 16 bit in one shard, its chunks 360 px wide, compressed by
    Blosc (Zstandard at level 1 after bitshuffle); with metadata and a second resolution level (1/4 of the edges) 5
    files per field. No other setting that was tried is as small and as fast (benchmarks/compression.py).
    """

    projection: Literal["max", "mean", "sharpest", "plane"]
    """How the focal planes of a site are combined. max is usual for confocal stacks of cells; mean keeps intensities in
    proportion to the content of the stack; sharpest takes, by site and channel, the plane of greatest `sharpness` in
    the survey, for stacks of a widefield microscope; plane takes the one that `plane` names. Default: "max"."""

    plane: str | int | None
    """Name of the focal plane that `projection` plane takes, as the column Metadata_Plane of the index has it. Default:
    null."""

    low: float
    """Share of a plate's pixels below the grey value that becomes 0; every fourth row of pixels of each field is
    counted. Default: 0.001."""

    high: float
    """Share of a plate's pixels below the grey value that becomes 1. It is computed per plate, since stains differ
    between plates. Default: 0.999."""


@dataclass(frozen=True)
class WeightsFile:
    """A local weights file, verified before it is loaded."""

    path: str | None
    """Weights that find nuclei on the channel `nuclei`: absolute path of a file of Cellpose 4. `snakemake weights`
    fetches Cellpose-SAM on a machine with a network and prints this line and the next. A model name is refused, because
    Cellpose would download the model. Default: null."""

    sha256: str | None
    """Its sha256, checked before loading, so that a truncated or exchanged file is an error. Default: null."""


@dataclass(frozen=True)
class CellposeWeights:
    """The weight files of the two networks."""

    nuclei: WeightsFile
    """A local weights file, verified before it is loaded."""

    cells: WeightsFile
    """A local weights file, verified before it is loaded."""


@dataclass(frozen=True)
class CellposeDiameters:
    """Object diameters by which fields are scaled for Cellpose."""

    nuclei: float | None
    """Diameter of nuclei, in `unit`, that fields are scaled by to Cellpose's 30 px. null: no scaling, since
    Cellpose-SAM was trained on objects of 7.5 to 120 px. Default: null."""

    cells: float | None
    """The same for cells. Default: null."""


@dataclass(frozen=True)
class Cellpose:
    """Method `cellpose`. `floor`, `growth`, `smallest` and the flags apply to it as well."""

    weights: CellposeWeights
    """The weight files of the two networks."""

    source: str
    """Where `snakemake weights` fetches from: Cellpose-SAM v2, 1.2 GB. Trained on images of which a part is CC BY-NC,
    so not for commercial use without asking. Default:
    "https://huggingface.co/mouseland/cellpose-sam/resolve/main/cpsam_v2"."""

    diameters: CellposeDiameters
    """Object diameters by which fields are scaled for Cellpose."""

    flow_threshold: float
    """Objects whose flows differ more than this from those of their outline are removed; 0 keeps all. Cellpose's
    default. Default: 0.4."""

    cellprob_threshold: float
    """Pixels above this belong to an object; lower values find more and larger objects. Cellpose's default. Default:
    0.0."""

    batch: int
    """Tiles of 256 px per batch, from several fields if these are small; 72 are two fields of 1080 px. Halved, with a
    line in the log, if the GPU's memory does not suffice. Default: 72."""

    precision: Literal["bfloat16", "float32"]
    """Arithmetic of the networks. bfloat16 is Cellpose's default and takes a third of float32's time even on a CPU (a
    tile of Cellpose-SAM: 2.3 against 6.4 s on 2 cores). Default: "bfloat16"."""


@dataclass(frozen=True)
class Cells:
    """Nuclei and cells of each field.

    Lengths without a unit are in nucleus diameters, so that they hold at every magnification.
    """

    activate: bool
    """Segment cells. Needed by every encoder of cells and by cell counts; off for a screen of tiles only. Default:
    true."""

    method: Literal["threshold", "network", "cellpose"]
    """`threshold`: local and Otsu threshold and watersheds, no weights. `network`: a small network that comes with the
    workflow and needs no GPU. Both are scored by benchmarks/segmentation.py. `cellpose`: Cellpose 4 with weights from a
    local file, on a GPU (see `cellpose`). Default: "threshold"."""

    nuclei: str
    """Channel of the nuclei. Default: "DNA"."""

    cytoplasm: str | tuple[str, ...]
    """Channel or channels of the whole cell; several are averaged after scaling. [] grows cells from their nuclei by
    `growth`. RNA and AGP fill the cell in Cell Painting. Default: ["RNA", "AGP"]."""

    nucleus_diameter: float | None
    """Typical nucleus diameter in `unit`. null: estimated for each plate from 24 of its fields, and logged. Set it to
    use the same diameter for all plates. Default: null."""

    unit: Literal["px", "um"]
    """Unit of `nucleus_diameter`: px, or um if the pixel size of the images is known. Default: "px"."""

    smoothing: float
    """Sigma of the Gaussian before thresholding. Default: 0.04."""

    otsu_factor: float
    """Threshold of nuclei and cells, as a share of the way from background to the field's Otsu threshold; below 1 so
    that dim cells beside bright ones are found. Default: 0.7."""

    window: float
    """Window of the local mean that raises the threshold between crowded nuclei. Default: 4.0."""

    floor: float
    """Lowest threshold of a field, as a share of the way from background to the plate's threshold, so that no cells are
    found in an empty field. Default: 0.3."""

    edge: float
    """A nucleus ends where its intensity over the surroundings falls to this share of its height. 0.4 had the best mean
    precision of 0.2 to 0.6 on 69 images of the benchmark's tuning half. Default: 0.4."""

    split: float
    """Least distance of the centres of two nuclei: lower splits more. Default: 0.5."""

    reach: float
    """Largest distance of a cell's edge from its nucleus. Default: 2.0."""

    ring: float
    """Smallest distance of a cell's edge from its nucleus, also for a dim stain. Default: 0.15."""

    hole: float
    """Holes in a cell up to this many times the area of a nucleus are filled. Default: 4.0."""

    growth: float
    """Distance of a cell's edge from its nucleus if no cytoplasm channel is given. Default: 0.4."""

    smallest: float
    """Objects below this share of a nucleus' area are removed as noise, not flagged. Default: 0.1."""

    small: float
    """Nuclei below this share of the typical nucleus' area are flagged small. Default: 0.25."""

    large: float
    """Nuclei above this multiple of the typical nucleus' area are flagged large: clumps, debris. Default: 4.0."""

    dim: float
    """Nuclei darker than this share of the plate's median nucleus are flagged dim: ghosts, debris. Brightness over the
    field's background. It flags 0.1 % of BBBC013's nuclei and none of the demo's. 0: off. Default: 0.2."""

    bright: float
    """Nuclei brighter than this multiple of the plate's median are flagged bright: dead cells, dust, fluorescent
    compounds. The cell cycle explains a factor of 2; no nucleus of BBBC013 is above 4. Default: 5.0."""

    blurred: float
    """Nuclei whose steepest slope, relative to their brightness, is below this share of the plate's median are flagged
    blurred. Defocus with a sigma of a sixth of a diameter suffices (measured on the demo). It flags 0.5 % of BBBC013's
    nuclei and none of the demo's. 0: off. Default: 0.45."""

    cellpose: Cellpose
    """Method `cellpose`. `floor`, `growth`, `smallest` and the flags apply to it as well."""


@dataclass(frozen=True)
class GivenCrops:
    """Crops of single cells that exist already, in place of images of fields.

    The sheet's column images names their folder. All encoders then take views of cells, and survey, illumination,
    images and cells do not run.
    """

    table: str | None
    """Table with one row per crop: well, and if known plate, site, cell and the crop's file (CSV, Parquet, or an .npz
    with a vector per column). Relative to the plate's folder, or absolute; {plate} is replaced. null: there are fields,
    not crops. Default: null."""

    array: str | None
    """One array of all crops of the table, (N, C, Y, X) or (N, Y, X, C), in an .npy, .npz or zarr array, relative to
    the plate's folder; {plate} is replaced. null: the table's column of files names an image per crop, or one per
    channel (`path_DNA`). Default: null."""

    layout: Literal["auto", "channels_first", "channels_last", "side_by_side"]
    """Axes of a crop: (C, Y, X), also pages of a TIFF; (Y, X, C), also colours of a PNG; or channels side by side in
    one plane (CHAMMI, DeepProfiler). auto: by the only axis of as many items as there are channels, or square crops
    side by side, else an error. Default: "auto"."""

    channels: tuple[str, ...]
    """Channels of the crops in their order, by the names of `channels`; further ones are left out. Empty: `channels`.
    Default: []."""

    columns: Mapping[str, str]
    """Columns of the table that do not have one of the usual names. Default: {}."""


@dataclass(frozen=True)
class Crops:
    """The packed sample of single-cell crops that cell encoders train on."""

    cells_per_well: int
    """Cells drawn per well; all if it has fewer. The same number for all wells, so that a crowded well does not
    outweigh a toxic one. 100 cells x 384 wells x 5 channels x 96 px take 3.5 GB per plate. Default: 100."""

    size: float
    """Edge of the square around a nucleus, in `unit`. 96 px is the size of Perakis et al. 2021 for BBBC021 at 20x; make
    it larger than the views drawn from it if these are rotated or shifted. Default: 96."""

    unit: Literal["px", "um"]
    """Unit of `size`: px, or um if the pixel size of the images is known. Default: "px"."""

    border_cells: bool
    """Include cells that touch the image border; the field is reflected beyond it. Cells with any other flag are never
    included. Default: true."""

    neighbours: Literal["kept", "masked"]
    """Whether crops show the surroundings of their cell, in training and embedding. `masked`: all pixels outside the
    cell become background, so that crowding is not a feature, but the outline and its errors are. Default: "kept"."""

    given: GivenCrops
    """Crops of single cells that exist already, in place of images of fields. The sheet's column images names their
    folder. All encoders then take views of cells, and survey, illumination, images and cells do not run."""


@dataclass(frozen=True)
class Train:
    """Training of all encoders. The encoders themselves are in `encoders`."""

    gpus: int
    """GPUs of a node that train one encoder together, with one process per GPU (torchrun); without a GPU, the same
    number of processes on the CPU. `batch` is the total over all processes, so the result is that of one GPU except for
    random draws. It must be a multiple of gpus x nodes x accumulate x images of a well. Default: 1."""

    nodes: int
    """Nodes of a SLURM cluster that train one encoder together, with `gpus` each. See profiles/README.md. Default:
    1."""

    precision: Literal["float32", "bfloat16"]
    """Arithmetic of the networks; losses are float32 in both. bfloat16 trains 1.2 to 1.5 times as fast on CPUs and GPUs
    that have it (measured), and gives slightly different weights. Default: "float32"."""

    compile: bool
    """Compile the backbones (torch.compile). This takes minutes at the start of each run and saves time in runs of
    hours on GPUs; weights differ by rounding. Default: false."""

    accumulate: int
    """Number of parts into which a step's batch is split (gradient accumulation), for a batch that exceeds the GPU's
    memory. Terms that compare images (the contrast of simclr; KoLeo and Sinkhorn of sslprofiler) and batch
    normalisation see one part alone. Default: 1."""

    checkpoint_minutes: float
    """Minutes between two checkpoints of an unfinished run. One is also written at SIGTERM and SIGUSR1. A run that is
    started again resumes from the last checkpoint, with the same result as an uninterrupted run. Default: 10."""

    log_every: int
    """Steps between two rows of history.parquet and two lines of the log. Default: 50."""

    retrieve_every: int
    """Steps between two measurements of the share of wells in a small sample that retrieve the other half of their
    views; a low share warns of collapse. 0: never. One measurement takes as long as a step or two. Default: 500."""

    holdout: float
    """Share of the wells of each plate that are held out of training; `retrieve_every` is then measured on these only.
    0 trains on all wells and measures on them. No label is read in either case. Default: 0."""

    tensorboard: bool
    """Write the rows of history.parquet for TensorBoard too, to results/train/ENCODER/tensorboard. Default: false."""

    cache_mb: float
    """For tiles: fields are kept in memory if the whole training set fits in this many MB, which the processes of a
    node share; otherwise each block is read from the store when a step needs it. Default: 4000."""

    foreground_channel: str
    """For tiles: the channel in which blocks with cells are found. If the config has no channel of this name, the first
    channel is used. The threshold is one per plate, since Otsu's threshold of an empty well is meaningless. Default:
    "DNA"."""

    least_foreground: float
    """For tiles: the share of a block that should be above the plate's threshold. CellPaintSSL requires 1 % of nuclei
    in a crop; the default is twice that, since blocks are larger than crops. Default: 0.02."""

    tries: int
    """For tiles: the number of positions that are tried to find such a block. If none has enough foreground, the best
    is used, so empty wells stay in the training set. CellPaintSSL tries 20 at most; 4 take little time where fields are
    read one by one. Default: 4."""


@dataclass(frozen=True)
class Embed:
    """How views are encoded."""

    batch: int
    """Views per forward pass; it affects memory only. Default: 256."""

    dtype: Literal["float16", "float32"]
    """Type of the stored vectors. float16 halves them (384 features of 500,000 cells are 0.4 GB) and rounds by 5e-4 of
    a value, far less than the spread between cells. Default: "float16"."""

    precision: Literal["float32", "bfloat16"]
    """Arithmetic of the network. bfloat16 is 1.6 to 2 times as fast where the hardware has it (measured). Default:
    "float32"."""

    tokens: Literal["auto", "pooled", "class_and_patches"]
    """Which output of the network is a view's vector. `pooled`: the features before the projection head (Perakis 2021).
    `class_and_patches`: the class token and the mean of the patch tokens, each normalised to length 1 and concatenated
    (multi-granularity, SSLProfiler). `auto`: class_and_patches for sslprofiler and dino, pooled for the others.
    Default: "auto"."""

    channels: Literal["joint", "each"]
    """For encoders with `stem: adaptive`; no effect on others. `joint`: one embedding of all channels, their mean, also
    where a plate lacks some. `each`: an embedding per channel, concatenated (channels x features); all plates must have
    all channels. Default: "joint"."""

    layers: int
    """Number of last blocks whose tokens `class_and_patches` concatenates. Default: 1."""

    field: Literal["none", "joined"]
    """A second scale for tiles. `joined`: the whole field, resized to the network's input, is encoded too and
    concatenated with the vector of each of its tiles, each normalised to length 1, so that a vector is twice as long
    (multi-granularity, SSLProfiler). All encoders must then take tiles. A field that would be shown at a smaller scale
    than any crop in training is refused, unless `untrained_scale` is set. Default: "none"."""

    untrained_scale: bool
    """Whether `field` may show whole fields at a scale that the encoder was not trained on. Default: false."""

    stride: int | None
    """Step of the grid of tiles, px; null is the tile's edge (overlap only at the last row and column). With a smaller
    step, tiles overlap. Default: null."""

    stain: str
    """Channel that shows where cells are; the first channel if an encoder has none of this name. Default: "DNA"."""

    least_foreground: float
    """Tiles with a smaller share of this channel above the plate's threshold are left out. CellPaintSSL's limit is 1 %
    of nuclei. Default: 0.01."""

    leave_out: tuple[Flag, ...]
    """Cells with one of these flags are left out (view: cell). Cells at the border are kept, since half a cell is
    informative and small fields have many of them. Default: ["small", "large"]."""


@dataclass(frozen=True)
class Measure:
    """The classical features of an encoder of kind classical.

    They describe nuclei, cells and cytoplasm (the cell without its nucleus) in every channel. cp_measure (Munoz et al.
    2025) computes them on the CPU, under CellProfiler's names. `embed.leave_out` chooses the cells.
    """

    families: tuple[Family, ...]
    """`intensity`; `shape` (AreaShape with Zernike and Feret); `texture` (Haralick); `granularity`; `radial` (rings and
    Zernike magnitudes); `correlation` of channels (Pearson, Manders, rank-weighted); `costes`, the same by Costes'
    thresholds; `neighbours`. With five channels, the default families take some 10 ms of one core per cell
    (benchmarks/measure.py): half an hour for 500,000 cells on 4 cores. costes takes 110 ms more; it is off by default
    because of its time, and because it is undefined for 40 % of cells. Default: ["intensity", "shape", "texture",
    "granularity", "radial", "correlation", "neighbours"]."""

    texture_scales: tuple[int, ...]
    """Distances, px, between the pixels whose grey levels are compared (Haralick's features, in four directions). 3 is
    CellProfiler's default; JUMP takes [3, 5, 10]. Time is proportional to the number of distances. Default: [3]."""

    texture_levels: int
    """Number of grey levels between the plate's lowest and highest intensity limits (CellProfiler: 256 over the
    camera's whole range, of which dim images use few). Default: 256."""

    granularity_subsample: float
    """Factor by which images are made smaller first (CellProfiler's default). Time grows with its square; a smaller
    factor lets the same steps cover larger sizes. Default: 0.25."""

    granularity_radius: int
    """Radius, px of the smaller image, from which brightness counts as background (CellProfiler's default). Default:
    10."""

    granularity_length: int
    """Steps of the spectrum, each of one px of the smaller image (CellProfiler's default); time grows with it. Default:
    16."""

    radial_bins: int
    """Rings between a cell's middle and its edge (CellProfiler's default). Default: 4."""


@dataclass(frozen=True)
class Profile:
    """Aggregation of views to well profiles, normalisation per plate, and the consensus of replicates."""

    operation: Literal["auto", "mean", "median"]
    """How views become a well: tiles to their site and sites to their well, cells to their well at once. `auto` depends
    on the majority of the features, and the report names the choice. For classical features it is the median,
    pycytominer's default, since their ratios and moments have long tails (on the demo screen, transfer of mechanisms to
    the other cell line was 0.98 with the median and 0.47 with the mean). For learned features it is the mean, as in
    Perakis et al. 2021 for cells and the multi-position profiles of Dai et al. 2025 for tiles. Default: "auto"."""

    normalise: Literal["auto", "mad_robustize", "robustize", "standardize", "rank_normal", "none"]
    """Centre and scale of each plate, as in pycytominer: median and MAD (the JUMP consortium's), median and
    interquartile range, mean and standard deviation; rank_normal, the normal scores of ranks with Blom's offset of 3/8
    (1958), which gives equal values to all wells beyond the range of the fitted wells, so use it with normalise_on all;
    or none. `auto` is median and MAD for classical features, whose tails are long, and mean and standard deviation for
    learned ones: a vector of medians, computed for each feature alone, lies outside of the few directions in which the
    controls vary, and sphering amplifies the other directions (three simulated screens with 16 controls per plate: the
    plate is predicted from the controls with 0.91 after medians and 0.56 after means, activity is 0.19 and 0.54).
    Default: "auto"."""

    normalise_on: Literal["negcon", "all"]
    """The wells of a plate that its centre and scale are taken from (pycytominer's `samples`): its negative controls,
    or all wells with a profile. `all` is for plates with few controls where most treatments have no effect; where many
    have one, it removes part of the effect, and more on plates with more active treatments. Default: "negcon"."""

    features: Literal["error", "intersection"]
    """Plates with different features, as tables of other tools may have: error refuses them by name; intersection keeps
    the features that all plates have. The order of the features never matters. Default: "error"."""

    min_controls: int
    """Negative controls (with normalise_on all: wells) with a profile that a plate needs; with fewer, the plate is left
    out of everything that joins plates. The MAD of four values has a relative error of about one half, the largest that
    is acceptable; 16 and more are usual. Default: 4."""

    spread_floor: float
    """No feature is divided by less than this share of what is usual on the plate: the median over features of (spread
    in the controls / spread in all wells), times the feature's own spread in all wells. Without it, features whose MAD
    is near zero by chance, as happens with a dozen controls, get very large values (0.3 was measured on a simulated
    screen with 12 controls per plate). 0: off. Default: 0.3."""

    epsilon: float
    """Added to the MAD by mad_robustize; pycytominer's default, so that values are equal. `spread_floor` is the
    protection against small spreads. Default: 1e-18."""

    consensus: Literal["median", "mean", "modz"]
    """How the wells of a perturbation become one profile: the median (Ando et al. 2017, Perakis et al. 2021), the mean,
    or modz (weighted by the replicates' correlation, Subramanian et al. 2017). Default: "median"."""

    group_by: tuple[str, ...]
    """Metadata columns by whose values one perturbation has separate consensus profiles: cell lines by default, since
    they respond differently; add a time point where there is one. Default: ["Metadata_Cell_Line"]."""

    single_cell: bool
    """Also write the profiles of single cells, normalised on the control cells of their plate, of all encoders of cells
    (some 3 GB for a plate of a million cells with 768 features in float32). The report then has, per treatment, the
    share of cells beyond 95 % of the control cells, tests of the cells' distribution, and pictures of cells on both
    sides. Switching it on or off reruns no other stage but the report. Default: false."""


@dataclass(frozen=True)
class Fit:
    """Feature selection and alignment.

    The steps are fitted on all plates whose role is fit, by default on their negative controls.
    """

    steps: tuple[StepEntry, ...]
    """The steps, in this order; each is fitted on the output of the steps before it, and a step may occur twice. An
    entry is a name, or a name with options that override those below for this entry: `[select, {sphere: {sphering:
    ridge}}, coral]`. select leaves features out, with reasons. sphere whitens the controls. coral gives the controls of
    each batch the covariance of all controls; sphere followed by coral is the typical variation normalisation (TVN) of
    Ando et al. 2017. well_position subtracts the mean of each position over plates; cell_count subtracts a linear
    regression on the cell count; rank_normal takes normal scores of ranks; standardize centres and scales (these four
    are in the JUMP consortium's recipe, which fits them on all wells; see fit_on). harmony (Korsunsky et al. 2019)
    moves batches together; it needs the package harmonypy (GPL; only the environment `harmony` has it) and all plates
    in the role fit, and its scores are not cross-fitted. Default: ["select", "sphere"]."""

    min_controls: int
    """Controls (with fit_on all: wells) that a step needs in each group or batch. With fewer, sphere standardises, and
    the other steps use the fit of all controls or change nothing; the features table records which. With 12 controls,
    sphering by `rank` whitens four directions. The number holds for all entries, so that an evaluation on half of the
    controls can require half of it. Default: 12."""

    max_deviation: float | None
    """Distance from the centre of the controls, in usual spreads of the controls of a plate, beyond which a value is
    set to this limit. A well with such a value is not used for the fit. This protects all plates from a plate whose
    normalisation failed. Null: no limit. Default: 1000."""

    max_influence: float | None
    """A plate that multiplies the largest variance of the controls by more than this is left out of the fit
    (leave-one-out, over all controls and within each group of `by`; at least half of the plates stay). The plate is
    still aligned. Null: no limit. Default: 10."""

    by: Literal["cell_line", "batch"] | None
    """Fit sphere, standardize and cell_count by cell line or by batch, or one for all (null). Cell lines differ in how
    controls vary; a cell line that no fitted plate has is aligned by the fit of all controls. Default: "cell_line"."""

    batches: str
    """Metadata column by whose values coral and harmony distinguish batches, such as Metadata_Plate. Default:
    "Metadata_Batch"."""

    fit_on: Literal["negcon", "all"]
    """The wells that well_position, cell_count, rank_normal and standardize are fitted on: the negative controls, or
    all wells with a profile, as in JUMP's recipe. Each choice has a risk. well_position is for layouts that differ
    between plates: if a treatment has the same position on all plates, `all` subtracts its effect (no treatment is
    found active), and `negcon` corrects only the positions of controls, so that inactive treatments are still found
    active by their position (in a simulated screen 93 % of them, as without the step); the features table records how
    many treatments are concerned. cell_count also removes effects of treatments that kill cells; with `negcon`, only
    within the range of the controls' cell counts. rank_normal fitted on controls gives equal values to all wells beyond
    the range of the controls. Default: "negcon"."""

    sphering: Literal["shrinkage", "rank", "ridge", "standardize", "none"]
    """How the controls' covariance is regularised before it is whitened: shrinkage towards the identity by the weight
    of Ledoit and Wolf 2004, which needs no number; rank, only the directions of largest variance are whitened, and the
    others are scaled like the smallest of these; ridge, a share of the largest variance is added to each variance;
    standardize, no rotation; or none. Do not choose by an activity score: weak regularisation makes inactive treatments
    look active. Default: "shrinkage"."""

    rank_fraction: float
    """For rank, the number of whitened directions as a share of the number of controls; with a third, there are three
    controls per direction. Default: 0.3333333333333333."""

    ridge: float
    """For ridge, the constant added to each variance, relative to the largest one; the value used is in the log.
    Default: 0.03."""

    ridge_unit: Literal["relative", "absolute"]
    """Whether `ridge` is a share of the largest variance or the number itself. The TVN of Perakis et al. 2021 adds 1 to
    each variance of profiles that are not scaled: `profile.normalise: none`, steps `[{sphere: {sphering: ridge, ridge:
    1, ridge_unit: absolute, by: null}}, coral]`, `max_deviation` and `max_influence` null. Default: "relative"."""

    robust: bool
    """For standardize, median and MAD, as the normalisation of plates has by default; false, mean and standard
    deviation. Default: true."""

    shrink_positions: bool
    """For well_position, each position's mean is shrunk towards that of all, as far as the wells at a position differ
    among themselves (the best linear unbiased prediction of a random effect); false takes plain means, as JUMP's recipe
    does. Default: true."""

    blocklist: Literal["default"] | tuple[str, ...] | None
    """Features dropped by name: `default` is pycytominer's list of CellProfiler features that are known to be noisy
    (Way 2019, doi 10.6084/m9.figshare.10255811; features of other tools do not have these names); or a list of your
    own; or null. Default: "default"."""

    max_missing: float
    """A feature that is not finite in more than this share of the wells is dropped (pycytominer's na_cutoff); in the
    others a missing value counts as the controls' mean. Default: 0.05."""

    max_equal: float
    """A feature that has the same value in more than this share of the wells is dropped as near constant, for example a
    count of holes that is 1 in almost every cell. pycytominer up to 1.7 had a similar rule (freq_cut 0.05). Default:
    0.95."""

    freq_cut: float | None
    """Drop features for which the frequency of the second most common value, divided by that of the most common one, is
    below this: freq_cut of pycytominer's frequency_threshold, there 0.05. Null: not applied, since max_equal is nearly
    the same rule. Default: null."""

    unique_cut: float | None
    """Drop features with fewer distinct values than this share of the wells: unique_cut of pycytominer's
    frequency_threshold, there 0.01. Null: not applied. Default: null."""

    max_value: float | None
    """Drop features whose absolute value exceeds this in any well: pycytominer's drop_outliers, there 500. Null: not
    applied, since profile.spread_floor prevents such values. Default: null."""

    max_correlation: float | Literal["auto"] | None
    """Drop features correlated above this with another, as pycytominer's correlation_threshold does; null keeps all.
    `auto` is pycytominer's 0.9 for classical features (`Cells_`, `Cytoplasm_`, `Nuclei_`), most of which are redundant,
    and null for learned ones, which are rarely correlated so strongly and are decorrelated by sphering. Default:
    "auto"."""


@dataclass(frozen=True)
class Evaluate:
    """Scores of the well profiles at each level of processing, each with interval, chance level and baselines."""

    metrics: Literal["all"] | tuple[MetricName, ...]
    """Metrics to compute: all, or a list of metrics and families of metrics. A metric that another one needs comes with
    it. The reference page Metrics describes each. Default: "all"."""

    label: str
    """Column of the mechanisms (classes) that consistency, NSC, NSCB, transfer and other scores of mechanisms use;
    Metadata_target is the usual alternative. Default: "Metadata_moa"."""

    separator: str | None
    """Splits the values of `label` where a compound has several, as targets `EGFR|ERBB2`. In consistency, NSC, NSCB and
    hits a pair that shares any label is positive and never negative, as in copairs' multilabel mode; other scores
    compare whole values. Null: values are never split. Default: "|"."""

    replicates_share: tuple[str, ...]
    """Columns that replicates must have in common for activity, beside the perturbation; [Metadata_Cell_Line] computes
    activity within each cell line. None by default: replicates on all plates count. Default: []."""

    replicates_differ: tuple[str, ...]
    """Columns in all of which two replicates must differ for activity, as copairs' `pos_diffby`; [Metadata_Well]
    requires replicates at different positions, so that an effect of the position is not taken for an effect of the
    treatment. Other wells of the treatment count neither as replicates nor as negatives. None by default. Default:
    []."""

    null_size: int
    """Draws of the null distribution of a mean average precision (10,000 as in Kalinin et al. 2025); p is never below 1
    / (draws + 1). Default: 10000."""

    threshold: float
    """A treatment counts as retrieved where its q is below this. Default: 0.05."""

    pairs: int
    """Largest number of pairs of wells (of treatments, for NSC and hits) that each score of neighbours compares. In
    larger tables, as many wells as this allows are drawn at random, evenly over compounds (controls: over plates), and
    compared with all others; never fewer than 1,000. Thirty million pairs are all wells of 14 plates of 384, or 1,000
    wells of 78 or more, where the standard error of a share is at most 0.016. Default: 30000000."""

    replicating_null: int
    """Number of random groups, for each size of group, whose median correlations are the null distribution of percent
    replicating and percent matching (1,000 as in Way et al. 2022). Default: 1000."""

    hit_neighbours: tuple[int, ...]
    """Numbers of nearest treatments among which hit@k, precision@k and enrichment@k look for the mechanism; at 1, hit@k
    is NSC. Default: [5, 10]."""

    folds: int
    """Number of groups of plates for cross-fitting: each group is judged by an alignment that was fitted without it.
    With this number of plates or fewer, each plate is a group. With eight groups, every fit has seven eighths of the
    controls, and a large screen takes eight fits. Default: 8."""

    neighbours: tuple[int, ...]
    """Numbers of nearest neighbours that vote in transfer; each gives a separate score. Default: [1, 5]."""

    transfer_between: tuple[str, ...]
    """Columns of the groups of wells (cell lines, batches) between which labels are transferred. Default:
    ["Metadata_Cell_Line", "Metadata_Batch"]."""

    transfer_labels: tuple[Literal["mechanism", "compound"], ...]
    """Labels that transfer predicts: the mechanism (without wells of the same compound) or the compound itself, as in
    CPJUMP1. Default: ["mechanism", "compound"]."""

    nuisance_neighbours: int
    """Number of nearest neighbours that vote when batch, plate and position are predicted from the negative controls.
    Default: 1."""

    lisi_neighbours: int
    """Wells of a neighbourhood for LISI, three times its perplexity of 30 (Korsunsky et al. 2019); never more than a
    quarter of the wells. Default: 90."""

    kbet_neighbours: int
    """Wells of a neighbourhood for kBET (50 as scib-metrics has it); never more than a quarter of the wells. Default:
    50."""

    graph_neighbours: int
    """Neighbours of a well in the graph whose connectivity is measured (15 as in scIB); never more than a quarter of
    the wells. Default: 15."""

    dose_levels: int
    """Concentrations that a compound needs for a dose response; with three, one swap already halves the rank
    correlation. Default: 4."""

    bootstrap: int
    """Number of bootstrap resamples for the 95 % intervals of dose scores; the intervals of all other scores are a
    jackknife over groups. Default: 1000."""

    permutations: int
    """Number of permutations of mechanisms over compounds for the baselines `.permuted`; 0 leaves these baselines out.
    Default: 200."""


@dataclass(frozen=True)
class Report:
    """The report page, `report/index.html` in the results folder."""

    title: str
    """Title of the page. Default: "Wellspring screen"."""

    encoder: str
    """Encoder of the first screen, the tables of hits and the plate heatmaps. Empty: the first of `encoders`. Default:
    ""."""

    level: Literal["aggregated", "normalised", "aligned"]
    """Profile level of the overview, selected when the page opens. The published profiles are aligned. Default:
    "aligned"."""

    significance: float
    """q below which a treatment counts as active in the report and in hits.csv, and an item is drawn as significant;
    0.05 is the convention (Kalinin et al. 2025, copairs). Default: 0.05."""

    map: Literal["pca", "tsne"]
    """How the map of the aligned profiles is laid out. `pca` keeps distances and is quick; `tsne` shows neighbourhoods
    but neither distances nor sizes of groups. Default: "pca"."""

    map_points: int
    """Largest number of wells on the map of one encoder; of more wells, an even sample is shown. 10,000 add about 0.3
    MB to the page. Default: 10000."""

    map_pictures: int
    """Largest number of wells with a picture on the map, spread over the treatments; the other wells show a picture of
    the same treatment. A picture takes about 2 kB of the page, so that the page of 100 plates is well below 25 MB.
    Default: 3000."""

    sample_groups: int
    """Largest number of groups (controls, mechanisms, compounds without a mechanism) with sample pictures. Default:
    24."""

    sample_cells: int
    """Number of sample pictures per group. A cell of 96 px takes about 6 kB of the page. Default: 6."""

    overlays: int
    """Largest number of pictures of segmented fields: one negative control and one treated well per plate. A picture
    takes about 60 kB of the page. Of more than 24 plates, an even selection has pictures; flags are counted on all
    plates. Default: 48."""

    montages: int
    """Largest number of pictures of whole plates, one per plate and channel. A picture takes 75 to 105 kB of the page.
    Of more than 8 plates of five channels, some have pictures: first plates that were left out, then those with the
    most excluded images. Default: 40."""

    bad_images: int
    """Largest number of pictures of excluded images, spread over reasons and plates; all excluded images are counted. A
    picture takes about 4 kB of the page. Default: 60."""


@dataclass(frozen=True)
class Export:
    """Results in the formats of other tools, written by `snakemake export` only."""

    formats: tuple[Literal["anndata", "gallery", "plates", "rocrate", "models"], ...]
    """`anndata`: a file `.h5ad` per encoder: aligned profiles with their metadata (needs the package anndata).
    `gallery`: the folders of the Cell Painting Gallery: profiles, platemaps, flat fields. `plates`: where cells are
    segmented, OME-Zarr plates with label images in each field's group `labels`, for viewers; their pixels are links to
    results/images. `rocrate`: report, hits, aligned and consensus profiles, config, versions and digests as one
    RO-Crate of the Workflow Run profile (needs the package rocrate). `models`: each trained network as a folder for
    BioImage.IO, Hugging Face, ONNX Runtime and PyTorch, with a model card (needs the packages of the extra `models`).
    Default: ["anndata", "gallery", "plates"]."""

    project: str
    """The gallery's name of the project, its first folder; published ones are of the form `cpg0016-jump`. Default:
    "wellspring"."""

    source: str
    """The gallery's name of who imaged, its second folder, and `Metadata_Source`. Default: "source_1"."""

    license: str
    """Address of the licence under which the RO-Crate and the models are passed on, as
    `https://creativecommons.org/licenses/by/4.0/` or `https://spdx.org/licenses/MIT`. Default:
    "https://choosealicense.com/no-permission/"."""

    authors: tuple[str, ...]
    """Names of the authors of the models, for their cards. Default: []."""


@dataclass(frozen=True)
class Config:
    """The whole config, complete."""

    plates: str
    """The plate sheet, relative to the working directory. Default: "config/plates.tsv"."""

    channels: tuple[str, ...]
    """Names of the channels, in the order of stored images and network inputs; none if all encoders are tables.
    Default: []."""

    seed: int
    """Seed of all random draws; the same seed and input give the same bytes. Default: 1."""

    track_code: bool
    """Rerun a stage when its library code changes. false keeps finished results when the library is updated; set it
    before the first run, since changing it later reruns everything once. Default: true."""

    encoders: Mapping[str, Encoder]
    """Encoders by name. All of them run over the same pixels and are compared in the report. `like: NAME` inherits what
    an entry does not state, from another entry or from a preset (resources/encoders); a key that neither states has its
    default. The entries of `demo` are small, so that the demo trains on two CPU cores in minutes: for a real screen
    start from `one_gpu.sslprofiler` or `one_gpu.simclr`. For classical features beside them add `classical: {kind:
    classical}`."""

    index: Index
    """How the images of a plate are found and joined with its platemap."""

    survey: Survey
    """Quality measures of every raw image, and the limits beyond which an image or a plate is left out."""

    illumination: Illumination
    """How flat and dark field of a light path are estimated."""

    images: Images
    """How corrected pixels are stored, and the intensity scale of a plate's channels. The store is OME-Zarr (NGFF 0.5):
    a field is one array of 16 bit in one shard, its chunks 360 px wide, compressed by Blosc (Zstandard at level 1 after
    bitshuffle); with metadata and a second resolution level (1/4 of the edges) 5 files per field. No other setting that
    was tried is as small and as fast (benchmarks/compression.py)."""

    cells: Cells
    """Nuclei and cells of each field. Lengths without a unit are in nucleus diameters, so that they hold at every
    magnification."""

    crops: Crops
    """The packed sample of single-cell crops that cell encoders train on."""

    train: Train
    """Training of all encoders. The encoders themselves are in `encoders`."""

    embed: Embed
    """How views are encoded."""

    measure: Measure
    """The classical features of an encoder of kind classical. They describe nuclei, cells and cytoplasm (the cell
    without its nucleus) in every channel. cp_measure (Munoz et al. 2025) computes them on the CPU, under CellProfiler's
    names. `embed.leave_out` chooses the cells."""

    profile: Profile
    """Aggregation of views to well profiles, normalisation per plate, and the consensus of replicates."""

    fit: Fit
    """Feature selection and alignment. The steps are fitted on all plates whose role is fit, by default on their
    negative controls."""

    evaluate: Evaluate
    """Scores of the well profiles at each level of processing, each with interval, chance level and baselines."""

    report: Report
    """The report page, `report/index.html` in the results folder."""

    export: Export
    """Results in the formats of other tools, written by `snakemake export` only."""
