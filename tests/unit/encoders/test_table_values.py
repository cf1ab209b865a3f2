"""Features that are stored in another form than numbers, and numbers that are none: read right, or refused by name."""

import logging
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from wellspring.encoders import profile_table
from wellspring.encoders.table_format import open_source
from wellspring.encoders.table_values import refuse_copies, row_numbers

WELLS = [f"{row}{column:02d}" for row in "ABC" for column in range(1, 6)]
STEMS = {
    "numbered": [f"efficientnet_{number}" for number in range(5)],
    "compartments": ["Cells_Area", "Nuclei_Area", "Cells_Texture_A", "Cells_Texture_B", "Cytoplasm_Area"],
}


def table(names, seed=0):
    values = np.random.default_rng(seed).normal(size=(len(WELLS), len(names))).astype(np.float32)
    keys = pd.DataFrame({"Metadata_Plate": "p", "Metadata_Well": WELLS})
    return pd.concat([keys, pd.DataFrame(values, columns=names)], axis=1)


def write(frame, path):
    frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, index=False)
    return path


def opened(path, **options):
    return profile_table.open_table(path, plate="p", wells_of_plate=WELLS, **options)


def vectors(found, folder):
    return np.concatenate([block for _, block in found.parts(folder)])


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("how", ["all are text", "one is text", "a category"])
def test_numbers_that_are_stored_as_text_are_the_numbers(tmp_path, stem, how):
    names = STEMS[stem]
    frame = table(names)
    stored = dict.fromkeys(names if "all" in how else names[3:4], "category" if how == "a category" else str)
    found = opened(write(frame.astype(stored), tmp_path / "a.parquet"))
    assert found.features == names
    assert np.array_equal(vectors(found, tmp_path), frame[names].to_numpy())


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_truth_values_are_features_by_their_name_only(tmp_path, suffix):
    frame = table(STEMS["compartments"]).assign(Cells_Touches=[n % 3 == 0 for n in range(15)], passed=True)
    found = opened(write(frame, tmp_path / f"a.{suffix}"))
    assert found.features == [*STEMS["compartments"], "Cells_Touches"]
    assert vectors(found, tmp_path)[:, -1].tolist() == [float(n % 3 == 0) for n in range(15)]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("value", ["1,200", "um"])
def test_a_feature_with_a_word_is_refused_with_the_word(tmp_path, suffix, stem, value):
    name = STEMS[stem][3]
    frame = table(STEMS[stem])
    frame = frame.assign(**{name: [value, *frame[name][1:].astype(str)]})
    with pytest.raises(ValueError, match=rf"found text in {{'{name}': \['{value}'\]}} \(correct or empty these cells"):
        opened(write(frame, tmp_path / f"a.{suffix}"))


def test_nothing_in_the_words_of_windows_is_nothing(tmp_path):
    frame = table(STEMS["numbered"]).astype({"efficientnet_3": object})
    frame.loc[2, "efficientnet_3"] = "-1.#IND"
    assert np.isnan(vectors(opened(write(frame, tmp_path / "a.csv")), tmp_path)[2, 3])


def test_text_that_holds_numbers_under_another_name_is_named(tmp_path, caplog):
    frame = table(["area", "solidity", "roundness"]).astype({"solidity": str})
    assert opened(write(frame, tmp_path / "a.parquet")).features == ["area", "roundness"]
    assert "columns of text hold numbers and are not used as features: ['solidity']" in caplog.text
    assert opened(tmp_path / "a.parquet", features=["area", "solidity"]).features == ["area", "solidity"]


NAMES = ["area", "solidity", "roundness"]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("value", ["?", "<0.1", "#DIV/0!", "0,5", "1,234.5", "3 um"])
def test_a_cell_that_keeps_a_column_from_being_a_feature_is_named(tmp_path, suffix, value, caplog):
    frame = table(NAMES).astype({"solidity": object})
    frame.loc[4, "solidity"] = value
    frame["solidity"] = frame["solidity"].astype(str)
    assert opened(write(frame, tmp_path / f"a.{suffix}")).features == ["area", "roundness"]
    assert f"cells that are none: {{'solidity': ['{value}']}}" in caplog.text


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("form", ["{:,.1f}", "{:.3f}%", "{:.3f} um"])
def test_where_all_numbers_are_in_another_notation_their_cells_are_named(tmp_path, suffix, form):
    frame = table(NAMES)
    for name in NAMES:
        frame[name] = [form.format(5000 + 1000 * abs(value)) for value in frame[name]]
    cell = re.escape(sorted(frame["area"])[0])
    with pytest.raises(ValueError, match=rf"numbers only in text: \['area'.*cells that are none: {{'area': \['{cell}'"):
        opened(write(frame, tmp_path / f"a.{suffix}"))


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_minus_of_typography_and_a_space_without_break_are_read(tmp_path, suffix, stem):
    names = STEMS[stem]
    frame = table(names)
    words = frame.assign(**{name: [f"{value}\u00a0".replace("-", "\u2212") for value in frame[name]] for name in names})
    found = opened(write(words, tmp_path / f"a.{suffix}"))
    assert found.features == names
    assert np.array_equal(vectors(found, tmp_path), frame[names].to_numpy())


ROWS = table(STEMS["numbered"])[STEMS["numbered"]].to_numpy()
FORMS = {
    "text of a list": ([str(row.tolist()) for row in ROWS], r"'embedding': \"text, '\["),
    "text of an array": ([str(row) for row in ROWS], r"'embedding': \"text, '\["),
    "packed": ([row.tobytes() for row in ROWS], "'embedding': 'binary'"),
    "cells": ([[row.tolist()] * 2 for row in ROWS], "'embedding': 'list<element: list"),
    "fields": ([{"a": float(row[0]), "b": 1.5} for row in ROWS], "'embedding': 'struct<"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("beside", [[], ["score"]])
def test_vectors_in_a_form_that_is_not_read_are_refused_beside_other_numbers_too(tmp_path, form, beside):
    values, message = FORMS[form]
    frame = table(beside).assign(embedding=values)
    with pytest.raises(ValueError, match=f"a Parquet column of lists of numbers, found .*{message}"):
        opened(write(frame, tmp_path / "a.parquet"))


def test_lists_of_labels_beside_features_are_no_vectors(tmp_path):
    frame = table(["area"]).assign(targets=[["a", "b"]] * 15, smiles="[Na+].[Cl-]", note=b"text")
    assert opened(write(frame, tmp_path / "a.parquet")).features == ["area"]


COUNTERS = {
    "whole floats": np.arange(15.0),
    "steps of ten": np.arange(15) * 10,
    "a clock": 1.6e9 + 60.5 * np.arange(15)[::-1],
}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("kind", COUNTERS)
def test_a_counter_of_any_step_is_no_feature(tmp_path, suffix, kind, caplog):
    frame = table(["area", "solidity"]).assign(foo=COUNTERS[kind])
    found = opened(write(frame, tmp_path / f"a.{suffix}"))
    assert found.features == ["area", "solidity"] and found.origin["not_features"] == ["foo"]
    assert "['foo']" in caplog.text


def test_a_number_within_each_plate_is_a_counter_and_ranks_are_none(tmp_path):
    two = pd.concat([table(["area", "solidity"]).assign(Metadata_Plate=plate, foo=range(15)) for plate in "pq"])
    assert row_numbers(open_source(write(two, tmp_path / "a.csv")), ["area", "solidity", "foo"]) == ["foo"]
    ranks = table(["area", "solidity", "roundness"])
    ranks = ranks.assign(**{name: ranks[name].rank() for name in ("area", "solidity", "roundness")})
    assert opened(write(ranks, tmp_path / "b.parquet")).features == ["area", "solidity", "roundness"]


def test_copies_that_pandas_renamed_are_refused_and_other_columns_are_not(tmp_path):
    frame = table(["f", "g", "f.1", "g.1"]).assign(**{"f.1": lambda one: one["f"]})
    source = open_source(write(frame, tmp_path / "a.csv"))
    with pytest.raises(ValueError, match=r"two names: {'f.1': 'f'}; remove one of each"):
        refuse_copies(source, ["f", "g", "f.1", "g.1"])
    refuse_copies(source, ["f", "g", "g.1"])


def test_counts_of_objects_and_columns_of_metadata_are_no_features(tmp_path):
    frame = table(STEMS["compartments"]).assign(Cells_Count=range(15), Plane=1)
    assert opened(write(frame, tmp_path / "a.csv")).features == STEMS["compartments"]
    frame = table(["area"]).assign(METADATA_dose=1.5, Plane=1.5)
    assert opened(write(frame, tmp_path / "b.csv")).features == ["area"]
    with pytest.raises(ValueError, match=r"columns Metadata_\* are never features, found \['Metadata_f_0'\].*rename"):
        opened(write(table(["Metadata_f_0"]), tmp_path / "c.csv"), features=["Metadata_f"])


@pytest.mark.parametrize("names", [("metric", "value"), ("feature_name", "feature_value"), ("measurement", "value")])
@pytest.mark.parametrize("index", [True, False])
def test_long_tables_of_other_names_or_with_an_index_are_made_wide(tmp_path, names, index):
    frame = table(STEMS["numbered"])
    keys = ["Metadata_Plate", "Metadata_Well"]
    long = frame.melt(id_vars=keys, var_name=names[0], value_name=names[1]).sample(frac=1, random_state=1)
    long.to_csv(tmp_path / "a.csv", index=index)
    long.to_parquet(tmp_path / "a.parquet", index=index)
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        found = opened(path)
        assert found.features == STEMS["numbered"]
        assert np.array_equal(vectors(found, tmp_path), frame[STEMS["numbered"]].to_numpy())


def test_what_is_no_table_is_called_what_it_is(tmp_path, caplog):
    frame = table(["area"])
    frame.to_json(tmp_path / "a")
    frame.to_json(tmp_path / "b", orient="records")
    frame.to_pickle(tmp_path / "c")
    with pa.ipc.new_stream(str(tmp_path / "d"), pa.Schema.from_pandas(frame)) as stream:
        stream.write_table(pa.Table.from_pandas(frame))
    (tmp_path / "e").write_text("# made by x\n" + frame.to_csv(index=False))
    pq.write_to_dataset(pa.Table.from_pandas(frame), tmp_path / "f")
    said = {"a": "found JSON", "b": "found JSON", "c": "found a pickle", "d": "found an Arrow stream"}
    said |= {"e": "names of the columns in the first line, found '# made by x'", "f": "name its tables one by one"}
    for name, message in said.items():
        with pytest.raises(ValueError, match=message):
            opened(tmp_path / name)


@pytest.fixture(autouse=True)
def warnings_are_seen(caplog):
    caplog.set_level(logging.INFO)
