"""Recipes of public data sets: make the folder of a screen that this workflow runs from published metadata files.

``bbbc021``, ``cpjump1``, ``jump_lite`` and ``gallery`` make such a folder, ``compare`` compares a finished one with the
published numbers, and ``submission`` writes the file of the cell line transferability challenge. Configs, numbers and
instructions are in ``resources/datasets``. No image is downloaded; ``jump_lite`` and ``gallery`` read tables from an
object store if they are given its URL.
"""
