"""Grit by mechanism, against its formula computed well by well."""

import numpy as np
import pandas as pd
import pytest

from wellspring.evaluate.grit_mechanism import grit_mechanism

MOA = ["m", "m", "n", "n", "m|o", "alone"]


def screen(controls=7):
    rng = np.random.default_rng(5)
    rows = [(f"c{number}", moa, "trt") for number, moa in enumerate(MOA) for _ in range(3)]
    rows += [("DMSO", None, "negcon")] * controls
    frame = pd.DataFrame(rows, columns=["Metadata_Compound", "Metadata_moa", "Metadata_pert_type"])
    return frame, rng.normal(size=(len(rows), 11))


def expected(frame, values):
    r = np.corrcoef(values)
    control = np.flatnonzero(frame["Metadata_pert_type"] == "negcon")
    found = {}
    for name, group in frame[frame["Metadata_pert_type"] == "trt"].groupby("Metadata_Compound"):
        each = []
        for well in group.index:
            own = set(frame.loc[well, "Metadata_moa"].split("|"))
            same = [
                other
                for other in frame.index[frame["Metadata_pert_type"] == "trt"]
                if frame.loc[other, "Metadata_Compound"] != name
                and own & set(frame.loc[other, "Metadata_moa"].split("|"))
            ]
            if same:
                against = r[well, control]
                each.append(np.mean((r[well, same] - against.mean()) / against.std()))
        found[name] = np.mean(each) if each else np.nan
    return found


def test_grit_is_that_of_its_formula():
    frame, values = screen()
    score = grit_mechanism(values, frame)
    found = score.items.set_index("Metadata_Item")["value"].to_dict()
    wanted = expected(frame, values)
    assert found == pytest.approx(wanted, nan_ok=True)
    assert score.value == pytest.approx(np.nanmean(list(wanted.values())))
    assert np.isnan(found["c5"]) and score.n == 5


def test_without_controls_or_shared_mechanisms_it_has_a_reason():
    frame, values = screen(controls=2)
    assert grit_mechanism(values, frame).notes[0].code == "too_few_controls"
    frame, values = screen()
    frame["Metadata_moa"] = frame["Metadata_Compound"].where(frame["Metadata_pert_type"] == "trt")
    assert [note.code for note in grit_mechanism(values, frame).notes] == ["no_shared_mechanism"]


def eval_of_cytominer(frame, values):
    """Return grit as `cytominer_eval.operations.grit` computes it: one scaler per compound, over all of its wells."""
    from sklearn.preprocessing import StandardScaler

    r, compound, moa = np.corrcoef(values), frame["Metadata_Compound"].to_numpy(), frame["Metadata_moa"].to_numpy()
    control, found = np.flatnonzero(frame["Metadata_pert_type"] == "negcon"), {}
    for name in dict.fromkeys(compound[frame["Metadata_pert_type"] == "trt"]):
        mine = np.flatnonzero(compound == name)
        same = np.flatnonzero((moa == moa[mine[0]]) & (compound != name))
        scaler = StandardScaler().fit(r[np.ix_(mine, control)].reshape(-1, 1))
        likeness = r[np.ix_(mine, same)].reshape(-1, 1)
        found[name] = float(scaler.transform(likeness).mean()) if len(likeness) else np.nan
    return found


def test_grit_of_one_profile_per_compound_is_that_of_cytominer_eval():
    frame, values = screen()
    frame["Metadata_moa"] = frame["Metadata_moa"].replace({"m|o": "m"})
    treated = (frame["Metadata_pert_type"] == "trt").to_numpy()
    one = ~(frame["Metadata_Compound"].duplicated() & treated).to_numpy()
    frame, values = frame[one].reset_index(drop=True), values[one]
    found = grit_mechanism(values, frame).items.set_index("Metadata_Item")["value"].to_dict()
    assert found == pytest.approx(eval_of_cytominer(frame, values), nan_ok=True)
    assert np.isfinite([found["c0"], found["c2"], found["c4"]]).all()
