"""How long the way to a server is: what a TCP connection takes to open, which is one round trip."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from urllib.parse import urlsplit

TRIES = 7
LIMIT_S = 2.0  # for one; a way that is longer is no way
PORTS = {"http": 80, "https": 443}


def round_trip_ms(base_url: str) -> float | None:
    """Return the median time (ms) of a TCP round trip to the server; None where no connection comes about.

    Names are resolved once, before the clock starts.
    """
    parts = urlsplit(base_url)
    try:
        found = socket.getaddrinfo(parts.hostname, parts.port or PORTS.get(parts.scheme, 80), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    for *_, address in found:
        times_ms = []
        with contextlib.suppress(OSError):
            for _ in range(TRIES):
                began_s = time.perf_counter()
                socket.create_connection(address[:2], timeout=LIMIT_S).close()
                times_ms.append((time.perf_counter() - began_s) * 1000)
        if times_ms:
            return round(statistics.median(times_ms), 4)
    return None
