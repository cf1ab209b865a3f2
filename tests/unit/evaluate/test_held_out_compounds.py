"""An encoder whose training read labels is judged on compounds that gave none, and each score has a note of it."""

import pandas as pd

from evaluation_tables import table
from options import options
from wellspring.evaluate.run import evaluate
from wellspring.report import wording
from wellspring.screen.heldout import held_out

FIT = options("fit", steps=["sphere"], min_controls=4)
OPTIONS = options("evaluate", null_size=1000, bootstrap=100, permutations=0, metrics=["activity", "consistency"])


def plates(frame: pd.DataFrame) -> list[pd.DataFrame]:
    return [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]


def test_only_compounds_without_labels_are_judged_and_each_score_has_the_note():
    frame = table(seed=3, treatments=12, effect=2.0)
    names = sorted(set(frame.loc[frame["Metadata_pert_type"] == "trt", "Metadata_Compound"]))
    wanted = {name for name, out in zip(names, held_out(names, folds=2, fold=1), strict=True) if out}
    items, summary = evaluate(plates(frame), plates(frame), frame, options=OPTIONS, fit=FIT, heldout=(2, 1))
    judged = items[items["Metadata_Metric"] == "activity"]["Metadata_Item"].str.split("@").str[0]
    assert set(judged) == wanted and 0 < len(wanted) < 12
    told = [wording.worded(text) for text in summary["Metadata_Note"]]
    sentence = (
        f"training read the labels of other compounds: the {len(wanted)} of 12 compounds that are judged gave none"
    )
    assert all(sentence in each for each in told)
    left = frame[frame["Metadata_Compound"].isin(wanted) | (frame["Metadata_pert_type"] != "trt")].reset_index(
        drop=True
    )
    _, alone = evaluate(plates(left), plates(left), left, options=OPTIONS, fit=FIT)
    pd.testing.assert_series_equal(summary["value"], alone["value"])
    assert not any("labels" in wording.worded(text) for text in alone["Metadata_Note"])
