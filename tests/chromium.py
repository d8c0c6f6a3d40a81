"""A page in headless Chromium, driven over its debugging pipe: no port, and no package for it."""

import base64
import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)
START = """import os, sys
os.dup2(int(sys.argv[1]), 3), os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""  # Chromium reads commands from 3 and writes answers to 4
KEYS = {  # code and text
    "Tab": (9, ""),
    "Enter": (13, "\r"),
    "Space": (32, " "),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}
SECONDS = 60  # that a busy machine may take to answer


class Page:
    """A page that was opened; it knows what went wrong and what it asked for.

    errors: exceptions, and errors of its console. requests: URLs, the page's first.
    """

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write = read, write
        self._number, self._rest, self._session = 0, b"", None
        self.errors: list[str] = []
        self.requests: list[str] = []

    def _message(self) -> dict:
        while b"\0" not in self._rest:
            received = os.read(self._read, 1 << 20)
            if not received:
                raise RuntimeError("Chromium ended")
            self._rest += received
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def call(self, method: str, **parameters: object) -> dict:
        """The answer of one command of the DevTools protocol."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        while True:
            message = self._message()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]
            self._note(message.get("method"), message.get("params"))

    def _note(self, event: str, content: dict) -> None:
        if event == "Runtime.exceptionThrown":
            self.errors.append(content["exceptionDetails"].get("exception", {}).get("description"))
        elif event == "Runtime.consoleAPICalled" and content["type"] in ("error", "assert"):
            self.errors.append(str(content["args"]))
        elif event == "Log.entryAdded" and content["entry"]["level"] == "error":
            self.errors.append(content["entry"]["text"])
        elif event == "Network.requestWillBeSent":
            url = content["request"]["url"]
            if not url.startswith("data:"):
                self.requests.append(url)

    def open(self, url: str, width: int = 1200, height: int = 900) -> None:
        """Open a page in a window of that size, in CSS pixels."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        found = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = found["sessionId"]
        for domain in ("Runtime", "Log", "Network", "Page"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        self.call("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> object:
        """The value of a JavaScript expression; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        end = time.monotonic() + SECONDS
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}; errors: {self.errors}")
            time.sleep(0.02)

    def mouse(self, kind: str, x: float, y: float) -> None:
        """Dispatch mouseMoved, mousePressed or mouseReleased at a point of the window."""
        button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def click(self, x: float, y: float) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.mouse(kind, x, y)

    def key(self, name: str, modifiers: int = 0) -> None:
        """Press a key, one of KEYS; modifiers: 8 for Shift."""
        code, text = KEYS[name]
        given = {"key": text or name, "code": name, "windowsVirtualKeyCode": code}
        given["modifiers"] = modifiers
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", **down, **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", **given)


@contextlib.contextmanager
def chromium():
    """A headless Chromium with one :class:`Page`, without a network."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
    options += ["--no-first-run", "--disable-background-networking", "--disable-dev-shm-usage"]
    to_browser, from_browser = os.pipe(), os.pipe()
    # Away from 3 and 4, so that neither is overwritten before it is copied there.
    given = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser[0], from_browser[1])]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [BROWSER, *options, f"--user-data-dir={profile}"]
        process = subprocess.Popen(
            [sys.executable, "-c", START, *map(str, given), *command],
            pass_fds=given,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": profile},
        )
        for end in (*given, to_browser[0], from_browser[1]):
            os.close(end)
        try:
            yield Page(from_browser[0], to_browser[1])
        finally:
            process.terminate()
            process.wait(SECONDS)
            os.close(from_browser[0])
            os.close(to_browser[1])


@contextlib.contextmanager
def opened(path: Path, width: int):
    """A file in a window of that width, once all of it is there; skipped without Chromium."""
    if BROWSER is None:
        pytest.skip("Chromium is not installed: the page is not opened")
    with chromium() as page:
        page.open(path.resolve(strict=True).as_uri(), width)
        page.wait("document.readyState === 'complete'")
        page.wait("[...document.images].every(image => image.complete)")
        yield page


def screenshot(page: Page, path: Path) -> None:
    """Write what the window shows as a PNG file."""
    path.write_bytes(base64.b64decode(page.call("Page.captureScreenshot")["data"]))
