"""A real Chromium without a window, driven over a pair of pipes by its DevTools protocol.

    with Chromium(folder) as browser:
        page = browser.open(url, width=360, height=800, scheme="dark")
        page.evaluate("document.title")
        page.picture(whole=True)    # a PNG

Unlike `--window-size`, which stops at 500 pixels, this gives any width, and either colour scheme.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--font-render-hinting=none",
    "--remote-debugging-pipe",
)
TIMEOUT_S = 60.0


def find_chromium() -> str | None:
    """The browser's path, None where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


class Chromium:
    """The browser's process group, which ends with the block; `folder` holds its profile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._held = b""
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        path = find_chromium()
        if path is None:
            raise FileNotFoundError("no Chromium found (Debian package chromium)")
        near_in, self._to = os.pipe()
        self._from, near_out = os.pipe()
        # Out of the way of 3 and 4, which the protocol uses.
        theirs_in, theirs_out = (fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (near_in, near_out))
        command = [path, *FLAGS, f"--user-data-dir={self._folder}/profile", "about:blank"]
        shell = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out} {theirs_in}<&- {theirs_out}>&-'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for fd in (near_in, near_out, theirs_in, theirs_out):
            os.close(fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, url: str, *, width: int, height: int, scheme: str = "light", media: str = "") -> Page:
        """A loaded page of that size in CSS pixels; `scheme` is light or dark, `media` may be print."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        page.call("Page.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        page.call(
            "Emulation.setEmulatedMedia",
            media=media,
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        page.call("Page.navigate", url=url)
        self._wait(lambda told: told.get("method") == "Page.loadEventFired" and told["sessionId"] == session)
        return page

    def call(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """Ask the browser for something, and give its answer."""
        self._number += 1
        number = self._number
        asked = {"id": number, "method": method, "params": parameters}
        if session:
            asked["sessionId"] = session
        os.write(self._to, json.dumps(asked).encode() + b"\0")
        answer = self._wait(lambda told: told.get("id") == number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _wait(self, wanted: Any) -> dict[str, Any]:
        """The first message that is wanted, those that came in the meantime included."""
        deadline_s = time.monotonic() + TIMEOUT_S
        while True:
            for message in self._events:
                if wanted(message):
                    self._events.remove(message)
                    return message
            self._events += self._read(deadline_s - time.monotonic())

    def _read(self, wait_s: float) -> list[dict[str, Any]]:
        ready, _, _ = select.select([self._from], [], [], max(0.0, wait_s))
        chunk = os.read(self._from, 1 << 20) if ready else b""
        if not chunk:
            raise TimeoutError("Chromium does not answer")
        *whole, self._held = (self._held + chunk).split(b"\0")
        return [json.loads(message) for message in whole]


class Page:
    """One page; its policy for scripts does not bind what is evaluated from outside."""

    def __init__(self, browser: Chromium, session: str, target: str) -> None:
        self._browser = browser
        self._session = session
        self._target = target

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask the page for something."""
        return self._browser.call(method, self._session, **parameters)

    def evaluate(self, script: str) -> Any:
        """What an expression in JavaScript comes to, as JSON has it."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what the window shows, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def paper(self) -> bytes:
        """The page as it is printed, in PDF."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=False)["data"])

    def close(self) -> None:
        """Close the page."""
        self._browser.call("Target.closeTarget", targetId=self._target)
