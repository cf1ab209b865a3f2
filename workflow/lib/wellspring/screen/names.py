"""Names that become files and folders: the rules for the sheet's plates and light paths, and for batches on export.

Names in the config (encoders, channels, the gallery's project and source) have stricter patterns, each stated once, in
`workflow/schemas/config`.
"""

import re

LONGEST = 100  # characters; file systems take 255 bytes, and endings such as `.normalised.parquet` are added
# Endings of the outputs of a plate or an encoder: a plate named `P1.audit` would overwrite the audit of `P1`.
ENDINGS = (".audit", ".aggregated", ".normalised", ".consensus", ".features")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LABEL = re.compile(r"[^\W_](?:[\w .+()%-]*[\w+)%])?")


def check(name: str, *, what: str, where: str) -> None:
    """Refuse a name that cannot be a file name: `ValueError` with `where` (file and row, or key) and the remedy.

    Examples
    --------
    >>> check("BR00116991", what="plate", where="plates.tsv: line 2")
    >>> try:
    ...     check("../P1", what="plate", where="plates.tsv: line 2")
    ... except ValueError as error:
    ...     print(str(error)[-13:])
    found '../P1'
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        rule = "of letters, digits, '.', '_' and '-' that begins with a letter or digit and does not end in '.'"
        raise ValueError(f"{where}: expected a {what} {rule}, found {name!r}")
    _check_length(name, what, where)
    if name.lower().endswith(ENDINGS):
        raise ValueError(f"{where}: expected a {what} without the ending of an output {ENDINGS}, found {name!r}")


def check_label(name: str, *, what: str, where: str) -> None:
    """Refuse a label (batch) that cannot be part of a file name; spaces are allowed."""
    if not _LABEL.fullmatch(name):
        rule = "of letters, digits, spaces and '. _ + ( ) % -' that begins with a letter or digit"
        raise ValueError(f"{where}: expected a {what} {rule}, found {name!r}")
    _check_length(name, what, where)


def _check_length(name: str, what: str, where: str) -> None:
    if len(name) > LONGEST:
        raise ValueError(
            f"{where}: expected a {what} of at most {LONGEST} characters, found {len(name)}: {name[:40]!r}..."
        )
