import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wellspring.index.readers import values, xml

BOMB = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>" + "".join(
    f"<!ENTITY {name} '{f'&{below};' * 10}'>" for below, name in zip("bcdefgh", "cdefghi", strict=True)
)
BAD = {
    "empty": b"",
    "garbage": bytes(range(256)) * 4,
    "truncated": b"<a><b>1</b><b>",
    "crossed": b"<a><b></a></b>",
    "two roots": b"<a/><a/>",
    "text after the end": b"<a/>x",
    "entity bomb": f"{BOMB}]><a>&i;</a>".encode(),
    "external entity": b"<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a><b>&e;</b></a>",
    "external DTD": b"<!DOCTYPE a SYSTEM 'http://localhost/a.dtd'><a><b/></a>",
    "DTD in UTF-16": "<!DOCTYPE a [<!ENTITY e 'x'>]><a><b>&e;</b></a>".encode("utf-16"),
    "unknown encoding": b"<?xml version='1.0' encoding='klingon'?><a/>",
    "bytes of no encoding": b"<?xml version='1.0' encoding='utf-8'?><a>\xff\xfe</a>",
    "too deep": b"<x>" * (xml.DEPTH + 1),
    "endless element": b"<a><b>" + b"<c/>" * (xml.ELEMENT_BYTES // 4 + 20_000),
    "endless text": b"<a><b>" + b"x" * (xml.ELEMENT_BYTES + 100_000),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_is_no_safe_xml_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "Index.xml"
    path.write_bytes(content)
    with pytest.raises(xml.XMLError, match=r"Index\.xml: expected"):
        list(xml.elements(path, "b"))


def test_a_folder_and_nothing_are_errors(tmp_path):
    for path in (tmp_path, tmp_path / "none.xml"):
        with pytest.raises(xml.XMLError, match="expected"):
            list(xml.elements(path, "b"))


def test_a_file_beyond_the_limit_is_not_opened(tmp_path, monkeypatch):
    path = tmp_path / "a.xml"
    path.write_text("<a/>")
    monkeypatch.setattr(xml, "FILE_BYTES", 3)
    with pytest.raises(xml.XMLError, match="at most 3 bytes, found 4"):
        list(xml.elements(path, "a"))


def test_elements_are_found_in_any_namespace_and_not_within_each_other(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(
        "<r xmlns='urn:one' xmlns:two='urn:two'><n><b two:k='1'>x<b>inner</b></b></n><two:b> y </two:b><c/></r>",
        encoding="utf-8-sig",
    )
    found = [(xml.attributes(b), xml.text(b), len(b)) for b in xml.elements(path, "b")]
    assert found == [({"k": "1"}, "x", 1), ({}, "y", 0)]


def _alive():
    gc.collect()
    return sum(type(thing).__name__ == "Element" for thing in gc.get_objects())


def test_memory_does_not_grow_with_the_file(tmp_path):
    path, before = tmp_path / "a.xml", _alive()
    path.write_text(f"<r>{'<other><x/></other><b><c>1</c><d>2</d></b>' * 9000}</r>")
    for number, _ in enumerate(xml.elements(path, "b")):
        if number in (10, 8990):
            assert _alive() - before < 5000  # 16 kB of the file are parsed at once; the whole has 45,000 elements
    assert number == 8999


def test_xml_of_a_description():
    assert xml.local(xml.element("<a xmlns='urn:x'><b/></a>", source="t.tif").tag) == "a"
    for text in (BAD["entity bomb"], b"", "<a", "<a>" + "x" * xml.ELEMENT_BYTES):
        with pytest.raises(xml.XMLError, match=r"t\.tif: expected XML"):
            xml.element(text, source="t.tif")


@given(st.text(max_size=12))
def test_counts_and_numbers_are_read_or_refused(text):
    try:
        assert int(values.count(text)) == int(text)
    except ValueError:
        assert not (text.isascii() and text.isdecimal() and len(text) < 10)
    number = values.real(text)
    assert number != number or abs(number) < float("inf")


@settings(max_examples=300)
@given(st.dictionaries(st.integers(1, 40).map(str), st.sampled_from(["", "A", "A_1", "A_2", "A_1_2", "1", "DNA 2"])))
def test_names_of_channels_never_merge(names):
    found = values.distinct(names)
    assert len(set(found.values())) == len(names)
    alone = [number for number, name in names.items() if name and list(names.values()).count(name) == 1]
    for number in alone:  # kept, unless it is what another one had to be called
        assert found[number].startswith(names[number])
