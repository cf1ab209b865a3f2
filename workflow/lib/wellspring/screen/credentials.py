"""Find credentials in the user's input: a user in a URL, a key or signature in its query.

Snakemake keeps the config in clear, and tables keep the sheet's cells. Credentials belong in the environment or in the
user's own files (`AWS_PROFILE`, `~/.aws`).
"""

import re
from collections.abc import Iterator, Mapping

ADVICE = "expected a URL without credentials, which belong in the environment (AWS_PROFILE, ~/.aws), found some"
# A name and a password before the host; a password may hold slashes, which a port does not.
USER = re.compile(r"://(?:[^/?#]*@|[^/?#@:]+:(?!\d+(?:/|$))[^@?#]*@)")
# What signed URLs of Amazon, Google and Azure carry, and usual names of keys.
QUERY = re.compile(
    r"://[^#]*[?&;](?:x-(?:amz|goog)-(?:signature|credential|security-token)|awsaccesskeyid|googleaccessid|signature|sig|"
    r"access_?key(?:_?id)?|secret(?:_?(?:access_?)?key)?|(?:access_?|auth_?)?token|api_?key|password|passwd|pwd)=",
    re.IGNORECASE,
)


def found_in(text: object) -> bool:
    """Return whether a text has a URL with credentials.

    Examples
    --------
    >>> found_in("https://minio.example.org:9000"), found_in("https://key:secret@minio.example.org")
    (False, True)
    """
    return isinstance(text, str) and (USER.search(text) is not None or QUERY.search(text) is not None)


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
            else:
                yield from problems(part, f"{where}.{key}" if where else str(key))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from problems(part, f"{where}[{number}]")
    elif found_in(value):
        yield f"{where}: {ADVICE}"
