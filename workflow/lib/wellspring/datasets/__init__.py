"""Recipes of public data sets: published metadata files in, the folder of a screen that this workflow runs out.

``bbbc021`` and ``cpjump1`` make such a folder, ``compare`` holds a finished one against the published numbers, and
``submission`` writes the file of the cell line transferability challenge. Configs, numbers and instructions are in
``resources/datasets``. Nothing is downloaded.
"""
