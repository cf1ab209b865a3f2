"""The benchmark of planted mechanisms: shares of look-alikes, changes and hits, counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from benchmarks_of import load

planted = load("planted")
HITS = pd.DataFrame(
    [
        ("a@1", "a", 1.0, "actin", "trt", "yes"),
        ("b@1", "b", 1.0, "actin", "trt", "no"),
        ("c@1", "c", 1.0, "chromatin", "trt", "yes"),
        ("d@1", "d", 1.0, None, "trt", "no"),
        ("p@1", "p", 1.0, None, "poscon", "yes"),
    ],
    columns=["treatment", "compound", "dose", "mechanism", "type", "active"],
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
    [
        ("a@1", "intensity_0", "higher", 2.0),  # true
        ("a@1", "intensity_1", "lower", -1.0),  # of the other direction
        ("b@1", "intensity_2", "higher", 3.0),  # too small
        ("c@1", "intensity_0", "lower", -4.0),  # true
        ("c@1", "intensity_2", "higher", 3.0),  # true
        ("d@1", "intensity_0", "higher", 9.0),  # nothing is planted
    ],
    columns=["treatment", "feature", "direction", "effect_sd"],
)
TRUTH = {("a", 1.0): np.array([0.5, 0.5, 0]), ("b", 1.0): np.array([0, 0, 0.1]), ("c", 1.0): np.array([-0.3, 0, 0.2])}


def test_shares_of_each_mechanism():
    alike = planted.look_alikes(SIMILAR, HITS).set_index("mechanism")
    assert alike.loc["actin"].tolist() == pytest.approx([2, 0.5, 2 / 3, 0.25])
    assert alike.loc["chromatin"].tolist() == [1, 0, 0, 0]
    changed = planted.changed(CHANGES, HITS, TRUTH).set_index("mechanism")
    assert changed.loc["actin"].tolist() == pytest.approx([2, 1 / 2, 3, 1 / 3])
    assert changed.loc["chromatin"].tolist() == [1, 1, 2, 1]
    assert planted.active(HITS).to_numpy().tolist() == [["inactive", 1, 0], ["planted", 3, 2]]


def test_the_last_line_is_json(tmp_path, monkeypatch, capsys):
    (tmp_path / "report").mkdir()
    for name, table in {"hits": HITS, "similar": SIMILAR, "changes": CHANGES}.items():
        table.to_csv(tmp_path / "report" / f"{name}.csv", index=False)
    monkeypatch.setattr("sys.argv", ["planted.py", str(tmp_path)])
    monkeypatch.setattr(planted, "true_effects", lambda: TRUTH)
    planted.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["planted_active"] == 2 and found["planted"] == 3 and found["inactive_active"] == 0
    assert found["nearest_share"] == pytest.approx(1 / 3) and found["changes_share"] == pytest.approx(2 / 3)


def test_cells_without_nuisance_differ_by_the_planted_shift_alone():
    """A large nucleus spreads its stain; mitochondria near the nucleus are dense; inactive compounds change nothing."""
    own = {name: values for (name, _), values in planted.true_effects().items()}
    assert len(own) == 12 and {values.shape for values in own.values()} == {(20,)}
    inactive = np.stack([own[f"WS-{number:03d}"] for number in range(9, 13)])
    assert np.sqrt(np.mean(inactive**2)) < 0.15
    dna, mito = 5 + 0, 5 + 4  # standard deviations of the channels DNA and Mito
    assert max(own["WS-003"][dna], own["WS-004"][dna]) < -0.5 < 0.5 < min(own["WS-001"][mito], own["WS-002"][mito])
