"""Locate the factory of a custom network, and compute the digest of its source. Works without PyTorch.

A factory is written as `PACKAGE.MODULE:FUNCTION` (importable where Snakemake runs and in its jobs, for example by
`PYTHONPATH`) or as `FILE.py:FUNCTION` (relative to the working directory, as all paths of the config). A file may
import installed packages, but not files beside it.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

WRITTEN = re.compile(r"(?P<module>.+):(?P<function>[A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True)
class Factory:
    """A factory as the config writes it, split at its colon.

    Attributes
    ----------
    module
        Dotted name of a module, or the path of a file that ends in `.py`.
    function
        Name of the callable in it.
    key
        The config key, for messages.
    """

    module: str
    function: str
    key: str = "encoders.factory"

    @classmethod
    def read(cls, written: str, *, key: str = "encoders.factory") -> "Factory":
        """Split `MODULE:FUNCTION`.

        Raises
        ------
        ValueError
            The text has another form.

        Examples
        --------
        >>> Factory.read("networks.py:small").function
        'small'
        """
        found = WRITTEN.fullmatch(written)
        if found is None:
            raise ValueError(f"{key}: expected PACKAGE.MODULE:FUNCTION or FILE.py:FUNCTION, found {written!r}")
        return cls(found["module"], found["function"], key)

    def __str__(self) -> str:
        return f"{self.module}:{self.function}"

    @property
    def file(self) -> Path | None:
        """The file, None for a factory in a package."""
        return Path(self.module) if self.module.endswith(".py") else None

    def sources(self) -> dict[str, Path]:
        """Return the source files, by name: the file itself, or all `.py` files of the top-level package.

        Nothing is imported.

        Raises
        ------
        ValueError
            The file or the package is missing; names the key.
        """
        if self.file is not None:
            if not self.file.is_file():
                raise ValueError(
                    f"{self.key}: expected a file at {self.file.absolute()} (paths are relative to the working "
                    "directory), found none"
                )
            return {self.file.name: self.file}
        top = self.module.split(".")[0]
        try:
            spec = importlib.util.find_spec(top)
        except (ImportError, ValueError):
            spec = None
        if spec is None:
            raise ValueError(
                f"{self.key}: expected an importable package, found none called {top!r}; install it, add its folder to "
                "PYTHONPATH, or give a file as FILE.py:FUNCTION"
            )
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        files = {
            str(file.relative_to(folder.parent)): file for folder in folders for file in sorted(folder.rglob("*.py"))
        }
        if not files and spec.origin is not None:
            files = {Path(spec.origin).name: Path(spec.origin)}
        return files

    def digest(self) -> str:
        """Return the sha256 (hexadecimal) of names and contents of the source files; see `sources`."""
        whole = hashlib.sha256()
        for name, file in sorted(self.sources().items()):
            whole.update(f"{name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
        return whole.hexdigest()

    def load(self) -> Callable[..., object]:
        """Import the module and return the callable.

        Raises
        ------
        ValueError
            The file or the package is missing, its import fails, or it has no such callable; names the key.
        """
        self.sources()
        try:
            module = importlib.import_module(self.module) if self.file is None else _import_file(self.file)
        except Exception as error:  # any exception that a module raises while it is imported
            raise ValueError(
                f"{self.key}: {self.module} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        function: Callable[..., object] | None = getattr(module, self.function, None)
        if not callable(function):
            public = [name for name, each in vars(module).items() if callable(each) and not name.startswith("_")]
            raise ValueError(f"{self.key}: {self.module} has no function {self.function!r}; it has {public[:10]}")
        return function


def source_of(entry: Mapping[str, object], *, name: str) -> str | None:
    """Return the source digest of an entry of `encoders` of kind module; None for the other kinds."""
    if entry["kind"] != "module":
        return None
    return Factory.read(str(entry["factory"]), key=f"encoders.{name}.factory").digest()


def _import_file(file: Path) -> ModuleType:
    """Import a file under a unique name; import it again if its content has changed."""
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    name = f"wellspring_factory_{file.stem}_{content[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
