"""Find credentials in the user's input: in URLs, connection strings, settings of tools, and tokens known by their form.

Snakemake keeps the config in clear, and tables keep the sheet's cells. Credentials belong in the environment or in the
user's own files (`AWS_PROFILE`, `~/.aws`).
"""

import re
from collections.abc import Iterator, Mapping

ADVICE = "expected a value without credentials, which belong in the environment (AWS_PROFILE, ~/.aws), found some"
# A name and a password before the host; a password may hold slashes, which a port does not.
USER = re.compile(
    r"^//[^/?#@:]+:[^@?#]*@|://(?:[^/?#]*@|[^/?#@:]+:(?!\d+(?:/|$))[^@?#]*@)|"
    r"^(?!mailto:)[^/\s:@]+:[^/\s:@]+@[^/\s:@]+\.[^/\s@]+"
)
# Where a word begins: after no letter and digit, or at a capital letter.
_START = r"(?:(?<![A-Za-z0-9])|(?-i:(?<=[a-z])(?=[A-Z])))"
# Names of keys, passwords and tokens, however their words are joined.
_NAMES = (
    r"(?:(?:account|access|shared|private|secret|subscription|storage|master|encryption|api|service)[-_ ]?"
    r"(?:access[-_ ]?)?key(?:[-_ ]?id)?|(?:client|app|user|db)?[-_ ]?secret|shared[-_ ]?access[-_ ]?signature|"
    r"sas[-_ ]?(?:token|key)|google[-_]?access[-_]?id|(?:access|auth|bearer|refresh|session|id|api|personal|security)?"
    r"[-_ ]?token|pass(?:word|wd|phrase)|pwd|pswd|authorization)"
)
# A value after `=` or `:` that is no part of a regular expression or of a wildcard.
_VALUE = r"[\"']?\s*(?:=|:(?!/))\s*[\"']?(?=[^\s\"'\[\](){}|*\\?&;,<])"
_STATED = re.compile(rf"{_START}{_NAMES}{_VALUE}", re.IGNORECASE)
# Signatures of URLs and of policies, which are long; a column may be called so.
_SIGNED = re.compile(r"(?<![A-Za-z0-9])(?:sig|signature|credential)=[A-Za-z0-9%+/_.~=-]{8,}", re.IGNORECASE)
# Base64 has a digit or a capital letter inside, `Basic fibroblast growth factor` has none.
_BEARER = re.compile(
    r"\b(?:bearer|basic)\s+(?=[A-Za-z0-9+/_.=-]*(?:[0-9]|(?-i:[a-z][A-Z])))[A-Za-z0-9+/_.=-]{8,}", re.IGNORECASE
)
# Options of commands, as `--password secret`.
_OPTION = re.compile(rf"(?<![A-Za-z0-9-])--?{_NAMES}\s+[^\s-]", re.IGNORECASE)
# Tokens by their form: private keys, JSON web tokens, keys of Amazon, Google, GitHub, GitLab, Slack, Hugging Face, ...
_TOKEN = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|"
    r"\beyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.|\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b|"
    r"\bAIza[A-Za-z0-9_-]{30,}|\bya29\.[A-Za-z0-9_-]{10,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_[A-Za-z0-9_]{20,}|"
    r"\bglpat-[A-Za-z0-9_-]{16,}|\bxox[abprs]-[A-Za-z0-9-]{10,}|\bhf_[A-Za-z0-9]{20,}|\bsk-[A-Za-z0-9_-]{20,}|"
    r"[A-Za-z0-9+/]{86}==|\bSG\.[A-Za-z0-9_-]{16,}\.|\bdop_v1_[a-f0-9]{32,}|\bnpm_[A-Za-z0-9]{30,}|\bpypi-[A-Za-z0-9_-]{30,}"
)
# Keys of a mapping whose value is a credential, as `secret_key: ...` in a section of the config.
_KEY = re.compile(rf"{_START}{_NAMES}$", re.IGNORECASE)
_FORMS = (USER, _STATED, _SIGNED, _BEARER, _OPTION, _TOKEN)


def found_in(text: object) -> bool:
    """Return whether a text has credentials.

    Examples
    --------
    >>> found_in("https://minio.example.org:9000"), found_in("https://key:secret@minio.example.org")
    (False, True)
    >>> found_in("AccountName=screens;AccountKey=c2VjcmV0")
    True
    """
    return isinstance(text, str) and any(form.search(text) for form in _FORMS)


def without(value: object) -> object:
    """Return nested mappings and lists without the texts that :func:`problems` finds."""
    if isinstance(value, Mapping):
        parts = {key: part for key, part in value.items() if not found_in(key) and not _stated(key, part)}
        return {key: without(part) for key, part in parts.items() if not found_in(part)}
    if isinstance(value, list | tuple):
        return [without(part) for part in value if not found_in(part)]
    return value


def _stated(key: object, value: object) -> bool:
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
            elif _stated(key, part):
                yield f"{f'{where}.{key}' if where else key}: {ADVICE}"
            else:
                yield from problems(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from problems(part, f"{where}[{number}]")
    elif found_in(value):
        yield f"{where}: {ADVICE}"
