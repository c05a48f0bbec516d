"""The report in a real browser: no script error, no request, every figure drawn, nothing wider than the window."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from refine.report import write_report

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_WIDTHS = {1280: 800, 400: 850}
_PATIENCE = 90  # seconds, for a page on a busy machine


class Browser:
    """Chromium's DevTools protocol over a pair of pipes: JSON messages that end with a NUL, descriptors 3 and 4."""

    def __init__(self, program: str, profile: Path) -> None:
        command_out, self._commands = os.pipe()
        self._answers, answer_in = os.pipe()
        shell = f'exec "$@" 3<&{command_out} 4>&{answer_in}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(command_out, answer_in),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command_out)
        os.close(answer_in)
        self._buffer, self._serial, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its answer; events on the way are kept."""
        self._serial += 1
        message = {"id": self._serial, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._serial:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self.events.append(answer)

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            assert select.select([self._answers], [], [], _PATIENCE)[0], f"no answer in {_PATIENCE} s"
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives in the page."""
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, page: Path, width: int, height: int) -> None:
        """Show a report in a window of that size and wait until its figures are drawn or given up."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Page.navigate", url=page.as_uri())
        done = "document.readyState == 'complete' && (document.body.dataset.drawn || document.body.className) || ''"
        deadline = time.monotonic() + _PATIENCE
        while not self.value(done):
            assert time.monotonic() < deadline, f"not drawn in {_PATIENCE} s: {self.complaints()}"
            time.sleep(0.05)

    def complaints(self) -> list[str]:
        """Script errors, console messages and refused resources since the page was opened."""
        kinds = {
            "Runtime.exceptionThrown": "exceptionDetails",
            "Runtime.consoleAPICalled": "args",
            "Log.entryAdded": "entry",
        }
        return [json.dumps(e["params"][kinds[e["method"]]]) for e in self.events if e.get("method") in kinds]

    def requests(self) -> list[str]:
        """Addresses that the page asked for, apart from itself and data in the page."""
        sent = (e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent")
        return [url for url in sent if not url.startswith(("file:", "data:", "blob:"))]

    def close(self) -> None:
        """End the browser."""
        os.close(self._commands)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser | None]:
    """A running browser, or None where there is none on this machine."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        yield None
        return
    opened = Browser(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def _check_without_browser(page: Path, figures: int) -> None:
    """What can be said with no browser: the figures' data and places are there and nothing refers to the network."""
    warnings.warn("no chromium found: the report was checked as text only", stacklevel=2)
    text = page.read_text(encoding="utf-8")
    specs = json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', text)[1])
    assert len(specs) == figures == text.count('class="plot"')
    assert all(f'id="{spec["id"]}"' in text for spec in specs)
    assert not re.search(r'(src|href)="(?!#|data:)', text)


def _check(browser: Browser | None, page: Path, figures: int) -> None:
    if browser is None:
        _check_without_browser(page, figures)
        return
    for width, height in _WIDTHS.items():
        browser.open(page, width, height)
        assert browser.complaints() == []
        assert browser.requests() == []
        assert browser.value("document.body.dataset.drawn") == str(figures)
        drawn = (
            "[...document.querySelectorAll('.plot')].filter((p) => p.querySelector('svg.main-svg .trace path')).length"
        )
        assert browser.value(drawn) == figures
        assert browser.value("innerWidth") == width
        assert browser.value("document.documentElement.scrollWidth") <= width
        # Nothing reaches out of the window but what scrolls by itself; no figure is squeezed, no text too small.
        wide = "[...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll, pre, .plot') && "
        wide += "e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.outerHTML.slice(0, 99))"
        assert browser.value(wide) == []
        plotted = (
            "Math.min(...[...document.querySelectorAll('.plot')].map((p) => p._fullLayout._size.w / p.clientWidth))"
        )
        assert browser.value(plotted) > 0.7
        smallest = "Math.min(...[...document.querySelectorAll('.plot text')].map((e) => "
        smallest += "parseFloat(getComputedStyle(e).fontSize)))"
        assert browser.value(smallest) >= 7


def _check_policy(browser: Browser) -> None:
    """A script that is not of the page, and a request, are refused by the open page."""
    foreign = "const s = document.createElement('script'); s.textContent = 'window.mine = 1'; document.body.append(s);"
    browser.value(foreign + "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    assert browser.value("window.mine === undefined") is True
    assert sum("Content Security Policy" in text for text in browser.complaints()) == 2


def test_a_plain_run(browser: Browser | None, make_run: Any) -> None:
    _check(browser, write_report(make_run()), figures=6)
    if browser is not None:
        _check_policy(browser)


def test_a_crowded_run_with_hostile_names(browser: Browser | None, crowded_run: Path) -> None:
    # Six curves, ten pairs in two states, ten corrections without a base, one figure of the misfit.
    _check(browser, write_report(crowded_run), figures=6 + 2 * 10 + 10 + 1)
