"""A headless Chromium that a test drives: keys, pointer, screen sizes, and the errors of the page.

It uses the DevTools protocol over one socket. `start` skips the test where there is no Chromium or no aiohttp.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless_shell")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-port=0")
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
PATIENCE = 30  # seconds for an answer


class Browser:
    """One tab; `complaints` are console errors, uncaught errors and requests that left the file."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: object) -> None:
        self.loop, self.socket, self.number = loop, socket, 0
        self.complaints: list[str] = []
        self.events: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: object) -> dict:
        """Return the answer to one command; events in the meantime are recorded."""
        self.number += 1
        return self.loop.run_until_complete(self._call(self.number, method, parameters))

    async def _call(self, number: int, method: str, parameters: dict) -> dict:
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = await asyncio.wait_for(self.socket.receive_json(), PATIENCE)
            if message.get("id") == number:
                assert "error" not in message, (method, message["error"])
                return message["result"]
            self._note(message)

    def _note(self, message: dict) -> None:
        method, given = message.get("method", ""), message.get("params", {})
        self.events.append(method)
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(given["exceptionDetails"])[:500])
        elif method == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(given["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "assert"):
            self.complaints.append(json.dumps(given["args"])[:500])
        elif method == "Network.requestWillBeSent" and not given["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"request of {given['request']['url']}")

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, phone: bool = False
    ) -> None:
        """Load a file anew on a screen of a size and wait until it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.media(dark=dark)
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + PATIENCE
        while "Page.loadEventFired" not in self.events:
            assert time.monotonic() < deadline, f"{path}: expected to load, found it still loading"
            self.run("0")

    def media(self, *, dark: bool = False, paper: bool = False) -> None:
        """Choose the colour scheme, and screen or paper."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", media="print" if paper else "screen", features=scheme)

    def run(self, program: str) -> object:
        """Return the value of a JavaScript expression, a promise's when it is there."""
        found = self.call("Runtime.evaluate", expression=program, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, (program, found["exceptionDetails"])
        return found["result"].get("value")

    def wait(self, program: str) -> object:
        """Return the value of an expression once it is true."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(program)):
            assert time.monotonic() < deadline, f"{program}: expected it to become true, found {value!r}"
            time.sleep(0.02)
        return value

    def key(self, name: str) -> None:
        """Press and release a key."""
        typed = {"text": "\r"} if name == "Enter" else {}  # without a text, Enter presses no button
        for kind in ("keyDown" if typed else "rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name], **typed
            )

    def point(self, x: float, y: float, *, click: bool = False) -> None:
        """Move the pointer there, and click."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased") if click else ():
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def box(self, selector: str) -> list[float]:
        """Bring an element into view, wait until the page is stable, and return its left, top, width, height."""
        element = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{element}.scrollIntoView({{block: 'center'}})")
        self.rest()
        return self.run(
            f"(({{left, top, width, height}}) => [left, top, width, height])({element}.getBoundingClientRect())"
        )

    def rest(self) -> None:
        """Wait for two frames, in which handlers of a scroll run."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(0))))")

    def focus(self, selector: str) -> None:
        """Focus an element and wait until the page is stable."""
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        self.rest()

    def middle(self, selector: str, *, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """Bring an element into view; return a place in it, by default its middle."""
        box = self.box(selector)
        return box[0] + x * box[2], box[1] + y * box[3]

    def click(self, selector: str) -> None:
        """Click the middle of an element."""
        self.point(*self.middle(selector), click=True)

    def type(self, selector: str, text: str) -> None:
        """Replace the text of a field, as if typed."""
        self.run(f"document.querySelector({json.dumps(selector)}).select()")
        self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            program = "(e) => { e.value = ''; e.dispatchEvent(new Event('input', {bubbles: true})); }"
            self.run(f"({program})(document.querySelector({json.dumps(selector)}))")

    def choose(self, selector: str, value: str) -> None:
        """Choose an option of a list."""
        program = "(e, v) => { e.value = v; e.dispatchEvent(new Event('change', {bubbles: true})); return e.value; }"
        assert self.run(f"({program})(document.querySelector({json.dumps(selector)}), {json.dumps(value)})") == value

    def tip(self) -> str:
        """Return the text of the tip, empty while it is hidden."""
        return str(
            self.run("document.querySelector('#tip').hidden ? '' : document.querySelector('#tip-text').textContent")
        )


@contextlib.contextmanager
def start(folder: Path) -> Iterator[Browser]:
    """Yield a browser with a profile of its own under `folder`."""
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no Chromium: none of {', '.join(NAMES)} is installed")
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp, which speaks to Chromium, is not installed")
    profile = folder / "profile"
    command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    loop = asyncio.new_event_loop()
    try:
        port = _port(profile / "DevToolsActivePort", process)
        session, socket = loop.run_until_complete(_connect(aiohttp, port))
        try:
            yield Browser(loop, socket)
        finally:
            loop.run_until_complete(session.close())
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        loop.close()


def _port(file: Path, process: subprocess.Popen) -> int:
    deadline = time.monotonic() + PATIENCE
    while not file.exists() or not file.read_text().strip():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"Chromium does not start here: exit status {process.poll()}")
        time.sleep(0.05)
    return int(file.read_text().split()[0])


async def _connect(aiohttp: object, port: int) -> tuple:
    session = aiohttp.ClientSession()
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [one for one in await answer.json() if one["type"] == "page"]
    return session, await session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0)
