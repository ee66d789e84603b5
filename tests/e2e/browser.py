"""A real browser, headless, where the machine has one: Debian's chromium. `shown` is a document as it has loaded it;
`Browser` is one that is led from page to page, over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
SECONDS = 30

needed = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine (apt install chromium)")


def shown(page: Path, profile: Path) -> str:
    """The document as the browser has it after it has loaded a file."""
    command = [
        CHROMIUM or "",
        *FLAGS,
        "--virtual-time-budget=10000",
        f"--user-data-dir={profile}",
        "--dump-dom",
        page.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Browser:
    """A browser of its own profile. What it is told goes down one pipe as JSON, what it tells comes up another."""

    def __init__(self, profile: Path) -> None:
        down, self._down = os.pipe()
        self._up, up = os.pipe()
        command = [CHROMIUM or "", *FLAGS, "--remote-debugging-pipe", "--window-size=1300,900"]
        command += [f"--user-data-dir={profile}", "about:blank"]
        wired = ["bash", "-c", f'exec "$@" 3<&{down} 4>&{up}', "browser", *command]
        self._process = subprocess.Popen(
            wired, pass_fds=(down, up), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        os.close(down)
        os.close(up)
        self._read, self._number = b"", 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **parameters: Any) -> Any:
        """A command's result. What is told meanwhile is kept in `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._down, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (told := self._next()).get("id") != self._number:
            self.events.append(told)
        assert "error" not in told, (method, told["error"])
        return told["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._up], [], [], SECONDS)
            assert ready, f"the browser said nothing for {SECONDS} s"
            found = os.read(self._up, 1 << 16)
            assert found, "the browser has ended"
            self._read += found
        line, _, self._read = self._read.partition(b"\0")
        return json.loads(line)  # type: ignore[no-any-return]

    def open(self, url: str) -> Page:
        """A new tab."""
        page = Page(self, self.call("Target.createTarget", url="about:blank")["targetId"])
        page.go(url)
        return page

    def other(self, *known: Page) -> Page:
        """The tab that a page has opened."""
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            found = self.call("Target.getTargets")["targetInfos"]
            ours = {page.target for page in known}
            for one in found:
                if one["type"] == "page" and one["targetId"] not in ours and one["url"].startswith("http"):
                    return Page(self, one["targetId"])
            time.sleep(0.1)
        raise AssertionError("no page was opened")

    def end(self) -> None:
        """End it."""
        self.call("Browser.close")
        self._process.wait(SECONDS)
        os.close(self._down)
        os.close(self._up)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, target: str) -> None:
        self.browser, self.target = browser, target
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """A command for this tab."""
        return self.browser.call(method, self._session, **parameters)

    def go(self, url: str) -> None:
        """Open an address, and wait until its page has loaded."""
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    def ask(self, expression: str) -> Any:
        """What JavaScript says in the page. Raises LookupError while the page is being replaced."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise LookupError(told["exceptionDetails"].get("exception", told["exceptionDetails"]))
        return told["result"].get("value")

    def until(self, expression: str, seconds: float = SECONDS) -> None:
        """Wait until an expression is true."""
        deadline, said = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            try:
                if self.ask(f"Boolean({expression})"):
                    return
            except LookupError as early:
                said = early
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {expression} ({said}); {self.ask('document.body.innerText')}")

    def click(self, selector: str) -> None:
        """A person's click."""
        place = f"(r => [r.x + r.width / 2, r.y + r.height / 2])(document.querySelector({json.dumps(selector)})"
        x, y = self.ask(f"{place}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """Keep how the page looks, as PNG."""
        told = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(told["data"]))

    def wrongs(self) -> list[str]:
        """What went wrong in this tab so far: errors of scripts, what a policy forbade, answers of 400 and above."""
        mine = [told for told in self.browser.events if told.get("sessionId") == self._session]
        return [text for told in mine if (text := _wrong(told["method"], told["params"]))]


def _wrong(method: str, told: dict[str, Any]) -> str:
    if method == "Runtime.exceptionThrown":
        details = told["exceptionDetails"]
        return str(details.get("exception", {}).get("description") or details["text"])
    if method == "Log.entryAdded" and told["entry"]["level"] == "error":
        return f"{told['entry']['text']} {told['entry'].get('url', '')}"
    if method == "Network.responseReceived" and told["response"]["status"] >= 400:
        return f"{told['response']['status']} {told['response']['url']}"
    return ""


@contextmanager
def browsing(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the block."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.end()
