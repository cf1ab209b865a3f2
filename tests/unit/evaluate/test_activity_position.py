"""Activity has its position-only twin: where treatments lie in blocks, the position alone finds them."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate.populations import Population
from wellspring.evaluate.precision import expected
from wellspring.evaluate.run import scores
from wellspring.screen import config, sections


def noise(*, blocks: bool, seed: int) -> pd.DataFrame:
    """Two plates of 6 x 10 wells of noise: 12 controls and 12 treatments of 2 wells, in blocks or at random."""
    rng, rows = np.random.default_rng(seed), []
    contents = np.concatenate([np.full(12, -1), np.repeat(np.arange(24), 2)])
    for plate in range(2):
        order = contents if blocks else rng.permutation(contents)
        for place, compound in enumerate(order):
            row, column = place % 6, place // 6
            treated = compound >= 0
            rows.append(
                {
                    "Metadata_Plate": f"P{plate}",
                    "Metadata_Well": f"{'ABCDEF'[row]}{column + 1:02d}",
                    "Metadata_Compound": f"c{compound:02d}" if treated else "DMSO",
                    "Metadata_pert_type": "trt" if treated else "negcon",
                }
            )
    features = rng.standard_normal((len(rows), 9))
    return pd.concat([pd.DataFrame(rows), pd.DataFrame(features, columns=[f"x_{n}" for n in range(9)])], axis=1)


def found(frame: pd.DataFrame) -> dict:
    options = config.default(sections.Evaluate, metrics=["activity", "activity.retrieved"], null_size=1000)
    return {score.metric: score for score in scores(Population.of(frame, level="normalised"), options=options)}


def test_position_alone_finds_treatments_in_blocks_and_not_those_at_random():
    blocked, spread = (found(noise(blocks=blocks, seed=3)) for blocks in (True, False))
    alone = blocked["activity.position_only"]
    assert alone.value > 0.9 and alone.value > blocked["activity"].value + 0.3
    random = float(expected(3, 15))  # 3 replicates among them and the 12 controls of the plate
    assert alone.chance == pytest.approx(random) and alone.n == 24 and not len(alone.items)
    assert blocked["activity"].chance == pytest.approx(random, abs=0.05) and blocked["activity"].chance != random
    assert blocked["activity.retrieved.position_only"].value > 0.5 > blocked["activity.retrieved"].value
    assert spread["activity.retrieved.position_only"].value < 0.2
    assert spread["activity.position_only"].value < 0.6
