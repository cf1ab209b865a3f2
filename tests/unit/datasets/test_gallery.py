"""The recipe of the Cell Painting Gallery: plates by project, source, batch and name, from a mirror and a bucket."""

import shutil

import boto3
import fsspec
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from moto.server import ThreadedMotoServer

import gallery as mini
import miniatures
import screens
from wellspring.datasets import gallery, screen
from wellspring.io import object_store, raw_image

FIRST = ["--source", "source_4", "--batch", "2021_04_26_Batch1"]


def run(root, out, *further):
    gallery.main(["--root", str(root), "--project", "cpg0016-jump", "--out", str(out), *further])
    return out


def checked(table, images, root):
    """Compare each plane of an index with its file, by the names of the layout."""
    assert table["Metadata_Path"].notna().all()
    for row in table.to_dict("records"):
        plate = row["Metadata_Plate"]
        batch = next(batch for batch, plates in mini.BATCHES.items() if plate in plates)
        column = ["A01", "A02", "B03"].index(row["Metadata_Well"]) + 1
        order = mini.CHANNELS.index(row["Metadata_Channel"]) + 1
        folder = root.joinpath(*mini.SOURCE, "images", batch, "images", f"{plate}__2021-05-02T16_02_51-Measurement1")
        file = folder / "Images" / f"r01c{column:02d}f{int(row['Metadata_Site']):02d}p01-ch{order}sk1fk1fl1.tiff"
        found = raw_image.read(images[plate], row["Metadata_Path"], row["Metadata_Page"])
        np.testing.assert_array_equal(found, tifffile.imread(file))


@pytest.mark.parametrize("urls", [True, False])
def test_the_index_of_a_mirror_has_every_well_and_its_planes(tmp_path, monkeypatch, urls):
    root = mini.write(tmp_path / "mirror", urls=urls)
    folder = run(root, tmp_path / "screen", "--cell-line", "U2OS")
    table = miniatures.indexed(folder, monkeypatch)
    assert len(table) == 3 * 3 * 2 * 5  # brightfield is left out
    rows = screens.read_sheet(folder).set_index("plate")
    checked(table, rows["images"], root)
    assert rows["batch"].to_dict() == {plate: batch for batch, plates in mini.BATCHES.items() for plate in plates}
    wells = table.drop_duplicates(["Metadata_Plate", "Metadata_Well"]).set_index(["Metadata_Plate", "Metadata_Well"])
    columns = ["Metadata_Compound", "Metadata_pert_type", "Metadata_gene", "Metadata_Cell_Line"]
    for plate in rows.index:
        assert wells.loc[(plate, "A01"), columns].tolist() == ["DMSO", "negcon", None, "U2OS"]
        assert wells.loc[(plate, "A02"), columns].tolist() == ["nimodipine", "trt", "CACNB4", "U2OS"]
        assert wells.loc[(plate, "B03"), columns].tolist() == ["KG-5", "poscon", "FLT3", "U2OS"]
    given = yaml.safe_load((folder / "config" / "config.yaml").read_text())
    assert given["channels"] == ["DNA", "ER", "RNA", "AGP", "Mito"]
    assert given["report"]["title"] == "Cell Painting Gallery, cpg0016-jump"


def test_a_bucket_gives_the_screen_of_its_mirror(tmp_path, monkeypatch):
    root = mini.write(tmp_path / "mirror")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        address = "http://{}:{}".format(*server.get_host_and_port())
        keys = {"aws_access_key_id": "fake", "aws_secret_access_key": "fake"}
        client = boto3.client("s3", endpoint_url=address, region_name="us-east-1", **keys)
        client.create_bucket(Bucket="cellpainting-gallery")
        for path in sorted(root.rglob("*")):
            if path.is_file() and "Batch2" not in path.as_posix():
                key = path.relative_to(root).as_posix()
                client.put_object(
                    Bucket="cellpainting-gallery", Key=key, Body=path.read_bytes(), ACL="public-read-write"
                )
        client.put_bucket_acl(Bucket="cellpainting-gallery", ACL="public-read-write")
        monkeypatch.setattr(object_store, "PAUSES", ())
        monkeypatch.setenv("FSSPEC_S3", "{}")
        monkeypatch.setitem(fsspec.config.conf, "s3", {})
        one = [*FIRST, "--plate", "BR00117036"]
        near = run(root, tmp_path / "near", *one)
        far = run(mini.BUCKET, tmp_path / "far", *one, "--endpoint", address)
        for name in ("platemaps", "load_data"):
            first, second = (screen / f"config/{name}/BR00117036.csv" for screen in (near, far))
            assert first.read_text() == second.read_text()
        given = yaml.safe_load((far / "config" / "config.yaml").read_text())
        assert given["index"]["object_store"] == {"anonymous": True, "endpoint": address}
        table = miniatures.indexed(far, monkeypatch)
        images = screens.read_sheet(far).set_index("plate")["images"]
        home = f"{mini.BUCKET}/cpg0016-jump/source_4/images/2021_04_26_Batch1/images"
        assert images["BR00117036"] == f"{home}/BR00117036__2021-05-02T16_02_51-Measurement1/Images"
        checked(table.head(6), images, root)
        kept = [name for name in table if name not in ("Metadata_Bytes", "Metadata_Path")]
        pd.testing.assert_frame_equal(table[kept], miniatures.indexed(near, monkeypatch)[kept])
    finally:
        server.stop()


def test_harmonised_metadata_take_the_place_of_platemaps(tmp_path, monkeypatch):
    root = mini.write(tmp_path / "mirror")
    shutil.rmtree(root.joinpath(*mini.SOURCE, "workspace", "metadata"))
    every = [plate for plates in mini.BATCHES.values() for plate in plates]
    table = mini.harmonized(tmp_path / "harmonized.csv", every)
    folder = run(root, tmp_path / "screen", *FIRST, "--harmonized", str(table))
    wells = miniatures.indexed(folder, monkeypatch).drop_duplicates(["Metadata_Plate", "Metadata_Well"])
    assert set(wells["Metadata_Plate"]) == set(mini.BATCHES["2021_04_26_Batch1"])
    for _, mine in wells.groupby("Metadata_Plate"):
        columns = ["Metadata_Compound", "Metadata_Concentration", "Metadata_pert_type", "Metadata_Cell_Line"]
        found = mine.set_index("Metadata_Well")[columns]
        assert found.loc["A02"].tolist() == ["nimodipine", 5.0, "trt", "U2OS"]
        assert found.loc["B03"].tolist() == ["KG-5", 2.5, "poscon", "U2OS"]
        assert found.loc["A01", "Metadata_pert_type"] == "negcon"
    short = mini.harmonized(tmp_path / "short.csv", every[:1])
    with pytest.raises(ValueError, match=r"short.csv: expected rows of the plates \['BR00117036'\], found none"):
        run(root, tmp_path / "a", *FIRST, "--harmonized", str(short))
    rows = pd.read_csv(table, dtype=str)
    rows.loc[0, "Treatment_Primary_Treatment"] = "taxol"
    rows.to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(ValueError, match=r"odd.csv: expected rows of a well that agree, found others of BR0.* A01"):
        run(root, tmp_path / "b", *FIRST, "--harmonized", str(tmp_path / "odd.csv"))


def test_wells_without_a_sample_are_named_where_a_person_states_it(tmp_path, monkeypatch):
    root = mini.write(tmp_path / "mirror")
    shutil.rmtree(root.joinpath(*mini.SOURCE, "workspace", "metadata", "external_metadata"))
    folder = run(root, tmp_path / "screen", *FIRST, "--blank", "DMSO")
    wells = miniatures.indexed(folder, monkeypatch).drop_duplicates("Metadata_Well").set_index("Metadata_Well")
    assert wells["Metadata_pert_type"].to_dict() == {"A01": "negcon", "A02": "trt", "B03": "trt"}


def test_channels_are_those_of_all_plates(tmp_path):
    root = mini.write(tmp_path / "a", channels=("DNA", "Tubulin", "Actin", "BrightfieldHigh"))
    config = run(root, tmp_path / "one") / "config" / "config.yaml"
    assert yaml.safe_load(config.read_text())["channels"] == ["DNA", "Tubulin", "Actin"]
    config = run(root, tmp_path / "two", "--channel", "Actin", "--channel", "DNA") / "config" / "config.yaml"
    assert yaml.safe_load(config.read_text())["channels"] == ["Actin", "DNA"]
    with pytest.raises(ValueError, match=r"expected channels that all plates have, of \['DNA', 'Tub.*found \['ER'\]"):
        run(root, tmp_path / "three", "--channel", "ER")


def edited(root, name, before, after):
    path = root.joinpath(*mini.SOURCE, "workspace", name)
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


TABLE = "load_data_csv/2021_04_26_Batch1/BR00117035/load_data.csv"
MAPS = "metadata/platemaps/2021_04_26_Batch1"


@pytest.mark.parametrize(
    ("name", "before", "after", "message"),
    [
        (TABLE, "Metadata_Well", "Well", r"load_data.csv: expected columns Metadata_Well and URL_ or FileName_, found"),
        (TABLE, "BR00117035,", "BR9,", r"load_data.csv: expected rows of the plate BR00117035, found those of \['B"),
        (TABLE, "s3://cellpainting-gallery", "s3://other", "BR00117035: expected URLs below a folder of s3://cellp"),
        (TABLE, "/images/BR", "/images/../../BR", "BR00117035: expected URLs below a folder of s3://cellp"),
        (f"{MAPS}/barcode_platemap.csv", "BR00117035", "BR1", r"one platemap of BR00117035 in barcode_.*, found \[\]"),
        (f"{MAPS}/platemap/OAA01.02.03.04.A.txt", "A02", "A01", "A.txt: expected each well once, found A01 twice"),
        ("metadata/external_metadata/external_metadata.tsv", "BRD-K2", "BRD-K1", "expected each broad_sample once, f"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, name, before, after, message):
    root = mini.write(tmp_path / "mirror")
    edited(root, name, before, after)
    with pytest.raises(ValueError, match=message):
        run(root, tmp_path / "screen", *FIRST)
    assert not (tmp_path / "screen").exists()


def test_what_is_not_there_is_listed(tmp_path):
    root = mini.write(tmp_path / "mirror")
    for further, message in (
        (["--source", "source_9"], r"cpg0016-jump: expected the sources \['source_9'\], found \['source_4'\]"),
        (
            ["--source", "source_4", "--batch", "B"],
            r"load_data_csv: expected the batches \['B'\], found \['2021_04",
        ),
        ([*FIRST, "--plate", "P"], r"cpg0016-jump: expected the plates \['P'\], found none of \['P'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            run(root, tmp_path / "screen", *further)


def test_an_option_without_effect_is_refused(tmp_path, capsys):
    """The gallery's recipe opens no image, so that it cannot leave out those that are missing."""
    with pytest.raises(SystemExit):
        run(tmp_path, tmp_path / "screen", "--partial")
    assert "unrecognized arguments: --partial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("s3://b/p: no answer"), r"error: s3://b/p: no answer\. Without a network, give a folder .*"),
        (FileNotFoundError(2, "No such file", "s3://b/p"), r"error: .*No such file.*s3://b/p.*"),
        (PermissionError(13, "Permission denied", "out/config"), r"error: .*Permission denied.*out/config.*"),
        (ValueError("expected a plate"), "error: expected a plate"),
    ],
)
def test_a_store_or_folder_that_cannot_be_used_ends_the_command_in_one_line(error, message):
    def fails(arguments):
        raise error

    with pytest.raises(SystemExit, match=f"^{message}$"):
        screen.run(fails)
