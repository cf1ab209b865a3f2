"""Files of trained weights: downloaded once on a machine with network access, and verified before they are loaded.

`fetch` downloads a URL and returns its sha256; `lines` returns the lines of the config for it. `check` compares a file
with the sha256 that the config states.
"""

import logging
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping
from http.client import HTTPMessage
from pathlib import Path
from typing import IO

from wellspring.io.packaged import located
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
    """Return the path of the weights that the config names under `key`, after comparing their sha256.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The sha256 differs, or the path is relative.
    """
    path = present(path, key=key)
    found = file_digest(path)
    if found != sha256.lower():
        raise ValueError(
            f"{path}: expected sha256 {sha256} ({key}), found {found}: the file is truncated or another one. Download "
            "it again, or correct the sha256 in the config"
        )
    return path


def named(weights: Mapping[str, Mapping[str, str | None]], *, key: str) -> list[Path]:
    """Return the files that the config names (kind to path and sha256); the nuclei need one.

    Raises
    ------
    ValueError
        No file is named for nuclei, or a path is relative.
    FileNotFoundError
        A file is missing.
    """
    if weights["nuclei"]["path"] is None:
        advice = "`snakemake weights`, on a machine with network access, downloads Cellpose-SAM and prints these lines"
        raise ValueError(f"{key}.nuclei: expected path and sha256 for cells.method cellpose, found none; {advice}")
    return [present(each["path"], key=f"{key}.{kind}") for kind, each in weights.items() if each["path"] is not None]


def present(path: str | Path, *, key: str) -> Path:
    """Return the path, if it is absolute and the file exists, or the file of an installed package."""
    path = located(path, key=key)
    if not path.is_absolute():
        raise ValueError(f"{key}: expected an absolute path, found {path}")
    if not path.is_file():
        raise FileNotFoundError(
            f"{key}: expected a file of weights, found none at {path} (Cellpose's: `snakemake weights`, on a machine "
            "with network access, downloads them and prints the lines of the config)"
        )
    return path


def fetch(url: str, path: str | Path, *, wait: float = 60) -> str:
    """Download `url` to `path` and return its sha256; the file appears only when it is complete.

    The length is verified and, where the server states it, the sha256 (header `X-Linked-ETag` of the Hugging Face Hub,
    sent with the redirection).

    Parameters
    ----------
    url, path
        Source and target.
    wait
        Seconds to wait for an answer.

    Raises
    ------
    ConnectionError
        No answer, an error status, or a truncated file.
    ValueError
        The sha256 differs from the server's.
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
            raise ConnectionError(
                f"{url}: the download failed: {error}. Run it on a machine with network access, often a login node"
            ) from error
        found = temporary.stat().st_size
        if length is not None and found != int(length):
            raise ConnectionError(
                f"{url}: expected {length} bytes, found {found}: the download is truncated, try again"
            )
        digest = file_digest(temporary)
        if stated.digest not in (None, digest):
            raise ValueError(f"{url}: expected the server's sha256 {stated.digest}, found {digest}")
    source = "equal to the server's" if stated.digest else "the server does not state one"
    logger.info("%s: %d bytes, sha256 %s (%s)", url, found, digest, source)
    return digest


def lines(path: str | Path, digest: str) -> str:
    """Return the lines of the config for the weights at `path`, for nuclei and cells."""
    return f"# {LICENCE}.\n" + LINES.format(path=Path(path).resolve(), digest=digest)


class _Stated(urllib.request.HTTPRedirectHandler):
    """Follows redirections and keeps the sha256 that any response on the way states."""

    digest: str | None = None

    def note(self, headers: HTTPMessage) -> None:
        value = (headers.get("X-Linked-ETag") or "").strip('"').lower()
        if len(value) == 64:
            self.digest = value

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        self.note(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
