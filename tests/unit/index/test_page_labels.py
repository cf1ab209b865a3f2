"""The labels that ImageJ keeps with the pages of a stack are compared with the channels of the config."""

import numpy as np
import pytest
import tifffile

import coded

WELLS = ("A01", "A02", "B01")
PATTERN = r"(?P<well>[A-Z][0-9]{2})\.tif"


def stacks(folder, labels, *, other=(), planes=1):
    """Write a stack of two channels per well with these labels; the wells ``other`` have them in reverse."""
    folder.mkdir()
    for number, well in enumerate(WELLS):
        shown = labels[::-1] if well in other else labels
        pixels = np.stack([coded.plane(10 * number + channel) for channel in (0, 1) * planes])
        axes = {"axes": "ZCYX" if planes > 1 else "CYX", "Labels": list(shown) * planes}
        shape = (planes, 2, *coded.SHAPE) if planes > 1 else (2, *coded.SHAPE)
        tifffile.imwrite(folder / f"{well}.tif", pixels.reshape(shape), imagej=True, metadata=axes)
    return folder


@pytest.fixture(params=["single", "channel"])
def pages(request):
    return request.param


def values(folder, pages, caplog, *, aliases=None):
    """Return the well, channel and value of each plane, and what was logged as a warning."""
    aliases = aliases or {"DNA": "1", "ER": "2"}
    found = coded.build(
        folder, WELLS, channels=["DNA", "ER"], at=folder.parent, aliases=aliases, pattern=PATTERN, pages=pages
    )
    read = {(key[0], key[2]): value for key, value in coded.read(found, folder).items()}
    return read, [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_labels_that_agree_or_state_no_channel_are_fine(tmp_path, pages, caplog):
    for name, labels in (("a", ("DNA", "ER")), ("b", ("c:1/2 - ER 488", "c:2/2 - other")), ("c", ("x.tif", "x.tif"))):
        aliases = {"ER": "1", "DNA": "2"} if name == "b" else None
        read, warnings = values(stacks(tmp_path / name, labels), pages, caplog, aliases=aliases)
        first = "ER" if name == "b" else "DNA"
        assert read["A02", first] == 10 and not warnings


def test_labels_that_contradict_the_config_are_named(tmp_path, pages, caplog):
    read, (words,) = values(stacks(tmp_path / "P1", ("ER", "DNA")), pages, caplog)
    assert read["A01", "DNA"] == 0
    assert "page 1 of A01.tif is labelled 'ER' and taken as DNA" in words and "correct index.channels" in words


def test_stacks_in_another_order_than_most_are_named(tmp_path, pages, caplog):
    _, warnings = values(stacks(tmp_path / "P1", ("w 1", "w 2"), other=("B01",)), pages, caplog)
    (words,) = warnings
    assert "1 of 3 stacks have their channels in another order by their labels, as B01.tif: ['w 2', 'w 1']" in words


def test_the_labels_of_numbered_channels_are_told(tmp_path, pages, caplog):
    with pytest.raises(ValueError, match=r"expected the channels \['DNA', 'ER'\], found \['1', '2'\]"):
        values(stacks(tmp_path / "P1", ("DNA", "ER")), pages, caplog, aliases={"DNA": "DNA"})
    assert "by their labels 1 is 'DNA', 2 is 'ER': name them in index.channels" in caplog.text


def test_the_labels_of_focal_planes_are_those_of_the_channels(tmp_path, caplog):
    _, (words,) = values(stacks(tmp_path / "P1", ("ER", "DNA"), planes=3), "single", caplog)
    assert words.count("is labelled") == 2
