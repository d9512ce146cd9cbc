"""Who may use a server that we start."""

from __future__ import annotations

import os
import secrets
import warnings
from collections.abc import Mapping

from benchbook.hosts import http
from benchbook.hosts.face import KEY_VARIABLE, Access, Engine
from benchbook.hosts.process import registry
from benchbook.hosts.process.ports import is_loopback
from benchbook.terms.errors import Cause, ExperimentError, HostStartError

_CLOSED = (401, 403)
_ANSWER_LIMIT_S = 10.0


def api_key_for(engine: Engine, host: str, args: Mapping[str, object], env: Mapping[str, str]) -> str:
    """Return the key of a launch on address `host`: a random one on loopback, elsewhere the user's own from the shell.

    Raises ExperimentError where others can reach the address and there is no key, or something gets past the door.
    """
    if is_loopback(host):
        return secrets.token_urlsafe(24)
    named = {name.replace("-", "_"): value for name, value in args.items()}
    if not engine.access.has_key:
        raise ExperimentError(f"host {host!r} can be reached by others, and {engine.title} asks nobody for a key")
    access, set_to = engine.access, {**os.environ, **engine.environment(False, named), **env, **named}
    for name, why in access.not_for_others.items():
        if _is_on(set_to, name):
            raise ExperimentError(f"host {host!r} can be reached by others, and {name} is set: {why}; take 127.0.0.1")
    open_paths = f"{', '.join(access.open_paths[:-1])} and {access.open_paths[-1]}"
    key = os.environ.get(access.users_key)
    if not key:
        raise ExperimentError(
            f"host {host!r} can be reached by others: set {access.users_key} in the environment first; "
            f"even then {open_paths} stay open without a key"
        )
    warnings.warn(
        f"host {host!r}: others can reach {open_paths} without the key; all else wants it, and it travels unencrypted",
        stacklevel=3,
    )
    return key


def key_environment(access: Access, key: str, env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which a server with `env` gets its key; one without a door has its engine's own."""
    return {KEY_VARIABLE: key, **({access.users_key: key} if access.users_key and access.is_partial(env) else {})}


def check_door(access: Access, base_url: str, host: str, env: Mapping[str, str]) -> None:
    """Raise HostStartError for a server that answers without its key; warn where the engine's own check guards a part.

    One that asks nobody for a key is for this machine alone.
    """
    if not access.has_key:
        return
    try:
        answer: object = http.get(base_url, access.asked, timeout_s=_ANSWER_LIMIT_S)[0]
    except OSError as error:
        answer = error
    if answer in _CLOSED:
        return
    evidence = f"{base_url}{access.asked} answered {answer} without the key, and not 401"
    if is_loopback(host) and access.is_partial(env):
        warnings.warn(f"the key guards /v1 alone, for all users of this machine: {evidence}", stacklevel=2)
        return
    cause = Cause("unguarded", evidence, access.why_open)
    raise HostStartError(f"a server that others can reach on host {host!r} was ended ({cause})", cause)


def _is_on(env: Mapping[str, object], name: str) -> bool:
    return str(env.get(name, "0")).lower() not in ("", "0", "false", "none")


def key_of(entry: registry.HostEntry) -> str | None:
    """Return the API key of a live server of ours, read from its own environment; it stands in no file."""
    return registry.environment_of(entry).get(KEY_VARIABLE)
