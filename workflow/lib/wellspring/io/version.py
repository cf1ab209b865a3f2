"""The version of the library, stated here alone."""

__version__ = "0.2.0"
