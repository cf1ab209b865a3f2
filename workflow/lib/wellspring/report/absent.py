"""What a part of the page says where it has nothing to show: a screen in, a sentence a part out.

The reasons are what the stages said (the notes of metrics without a value) and what the tables lack; no part vanishes.
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
    "dose": ("dose",),
}


def sentences(screen: Screen) -> dict[str, str]:
    """Return part -> why it is empty, for every part that can be."""
    images = f"{NO_IMAGES}: its profiles come from tables." if screen.aligned else f"{NO_IMAGES}."
    found = {part: _undrawn(screen, starts) for part, starts in DRAWN.items()}
    found["dose"] = _doseless(screen) or found["dose"]
    return found | {
        "metrics": "Nothing was evaluated: there is no summary of any encoder.",
        "alignment": "No main metric has values at two profile levels, so what alignment changed can not be shown.",
        "map": NO_PROFILES,
        "plates": "No stage wrote a number of any well.",
        "samples": images if screen.survey.empty else "No image of a named treatment was kept.",
        "cells": images if screen.survey.empty else "No cells were segmented in this run.",
        "illumination": images if screen.survey.empty else "No flat field was estimated or given.",
        "survey": images,
        "training": "No encoder of this screen has a training, a card or a choice of features of its own.",
        "time": "No run times were found beside the results.",
    }


def _undrawn(screen: Screen, starts: tuple[str, ...]) -> str:
    """Return the notes of the metrics that begin with `starts` and have no value anywhere, in one sentence."""
    rows = screen.summary
    if rows.empty:
        return "Nothing was evaluated."
    heads = rows["Metadata_Metric"].str.split(".").str[0]
    mine = rows[heads.isin(starts) & rows["value"].isna()]
    parts = list(dict.fromkeys(words(note) for text in pick(mine, "Metadata_Note").dropna() for note in parse(text)))
    return f"Not drawn: {'; '.join(parts[:3])}." if parts else "The evaluation wrote no item of it."


def _doseless(screen: Screen) -> str:
    """Return why no compound has a dose curve, empty where the tables do not tell."""
    if not screen.aligned:
        return NO_PROFILES
    names = ("Compound", "Concentration", "pert_type")
    frames = [{name: pick(frame, f"Metadata_{name}") for name in names} for frame in screen.aligned.values()]
    wells = pd.concat([pd.DataFrame(columns) for columns in frames], ignore_index=True)
    for kind, name in (("negcon", "negative"), ("poscon", "positive")):
        if not (wells["pert_type"] == kind).any():
            return f"There are no {name} controls, and a dose curve lies between the two."
    treated = wells[wells["pert_type"] == "trt"]
    most = treated.groupby("Compound")["Concentration"].nunique().max() if len(treated) else 0
    return "" if most >= 3 else "No compound has three concentrations or more."
