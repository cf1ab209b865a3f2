"""A store on this machine that answers every request after a delay, and counts the requests that wait together."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Requests:
    """The requests of a store: how many, and how many at a time at most."""

    url: str = ""
    count: int = 0
    together: int = 0
    _now: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def one(self) -> Iterator[None]:
        with self._lock:
            self.count += 1
            self._now += 1
            self.together = max(self.together, self._now)
        try:
            yield
        finally:
            with self._lock:
                self._now -= 1


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments, delay: float, requests: Requests, **options) -> None:
        self.delay, self.requests = delay, requests
        super().__init__(*arguments, **options)

    def do_GET(self) -> None:
        with self.requests.one():
            time.sleep(self.delay)
        super().do_GET()  # a client that has the whole answer may ask again before this returns

    def do_HEAD(self) -> None:
        with self.requests.one():
            time.sleep(self.delay)
        super().do_HEAD()

    def log_message(self, *arguments: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


@contextmanager
def serve(folder: Path, *, delay: float = 0.05) -> Iterator[Requests]:
    """Serve the files of a folder under `url`, each after `delay` seconds."""
    requests = Requests()
    handler = partial(_Handler, directory=str(folder), delay=delay, requests=requests)
    with _Server(("127.0.0.1", 0), handler) as server:
        requests.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield requests
        finally:
            server.shutdown()
            thread.join()
