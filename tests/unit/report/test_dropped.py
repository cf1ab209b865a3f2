"""Stage that left out a plate: the first stage that has a reason, and its log."""

from io import StringIO

import pandas as pd
import pytest

from options import options as typed
from report_screen import fabricate
from wellspring.io import tables
from wellspring.io.tables import Verdict
from wellspring.report import dropped, gather, page

MADE = {"version": "0", "commit": "0"}


@pytest.fixture
def made(tmp_path):
    """Return a function that writes a table of a stage and plate, with a verdict."""

    def make(stage: str, plate: str, *reasons: str, folder: str = ""):
        path = tmp_path / stage / folder / f"{plate}.parquet"
        frame = pd.DataFrame(
            {"Metadata_Feature": ["a"], "Metadata_Kept": [True], "Metadata_Reason": [""], "spread": [1.0]}
        )
        verdict = Verdict(not reasons, reasons)
        tables.write(frame, path, table="features", provenance=MADE | {"rule": stage}, verdict=verdict)
        log = tmp_path / "logs" / stage / folder / f"{plate}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"begins\n\n{stage} of {plate}\n")
        return path

    return make


def test_a_reason_is_of_the_first_stage_that_has_it(made, tmp_path):
    paths = [
        made("profile", "P1", "dim", "few", "none", folder="simclr"),
        made("survey", "P1", "dim", "few"),
        made("index", "P1", "dim"),
        made("index", "P2"),
    ]
    rows = dropped.read(paths, plates=["P1", "P2"], encoders=["simclr"], logs=tmp_path / "logs")
    found = rows[["plate", "rule", "reason"]].to_numpy().tolist()
    assert found == [["P1", "index", "dim"], ["P1", "survey", "few"], ["P1", "profile", "none"]]
    assert rows["log"].iloc[2].endswith("logs/profile/simclr/P1.log")
    assert rows["last_lines"].tolist()[:2] == ["begins | index of P1", "begins | survey of P1"]
    assert dropped.text(rows).splitlines()[0] == "plate\trule\treason\tlog\tlast_lines"


def test_without_logs_and_without_bad_plates(made, tmp_path):
    rows = dropped.read([made("survey", "P1", "few")], plates=["P1"])
    assert rows[["log", "last_lines"]].to_numpy().tolist() == [["", ""]]
    assert dropped.read([made("index", "P2")], plates=["P2"]).empty


def test_the_page_says_where_a_plate_fell_out(tmp_path):
    inputs, names = fabricate(tmp_path, plates=2, bad=1, rows=4, columns=6)
    report = page.build(gather.gather(inputs, **names), options=typed("report"))
    assert "Stage that left out a plate" in report.page
    assert pd.read_csv(StringIO(report.failures), sep="\t")["plate"].tolist() == ["P2"]
    inputs, names = fabricate(tmp_path / "good", plates=1, bad=0, rows=4, columns=6)
    report = page.build(gather.gather(inputs, **names), options=typed("report"))
    assert "Stage that left out a plate" not in report.page
    assert len(report.failures.splitlines()) == 1
