"""Where a score has no value: the exact reason, and that every well that it would read is counted as undefined."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import uneven
from wellspring.evaluate import multilabel
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.dose import dose
from wellspring.evaluate.grit import grit
from wellspring.evaluate.grit_mechanism import grit_mechanism
from wellspring.evaluate.hits import hits
from wellspring.evaluate.mixing import mixing
from wellspring.evaluate.nearest import drop, nsc, nsc_permuted, nscb
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.purity import clisi, replicate_connectivity
from wellspring.evaluate.replicates import matching, replicating
from wellspring.evaluate.retrieval import activity, retrieved
from wellspring.evaluate.transfer import transfers
from wellspring.io.notes import Note

LABEL = {"label": "Metadata_moa", "separator": "|"}


def screen(kinds, *, plates=2, lost=3, width=5, seed=0):
    """Return wells of `kinds` (compound, mechanism, type, wells per plate); the first `lost` have no profile."""
    rng, rows = np.random.default_rng(seed), []
    for compound, moa, kind, count in kinds:
        for plate in range(plates):
            rows += [(f"P{plate}", f"B{plate}", f"L{plate}", compound, moa, kind)] * count
    frame = pd.DataFrame(rows, columns=["Plate", "Batch", "Cell_Line", "Compound", "moa", "pert_type"])
    frame = frame.add_prefix("Metadata_")
    place = frame.groupby("Metadata_Plate").cumcount()
    frame["Metadata_Well"] = [f"{'ABCDEFGH'[number // 12]}{number % 12 + 1:02d}" for number in place]
    x = rng.standard_normal((len(frame), width))
    x[:lost, 1] = np.nan
    return x, frame


ALIKE = [("a", "m", "trt", 2), ("b", "m", "trt", 3), ("DMSO", None, "negcon", 4)]  # one mechanism
APART = [("a", "m", "trt", 2), ("b", "n", "trt", 3), ("DMSO", None, "negcon", 4)]  # each compound its own
TWO = [("a", "m", "trt", 2), ("b", "n", "trt", 3), ("c", "m", "trt", 2), ("d", "n", "trt", 2)]


def outcome(score):
    assert np.isnan(score.value) and np.isnan(score.chance) and score.n == 0 and not len(score.units)
    return score.n_undefined, [(note.code, note.values) for note in score.notes]


def test_one_mechanism_is_too_few_and_two_are_enough():
    few = ("too_few_mechanisms", {"found": 1, "needed": 2})
    assert outcome(consistency(*screen(ALIKE))[0]) == (3, [few])
    assert outcome(clisi(*screen(ALIKE))) == (3, [few])
    assert outcome(matching(*screen(ALIKE))) == (0, [few])
    assert outcome(multilabel.consistency(*screen(ALIKE), **LABEL)[0]) == (3, [few])
    groups = {"column": "Metadata_Batch", "groups": 2, "labels": 1}
    between = {"between": ["Metadata_Batch"], "label": ["mechanism"], "neighbours": (1,)}
    assert outcome(transfers(*screen(ALIKE), **between)[0]) == (3, [("too_few_groups", groups)])
    one = {"column": "Metadata_Batch", "groups": 1, "labels": 2}
    x, meta = screen(TWO)
    found = transfers(x, meta.assign(Metadata_Batch="one"), **between)
    assert outcome(found[0]) == (3, [("too_few_groups", one)]) and len(found) == 1
    for score in (consistency(x, meta)[0], matching(x, meta), transfers(x, meta, **between)[0]):
        assert np.isfinite(score.value), score.metric
    assert np.isfinite(multilabel.consistency(x, meta, **LABEL)[0].value)


def test_mechanisms_of_one_compound_leave_all_wells_undefined():
    nobody = [("no_shared_mechanism", {})]
    count = 2 * (2 + 3)
    assert outcome(consistency(*screen(APART))[0]) == (count, nobody)
    assert outcome(multilabel.consistency(*screen(APART), **LABEL)[0]) == (count, nobody)
    scores = transfers(*screen(APART), between=["Metadata_Batch"], label=["mechanism"], neighbours=(1, 3))
    assert [score.notes[0] for score in scores] == [Note("no_label_in_other_group")] * 2
    grits = grit_mechanism(*screen(APART))
    assert grits.notes == (Note("no_shared_mechanism"),) and (grits.n, grits.n_undefined) == (0, 2)
    near = [*multilabel.nearest_labels(*screen(APART), **LABEL)]
    near += multilabel.nearest_labels(*screen(APART), **LABEL, neighbours=(2,))
    for score in (nsc(*screen(APART)), *hits(*screen(APART), neighbours=(2,)), *near):
        assert outcome(score) == (2, nobody), score.metric  # else 0, whatever the profiles are
    main, dealt = nsc_permuted(*screen(APART), permutations=4)
    assert outcome(dealt)[1] == outcome(main)[1] == nobody
    none, null = multilabel.consistency(*screen(APART), **LABEL, permutations=9)
    assert np.isnan(none.value) and null.shape == (0,)


def test_a_label_of_one_group_cannot_be_found_in_another():
    x, meta = screen([("a", "m", "trt", 4), ("b", "n", "trt", 3)], lost=2)
    own = meta.assign(Metadata_Batch=meta["Metadata_Compound"].map({"a": "X", "b": "Y"}))
    (main,) = transfers(x, own, between=["Metadata_Batch"], label=["mechanism"], neighbours=(1,))
    assert (main.n, main.n_undefined) == (0, 2 + 2 * 12) and np.isnan(main.value)
    assert main.notes[0] == Note("no_label_in_other_group")
    same = own.assign(Metadata_Compound="a", Metadata_moa=meta["Metadata_moa"])
    (alone,) = transfers(x, same, between=["Metadata_Batch"], label=["mechanism"], neighbours=(1,))
    assert outcome(alone) == (2 + 2 * 12, [("no_label_in_other_group", {})])


def test_replicates_that_are_in_different_batches_leave_the_diagonal_undefined():
    """A screen of one plate per batch and layout: within a batch, a compound's other wells are on its own plate."""
    x, meta = screen([("a", "m", "trt", 2), ("b", "m", "trt", 2), ("c", "n", "trt", 2), ("d", "n", "trt", 2)], lost=0)
    spare = meta.assign(
        Metadata_Plate="Z" + meta["Metadata_Plate"].astype(str), Metadata_Compound="z", Metadata_moa="z"
    )
    x, meta = np.concatenate([x, x[::-1]]), pd.concat([meta, spare], ignore_index=True)
    meta["Metadata_Batch"] = meta["Metadata_Plate"].str[-1]
    between = {"between": ["Metadata_Batch"], "neighbours": (1,), "permutations": 3}
    main, gap, *_ = transfers(x, meta, label=["compound"], **between)
    batches = sorted(set(meta["Metadata_Batch"]))
    diagonal = {f"{name}->{name}" for name in batches}
    items = main.items.set_index("Metadata_Item")
    assert set(items.index[items["value"].isna()]) == diagonal and (items.loc[list(diagonal), "n"] == 0).all()
    empty = Note("no_label_in_both", {"pairs": len(batches), "total": len(batches) ** 2})
    assert empty in main.notes and empty in gap.notes
    assert gap.notes[0] == Note("no_label_twice_in_group") and np.isnan(gap.value)
    assert main.value == pytest.approx(items["value"].drop(diagonal).mean())


def test_neighbourhoods_need_ten_wells_and_wells_of_other_compounds():
    x, meta = screen([("a", "m", "trt", 9), ("b", "n", "trt", 9), ("c", "m", "trt", 2)], lost=3)
    few = Note("too_few_labelled_wells", {"found": 37, "needed": 40})
    assert clisi(x, meta).notes == (few,) and clisi(x, meta).n_undefined == 40
    # Of 44 wells a neighbourhood holds 11: wells of `a` have only 8 of other compounds, the others have all 11.
    x, meta = screen([("a", "m", "trt", 18), ("b", "n", "trt", 2), ("c", "n", "trt", 2)], lost=0)
    score = clisi(x, meta)
    assert (score.n, score.n_undefined) == (8, 36) and set(score.units["cluster"]) == {"b", "c"}
    assert set(score.items["Metadata_Item"]) == {"n"} and score.items["n"].tolist() == [8]
    x, meta = screen([("a", "m", "trt", 20), ("a", "n", "trt", 2)], lost=1)
    assert clisi(x, meta).notes == (Note("too_few_wells_of_other_compounds"),) and clisi(x, meta).n_undefined == 44


def test_connectivity_needs_four_wells_of_a_line_and_two_of_a_compound():
    x, meta = screen([("a", "m", "trt", 2), ("b", "n", "trt", 2)], plates=1, lost=1)
    short = Note("too_few_for_connectivity", {"found": 3, "needed": 4})
    found = replicate_connectivity(x, meta)
    assert np.isnan(found.value) and found.notes == (short,) and found.n_undefined == 4
    assert np.isfinite(replicate_connectivity(np.nan_to_num(x), meta).value), "four are enough"
    x, meta = screen([(name, "m", "trt", 1) for name in "abcdef"], plates=1, lost=1)
    alone = replicate_connectivity(x, meta)
    assert np.isnan(alone.value) and np.isnan(alone.chance) and alone.notes == (Note("no_compound_with_two_wells"),)
    assert (alone.n, alone.n_undefined) == (0, 6) and alone.jackknives == ()
    x, meta = screen([("a", "m", "trt", 6)], plates=1, lost=2)
    assert replicate_connectivity(x, meta).n_undefined == 6, "one compound is always connected"


def test_mixing_counts_the_wells_of_a_scope():
    x, meta = screen([("a", "m", "trt", 3), ("DMSO", None, "negcon", 5), (None, None, "empty", 2)], lost=2)
    scores = {score.metric: score for score in mixing(x, meta)}
    few = {"controls": 5, "wells": 8}
    for kind in ("kbet", "ilisi"):
        for scope, count in few.items():
            found = scores[f"mixing.{kind}.batch.{scope}"]
            largest = count if scope == "controls" else 8
            wanted = Note("too_few_wells_of_a_cell_line", {"found": largest, "needed": 40})
            assert found.notes == (wanted,) and found.n_undefined == 2 * count and np.isnan(found.value)
    quiet = scores["mixing.silhouette.plate.controls"]
    assert quiet.notes == (Note("no_replicates_of_two_labels"),) and quiet.n_undefined == 10, "a plate is a line"
    one = {score.metric: score for score in mixing(x, meta.assign(Metadata_Cell_Line="one"))}
    wells = one["mixing.silhouette.plate.wells"]
    assert (wells.n, wells.n_undefined) == (14, 2) and np.isfinite(wells.value)
    nothing = mixing(x[:0], meta.iloc[:0])
    assert [score.n_undefined for score in nothing] == [0] * 12 and all(np.isnan(one.value) for one in nothing)


def test_nearest_treatments_of_one_compound_or_of_none():
    kinds = [("a", "m", "trt", 2), ("DMSO", None, "negcon", 4), (None, None, "empty", 1)]
    x, meta = screen(kinds, lost=0)
    meta["Metadata_Concentration"] = np.where(meta["Metadata_Plate"] == "P0", 1.0, 2.0)
    x[meta.index[(meta["Metadata_Compound"] == "a") & (meta["Metadata_Plate"] == "P1")]] = np.nan
    for score in (nsc(x, meta), *multilabel.nearest_labels(x, meta, **LABEL)):
        assert np.isnan(score.value) and (score.n, score.n_undefined) == (0, 2), score.metric
    assert nsc(x, meta).notes == (Note("single_compound"),) and len(nsc(x, meta).items) == 1
    for score in hits(x, meta, neighbours=(2,)):
        assert outcome(score) == (2, [("single_compound", {})])
    nothing = np.full_like(x, np.nan)
    for score in (nsc(nothing, meta), *hits(nothing, meta, neighbours=(2,))):
        assert outcome(score) == (2, [("no_labelled_treatments", {})])
    for score in multilabel.nearest_labels(nothing, meta, **LABEL, neighbours=(2,)):
        assert outcome(score) == (2, [("no_labelled_treatments", {})])
    strict = (nscb(nothing, meta), *multilabel.nearest_labels(nothing, meta, **LABEL, apart=True))
    for score in strict:
        assert score.metric == "nscb" and outcome(score) == (2, [("no_labelled_treatments_in_batches", {})])
    main, dealt = nsc_permuted(x, meta, permutations=4)
    assert dealt.metric == "nsc.permuted" and outcome(dealt)[1] == outcome(main)[1] == [("single_compound", {})]
    assert outcome(drop(nsc(x, meta), nscb(x, meta))) == (0, [("needs_metrics", {"metrics": "nsc, nscb"})])


def test_a_drop_has_the_counts_of_the_stricter_score():
    x, meta = uneven(0)
    number = meta["Metadata_Compound"].str.extract(r"c(\d)")[0].astype(float)
    meta["Metadata_Batch"] = meta["Metadata_Batch"].where(
        (number == 4) | number.isna(), "B" + (number // 3).astype(str)
    )
    first, second = nsc(x, meta), nscb(x, meta)
    found = drop(first, second)
    assert (found.n, found.n_undefined) == (second.n, second.n_undefined) != (first.n, first.n_undefined)
    assert found.value == pytest.approx(first.value - second.value)
    (one,), (a,), (b,) = found.jackknives, first.jackknives, second.jackknives
    for name in set(a.left_out.index) & set(b.left_out.index):
        assert one.left_out[name] == pytest.approx(a.left_out[name] - b.left_out[name])


def test_one_mechanism_is_noted_beside_a_share_that_is_always_1():
    for score in (nsc(*screen(ALIKE)), *hits(*screen(ALIKE), neighbours=(2,))):
        assert score.value == 1 and score.notes == (Note("single_mechanism"),), score.metric
    assert not {note.code for note in nsc(*screen(TWO)).notes} & {"single_mechanism"}


def test_replicates_and_controls_that_are_missing():
    x, meta = screen(APART)
    treated = meta["Metadata_pert_type"] == "trt"
    single = meta.assign(Metadata_Compound=meta["Metadata_Compound"].where(~treated, "u" + meta.index.astype(str)))
    for metric, code in ((replicating, "no_replicates_beside_other_compounds"), (grit, "no_replicates")):
        score = metric(x, single)
        assert np.isnan(score.value) and score.notes == (Note(code),) and (score.n, score.n_undefined) == (0, 10)
    found = activity(x, single, null_size=1000)
    assert np.isnan(found.value) and found.notes == (Note("no_replicates_with_controls"),) and found.n_undefined == 10
    for kind, code in (("trt", "no_negative_controls"), ("negcon", "no_treated_wells")):
        part = (meta["Metadata_pert_type"] == kind).to_numpy()
        assert outcome(activity(x[part], meta[part].reset_index(drop=True))) == (0, [(code, {})])
    control = (meta["Metadata_pert_type"] == "negcon").to_numpy()
    for metric in (replicating, grit):
        only = metric(x[control], meta[control].reset_index(drop=True))
        assert np.isnan(only.value) and only.notes == (Note("no_treated_wells"),)
    gone = x.copy()
    gone[control] = np.nan
    assert outcome(activity(gone, meta)) == (0, [("controls_without_profile", {"found": 8})])


def test_a_threshold_out_of_reach_counts_all_treatments():
    x, meta = screen([("a", "m", "trt", 1), ("b", "n", "trt", 1), ("DMSO", None, "negcon", 2)], lost=0)
    score = activity(x, meta, null_size=1000, threshold=0.05)
    assert score.n == 2 and score.items["p"].isna().all()
    wanted = [("threshold_out_of_reach", {"threshold": 0.05})]
    assert outcome(retrieved(score, meta)) == (2, wanted)


def test_position_and_batch_need_controls():
    x, meta = screen([("DMSO", None, "negcon", 3)], lost=2)
    scores = nuisance(x, meta.assign(Metadata_Batch="one", Metadata_Cell_Line="one"))
    by_name = {score.metric.split(".")[1]: score for score in scores}
    assert outcome(by_name["batch"]) == (6, [("too_few_classes", {"classes": "one"})])
    few = nuisance(x[:3], meta.iloc[:3])
    assert [outcome(score) for score in few] == [(2, [("too_few_controls", {"found": 1, "needed": 2})])] * 5
    many = meta.assign(Metadata_Batch=[f"b{n}" for n in range(6)], Metadata_Cell_Line="one")
    code, values = outcome(nuisance(x, many)[0])[1][0]
    assert code == "too_few_classes" and values == {"classes": "b2, b3, b4, b5"}, "a batch of one well each"


def test_doses_of_wells_that_are_not_read_are_undefined():
    rows = [("P", f"{letter}{column:02d}", "d", 10.0**column, "trt") for letter in "AB" for column in range(1, 5)]
    rows += [("P", f"{letter}{column:02d}", "x", None, kind) for letter in "AB"
             for column, kind in ((5, "negcon"), (6, "poscon"))]  # fmt: skip
    names = ["Plate", "Well", "Compound", "Concentration", "pert_type"]
    meta = pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])
    kind = meta["Metadata_pert_type"]
    x = np.where(kind == "poscon", 3.0, np.where(kind == "negcon", 0.0, 1.0))[:, None] * np.ones((1, 3))
    x[1] = np.nan
    rank, quality = dose(x, meta, bootstrap=20)
    assert rank.notes == (Note("too_few_wells"),) and (rank.n, rank.n_undefined) == (0, 8)
    assert rank.items["n"].tolist() == [7] and np.isnan(rank.interval).all() and np.isnan(rank.value)
    assert quality.value == 1.0 and quality.n == 4 and quality.n_undefined == 0
