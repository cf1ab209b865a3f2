"""The benchmark of planted mechanisms: shares of look-alikes, changes and hits, counted by hand."""

import json

import pandas as pd
import pytest

from benchmarks_of import load

planted = load("planted")
HITS = pd.DataFrame(
    [
        ("a@1", "actin", "trt", "yes"),
        ("b@1", "actin", "trt", "no"),
        ("c@1", "chromatin", "trt", "yes"),
        ("d@1", None, "trt", "no"),
        ("p@1", None, "poscon", "yes"),
    ],
    columns=["treatment", "mechanism", "type", "active"],
)
SIMILAR = pd.DataFrame(
    [
        ("a@1", 1, "yes", 0.25),
        ("a@1", 2, "", 0.25),
        ("b@1", 1, "no", 0.25),
        ("b@1", 2, "yes", 0.25),
        ("c@1", 1, "no", 0.0),
        ("d@1", 1, "", None),
    ],
    columns=["treatment", "rank", "shares_mechanism", "chance"],
)
CHANGES = pd.DataFrame(
    [("a@1", "AGP and Mito", 2.0), ("a@1", "DNA", -1.0), ("b@1", "ER", 3.0), ("c@1", "RNA", -4.0), ("c@1", "ER", 3.0)],
    columns=["treatment", "channel", "effect_sd"],
)


def test_shares_of_each_mechanism():
    alike = planted.look_alikes(SIMILAR, HITS).set_index("mechanism")
    assert alike.loc["actin"].tolist() == pytest.approx([2, 0.5, 2 / 3, 0.25])
    assert alike.loc["chromatin"].tolist() == [1, 0, 0, 0]
    assert planted.changed(CHANGES, HITS).to_numpy().tolist() == [["actin", 2, 0.5], ["chromatin", 1, 1.0]]
    assert planted.active(HITS).to_numpy().tolist() == [["inactive", 1, 0], ["planted", 3, 2]]


def test_the_last_line_is_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "report").mkdir()
    for name, table in {"hits": HITS, "similar": SIMILAR, "changes": CHANGES}.items():
        table.to_csv(tmp_path / "report" / f"{name}.csv", index=False)
    monkeypatch.setattr("sys.argv", ["planted.py", str(tmp_path)])
    planted.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["planted_active"] == 2 and found["planted"] == 3 and found["inactive_active"] == 0
    assert found["nearest_share"] == pytest.approx(1 / 3) and found["changes_share"] == pytest.approx(2 / 3)
