"""What of the Hugging Face hub lies in the cache of a process on this machine: a model's folder, its weights where they are whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchbook.reading import read_bytes
from benchbook.terms.errors import StoreError

CONFIGS = ("config.json", "params.json")  # the second where Mistral's own format is all that there is
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")
CACHE_VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")  # where the hub's files lie


def hub_snapshot(hub_id: str, revision: str | None, env: Mapping[str, str] | None = None) -> Path | None:
    """Return the local copy of `hub_id` in the Hugging Face cache, None unless its weights are whole."""
    snapshot = next((found for name in CONFIGS if (found := hub_folder(hub_id, name, revision, env))), None)
    if snapshot is None:
        return None
    for index in snapshot.glob("*.safetensors.index.json"):
        shards = (json_object(index) or {}).get("weight_map")
        is_whole = isinstance(shards, dict) and all(os.path.isfile(snapshot / str(name)) for name in shards.values())
        return snapshot if is_whole else None
    return snapshot if any(any(snapshot.glob(pattern)) for pattern in WEIGHTS) else None


def hub_folder(hub_id: str, file: str, revision: str | None, env: Mapping[str, str] | None = None) -> Path | None:
    """Return the folder of `hub_id` in the Hugging Face cache of a process with `env`, None unless `file` lies in it."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(hub_id, file, cache_dir=_hub_cache(env or {}), revision=revision)
    except HFValidationError:  # a folder on the machine of a server elsewhere
        return None
    return Path(found).parent if isinstance(found, str) else None


def has_dataset(hub_id: str, env: Mapping[str, str] | None = None) -> bool:
    """Return whether anything of a data set of the hub lies in the cache of a process with `env`: whole or not, nobody knows."""
    from huggingface_hub.constants import HF_HUB_CACHE

    cache = Path(_hub_cache(env or {}) or HF_HUB_CACHE)
    return any((cache / f"datasets--{hub_id.replace('/', '--')}" / "snapshots").glob("*/*"))


def _hub_cache(env: Mapping[str, str]) -> str | None:
    """Return where a process with `env` on top of this one's keeps the hub's files; None: where this one does.

    As huggingface_hub finds it: a name of this shell that stands higher counts for that process too.
    """
    if not set(CACHE_VARIABLES) & set(env):
        return None
    whole = {**os.environ, **env}
    places = [whole[name] for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE") if name in whole]
    home = whole.get("HF_HOME") or os.path.join(whole.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.path.expanduser(places[0] if places else os.path.join(home, "hub"))


def json_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None where there is none, or it cannot be read as one."""
    try:
        content = json.loads(read_bytes(path))  # with the infinities that some models have there
    except (StoreError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
