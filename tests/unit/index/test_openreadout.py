"""openreadout, a foreign reader, and the readers of this library give the same pixels and metadata of a plate."""

import random

import numpy as np
import pytest

import coded
import random_plates
import specimens
import vendors
from wellspring.index.readers import cellvoyager, harmony, imagexpress, omezarr
from wellspring.io import raw_image

openreadout = pytest.importorskip("openreadout")

WELLS = ("A01", "B03", "H12")
CHANNELS = ("DAPI", "Texas Red")


def filled(folder, frame):
    """Write an image of its own value for each row of a maker's table, and return the value by path."""
    values = {path: 100 + 7 * number for number, path in enumerate(sorted(set(frame["path"])))}
    for path, value in values.items():
        specimens.write(folder / path, coded.plane(value), description=specimens.description(folder / path))
    return values


def agreed(home, folder, rows, channels, *, position=False):
    """Compare each plane of `rows` with what openreadout reads at `home`; return the number of planes."""
    said = openreadout.info(str(home))
    order = {name: number for number, name in enumerate(channels)}
    planes = {
        (row["well"], row["site"], order[row["channel"]], row["plane"], row["timepoint"]): row
        for row in rows.to_dict("records")
    }
    count = 0
    with openreadout.File(str(home)) as file:
        for image in said["images"]:
            extra = image["extra"]
            shape = (image["size_c"], image["size_z"], image["size_t"])
            for c, z, t in np.ndindex(shape):
                times = sorted({key[4] for key in planes}, key=int)
                row = planes[extra["well"], str(extra["field"]), c, str(z + 1), times[t]]
                theirs = file.read_plane(image=image["index"], c=c, z=z, t=t)
                np.testing.assert_array_equal(raw_image.read(folder, row["path"], row["page"]), theirs)
                count += 1
                if "x" in image["physical_size"]:
                    assert row["pixel_size"] == pytest.approx(image["physical_size"]["x"])
                if position:
                    assert (row["x"], row["y"]) == pytest.approx((extra["position_x_um"], extra["position_y_um"]))
                if "exposure_ms" in image["channels"][c]:
                    assert row["exposure"] == pytest.approx(image["channels"][c]["exposure_ms"])
    assert count == len(rows)
    return said


@pytest.mark.parametrize("version", [5, 6, 7])
def test_harmony(tmp_path, version):
    frame = vendors.harmony(
        tmp_path / "P1", version=version, wells=WELLS, fields=2, planes=3, timepoints=2, channels=CHANNELS
    )
    filled(tmp_path / "P1", frame)
    rows = harmony.planes(tmp_path / "P1", plate="P1")
    [index] = [path for path in (tmp_path / "P1/Images").iterdir() if path.suffix == ".xml"]
    said = agreed(index, tmp_path / "P1", rows, CHANNELS, position=True)
    assert [channel["name"] for channel in said["images"][0]["channels"]] == list(CHANNELS)


def test_columbus(tmp_path, caplog):
    """Its index has the pages of files that hold the planes of a well."""
    frame = vendors.harmony(tmp_path / "P1", version=5, wells=WELLS, fields=2, channels=CHANNELS, side=0)
    [index] = [path for path in (tmp_path / "P1/Images").iterdir() if path.suffix == ".xml"]
    text = index.read_text(encoding="utf-8-sig").replace("PEHH/HarmonyV5", "Columbus")
    held: dict[str, list[int]] = {}
    for number, (well, path) in enumerate(zip(frame["well"], frame["path"], strict=True)):
        file = f"{ord(well[0]) - 64:03}{int(well[1:]):03}000.flex"
        name, values = path.rpartition("/")[2], held.setdefault(file, [])
        text = text.replace(f"<URL>{name}", f'<URL BufferNo="{len(values)}">{file}')
        values.append(100 + 7 * number)
        (tmp_path / "P1" / path).unlink()
    index.unlink()
    (tmp_path / "P1/Images/ImageIndex.ColumbusIDX.xml").write_text(text)
    for file, values in held.items():
        coded.tiff(tmp_path / "P1/Images" / file, *values)
    rows = harmony.planes(tmp_path / "P1", plate="P1")
    assert "more than once" not in caplog.text
    agreed(tmp_path / "P1/Images/ImageIndex.ColumbusIDX.xml", tmp_path / "P1", rows, CHANNELS, position=True)


def test_metaxpress(tmp_path):
    frame = vendors.imagexpress(tmp_path / "P1", wells=WELLS, sites=3, waves=CHANNELS)
    filled(tmp_path / "P1", frame)
    rows = imagexpress.planes(tmp_path / "P1", plate="P1")
    [table] = (tmp_path / "P1").rglob("*.HTD")
    said = agreed(table, tmp_path / "P1", rows, CHANNELS)
    assert [channel["name"] for channel in said["images"][0]["channels"]] == list(CHANNELS)


def test_cellvoyager(tmp_path):
    frame = vendors.cellvoyager(tmp_path / "P1", wells=WELLS, fields=2, steps=2, channels=CHANNELS)
    filled(tmp_path / "P1", frame)
    rows = cellvoyager.planes(tmp_path / "P1", plate="P1")
    agreed(tmp_path / "P1/MeasurementData.mlf", tmp_path / "P1", rows, CHANNELS, position=True)


@pytest.mark.parametrize("seed", range(6))
def test_ngff(tmp_path, seed):
    plan = random_plates.Plan(
        sites={"A01": (1, 2), "B03": (3,)}, planes={"A01": 2, "B03": 2}, channels=("DNA", "ER"), times=2, acquisitions=1
    )
    random_plates.omezarr(tmp_path / "P1", plan, random.Random(seed))
    rows = omezarr.planes(tmp_path / "P1", plate="P1")
    group = tmp_path / "P1" / rows["path"].iloc[0].split("/")[0]
    count = 0
    for image in openreadout.info(str(group))["images"]:
        mine = rows[rows["path"].str.startswith(f"{group.name}/{image['name']}/")]
        names = [channel["name"] for channel in image["channels"]]
        with openreadout.File(str(group)) as file:
            for one in mine.to_dict("records"):
                at = {"c": names.index(one["channel"]), "z": int(one["plane"]) - 1, "t": int(one["timepoint"]) - 1}
                theirs = file.read_plane(image=image["index"], **at)
                np.testing.assert_array_equal(raw_image.read(tmp_path / "P1", one["path"], one["page"]), theirs)
                count += 1
    assert count == len(rows) == 3 * 2 * 2 * 2
