"""`wellspring score` on forms of tables that other tools write: the scores are those computed row by row."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scored_tables import METRICS, QUICK, direct, screen
from wellspring.api.score import Options, score


def test_lists_of_labels_and_vectors_of_whole_numbers_have_the_scores_of_plain_columns(tmp_path):
    frame = screen(seed=5)
    names = [name for name in frame if name.startswith("efficientnet_")]
    frame[names] = (100 * frame[names]).round()
    expected = direct(frame)
    held = {name: frame[name] for name in ("Metadata_Plate", "Metadata_Well", "Metadata_Compound")}
    held["Metadata_moa"] = [None if one is None else [one] for one in frame["Metadata_moa"]]
    held["bbox"], held["about"] = [[1, 2, 3, 4]] * len(frame), [{"camera": 1}] * len(frame)
    held["efficientnet"] = pa.array(frame[names].to_numpy().astype(np.int16).tolist(), pa.list_(pa.int16()))
    pq.write_table(pa.table(held), tmp_path / "a.parquet")
    summary = score([tmp_path / "a.parquet"], tmp_path / "out", options=Options(evaluate=QUICK))
    found = summary.set_index("Metadata_Metric")["value"]
    assert found[METRICS].to_dict() == pytest.approx(expected, abs=1e-6)


def _standardised(frame, names):
    """Return the wells with each feature in standard deviations of the plate's controls."""
    whole = frame[["Metadata_Plate", "Metadata_Well", "Metadata_Compound", "Metadata_moa"]].copy()
    columns = [f"efficientnet_{n}" for n in range(len(names))]
    whole[columns] = 0.0
    for _, mine in frame.groupby("Metadata_Plate"):
        own = mine.loc[mine["Metadata_Compound"] == "DMSO", names]
        whole.loc[mine.index, columns] = ((mine[names] - own.mean()) / own.std(ddof=0)).to_numpy()
    return whole


@pytest.mark.parametrize("images", [2, 40])
def test_auto_is_decided_by_most_features_and_the_page_says_so(tmp_path, images, caplog):
    """A few columns `Image_` do not turn the method of all the others; most of them do, where they are asked for."""
    frame, rng = screen(seed=7), np.random.default_rng(7)
    frame = frame.rename(columns={f"efficientnet_{n}": f"Cells_Texture_Contrast_{n}" for n in range(12)})
    names = [name for name in frame if name.startswith("Cells_")]
    frame[names] = 30 + 4 * frame[names]
    more = [f"Image_Quality_{n}" for n in range(images)]
    frame[more] = rng.normal(size=(len(frame), images))
    frame.to_csv(tmp_path / "a.csv", index=False)
    taken = names + (more if images > 12 else [])
    asked = ("Cells_", "Image_Quality") if images > 12 else ()
    options = Options(features=asked, normalise="auto", evaluate=QUICK)
    with caplog.at_level(logging.INFO):
        found = score([tmp_path / "a.csv"], tmp_path / "out", options=options).set_index("Metadata_Metric")["value"]
    assert caplog.text.count("features have names of classical features") == 1  # not once per plate
    if images > 12:
        expected = direct(_standardised(frame, taken))
    else:
        frame.drop(columns=more).to_csv(tmp_path / "b.csv", index=False)
        alone = score([tmp_path / "b.csv"], tmp_path / "alone", options=options).set_index("Metadata_Metric")["value"]
        expected = alone[METRICS].to_dict()
    assert found[METRICS].to_dict() == pytest.approx(expected, abs=1e-6)
    page = (tmp_path / "out" / "index.html").read_text()
    method = "standardize" if images > 12 else "mad_robustize"
    assert f"12 of {len(taken)} features have names of classical features: plates normalised by {method}" in page
