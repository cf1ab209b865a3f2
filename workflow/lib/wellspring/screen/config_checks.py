"""Checks of a complete config that a JSON schema cannot state, since they compare several keys."""

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from wellspring.io.packaged import is_packaged, located
from wellspring.io.provenance import file_digest
from wellspring.screen.encoder_kinds import frozen, mapped_channels, needs_images, ready_made, trains
from wellspring.screen.sections import Cells, Config, Encoder, Fit, Images

# The defaults of these keys, channels of Cell Painting. A screen without them may leave the keys alone until it runs
# `cells`; `snakemake check` reports them.
DEFAULT_CHANNELS = {"cells.nuclei": ("DNA",), "cells.cytoplasm": ("RNA", "AGP")}

STAIN = "DNA"  # default of the keys that name the channel by which cells are found


def problems(config: Config) -> Iterator[str]:
    """Yield each contradiction between the keys of a complete config, as KEY: expected ..., found ...."""
    if needs_images(config.encoders) and not config.channels:
        yield "channels: expected the names of the channels for encoders that read images, found none"
    for name, entry in config.encoders.items():
        where = f"encoders.{name}"
        yield from _of_table(entry, where)
        yield from _of_training(entry, where)
        if entry.kind != "table":
            yield from _of_module(entry, where)
            yield from _of_network(entry, where, config)
            yield from _of_inputs(entry, where, config)
            if entry.view.kind == "cell" and config.embed.field == "joined":
                expected = "expected tile with embed.field joined, since a cell has no second scale"
                yield f"{where}.view.kind: {expected}, found cell"
            yield from _of_ready(entry, where, config) if ready_made(config.crops) else _of_view(entry, where, config)
    if config.profile.single_cell and all(entry.view.kind != "cell" for entry in config.encoders.values()):
        yield "profile.single_cell: expected an encoder with view.kind cell for true, found none"
    both = [name for name in config.index.negcon if name in config.index.poscon]
    if both:
        yield f"index.poscon: expected other compounds than in index.negcon, found {both} in both"
    yield from _of_crops(config)
    yield from unknown_channels(config, but=DEFAULT_CHANNELS)
    yield from _of_cellpose(config.cells)
    yield from _of_projection(config.images)
    yield from _of_export(config)


def two_thresholds(config: Config) -> Iterator[str]:
    """Yield a sentence if the evaluation and the report count active treatments by different thresholds on q."""
    evaluated, reported = config.evaluate.threshold, config.report.significance
    if evaluated != reported:
        yield (
            f"evaluate.threshold is {evaluated:g} and report.significance {reported:g}: the share of retrieved "
            "treatments in the scores will not be that of the active ones in the report and hits.csv; set both to the "
            "same value"
        )


def plain_weights(written: Mapping[str, object]) -> Iterator[str]:
    """Yield, for each encoder of a config as written whose weights lack a sha256, the lines that state it."""
    encoders = written.get("encoders")
    for name, entry in encoders.items() if isinstance(encoders, Mapping) else ():
        weights = entry.get("weights") if isinstance(entry, Mapping) else None
        path = weights.get("path") if isinstance(weights, Mapping) and not weights.get("sha256") else weights
        if not isinstance(path, str):
            continue
        where = f"encoders.{name}.weights"
        try:
            file = located(path, key=where)
        except FileNotFoundError as error:
            yield str(error)
            continue
        if file.is_file():
            stated = path if is_packaged(path) else file.resolve()
            lines = f"path: {stated}\n  sha256: {file_digest(file)}"
            yield f"{where}: expected path and sha256, found a path alone; write below `weights:`\n  {lines}"
        else:
            yield f"{where}: expected a local file, found none at {path}"


def steps_of(fit: Fit) -> list[str]:
    """Return the names of the alignment's steps, in their order."""
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in fit.steps]


def check_roles(fit: Fit, roles: Mapping[str, str]) -> None:
    """Raise `ValueError` for plates (name to role) to which a step of the alignment cannot be applied."""
    others = [name for name, role in roles.items() if role != "fit"]
    if "harmony" in steps_of(fit) and others:
        expected = "expected the role fit for all plates, since harmony cannot be applied to other plates"
        raise ValueError(f"fit.steps: {expected}, found other roles for {others}")


def _of_table(entry: Encoder, where: str) -> Iterator[str]:
    """Keys that only a table has, and keys that it needs."""
    table = entry.kind == "table"
    if table != (entry.files is not None):
        expected = "a file for the kind table" if table else "null except for the kind table"
        yield f"{where}.files: expected {expected}, found {entry.files!r}"
    if not table and (entry.columns or entry.features):
        yield f"{where}: expected no columns and features except for the kind table, found some"
    if not table and entry.view.kind == "well":
        yield f"{where}.view.kind: expected tile or cell except for the kind table, found well"
    for pattern in entry.features:
        try:
            re.compile(pattern)
        except re.error as error:
            yield f"{where}.features: expected regular expressions, found {pattern!r}: {error}"


def _of_training(entry: Encoder, where: str) -> Iterator[str]:
    """Keys that have no effect without a training or without each other."""
    labels, adversary = entry.local_aggregation, entry.adversary
    if adversary.weight and not adversary.against:
        yield f"{where}.adversary.against: expected plate, row or column with a weight above 0, found none"
    if frozen(entry):
        kind = entry.kind if entry.kind != "module" else "module without an objective"
        set_here = {
            "adversary.weight": adversary.weight or None,
            "local_aggregation.positives": None if labels.positives == "site" else labels.positives,
            "local_aggregation.heldout": labels.heldout,
        }
        for key, value in set_here.items():
            if value is not None:
                yield f"{where}.{key}: expected none for the kind {kind}, which is not trained, found {value}"


def _of_module(entry: Encoder, where: str) -> Iterator[str]:
    """The kind module needs a factory; no other kind has one."""
    own = entry.kind == "module"
    if own != (entry.factory is not None):
        expected = "PACKAGE.MODULE:FUNCTION or FILE.py:FUNCTION for the kind module" if own else "null but for module"
        yield f"{where}.factory: expected {expected}, found {entry.factory!r}"
    if not own and (entry.arguments or entry.objective is not None):
        yield f"{where}: expected arguments and objective for the kind module only, found kind {entry.kind}"
    if own and entry.stem != "widened":
        yield f"{where}.stem: expected widened for the kind module, found {entry.stem}"


def _of_network(entry: Encoder, where: str, config: Config) -> Iterator[str]:
    """The batch can be split over processes, and weights are a local file at an absolute path."""
    parts = math.prod((config.train.gpus, config.train.nodes, config.train.accumulate))
    if trains(entry) and entry.batch % parts:
        expected = f"a multiple of train.gpus x train.nodes x train.accumulate = {parts}"
        yield f"{where}.batch: expected {expected}, found {entry.batch}"
    if entry.kind == "timm" and entry.weights is None:
        expected = "a local file for the kind timm, which is frozen (untrained: another kind with steps: 0)"
        yield f"{where}.weights: expected {expected}, found none"
    if entry.weights is not None and not is_packaged(entry.weights.path):
        path = Path(entry.weights.path)
        if not path.is_absolute():
            yield f"{where}.weights.path: expected an absolute path, found {entry.weights.path!r}"
        elif not path.is_file():
            yield f"{where}.weights: expected a local file, found none at {path}"


def _of_inputs(entry: Encoder, where: str, config: Config) -> Iterator[str]:
    """A map of channels belongs to a frozen model with named inputs; each input has channels of the screen or null."""
    unknown = [name for name in entry.channel_map if name not in entry.inputs]
    if unknown:
        yield f"{where}.channel_map: expected names out of inputs, {list(entry.inputs)}, found {unknown}"
    if not entry.inputs:
        return
    if entry.kind not in ("timm", "module") or not frozen(entry) or entry.stem != "widened":
        found = f"found kind {entry.kind} and stem {entry.stem}"
        yield f"{where}.inputs: expected none but for a frozen model of kind timm or module with stem widened, {found}"
    lacking = [name for name in entry.inputs if name not in entry.channel_map and name not in config.channels]
    if lacking:
        expected = f"a channel out of {list(config.channels)}, a list of them, or null for each of inputs"
        yield f"{where}.channel_map: expected {expected}, found none for {lacking}"
    used = mapped_channels(entry.inputs, entry.channel_map)
    if not used:
        yield f"{where}.channel_map: expected a channel for an input at least, found null for all"
    if list(entry.channels) != used:
        yield f"{where}.channels: expected none beside inputs, which name {used}, found {list(entry.channels)}"


def _of_view(entry: Encoder, where: str, config: Config) -> Iterator[str]:
    """Views of cells need segmentation, and in training crops that are as large."""
    if entry.kind == "classical" and not config.cells.activate:
        yield f"{where}.kind: expected cells.activate true for the kind classical, found false"
    if entry.kind == "classical" and entry.view.kind != "cell":
        yield f"{where}.view.kind: expected cell for the kind classical, found {entry.view.kind}"
    if entry.view.kind == "cell" and entry.kind != "classical" and not config.cells.activate:
        yield f"{where}.view.kind: expected tile while cells.activate is false, found cell"
    if (
        entry.view.kind == "cell"
        and trains(entry)
        and config.crops.unit == "px"
        and entry.view.size > config.crops.size
    ):
        expected = f"at most crops.size, {config.crops.size:g} px, since training cuts its views from the crops"
        yield f"{where}.view.size: expected {expected}, found {entry.view.size}"


def _of_ready(entry: Encoder, where: str, config: Config) -> Iterator[str]:
    """Encoders of ready-made cells take views of cells that fit into the crops, and measure no label images."""
    if entry.kind == "classical":
        yield f"{where}.kind: expected a network for ready-made cells, which have no label images, found classical"
    elif entry.view.kind != "cell":
        yield f"{where}.view.kind: expected cell for ready-made cells (crops.given), found {entry.view.kind}"
    elif entry.view.size > config.crops.size:
        expected = f"at most crops.size, {config.crops.size:g} px, for ready-made cells"
        yield f"{where}.view.size: expected {expected}, found {entry.view.size}"


def _of_crops(config: Config) -> Iterator[str]:
    """Ready-made cells have the channels of the screen, a size in pixels, and no label images."""
    given, crops = config.crops.given, config.crops
    if not ready_made(crops):
        if given.array is not None or given.channels or given.columns:
            yield "crops.given.table: expected the table of ready-made cells, since its other keys are set, found null"
        return
    lacking = [name for name in config.channels if name not in given.channels] if given.channels else []
    if lacking:
        yield f"crops.given.channels: expected all of channels, {list(config.channels)}, found no {lacking}"
    if len(set(given.channels)) < len(given.channels):
        yield f"crops.given.channels: expected each channel once, found {list(given.channels)}"
    if crops.unit != "px":
        yield f"crops.unit: expected px for ready-made cells, whose pixel size is unknown, found {crops.unit}"
    if crops.neighbours == "masked":
        yield "crops.neighbours: expected kept for ready-made cells, which have no label images, found masked"


def unknown_channels(config: Config, *, but: Mapping[str, Collection[str]] | None = None) -> Iterator[str]:
    """Yield each key with names of channels that `channels` lacks, but for the values `but` of a key.

    Nothing is yielded for a screen without images.
    """
    cytoplasm = config.cells.cytoplasm
    named: dict[str, Sequence[str]] = {"index.channels": tuple(config.index.channels)}
    if config.cells.activate and not ready_made(config.crops):
        stains = (cytoplasm,) if isinstance(cytoplasm, str) else cytoplasm
        named |= {"cells.nuclei": (config.cells.nuclei,), "cells.cytoplasm": tuple(stains)}
    for name, entry in config.encoders.items():
        stated = mapped_channels(tuple(entry.channel_map), entry.channel_map)
        named |= {f"encoders.{name}.channel_map": stated} if entry.inputs else {}
        named |= {f"encoders.{name}.channels": entry.channels} if entry.channels and not entry.inputs else {}
    # Their default is the first channel where none is called DNA; any other name is a slip.
    finders = {"embed.stain": config.embed.stain, "train.foreground_channel": config.train.foreground_channel}
    named |= {key: (name,) for key, name in finders.items() if name != STAIN}
    for key, names in named.items():
        unknown = [name for name in names if name not in config.channels and name not in (but or {}).get(key, ())]
        if unknown and needs_images(config.encoders):
            plain = {channel.casefold(): channel for channel in config.channels}
            close = [get_close_matches(name.casefold(), plain, n=1, cutoff=0.7) for name in unknown]
            near = [plain[found[0]] for found in close if found]
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            yield f"{key}: expected names out of channels, {list(config.channels)}, found {unknown}{hint}"


def _of_cellpose(cells: Cells) -> Iterator[str]:
    """Weights have a digest and an absolute path; both may be absent until `snakemake weights` has run."""
    weights = cells.cellpose.weights
    for kind, file in (("nuclei", weights.nuclei), ("cells", weights.cells)):
        where = f"cells.cellpose.weights.{kind}"
        if (file.path is None) != (file.sha256 is None):
            yield f"{where}: expected both path and sha256 or neither, found {file.path!r} and {file.sha256!r}"
        if file.path is not None and not Path(file.path).is_absolute():
            yield f"{where}.path: expected an absolute path, found {file.path!r}"


def _of_projection(images: Images) -> Iterator[str]:
    """The name of a plane belongs to the projection `plane` alone."""
    if (images.projection == "plane") != (images.plane is not None):
        expected = "the name of a plane" if images.projection == "plane" else "null except for the projection plane"
        yield f"images.plane: expected {expected}, found {images.plane!r}"


def _of_export(config: Config) -> Iterator[str]:
    """Formats that need trained encoders or segmented cells have them, so that an export has something to write."""
    formats, encoders = config.export.formats, config.encoders.values()
    if "models" in formats and not any(trains(entry) for entry in encoders):
        yield "export.formats: expected an encoder that is trained for models (steps above 0), found none"
    segmented = needs_images(config.encoders) and not ready_made(config.crops) and config.cells.activate
    if tuple(formats) == ("plates",) and not segmented:
        yield "export.formats: expected segmented cells for plates, whose labels they are; found none (cells.activate)"
