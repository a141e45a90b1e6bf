"""A headless Chromium that pages are opened in, driven through a pipe: it listens on no port and needs no package."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Names under which distributions have it.
NAMES = ("chromium", "chromium-browser", "google-chrome")

#: What the browser is told: nothing of it leaves this machine, and tests run as root in containers.
_SWITCHES = (
    "--headless=new --remote-debugging-pipe --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run "
    "--disable-background-networking --disable-component-update --disable-extensions --disable-sync --hide-scrollbars"
)

#: Events that say that a page did what it should not: errors on its console, and requests beside that of the page.
_ERRORS = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")


def chromium() -> str | None:
    """Return where Chromium is; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass
class Opened:
    """A page in the browser.

    Attributes
    ----------
    errors
        What stood on its console, errors of its policy included.
    requests
        The addresses that it asked for.
    """

    browser: Browser
    session: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the browser on this page."""
        return self.browser.call(method, self.session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def picture(self, file: Path, height: int | None = None) -> None:
        """Write the whole page, or its first ``height`` pixels, as a PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self, file: Path) -> None:
        """Write the page as it is printed."""
        printed = self.call("Page.printToPDF", printBackground=False, preferCSSPageSize=True)
        file.write_bytes(base64.b64decode(printed["data"]))


class Browser:
    """A running Chromium; see `browser`."""

    def __init__(self, sent: int, received: int) -> None:
        self._sent, self._received = sent, os.fdopen(received, "rb")
        self._calls = 0
        self._pages: dict[str, Opened] = {}

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Call a method, and take in what the browser tells until it answers."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        data = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while data:
            data = data[os.write(self._sent, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == self._calls:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def _next(self) -> dict[str, Any]:
        letters = bytearray()
        while (letter := self._received.read(1)) != b"\0":
            assert letter, "the browser has ended"
            letters += letter
        message: dict[str, Any] = json.loads(letters)
        page = self._pages.get(message.get("sessionId", ""))
        if page is not None and message.get("method") in _ERRORS:
            page.errors.append(json.dumps(message["params"]))
        if page is not None and message.get("method") == "Network.requestWillBeSent":
            page.requests.append(message["params"]["request"]["url"])
        return message

    def open(self, file: Path, width: int = 1280, height: int = 900, dark: bool = False) -> Opened:
        """Open a file in a window of this width; return when all of it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Opened(self, session)
        for domain in ("Page", "Network", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        mobile = width < 600
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Page.navigate", url=file.resolve().as_uri())
        while self._next().get("method") != "Page.loadEventFired":
            pass
        return page


#: Becomes another program whose descriptors 3 and 4, which --remote-debugging-pipe uses, are those named; a fork that
#: places them itself is not safe where this process has threads.
_PLACED = "import os, sys; a = sys.argv; os.dup2(int(a[1]), 3); os.dup2(int(a[2]), 4); os.execv(a[3], a[3:])"


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run Chromium, with its own data in a folder."""
    program = chromium()
    assert program, "there is no Chromium"
    to_browser, from_browser = os.pipe(), os.pipe()
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser[0], from_browser[1])]
    for end in (to_browser[0], from_browser[1]):
        os.close(end)

    process = subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-c",
            _PLACED,
            *map(str, ends),
            program,
            *_SWITCHES.split(),
            f"--user-data-dir={folder}",
        ],
        pass_fds=ends,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    for end in ends:
        os.close(end)
    running = Browser(to_browser[1], from_browser[0])
    try:
        yield running
        running.call("Browser.close")
    finally:
        process.kill()
        process.wait()
        os.close(to_browser[1])
        running._received.close()
