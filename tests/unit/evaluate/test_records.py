"""What the metrics' records state, and the small parts that scores are made of, each by its definition."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import screen
from wellspring.evaluate import wells
from wellspring.evaluate.guards import position_features
from wellspring.evaluate.levels import join
from wellspring.evaluate.metrics import METRICS
from wellspring.evaluate.nearest import permuted
from wellspring.evaluate.neighbourhood_formulas import connectivity, kernel
from wellspring.evaluate.precision import expected, shared_null
from wellspring.evaluate.purity import replicate_connectivity
from wellspring.evaluate.score import Score

TREATED = {"replicating", "consistency", "matching", "nsc", "nscb", "hit", "precision", "enrichment", "transfer"}
TREATED |= {"clisi", "connectivity", "consistency.retrieved", "mechanisms.retrieved"}  # scores of treated wells alone


def names(**flags):
    return {metric.name for metric in METRICS if all(getattr(metric, key) == value for key, value in flags.items())}


def test_records_state_what_a_score_is():
    """Batch and position effects and the drop are better when low; controls have no treatments that a layout fixes."""
    nuisance = {f"nuisance.{name}" for name in ("batch", "plate", "row", "column", "edge")}
    mixing = {f"mixing.{name}" for name in ("kbet", "ilisi", "silhouette")}
    replicates = {"activity", "activity.retrieved", "activity.adjusted", "grit", "grit.mechanism"}
    dose = {"dose.spearman", "dose.z_prime"}
    assert names() == TREATED | nuisance | mixing | replicates | dose | {"nsc.drop"}
    assert names(direction=-1) == nuisance | {"nsc.drop"}
    assert names(direction=1) == names() - names(direction=-1)
    assert names(position_only=True) == TREATED | {"activity", "activity.retrieved"}
    assert names(layout=True) == TREATED | replicates
    assert names(permuted=True) == {"consistency", "nsc", "transfer"}
    assert names(best_at_chance=True) == mixing
    main = {"activity", "activity.retrieved", "consistency", "nsc", "nscb", "dose.spearman"}
    assert names(main=True) == main | {"nuisance.batch", "nuisance.plate", "nuisance.edge"}
    assert {metric.name: metric.splits for metric in METRICS if metric.splits} == dict.fromkeys(mixing, 1) | {
        "transfer": 2
    }


def test_permuted_values_have_their_percentiles_and_the_p_of_the_real_value():
    values = np.append(np.random.default_rng(0).permutation(np.arange(201) / 200), np.nan)
    units = pd.DataFrame({"stratum": "s", "cluster": list("ab"), "value": 0.9})
    found = permuted(Score("nsc", units=units), values)
    assert found.metric == "nsc.permuted" and found.n == 201
    assert found.interval == pytest.approx((0.025, 0.975)) and found.chance == pytest.approx(0.5)
    assert found.notes[0].values == {"rounds": 201, "p": float(f"{22 / 202:.3g}")}, "180 of 200 and above: 21 draws"
    assert np.isnan(permuted(Score("nsc", units=units), np.array([np.nan])).value)


def test_the_edge_is_that_of_each_plate():
    """The second plate reaches further than the first, and an earlier column of edges does not count."""
    first = [f"{row}{column:02d}" for row in "ABC" for column in (1, 2, 3)]
    second = [f"{row}{column:02d}" for row in "BCDEF" for column in (2, 3, 4, 5)]
    plates = [
        pd.DataFrame({"Metadata_Plate": plate, "Metadata_Well": own, "Metadata_pert_type": "trt"})
        for plate, own in (("P1", first), ("P2", second))
    ]
    plates[1]["Metadata_Edge"] = False
    found = join(plates[::-1]).set_index(["Metadata_Plate", "Metadata_Well"])["Metadata_Edge"]
    inner = {("P1", "B02")} | {("P2", f"{row}{column:02d}") for row in "CDE" for column in (3, 4)}
    assert set(found.index[~found.astype(bool)]) == inner and len(found) == 29
    assert list(found.index) == sorted(found.index)


def test_positions_count_from_one_and_names_that_are_none_have_no_place():
    found = wells.positions(pd.DataFrame({"Metadata_Well": ["A01", "C12", "nowhere"]}))
    np.testing.assert_array_equal(found[["row", "column"]], [[1, 1], [3, 12], [np.nan, np.nan]])


def test_positions_are_angles_that_span_a_quarter_turn():
    found = position_features(pd.DataFrame({"Metadata_Well": ["B03", "D03", "F11", "C07", "x"]}))
    rows, columns = np.array([0, 0.5, 1, 0.25]) * np.pi / 2, np.array([0, 0, 1, 0.5]) * np.pi / 2
    np.testing.assert_allclose(
        found[:4], np.column_stack([np.cos(rows), np.sin(rows), np.cos(columns), np.sin(columns)]), atol=1e-12
    )
    assert np.isnan(found[4]).all()
    near = position_features(pd.DataFrame({"Metadata_Well": ["B03", "B04"]}))
    np.testing.assert_allclose(near, [[1, 0, 1, 0], [1, 0, 0, 1]], atol=1e-12)


def test_the_first_well_is_a_neighbour_as_any_other():
    neighbours = np.array([[1], [0], [0], [-1], [5], [4]])
    assert connectivity(neighbours, np.array([0, 0, 0, 1, 2, 2])) == {0: pytest.approx(2 / 3), 1: 1.0, 2: 1.0}


def test_compounds_of_two_wells_have_a_connectivity_and_those_of_one_have_none():
    x, meta = screen(seed=3, plates=1, treatments=6, per_plate=2, effect=3.0)
    meta["Metadata_Compound"] = meta["Metadata_Compound"].where(meta.index != meta.index[-1], "alone")
    found = replicate_connectivity(x, meta, neighbours=3)
    items = found.items.set_index("Metadata_Item")
    treated = meta.loc[meta["Metadata_pert_type"] == "trt", "Metadata_Compound"].value_counts()
    assert {name.split("|")[0]: count for name, count in items["n"].items()} == treated[treated > 1].to_dict()
    assert found.n_undefined == 2, "the well alone, and the one that it left"


@pytest.mark.parametrize("perplexity", [2.0, 5.0, 12.0])
def test_the_kernel_has_the_entropy_that_is_asked_for(perplexity):
    distances = np.sort(np.random.default_rng(2).gamma(3, size=(6, 20)), axis=1) * [[0.01], [0.1], [1], [10], [1], [1]]
    weights = kernel(distances, perplexity)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(np.exp(-(weights * np.log(weights + 1e-300)).sum(axis=1)), perplexity, rtol=1e-4)
    assert (np.diff(weights, axis=1) <= 0).all()


def test_the_null_has_the_mean_of_a_random_order_and_is_shared_read_only():
    null = shared_null(4, 12, size=4000, seed=0)
    assert len(null) == 4000 and (np.diff(null) >= 0).all() and not null.flags.writeable
    assert null.mean() == pytest.approx(float(expected(3, 15)), abs=4 * null.std() / 4000**0.5)
    assert len(shared_null(60, 20, size=20_000, seed=0)) == 30_000_000 // (48 * 67)
    assert len(shared_null(48, 900, size=5000, seed=0)) == 1000
