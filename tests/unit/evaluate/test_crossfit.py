"""Plates are judged by alignments that did not see them: which plates each fit uses, and that scores are unbiased."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from options import options
from wellspring.align.alignment import apply_alignment, fit_alignment
from wellspring.evaluate import wells
from wellspring.evaluate.consistency import consistency
from wellspring.evaluate.crossfit import SAME_PLATE, crossfitted, crowded_plates, deal, for_fold
from wellspring.evaluate.levels import defined_controls, halves, join, judged, recentred
from wellspring.evaluate.nuisance import nuisance
from wellspring.evaluate.populations import populations
from wellspring.evaluate.retrieval import activity
from wellspring.evaluate.run import evaluate
from wellspring.evaluate.score import merge
from wellspring.io import tables
from wellspring.profile.normalise import normalise
from wellspring.simulate.features import feature_screen

# Without the selection, whose list of names comes with a slow import.
FIT = options("fit", steps=["sphere"], by=None)
SMALL = {"controls": 12, "active": 4, "inactive": 8, "mechanisms": 2, "features": 16}


def screen(seed=0, **given):
    frame, _ = feature_screen(seed=seed, **(SMALL | given))
    plates = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
    return join([normalise(plate, options=options("profile"))[0] for plate in plates])


def renamed(frame, names):
    return frame.assign(Metadata_Plate=frame["Metadata_Plate"].map(names))


def keys(frame):
    return set(zip(frame["Metadata_Plate"], frame["Metadata_Well"], strict=True))


def numbers(dealt):
    return [note.values for note in dealt.notes]


def test_notes_count_the_plates_of_each_reason():
    """Of five plates: one is alone in its line, one holds all replicates of its treatments, three share two folds."""
    frame = screen(batches=2, plates=2)
    alone = renamed(frame[frame["Metadata_Plate"] == "B1_L1_P1"], {"B1_L1_P1": "alone"})
    frame = join([frame, alone.assign(Metadata_Cell_Line="other")])
    here = (frame["Metadata_Plate"] == "B2_L1_P2") & (frame["Metadata_pert_type"] == "trt")
    frame.loc[here, "Metadata_Perturbation"] = "only here"
    by_line = replace(FIT, by="cell_line")
    dealt = deal(frame, options=by_line, folds=2)
    assert dealt.columns == ("Metadata_Cell_Line",) and dealt.halved == {"alone", "B2_L1_P2"}
    assert len(dealt.folds) == 2 and sorted(name for fold in dealt.folds for name in fold) == [
        "B1_L1_P1",
        "B1_L1_P2",
        "B2_L1_P1",
    ]
    why = {"plates": 1, "total": 5}
    wanted = [{"reason": "no_other_plate_of_group"} | why, {"reason": "replicates_on_one_plate"} | why]
    assert (
        numbers(dealt) == [{"folds": 2, "percent": 60}, *wanted, {}] and dealt.by_halves().notes[:2] == dealt.notes[1:3]
    )
    assert dealt.by_halves().halved == set(frame["Metadata_Plate"]) and not dealt.by_halves().folds
    harmony = deal(frame, options=replace(FIT, steps=["harmony"]), folds=2)
    assert numbers(harmony) == [{"reason": "harmony", "plates": 5, "total": 5}, {}] and not harmony.folds
    few = deal(frame[frame["Metadata_pert_type"] == "trt"].reset_index(drop=True), options=FIT, folds=2)
    assert few.notes == () and not few.folds and not few.halved, "no plate has controls"


@pytest.mark.parametrize("folds", [2, 3])
def test_folds_are_spread_over_batches_and_then_over_sizes(folds):
    """By hand: each plate in turn goes to the fold with the fewest plates of its batch, of several to the smallest."""
    frame = screen(batches=2, plates=4)
    dealt = deal(frame, options=FIT, folds=folds)
    found: list[list[str]] = [[] for _ in range(folds)]
    for plate in sorted(set(frame["Metadata_Plate"])):
        mates = [sum(name[:2] == plate[:2] for name in fold) for fold in found]
        best = min(range(folds), key=lambda n: (mates[n], len(found[n]), n))
        found[best].append(plate)
    assert [sorted(fold) for fold in dealt.folds] == [sorted(fold) for fold in found]


class Recorder:
    """A fit that remembers, and an apply that remembers which rows went through which fit."""

    def __init__(self):
        self.fits, self.applied = [], []

    def fit(self, frame, *, features, options, controls):
        self.fits.append((keys(frame), keys(frame[controls]), options, features))
        return len(self.fits) - 1, fit_alignment(frame, features=features, options=options, controls=controls)

    def apply(self, frame, state):
        self.applied.append((state[0], keys(frame)))
        return apply_alignment(frame, state[1])


def recorded(frame, *, options=FIT, folds=8, **given):
    recorder = Recorder()
    dealt = deal(frame, options=options, folds=folds)
    frames = crossfitted(
        frame, dealt, options=options, seed=0, fit=recorder.fit, apply=recorder.apply, published=frame, **given
    )
    return dealt, frames, recorder


@pytest.mark.parametrize("folds", [2, 8])
def test_no_plate_goes_through_a_fit_that_saw_any_of_its_wells(folds):
    frame = screen(batches=3, plates=2)
    dealt, (result,), recorder = recorded(frame, folds=folds)
    assert len(dealt.folds) == min(folds, 6) and not dealt.halved and dealt.notes[0].code == "cross_fitted"
    assert sorted(len(fold) for fold in dealt.folds) == sorted([6 // len(dealt.folds)] * len(dealt.folds))
    assert keys(result) == keys(frame)
    for number, rows in recorder.applied:
        seen, controls, _, features = recorder.fits[number]
        plates = {plate for plate, _ in rows}
        assert not plates & {plate for plate, _ in seen}
        assert controls == keys(frame[defined_controls(frame) & ~frame["Metadata_Plate"].isin(plates)])
        assert features == tables.features(frame)
    total = len(keys(frame[defined_controls(frame)]))
    assert dealt.notes[0].values["percent"] == 100 * min(len(fit[1]) for fit in recorder.fits) // total
    if folds == 2:
        batches = [{name[:2] for name in fold} for fold in dealt.folds]
        assert batches[0] == batches[1] == {"B1", "B2", "B3"}


def test_each_fold_has_the_fit_of_the_other_plates():
    frame = screen(batches=3, plates=1)
    (result,) = crossfitted(frame, deal(frame, options=FIT, folds=8), options=FIT, seed=0)
    for name, part in frame.groupby("Metadata_Plate"):
        others = frame[frame["Metadata_Plate"] != name].reset_index(drop=True)
        expected = apply_alignment(part, fit_alignment(others, options=FIT))
        mine = result[result["Metadata_Plate"] == name]
        np.testing.assert_allclose(mine[tables.features(mine)], expected[tables.features(mine)], atol=1e-5)


def test_order_of_rows_and_names_of_plates_change_nothing():
    frame = screen(batches=2, plates=2)
    names = dict(zip(sorted(set(frame["Metadata_Plate"])), ["z", "k", "a", "m"], strict=True))
    other = renamed(frame.sample(frac=1, random_state=1), names).reset_index(drop=True)
    results = []
    for each in (frame, frame, other):
        results += crossfitted(each, deal(each, options=FIT, folds=8), options=FIT, seed=0)
    pd.testing.assert_frame_equal(results[0], results[1])
    there = renamed(results[0], names).sort_values(["Metadata_Plate", "Metadata_Well"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(there, results[2], atol=1e-5, rtol=1e-5)


def test_a_single_plate_goes_by_halves_of_its_controls():
    frame = screen(batches=1, plates=1, controls=25)
    dealt, frames, recorder = recorded(frame)
    assert dealt.halved == set(frame["Metadata_Plate"]) and not dealt.folds and dealt.notes[-1].code == "two_halves"
    both = [keys(each[defined_controls(each)]) for each in frames]
    assert sorted(map(len, both)) == [12, 13] and not both[0] & both[1]
    for result, (_, fitted, given, _), (number, rows) in zip(frames, recorder.fits, recorder.applied, strict=True):
        assert recorder.fits[number][1] == fitted and not fitted & keys(result) and rows == keys(result) | fitted
        assert len(fitted) == 25 - len(keys(result[defined_controls(result)])) and given.min_controls in (6, 7)


@pytest.mark.parametrize("plates", [1, 2])
def test_levels_that_are_judged_by_halves_have_the_note(plates):
    frame = screen(batches=plates, plates=1, controls=24)
    parts = [part.reset_index(drop=True) for _, part in frame.groupby("Metadata_Plate")]
    found = list(populations(parts, parts, frame, options=options("evaluate"), fit=FIT))
    codes = {each.level: {note.code for note in each.notes} for each in found}
    assert list(codes) == ["aggregated", "normalised", "aligned"]
    assert all(("two_halves" in noted) == (plates == 1) for noted in codes.values()), codes


def test_halves_split_each_plate_evenly():
    frame = screen(batches=2, plates=2, controls=7)
    first, second = halves(frame, plates=set(frame["Metadata_Plate"]), seed=3)
    assert not (first & second).any() and ((first | second) == defined_controls(frame)).all()
    assert sorted(frame[first].groupby("Metadata_Plate").size()) == [3, 3, 4, 4]
    even = screen(batches=2, plates=2, controls=8)
    first, second = halves(even, plates=set(even["Metadata_Plate"]), seed=3)
    assert all(set(even[half].groupby("Metadata_Plate").size()) == {4} for half in (first, second))
    mine, _ = halves(frame, plates={"B1_L1_P1"}, seed=3)
    assert set(frame.loc[mine, "Metadata_Plate"]) == {"B1_L1_P1"}


def test_a_line_of_one_plate_goes_by_halves_and_the_others_by_other_plates():
    frame = screen(batches=2, plates=1, cell_lines=2)
    frame = frame[frame["Metadata_Plate"] != "B2_L2_P1"].reset_index(drop=True)
    dealt, frames, recorder = recorded(frame, options=replace(FIT, by="cell_line"))
    assert dealt.halved == {"B1_L2_P1"} and len(dealt.folds) == 2 and len(frames) == 2
    shared = [each[each["Metadata_Plate"] != "B1_L2_P1"].reset_index(drop=True) for each in frames]
    pd.testing.assert_frame_equal(*shared)
    # Controls of a half go through their own fit for the effects of position, and are in no judged profile.
    own = [recorder.fits[number][1] & rows for number, rows in recorder.applied]
    assert [bool(each) for each in own] == [False, False, True, True]
    assert not any(each & keys(result) for each, result in zip(own[2:], frames, strict=True))
    assert deal(frame, options=FIT, folds=8).halved == set()
    coral = replace(FIT, steps=["sphere", {"coral": {"batches": "Metadata_Batch"}}])
    assert deal(frame, options=coral, folds=8).halved == {"B2_L1_P1"}
    assert deal(frame, options=replace(FIT, steps=["harmony"]), folds=8).halved == set(frame["Metadata_Plate"])


def test_plates_that_did_not_fit_are_as_they_were_published():
    frame = screen(batches=2, plates=2)
    frame.loc[frame["Metadata_Plate"] == "B2_L1_P2", "Metadata_Role"] = "project"
    published = frame.copy()
    published[tables.features(frame)] += 1
    recorder = Recorder()
    dealt = deal(frame, options=FIT, folds=8)
    (result,) = crossfitted(
        frame, dealt, options=FIT, seed=0, published=published, fit=recorder.fit, apply=recorder.apply
    )
    mine = [each[each["Metadata_Plate"] == "B2_L1_P2"].reset_index(drop=True) for each in (result, published)]
    pd.testing.assert_frame_equal(*mine)
    assert not any(plate == "B2_L1_P2" for seen, *_ in recorder.fits for plate, _ in seen)
    assert keys(result) == keys(frame)


def test_held_out_plates_are_judged_as_they_were_published():
    frame = screen(batches=2, plates=2, effect=0.0)
    held = (frame["Metadata_Plate"] == "B2_L1_P2").to_numpy()
    frame.loc[held, "Metadata_Role"] = "heldout"
    twice = pd.concat([frame[held], frame[held].assign(Metadata_Plate="again")])
    frame = join([frame[~held], twice])
    small = {"null_size": 1000, "bootstrap": 10, "permutations": 0, "replicating_null": 50, "transfer_between": []}
    published = apply_alignment(frame, fit_alignment(frame[frame["Metadata_Role"] == "fit"], options=FIT))
    plates = [part for _, part in frame.groupby("Metadata_Plate")]
    _, summary = evaluate(plates, plates, published, options=options("evaluate", **small), fit=FIT)
    found = summary.set_index(["Metadata_Metric", "Metadata_Level"]).loc[("activity.heldout", "aligned")]
    alone = published[published["Metadata_Role"] == "heldout"]
    expected = activity(*wells.in_order(alone[tables.features(alone)].to_numpy(float), alone), null_size=1000)
    assert found["value"] == pytest.approx(expected.value) and "cross_fitted" not in found["Metadata_Note"]
    alone = published[published["Metadata_Role"] == "fit"].reset_index(drop=True)
    rows = summary.set_index(["Metadata_Metric", "Metadata_Level"])
    expected = consistency(alone[tables.features(alone)].to_numpy(float), alone)[0]
    assert rows.loc[("consistency", "aligned"), "value"] == pytest.approx(expected.value)
    assert set(rows.loc["nuisance.plate", "n"]) == {36}


def test_features_are_those_of_the_published_profiles_and_nothing_is_selected_again():
    frame = screen(batches=2, plates=1)
    names = tables.features(frame)
    options = replace(FIT, steps=[{"select": {"max_correlation": 0.01}}, "sphere"], blocklist=None)
    thin = for_fold(options, share=0.5)
    assert thin.steps == ({"sphere": {}},) and thin.min_controls == 6
    assert [for_fold(FIT, share=share).min_controls for share in (1 / 3, 7 / 8, 0.01)] == [4, 11, 2]
    dealt = deal(frame, options=options, folds=8)
    (result,) = crossfitted(frame, dealt, options=options, seed=0, published=frame.drop(columns=names[:3]))
    assert tables.features(result) == names[3:]


@pytest.mark.parametrize(("controls", "word"), [(6, 'method="shrinkage", controls'), (5, "standardised")])
def test_a_group_is_sphered_in_a_fold_where_it_was_in_the_published_fit(controls, word):
    frame, said = screen(batches=2, plates=1, cell_lines=2, controls=controls), []
    fit = replace(FIT, by="cell_line")
    assert all(word in str(note) for note in fit_alignment(frame, options=fit).notes if note.values["group"] != "*")

    def apply(rows, state):
        said.extend(note for note in state.notes if note.values["group"] == rows["Metadata_Cell_Line"][0])
        return apply_alignment(rows, state)

    crossfitted(frame, deal(frame, options=fit, folds=8), options=fit, seed=0, published=frame, apply=apply)
    assert len(said) == 4 and all(word in str(note) for note in said)


def test_controls_of_different_plates_are_compared_in_one_transform():
    alike = {"batch_shift": 0, "plate_shift": 0, "plate_scale": 0, "edge_shift": 0}
    frame = screen(seed=3, batches=1, plates=4, controls=16, features=128, **alike)
    dealt = deal(frame, options=FIT, folds=8)
    read = []
    for each in (dealt, dealt.by_halves()):
        frames = crossfitted(frame, each, options=FIT, seed=0, recentre=False)
        scores = [nuisance(*wells.in_order(part[tables.features(part)].to_numpy(float), part))[1] for part in frames]
        read.append(np.mean([score.value for score in scores]))
    # By chance 0.25; each plate by its own transform is why by_halves is there.
    assert read[0] > 0.7 and read[1] < 0.4


def test_replicates_on_one_plate_make_it_crowded():
    frame = screen(batches=1, plates=2, replicates=2)
    assert crowded_plates(frame) == set() and pytest.approx(1 / 3) == SAME_PLATE
    assert len(crowded_plates(screen(batches=1, plates=2, replicates=3))) == 2
    assert len(crowded_plates(frame, replicates_share=("Metadata_Plate",))) == 2
    moved = frame.copy()
    first = frame["Metadata_Plate"] == "B1_L1_P1"
    moved.loc[first & (frame["Metadata_pert_type"] == "trt"), "Metadata_Perturbation"] += " here"
    assert len(crowded_plates(moved)) == 2
    moved.loc[~first & (frame["Metadata_pert_type"] == "trt"), "Metadata_pert_type"] = "poscon"
    assert crowded_plates(moved) == {"B1_L1_P1"}


def test_a_halved_plate_is_centred_on_the_half_that_it_is_not_judged_with():
    frame = screen(batches=1, plates=2, controls=9)
    name = "B1_L1_P1"
    for half, result in zip(halves(frame, plates={name}, seed=0), judged(frame, halved={name}, seed=0), strict=True):
        values, features = frame[tables.features(frame)].to_numpy(float, copy=True), tables.features(frame)
        mine = (frame["Metadata_Plate"] == name).to_numpy()
        values[mine] -= np.mean(values[half], axis=0)  # learned features are centred by means
        np.testing.assert_allclose(result[features], values[~half])
    raw = frame.assign(**{name: frame[name] + 5 for name in tables.features(frame)})
    pd.testing.assert_frame_equal(recentred(raw, half), raw, check_dtype=False, check_like=True)
    assert judged(frame, halved={"another"}, seed=0) == (frame,)


def share_below(frames, alpha=0.05):
    parts = [
        activity(*wells.in_order(each[tables.features(each)].to_numpy(float), each), null_size=2000) for each in frames
    ]
    items = parts[0].items if len(parts) == 1 else merge(*parts).items
    return float((items["p"] <= alpha).mean())


NOTHING = {"active": 0, "inactive": 60, "mechanisms": 1}


def test_nothing_looks_active_by_fits_that_did_not_see_it_and_much_by_those_that_did():
    options = replace(FIT, sphering="ridge", ridge=1e-6)
    frame = screen(seed=5, batches=2, plates=2, controls=16, features=128, **NOTHING)
    honest = crossfitted(frame, deal(frame, options=options, folds=8), options=options, seed=0)
    assert share_below(honest) <= 0.05 and share_below((frame,)) <= 0.05
    assert share_below((apply_alignment(frame, fit_alignment(frame, options=options)),)) > 0.4


def test_nothing_looks_active_on_a_single_plate_and_much_by_the_centre_of_all_controls():
    frame = screen(seed=6, batches=1, plates=1, controls=16, features=256, replicates=4, **NOTHING)
    dealt = deal(frame, options=FIT, folds=8)
    # 60 treatments that share their controls: 3 of 60 expected at most, and 8 hardly ever.
    assert share_below(judged(frame, halved=dealt.halved, seed=0)) < 8 / 60
    assert share_below(crossfitted(frame, dealt, options=FIT, seed=0)) < 8 / 60
    assert share_below((frame,)) > 0.2
