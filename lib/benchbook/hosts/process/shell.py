"""What of the person's shell must not measure along: proxies between us and a server, and leftovers that spoil one."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from benchbook.hosts.process import bytecode, search_path
from benchbook.hosts.process.pythons import HERE, Python

TRUSTING = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")  # variables that say whose certificates are trusted
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_RANK = "the server would take itself for one rank of another launch"
_SLOW = "it is for finding faults, and slows down what is measured"
# Taken out of the environment of all that we start, unless a launch sets them itself.
_SPOILERS = {
    "PROMETHEUS_MULTIPROC_DIR": "the counters of dead servers would stay on the page of metrics",
    "prometheus_multiproc_dir": "the counters of dead servers would stay on the page of metrics",
    "VLLM_PORT": "vLLM would talk to itself at that port; clusters set it for a service that is called vllm",
    "VLLM_API_KEY": "a server of ours has a key of its own; vLLM before 0.32 writes this one into its cache of code",
    "VLLM_USE_RUST_BENCH": "vLLM's other benchmark client would measure; a launch's env may ask for it",
    "VLLM_HOST_IP": "vLLM's processes would look for each other at that address",
    "HOST_IP": "vLLM's processes would look for each other at that address",
    **dict.fromkeys(("VLLM_DP_RANK", "VLLM_DP_RANK_LOCAL", "VLLM_DP_SIZE"), _RANK),
    **dict.fromkeys(("VLLM_DP_MASTER_IP", "VLLM_DP_MASTER_PORT"), _RANK),
    **dict.fromkeys(("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"), _RANK),
    **dict.fromkeys(("VLLM_TRACE_FUNCTION", "CUDA_LAUNCH_BLOCKING", "HIP_LAUNCH_BLOCKING"), _SLOW),
    **dict.fromkeys(("AMD_SERIALIZE_KERNEL", "AMD_SERIALIZE_COPY", "PYTORCH_NO_CUDA_MEMORY_CACHING"), _SLOW),
    **dict.fromkeys(("PYTHONDEVMODE", "PYTHONASYNCIODEBUG", "PYTHONMALLOC", "PYTHONTRACEMALLOC"), _SLOW),
    **dict.fromkeys(("PYTHONPROFILEIMPORTTIME", "PYTHONPERFSUPPORT", "PYTHONVERBOSE", "PYTHONDEBUG"), _SLOW),
    bytecode.OFF: "it would cost each start 20 s, in which what has no bytecode yet is compiled again",
    "PYTHONINSPECT": "a server that has ended would wait for commands",
    "PYTHONOPTIMIZE": "Python would leave out the checks in vLLM's code",
}
_OF_OURS = ("PYTHONHOME", "VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT")  # of our own environment: another has its own
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_SERVICE = re.compile(r"(tcp|udp|sctp)://")  # what a cluster says of a service, in variables named after it
_OF_A_SERVICE = re.compile(r"\w+_(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")


def is_of_a_service(name: str) -> bool:
    """Return whether a variable is named as those by which a cluster says where a service is: VLLM_SERVICE_HOST."""
    return bool(_OF_A_SERVICE.fullmatch(name))


def child_environment(launch: Mapping[str, str] | None = None, python: Python = HERE) -> dict[str, str]:
    """Return the environment of what we start by `python`: the shell's without what spoils a server, and the launch's on top.

    Another Python than ours gets what activating its environment would give it, and none of the shell's PYTHONPATH,
    which is for ours, but a folder with what we bring along.
    """
    inherited = {name: value for name, value in os.environ.items() if not _why(name)}
    found = {**inherited, **bytecode.kept_elsewhere(inherited, python), **(launch or {})}
    return {**found, **_search_path(launch)} if python.is_here else _in_its_environment(found, launch, python)


def _in_its_environment(found: Mapping[str, str], launch: Mapping[str, str] | None, python: Python) -> dict[str, str]:
    own = {name: text for name, text in found.items() if name not in _OF_OURS}
    folders = os.pathsep.join(filter(None, [python.brings, (launch or {}).get(search_path.VARIABLE, "")]))
    path = (launch or {}).get("PATH") or os.pathsep.join([os.path.dirname(python.path), found.get("PATH", os.defpath)])
    return {**own, "PATH": path, search_path.VARIABLE: folders}


def left_out() -> list[str]:
    """Return a line for each variable of this shell that `child_environment` leaves out or adds: which, and why."""
    lines = [f"{name} of your shell is left out: {why}" for name in sorted(os.environ) if (why := _why(name))]
    if folders := search_path.left_out():
        said = "a launch's env may say it"
        lines.append(
            f"{search_path.VARIABLE} of your shell is left out where it hides what is installed: {folders}; {said}"
        )
    if kept := bytecode.kept_elsewhere(os.environ):
        packages = " and ".join(bytecode.unkept())
        lines.append(f"Python's bytecode of {packages}, which cannot be kept there, goes to {kept[bytecode.PREFIX]}")
    return lines


def _why(name: str) -> str:
    """Return why a variable of this shell is left out; '' where it is not."""
    if name.startswith("VLLM_") and _SERVICE.match(os.environ[name]) and name not in _SPOILERS:
        return "a cluster sets it for a service of that name, and vLLM reads it as its own"
    return _why_unspoken(os.environ[name]) if name.lower() in _PROXIES else _SPOILERS.get(name, "")


def _why_unspoken(proxy: str) -> str:
    """Return why clients in Python would fail on this proxy though they are not to use it; '' where they would not."""
    try:
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", "http")
        scheme, _ = parts.scheme, parts.port
    except ValueError:  # whose text may hold a password
        return "it is no address, and clients in Python would fail on it"
    if scheme in ("http", "https") or scheme in ("socks5", "socks5h") and importlib.util.find_spec("socksio"):
        return ""
    return f"clients in Python would fail on it: they speak no {scheme}://"


def _search_path(launch: Mapping[str, str] | None) -> dict[str, str]:
    is_set = search_path.VARIABLE in os.environ or search_path.VARIABLE in (launch or {})
    return {search_path.VARIABLE: search_path.kept(launch)} if is_set else {}


def certificates() -> dict[str, str]:
    """Return the variables that say whose certificates are trusted; `requests` heeds one of its own beside them."""
    trusted = {name: os.environ[name] for name in TRUSTING[:2] if name in os.environ}
    own = os.environ.get("REQUESTS_CA_BUNDLE") or trusted.get("SSL_CERT_FILE")
    return {**trusted, "REQUESTS_CA_BUNDLE": own} if own else trusted


def no_proxy(hosts: Iterable[str] = ()) -> dict[str, str]:
    """Return the variables by which no client sends what is for `hosts`, or for this machine, to a proxy of the shell.

    What they hold already stays. Both spellings are set, since programs read one or the other.
    """
    there = [host for name in ("no_proxy", "NO_PROXY") for host in os.environ.get(name, "").split(",") if host]
    joined = ",".join(dict.fromkeys([*there, *LOOPBACK, *hosts]))
    return {"no_proxy": joined, "NO_PROXY": joined}


def go_past_proxies(hosts: Iterable[str] = ()) -> None:
    """Have no client of this process send what is for `hosts`, or for this machine, to a proxy, or fail on one."""
    for name in [name for name in os.environ if name.lower() in _PROXIES and _why(name)]:
        del os.environ[name]
    os.environ.update(no_proxy(hosts))
