"""Activity adjusted for position: no findings by position alone, biology kept, undefined where controls cannot tell."""

import numpy as np
import pandas as pd
import pytest

from evaluation_tables import OPTIONS
from options import options
from wellspring.evaluate import position, run
from wellspring.evaluate.crossfit import crossfitted_beside, deal
from wellspring.evaluate.levels import halves, judged, lacking
from wellspring.evaluate.metrics import chosen
from wellspring.evaluate.populations import Population
from wellspring.io.notes import Note

ROWS, COLUMNS, FEATURES = 8, 12, 20
NAMES = [f"x_{number}" for number in range(FEATURES)]


def screen(seed, *, plates=3, replicates=1, controls=24, active=0, strength=1.5, spread=True, repeated=True):
    """Plates with the same effects of row, column and edge; every treatment has the same wells on each plate."""
    rng = np.random.default_rng(seed)
    row, column = (each.ravel() for each in np.indices((ROWS, COLUMNS)))
    edge = np.isin(row, (0, ROWS - 1)) | np.isin(column, (0, COLUMNS - 1))
    where = np.column_stack([2 * row / (ROWS - 1) - 1, 2 * column / (COLUMNS - 1) - 1, edge])
    effect, biology = strength * rng.standard_normal((3, FEATURES)), rng.standard_normal((18, FEATURES))
    contents = np.concatenate([np.full(controls, -1), np.repeat(np.arange(18), replicates)])
    order = rng.permutation(len(row)) if spread else np.lexsort([row, column])
    parts = []
    for plate in range(plates):
        order = order if repeated or not plate else rng.permutation(len(row))
        place = order[: len(contents)]
        x = rng.standard_normal((len(contents), FEATURES)) + where[place] @ effect
        x += np.where((contents >= 0) & (contents < active), 1.0, 0.0)[:, None] * biology[contents]
        x -= np.median(x[contents < 0], axis=0)
        frame = pd.DataFrame(
            {
                "Metadata_Plate": f"P{plate}",
                "Metadata_Well": [
                    f"{'ABCDEFGH'[r]}{c + 1:02d}" for r, c in zip(row[place], column[place], strict=True)
                ],
                "Metadata_Edge": edge[place],
                "Metadata_Compound": [f"c{n:02d}" if n >= 0 else "DMSO" for n in contents],
                "Metadata_pert_type": np.where(contents < 0, "negcon", "trt"),
            }
        )
        parts.append(pd.concat([frame, pd.DataFrame(x, columns=NAMES)], axis=1))
    return pd.concat(parts, ignore_index=True)


def scored(frame, halved=()):
    asked = ["activity", "activity.adjusted"]
    section = options("evaluate", null_size=1000, metrics=asked)
    frames, beside = (take(frame, halved=set(halved), seed=0) for take in (judged, lacking))
    population = Population("normalised", frames, (frame,), frame, beside=beside)
    found = run.scores(population, metrics=chosen(asked), options=section, position=())
    return {score.metric: score for score in found}


def share(score, metric="p", of=slice(None)):
    return float((score.items[metric][of] < 0.05).mean())


@pytest.mark.parametrize("plates", [3, 1])
def test_position_alone_gives_findings_which_adjusting_takes_away(plates):
    given = {"plates": plates} if plates > 1 else {"plates": 1, "replicates": 3, "controls": 40}
    halved = {"P0"} if plates == 1 else ()
    found = [scored(screen(seed, **given), halved) for seed in range(5)]
    before, after = (np.mean([share(one[name]) for one in found]) for name in ("activity", "activity.adjusted"))
    # Replicates of one plate are at different positions; the same well on every plate makes replicates alike.
    assert before > (0.5 if plates > 1 else 0.0)
    assert after <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / (5 * 18))
    value, chance = np.transpose([(one["activity.adjusted"].value, one["activity.adjusted"].chance) for one in found])
    assert abs((value - chance).mean()) < 3 * (value - chance).std(ddof=1) / np.sqrt(len(found)) + 0.02


def test_active_treatments_are_found_although_positions_differ():
    found = scored(screen(1, active=9))["activity.adjusted"]
    assert share(found, "q", slice(0, 9)) >= 7 / 9
    assert share(found, "q", slice(9, None)) <= 1 / 9


def test_the_effects_are_those_of_least_squares_on_the_controls():
    frame = screen(4)
    result = position.adjusted(frame)
    for _, part in frame.groupby("Metadata_Plate"):
        terms = np.column_stack([np.ones(len(part)), position.terms(frame)[part.index]])
        control = (part["Metadata_pert_type"] == "negcon").to_numpy()
        x = part[NAMES].to_numpy()
        slopes = np.linalg.lstsq(terms[control], x[control], rcond=None)[0]
        wanted = x - (terms - terms[control].mean(axis=0)) @ slopes
        near = result.loc[part.index, position.STATE] == position.OWN
        np.testing.assert_allclose(result.loc[part.index, NAMES][near], wanted[near], atol=1e-10)
        assert near[control].all() and near.mean() > 0.9
    exact = frame.copy()
    exact[NAMES] = position.terms(frame) @ np.random.default_rng(0).standard_normal((3, FEATURES)) + 7
    left = position.adjusted(exact)[NAMES].groupby(exact["Metadata_Plate"]).agg(np.ptp)
    assert left.to_numpy().max() < 1e-9, "an effect of this form is removed whole, and the plate's mean stays"


def test_layouts_that_cannot_tell_have_no_score_but_a_reason():
    column = screen(2, spread=False, controls=16)  # controls fill two columns, one of them at the edge
    narrow = column[(column["Metadata_pert_type"] == "trt") | column["Metadata_Well"].str.endswith("01")]
    few = screen(2, controls=position.LEAST - 1)
    for frame, wanted in (
        (narrow.reset_index(drop=True), Note("position_few_controls", {"plates": 3, "total": 3, "needed": 12})),
        (few, Note("position_few_controls", {"plates": 3, "total": 3, "needed": position.LEAST})),
    ):
        score = scored(frame)["activity.adjusted"]
        assert np.isnan(score.value) and wanted in score.notes and score.n_undefined == 18
    tall = screen(2, controls=16, spread=False)
    tall["Metadata_Edge"] = tall["Metadata_Well"].str.endswith("01") | tall["Metadata_Well"].str.endswith("02")
    score = scored(tall)["activity.adjusted"]
    assert np.isnan(score.value), "all controls are at the edge"
    assert Note("position_controls_not_spread", {"plates": 3, "total": 3}) in score.notes


def test_wells_far_from_the_controls_are_undefined():
    frame = screen(2, controls=16, spread=False)  # two columns of controls, treatments in the next ones
    score = scored(frame)["activity.adjusted"]
    codes = {note.code: note.values for note in score.notes}
    assert codes["position_far_from_controls"]["wells"] > 0


def test_halved_plates_are_fitted_on_the_half_that_is_not_judged():
    frame = screen(5, plates=2, replicates=2, controls=32)
    frames, beside = (take(frame, halved={"P0", "P1"}, seed=3) for take in (judged, lacking))
    whole = set(
        frame.loc[frame["Metadata_pert_type"] == "negcon", ["Metadata_Plate", "Metadata_Well"]].agg(tuple, axis=1)
    )
    masks = halves(frame, plates={"P0", "P1"}, seed=3)
    for judged_, lacks, mask in zip(frames, beside, masks, strict=True):
        key = lambda table: set(table[["Metadata_Plate", "Metadata_Well"]].agg(tuple, axis=1))  # noqa: E731
        assert key(lacks) == key(frame[mask]) and not key(lacks) & key(judged_)
        assert whole <= key(lacks) | key(judged_)
        assert (np.abs(lacks.groupby("Metadata_Plate")[NAMES].median()) < 1e-9).all(axis=None)
        changed = judged_.copy()
        changed.loc[changed["Metadata_pert_type"] == "negcon", NAMES] += 3.0
        first, second = (position.adjusted(each, lacks)[NAMES] for each in (judged_, changed))
        treated = (judged_["Metadata_pert_type"] == "trt").to_numpy()
        np.testing.assert_array_equal(first[treated], second[treated])


def test_the_controls_beside_aligned_profiles_are_aligned_as_these():
    fit = options("fit", min_controls=4)
    frame = screen(6, plates=1, replicates=3, controls=30).assign(
        Metadata_Batch="B", Metadata_Cell_Line="L", Metadata_Verdict="keep", Metadata_Role="fit"
    )
    dealt = deal(frame, options=fit, folds=8)
    assert dealt.halved == {"P0"}
    frames, beside = crossfitted_beside(frame, dealt, options=fit, seed=1)
    masks = halves(frame, plates={"P0"}, seed=1)
    for one, lacks, mask in zip(frames, beside, masks, strict=True):
        assert sorted(lacks["Metadata_Well"]) == sorted(frame["Metadata_Well"][mask])
        both = pd.concat([one, lacks], ignore_index=True)
        assert sorted(both["Metadata_Well"]) == sorted(frame["Metadata_Well"])
        # One affine map takes all wells, also those beside, to where they are.
        names = [name for name in both if name.startswith("x_")]
        given = frame.set_index("Metadata_Well").loc[both["Metadata_Well"], NAMES].to_numpy()
        design = np.column_stack([np.ones(len(given)), given])
        fitted = np.linalg.lstsq(design[: len(one)], one[names].to_numpy(), rcond=None)[0]
        np.testing.assert_allclose(design[len(one) :] @ fitted, lacks[names], atol=1e-3)


def test_a_population_without_halves_needs_nothing_beside():
    frame = screen(7)
    found = run.scores(
        Population.of(frame, level="x"), metrics=chosen(["activity.adjusted"]), options=OPTIONS, position=()
    )
    assert [score.metric for score in found] == ["activity.adjusted"] and np.isfinite(found[0].value)
