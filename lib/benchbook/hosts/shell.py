"""What of the person's shell must not measure along: proxies between us and a server, and leftovers that spoil one."""

from __future__ import annotations

import os
from collections.abc import Iterable

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# Taken out of the environment of all that we start, unless a launch sets them itself.
_SPOILERS = {
    "PROMETHEUS_MULTIPROC_DIR": "the counters of dead servers would stay on the page of metrics",
    "VLLM_PORT": "vLLM would talk to itself at that port; clusters set it for a service that is called vllm",
    "VLLM_USE_RUST_BENCH": "vLLM's other benchmark client would measure, unsaid",
}


def child_environment() -> dict[str, str]:
    """Return the environment that what we start inherits: the shell's, without what spoils a server."""
    return {name: value for name, value in os.environ.items() if name not in _SPOILERS}


def left_out() -> list[str]:
    """Return a line for each variable of this shell that `child_environment` leaves out: which, and why."""
    return [f"{name} of your shell is left out: {why}" for name, why in _SPOILERS.items() if name in os.environ]


def certificates() -> dict[str, str]:
    """Return the variable by which `requests` trusts the certificates that SSL_CERT_FILE names, as all others do."""
    trusted = os.environ.get("SSL_CERT_FILE")
    return {"REQUESTS_CA_BUNDLE": trusted} if trusted and "REQUESTS_CA_BUNDLE" not in os.environ else {}


def no_proxy(hosts: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables by which no client sends what is for `hosts`, or for this machine, to a proxy of the shell.

    What they hold already stays. Both spellings are set, since programs read one or the other.
    """
    there = [host for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",") if host]
    joined = ",".join(dict.fromkeys([*there, *LOOPBACK, *hosts]))
    return {"no_proxy": joined, "NO_PROXY": joined}
