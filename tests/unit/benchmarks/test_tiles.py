"""The pure parts of the benchmark of tiles: arms differ in the named settings and can be built, figures are paired."""

import numpy as np
import pandas as pd
import pytest

import benchmarks_of
from wellspring.screen import config as configuration
from wellspring.screen.heldout import held_out
from wellspring.screen.sections import Encoder, read
from wellspring.train.rehearsal import rehearse

tiles = benchmarks_of.load("tiles")


@pytest.fixture(scope="module")
def entries():
    return configuration.resolve(tiles.settings(tiles.entries(tiles.ARMS, [50])))["encoders"]


def flat(entry: dict, above: str = "") -> dict:
    found = {}
    for key, value in entry.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


AGGREGATION = "local_aggregation."
CHANGED = {
    "no_ibot": {"distillation.ibot.weight"},
    "no_koleo": {"distillation.koleo"},
    "koleo_wells": {"distillation.koleo_neighbours"},
    "no_aggregation": {f"{AGGREGATION}kind"},
    "native": {"augmentation.overrides.crop", "augmentation.ramp"},
    "ramp": {"augmentation.ramp"},
    "slow": {"distillation.momentum"},
    "registers": {"backbone_options.reg_tokens"},
    "conv_stem": {"backbone", "backbone_options.patch_size"},
    "mixed_plates": {"one_plate"},
    "adversary": {"one_plate", "adversary.weight"},
    "treatment": {"one_plate", f"{AGGREGATION}kind", f"{AGGREGATION}positives", f"{AGGREGATION}heldout"},
    "adaptive": {"stem"},
}


@pytest.mark.parametrize("arm", CHANGED)
def test_an_arm_differs_from_the_first_in_what_its_name_states(entries, arm):
    mine, other = flat(entries[f"{arm}_50"]), flat(entries["resized_50"])
    assert {key for key in mine | other if mine.get(key) != other.get(key)} == CHANGED[arm]


def test_each_arm_has_an_untrained_twin_and_can_be_built(entries):
    assert {name.rpartition("_")[0] for name in entries} - {""} == set(tiles.ARMS)
    for name, entry in entries.items():
        if name not in ("intensity", "imagenet"):
            rehearse(read(Encoder, entry), name=name, channels=5, seed=1)
            arm, _, steps = name.rpartition("_")
            twin = flat(entries[f"{arm}_random"])
            assert {key for key, value in flat(entry).items() if twin.get(key) != value} <= {"steps"}
            assert entry["steps"] == (0 if steps == "random" else 50)


def screen(shift: dict[str, float]) -> pd.DataFrame:
    """Scores of four mechanisms of four compounds, on two screens; encoders differ by a known shift."""
    rng, rows = np.random.default_rng(3), []
    for seed in (21, 22):
        for mechanism in range(4):
            for compound in range(4):
                base = rng.normal()
                for encoder, value in shift.items():
                    key = {"seed": seed, "mechanism": f"m{mechanism}", "treatment": f"c{seed}_{mechanism}_{compound}"}
                    for score in tiles.SCORES:
                        # What labels add to the compounds that they were read of must not count.
                        read_of = 9.0 * (
                            encoder == "treatment_50" and not held_out([key["treatment"]], folds=2, fold=0)[0]
                        )
                        rows.append(key | {"encoder": encoder, "score": score, "value": base + value + read_of})
    frame = pd.DataFrame(rows).assign(active=True, chance=0.1)
    nuisance = [{"encoder": name, "score": "nuisance.plate", "value": 0.5, "treatment": ""} for name in shift]
    return pd.concat(
        [frame.assign(level=level) for level in tiles.LEVELS] + [pd.DataFrame(nuisance).assign(level="aligned")]
    )


def test_figures_are_paired_with_the_twin_and_with_the_first_arm_of_the_same_steps():
    shift = {"resized_50": 0.3, "resized_100": 0.5, "resized_random": 0.0, "treatment_50": 0.4, "treatment_random": 0.1}
    found = tiles.figures(screen(shift | {"resized_50.overlap": 0.6}), first="resized")
    for score in ("consistency", "transfer"):
        at = f"aligned.{score}."
        assert found[f"{at}resized_100_minus_random"][:3] == pytest.approx([0.5] * 3)
        assert found[f"{at}treatment_50_minus_base"][:3] == pytest.approx([0.1] * 3)
        assert found[f"{at}treatment_50_minus_random"][:3] == pytest.approx([0.3] * 3)
        assert found[f"{at}resized_50.overlap_minus_base"][:3] == pytest.approx([0.3] * 3)
        assert f"{at}resized_50_minus_base" not in found and f"{at}resized_random_minus_random" not in found
        assert found[f"{at}resized_50_minus_random"][3] == 32 and 0 < found[f"{at}treatment_50"][3] < 32
    assert found["aligned.nuisance.plate.resized_50"] == 0.5
