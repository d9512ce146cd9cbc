"""A proxy of the shell that nothing of ours may use: it counts who comes, reads what was asked, and hangs up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

_SCHEMES = ("http", "https", "all")


class ListeningProxy:
    """What has come to the proxy until now: the first line of each connection, such as "POST http://... HTTP/1.1"."""

    def __init__(self, listener: socket.socket) -> None:
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener

    def listen(self) -> None:
        """Count until the listener is closed."""
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:  # it is over
                return
            self.asked.append("")  # counted even if it says nothing
            with peer:
                peer.settimeout(1)
                try:
                    self.asked[-1] = peer.recv(4096).split(b"\r\n")[0].decode("latin-1")
                except OSError:
                    continue

    def variables(self, scheme: str = "http") -> dict[str, str]:
        """Return the variables by which a shell names it, in both spellings; `scheme` is how it is to be spoken to."""
        url = self.url.replace("http", scheme, 1)
        names = [f"{kind}_proxy" for kind in _SCHEMES]
        return dict.fromkeys([*names, *map(str.upper, names)], url)


@contextmanager
def listening_proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ListeningProxy]:
    """Start a proxy, and let this process's environment name it for all there is, with no exception."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = ListeningProxy(listener)
        thread = threading.Thread(target=proxy.listen, daemon=True)
        thread.start()
        for name in ("no_proxy", "NO_PROXY"):
            # What the code under test sets is taken back as well.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)
        for name, value in proxy.variables().items():
            monkeypatch.setenv(name, value)
        yield proxy
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
