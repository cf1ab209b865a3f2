"""Parse a vendor's XML file element by element: no DTD, no entities, no downloads, bounded memory.

Indices of plates reach hundreds of megabytes (JUMP's layout, 384 wells x 9 fields x 5 channels x 4 planes: 200 MB), so
each element is freed after use. Namespaces are left out of names, because they change with each version.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.etree.ElementTree import Element

from defusedxml import ElementTree as Defused

# At 3 kB per image, enough for 1536 wells x 4 fields x 5 channels x 40 planes, the largest plate known to us.
FILE_BYTES = 4 << 30
ELEMENT_BYTES = 1 << 20  # an image or a channel takes some kB; one endless element would fill the memory
DEPTH = 64  # vendors' files are five or six deep


class XMLError(ValueError):
    """A file that is not XML, or XML that is refused: it has a DTD or entities, or exceeds a limit."""


def elements(path: Path | str, *names: str) -> Iterator[Element]:
    """Yield the elements of these local names in their order in the file, each whole and freed after its turn.

    An element inside a yielded element is part of it and is not yielded separately.

    Raises
    ------
    XMLError
        The file cannot be opened, is not well-formed, ends early, has a DTD or an entity, or is larger than
        ``FILE_BYTES``, deeper than ``DEPTH`` or has an element of more than ``ELEMENT_BYTES``; the file is named.
    """
    path = Path(path)
    try:
        if path.stat().st_size > FILE_BYTES or not path.is_file():  # a pipe would never end
            raise XMLError(f"{path}: expected a file of at most {FILE_BYTES} bytes, found {path.stat().st_size}")
        with path.open("rb") as stream:
            yield from _elements(_Bounded(stream, path), frozenset(names), path)
    except XMLError:
        raise
    except (Defused.ParseError, ValueError, LookupError, OSError) as error:  # LookupError: an encoding unknown to us
        raise XMLError(f"{path}: expected XML without DTD, found {type(error).__name__}: {error}") from error


def element(text: str | bytes, *, source: Path | str) -> Element:
    """Return the root of XML in another file, such as a TIFF's description; errors name ``source``."""
    if len(text) > ELEMENT_BYTES:
        raise XMLError(f"{source}: expected XML of at most {ELEMENT_BYTES} bytes, found {len(text)}")
    try:
        root: Element = Defused.fromstring(text, forbid_dtd=True)
    except (Defused.ParseError, ValueError, LookupError) as error:
        raise XMLError(f"{source}: expected XML without DTD, found {type(error).__name__}: {error}") from error
    return root


def local(name: str) -> str:
    """Return the name of a tag or attribute without its namespace."""
    return name.rpartition("}")[2]


def attributes(found: Element) -> dict[str, str]:
    """Return the attributes of an element by local name."""
    return {local(name): value for name, value in found.attrib.items()}


def children(found: Element) -> dict[str, Element]:
    """Return the children of an element by local name; the first if a name is repeated."""
    named: dict[str, Element] = {}
    for child in found:
        named.setdefault(local(child.tag), child)
    return named


def text(found: Element | None) -> str:
    """Return the stripped text of an element; empty if the element or its text is missing."""
    return "" if found is None or found.text is None else found.text.strip()


class _Bounded:
    """A file for a parser; raises an error when one element takes more than the limit."""

    def __init__(self, stream: BinaryIO, path: Path) -> None:
        self.stream, self.path, self.held = stream, path, 0

    def read(self, size: int) -> bytes:
        chunk = self.stream.read(size)
        self.held += len(chunk)
        if self.held > ELEMENT_BYTES:
            raise XMLError(f"{self.path}: expected elements of at most {ELEMENT_BYTES} bytes, found a larger one")
        return chunk


def _elements(stream: _Bounded, names: frozenset[str], path: Path) -> Iterator[Element]:
    above: list[Element] = []
    within = 0  # open elements from the one that will be yielded downwards
    for event, found in Defused.iterparse(stream, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            above.append(found)
            if len(above) > DEPTH:
                raise XMLError(f"{path}: expected elements at most {DEPTH} deep, found deeper ones")
            if within or local(found.tag) in names:
                within += 1
            continue
        above.pop()
        within -= bool(within)
        if within:
            continue
        if local(found.tag) in names:
            yield found
        if above:
            del above[-1][:]
        stream.held = 0
