"""A Chromium that draws pages for the proofs, told by its DevTools protocol; it can reach nothing."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import websocket

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Whatever it asked for would go through a proxy that is not there; what it fetches by itself is off.
FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--proxy-server=127.0.0.1:9",
    "--no-sandbox",  # what is opened is ours, and root has none
    "--remote-debugging-port=0",
    "--remote-allow-origins=*",
)
_START_S, _ANSWER_S = 60.0, 120.0


class Tab:
    """One page of the browser. What it said to its console, and what it failed to load, is kept in `complaints`."""

    def __init__(self, address: str) -> None:
        self._socket = websocket.create_connection(address, timeout=_ANSWER_S)
        self._number = 0
        self.complaints: list[str] = []
        self._events: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Network.setCacheDisabled", cacheDisabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Return what the browser answers to `method`; raise RuntimeError where it refuses."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = self._receive()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']['message']}")
                return message["result"]

    def open(self, page: Path, *, width: int, dark: bool = False, scripts: bool = True) -> None:
        """Open `page` in a window of `width` pixels and wait until it is drawn."""
        self.complaints.clear()
        self._events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="screen", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.call("Page.navigate", url=page.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            self._receive()
        self.value("new Promise(done => setTimeout(done, 100))" if scripts else "0")

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, or of what it promises."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"].get("exception", {}).get("description", "an exception"))
        return answer["result"].get("value")

    def shot(self, path: Path, *, whole: bool = False) -> None:
        """Save a picture of the first screen, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self, path: Path) -> None:
        """Print the page."""
        path.write_bytes(base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"]))

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        method, told = message.get("method", ""), message.get("params", {})
        self._events.append(method)
        if method == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"log: {told['entry']['text']}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(f"console: {[one.get('value', one.get('description')) for one in told['args']]}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {told['exceptionDetails'].get('exception', {}).get('description')}")
        elif method == "Network.loadingFailed":
            self.complaints.append(f"not loaded: {told['type']}, {told['errorText']}")
        elif method == "Network.requestWillBeSent" and not told["request"]["url"].startswith(("file:", "data:")):
            self.complaints.append(f"asked for {told['request']['url']}")
        return message


@contextmanager
def browser_tab() -> Iterator[Tab]:
    """Start a browser for the block, with a profile of its own, and give one tab of it."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise SystemExit(f"no browser found: one of {', '.join(NAMES)} is needed")
    with tempfile.TemporaryDirectory(prefix="benchbook-browser-", ignore_cleanup_errors=True) as profile:
        argv = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            try:
                yield Tab(_address(Path(profile), process))
            finally:
                process.terminate()


def _address(profile: Path, process: subprocess.Popen) -> str:
    """Return the address of the first page, once the browser has told its port."""
    told, deadline_s = profile / "DevToolsActivePort", time.monotonic() + _START_S
    while time.monotonic() < deadline_s and process.poll() is None:
        if told.is_file() and told.read_text().count("\n"):
            port = told.read_text().split("\n")[0]
            with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if pages:
                return pages[0]["webSocketDebuggerUrl"]
        time.sleep(0.05)
    raise SystemExit("the browser did not start")
