"""Who may use a server that we start."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping

from benchbook.hosts import http
from benchbook.hosts.process import registry
from benchbook.hosts.process.ports import is_loopback
from benchbook.hosts.vllm.door import KEY_VARIABLE, OPEN
from benchbook.terms.errors import Cause, ExperimentError, HostStartError

DEV_MODE, RUST = "VLLM_SERVER_DEV_MODE", "VLLM_USE_RUST_FRONTEND"
VLLMS_KEY = "VLLM_API_KEY"
# The last of a command line: vLLM puts the last outermost.
DOOR_WORDS = ("--middleware", "benchbook.hosts.vllm.door.Door")
_OPEN_TEXT = f"{', '.join(OPEN[:-1])} and {OPEN[-1]}"
_NOT_FOR_OTHERS = {  # variables and args with which a server is for this machine alone
    DEV_MODE: "its endpoints run what they are sent",
    RUST: "that front end takes no middleware, so endpoints besides /v1 have no key",
    "grpc_port": "gRPC has no key",
}
_ASKED = "/is-there-a-door"  # no endpoint: a door answers 401 before vLLM says 404
_ANSWER_LIMIT_S = 10.0


def api_key_for(host: str, args: Mapping[str, object], env: Mapping[str, str]) -> str:
    """Return the key of a launch on address `host`: a random one on loopback, elsewhere the user's own VLLM_API_KEY.

    Raises ExperimentError where others can reach the address and there is no key, or something gets past the door.
    """
    if is_loopback(host):
        return secrets.token_urlsafe(24)
    set_to = {**os.environ, DEV_MODE: "0", **env, **{name.replace("-", "_"): value for name, value in args.items()}}
    for name, why in _NOT_FOR_OTHERS.items():
        if _is_on(set_to, name):
            raise ExperimentError(f"host {host!r} can be reached by others, and {name} is set: {why}; take 127.0.0.1")
    key = os.environ.get(VLLMS_KEY)
    if not key:
        raise ExperimentError(
            f"host {host!r} can be reached by others: set {VLLMS_KEY} in the environment first; "
            f"even then {_OPEN_TEXT} stay open without a key"
        )
    warnings.warn(
        f"host {host!r}: others can reach {_OPEN_TEXT} without the key; all else wants it, and it travels unencrypted",
        stacklevel=3,
    )
    return key


def key_environment(key: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which a server with `env` gets its key; the front end without a door has vLLM's own."""
    return {KEY_VARIABLE: key, **({VLLMS_KEY: key} if _has_rust_front_end(env) else {})}


def check_door(base_url: str, host: str, env: Mapping[str, str]) -> None:
    """Raise HostStartError for a server that answers without its key; warn where vLLM's own check guards a part."""
    try:
        answer: object = http.get(base_url, _ASKED, timeout_s=_ANSWER_LIMIT_S)[0]
    except OSError as error:
        answer = error
    if answer == 401:
        return
    evidence = f"{base_url}{_ASKED} answered {answer} without the key, and not 401"
    if is_loopback(host) and _has_rust_front_end(env):
        warnings.warn(f"the key guards /v1 alone, for all users of this machine: {evidence}", stacklevel=2)
        return
    cause = Cause("unguarded", evidence, "this vLLM has no door for the key: it takes no --middleware")
    raise HostStartError(f"a server that others can reach on host {host!r} was ended ({cause})", cause)


def _has_rust_front_end(env: Mapping[str, str]) -> bool:
    return _is_on({**os.environ, **env}, RUST)


def _is_on(env: Mapping[str, object], name: str) -> bool:
    return str(env.get(name, "0")).lower() not in ("", "0", "false", "none")


def key_of(entry: registry.HostEntry) -> str | None:
    """Return the API key of a live server of ours, read from its own environment; it stands in no file."""
    return registry.environment_of(entry).get(KEY_VARIABLE)
