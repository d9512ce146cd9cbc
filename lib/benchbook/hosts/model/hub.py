"""Can the hub's models be had: are they in the cache, and if not, is the hub on and within reach?"""

from __future__ import annotations

import functools
import os
import shlex
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchbook.hosts.model.files import ModelFiles
from benchbook.hosts.model.hub_cache import CACHE_VARIABLES, WEIGHTS, hub_folder, hub_snapshot
from benchbook.hosts.model.inputs import hub_models
from benchbook.terms.errors import Cause, HostStartError
from benchbook.terms.secret_names import is_secret_variable

ANSWER_LIMIT_S = 1.5  # for a connection to the hub; where it takes longer, no model comes from there
ENDPOINT = "https://huggingface.co"
_OFF = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_CONFIGS = ("config.json", "params.json", "tokenizer_config.json", "adapter_config.json", "tokenizer.json")
_CACHE = "HF_HUB_CACHE"
_HOMES = (*CACHE_VARIABLES, "HF_ENDPOINT")
_PREFIXES = ("HF_", "MODELSCOPE_")
_NAMES = (*CACHE_VARIABLES, "VLLM_USE_MODELSCOPE", "TRANSFORMERS_OFFLINE")


def hub_variables(env: Mapping[str, str]) -> dict[str, str]:
    """Return what of a server's own environment says where the hub's files lie or come from, without tokens."""
    return {
        name: value
        for name, value in env.items()
        if (name.startswith(_PREFIXES) or name in _NAMES) and not is_secret_variable(name, value)
    }


def is_here(hub_id: str, revision: str | None, env: Mapping[str, str], *, has_weights: bool = True) -> bool:
    """Return whether the cache of a process with `env` holds the model: whole weights, or any part `has_weights` apart."""
    if has_weights:
        return hub_snapshot(hub_id, revision, env) is not None
    return any(hub_folder(hub_id, name, revision, env) for name in _CONFIGS)


def download_dir_as_cache(hub_id: str, args: Mapping[str, Any], env: Mapping[str, str]) -> dict[str, str]:
    """Return the variable by which a whole model in `download_dir` is found; {} where it lies elsewhere, or nowhere.

    vLLM has only weights looked for there, and off line not even these: its config and its tokenizer, and so those of the
    benchmark's client, are looked for in the hub's cache alone.
    """
    folder = str(args.get("download_dir") or "")
    place, revision = {_CACHE: os.path.abspath(folder)}, args.get("revision")
    if not folder or is_here(hub_id, revision, env) or not is_here(hub_id, revision, {**env, **place}):
        return {}
    return place


def download_dir_note(hub_id: str, args: Mapping[str, Any], env: Mapping[str, str]) -> str:
    """Return why vLLM does not heed `download_dir`: the model is whole in the hub's cache elsewhere; '' where it does."""
    folder, snapshot = args.get("download_dir"), hub_snapshot(hub_id, args.get("revision"), env)
    if not folder or snapshot is None or snapshot.resolve().is_relative_to(Path(str(folder)).resolve()):
        return ""
    return f"is not heeded: the model is whole in {snapshot}, and off line vLLM loads that"


def has_weights_alone(hub_id: str, args: Mapping[str, Any]) -> bool:
    """Return whether `download_dir` holds weights of the model, as vLLM leaves them there: its config is in the hub's cache."""
    folder = Path(str(args.get("download_dir") or "/dev/null"), f"models--{hub_id.replace('/', '--')}", "snapshots")
    return any(any(folder.glob(f"*/{pattern}")) for pattern in WEIGHTS)


def needs_download(files: ModelFiles, args: Mapping[str, Any], env: Mapping[str, str]) -> bool:
    """Return whether a launch needs the hub for its model or for what `args` name beside it.

    Raises HostStartError where it does and the hub cannot be had.
    """
    wanted = [(model.hub_id, model.revision, False) for model in hub_models(args)]
    if files.needs_download:
        wanted.append((files.path, args.get("revision"), not files.random_weights))
    absent = [(name, at, loads) for name, at, loads in wanted if not is_here(name, at, env, has_weights=loads)]
    for hub_id, revision, _ in absent:
        if why := why_not(hub_id, revision, env, args):
            raise HostStartError(f"{hub_id} {why}", Cause("model_not_found", f"{hub_id} {why}", "fetch it first"))
    return bool(absent)


def why_not(
    hub_id: str, revision: str | None, env: Mapping[str, str], args: Mapping[str, Any], repo_type: str = "model"
) -> str:
    """Return why a model that is not whole in the cache cannot be fetched, and how it is fetched; '' where it can be.

    A `repo_type` other than "model", such as "dataset", is the hub's own word.
    """
    whole = {**os.environ, **env}
    if _is_on(whole.get("VLLM_USE_MODELSCOPE", "")):
        return ""  # another hub, with a cache of its own
    off = next((name for name in _OFF if _is_on(whole.get(name, ""))), None)
    why = f"the hub is off ({off}={whole[off]})" if off else _unreachable(whole)
    if not why:
        return ""
    settings = {name: env[name] for name in _HOMES if name in env} | ({off: "0"} if off else {})
    words = [f"{name}={_for_a_shell(value)}" for name, value in settings.items()]
    of_type = [] if repo_type == "model" else ["--repo-type", repo_type]
    words += [
        "hf",
        "download",
        *of_type,
        shlex.quote(hub_id),
        *(["--revision", shlex.quote(revision)] if revision else []),
    ]
    of_weights = " (download_dir has its weights, which vLLM reads there on line alone)"
    which = f"is not in the cache of this machine{of_weights if has_weights_alone(hub_id, args) else ''}"
    return f"{which}, and {why}: fetch it first, where there is a network: {' '.join(words)}"


def _for_a_shell(value: str) -> str:
    """Return a value as it stands behind NAME= in a shell, which expands a ~ that is not quoted, as the hub's client does."""
    home, slash, rest = value.partition("/")
    is_home = home == "~" or value == "~"
    return f"{home}{slash}{shlex.quote(rest) if rest else ''}" if is_home else shlex.quote(value)


def _is_on(value: str) -> bool:
    return value.upper() in ("1", "ON", "YES", "TRUE")


def _unreachable(env: Mapping[str, str]) -> str:
    """Return why no connection to the hub, or to the proxy before it, comes about; '' where one does."""
    hub = urlsplit(env.get("HF_ENDPOINT") or ENDPOINT)
    proxy = next((env[name] for name in (f"{hub.scheme}_proxy", f"{hub.scheme}_proxy".upper()) if env.get(name)), None)
    address = urlsplit(proxy if "//" in proxy else f"//{proxy}") if proxy else hub
    host, port = address.hostname or "", address.port or (80 if address.scheme == "http" else 443)
    problem = _connection_problem(host, port)
    return f"{host} cannot be reached ({problem})" if problem else ""


@functools.cache
def _connection_problem(host: str, port: int) -> str:
    """Return why `host` takes no connection within the limit, which a name server may not keep; '' where it does."""
    found = [f"no answer within {ANSWER_LIMIT_S:g} s"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), ANSWER_LIMIT_S).close()
            found[0] = ""
        except (OSError, UnicodeError) as error:
            found[0] = getattr(error, "strerror", None) or str(error) or found[0]

    thread = threading.Thread(target=connect, name="hub", daemon=True)
    thread.start()
    thread.join(ANSWER_LIMIT_S)
    return found[0]
