"""Wellspring: raw high-content-screening plates to evaluated per-well morphological profiles.

`import wellspring as ws` gives the functions that a notebook needs; they are loaded when they are first used. Their
names and types are in `__init__.pyi`.
"""

import lazy_loader

from wellspring.io.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
