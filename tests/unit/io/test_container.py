"""Files of several planes by their packages: every plane in its order, names of channels, and what is refused.

The packages are stood in for by small objects; `tests/unit/index` reads real files where the packages are installed.
"""

from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from wellspring.io import container
from wellspring.io.tiff_plane import PlaneFileError


class Nikon:
    """A file of 2 positions, 3 focal planes and 2 channels, of 5 x 7 pixels."""

    sizes = {"P": 2, "Z": 3, "C": 2, "Y": 5, "X": 7}
    names = ("DAPI", "GFP")
    is_rgb = False
    opened = 0

    def __init__(self, path):
        type(self).opened += 1
        self.loop_indices = [{"P": p, "Z": z} for p in range(2) for z in range(3)]
        self.metadata = SimpleNamespace(channels=[SimpleNamespace(channel=SimpleNamespace(name=n)) for n in self.names])
        points = [SimpleNamespace(name="left"), SimpleNamespace(name=None)]
        self.experiment = [SimpleNamespace(type="XYPosLoop", parameters=SimpleNamespace(points=points))]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def voxel_size(self):
        return SimpleNamespace(x=0.325)

    def read_frame(self, number):
        shape = (self.sizes["C"], 5, 7)
        return np.arange(np.prod(shape)).reshape(shape) + 1000 * number


class Leica:
    """A file of two images: 2 focal planes of 3 channels, and one plane without other axes."""

    def __init__(self, path):
        self.images = [image("first", {"Z": 2, "C": 3, "Y": 4, "X": 6}, 0), image("second", {"Y": 4, "X": 6}, 900)]

    __enter__, __exit__ = Nikon.__enter__, Nikon.__exit__


def image(path, sizes, offset):
    names = "".join(
        f'<ChannelDescription LUTName="{name}"/>' for name in ("Blue", "Green", "Green")[: sizes.get("C", 1)]
    )
    dimension = '<DimensionDescription DimID="1" Unit="m" NumberOfElements="6" Length="1e-5"/>'
    xml = f"<E><Data><Image><ImageDescription><Channels>{names}</Channels><Dimensions>{dimension}</Dimensions>"
    pixels = np.arange(np.prod(list(sizes.values()))).reshape(tuple(sizes.values())) + offset
    return SimpleNamespace(
        path=path,
        sizes=sizes,
        dims=tuple(sizes),
        asarray=lambda: pixels,
        xml_element=ElementTree.fromstring(f"{xml}</ImageDescription></Image></Data></E>"),
    )


@pytest.fixture
def packages(monkeypatch):
    found = {
        ".nd2": SimpleNamespace(__name__="nd2", ND2File=Nikon),
        ".lif": SimpleNamespace(__name__="liffile", LifFile=Leica),
    }
    monkeypatch.setattr(container, "_module", lambda path: found[path.suffix])


@pytest.mark.usefixtures("packages")
def test_every_plane_of_a_nikon_file_is_listed_and_read():
    path, pixels = Path("a.nd2"), {}
    frames = container.frames(path)
    for page, frame in enumerate(frames):
        pixels[frame.position, frame.plane, frame.channel] = container.read(path, page, largest=35)
        assert (frame.time, frame.pixel_size) == (1, 0.325)
    assert len(pixels) == len(frames) == 12
    for number, position in enumerate(("left", "2")):
        for plane in range(3):
            for channel, name in enumerate(("DAPI", "GFP")):
                expected = np.arange(35).reshape(5, 7) + 35 * channel + 1000 * (3 * number + plane)
                np.testing.assert_array_equal(pixels[position, plane + 1, name], expected)
    with pytest.raises(PlaneFileError, match="no plane 12"):
        container.read(path, 12, largest=35)
    with pytest.raises(PlaneFileError, match="at most 34 pixels"):
        container.read(path, 0, largest=34)


@pytest.mark.usefixtures("packages")
def test_every_plane_of_a_leica_file_is_listed_and_read():
    path = Path("a.lif")
    frames = container.frames(path)
    # A name of two channels names neither: they are numbered.
    assert [(one.position, one.plane, one.channel) for one in frames] == [
        *(("first", plane, channel) for plane in (1, 2) for channel in ("1", "2", "3")),
        ("second", 1, "Blue"),
    ]
    assert [one.pixel_size for one in frames] == pytest.approx([2.0] * 7) and {one.time for one in frames} == {1}
    for page in range(6):
        expected = np.arange(24).reshape(4, 6) + 24 * page
        np.testing.assert_array_equal(container.read(path, page, largest=24), expected)
    np.testing.assert_array_equal(container.read(path, 6, largest=24), np.arange(24).reshape(4, 6) + 900)
    with pytest.raises(PlaneFileError, match="no plane 7"):
        container.read(path, 7, largest=24)


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(("change", "value"), [("sizes", Nikon.sizes | {"Q": 2}), ("is_rgb", True)])
def test_other_axes_and_colours_are_refused(monkeypatch, change, value):
    monkeypatch.setattr(Nikon, change, value)
    with pytest.raises(container.ContainerError, match="expected the axes"):
        container.frames(Path("a.nd2"))


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("names", [("DAPI", ""), ("GFP", "GFP"), ("DAPI",), ("a", "b", "c")])
def test_channels_without_names_of_their_own_are_numbered(monkeypatch, names):
    monkeypatch.setattr(Nikon, "names", names)
    assert [frame.channel for frame in container.frames(Path("a.nd2"))][:4] == ["1", "2", "1", "2"]


@pytest.mark.usefixtures("packages")
def test_the_number_of_planes_is_bounded(monkeypatch):
    monkeypatch.setattr(container, "PLANES", 12)
    assert len(container.frames(Path("a.nd2"))) == 12
    monkeypatch.setattr(container, "PLANES", 11)
    with pytest.raises(container.ContainerError, match="1 to 11 planes, found 12"):
        container.frames(Path("a.nd2"))
