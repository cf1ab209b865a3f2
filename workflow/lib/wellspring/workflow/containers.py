"""Images of jobs under `--software-deployment-method apptainer`: which image a job takes, and the folders it must see.

Without that option Snakemake ignores the directive `container:`, and nothing here is read.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from wellspring.io import object_store
from wellspring.io.version import __version__

# Environment (a file of envs/) -> the target of envs/Containerfile whose image has it; every other one is in `full`.
TARGETS = {"core": "core", "harmony": "harmony"}
HOW = "Build it with envs/image.sh (docs/containers.md), or set the variable WELLSPRING_IMAGES to where the images are"


def image(environment: str, *, where: str | None) -> str:
    """Return the image of the jobs of an environment: a file, or the URL of a registry.

    Parameters
    ----------
    environment
        Path or name of a conda environment, as `envs/core.yaml`.
    where
        A folder of `wellspring-TARGET.sif`, or a URL without tag, as `docker://REGISTRY/wellspring`, whose tags are
        `VERSION-TARGET`; None is the folder `containers` of the working directory.

    Examples
    --------
    >>> image("../../envs/torch.yaml", where="/images")
    '/images/wellspring-full.sif'
    >>> image("core", where="docker://registry.example/wellspring").startswith("docker://registry.example/wellspring:")
    True
    """
    target = TARGETS.get(Path(environment).stem, "full")
    if where and "://" in where:
        return f"{where.rstrip('/')}:{__version__}-{target}"
    return str(Path(where or "containers").absolute() / f"wellspring-{target}.sif")


def missing(images: Iterable[str]) -> list[str]:
    """Return what is wrong with images that are files: there is none. A registry is not asked."""
    files = sorted({one for one in images if "://" not in one})
    return [f"{file}: expected the image of a job, found none. {HOW}" for file in files if not Path(file).is_file()]


def binds(clone: Path, read: Iterable[str], *, given: str = "") -> str:
    """Return the folders that a job must see in its container, in the form of the variable APPTAINER_BIND.

    apptainer shows the working directory by itself. Folders that do not exist are left out, since it refuses them.

    Parameters
    ----------
    clone
        The workflow's clone, whose library the jobs run; read-only in the container.
    read
        Files and folders that jobs read; URLs of object stores are ignored. Links are followed.
    given
        The present value of the variable, which comes first; a job's process has that of the process that started it.

    Raises
    ------
    ValueError
        The path of a folder has a comma or colon, which separate the parts of the variable.
    """
    wanted = {clone.resolve()}
    for path in (Path(name).absolute() for name in map(str, read) if name and not object_store.is_url(name)):
        if _there(path):
            wanted |= {_shown(path), _shown(path.resolve())}
    here = Path.cwd().resolve()
    outer = {path for path in wanted if not wanted & set(path.parents)}
    inside = {path for path in outer if path == here or here in path.parents}
    odd = sorted(str(path) for path in outer - inside if re.search("[,:]", str(path)))
    if odd:
        raise ValueError(f"expected folders without comma and colon for jobs in containers, found {odd}: rename them")
    lines = [f"{path}:{path}:ro" for path in sorted(outer - inside)]
    return ",".join(filter(None, [given, *(line for line in lines if line not in given.split(","))]))


def files_of(config: object) -> list[str]:
    """Return the files and folders that a config names, at any depth: its strings, up to a placeholder, that exist.

    Examples
    --------
    >>> files_of({"seed": 1, "illumination": {"given": "/usr/{optics}.npy", "method": "given"}})
    ['/usr']
    """
    if isinstance(config, Mapping):
        return [path for value in config.values() for path in files_of(value)]
    if isinstance(config, list | tuple):
        return [path for value in config for path in files_of(value)]
    if not isinstance(config, str) or "/" not in config or object_store.is_url(config):
        return []
    path = config if "{" not in config else config.split("{", 1)[0].rpartition("/")[0]
    return [path] if path.strip("/") and _there(Path(path)) else []


def _there(path: Path) -> bool:
    """Return whether a path exists; False for a text that is no path, or one that may not be looked up."""
    try:
        return path.exists()
    except OSError:
        return False


def _shown(path: Path) -> Path:
    """Return the folder that is shown for a file or folder: its parent, unless that is the root."""
    return path if path.is_dir() or path.parent == Path(path.anchor) else path.parent
