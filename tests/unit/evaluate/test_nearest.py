"""NSC, NSCB and transfer against slow loops, and on a published profile table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import screen
from wellspring.evaluate import neighbours, wells
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.hits import hits
from wellspring.evaluate.nearest import drop, nsc, nsc_permuted, nscb, treatment_profiles
from wellspring.evaluate.score import interval
from wellspring.evaluate.transfer import transfer, transfers
from wellspring.io.notes import Note

LJOSA = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "bbbc021_ljosa_profiles"


def several_batches(seed, effect=0.4):
    x, meta = screen(seed=seed, treatments=16, effect=effect)
    number = meta["Metadata_Compound"].str.extract(r"c(\d+)")[0].astype(float)
    meta["Metadata_Batch"] = np.where(number.isna(), "w0", "w" + (number // 5).astype("Int64").astype(str))
    meta.loc[number == 3, "Metadata_Batch"] = meta["Metadata_Plate"].map({"P0": "w0", "P1": "w1"}).fillna("w2")
    return x, meta


def slow(x, meta, *, batches):
    """One treatment after another, with no arrays."""
    names = sorted(meta.loc[meta["Metadata_pert_type"] == "trt", "Metadata_Perturbation"].unique())
    about = {}
    for name in names:
        mine = (meta["Metadata_Perturbation"] == name).to_numpy()
        first = meta[mine].iloc[0]
        about[name] = (
            np.median(x[mine], axis=0),
            first["Metadata_Compound"],
            first["Metadata_moa"],
            set(meta.loc[mine, "Metadata_Batch"]),
        )
    if batches:
        spread = {m: set().union(*(a[3] for a in about.values() if a[2] == m)) for m in {a[2] for a in about.values()}}
        names = [name for name in names if len(spread[about[name][2]]) > 1]
    right = {}
    for name in names:
        own, best, found = about[name], -2.0, None
        for other in names:
            theirs = about[other]
            if theirs[1] == own[1] or (batches and theirs[3] & own[3]):
                continue
            similarity = own[0] @ theirs[0] / np.linalg.norm(own[0]) / np.linalg.norm(theirs[0])
            if similarity > best:
                best, found = similarity, theirs[2]
        if found is not None:
            right[name] = float(found == own[2])
    return right


@pytest.mark.parametrize("seed", range(4))
def test_nsc_and_nscb_are_those_of_a_loop(seed):
    x, meta = several_batches(seed)
    for score, batches in ((nsc(x, meta), False), (nscb(x, meta), True)):
        reference = slow(x, meta, batches=batches)
        ours = score.items.set_index("Metadata_Item")["value"].dropna()
        assert ours.to_dict() == reference and score.n == len(reference)
        assert score.value == pytest.approx(np.mean(list(reference.values())))
    first, second = nsc(x, meta), nscb(x, meta)
    assert drop(first, second).value == pytest.approx(first.value - second.value)


def test_noise_is_at_chance_and_the_interval_covers_it():
    values, chances, covered = [], [], 0
    for seed in range(20):
        score = nsc(*screen(seed=seed, treatments=24))
        low, high = interval(score)
        values.append(score.value)
        chances.append(score.chance)
        covered += low <= score.chance <= high
    assert np.mean(values) == pytest.approx(np.mean(chances), abs=0.05)
    # A share of 24 near zero: the percentile interval is short on the left, so ask for no more than this.
    assert covered >= 12
    (_, permuted) = nsc_permuted(*screen(seed=0, treatments=24), permutations=300)
    assert permuted.value == pytest.approx(np.mean(chances), abs=0.02)


def test_shared_batches_leave_nscb_undefined_with_the_reason():
    score = nscb(*screen(seed=0, effect=5.0))
    assert np.isnan(score.value) and score.notes[0].code == "single_compound_or_shared_batch" and score.n_undefined == 6


def test_no_labels_are_a_note():
    x, meta = screen(seed=0)
    meta["Metadata_moa"] = None
    scores = [nsc(x, meta), nscb(x, meta), *transfer(x, meta), *transfer(x, meta.drop(columns="Metadata_Cell_Line"))]
    assert all(np.isnan(score.value) and score.notes for score in scores)


@pytest.mark.parametrize("label", ["mechanism", "compound"])
def test_transfer_is_that_of_a_loop(label):
    x, meta = screen(seed=8, plates=6, effect=0.3)
    keep = (meta["Metadata_pert_type"] == "trt").to_numpy()
    table, rows = meta[keep].reset_index(drop=True), wells.units(x[keep])
    column = {"mechanism": "Metadata_moa", "compound": "Metadata_Compound"}[label]
    for score in transfer(x, meta, label=label, neighbours=(1, 3)):
        if score.metric.endswith(".gap"):
            continue
        k, reference = int(score.metric[-1]), {}
        for i, query in table.iterrows():
            for source in ("L0", "L1"):
                pool = []
                for j, other in table.iterrows():
                    if other["Metadata_Cell_Line"] != source:
                        continue
                    if label == "mechanism" and other["Metadata_Compound"] == query["Metadata_Compound"]:
                        continue
                    if source == query["Metadata_Cell_Line"] and other["Metadata_Plate"] == query["Metadata_Plate"]:
                        continue
                    pool.append((-(rows[i] @ rows[j]), other[column]))
                names = [name for _, name in sorted(pool)[:k]]
                most = max(names.count(name) for name in names)
                winner = next(name for name in names if names.count(name) == most)
                reference.setdefault(f"{source}->{query['Metadata_Cell_Line']}", []).append(winner == query[column])
        ours = score.items.set_index("Metadata_Item")["value"]
        assert ours.to_dict() == pytest.approx({pair: np.mean(right) for pair, right in reference.items()})
        assert score.value == pytest.approx((ours["L0->L1"] + ours["L1->L0"]) / 2)


def test_transfer_of_planted_mechanisms_is_perfect_and_permuted_labels_are_not():
    scores = {
        score.metric: score
        for score in transfer(*screen(seed=9, plates=6, effect=20.0), neighbours=(1,), permutations=50)
    }
    assert scores["transfer.cell_line.mechanism.k1"].value == 1.0
    assert scores["transfer.cell_line.mechanism.k1.gap"].value == 0.0
    assert scores["transfer.cell_line.mechanism.k1.permuted"].value < 0.6


def test_votes_of_noise_are_at_their_chance_level():
    gaps, shares = [], []
    for seed in range(30):
        x, meta = screen(seed=seed, treatments=16, effect=0)
        one, five = (
            next(score for score in transfer(x, meta, neighbours=(k,), seed=seed) if score.metric.endswith(f"k{k}"))
            for k in (1, 5)
        )
        gaps.append(five.value - five.chance)
        shares.append(five.chance - one.chance)
    # A vote is lost more often than the label is rare, since the own compound does not vote.
    assert abs(np.mean(gaps)) < 3 * np.std(gaps) / np.sqrt(30) + 0.005
    assert np.mean(shares) < -0.005


def test_a_part_of_the_wells_is_held_against_all_of_them():
    x, meta = screen(seed=8, plates=6, treatments=20, effect=0.3)
    whole, part = ([*consistency(x, meta, queries=q), *transfers(x, meta, queries=q)] for q in (120, 60))
    everything = [*consistency(x, meta), *transfers(x, meta)]
    for all_, same, some in zip(everything, whole, part, strict=True):
        assert same.value == all_.value and same.notes == all_.notes
        if not some.metric.endswith("gap"):
            assert some.value == pytest.approx(all_.value, abs=0.15) and some.chance == pytest.approx(
                all_.chance, abs=0.05
            )
        assert Note("sampled", {"taken": 60, "total": 120, "unit": "wells"}) in some.notes
    assert part[0].n == 20, "the draw is even over compounds"
    own, theirs = (scores[0].items.set_index("Metadata_Item") for scores in (part, everything))
    assert (own["n"] == 3).all() and (theirs["n"] == 6).all()


def test_a_part_of_the_treatments_is_held_against_all_of_them():
    x, meta = several_batches(3)
    for metric in (nsc_permuted, lambda *given, **some: [nscb(*given, **some)], hits):
        for whole, part in zip(metric(x, meta), metric(x, meta, queries=9), strict=True):
            theirs, ours = (score.items.set_index("Metadata_Item")["value"] for score in (whole, part))
            assert len(ours) <= 9 < len(theirs) and ours.equals(theirs[ours.index])
            assert any(note.values.get("taken") == 9 for note in part.notes) and part.value == pytest.approx(
                ours.mean()
            )
    _, dealt = nsc_permuted(x, meta, queries=9, permutations=20)
    assert 0 <= dealt.value <= 1


def ljosa():
    if not LJOSA.exists():
        pytest.skip(f"{LJOSA} is not there")
    table = pd.read_csv(LJOSA / "ljosa_jbiomolscreen_2013_per_well_mean.csv.gz")
    image = pd.read_csv(LJOSA / "BBBC021_v1_image.csv.gz")
    moa = pd.read_csv(LJOSA / "BBBC021_v1_moa.csv")
    return table, image, moa


def test_nsc_of_the_published_profiles_is_the_published_one():
    table, image, moa = ljosa()
    plate, well = "Image_Metadata_Plate_DAPI", "Image_Metadata_Well_DAPI"
    image = image.drop_duplicates([plate, well])[
        [plate, well, "Image_Metadata_Compound", "Image_Metadata_Concentration"]
    ]
    table = table.rename(columns={"Image_Metadata_Plate": plate, "Image_Metadata_Well": well})
    table = table.merge(image, on=[plate, well], how="left")
    moa.columns = ["Image_Metadata_Compound", "Image_Metadata_Concentration", "moa"]
    table = table.merge(moa, on=["Image_Metadata_Compound", "Image_Metadata_Concentration"], how="left")
    features = [c for c in table.select_dtypes("number") if "Metadata" not in c and c != "TableNumber"]
    meta = pd.DataFrame(
        {
            "Metadata_Plate": table[plate],
            "Metadata_Well": table[well],
            "Metadata_Compound": table["Image_Metadata_Compound"],
            "Metadata_Concentration": table["Image_Metadata_Concentration"],
            "Metadata_moa": table["moa"],
            "Metadata_Batch": table[plate].str.split("_").str[0],
        }
    )
    control = meta["Metadata_Compound"] == "DMSO"
    meta["Metadata_pert_type"] = np.where(control, "negcon", "trt")
    meta.loc[control, "Metadata_moa"] = None
    x = table[features].to_numpy(float)
    for name in meta["Metadata_Plate"].unique():
        mine = (meta["Metadata_Plate"] == name).to_numpy()
        own = x[mine & control.to_numpy()]
        spread = own.std(axis=0)
        x[mine] = (x[mine] - own.mean(axis=0)) / np.where(spread > 0, spread, np.nan)
    x = x[:, np.isfinite(x).all(axis=0)]
    _, frame, _ = treatment_profiles(x, meta)
    assert len(frame) == 103 and frame["compound"].nunique() == 38 and frame["label"].nunique() == 12
    # Published for mean profiles: 0.83; Pearson's correlation is the cosine of rows less their mean.
    centred = x - x.mean(axis=1, keepdims=True)
    score = nsc(centred, meta, operation="mean")
    assert score.n == 103 and round(score.value * 103) == 85
    assert 79 <= round(nsc(x, meta).value * 103) <= 85
    strict = nscb(centred, meta, operation="mean")
    assert strict.n == 92 and 0.7 < strict.value < score.value
    assert drop(score, strict).value == pytest.approx(score.value - strict.value)


@pytest.mark.parametrize("operation", ["median", "mean"])
def test_a_treatment_is_the_median_or_mean_of_its_wells(operation):
    x, meta = screen(seed=9, treatments=7)
    profiles, frame, lost = treatment_profiles(x, meta, operation=operation)
    treated = (meta["Metadata_pert_type"] == "trt").to_numpy()
    table = pd.DataFrame(x[treated]).groupby(meta.loc[treated, "Metadata_Perturbation"].to_numpy()).agg(operation)
    assert lost == 0 and profiles.shape == (7, x.shape[1])
    np.testing.assert_allclose(profiles, table.loc[frame["treatment"]], rtol=1e-6, atol=1e-7)


def test_permuted_labels_are_read_at_the_first_neighbour():
    """Two pairs of compounds, each the other's nearest; mechanisms are dealt to compounds, so that a pair shares one
    or none, and both pairs do so at once."""
    x = np.array([[1, 0, 0.02], [1, 0, -0.02], [0.3, 1, 0], [0.3, 1, 0.05]])
    names = ["c0", "c1", "c2", "c3"]
    meta = pd.DataFrame({"Metadata_Plate": "P", "Metadata_Well": ["A01", "A02", "B01", "B02"]})
    meta["Metadata_Compound"] = meta["Metadata_Perturbation"] = names
    meta["Metadata_pert_type"], meta["Metadata_Batch"] = "trt", "b"
    meta["Metadata_moa"] = ["m", "m", "n", "n"]
    main, shuffled = nsc_permuted(x, meta, permutations=400)
    assert main.value == 1.0
    # Of the three ways to split four compounds into two pairs one is that of the neighbours.
    assert shuffled.value == pytest.approx(1 / 3, abs=0.1)


def profiles(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return profiles (800, 96) that float32 orders well, badly, or not at all."""
    drawn = rng.standard_normal((800, 96))
    return {
        "apart": drawn,
        "hardly different": 1 + 1e-4 * drawn,
        "copies with rounding": np.repeat(drawn[:80], 10, axis=0) * (1 + 1e-7 * drawn),
        "equal": np.repeat(drawn[:4], 200, axis=0),
    }[kind]


@pytest.mark.parametrize("k", [1, 7, 90])
@pytest.mark.parametrize("kind", ["apart", "hardly different", "copies with rounding", "equal"])
def test_the_search_in_float32_finds_the_neighbours_of_float64(kind, k, monkeypatch):
    """Blocks of 50 queries, a third of all pairs barred, and one query for which only two wells are allowed."""
    rng = np.random.default_rng(k)
    rows = wells.units(profiles(kind, rng))
    barred = rng.random((800, 800)) < 1 / 3
    barred[11], barred[11, [3, 500]] = True, False
    queries, references = np.arange(0, 800, 11), np.arange(20, 800)
    references = np.concatenate([[3], references])
    monkeypatch.setattr(neighbours, "CELLS_AT_ONCE", 50 * len(references))
    found = neighbours.nearest(
        rows, queries=queries, references=references, k=k, barred=lambda mine: barred[np.ix_(mine, references)]
    )
    similar = np.round(rows[queries] @ rows[references].T, 10)
    similar[barred[np.ix_(queries, references)]] = -np.inf
    order = np.argsort(-similar, axis=1, kind="stable")[:, :k]
    expected = np.take_along_axis(similar, order, axis=1)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-12)
    assert (found.index == references[order])[np.isfinite(expected)].all()
    np.testing.assert_array_equal(found.allowed, np.isfinite(similar).sum(axis=1))
