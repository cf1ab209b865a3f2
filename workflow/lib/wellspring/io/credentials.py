"""Find credentials in the user's input: in URLs, connection strings, settings of tools, and tokens known by their form.

Snakemake keeps the config in clear, and tables keep the sheet's cells. Credentials belong in the environment or in the
user's own files (`AWS_PROFILE`, `~/.aws`). What a person writes is refused (:func:`problems`, :func:`check_lines`);
what other programs say, as an error with the URL of a store, is written without them (:func:`redacted`).
"""

import atexit
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO, cast

ADVICE = "expected a value without credentials, which belong in the environment (AWS_PROFILE, ~/.aws), found some"
_BEGIN = r"(?:^|(?<=[\s\"'`(\[{<=,;|]))"
# A host after `user:password@`: a name with dots, an address, or a name before a path or a port; `x:y@0.5` is a dose.
_HOST = (
    r"(?:(?=[^\s/:@.]*[A-Za-z]|[^\s/:@]+\.[A-Za-z])[^\s/:@.]{1,63}(?:\.[^\s/:@.]{1,63}){1,8}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}|"
    r"[A-Za-z][A-Za-z0-9_-]{0,62}(?=:(?:[/~\\]|[0-9]{2,5}(?![0-9]))))"
)
# Words before an address of e-mail, as `Contact:anna@example.org`.
_MAIL = r"(?i:mailto|(?:e-?)?mail|contact|kontakt|author):[^\s:@/]+@[^\s:@/]+(?![^\s,;)])"
# A name and a password before the host; a password may hold slashes, which a port does not.
USER = re.compile(
    rf"{_BEGIN}//[^\s/?#@:]{{1,256}}:[^\s@?#]{{0,1024}}@|"
    r"(?<=://)(?!\*\*\*@)(?:[^\s/?#]{0,1024}@|[^\s/?#@:]{1,256}:(?!\d+(?:[/\s]|$))[^\s@?#]{0,1024}@)|"
    rf"(?<=:/)(?!/)[^\s/?#@:]{{1,256}}:[^\s@?#/]{{1,1024}}@|{_BEGIN}(?!{_MAIL})[^\s/:@,;\"'`(){{}}<>|=\[\]]{{1,64}}:[^\s/]{{1,128}}?@(?={_HOST}(?![^\s/:,;)\]}}\"'>|]))"
)
# Where a word begins: after no letter and digit, at a capital letter, or where nothing but a password can be named.
_START = r"(?:(?<![A-Za-z0-9])|(?-i:(?<=[a-z])(?=[A-Z]))|(?=passwor[dt]|passwd|passphrase))"
# Names of keys, passwords and tokens, however their words are joined.
_NAMES = (
    r"(?:(?:account|access|shared|private|secret|subscription|master|encryption|api|service|storage(?! key))[-_ ]?"
    r"(?:access[-_ ]?)?key(?:[-_ ]?id)?|(?:client|app|user|db)?[-_ ]?secret|shared[-_ ]?access[-_ ]?signature|"
    r"sas[-_ ]?(?:token|key)|google[-_]?access[-_]?id|(?:access|auth|bearer|refresh|session|id|api|personal|security)"
    r"[-_ ]?token|"
    r"token(?!s?[\"']?\s*[=:]\s*[\"']?(?-i:[a-z]+|[0-9]{1,6})(?![^\s,;.\"')\]]))|"  # `token: blue` is none
    r"pass(?:wor[dt]|wd|phrase|code)|pwd|pswd|kennwort|contrase[n\u00f1]a|senha|mot[-_ ]de[-_ ]passe|"
    r"wachtwoord|adgangskode|l[o\u00f6]senord|has[l\u0142]o|\u043f\u0430\u0440\u043e\u043b\u044c|\u5bc6[\u7801\u78bc]|"
    r"\u30d1\u30b9\u30ef\u30fc\u30c9|authorization)"
)
# A value after `=` or `:` that is no part of a regular expression or of a wildcard.
_VALUE = r"[\"']?\s*(?:[=\uff1d\uff1a]|:(?!/))\s*[\"']?(?=[^\s\"'\[\](){}|*\\?&;,<])"
# A value, to the end of its quotes or word.
_TEXT = r"(?:(?<=\")[^\"]+|(?<=')[^']+|[^\s\"',;&<>]*[^\s\"',;&<>:.)\]}])"
_STATED = re.compile(rf"({_START}{_NAMES}{_VALUE}){_TEXT}", re.IGNORECASE)
# Short names, which results of tests have too: `pass: 3`, `pass = yes`.
_SHORT = re.compile(
    rf"({_START}(?:pass|pw|passwd|cred(?:ential)?s?)[\"']?(?:\s?=\s?|:(?=\S)(?!/))[\"']?)"
    rf"(?!(?:[0-9.]{{1,6}}|yes|no|true|false|none|ok|na|fail\w*|passed)\b)(?=[^\s\"'\[\](){{}}|*\\?&;,<]){_TEXT}",
    re.IGNORECASE,
)
# Signatures of URLs and of policies, which are long; a column may be called so.
_SIGNED = re.compile(
    r"((?<![A-Za-z0-9])(?:sig|signature|credential)=)[A-Za-z0-9%+/_.~=-]{8,}|"
    r"([?&](?:key|code|auth|jwt|access|ticket|session|sid|otp)=)[A-Za-z0-9%+/_.~=-]{16,}|([?&]token=)[A-Za-z0-9%+/_.~=-]+",
    re.IGNORECASE,
)
# Base64 has a digit or a capital letter inside, `Basic fibroblast growth factor` has none.
_BEARER = re.compile(
    r"(\b(?:bearer|basic)\s+)(?=[A-Za-z0-9+/_.=-]*(?:[0-9]|(?-i:[a-z][A-Z])))[A-Za-z0-9+/_.=-]{8,}", re.IGNORECASE
)
# Options of commands, as `--password secret`.
_OPTION = re.compile(
    rf"((?<![A-Za-z0-9-])--?{_NAMES}\s+)[^\s*-][^\s]*|(\bcurl\s(?:[^|\n]*\s)?(?:-u|--user)[\s=]+)(?!\*)[^\s:]+:\S+",
    re.IGNORECASE,
)
# Tokens by their form: private keys, JSON web tokens, keys of Amazon, Google, GitHub, GitLab, Slack, Hugging Face, ...
_TOKEN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY[^\n]*|"
    r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b|"
    r"\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{10,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|"
    r"\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|"
    r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==|\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]*|\bdop_v1_[a-f0-9]{32,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}"
)
# Keys of a mapping whose value is a credential, as `secret_key: ...` in a section of the config.
_KEY = re.compile(rf"{_START}(?:{_NAMES}|pass|pw)$", re.IGNORECASE)
_HEADER = re.compile(
    r"(\bauthorization[\"']?\s*[:=]\s*[\"']?)(?![\s*])(?:[a-z]+\s+)?[^\s\"',;*][^\s\"',;]*", re.IGNORECASE
)
_FORMS = (_HEADER, _BEARER, USER, _STATED, _SHORT, _SIGNED, _OPTION, _TOKEN)
# A text without any of these has no credentials.
_SIGNS = re.compile(r"[=:@\uff1d\uff1a]|--?[a-z]|\b(?:bearer|basic)\s|[^\s]{16}", re.IGNORECASE)
MASK = "***"


def found_in(text: object) -> bool:
    """Return whether a text has credentials.

    Examples
    --------
    >>> found_in("https://minio.example.org:9000"), found_in("https://key:secret@minio.example.org")
    (False, True)
    >>> found_in("AccountName=screens;AccountKey=c2VjcmV0")
    True
    """
    return isinstance(text, str) and _SIGNS.search(text) is not None and any(form.search(text) for form in _FORMS)


def redacted(text: str) -> str:
    """Return a text with `***` in the place of each credential.

    Examples
    --------
    >>> redacted("https://key:secret@minio.example.org: 403; password=x1, user=me")
    'https://***@minio.example.org: 403; password=***, user=me'
    >>> redacted("smb user:pw@host:/path?token=abcdef")
    'smb ***@host:/path?token=***'
    """
    if not found_in(text):
        return text
    lines = text.split("\n")
    return "\n".join(_masked(line) if found_in(line) else line for line in lines)


def _masked(line: str) -> str:
    for form in _FORMS:
        line = form.sub(_mask, line)
    return f"({MASK}: a line with credentials)" if found_in(line) else line


def _mask(match: re.Match[str]) -> str:
    kept = next(filter(None, match.groups()), "") if match.re.groups else ""
    return f"{kept}{MASK}{'@' if match[0].endswith('@') else ''}"


def masking(stream: TextIO) -> TextIO:
    """Return a text stream that writes to another one without credentials."""
    return cast(TextIO, _Masking(stream))


class _Masking:
    """A text stream that writes to another one without credentials; all else is the other's.

    A line is written when it ends, or by `flush`: `print` writes each of its arguments alone, and a credential is known
    by what stands before it.
    """

    def __init__(self, stream: TextIO) -> None:
        """Wrap a stream."""
        self._stream, self._held = stream, ""
        atexit.register(self.flush)

    def write(self, text: str) -> int:
        """Write the lines that end without credentials, and hold the last one; return the length of the text."""
        self._held += text
        end = max(self._held.rfind("\n"), self._held.rfind("\r")) + 1
        if end:
            self._stream.write(redacted(self._held[:end]))
            self._held = self._held[end:]
        return len(text)

    def flush(self) -> None:
        """Write what is held."""
        if not self._stream.closed:
            self._stream.write(redacted(self._held))
            self._held = ""
            self._stream.flush()

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts without credentials."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the other stream."""
        return getattr(self._stream, name)


def check_lines(lines: Iterable[tuple[int, Sequence[str]]], where: str) -> None:
    """Refuse cells with credentials of a table, given as its lines with their numbers; the message repeats no cell.

    Raises
    ------
    ValueError
        Names the table and the lines.
    """
    seen: dict[str, bool] = {}
    found = [line for line, cells in lines if any(seen[cell] if cell in seen else _seen(cell, seen) for cell in cells)]
    if found:
        raise ValueError(f"{where}: line {', '.join(map(str, found[:10]))}: {ADVICE}")


def _seen(cell: str, seen: dict[str, bool]) -> bool:
    seen[cell] = found_in(cell)
    return seen[cell]


def without(value: object) -> object:
    """Return nested mappings and lists without the texts that :func:`problems` finds."""
    if isinstance(value, Mapping):
        parts = {key: part for key, part in value.items() if not found_in(key) and not _names_credential(key, part)}
        return {key: without(part) for key, part in parts.items() if not found_in(part)}
    if isinstance(value, list | tuple):
        return [without(part) for part in value if not found_in(part)]
    return value


def _names_credential(key: object, value: object) -> bool:
    """Return whether a key of a mapping names a credential and has a text as value."""
    return isinstance(key, str) and isinstance(value, str) and value != "" and _KEY.search(key) is not None


def problems(value: object, where: str = "") -> Iterator[str]:
    """Yield the place of each text with credentials in nested mappings and lists; a message never repeats the text.

    Parameters
    ----------
    value
        Data as YAML holds it.
    where
        Key of `value`, for the messages.
    """
    if isinstance(value, Mapping):
        for key, part in value.items():
            if found_in(key):
                yield f"{where or 'top level'}: a key: {ADVICE}"
            elif _names_credential(key, part):
                yield f"{f'{where}.{key}' if where else key}: {ADVICE}"
            else:
                yield from problems(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from problems(part, f"{where}[{number}]")
    elif found_in(value):
        yield f"{where}: {ADVICE}"
