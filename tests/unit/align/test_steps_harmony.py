"""Harmony: the wells that it is fitted on, and its errors where it cannot be applied."""

import numpy as np
import pandas as pd
import pytest

from step_screens import NAMES, SIZE, screen, through, values
from wellspring.align.alignment import Alignment, apply_alignment
from wellspring.align.steps import harmony
from wellspring.io.notes import Note


class Foreign:
    """In place of harmonypy: each batch is centred."""

    def run_harmony(self, data, meta, names, **options):
        assert data.shape == (SIZE, len(meta[names[0]]))
        of = np.asarray(meta[names[0]])
        moved = data.T.copy()
        for batch in set(of):
            moved[of == batch] -= moved[of == batch].mean(axis=0)
        self.Z_corr, self.options = moved, options
        return self


@pytest.fixture
def foreign(monkeypatch):
    package = Foreign()
    monkeypatch.setattr(harmony, "_package", lambda: package)
    return package


def test_harmony_corrects_the_wells_that_it_was_given(foreign, tmp_path):
    frame = screen(np.random.default_rng(37))
    frame.loc[frame["Metadata_Plate"] == "P1", NAMES] += 9
    frame.loc[7, "Metadata_Verdict"] = "undefined"
    listed = ("select", {"harmony": {"batches": "Metadata_Plate"}}, "sphere")
    aligned, alignment = through(frame, *listed)
    assert aligned.loc[7, NAMES].isna().all()
    assert abs(values(aligned)[frame["Metadata_Plate"] == "P1"].mean()) < 0.1
    assert foreign.options["nclust"] == 8
    alignment.save(tmp_path / "a.npz")
    again = Alignment.load(tmp_path / "a.npz")
    one_by_one = [apply_alignment(plate, again) for _, plate in frame.groupby("Metadata_Plate")]
    np.testing.assert_allclose(values(pd.concat(one_by_one)), values(aligned), rtol=1e-5, atol=1e-6)
    mixed, _ = through(
        frame.sample(frac=1, random_state=0), "select", {"harmony": {"batches": "Metadata_Plate"}}, "sphere"
    )
    pd.testing.assert_frame_equal(mixed.sort_index(), aligned, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("step", ["harmony", {"harmony": {"batches": "Metadata_Plate"}}], ids=["batch", "plate"])
@pytest.mark.parametrize("kind", ["plate", "treated wells"])
def test_odd_wells_do_not_move_the_others_and_are_moved_as_in_a_fit_of_all(foreign, kind, step, tmp_path):
    rng = np.random.default_rng(42)
    frame = screen(rng)
    frame[NAMES] += np.where(frame["Metadata_Batch"] == "b0", 4.0, -1.0)[:, None]
    odd = (frame["Metadata_Plate"] == "P2").to_numpy()
    if kind == "plate":
        frame.loc[odd, NAMES] *= 1e9
    else:
        odd = odd & (frame["Metadata_pert_type"] == "trt").to_numpy() & (rng.random(len(frame)) < 0.4)
        frame.loc[odd, NAMES[1]] += 1e6
    aligned, alignment = through(frame, step)
    alone, _ = through(frame[~odd].reset_index(drop=True), step)
    np.testing.assert_array_equal(values(aligned, ~odd), values(alone))
    # The limits come before the step; the stand-in of the package takes the mean of each batch away.
    limited = apply_alignment(frame, Alignment(alignment.selection, alignment.steps[:1]))
    means = limited.groupby("Metadata_Batch" if step == "harmony" else "Metadata_Plate")[NAMES].transform("mean")
    np.testing.assert_allclose(values(aligned, odd), (limited[NAMES] - means).to_numpy()[odd], rtol=1e-4, atol=1e-2)
    alignment.save(tmp_path / "fit.npz")
    again = apply_alignment(frame.sample(frac=1, random_state=0), Alignment.load(tmp_path / "fit.npz"))
    pd.testing.assert_frame_equal(again.sort_index(), aligned)


def test_harmony_refuses_a_plate_that_was_not_fitted(foreign):
    frame = screen(np.random.default_rng(38))
    _, alignment = through(frame, "harmony")
    with pytest.raises(
        ValueError,
        match=r"harmony: expected wells of the 6 plates .* other wells of plates \['later'\]; .*role fit",
    ):
        apply_alignment(frame.assign(Metadata_Plate="later"), alignment)


def test_harmony_has_nothing_to_do_for_one_batch():
    frame = screen(np.random.default_rng(39)).assign(Metadata_Batch="b0")
    aligned, alignment = through(frame, "harmony")
    np.testing.assert_array_equal(values(aligned), values(frame).astype(np.float32))
    assert alignment.notes == (Note("single_batch", {"step": "harmony", "column": "Metadata_Batch"}),)


def test_without_its_package_harmony_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "harmonypy", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"harmony: expected the package harmonypy \(GPL.*pip install harmonypy"
    ):
        through(screen(np.random.default_rng(40)), "harmony")


def test_harmony_itself_where_it_is_installed():
    pytest.importorskip("harmonypy")
    rng = np.random.default_rng(41)
    frame = screen(rng, plates=8)
    kind = 8 * rng.integers(0, 2, len(frame))
    frame["e_0"] += kind
    second = (frame["Metadata_Batch"] == "b1").to_numpy()
    frame.loc[second, "e_1"] += 4
    aligned, _ = through(frame, "harmony")
    apart = values(aligned, second).mean(axis=0) - values(aligned, ~second).mean(axis=0)
    assert abs(apart[1]) < 2
    assert np.corrcoef(aligned["e_0"], kind)[0, 1] > 0.9
    mixed, _ = through(frame.sample(frac=1, random_state=0), "harmony")
    pd.testing.assert_frame_equal(mixed.sort_index(), aligned)
