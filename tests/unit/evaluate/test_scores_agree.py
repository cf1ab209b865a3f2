"""Scores against each other and against loops: one label or several, doses, grit, guards, defaults and small inputs."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, spearmanr
from test_scores_in_loops import SEEDS, by_item, usable

from evaluation_tables import FIT, OPTIONS, table, uneven
from wellspring.evaluate import consistency, hits, multilabel, nearest, neighbours, precision, retrieval, wells
from wellspring.evaluate.dose import axis_scores, dose, redrawn_spearman, redrawn_z_prime, spearman, z_prime
from wellspring.evaluate.grit import against, grit
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.guards import confounding
from wellspring.evaluate.levels import fitting, halves, join, recentred
from wellspring.evaluate.populations import Population, populations
from wellspring.evaluate.score import Score, benjamini_hochberg, filled, interval, wilson
from wellspring.io import tables
from wellspring.io.notes import Note


def same(first, second, proportion=True):
    assert first.metric == second.metric and first.value == pytest.approx(second.value, nan_ok=True)
    assert first.chance == pytest.approx(second.chance, nan_ok=True)
    assert (first.n, first.n_undefined) == (second.n, second.n_undefined)
    assert first.proportion == second.proportion or not proportion
    for column in ("value", "n", "n_undefined"):
        assert by_item(first, column).to_dict() == pytest.approx(by_item(second, column).to_dict(), nan_ok=True)
    keys = ["cluster", "value"]
    ours, theirs = (score.units[keys].sort_values(keys).to_numpy().tolist() for score in (first, second))
    assert [one[0] for one in ours] == [one[0] for one in theirs]
    codes = [
        {note.code for note in score.notes} - {"several_labels", "mechanism_of_one_compound"}
        for score in (first, second)
    ]
    assert codes[0] == codes[1]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("queries", [None, 8])
def test_one_label_per_compound_is_a_case_of_several(seed, queries):
    x, meta = uneven(seed)
    number = meta["Metadata_Compound"].str.extract(r"c(\d)")[0].astype(float)
    meta["Metadata_Batch"] = meta["Metadata_Batch"].where(
        (number == 4) | number.isna(), "B" + (number // 3).astype(str)
    )
    given = {"label": wells.MOA, "separator": "|", "queries": queries, "seed": seed}
    plain = {"queries": queries, "seed": seed}
    same(multilabel.consistency(x, meta, **given)[0], consistency.consistency(x, meta, **plain)[0])
    same(multilabel.nearest_labels(x, meta, **given)[0], nearest.nsc_permuted(x, meta, **plain)[0])
    same(multilabel.nearest_labels(x, meta, **given, apart=True)[0], nearest.nscb(x, meta, **plain))
    several = multilabel.nearest_labels(x, meta, **given, neighbours=(2, 5))
    for ours, theirs in zip(several, hits.hits(x, meta, **plain, neighbours=(2, 5)), strict=True):
        same(ours, theirs, proportion=ours.metric.startswith("hit"))


def test_permuted_labels_of_one_label_have_the_same_mean():
    x, meta = uneven(1)
    _, null = multilabel.consistency(x, meta, label=wells.MOA, separator="|", permutations=60)
    _, theirs = consistency.consistency(x, meta, permutations=200)
    assert len(null) == 60 and null.mean() == pytest.approx(theirs.value, abs=0.03)
    assert multilabel.consistency(x, meta, label=wells.MOA, separator="|")[1].shape == (0,)


@pytest.mark.parametrize("seed", SEEDS)
def test_grit_of_treatments_and_mechanisms(seed):
    x, meta = uneven(seed)
    r, good, kind = np.corrcoef(np.nan_to_num(x)), usable(x, meta), meta["Metadata_pert_type"]
    control = np.flatnonzero((kind == "negcon") & good)
    middle, spread = r[:, control].mean(axis=1), r[:, control].std(axis=1)
    treated = meta[kind == "trt"]
    values, number = {}, {}
    for name, part in treated.groupby("Metadata_Perturbation"):
        mine = [i for i in part.index if good[i]]
        number[name] = len(part) - len(mine)
        if len(mine) > 1:
            own = [(np.mean([r[i, j] for j in mine if j != i]) - middle[i]) / spread[i] for i in mine]
            values[name] = np.mean(own)
    score = grit(x, meta)
    assert by_item(score).dropna().to_dict() == pytest.approx(values)
    assert by_item(score, "n_undefined").to_dict() == number and score.chance == 0
    assert (score.n, score.n_undefined) == (len(values), len(number) - len(values))
    values, number, moa = {}, {}, meta["Metadata_moa"]
    for name, part in treated[treated["Metadata_moa"].notna()].groupby("Metadata_Compound"):
        own = []
        for i in part.index[good[part.index]]:
            others = [j for j in meta.index if kind[j] == "trt" and good[j] and moa[j] == moa[i]]
            others = [j for j in others if meta["Metadata_Compound"][j] != name]
            own += [(r[i, others].mean() - middle[i]) / spread[i]] if others else []
        number[name] = len(part) - len(own)
        if own:
            values[name] = np.mean(own)
    score = grit_mechanism(x, meta)
    assert by_item(score).dropna().to_dict() == pytest.approx(values)
    assert by_item(score, "n_undefined").to_dict() == number
    assert (score.n, score.n_undefined, score.chance) == (len(values), len(number) - len(values), 0)


@pytest.mark.parametrize("metric", [grit, grit_mechanism])
def test_grit_needs_three_controls(metric):
    x, meta = uneven(0)
    control = np.flatnonzero((meta["Metadata_pert_type"] == "negcon").to_numpy() & usable(x, meta))
    for count in (2, 3):
        keep = np.concatenate([control[:count], np.flatnonzero(meta["Metadata_pert_type"] == "trt")])
        score = metric(x[keep], meta.iloc[keep].reset_index(drop=True))
        assert np.isfinite(score.value) == (count == 3)
    assert score.notes == ()
    few = metric(x[keep[1:]], meta.iloc[keep[1:]].reset_index(drop=True))
    assert few.notes == (Note("too_few_controls", {"found": 2, "needed": 3}),)
    assert few.n_undefined == len(score.items)


def test_the_spread_against_controls_is_that_of_all_products():
    rng = np.random.default_rng(0)
    rows, controls = wells.correlated(rng.normal(size=(9, 5))), wells.correlated(rng.normal(size=(14, 5)))
    middle, spread = against(rows, controls)
    np.testing.assert_allclose(middle, (rows @ controls.T).mean(axis=1))
    np.testing.assert_allclose(spread, (rows @ controls.T).std(axis=1))
    assert [len(part) for part in against(rows[:0], controls)] == [0, 0]


def series(seed):
    """Two plates with doses of three drugs in rows A to D, one drug with three doses, controls, and lost wells."""
    rng, rows, values = np.random.default_rng(seed), [], []
    for plate in ("P", "Q"):
        for letter in "ABCD":
            for column in range(1, 13):
                kind = "negcon" if column < 4 else "poscon" if column > 10 else "trt"
                drug, level = ("d0", "d1", "few")[column % 3], (column - 4) // 3 + 2 * (letter in "BD")
                amount = {"negcon": 0.0, "poscon": 5.0}.get(kind, level)
                dose = None if kind == "negcon" else 10.0 ** (min(level, 2) if drug == "few" else level)
                rows.append((plate, f"{letter}{column:02d}", "DMSO" if kind == "negcon" else drug, dose, kind))
                values.append(amount * np.array([1, -2, 0.5]) + rng.standard_normal(3) * 2)
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    meta, x = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names]), np.array(values)
    x[[5, 12, 40, 60], [0, 1, 2, 0]] = np.nan
    return x, meta.assign(Metadata_Verdict="keep")


@pytest.mark.parametrize("seed", SEEDS)
def test_doses_and_their_axis(seed):
    x, meta = series(seed)
    good, kind, row = np.isfinite(x).all(axis=1), meta["Metadata_pert_type"], meta["Metadata_Well"].str[0]
    place = np.full(len(x), np.nan)
    for i in np.flatnonzero(good):
        other = (meta["Metadata_Plate"] == meta["Metadata_Plate"][i]) & (row != row[i]) & good
        start, end = (x[other & (kind == name)].mean(axis=0) for name in ("negcon", "poscon"))
        place[i] = (x[i] - start) @ (end - start) / ((end - start) @ (end - start))
    np.testing.assert_allclose(axis_scores(x, meta), place)
    own = np.full(len(x), np.nan)
    for i in np.flatnonzero(good & (kind == "trt")):
        same = good & (kind == "trt") & (meta["Metadata_Compound"] == meta["Metadata_Compound"][i])
        top = same & (meta["Metadata_Concentration"] == meta["Metadata_Concentration"][same].max())
        centre = {one: x[good & (kind == "negcon") & (meta["Metadata_Plate"] == one)].mean(axis=0) for one in "PQ"}
        axis = np.mean([x[j] - centre[meta["Metadata_Plate"][j]] for j in np.flatnonzero(top) if j != i], axis=0)
        own[i] = (x[i] - centre[meta["Metadata_Plate"][i]]) @ axis / (axis @ axis)
    rank, quality = dose(x, meta, minimum=4, bootstrap=300, seed=seed)
    treated, values, numbers = kind == "trt", {}, {}
    for name in ("d0", "d1"):
        mine = np.flatnonzero(treated & (meta["Metadata_Compound"] == name) & good)
        values[name] = spearmanr(own[mine], meta["Metadata_Concentration"][mine])[0]
        numbers[name] = len(mine)
    assert by_item(rank).to_dict() == pytest.approx(values) and by_item(rank, "n").to_dict() == numbers
    assert rank.value == pytest.approx(np.mean(list(values.values()))) and rank.chance == 0
    series_wells = treated & meta["Metadata_Compound"].isin(["d0", "d1"])
    assert (rank.n, rank.n_undefined) == (sum(numbers.values()), int((series_wells & ~good).sum()))
    rng, drawn = np.random.default_rng(seed), []
    for name in ("d0", "d1"):
        mine = np.flatnonzero(treated & (meta["Metadata_Compound"] == name) & good)
        drawn.append(redrawn_spearman(own[mine], meta["Metadata_Concentration"].to_numpy()[mine], draws=300, rng=rng))
    assert rank.interval == pytest.approx(np.percentile(np.mean(drawn, axis=0), [2.5, 97.5]))
    assert rank.interval[0] < rank.value < rank.interval[1] and rank.notes[0] == Note("own_axis")
    factors, drawn = {}, []
    for name in ("P", "Q"):
        parts = [place[good & (meta["Metadata_Plate"] == name) & (kind == one)] for one in ("poscon", "negcon")]
        spreads = [np.std(part, ddof=1) for part in parts]
        drawn.append(redrawn_z_prime(*parts, draws=300, rng=rng))
        factors[name] = 1 - 3 * sum(spreads) / abs(parts[0].mean() - parts[1].mean())
    assert by_item(quality).to_dict() == pytest.approx(factors) and np.isnan(quality.chance)
    controls = kind.isin(["negcon", "poscon"])
    assert quality.n == int((controls & good).sum()) and quality.n_undefined == int((controls & ~good).sum())
    assert quality.interval == pytest.approx(np.percentile(np.mean(drawn, axis=0), [2.5, 97.5]))
    for minimum, names in ((3, {"d0", "d1", "few"}), (4, {"d0", "d1"})):
        assert set(by_item(dose(x, meta, minimum=minimum, bootstrap=9)[0]).index) == names
    many = dose(x, meta, minimum=6, bootstrap=9)
    assert many[0].notes == (Note("too_few_concentrations", {"needed": 6}),) and np.isnan(many[0].interval).all()
    assert many[1].value == quality.value


def test_the_axis_needs_controls_on_other_rows():
    x, meta = series(0)
    one = (meta["Metadata_Well"].str[0] == "A").to_numpy()
    scores = dose(x[one], meta[one].reset_index(drop=True), minimum=2, bootstrap=9)
    assert scores[1].notes == (Note("no_controls_on_other_rows"),) and np.isnan(scores[1].interval).all()
    assert np.isfinite(scores[0].value), "the axis of a compound needs no other row"
    alike = np.ones_like(x)
    assert np.isnan(axis_scores(alike, meta)).all(), "positive and negative controls in one place"


def test_small_inputs_of_dose_formulas():
    assert np.isnan(z_prime(np.array([1.0]), np.array([1.0, 2]))) and np.isnan(
        z_prime(np.array([1.0, 2]), np.array([1.0]))
    )
    assert z_prime(np.array([1.0, 3]), np.array([2.0, 2])) == float("-inf")
    assert z_prime(np.array([4.0, 6]), np.array([1.0, 1])) == pytest.approx(1 - 3 * np.sqrt(2) / 4)
    assert np.isnan(spearman(np.array([]), np.array([]))) and np.isnan(spearman(np.ones(3), np.arange(3)))
    assert np.isnan(spearman(np.arange(3), np.ones(3))) and spearman(np.arange(3), -np.arange(3)) == pytest.approx(-1)
    drawn = redrawn_spearman(np.arange(2.0), np.arange(2.0), draws=400, rng=np.random.default_rng(0))
    assert np.isnan(drawn).mean() == pytest.approx(0.5, abs=0.1) and set(drawn[np.isfinite(drawn)].round(9)) == {1.0}


def test_redrawn_z_primes_have_the_spread_of_normal_samples():
    """Generalised: chi-squared spreads and means with their error, centred near the value for many wells."""
    rng = np.random.default_rng(1)
    positive, negative = rng.normal(9, 1, 400), rng.normal(0, 2, 300)
    drawn = redrawn_z_prime(positive, negative, draws=4000, rng=rng)
    assert np.median(drawn) == pytest.approx(z_prime(positive, negative), abs=0.01)
    spreads, means = 3 * np.sqrt(1 / 800 + 4 / 600) / 9, 9 * np.sqrt(1 / 400 + 4 / 300) / 81
    deviation = np.hypot(spreads, means)  # by the delta method, with sd / sqrt(2 n) for a spread
    assert drawn.std() == pytest.approx(deviation, rel=0.12)
    few = redrawn_z_prime(positive[:4], negative[:4], draws=4000, rng=rng)
    assert few.std() > 5 * drawn.std() and drawn.shape == (4000,)


def test_a_layout_is_noted_where_more_than_half_of_the_treatments_have_fixed_wells():
    def layout(fixed, moving):
        rows = [(plate, f"A{n + 1:02d}", f"c{n}") for n in range(fixed) for plate in "PQ"]
        rows += [(plate, f"{letter}{n + 1:02d}", f"m{n}") for n in range(moving) for plate, letter in ("PB", "QC")]
        frame = pd.DataFrame(rows, columns=["Metadata_Plate", "Metadata_Well", "Metadata_Compound"])
        return frame.assign(Metadata_pert_type="trt", Metadata_Perturbation=frame["Metadata_Compound"])

    assert confounding(layout(2, 2)) == () == confounding(layout(0, 2))
    assert confounding(layout(3, 2)) == (Note("treatment_fixed_to_wells", {"fixed": 3, "total": 5}),)
    once = layout(3, 2)
    assert confounding(once[once["Metadata_Plate"] == "P"]) == (), "on one plate nothing is fixed"


def test_a_score_has_plain_defaults():
    score = Score("x")
    assert (score.weights, score.interval, score.notes, score.n, score.n_undefined) == (None, None, (), 0, 0)
    assert (score.proportion, score.disjoint, score.median) == (False, False, False)
    assert np.isnan(score.chance) and np.isnan(score.value) and not len(score.items) and not len(score.units)
    whole = filled(pd.DataFrame({"Metadata_Item": ["a"]}))
    assert whole["n"].tolist() == whole["n_undefined"].tolist() == [0] and whole[["value", "p", "q"]].isna().all(
        axis=None
    )


@pytest.mark.parametrize("median", [False, True])
def test_the_order_of_units_does_not_change_an_interval(median):
    rng = np.random.default_rng(0)
    units = pd.DataFrame({"stratum": "s", "cluster": rng.choice(list("abcdefghijklmnop"), 60)})
    units["value"], found = rng.permutation(60) / 70, []
    for frame in (units, units.iloc[::-1], units.sample(frac=1, random_state=1)):
        found.append(interval(Score("m", units=frame.reset_index(drop=True), median=median)))
    assert found[0] == pytest.approx(found[1], nan_ok=True) and found[0] == pytest.approx(found[2], nan_ok=True)


def test_a_p_that_cannot_be_below_the_threshold_is_left_out():
    x, meta = uneven(0)
    whole = retrieval.activity(x, meta, null_size=1000)
    first = by_item(whole, "n").index[(by_item(whole, "n") > 1) & by_item(whole, "p").notna()][0]
    kind, plate = meta["Metadata_pert_type"], meta["Metadata_Plate"]
    mine = meta.index[(meta["Metadata_Perturbation"] == first) & usable(x, meta)]
    few = min(((kind == "negcon") & usable(x, meta) & (plate == plate[i])).sum() for i in mine)
    least = precision.p_value(1.0, precision.shared_null(len(mine), int(few), size=1000, seed=0))
    for threshold, there in ((least, False), (np.nextafter(least, 1), True)):
        score = retrieval.activity(x, meta, null_size=1000, threshold=float(threshold))
        assert np.isfinite(by_item(score, "p")[first]) == there


def test_wilson_at_none_some_and_all():
    assert np.isnan(wilson(0, 0)).all()
    z = norm.ppf(0.975)
    for hits_, n in ((0, 1), (1, 1), (3, 8)):
        p = hits_ / n
        middle, half = (
            (p + z * z / 2 / n) / (1 + z * z / n),
            z * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n) / (1 + z * z / n),
        )
        low, high = wilson(hits_, n)
        assert low == pytest.approx(0 if hits_ == 0 else middle - half)
        assert high == pytest.approx(1 if hits_ == n else middle + half)
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.9, np.nan, 0.01, 0.8])), [0.9, np.nan, 0.03, 0.9])


def test_blocks_cover_all_rows_with_a_bounded_number_of_cells(monkeypatch):
    for module, name in ((neighbours, "CELLS_AT_ONCE"),):
        monkeypatch.setattr(module, name, 12)
    for count, width, sizes in ((7, 4, [3, 3, 1]), (7, 12, [1] * 7), (7, 99, [1] * 7), (0, 4, []), (5, 0, [5])):
        found = list(neighbours.blocks(count, width))
        assert [part.stop - part.start for part in found] == sizes
        assert [place for part in found for place in range(part.start, part.stop)] == list(range(count))
    rng = np.random.default_rng(0)
    for k in (1, 3, 12, 13, 20):
        values = rng.integers(0, 5, (6, 16)).astype(float)
        places, found = neighbours.largest(values, k)
        wanted = [sorted(range(16), key=lambda j, row=row: (-row[j], j))[:k] for row in values]
        np.testing.assert_array_equal(places, wanted)
        np.testing.assert_array_equal(found, np.take_along_axis(values, places, axis=1))


def test_votes_that_are_not_valid_do_not_count():
    labels = np.array([[3, 1, 1], [2, 5, 5], [4, 4, 0], [7, 8, 9]])
    valid = np.array([[True, True, False], [False, True, True], [True, True, True], [True, True, True]])
    assert neighbours.winners(labels, valid).tolist() == [3, 5, 4, 7]


def test_the_null_is_that_of_shared_similarities_drawn_here():
    """Two members, two negatives: 6 draws in order, by a loop over all members, at another seed; quantiles agree."""
    rng, means = np.random.default_rng(9), []
    for _ in range(20_000):
        pair, values = rng.random(), []
        for _ in range(2):
            above = int((rng.random(2) > pair).sum())
            values.append(1 / (1 + above))
        means.append(np.mean(values))
    null = precision.shared_null(2, 2, size=20_000, seed=3)
    for value in (1 / 3, 5 / 12, 0.5, 2 / 3, 0.75, 1.0):
        assert (null >= value - 1e-9).mean() == pytest.approx((np.array(means) >= value - 1e-9).mean(), abs=0.015)
    assert precision.p_value(1.0, np.array([0.1, 0.5, 1.0])) == 0.5 and precision.p_value(2.0, np.zeros(3)) == 0.25
    assert precision.expected(1, 1) == 1.0 and precision.expected(2, 2) == pytest.approx(1.0)
    assert precision.expected(1, 2) == pytest.approx(0.75)
    found = precision.ranks(np.array([[0.5, 0.9, 0.5, 0.1]]), np.array([[True, True, True, False]]))
    assert found.tolist() == [[3, 1, 3, 5]] and found.dtype == np.int32
    members = [np.array([0, 2]), np.array([], dtype=int), np.array([3])]
    of_row = np.repeat(found, 3, axis=0)
    assert precision.ranked_precisions(of_row, members, np.arange(3)) == pytest.approx(
        [2 / 3, np.nan, np.nan], nan_ok=True
    )


def test_positions_and_units_and_labels():
    meta = pd.DataFrame(
        {"Metadata_Well": ["B02", "C05", "D03", "bad"], "Metadata_pert_type": ["trt", "trt", "negcon", "trt"]}
    )
    meta["Metadata_moa"], meta["Metadata_Compound"] = ["m", None, "m", "m"], ["a", "b", "c", None]
    assert wells.positions(meta)["edge"].tolist() == [True, True, True, False]
    wide = pd.DataFrame({"Metadata_Well": ["A01", "B02", "C03", "A02", "B03"]})
    assert wells.positions(wide)["edge"].tolist() == [True, False, True, True, True]
    assert wells.labelled(meta, "Metadata_moa").tolist() == [True, False, False, True]
    assert wells.labelled(meta, "Metadata_moa", "Metadata_Compound").tolist() == [True, False, False, False]
    assert not wells.positions(pd.DataFrame({"Metadata_Well": ["x", "y"]}))["edge"].any()
    rows = np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 5.0], [np.inf, 1.0]])
    np.testing.assert_allclose(wells.units(rows), [[0.6, 0.8], [0, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(wells.correlated(np.array([[1.0, 2.0, 3.0]])), [[-(0.5**0.5), 0, 0.5**0.5]], atol=1e-12)
    assert wells.defined(np.zeros((4, 0)), meta).tolist() == [False] * 4 and wells.correlated(
        np.zeros((4, 0))
    ).shape == (4, 0)
    assert wells.sampling(3, 3) == () and wells.sampling(2, 3) == (
        Note("sampled", {"taken": 2, "total": 3, "unit": "wells"}),
    )
    assert wells.drawn(np.array(list("aab")), at_most=3, seed=0).tolist() == [0, 1, 2]
    assert wells.drawn_whole(np.array(list("aab")), at_most=3, seed=0).tolist() == [0, 1, 2]
    for seed in range(9):
        found = wells.drawn_whole(np.array(list("aaabbc")), at_most=3, seed=seed).tolist()
        assert found in ([0, 1, 2], [3, 4, 5])


def test_levels_join_split_and_centre():
    frame = table(seed=1, controls=5, per_plate=2)
    frame.loc[frame["Metadata_Plate"] == "P1", "Metadata_Role"] = "project"
    assert fitting(frame).tolist() == (frame["Metadata_Plate"] != "P1").tolist()
    assert fitting(frame.drop(columns="Metadata_Role")).all()
    assert fitting(frame.assign(Metadata_Role=None)).all()
    first, second = halves(frame, plates={"P0", "P1", "P2"}, seed=0)
    counts = [frame[half].groupby("Metadata_Plate").size().to_dict() for half in (first, second)]
    assert counts == [{"P0": 2, "P1": 3, "P2": 2}, {"P0": 3, "P1": 2, "P2": 3}]
    names = tables.features(frame)
    control = ((frame["Metadata_Plate"] == "P0") & (frame["Metadata_pert_type"] == "negcon")).to_numpy()
    for center in (np.median, np.mean):
        own = frame.copy()
        own.loc[frame["Metadata_Plate"] == "P0", names] -= center(own.loc[control, names].to_numpy(), axis=0)
        found = recentred(own, first & (frame["Metadata_Plate"] == "P0"))
        moved = own.loc[frame["Metadata_Plate"] == "P0", names] - center(
            own.loc[first & control, names].to_numpy(), axis=0
        )
        np.testing.assert_allclose(found.loc[frame["Metadata_Plate"] == "P0", names], moved, atol=1e-5)
        other = frame["Metadata_Plate"] != "P0"
        np.testing.assert_allclose(found.loc[other, names], own.loc[other, names])
    raw = recentred(frame, first, aligned=True)
    moved = frame.loc[control, names] - np.median(frame.loc[first & control, names], axis=0)
    np.testing.assert_allclose(raw.loc[control, names], moved, atol=1e-5)
    joined = join([frame.iloc[::-1], frame.head(1).assign(Metadata_Plate="P9", Metadata_pert_type="empty")])
    assert len(joined) == len(frame) and joined["Metadata_Plate"].tolist() == sorted(frame["Metadata_Plate"])


def test_populations_of_a_screen_with_a_held_out_plate():
    frame = table(seed=3, controls=6)
    frame.loc[frame["Metadata_Plate"] == "P3", "Metadata_Role"] = "heldout"
    parts = [part for _, part in frame.groupby("Metadata_Plate")]
    found = list(populations(parts, parts, frame, options=OPTIONS, fit=FIT))
    assert [(each.level, each.suffix) for each in found] == [
        (level, suffix) for level in ("aggregated", "normalised", "aligned") for suffix in ("", ".heldout")
    ]
    for each in found:
        plates = set(each.treated["Metadata_Plate"])
        assert plates == ({"P3"} if each.held_out else {"P0", "P1", "P2"})
        assert each.frames("treated") == (each.treated,) and each.frames("across") is each.across
        assert each.frames("controls") is each.controls and each.frames("dose") is each.controls
    aligned = next(each for each in found if each.level == "aligned" and not each.held_out)
    assert len(aligned.across) == 2 and "two_halves" in {note.code for note in aligned.notes}
    one = Population.of(frame, level="x")
    assert one.controls == one.across == (frame,) and one.treated is frame and not one.held_out and one.suffix == ""
    assert one.closed(max_missing=0.1) is one
    holed = frame.copy()
    holed.loc[2, "x_0"] = np.nan
    closed = Population.of(holed, level="x").closed(max_missing=0.1)
    assert closed.gaps == (Note("gaps_filled", {"values": 1, "features": 1, "wells": 1}),)
    assert np.isfinite(closed.treated["x_0"]).all() and np.isfinite(closed.across[0]["x_0"]).all()
