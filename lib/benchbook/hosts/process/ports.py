"""A port that stays ours until the server listens on it, and who listens on a port."""

from __future__ import annotations

import ipaddress
import socket

from benchbook.hosts.process import processes
from benchbook.terms.errors import Cause, HostStartError


def reserve_port(host: str) -> socket.socket:
    """Return a socket bound to a free port of `host` that does not listen; close it once the server does.

    While it is open the kernel gives the port to nobody else, and a server that sets SO_REUSEADDR, as vLLM does,
    can still bind it: on Linux such sockets conflict only when one of them listens. Raises HostStartError where this
    machine does not have the address, as 127.0.0.1 on one of IPv6 only.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        reservation = socket.socket(family, socket.SOCK_STREAM)
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((host, 0))
    except OSError as error:
        what = (
            "is the loopback interface up (`ip link set lo up`)?" if is_loopback(host) else "is it one of this machine?"
        )
        cause = Cause("no_address", f"{host}: {error}", what)
        raise HostStartError(f"no server can listen on {cause.evidence}; {cause.hint}", cause) from error
    return reservation


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False  # a name; it may resolve to anything


def url_of(host: str, port: int) -> str:
    """Return the address at which this machine reaches a server that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def listeners(port: int) -> list[tuple[int | None, str]]:
    """Return pid and command of each process that listens on `port`; pid None for what another user owns."""
    import psutil

    found = []
    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
            command = processes.command_of(connection.pid) if connection.pid else "a process of another user"
            found.append((connection.pid, command))
    return found
