"""Characters that a person cannot see or cannot tell apart: letters of other alphabets, spaces, marks without width."""

import re
import unicodedata

# Cyrillic and Greek letters that look like a Latin one, each below the letter that it looks like.
_LATIN = "ABEKMHOPCTYXIJSQWaeopcyxijshdqwABEZHIKMNOPTYXo"
_OTHER = (
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405\u051a\u051c"
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"
    "\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u03bf"
)
_FOLD = str.maketrans(_OTHER, _LATIN)
_FULL = str.maketrans({0xFF01 + place: 0x21 + place for place in range(94)})  # letters and digits of full width
_PLAIN = re.compile(r"(?:[!-~]+(?: [!-~]+)*)?")  # nothing to tidy: ASCII, single spaces between words


def folded(text: str) -> str:
    """Return a text with Latin letters for those of other alphabets that look the same.

    Examples
    --------
    >>> folded("\u0410\u0421") == "AC", folded("\u03b2-estradiol") == "\u03b2-estradiol"
    (True, True)
    """
    return text if text.isascii() else text.translate(_FULL).translate(_FOLD)


def tidy(text: str) -> str:
    """Return a cell as it looks: one space for any white space within, none around, and no characters without width.

    Examples
    --------
    >>> tidy("compound\u00a0 x\u200b "), tidy(" x")
    ('compound x', 'x')
    """
    if _PLAIN.fullmatch(text):
        return text
    seen = "".join(letter for letter in unicodedata.normalize("NFC", text) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.split())


def shown(text: str) -> str:
    r"""Return a text in quotes for a message; letters that look like others are written as their code.

    Examples
    --------
    >>> shown("DMSO"), shown("DM\u0421O")
    ("'DMSO'", "'DM\\u0421O'")
    """
    return repr(text) if folded(text) == text == tidy(text) else ascii(text)
