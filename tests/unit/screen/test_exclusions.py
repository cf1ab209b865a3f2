"""Exclusion lists: reading, contradictions, mistakes, and the survey's own file as a list."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tifffile

from options import options
from wellspring.io import tables
from wellspring.io.keys import SITE_KEY
from wellspring.io.notes import Note
from wellspring.io.tables import Verdict
from wellspring.screen import exclusions
from wellspring.survey import run as survey

OPTIONS = options(
    "survey",
    view_edge=16,
    saturation=4095,
    max_excluded=0.9,
    outliers={"focus": None, "sharpness": None, "mean": None, "foreground": None},
)
HEAD = "plate\twell\tsite\tverdict\treason\n"
SATURATED = "saturated(share=0.25, limit=0.01)"


def _listed(folder, text, *, name="verdicts.tsv"):
    (folder / name).write_text(text)
    return exclusions.read(folder / name)


def _plate(folder, plate="P", wells=("A01", "A02", "B01"), sites=("1", "2"), channels=("DNA", "ER")):
    """Write a plate and return its index: A02 1 DNA is saturated, B01 2 ER missing, its DNA saturated."""
    rng = np.random.default_rng(1)
    rows = []
    for well in wells:
        for site in sites:
            for channel in channels:
                name = f"{plate}_{well}_{site}_{channel}.tif"
                pixels = rng.poisson(200, (32, 32)).astype(np.uint16)
                if (well, site, channel) in {("A02", "1", "DNA"), ("B01", "2", "DNA")}:
                    pixels[:8] = 4095
                if (well, site, channel) != ("B01", "2", "ER"):
                    tifffile.imwrite(folder / name, pixels)
                rows.append((plate, well, site, channel, "1", name, 0, "negcon" if well == "A01" else "trt"))
    names = ["Plate", "Well", "Site", "Channel", "Plane", "Path", "Page", "pert_type"]
    return pd.DataFrame(rows, columns=[f"Metadata_{name}" for name in names])


def _lost(found):
    rows = exclusions.excluded(found.table)
    return dict(zip(rows["well"] + "/" + rows["site"], rows["reason"], strict=True))


def test_a_survey_says_which_sites_it_excluded_and_reads_that_back(tmp_path):
    index = _plate(tmp_path)
    first = survey.run(index, tmp_path, options=OPTIONS)
    missing = first.table.loc[first.table["Metadata_Status"] == "missing", "Metadata_Reason"].item()
    assert _lost(first) == {"A02/1": f"{SATURATED} (DNA)", "B01/2": f"{SATURATED} (DNA); {missing} (ER)"}
    exclusions.write(exclusions.excluded(first.table), tmp_path / "P.excluded.tsv")
    listed = exclusions.read(tmp_path / "P.excluded.tsv")
    again = survey.run(index, tmp_path, options=OPTIONS, listed=listed)
    pd.testing.assert_frame_equal(again.table, first.table)
    # the limit is lifted, and what the file says stays, word by word, however often it goes round
    for _ in range(2):
        lifted = survey.run(index, tmp_path, options=replace(OPTIONS, max_saturated=1.0), listed=listed)
        exclusions.write(exclusions.excluded(lifted.table), tmp_path / "again.tsv")
        listed = exclusions.read(tmp_path / "again.tsv")
        assert _lost(lifted)["A02/1"] == _lost(first)["A02/1"]
    planes = lifted.table[(lifted.table["Metadata_Well"] == "A02") & (lifted.table["Metadata_Site"] == "1")]
    assert planes["Metadata_Reason"].tolist() == [str(Note("listed", {"reason": f"{SATURATED} (DNA)"}))] * 2


def test_files_of_several_plates_are_joined_and_edited(tmp_path):
    indices = {plate: _plate(tmp_path, plate) for plate in ("P1", "P2")}
    text = "# looked at on Monday\n"
    for plate, index in indices.items():
        path = tmp_path / f"{plate}.excluded.tsv"
        exclusions.write(exclusions.excluded(survey.run(index, tmp_path, options=OPTIONS).table), path)
        text += path.read_text()
    text = text.replace("P1\tA02\t1\texclude", "P1\tA02\t1\tkeep") + "P2\ta1\t\texclude\tdust\n"
    listed = _listed(tmp_path, text)
    first, second = (survey.run(index, tmp_path, options=OPTIONS, listed=listed) for index in indices.values())
    assert set(_lost(first)) == {"B01/2"}
    assert set(_lost(second)) == {"A01/1", "A01/2", "A02/1", "B01/2"}
    assert _lost(second)["A01/1"] == "dust"


def test_keep_overrides_a_limit_but_not_a_missing_image(tmp_path):
    index = _plate(tmp_path)
    listed = _listed(tmp_path, HEAD + "P\t\t\tkeep\tmitotic cells\n")
    found = survey.run(index, tmp_path, options=replace(OPTIONS, max_excluded=0.2), listed=listed)
    table = found.table.set_index(["Metadata_Well", "Metadata_Site", "Metadata_Channel"])
    spared, missing = table.loc[("A02", "1", "DNA")], table.loc[("B01", "2", "ER")]
    assert spared["Metadata_Verdict"] == "keep"
    assert spared["Metadata_Reason"] == f'kept_as_listed(reason="mitotic cells"); {SATURATED}'
    assert missing["Metadata_Verdict"] == "exclude"
    assert missing["Metadata_Reason"].startswith("missing(detail=")
    assert missing["Metadata_Reason"].endswith("; keep_refused")
    assert set(_lost(found)) == {"B01/2"}
    assert (table["Metadata_Reason"] != "").sum() == 3, "sites without a fault are kept without a word"
    assert found.verdict == Verdict(), "1 of 6 sites is excluded, by the final verdicts"
    tables.write(found.table, tmp_path / "survey.parquet", table="survey", provenance={}, verdict=found.verdict)


def test_the_line_that_says_more_holds_and_of_equals_the_last(tmp_path):
    lines = [
        "A01\t1\tkeep\tsharp",
        "A01\t\texclude\tsmeared",
        "\t2\tkeep\tsecond",
        "B01\t\tkeep\t",
        "B01\t\texclude\tedge",
    ]
    text = HEAD + "".join(f"P\t{line}\n" for line in lines)
    sites = pd.DataFrame([("P", well, site) for well in ("A01", "B01", "C01") for site in "12"], columns=SITE_KEY)
    said = exclusions.decide(_listed(tmp_path, text), sites)
    assert said["verdict"].tolist() == ["keep", "keep", "exclude", "exclude", "", "keep"]
    assert said["reason"].tolist() == ["sharp", "second", "edge", "edge", "", "second"]
    assert not said["whole"].any()


def test_a_plate_on_the_list_is_left_out_with_that_reason(tmp_path):
    index = _plate(tmp_path)
    text = HEAD + "P\t\t\texclude\twrong plate was imaged\n"
    found = survey.run(index, tmp_path, options=OPTIONS, listed=_listed(tmp_path, text))
    assert found.verdict == Verdict(False, ('plate_listed(reason="wrong plate was imaged")',))
    assert survey.kept(found.table).empty
    listed = _listed(tmp_path, text + "P\tA01\t\tkeep\t\n")
    some = survey.run(index, tmp_path, options=OPTIONS, listed=listed)
    assert some.verdict == Verdict(), "a well of it is kept, so the plate is judged as any other"
    assert survey.kept(some.table)["Metadata_Well"].tolist() == ["A01", "A01"]
    some = survey.run(index, tmp_path, options=replace(OPTIONS, max_excluded=0.5), listed=listed)
    assert some.verdict.reasons == ("too_many_sites_excluded(excluded=4, sites=6, limit=0.5)",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plate\twell\tverdict\n", "expected the columns"),
        ("P\tA01\t1\texclude\tx\n", "expected the columns"),
        (HEAD + "# x\n\nP\tA01\t1\tdrop\t\n", "line 4: expected a verdict of ('exclude', 'keep'), found 'drop'"),
        (HEAD + "P\tA1x\t1\tkeep\t\n", "line 2: well 'A1x': expected a row of letters"),
        (HEAD + "\tA01\t1\tkeep\t\n", "line 2: expected a plate, found none"),
        (HEAD + "P\tA01\t1\tkeep\tx\ty\n", "line 2: expected 5 cells as in the header, found 6"),
        (HEAD + 'P\tA01\t1\tkeep\t"open\n', "line 2: expected cells between tabs: unexpected end of data"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path, text, message):
    with pytest.raises(ValueError) as error:
        _listed(tmp_path, text)
    assert "verdicts.tsv: " in str(error.value) and message in str(error.value)


def test_what_is_not_there_is_named_with_its_line(tmp_path):
    with pytest.raises(ValueError, match=r"lost.tsv: expected the file of survey.exclusions here, found no such file"):
        exclusions.read(tmp_path / "lost.tsv")
    index = _plate(tmp_path)
    for line, message in (
        ("P\tH12\t\tkeep\t", "line 3: expected a well that plate P has, found 'H12'"),
        ("P\tA01\t9\tkeep\t", "line 3: expected a site that plate P has in A01, found '9'"),
        ("P\t\t9\tkeep\t", "line 3: expected a site that plate P has, found '9'"),
    ):
        listed = _listed(tmp_path, HEAD + "P\tA01\t1\tkeep\t\n" + line + "\n")
        with pytest.raises(ValueError) as error:
            survey.run(index, tmp_path, options=OPTIONS, listed=listed)
        assert f"verdicts.tsv: {message}" in str(error.value)
    listed = _listed(tmp_path, HEAD + "Q\t\t\tkeep\t\n")
    survey.run(index, tmp_path, options=OPTIONS, listed=listed)
    with pytest.raises(ValueError, match="line 2: expected a plate of the sheet, found 'Q'"):
        exclusions.check(listed, ["P"])


def test_a_spreadsheets_file_is_read(tmp_path):
    """A byte order mark, CRLF, lines shortened at their end, quotes, columns in another order."""
    text = '\ufeffreason\tplate\twell\tsite\tverdict\r\n"a ""fibre"""\tP\tb-1\t\texclude\r\n'
    (tmp_path / "sheet.tsv").write_bytes(text.encode())
    (row,) = exclusions.read(tmp_path / "sheet.tsv").to_dict("records")
    assert (row["well"], row["site"], row["reason"]) == ("B01", "", 'a "fibre"')
    assert _listed(tmp_path, HEAD + "P\tA01\t1\tkeep\n")["reason"].tolist() == [""]


def test_reasons_of_any_text_come_back(tmp_path):
    rows = pd.DataFrame([("P", "A01", "1", "exclude", '# "a\tb"\nc; ä')], columns=exclusions.COLUMNS)
    exclusions.write(rows, tmp_path / "x.tsv")
    assert exclusions.read(tmp_path / "x.tsv")["reason"].tolist() == ['# "a b" c; ä']


def test_only_what_is_said_of_a_plate_counts_for_it(tmp_path):
    one = _listed(tmp_path, HEAD + "P\tA01\t1\tkeep\tx\nQ\t\t\texclude\t\n")
    other = _listed(tmp_path, "# why\n" + HEAD + "Q\tA02\t\texclude\t\nP\ta1\t1\tkeep\tx\n")
    assert exclusions.digest(one, "P") == exclusions.digest(other, "P") is not None
    assert exclusions.digest(one, "Q") != exclusions.digest(other, "Q")
    assert exclusions.digest(one, "R") is None
