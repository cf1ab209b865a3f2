r"""Faults of the tables that describe the images of a specimen: vendors' tables, OME metadata, LoadData, the platemap.

The faults enter :data:`faults.FAULTS`. A table that is damaged may end its plate, which then names plate or table.
"""

import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote
from xml.sax.saxutils import escape

import pandas as pd

from faults import (
    ANYTHING,
    EVERY,
    FAULTS,
    ODD,
    Damage,
    Fault,
    cut,
    fault,
    flip,
    folder_instead,
    garble,
    pipe,
    swap_case,
    to_itself,
    zero,
    zero_block,
)
from specimens import Specimen, description, pixels, write

NUMBERS = (
    "-1", "0", "-0", "1e400", "-1e400", "NaN", "inf", "", " ", "1.5", "99", "65536", "2147483648", "4294967296",
    "18446744073709551616", "9" * 30, "9" * 5000, "1e9", "0x10", "٣", "²", "１", "TRUE", "None",
    "$(id)", "'; --", "1 2", "\u202e1",
)  # fmt: skip


def _table(specimen: Specimen, chance: random.Random, *suffixes: str) -> Path | None:
    found = [path for path in (*specimen.tables, specimen.platemap) if path.is_file() and path.stat().st_size]
    found = [path for path in found if not suffixes or path.suffix.lower() in suffixes]
    if not found:
        return None
    specimen.whole.clear()
    return chance.choice(found)


def _replaced(change: Callable[[Path, random.Random], None], damage: Damage = ANYTHING) -> Fault:
    """Return the fault that changes a table as a file."""

    def damaged(specimen: Specimen, chance: random.Random) -> Damage | None:
        table = _table(specimen, chance)
        if table is None:
            return None
        change(table, chance)
        return damage

    return damaged


def _changed(change: Callable[[bytearray, random.Random], None]) -> Fault:
    def change_file(path: Path, chance: random.Random) -> None:
        content = bytearray(path.read_bytes())
        change(content, chance)
        path.write_bytes(content)

    return _replaced(change_file, Damage(free=EVERY, stops="may"))


def _recoded(path: Path, chance: random.Random) -> None:
    text = path.read_bytes().decode("latin-1")
    path.write_bytes(text.encode(chance.choice(["utf-16", "utf-32", "utf-7", "utf-8-sig"])))


FAULTS |= {
    "table_truncated": _replaced(cut),
    "table_zeroed": _replaced(zero),
    "table_emptied": _replaced(lambda path, chance: path.write_bytes(b"")),
    "table_garbage": _replaced(garble),
    "table_removed": _replaced(lambda path, chance: path.unlink()),
    "table_pipe": _replaced(pipe),
    "table_folder": _replaced(folder_instead),
    "table_link_to_itself": _replaced(to_itself),
    "table_case": _replaced(swap_case),
    "table_recoded": _replaced(_recoded),
    "table_flipped": _changed(flip),
    "table_zeroed_block": _changed(zero_block),
}


@fault
def table_denied(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A table that may not be read."""
    table = _table(specimen, chance)
    if table is None:
        return None
    specimen.denied = True
    table.chmod(0)
    return ANYTHING


@fault
def table_outside(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A table that is a link to a file of that name which nobody allowed."""
    found = [path for path in specimen.tables if path.is_file() and not path.is_symlink()]
    if not found:
        return None
    specimen.whole.clear()
    table = chance.choice(found)
    other = specimen.secret / table.name
    shutil.copy(table, other)
    table.unlink()
    table.symlink_to(other)
    return ANYTHING


XML = (".xml", ".mlf", ".mes", ".mrf", ".ome")
QUADRATIC = "<!DOCTYPE a [<!ENTITY b '" + "b" * 50_000 + "'>]>"
LAUGHS = "<!DOCTYPE a [<!ENTITY b 'bbbbbbbbbb'>" + "".join(
    f"<!ENTITY {name} '{f'&{below};' * 10}'>" for below, name in zip("bcdefgh", "cdefghi", strict=True)
)


@fault
def entities(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A DTD with entities: an expansion, or a file or address that is none of the plate's."""
    text, put = _xml(specimen, chance)
    if text is None:
        return None
    outside = chance.choice(
        [
            f"file://{specimen.secret}/text",
            f"{specimen.secret}/text",
            "http://127.0.0.1:9/x",
            "../secret/text",
            "/etc/passwd",
        ]
    )
    dtd, entity = chance.choice(
        [
            (LAUGHS + "]>", "&i;"),
            (QUADRATIC, "&b;" * 20_000),
            (f"<!DOCTYPE a [<!ENTITY b SYSTEM '{outside}'>]>", "&b;"),
            (f"<!DOCTYPE a [<!ENTITY % b SYSTEM '{outside}'> %b;]>", ""),
            (f"<!DOCTYPE a SYSTEM '{outside}'>", ""),
        ]
    )
    head = re.match(r"\ufeff?(<\?xml[^>]*\?>)?", text)[0]
    spots = [found.end() for found in re.finditer(r">(?=[^<\s])", text[len(head) :])] or [len(text) - len(head)]
    at = len(head) + chance.choice(spots)
    put(head + dtd + text[len(head) : at] + entity + text[at:])
    one = specimen.layout == "ometiff" or specimen.tables[:1] != [specimen.folder / "plate.companion.ome"]
    return Damage(doomed=EVERY, stops="may", told="" if one else "XML|DTD|OME")


@fault
def xml_deep(specimen: Specimen, chance: random.Random) -> Damage | None:
    """Elements in elements, a text without end, or attributes without number, somewhere in a table."""
    text, put = _xml(specimen, chance)
    if text is None:
        return None
    deep = chance.choice(["<a>" * 5000 + "</a>" * 5000, "<a>" * 100_000, f"<a>{'x' * 3_000_000}</a>", "<a/>" * 300_000,
                          "<a " + " ".join(f"b{n}='1'" for n in range(50_000)) + "/>", "<![CDATA[" + "]" * 99_999,
                          "<!--" * 9])  # fmt: skip
    spots = [found.end() for found in re.finditer(r"<[A-Za-z:]+[^<>]*[^/]>", text)]
    at = chance.choice(spots or [len(text)])
    put(text[:at] + deep + text[at:])
    return ANYTHING


@fault
def numbers(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A number of a table is enormous, negative, no number, or of another alphabet."""
    text, put = _text(specimen, chance)
    if text is None:
        return None
    at = chance.choice(list(re.finditer(r"\d+(?:\.\d+)?", text)) or [None])
    if at is None:
        return None
    put(text[: at.start()] + chance.choice(NUMBERS) + text[at.end() :])
    return Damage(free=EVERY, stops="may")


@fault
def words(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A word of a table is another one, or empty."""
    text, put = _text(specimen, chance)
    if text is None:
        return None
    at = chance.choice(list(re.finditer(r"[A-Za-z][\w .-]+", text)) or [None])
    if at is None:
        return None
    new = chance.choice(["", *ODD])
    put(text[: at.start()] + (escape(new) if chance.random() < 0.8 else new) + text[at.end() :])
    return Damage(free=EVERY, stops="may")


@fault
def traversal(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A table names an image that is outside of the plate's folder and the roots."""
    text, put = _text(specimen, chance)
    if text is None:
        return None
    names = sorted({path.name for path in specimen.files})
    pattern = "|".join(re.escape(name) for name in names)
    if specimen.layout.startswith("omezarr"):
        pattern = r"(?<=\"path\": \")[^\"]+"
    found = list(re.finditer(pattern, text))
    if not found:
        return None
    at = chance.choice(found)
    own = at[0] if chance.random() < 0.5 and not specimen.layout.startswith("omezarr") else "image.tif"
    full = str(specimen.secret / own)
    hostile = [
        f"../secret/{own}", f"../../secret/{own}", full, f"file://{full}", f"file://{quote(full, safe='')}",
        f"file:{full}", f"..%2Fsecret%2F{own}", f"%2e%2e/secret/{own}", f"..\\secret\\{own}",
        f"\\\\server\\share\\{own}", f"C:\\secret\\{own}",
        f"//secret/{own}", f"s3://bucket/{own}", f"http://127.0.0.1:9/{own}", f"{specimen.folder}/../secret/{own}",
        f"{specimen.archive}/../secret/{own}", f"{specimen.archive}/./../secret/{own}", "/dev/zero",
        "/proc/self/mem", "/etc/passwd", "~/x.tif", "..", ".", "/", "../" * 30 + "etc/passwd", "a/" * 3000 + "x.tif",
        "x" * 5000, f"local://{full}", "file:///", f"simplecache::file://{full}", f"zip://x.tif::file://{full}",
        f"memory://{own}", "data:,x", "|touch pwned", f"{own}\0",
    ]  # fmt: skip
    name = chance.choice(hostile)
    put(text[: at.start()] + escape(name) + text[at.end() :])
    return Damage(doomed=EVERY, stops="may")


def _rows(specimen: Specimen, chance: random.Random) -> tuple[str | None, Callable[[str], None], list[tuple[int, int]]]:
    """Return a table, and from where to where its records of images reach."""
    text, put = _text(specimen, chance)
    if text is None:
        return None, put, []
    patterns = (r"<Image Version.*?</Image>", r"<bts:MeasurementRecord.*?</bts:MeasurementRecord>",
                r"<Image ID.*?</Image>", r"\{\"path\": [^}]*\}", r"(?m)(?<=\n).+\n")  # fmt: skip
    for pattern in patterns:
        found = [match.span() for match in re.finditer(pattern, text, re.DOTALL if "Image" in pattern else 0)]
        if found:
            return text, put, found
    return text, put, []


@fault
def row_removed(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A table lacks the record of an image."""
    text, put, found = _rows(specimen, chance)
    if not found:
        return None
    start, end = chance.choice(found)
    put(text[:start] + text[end:])
    return ANYTHING


@fault
def row_doubled(specimen: Specimen, chance: random.Random) -> Damage | None:
    """A table has a record twice."""
    text, put, found = _rows(specimen, chance)
    if not found:
        return None
    start, end = chance.choice(found)
    comma = "," if text[start] == "{" else ""
    put(text[:end] + comma + text[start:end] + text[end:])
    return ANYTHING


def _xml(specimen: Specimen, chance: random.Random) -> tuple[str | None, Callable[[str], None]]:
    """Return a table of XML and what writes it again."""
    return _text(specimen, chance, *XML)


def _text(specimen: Specimen, chance: random.Random, *suffixes: str) -> tuple[str | None, Callable[[str], None]]:
    """Return the text of a table, or of an image's OME-XML, and what writes it again."""
    if specimen.layout == "ometiff" and (suffixes or chance.random() < 0.8):
        path = chance.choice(sorted(specimen.files))
        if not path.is_file():
            return None, print
        try:
            said, planes = description(path), [pixels(key) for key in specimen.files[path]]
        except Exception:  # it was damaged already
            return None, print
        specimen.whole.clear()
        raw = (said or "").replace("µ", "&#181;")
        return raw, lambda text: write(path, *planes, description=text.encode("utf-8", "replace"))
    table = _table(specimen, chance, *suffixes)
    if table is None:
        return None, print
    if table.suffix == ".parquet":
        return _parquet(table)
    kind = "latin-1" if table.suffix == ".HTD" else "utf-8"
    text = table.read_bytes().decode(kind, "surrogateescape")
    return text, lambda changed: table.write_bytes(
        changed.encode(kind, "surrogateescape" if kind == "utf-8" else "replace")
    )


def _parquet(table: Path) -> tuple[str | None, Callable[[str], None]]:
    """Return a Parquet table as JSON."""
    try:
        frame = pd.read_parquet(table)
    except (ValueError, OSError):
        return None, print

    def put(text: str) -> None:
        try:
            pd.DataFrame(json.loads(text)).to_parquet(table)
        except (ValueError, TypeError, AttributeError, OverflowError, OSError):
            table.write_bytes(text.encode("utf-8", "surrogateescape"))

    return json.dumps(frame.to_dict("list"), indent=0, ensure_ascii=False), put
