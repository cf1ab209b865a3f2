"""Check the encoders of a screen before any job: files of weights, networks that can be built, tables that exist."""

import dataclasses
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from wellspring.cells import model_files
from wellspring.encoders.factory import Factory
from wellspring.io.packaged import is_packaged
from wellspring.screen.encoder_kinds import trains
from wellspring.screen.sections import Config
from wellspring.workflow.finding import Finding, message


def trained(config: Config) -> list[Finding]:
    """Check that the files of weights can be read and have the sha256 of the config."""
    found = []
    for name, entry in config.encoders.items():
        if entry.weights is not None:
            file, what = entry.weights, f"encoder {name}"
            try:
                model_files.check(file.path, file.sha256, key=f"encoders.{name}.weights")
                found.append(Finding("ok", what, f"{file.path}: readable, sha256 {file.sha256} as in the config"))
            except (ValueError, OSError) as error:
                elsewhere = is_packaged(file.path) and importlib.util.find_spec("torch") is None
                found.append(Finding("warning" if elsewhere else "problem", what, message(error)))
    if config.cells.activate and config.cells.method == "cellpose":
        found += _cellpose(config)
    return found


def _cellpose(config: Config) -> list[Finding]:
    found = []
    key, weights = "cells.cellpose.weights", config.cells.cellpose.weights
    try:
        model_files.named(dataclasses.asdict(weights), key=key)
        for kind, file in (("nuclei", weights.nuclei), ("cells", weights.cells)):
            if file.path is not None and file.sha256 is not None:
                model_files.check(file.path, file.sha256, key=f"{key}.{kind}")
                found.append(Finding("ok", "cells", f"{file.path}: readable, sha256 as in the config"))
    except (ValueError, OSError) as error:
        found.append(Finding("problem", "cells", message(error)))
    return found


def networks(config: Config) -> list[Finding]:
    """Build each network of timm without memory for its weights; nothing is found without PyTorch.

    Trainings are left out: they are built for the size of their checkpoints (`room`).
    """
    kinds = ("simclr", "sslprofiler", "dino", "timm")
    mine = {name: entry for name, entry in config.encoders.items() if entry.kind in kinds and not trains(entry)}
    if not mine or importlib.util.find_spec("torch") is None:
        return []
    # Imported by name: the module needs PyTorch, which the conda environment of the check lacks.
    rehearse = importlib.import_module("wellspring.train.rehearsal").rehearse
    found = []
    for name, entry in mine.items():
        try:
            rehearse(entry, name=name, channels=len(config.channels), seed=config.seed)
        except ValueError as error:
            found.append(Finding("problem", f"encoder {name}", message(error)))
    return found


def own_networks(config: Config) -> list[Finding]:
    """Build each network of kind module on the CPU, and check its output; without PyTorch, only find its source."""
    found = []
    for name, entry in config.encoders.items():
        if entry.kind != "module" or entry.factory is None:
            continue
        what, factory = f"encoder {name}", Factory.read(entry.factory, key=f"encoders.{name}.factory")
        try:
            files = len(factory.sources())
            if importlib.util.find_spec("torch") is None:
                words = f"{factory}: found ({files} source files), not built: PyTorch is not installed here"
                found.append(Finding("warning", what, words))
                continue
            # By name, since the conda environment of the check has no PyTorch, which these modules import.
            build, settings = map(importlib.import_module, ("wellspring.train.build", "wellspring.train.settings"))
            setting = settings.resolve(entry, seed=config.seed)
            network = build.network(setting, channels=len(entry.channels or config.channels))
            weights = sum(each.numel() for each in network.parameters())
            found.append(Finding("ok", what, f"{factory}: built, with {weights:,} weights"))
        except (ValueError, OSError) as error:
            found.append(Finding("problem", what, message(error)))
    return found


def foreign(config: Config, plates: Sequence[str]) -> list[Finding]:
    """Check that the tables of encoders of kind table exist, one per plate or one for all."""
    found: list[Finding] = []
    for name, entry in config.encoders.items():
        if entry.kind == "table" and entry.files is not None:
            files = {plate: Path(entry.files.replace("{plate}", plate)) for plate in plates}
            lost = [
                f"{plate}: expected a table at {path}, found none"
                for plate, path in files.items()
                if not path.is_file()
            ]
            found += [Finding("problem", f"encoder {name}", words) for words in lost]
            found += [] if lost else [Finding("ok", f"encoder {name}", f"{len(set(files.values()))} tables found")]
    return found
