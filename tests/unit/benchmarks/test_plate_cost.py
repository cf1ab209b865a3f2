"""The cost of a plate is what its stages allot: worked out here by hand, from the same rates."""

import pytest

import benchmarks_of


@pytest.fixture(scope="module")
def benchmark():
    return benchmarks_of.load("plate_cost")


def test_a_job_on_a_shared_folder_pays_for_its_work(benchmark):
    table = benchmark.cost(benchmark.stages(1.5), rate=None, pack=9, unpack=9).set_index("stage")
    assert table["gigabytes"].sum() == 0
    assert table.loc["cells", "core_hours"] == pytest.approx((3456 * 1.5 + 10) / 3600)
    assert table.loc["survey", "core_hours"] == pytest.approx((17280 * 0.0146 + 4 * 10) / 3600)  # 4 cores also wait
    assert table.loc["embed", "gpu_hours"] == pytest.approx((691200 / 15700 / 8 + 10) / 3600)
    assert (table["gpu_hours"] > 0).sum() == 1


def test_a_job_that_copies_pays_for_the_wait_with_all_its_cores(benchmark):
    """`measure` gets 29 GB of pixels and 1.2 of labels, gives 0.5, and unpacks the pixels at 2 s per GB."""
    near, far = (
        benchmark.cost(benchmark.stages(1.5), rate=rate, pack=1, unpack=2).set_index("stage") for rate in (None, 0.5)
    )
    wait = (29 + 1.2 + 0.5) / 0.5 + 29 * 2
    more = far.loc["measure", "core_hours"] - near.loc["measure", "core_hours"]
    assert more == pytest.approx(4 * wait / 3600)
    assert far.loc["images", "core_hours"] - near.loc["images", "core_hours"] == pytest.approx(
        4 * (29 / 0.5 + 29 * 1) / 3600
    )
    assert far["gigabytes"].sum() == pytest.approx(2 * 40.3 + 5 * 29 + 1.2 + 1.2 + 0.3 + 3.5 + 2 * 0.5 + 1.1)


def test_a_machine_of_four_cores_is_paid_for_whole(benchmark):
    one, four = (
        benchmark.cost(benchmark.stages(1.5), rate=0.5, pack=1, unpack=1, least=least).set_index("stage")
        for least in (1, 4)
    )
    ratio = (four["core_hours"] / one["core_hours"]).to_dict()
    assert ratio == pytest.approx(
        {"cells": 4, "crops": 4, "others": 4} | dict.fromkeys(["survey", "images", "embed", "measure"], 1)
    )


def test_packing_a_plate_is_measured(benchmark):
    pack, unpack = benchmark.packing(5)
    assert 0 < pack < 60 and 0 < unpack < 60
