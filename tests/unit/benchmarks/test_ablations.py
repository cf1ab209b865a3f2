"""The pure parts of the ablations: arms differ in the named settings, see equally many images, and are paired."""

import numpy as np
import pandas as pd
import pytest

import benchmarks_of
from wellspring.screen import config as configuration
from wellspring.screen.sections import Encoder, read
from wellspring.train.settings import resolve

ablations = benchmarks_of.load("ablations")


@pytest.fixture(scope="module")
def entries():
    config = configuration.resolve(ablations.settings(21, steps=50, chosen=list(ablations.arms(50))))
    return config["encoders"]


def flat(entry: dict, above: str = "") -> dict:
    found = {}
    for key, value in entry.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
    return found


@pytest.mark.parametrize(
    ("arm", "base", "keys"),
    [
        ("no_aggregation", "ssl", {"local_aggregation.kind"}),
        ("aggregate", "ssl", {"local_aggregation.kind"}),
        ("no_ibot", "ssl", {"distillation.ibot.weight"}),
        ("no_koleo", "ssl", {"distillation.koleo"}),
        ("flips", "ssl", {"augmentation.preset"}),
        ("paper_views", "ssl", {"augmentation.preset"}),
        ("no_ramp", "ssl", {"augmentation.ramp"}),
        ("random", "ssl", {"steps"}),
        ("random_tiles", "tiles", {"steps"}),
    ],
)
def test_an_arm_differs_from_its_base_in_what_its_name_says(entries, arm, base, keys):
    mine, other = flat(entries[arm]), flat(entries[base])
    assert {key for key in mine | other if mine.get(key) != other.get(key)} == keys


def test_trained_arms_see_the_same_number_of_images(entries):
    trained = [entry for entry in entries.values() if entry["kind"] != "classical" and entry["steps"] != 0]
    assert {(entry["steps"], entry["batch"]) for entry in trained} == {(50, 64)}
    assert all(resolve(read(Encoder, entry), seed=1).sites in (1, 2) for entry in trained)


def test_the_medium_screen_has_eight_mechanisms_of_four_compounds_and_all_nuisances():
    screen = ablations.screen()
    assert (screen.mechanism_count, screen.compounds_per_mechanism) == (8, 4)
    assert len(screen.batches) == len(screen.cell_lines) == 2
    assert screen.nuisance.plate_gain > 0 and screen.nuisance.gradient > 0 and screen.nuisance.edge_density < 1


def test_differences_are_paired_and_an_arm_of_one_seed_is_compared_on_it_alone():
    rng, rows = np.random.default_rng(0), []
    for seed in (1, 2):
        for number in range(6):
            base = rng.normal(0, 10)
            for arm, more in {"ssl": 0.0, "random": -0.5, **({"classical": 0.25} if seed == 1 else {})}.items():
                for level in ablations.LEVELS:
                    for score in ablations.SCORES:
                        rows.append((seed, f"C{number}", arm, level, score, True, base + more, 0.1))
    columns = ["seed", "treatment", "encoder", "level", "score", "active", "value", "chance"]
    found = ablations.figures(pd.DataFrame(rows, columns=columns))
    assert found["aligned.consistency.random_minus_ssl"] == pytest.approx([-0.5, -0.5, -0.5, 12])
    assert found["normalised.transfer.classical_minus_ssl"] == pytest.approx([0.25, 0.25, 0.25, 6])
