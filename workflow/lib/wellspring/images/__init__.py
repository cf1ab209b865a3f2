"""Corrected pixels, as an OME-Zarr plate."""
