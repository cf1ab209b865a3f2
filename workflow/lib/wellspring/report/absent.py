"""The sentence that replaces an empty section of the page, so that no section is missing.

Reasons come from the notes of metrics without a value and from tables without rows.
"""

import pandas as pd

from wellspring.report.gather import Screen, pick
from wellspring.report.wording import parse, words

NO_IMAGES = "No images were read in this run"
NO_PROFILES = "No aligned profiles were made."
# part of the page -> starts of the metrics that it draws
DRAWN = {
    "activity": ("activity",),
    "consistency": ("consistency",),
    "matches": ("nsc", "nscb"),
    "transfer": ("transfer",),
}


def sentences(screen: Screen) -> dict[str, str]:
    """Return part -> why it is empty, for every part that can be."""
    source = "its cells are ready-made crops" if screen.crops else "its profiles come from tables"
    images = f"{NO_IMAGES}: {source}." if screen.aligned else f"{NO_IMAGES}."
    found = {part: _undrawn(screen, starts) for part, starts in DRAWN.items()}
    return found | {
        "dose": _doseless(screen),
        "metrics": "Nothing was evaluated: there is no summary of any encoder.",
        "alignment": "No main metric has values at two profile levels, so the effect of alignment cannot be shown.",
        "map": NO_PROFILES,
        "plates": "No stage measured a value per well.",
        "samples": images if screen.survey.empty else "No image of a named treatment was kept.",
        "cells": images if screen.survey.empty else "No cells were segmented in this run.",
        "illumination": images if screen.survey.empty else "No flat field was estimated or given.",
        "survey": images,
        "training": "No encoder of this screen has a training history, a card or a feature selection.",
        "time": "No run times were found in the benchmarks folder.",
    }


def _undrawn(screen: Screen, starts: tuple[str, ...]) -> str:
    """Return the notes of the metrics that begin with `starts` and have no value anywhere, in one sentence."""
    rows = screen.summary
    if rows.empty:
        return "Nothing was evaluated."
    heads = rows["Metadata_Metric"].str.split(".").str[0]
    mine = rows[heads.isin(starts) & rows["value"].isna()]
    notes = [note for text in pick(mine, "Metadata_Note").dropna() for note in parse(text)]
    own = [note for note in notes if note.code != "needs_metrics"]  # the reason of those metrics is the reason here
    parts = list(dict.fromkeys(words(note) for note in own or notes))
    return f"Not drawn: {'; '.join(parts[:3])}." if parts else "The evaluation has no values for this part."


def _doseless(screen: Screen) -> str:
    """Return why no compound has a dose curve."""
    if not screen.aligned:
        return NO_PROFILES
    names = ("Compound", "Concentration", "pert_type")
    frames = [{name: pick(frame, f"Metadata_{name}") for name in names} for frame in screen.aligned.values()]
    wells = pd.concat([pd.DataFrame(columns) for columns in frames], ignore_index=True)
    if not (wells["pert_type"] == "negcon").any():
        return "No negative controls: responses are measured from them."
    treated = wells[wells["pert_type"].isin(["trt", "poscon"])]
    most = treated.groupby("Compound")["Concentration"].nunique().max() if len(treated) else 0
    if not most >= 3:
        return "No compound has three concentrations or more."
    return "No compound has two replicates of its highest dose and four negative controls on their plates."
