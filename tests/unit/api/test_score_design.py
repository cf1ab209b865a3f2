"""`wellspring score` on designs whose columns mean more than their names tell: times, places, labels, properties."""

import html
import logging

import numpy as np
import pandas as pd
import pytest

from scored_tables import METRICS, QUICK, direct, screen
from wellspring.api.score import Options, read, score
from wellspring.io import tables


def scored(tmp_path, frame, **options):
    frame.to_csv(tmp_path / "a.csv", index=False)
    asked = QUICK | options.pop("evaluate", {})
    return score([tmp_path / "a.csv"], tmp_path / "out", options=Options(evaluate=asked, **options)).set_index(
        "Metadata_Metric"
    )["value"]


def under_other_names(frame):
    """Return the wells with features whose names fit no rule but that of numbers."""
    names = [name for name in frame if name.startswith("efficientnet_")]
    return frame.rename(columns={name: f"measure{chr(97 + place)}" for place, name in enumerate(names)})


def test_numbers_of_treatments_and_plates_are_no_features(tmp_path, caplog):
    frame, compound = screen(seed=1), pd.factorize(screen(seed=1)["Metadata_Compound"])[0]
    odd = under_other_names(frame).assign(
        MW=300.0 + compound, logP=1.5 * (compound % 3), temperature=37.1, mg_per_ml=2.5, CID=1000 + compound
    )
    odd["humidity"] = np.where(odd["Metadata_Plate"] == "p0", 80.5, 81.0)
    found = scored(tmp_path, odd)
    assert found[METRICS].to_dict() == pytest.approx(direct(frame), abs=1e-6)
    left = ["MW", "logP", "temperature", "CID", "humidity"]
    assert f"constant within each treatment, plate, position or another group of wells: {left}" in caplog.text
    page = (tmp_path / "out" / "index.html").read_text()
    assert "humidity" in page


@pytest.mark.parametrize("plates", [1, 2])
def test_numbers_of_positions_and_of_mechanisms_are_no_features(tmp_path, caplog, plates):
    frame = screen(seed=4, plates=2)
    frame = frame[frame["Metadata_Plate"] < f"p{plates}"]
    place = frame["Metadata_Well"].str.extract(r"(?P<row>\D)(?P<column>\d+)")
    odd = under_other_names(frame).assign(
        block=place["row"].map({"A": 3, "B": 1, "C": 7}), zone=place["column"].astype(int) ** 2
    )
    left = ["block", "zone"]
    if plates == 2:  # the distance to an edge is the same in a well of each plate
        odd["margin"] = np.hypot(odd["block"], odd["zone"])
        left.append("margin")
    odd = odd.sample(frac=1, random_state=0)
    found = scored(tmp_path, odd)
    assert found[METRICS].to_dict() == pytest.approx(direct(frame.reset_index(drop=True)), abs=1e-6)
    assert f"another group of wells: {left}" in caplog.text


@pytest.mark.parametrize("label", [None, "pathway"])
def test_the_number_of_a_mechanism_is_no_feature_where_compounds_are_in_one_well(tmp_path, label):
    frame = under_other_names(screen(seed=4, plates=1)).drop_duplicates(["Metadata_Compound"])
    frame = frame.assign(cls=frame["Metadata_moa"].map({"m0": 5.0, "m1": 2.0, "m2": 9.0}).fillna(-1))
    frame = frame.rename(columns={"Metadata_moa": f"Metadata_{label or 'moa'}"})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found, _ = read([tmp_path / "a.csv"], options=Options(label=label))
    assert "cls" not in tables.features(found) and len(tables.features(found)) == 12


def test_features_that_are_most_of_the_table_stay_although_wells_are_copies(tmp_path):
    frame = under_other_names(screen(seed=1).drop_duplicates("Metadata_Compound"))
    twice = pd.concat([frame, frame.assign(Metadata_Plate="p9")], ignore_index=True)
    twice.to_csv(tmp_path / "a.csv", index=False)
    found, _ = read([tmp_path / "a.csv"], options=Options())
    assert len(tables.features(found)) == 12


def test_a_feature_that_is_asked_for_by_its_name_is_none_of_the_roles(tmp_path):
    frame = screen(seed=2)
    odd = ["dose", "time", "batch", "x", "row", "column", "size", "shape", "mean", "std", "z", "conc"]
    renamed = frame.rename(columns={f"efficientnet_{n}": name for n, name in enumerate(odd)})
    found = scored(tmp_path, renamed, features=tuple(odd))
    assert found[METRICS].to_dict() == pytest.approx(direct(frame), abs=1e-6)


@pytest.mark.parametrize("names", [("Metadata_Row", "Metadata_Col"), ("row", "column")])
@pytest.mark.parametrize("letters", [True, False])
def test_wells_are_read_from_row_and_column(tmp_path, names, letters):
    frame = screen(seed=3)
    row = frame["Metadata_Well"].str[0]
    parts = [row if letters else row.map(dict(zip("ABC", (1, 2, 3), strict=True))), frame["Metadata_Well"].str[1:]]
    odd = frame.drop(columns="Metadata_Well").assign(**dict(zip(names, parts, strict=True)))
    odd.to_csv(tmp_path / "a.csv", index=False)
    found, _ = read([tmp_path / "a.csv"], options=Options())
    assert found["Metadata_Well"].tolist() == frame["Metadata_Well"].tolist()


@pytest.mark.parametrize(("name", "unit"), [("Metadata_Timepoint", ""), ("time_h", ""), ("Metadata_Time", " h")])
def test_replicates_share_the_time_point_and_a_well_may_have_several(tmp_path, name, unit):
    early, late = screen(seed=4), screen(seed=5)
    late["Metadata_Well"], late["Metadata_Compound"] = early["Metadata_Well"], early["Metadata_Compound"]
    late["Metadata_moa"] = early["Metadata_moa"]
    both = pd.concat([early.assign(**{name: f"24{unit}"}), late.assign(**{name: f"48{unit}"})], ignore_index=True)
    found = scored(tmp_path, both, evaluate={"metrics": ["activity"]})["activity"]
    expected = np.mean([direct(early)["activity"], direct(late)["activity"]])
    assert found == pytest.approx(expected, abs=1e-6)
    table, _ = read([tmp_path / "a.csv"], options=Options())
    assert set(table["Metadata_Plate"]) == {f"p{plate}_T{time}{unit}" for plate in (0, 1) for time in (24, 48)}


def test_a_time_of_the_clock_is_no_time_point(tmp_path):
    frame = screen(seed=4)
    odd = frame.assign(Metadata_Time=np.where(frame["Metadata_Plate"] == "p0", "2026-01-03 10:32", "2026-01-04 09:12"))
    assert scored(tmp_path, odd)[METRICS].to_dict() == pytest.approx(direct(frame), abs=1e-6)


TARGETS = {"m0": ["EGFR", "HER2"], "m1": ["TUBB"], "m2": ["HER2"]}


def labels(frame, write):
    return [None if one is None else write(TARGETS[one]) for one in frame["Metadata_moa"]]


@pytest.mark.parametrize("write", [str, lambda parts: str(np.array(parts)), lambda parts: str(tuple(parts))])
def test_texts_of_lists_are_their_labels(tmp_path, write):
    frame = screen(seed=6)
    expected = scored(tmp_path, frame.assign(Metadata_moa=labels(frame, "|".join)))
    found = scored(tmp_path, frame.assign(Metadata_moa=labels(frame, write)))
    pd.testing.assert_series_equal(found, expected)


@pytest.mark.parametrize("mark", [";", ", ", "/", "&", " + "])
def test_labels_with_another_separator_are_named_with_the_option(tmp_path, caplog, mark):
    frame = screen(seed=6)
    expected = scored(tmp_path, frame.assign(Metadata_moa=labels(frame, "|".join)))
    assert "--separator" not in caplog.text
    odd = frame.assign(Metadata_moa=labels(frame, mark.join))
    scored(tmp_path, odd)
    assert f"--separator '{mark.strip()}' compares their parts" in caplog.text
    assert f"as &#39;EGFR{html.escape(mark)}HER2&#39;" in (tmp_path / "out" / "index.html").read_text()
    caplog.clear()
    found = scored(tmp_path, odd, evaluate={"separator": mark.strip()})
    pd.testing.assert_series_equal(found, expected)
    assert "--separator" not in caplog.text


@pytest.mark.parametrize("name", ["Plate", "Well"])
def test_a_row_without_plate_or_well_is_refused_and_an_empty_row_is_none(tmp_path, name):
    frame = screen(seed=7)
    text = frame.to_csv(index=False)
    (tmp_path / "a.csv").write_text(text + "," * (frame.shape[1] - 1) + "\n" + "," * (frame.shape[1] - 1) + "\n")
    assert len(read([tmp_path / "a.csv"], options=Options())[0]) == len(frame)
    frame.loc[3, f"Metadata_{name}"] = None
    frame.to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(
        ValueError, match=rf"b.csv: expected a {name.lower()} in each row, found none in the rows \[4\] below"
    ):
        read([tmp_path / "b.csv"], options=Options())
    (tmp_path / "c.csv").write_text("sep=;\n" + text.replace(",", ";"))
    with pytest.raises(ValueError, match="found 'sep=;'; remove the lines above the header"):
        read([tmp_path / "c.csv"], options=Options())


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog):
    caplog.set_level(logging.INFO)
