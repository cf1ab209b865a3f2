"""Wellspring: raw high-content-screening plates to evaluated per-well morphological profiles."""

__version__ = "0.2.0"
