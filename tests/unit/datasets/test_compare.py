"""A screen beside published numbers: the shipped numbers are read, and a page shows both side by side."""

import re

import numpy as np
import pandas as pd
import pytest

from wellspring.datasets import compare
from wellspring.evaluate.score import benjamini_hochberg
from wellspring.io import tables
from wellspring.io.shipped import DATASET_RECIPES

CONDITIONS = ("A549|24|100|Parental", "U2OS|24|100|Parental")


def results(folder, *, rows=(), items=(), encoder="simclr"):
    """Write the evaluation tables of an encoder; returns the results folder."""
    columns = ["Metadata_Metric", "Metadata_Level", "value", "low", "high", "n", "n_undefined", "chance"]
    summary = pd.DataFrame(rows, columns=columns).assign(
        Metadata_Guard="", Metadata_Note="no reason", Metadata_Left_Out=""
    )
    names = [
        "Metadata_Metric",
        "Metadata_Level",
        "Metadata_Item",
        "value",
        "p",
        "q",
        "n",
        "n_undefined",
        "Metadata_Group",
    ]
    table = pd.DataFrame(items, columns=names)
    for name, frame in (("summary", summary), ("items", table)):
        tables.write(frame, folder / "evaluate" / f"{encoder}.{name}.parquet", table=name, provenance={})
    return folder


def item(name, p, group="trt", level="aligned"):
    return ("activity", level, name, 0.5, p, np.nan, 4, 0, group)


@pytest.mark.parametrize("dataset", compare.DATASETS)
def test_the_shipped_numbers(dataset):
    table = compare.figures(DATASET_RECIPES / dataset / "published.tsv")
    known = table["value"].dropna()
    assert known.between(0, 1).all()
    assert (table["value"].isna() == (table["basis"] == "unknown")).all()
    assert table.loc[table["comparable"] != "yes", "note"].notna().all()
    assert not table.duplicated(["metric", "condition", "method"]).any()


@pytest.mark.parametrize("dataset", compare.DATASETS)
def test_the_readme_has_the_same_numbers(dataset):
    table = compare.figures(DATASET_RECIPES / dataset / "published.tsv")
    page = (DATASET_RECIPES / dataset / "README.md").read_text()
    lines = [line for line in page.splitlines() if line.startswith("|")]
    for row in table.itertuples():
        value = f"{row.value:.4f}".rstrip("0") if np.isfinite(row.value) else "not published"
        value += "*" if row.basis == "inferred" else ""
        assert any(row.method in line and f"| {value} |" in line for line in lines), (row.method, value)


def test_published_drops_are_differences():
    table = compare.figures(DATASET_RECIPES / "bbbc021" / "published.tsv")
    first, second, drop = (
        table[table["metric"] == name].set_index("method")["value"] for name in ("nsc", "nscb", "nsc.drop")
    )
    for method, value in drop.items():
        assert value == pytest.approx(first[method] - second[method])


def test_a_page_has_both_and_says_what_can_be_compared(tmp_path, capsys):
    rows = [
        ("nsc", "aggregated", 0.93, 0.86, 0.97, 103, 0, 0.1),
        ("nsc", "aligned", 0.95, 0.9, 0.98, 103, 0, 0.1),
        ("nsc.position_only", "aligned", 0.2, np.nan, np.nan, 103, 0, np.nan),
        ("nscb", "aligned", np.nan, np.nan, np.nan, 0, 92, np.nan),
    ]
    compare.main([str(results(tmp_path, rows=rows)), "--dataset", "bbbc021"])
    page = capsys.readouterr().out
    nsc, nscb, drop = re.split(r"\n\n", page)
    assert nsc.startswith("nsc\n")
    assert re.search(r"here +simclr +aggregated +0\.930 \[0\.860, 0\.970\] of 103, chance 0\.100\n", nsc)
    assert re.search(r"here +simclr +aligned +0\.950 .*, position alone 0\.200\n", nsc)
    assert re.search(r"published +CellProfiler, factor analysis +0\.940 of 103\n +read, Ljosa.*comparable: yes", nsc)
    assert re.search(
        r"published +SimCLR, ResNet50 +0\.960 of 103\n +inferred, Perakis.*comparable: partly: the table", nsc
    )
    assert re.search(r"here +simclr +aligned +undefined \(no reason\)\n", nscb)
    assert re.search(r"Microsnoop.*\n.*comparable: no: its batch is the plate", nscb)
    assert "not measured" in drop
    compare.main([str(tmp_path), "--dataset", "bbbc021", "--level", "aligned"])
    assert "aggregated" not in capsys.readouterr().out


def test_conditions_are_counted_by_themselves(tmp_path, capsys):
    rng = np.random.default_rng(0)
    p = {name: np.concatenate([rng.uniform(0, 0.01, 6), rng.uniform(0, 1, 10)]) for name in CONDITIONS}
    items = [item(f"C{number}|{name}", value) for name in CONDITIONS for number, value in enumerate(p[name])]
    items += [item("D1|A549|24|100|Parental", np.nan), item("D2|A549|24|100|Parental", 1e-6, group="poscon")]
    items += [item("D3|A549|48|100|Parental", 1e-6), item("D4|XA549|24|100|Parental", 1e-6)]
    folder = results(tmp_path, items=items, rows=[("activity", "aligned", 0.5, 0.4, 0.6, 30, 0, 0.1)])
    table = compare.measured(folder, conditions=CONDITIONS)
    table = table[table["metric"] == "activity.retrieved"].set_index(["condition", "level"])
    for name in CONDITIONS:
        row = table.loc[(name, "aligned")]
        assert row["value"] == pytest.approx((benjamini_hochberg(p[name]) < 0.05).mean())
        assert row["low"] < row["value"] < row["high"]
        assert row["n"] == 16
        assert row["undefined"] == (1 if name.startswith("A549") else 0)
        assert np.isnan(table.loc[(name, "aggregated"), "value"])
    compare.main([str(folder), "--dataset", "cpjump1"])
    page = capsys.readouterr().out
    assert "activity.retrieved, A549, 24, 100, Parental\n" in page
    assert re.search(r"here +simclr +aligned +0\.\d+ \[0\.\d+, 0\.\d+\] of 16, 1 undefined, chance 0\.000\n", page)
    assert re.search(r"published +SSLProfiler, winner of the challenge +not published\n +unknown.*comparable: no", page)


def test_several_encoders_stand_in_one_page(tmp_path):
    for name in ("random", "simclr"):
        results(tmp_path, rows=[("nsc", "aligned", 0.5, 0.4, 0.6, 103, 0, 0.1)], encoder=name)
    found = compare.measured(tmp_path)
    assert found["encoder"].tolist() == ["random", "simclr"]


def test_what_can_not_be_read_is_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"evaluate: expected tables ENCODER.summary.parquet of a finished screen, found"
    ):
        compare.measured(tmp_path)
    header = "\t".join(compare.COLUMNS)
    path = tmp_path / "published.tsv"
    for line, message in (
        ("nsc\t\tX\tmany\t3\tY\tread\tyes\t", "published.tsv: line 2: expected a number in column value, found 'many'"),
        ("nsc\t\tX\t.5\t3\tY\tsaid\tyes\t", "published.tsv: line 2: expected one of .* in column basis, found 'said'"),
        ("nsc\t\tX\t.5\t3\tY\tread\tsort of\t", "published.tsv: line 2: expected one of .* in column comparable"),
        ("nsc\t\t\t.5\t3\tY\tread\tyes\t", "published.tsv: line 2: expected a value in column method"),
    ):
        path.write_text(f"{header}\n{line}\n")
        with pytest.raises(ValueError, match=message):
            compare.figures(path)
