"""What stands before a server and keeps every request that comes to it: nothing is changed, and nothing is answered by it.

with recording_proxy(port) as proxy: ...   # proxy.requests is [("GET", "/v1/models"), ...]
"""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_HEAD = re.compile(rb"(?:^|\r\n\r\n|\}|\n)([A-Z]{3,7}) (\S+) HTTP/1\.1\r\n")


class RecordingProxy:
    """Hands bytes on, both ways, and keeps the method and path of each request, and the headers that came along."""

    def __init__(self, upstream: tuple[str, int]) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.seen: list[bytes] = []  # what each connection was sent

    @property
    def requests(self) -> list[tuple[str, str]]:
        return [(one[1].decode(), one[2].decode()) for text in list(self.seen) for one in _HEAD.finditer(text)]

    def serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                threading.Thread(target=self._hand_on, args=(peer,), daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _hand_on(self, peer: socket.socket) -> None:
        place = len(self.seen)
        self.seen.append(b"")
        with suppress(OSError), socket.create_connection(self._upstream) as server:
            back = threading.Thread(target=_pump, args=(server, peer), daemon=True)
            back.start()
            while data := peer.recv(1 << 16):
                self.seen[place] += data
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
            back.join(10)
        peer.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def recording_proxy(port: int) -> Iterator[RecordingProxy]:
    """Yield one before the server on `port` of this machine; it is gone after."""
    proxy = RecordingProxy(("127.0.0.1", port))
    threading.Thread(target=proxy.serve, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.close()
