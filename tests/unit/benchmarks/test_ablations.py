"""The pure parts of the ablations: arms differ in the named settings, see equally many images, and are paired."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

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


def table(rows):
    columns = ["seed", "mechanism", "treatment", "encoder", "level", "score", "active", "value", "chance"]
    return pd.DataFrame(rows, columns=columns)


def test_differences_are_paired_and_an_arm_of_one_seed_is_compared_on_it_alone():
    rng, rows = np.random.default_rng(0), []
    for seed in (1, 2):
        for number in range(12):
            base, names = rng.normal(0, 10), (f"M{number // 2}", f"C{number}")
            for arm, more in {"ssl": 0.0, "random": -0.5, **({"classical": 0.25} if seed == 1 else {})}.items():
                for level in ablations.LEVELS:
                    for score in ablations.SCORES:
                        rows.append((seed, *names, arm, level, score, True, base + more, 0.1))
    found = ablations.figures(table(rows))
    assert found["aligned.consistency.random_minus_ssl"] == pytest.approx([-0.5, -0.5, -0.5, 24])
    assert found["normalised.transfer.classical_minus_ssl"] == pytest.approx([0.25, 0.25, 0.25, 12])


def test_an_interval_is_that_of_the_means_of_mechanisms():
    rng, rows = np.random.default_rng(1), []
    for seed, number in ((seed, number) for seed in (1, 2) for number in range(5)):
        own = rng.normal(0, 1)
        rows += [
            (seed, f"M{number}", f"C{number}{c}", "ssl", "aligned", "x", True, own + rng.normal(), 0) for c in "abc"
        ]
    frame = table(rows)
    mean, low, high, count = ablations.interval(ablations.wide(frame, "aligned", "x")["ssl"])
    of = frame.groupby(["seed", "mechanism"])["value"].mean()
    half = student.ppf(0.975, 9) * of.std(ddof=1) / np.sqrt(10)
    assert (mean, low, high, count) == pytest.approx((of.mean(), of.mean() - half, of.mean() + half, 30))
    few = ablations.interval(ablations.wide(frame[frame["mechanism"] == "M0"], "aligned", "x")["ssl"])
    assert np.isnan(few[1:3]).all() and few[3] == 6, "two mechanisms have no interval"
