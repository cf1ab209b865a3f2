"""Classical features beside encoders: a finished screen to which a classical encoder is added."""

import shutil

import pandas as pd
import pytest

import screens
from wellspring.io import embeddings, tables

CHANGES = {
    "encoders": {"classical": {"kind": "classical"}},
    "measure": {"families": ["intensity", "neighbours"]},
}
PLATES = ("B1_U2OS", "B1_A549", "B2_U2OS", "B2_A549")


@pytest.fixture(scope="module")
def results(finished, tmp_path_factory):
    """Return the results of a copy of the finished screen after a second run with the classical encoder."""
    folder = tmp_path_factory.mktemp("classical") / "screen"
    shutil.copytree(finished, folder)
    screens.change(folder, CHANGES)
    # What was made without it stays as it is.
    own = {"measure": 4, "profile": 4, "align": 4, "fit": 1, "consensus": 1, "evaluate": 1, "report": 1, "verdict": 1}
    assert screens.planned(folder) == own
    done = screens.snakemake("--cores", "all", cwd=folder)
    assert done.returncode == 0, done.stdout[-6000:]
    assert screens.planned(folder) == {}
    return folder / "results"


def test_a_row_a_cell_that_is_not_left_out(results):
    for plate in PLATES:
        path = results / f"embed/classical/{plate}.parquet"
        cells, (rows, matrix) = tables.read(results / f"cells/{plate}.parquet"), tables.read_embedding(path)
        left = cells[~cells["Metadata_Flags"].str.contains("small|large")]
        key = ["Metadata_Well", "Metadata_Site", "Metadata_View"]
        assert rows[key].equals(left.rename(columns={"Metadata_Cell": "Metadata_View"})[key].reset_index(drop=True))
        assert matrix.shape[1] == len(embeddings.names_of(path)) == 3 * 5 * 15 + 5
        assert tables.provenance(path)["packages"]["cp-measure"]


@pytest.mark.parametrize("level", ["aggregated", "normalised"])
def test_profiles_bear_the_names_of_the_features(results, level):
    from pycytominer.cyto_utils import infer_cp_features

    for plate in PLATES:
        frame = tables.read(results / f"profile/classical/{plate}.{level}.parquet")
        names = embeddings.names_of(results / f"embed/classical/{plate}.parquet")
        assert tables.features(frame) == infer_cp_features(frame) == names
        kept = frame[frame["Metadata_Verdict"] == "keep"]
        assert kept[names].notna().all(axis=None)


def test_features_are_selected_each_with_its_reason(results):
    table = tables.read(results / "fit/classical.features.parquet")
    kept = table.loc[table["Metadata_Kept"], "Metadata_Feature"]
    assert 10 < len(kept) < len(table) / 2
    assert table.loc[~table["Metadata_Kept"], "Metadata_Reason"].str.len().gt(0).all()
    assert tables.features(tables.read(results / "align/classical.parquet")) == kept.tolist()
    learned = tables.read(results / "fit/simclr.features.parquet")
    assert not learned["Metadata_Reason"].str.contains("correlated").any()


def test_it_stands_beside_the_others(results):
    own, other = (
        tables.read(results / f"evaluate/{name}.summary.parquet").set_index(["Metadata_Metric", "Metadata_Level"])
        for name in ("classical", "simclr")
    )
    assert own.index.sort_values().equals(other.index.sort_values())
    # Bright stains and crowding tell the planted mechanisms apart, which hand-made features must see.
    assert own.loc[("consistency", "aligned"), "low"] > own.loc[("consistency", "aligned"), "chance"]
    page = (results / "report" / "index.html").read_text()
    assert '<th scope="row">classical</th>' in page
    assert page.count("correlated with another") == 1
    metrics = pd.read_csv(results / "report" / "metrics.csv")
    assert metrics.astype(str).apply(lambda column: column.str.contains("classical")).any(axis=None)
