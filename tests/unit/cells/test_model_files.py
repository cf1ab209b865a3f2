"""Weights: fetched whole or not at all, from a server on this machine; checked before they are used."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml

from wellspring.cells import model_files
from wellspring.screen import config

CONTENT = bytes(range(256)) * 50
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """Answer as a hub does: a redirection that states the digest, then the file."""

    def do_GET(self):
        if self.path.startswith("/resolve"):
            self.send_response(302)
            self.send_header("Location", "/file")
            self.send_header("X-Linked-ETag", f'"{"0" * 64 if "wrong" in self.path else DIGEST}"')
            self.end_headers()
        elif self.path in ("/file", "/short"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[: 1000 if self.path == "/short" else None])
        else:
            self.send_error(404)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("path", ["/resolve/main/cpsam_v2", "/file"])
def test_a_file_is_fetched_through_redirections(hub, tmp_path, path):
    assert model_files.fetch(hub + path, tmp_path / "a" / "cellpose") == DIGEST
    assert (tmp_path / "a" / "cellpose").read_bytes() == CONTENT
    assert model_files.check(tmp_path / "a" / "cellpose", DIGEST.upper(), key="k") == tmp_path / "a" / "cellpose"


def test_a_local_url(tmp_path):
    (tmp_path / "cpsam_v2").write_bytes(CONTENT)
    assert model_files.fetch((tmp_path / "cpsam_v2").as_uri(), tmp_path / "cellpose") == DIGEST


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("/short", ConnectionError, f"expected {len(CONTENT)} bytes, found 1000: the download is truncated"),
        ("/nothing", ConnectionError, "/nothing: the download failed: .*404"),
        ("/resolve/wrong", ValueError, "expected the server's sha256 0000.*, found"),
    ],
)
def test_nothing_is_left_of_what_did_not_come_whole(hub, tmp_path, path, error, message):
    with pytest.raises(error, match=message):
        model_files.fetch(hub + path, tmp_path / "cellpose")
    assert list(tmp_path.iterdir()) == []


def test_no_network(tmp_path):
    with pytest.raises(ConnectionError, match="the download failed: .* Run it on a machine with network access"):
        model_files.fetch("http://127.0.0.1:9/cpsam_v2", tmp_path / "cellpose")


def test_the_lines_are_a_config_that_names_the_file(tmp_path):
    text = model_files.lines(tmp_path / "cellpose", DIGEST)
    assert text.startswith("#") and "CC BY-NC" in text
    complete = config.resolve({"channels": ["DNA"], "encoders": {"a": {"kind": "simclr"}}, **yaml.safe_load(text)})
    assert complete["cells"]["cellpose"]["weights"]["nuclei"] == {"path": str(tmp_path / "cellpose"), "sha256": DIGEST}
    (tmp_path / "cellpose").write_bytes(CONTENT)
    named = model_files.named(complete["cells"]["cellpose"]["weights"], key="w")
    assert named == [tmp_path / "cellpose"]


def test_weights_that_are_not_named_whole():
    base = {"channels": ["DNA"], "encoders": {"a": {"kind": "simclr"}}}
    for nuclei, message in (
        ({"path": "/w/cpsam"}, "nuclei: expected both path and sha256 or neither"),
        ({"path": "cpsam_v2", "sha256": DIGEST}, "nuclei.path: expected an absolute path, found 'cpsam_v2'"),
    ):
        with pytest.raises(ValueError, match=message):
            config.resolve({**base, "cells": {"cellpose": {"weights": {"nuclei": nuclei}}}})
    nothing = config.resolve({**base, "cells": {"method": "cellpose"}})["cells"]["cellpose"]["weights"]
    with pytest.raises(ValueError, match="w.nuclei: expected path and sha256 .* `snakemake weights`"):
        model_files.named(nothing, key="w")
