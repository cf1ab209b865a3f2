"""Licences by address: the SPDX identifier that catalogues of models ask for."""

import re

NOT_CHOSEN = "https://choosealicense.com/no-permission/"
_SPDX = re.compile(r"https?://(?:www\.)?spdx\.org/licenses/([A-Za-z0-9.+-]+?)(?:\.html|\.json)?/?")
_COMMONS = re.compile(r"https?://(?:www\.)?creativecommons\.org/licenses/([a-z-]+)/(\d\.\d)(?:/.*)?")
_ZERO = re.compile(r"https?://(?:www\.)?creativecommons\.org/publicdomain/zero/(\d\.\d)(?:/.*)?")


def spdx(address: str) -> str | None:
    """Return the SPDX identifier of a licence of Creative Commons or of SPDX's own list; None for other addresses.

    >>> spdx("https://creativecommons.org/licenses/by/4.0/"), spdx("https://spdx.org/licenses/MIT.html")
    ('CC-BY-4.0', 'MIT')
    """
    if found := _COMMONS.fullmatch(address):
        return f"CC-{found[1].upper()}-{found[2]}"
    if found := _ZERO.fullmatch(address):
        return f"CC0-{found[1]}"
    found = _SPDX.fullmatch(address)
    return found[1] if found else None


def words(address: str) -> str:
    """Return a licence in words: its identifier or its address, or that none was chosen."""
    if address == NOT_CHOSEN:
        return "No licence was chosen: all rights reserved"
    return spdx(address) or address
