"""Weak labels: which wells are matched, that judged compounds give no labels, and that the evaluation agrees."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import blobs
import trainings
from wellspring.io.keys import WELL_KEY
from wellspring.screen.heldout import held_out
from wellspring.train import build
from wellspring.train.labels import Grouped
from wellspring.train.settings import resolve

WELLS = ("B02", "B03", "C02", "C03", "D02")
# Of folds of two: the first two give labels where fold 0 is held out, the third is judged.
NAMES = [f"drug{number}" for number in range(40)]
SEEN = [name for name, out in zip(NAMES, held_out(NAMES, folds=2, fold=0), strict=True) if not out][:2]
JUDGED = next(name for name, out in zip(NAMES, held_out(NAMES, folds=2, fold=0), strict=True) if out)


def entry(positives: str, **over):
    matched = {"positives": positives, "heldout": "compound"}
    return blobs.entry(steps=2, batch=8, view={"kind": "cell", "size": 24}, local_aggregation=matched | over)


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    return blobs.screen(tmp_path_factory.mktemp("labels"), channels=trainings.CHANNELS, wells=WELLS)


@pytest.fixture
def wells() -> pd.DataFrame:
    """On both plates: two treatments with labels, one that is judged, one labelled with a single well, one control."""
    treatments = dict(zip(WELLS, [SEEN[0], SEEN[0], JUDGED, SEEN[1], "DMSO"], strict=True))
    rows = [
        (plate, well, name, f"{name}@1", "negcon" if name == "DMSO" else "trt")
        for plate in ("P1", "P2")
        for well, name in treatments.items()
    ]
    columns = [*WELL_KEY, "Metadata_Compound", "Metadata_Perturbation", "Metadata_pert_type"]
    return pd.DataFrame(rows, columns=columns)


def groups(screen, wells, positives: str) -> tuple[Grouped, list[pd.DataFrame]]:
    """The source, and the keys of each group of 40 batches."""
    mine = entry(positives)
    settings = resolve(mine, seed=1)
    source = Grouped(blobs.source(screen, mine, channels=trainings.CHANNELS), wells, settings.aggregation)
    sampler = build.sampler(source, settings)
    drawn = [source.frame.iloc[sampler.draw(step)].reset_index(drop=True) for step in range(40)]
    return source, [batch.iloc[start : start + 2] for batch in drawn for start in range(0, len(batch), 2)]


@pytest.mark.parametrize("positives", ["well", "treatment"])
def test_groups_are_of_one_treatment_only_where_labels_are_allowed(screen, wells, positives):
    source, drawn = groups(screen, wells, positives)
    known = wells.set_index(WELL_KEY)["Metadata_Compound"]
    assert source.compounds == sorted(SEEN)
    across = set()
    for group in drawn:
        keys = list(group[WELL_KEY].itertuples(index=False, name=None))
        compounds = {known[key] for key in keys}
        assert len(compounds) == 1
        (compound,) = compounds
        if compound in SEEN:
            plates, places = {plate for plate, _ in keys}, set(keys)
            assert positives == "treatment" or len(plates) == 1
            assert compound != SEEN[0] or len(places) == 2
            across |= {compound} if len(plates) == 2 else set()
        else:
            assert len(set(keys)) == 1 and group["Metadata_Site"].nunique() == 2
    assert across == (set(SEEN) if positives == "treatment" else set())


def test_labels_of_judged_compounds_and_controls_change_nothing(tmp_path, screen, wells):
    """Other names for the judged compound and the control that are held out, too: the same weights, bit for bit."""
    other = next(
        name for name, out in zip(NAMES, held_out(NAMES, folds=2, fold=0), strict=True) if out and name != JUDGED
    )
    renamed = wells.replace({JUDGED: other, f"{JUDGED}@1": f"{other}@2"})
    swapped = wells.replace({SEEN[1]: SEEN[0], f"{SEEN[1]}@1": f"{SEEN[0]}@1"})
    found = []
    for number, table in enumerate((wells, renamed, swapped)):
        network, card, history = trainings.train(entry("treatment"), screen, tmp_path / str(number), wells=table)
        assert np.isfinite(history["loss"]).all()
        found.append(np.concatenate([value.numpy().ravel() for value in network.state_dict().values()]))
    assert card["labels"] == {"compounds": 1, "items": 6 * 2 * 8}
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_wells_without_a_treatment_and_settings_that_would_be_judged_are_refused(screen, wells, tmp_path):
    with pytest.raises(ValueError, match="expected treatments of all wells, found none for .*'D02'"):
        trainings.train(entry("well"), screen, tmp_path, wells=wells[wells["Metadata_Well"] != "D02"])
    with pytest.raises(ValueError, match="positives: expected the wells' treatments, found none"):
        trainings.train(entry("well"), screen, tmp_path)
    with pytest.raises(ValueError, match="heldout: compound with positives well, .* heldout None"):
        resolve(entry("well", heldout=None), seed=1)
    with pytest.raises(ValueError, match="heldout_fold: expected a fold below 2, found 2"):
        resolve(entry("well", heldout_fold=2), seed=1)
    with pytest.raises(ValueError, match="encoders.one_plate: expected false with positives treatment"):
        resolve(dataclasses.replace(entry("treatment"), one_plate=True), seed=1)


def test_folds_cover_each_compound_once_and_ignore_spelling_and_order():
    names = [f"compound {number}" for number in range(300)]
    folds = np.stack([held_out(names, folds=3, fold=fold) for fold in range(3)])
    assert (folds.sum(axis=0) == 1).all() and folds.sum(axis=1).min() > 70
    np.testing.assert_array_equal(held_out([f" {name.upper()}" for name in names], folds=3, fold=1), folds[1])
    np.testing.assert_array_equal(held_out(names[::-1], folds=3, fold=1), folds[1][::-1])
    assert held_out([None, np.nan], folds=3, fold=2).all()
