"""The report's panels of a training."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from wellspring.report import training


def test_numbers_that_are_measured_more_rarely_are_drawn_as_a_line_beside_their_baseline():
    steps = np.arange(0, 50, 10)
    rare = np.where(steps % 20, np.nan, 0.5)
    history = pd.DataFrame({"Metadata_Step": steps, "loss": 2.0, "ibot": 1.0, "retrieval": rare})
    history = history.assign(retrieval_chance=np.where(np.isnan(rare), np.nan, 0.1), koleo=np.nan)
    screen = SimpleNamespace(encoders=["small"], history={"small": history})
    (panel,) = training.panels(screen)
    loss, retrieval = panel["svgs"]
    assert "iBOT" in loss and "KoLeo" not in loss
    assert "share of wells that retrieve their replicate" in retrieval and ">chance<" in retrieval
    lines = [part.split('"')[0] for part in retrieval.split(' d="')[1:]]
    assert [line.count("M") + line.count("L") for line in lines] == [3, 3]
    assert [line.count("M") for line in lines] == [1, 1]
    assert panel["last"]["retrieval"] == "0.5"
