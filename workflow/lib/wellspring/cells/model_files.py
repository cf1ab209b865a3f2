"""Files of trained weights: fetched once where there is a network, and checked before anything loads them.

In flows a URL, out flows a file, its sha256 and the lines of the config that name it; or in flow the path and the
digest that the config states, and out flows the path of a file that is there and is the one that is meant.
"""

import logging
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import Message
from pathlib import Path
from typing import IO

from wellspring.io.provenance import file_digest
from wellspring.io.tables import atomic

logger = logging.getLogger(__name__)

LICENCE = (
    "Cellpose's code is BSD-3-Clause; its weights, Cellpose-SAM among them, were trained on images of which a part is "
    "licensed CC BY-NC: not for commercial use without asking their authors"
)
LINES = """\
cells:
  method: cellpose
  cellpose:
    weights:
      nuclei: {{path: {path}, sha256: {digest}}}
"""


def check(path: str | Path, sha256: str, *, key: str) -> Path:
    """Return the path of weights that the config names under `key`, when they are there and the ones that are meant.

    Raises
    ------
    FileNotFoundError, ValueError
        No file, or one of another content; both say what to do.
    """
    path = present(path, key=key)
    found = file_digest(path)
    if found != sha256.lower():
        raise ValueError(
            f"{path}: expected the sha256 {sha256} that {key} states, found {found}: the file was cut off or is "
            "another one. Fetch it anew, or state the digest of the file that you mean"
        )
    return path


def named(weights: Mapping[str, Mapping[str, str | None]], *, key: str) -> list[Path]:
    """Return the files that the config names: kind to path and sha256, at least those of nuclei."""
    if weights["nuclei"]["path"] is None:
        advice = "`snakemake weights`, on a machine with a network, fetches Cellpose-SAM and prints these lines"
        raise ValueError(f"{key}.nuclei: expected path and sha256 for cells.method cellpose, found none; {advice}")
    return [present(each["path"], key=f"{key}.{kind}") for kind, each in weights.items() if each["path"] is not None]


def present(path: str | Path, *, key: str) -> Path:
    """Return the path when it is absolute and there is a file."""
    path = Path(path)
    if not path.is_absolute():
        raise ValueError(f"{key}: expected an absolute path, found {path}")
    if not path.is_file():
        raise FileNotFoundError(
            f"{key}: expected a file of weights, found none at {path}. `snakemake weights`, on a machine with a "
            "network, fetches them and prints the lines that name them"
        )
    return path


def fetch(url: str, path: str | Path, *, wait: float = 60) -> str:
    """Download `url` to `path` and return its sha256; the file appears when it is whole.

    It is checked against the length and, where the server states one, the sha256 (the `X-Linked-ETag` of the Hugging
    Face hub, which comes with the redirection).

    Raises
    ------
    ConnectionError
        Nobody answers, a status that is an error, or a file cut off.
    ValueError
        Another sha256 than the server states.
    """
    stated = _Stated()
    opener = urllib.request.build_opener(stated)
    with atomic(path) as temporary:
        try:
            with opener.open(url, timeout=wait) as answer, temporary.open("wb") as stream:
                stated.note(answer.headers)
                shutil.copyfileobj(answer, stream, 2**20)
                length = answer.headers.get("Content-Length")
        except (urllib.error.URLError, TimeoutError) as error:
            raise ConnectionError(f"{url}: no weights came: {error}. Compute nodes often have no network") from error
        found = temporary.stat().st_size
        if length is not None and found != int(length):
            raise ConnectionError(f"{url}: expected {length} bytes, found {found}: cut off, try again")
        digest = file_digest(temporary)
        if stated.digest not in (None, digest):
            raise ValueError(f"{url}: expected the sha256 {stated.digest} that the server states, found {digest}")
    source = "the server states the same" if stated.digest else "the server states none to compare with"
    logger.info("%s: %d bytes, sha256 %s (%s)", url, found, digest, source)
    return digest


def lines(path: str | Path, digest: str) -> str:
    """Return the lines of the config that name the weights at `path` for nuclei and cells."""
    return f"# {LICENCE}.\n" + LINES.format(path=Path(path).resolve(), digest=digest)


class _Stated(urllib.request.HTTPRedirectHandler):
    """Follow redirections, and keep the sha256 that any answer on the way states."""

    digest: str | None = None

    def note(self, headers: Message) -> None:
        value = (headers.get("X-Linked-ETag") or "").strip('"').lower()
        if len(value) == 64:
            self.digest = value

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        self.note(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
