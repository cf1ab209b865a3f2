"""The command `wellspring score`: tables of others give the scores that pandas and NumPy give directly."""

import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scored_tables import METRICS, QUICK, direct, screen, unit
from wellspring.__main__ import main
from wellspring.api.score import Options, read, score
from wellspring.io import tables


def test_a_workbook_has_the_scores_of_the_csv(tmp_path):
    frame = screen(3)
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_excel(tmp_path / "a.xlsx", index=False)
    options = Options(evaluate=QUICK)
    text, book = (score([tmp_path / name], tmp_path / name[2:], options=options) for name in ("a.csv", "a.xlsx"))
    pd.testing.assert_frame_equal(text, book)
    assert text["value"].notna().any()


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_random_foreign_tables_give_the_scores_that_are_computed_directly(tmp_path_factory, data):
    folder, seed = tmp_path_factory.mktemp("drawn"), data.draw(st.integers(0, 10**6))
    rng, frame = np.random.default_rng(seed), screen(seed)
    expected = direct(frame)
    foreign = frame.assign(
        Metadata_Extra=rng.integers(9, size=len(frame)), ImageNumber=range(len(frame)), dose=1.0, note="null, NA",
        Image_Count_Cells=rng.integers(99, size=len(frame)), empty=np.nan, Metadata_row=range(len(frame)),
    )  # fmt: skip
    renamed = data.draw(st.sampled_from([{}, {"Metadata_Well": "Well", "Metadata_Plate": "Plate"}]))
    foreign = foreign.rename(columns=renamed | {"Metadata_moa": "mechanism", "Metadata_Compound": "pert_iname"})
    foreign = foreign.sample(frac=1, random_state=seed % 1000)[rng.permutation(foreign.columns)]
    kind = data.draw(st.sampled_from(["parquet", "csv", "tsv", "feather"]))
    path = folder / f"any.{kind}"
    {
        "parquet": lambda: foreign.to_parquet(path),
        "csv": lambda: foreign.to_csv(path, sep=";"),
        "tsv": lambda: foreign.to_csv(path, sep="\t", encoding="utf-16", index=False),
        "feather": lambda: foreign.reset_index(drop=True).to_feather(path),
    }[kind]()
    summary = score([path], folder / "out", options=Options(label="mechanism", evaluate=QUICK))
    found = summary.set_index("Metadata_Metric")["value"]
    for metric in METRICS:
        assert found[metric] == pytest.approx(expected[metric], abs=1e-6), metric


def test_the_command_writes_page_and_tables_and_prints_the_metrics(tmp_path):
    screen().to_csv(tmp_path / "a.csv", index=False)
    done = subprocess.run(
        [sys.executable, "-m", "wellspring", "score", "a.csv", "--metrics", "nsc", "--out", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "index.html", "items.parquet", "metrics.csv", "summary.parquet",
    ]  # fmt: skip
    whole = (tmp_path / "out" / "metrics.csv").read_text()
    assert done.stdout == whole and "undefined for this table" not in done.stderr
    value = tables.read(tmp_path / "out" / "summary.parquet").set_index("Metadata_Metric").loc["nsc", "value"]
    assert value == pytest.approx(direct(screen())["nsc"], abs=1e-6)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "12 features of the table, chosen by the rule families" in page


def test_the_command_prints_scores_with_a_value_and_counts_the_others(tmp_path, monkeypatch, capsys):
    """Without doses, cell lines or batches most metrics are undefined: the file states why, the terminal how many."""
    monkeypatch.chdir(tmp_path)
    screen().to_csv("a.csv", index=False)
    assert main(["score", "a.csv", "--out", "out"]) == 0
    printed, whole = capsys.readouterr(), pd.read_csv(tmp_path / "out" / "metrics.csv")
    shown, undefined = pd.read_csv(io.StringIO(printed.out)), whole["value"].isna()
    assert shown["metric"].tolist() == whole.loc[~undefined, "metric"].tolist() and shown["value"].notna().all()
    assert undefined.any() and whole.loc[undefined, "note"].notna().all()
    line = f"{undefined.sum()} of {len(whole)} scores are undefined for this table: out/metrics.csv states the reasons"
    assert printed.err.splitlines()[-2:] == [line, "out/index.html"]


def test_the_page_counts_the_wells_and_names_the_classes_of_a_table(tmp_path):
    screen().rename(columns={"Metadata_moa": "Pathway"}).to_csv(tmp_path / "a.csv", index=False)
    score([tmp_path / "a.csv"], tmp_path / "out", options=Options(label="Pathway", evaluate=QUICK))
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<dt>wells</dt><dd><b>36</b>" in page
    assert "<dt>compounds</dt><dd><b>6</b> <span>3 mechanisms</span>" in page
    assert "<title>Scores of a.csv</title>" in page


def test_a_terminal_gets_a_table_and_a_pipe_gets_csv(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    screen().to_csv("a.csv", index=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert main(["score", "a.csv", "--out", "out", "--metrics", "activity", "nsc"]) == 0
    lines = capsys.readouterr().out.splitlines()
    whole = pd.read_csv(tmp_path / "out" / "metrics.csv").set_index("metric")
    assert lines[0].split() == ["metric", "value", "95", "%", "interval", "chance", "n"]
    assert [line.split()[0] for line in lines[1:]] == ["activity", "nsc"]
    assert lines[1].split()[1] == f"{whole.loc['activity', 'value']:.3f}"
    assert "," not in "".join(lines)


def jump(seed=0):
    """A table of wells with JUMP's names: identifiers, a gene, a treatment and types of controls."""
    frame = screen(seed).rename(columns={"Metadata_Compound": "Metadata_JCP2022", "Metadata_moa": "Metadata_Class"})
    control = frame["Metadata_JCP2022"] == "DMSO"
    frame["Metadata_gene"], frame["Metadata_treatment"] = "G" + frame["Metadata_JCP2022"], frame["Metadata_JCP2022"]
    return frame.assign(
        Metadata_pert_type=np.where(control, "control", "trt"), Metadata_control_type=np.where(control, "negcon", None)
    )


def test_a_table_with_jumps_names_needs_no_option_but_the_label(tmp_path):
    jump().to_parquet(tmp_path / "jump.parquet", index=False)
    summary = score([tmp_path / "jump.parquet"], tmp_path / "out", options=Options(label="Class", evaluate=QUICK))
    found, expected = summary.set_index("Metadata_Metric")["value"], direct(screen())
    assert found["activity"] == pytest.approx(expected["activity"], abs=1e-6)
    items = tables.read(tmp_path / "out" / "items.parquet")
    assert items.loc[items["Metadata_Metric"] == "activity", "Metadata_Item"].nunique() == 6


def test_columns_of_words_are_suggested_before_columns_of_numbers(tmp_path):
    frame = jump().drop(columns=["Metadata_gene", "Metadata_treatment"])
    frame = frame.rename(columns={"Metadata_JCP2022": "Metadata_identifier"})
    frame.insert(0, "Metadata_density", ["1000", "2000"] * (len(frame) // 2) + ["1000"] * (len(frame) % 2))
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    with pytest.raises(ValueError, match=r"perhaps one of .*'Metadata_identifier'.*'Metadata_density'"):
        read([tmp_path / "a.parquet"], options=Options(label="Class"))


def test_a_column_of_unknown_name_is_refused_with_suggestions(tmp_path):
    frame = jump().drop(columns=["Metadata_gene", "Metadata_treatment"])
    frame.rename(columns={"Metadata_JCP2022": "Metadata_identifier"}).to_parquet(tmp_path / "a.parquet", index=False)
    with pytest.raises(ValueError, match=r"a.parquet: no column of compounds .*set --compound .*'Metadata_identifier'"):
        read([tmp_path / "a.parquet"], options=Options(label="Class"))
    with pytest.raises(
        ValueError, match=r"no column 'identifer' \(--compound\); expected one of .*Metadata_identifier"
    ):
        read([tmp_path / "a.parquet"], options=Options(label="Class", roles={"compound": "identifer"}))
    found, _ = read([tmp_path / "a.parquet"], options=Options(label="Class", roles={"compound": "identifier"}))
    assert found["Metadata_Compound"].nunique() == 7


def test_one_column_may_serve_two_roles(tmp_path):
    frame = jump().drop(columns=["Metadata_gene", "Metadata_treatment", "Metadata_Class"])
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    options = Options(label="JCP2022", roles={"compound": "JCP2022", "batch": "JCP2022"})
    found, _ = read([tmp_path / "a.parquet"], options=options)
    assert (found["Metadata_Compound"] == found["Metadata_JCP2022"]).all()
    assert (found["Metadata_Batch"] == found["Metadata_JCP2022"]).all()


def test_a_typed_well_without_a_label_is_an_error(tmp_path):
    frame = jump()
    row = frame.index[frame["Metadata_pert_type"] == "trt"][3]
    frame.loc[row, "Metadata_JCP2022"] = None
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    well = f"{frame.loc[row, 'Metadata_Plate']} {frame.loc[row, 'Metadata_Well']}"
    with pytest.raises(ValueError, match=f"1 treated wells have no label in 'Metadata_JCP2022': .'{well}'"):
        read([tmp_path / "a.parquet"], options=Options(label="Class"))


def test_controls_are_compounds_or_values_of_a_column(tmp_path):
    frame = screen()
    frame["Metadata_Compound"] = frame["Metadata_Compound"].replace("DMSO", "buffer")
    frame["role"] = np.where(frame["Metadata_Compound"] == "buffer", "blank", "x")
    frame.to_csv(tmp_path / "a.csv", index=False)
    for controls in (("buffer",), ("role=blank",)):
        found, _ = read([tmp_path / "a.csv"], options=Options(controls=controls))
        assert (found["Metadata_pert_type"] == "negcon").sum() == 12
    with pytest.raises(ValueError, match=r"no well is 'water' \(--controls\); the commonest values are .*buffer"):
        read([tmp_path / "a.csv"], options=Options(controls=("water",)))


def test_files_are_joined_and_other_features_are_named(tmp_path):
    frame = screen()
    first, second = (part for _, part in frame.groupby("Metadata_Plate"))
    first.to_parquet(tmp_path / "a.parquet", index=False)
    second[[*reversed(second.columns)]].to_csv(tmp_path / "b.csv", index=False)
    files = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    summary = score(files, tmp_path / "out", options=Options(evaluate=QUICK))
    assert summary.set_index("Metadata_Metric").loc["nsc", "value"] == pytest.approx(direct(frame)["nsc"], abs=1e-6)
    second.drop(columns="efficientnet_3").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"b.csv': \['efficientnet_3'\]"):
        read(files, options=Options())
    found, notes = read(files, options=Options(shared="intersection"))
    assert len(tables.features(found)) == 11 and "efficientnet_3" in {str(n.values.get("names")) for n in notes}


@pytest.mark.parametrize("given", [[], ["other"], ["score", "absent.csv"]])
def test_what_cannot_run_is_told_in_one_line_with_status_2(given, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(given) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_bbbc021_by_the_peers_table(tmp_path, shared_data):
    peer = shared_data / "bbbc021_ljosa_profiles" / "peer" / "BBBC021_feature_selected_mad_robustize.csv"
    if not peer.exists():
        pytest.skip(f"no table {peer}")
    summary = score([peer], tmp_path, options=Options(label="moa", evaluate={**QUICK, "metrics": ["nsc", "activity"]}))
    table = pd.read_csv(peer)
    names = tables.features(read([peer], options=Options(label="moa"))[0])
    treated = table[table["Metadata_moa"].notna() & (table["Metadata_Compound"] != "DMSO")]
    key = ["Metadata_Compound", "Metadata_Concentration", "Metadata_moa"]
    median = treated.groupby(key)[names].median().reset_index()
    similar = unit(median[names].to_numpy())
    similar = similar @ similar.T
    same = median["Metadata_Compound"].to_numpy()[:, None] == median["Metadata_Compound"].to_numpy()[None]
    similar[same] = -2
    moa = median["Metadata_moa"].to_numpy()
    expected = np.mean(moa[similar.argmax(axis=1)] == moa)
    assert len(median) == 103
    assert summary.set_index("Metadata_Metric").loc["nsc", "value"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--label", "Metadata_moa"], "no column 'Metadata_moa' .--label.; expected one of .*Metadata_Mode"),
        (
            ["--replicates-share", "Wel"],
            "no column 'Metadata_Wel' .--replicates-share.; expected one of .*Metadata_Well",
        ),
        (["--replicates-differ", "Batc"], "no column 'Metadata_Batc' .--replicates-differ."),
        (["--out", "a.csv"], "--out a.csv: expected a folder"),
    ],
)
def test_a_column_or_folder_that_is_not_there_is_refused_by_its_option(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    screen().rename(columns={"Metadata_moa": "Metadata_Mode"}).to_csv("a.csv", index=False)
    try:
        status = main(["score", "a.csv", "--metrics", "nsc", "--out", "out", *options])
    except SystemExit as stop:
        status = stop.code
    assert status == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_table_without_a_row_is_refused_by_its_name(tmp_path):
    screen().iloc[:0].to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(ValueError, match=r"a\.csv: expected a row per well below the header, found none"):
        score([tmp_path / "a.csv"], tmp_path / "out", options=Options(evaluate=QUICK))


def test_files_of_other_features_are_refused_with_the_option_to_set(tmp_path):
    for (name, part), other in zip(
        screen().groupby("Metadata_Plate"), ("efficientnet_1", "efficientnet_77"), strict=True
    ):
        part.rename(columns={"efficientnet_1": other}).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(ValueError, match=r"efficientnet_77.*\(--shared-features intersection"):
        read([tmp_path / "p0.csv", tmp_path / "p1.csv"], options=Options())
