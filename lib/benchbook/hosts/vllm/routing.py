"""How many experts of a layer a step reads: counted once for each model on this machine, on an engine of its own.

That costs one start more, the first time: the engine that is measured must not carry what counts. Where it cannot be
counted, the reason stands in its place, and limits fall back to what even routing is expected to read; the next run
tries again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchbook.hosts.model.files import ModelFiles, read_config
from benchbook.hosts.process.caches import alone, cache_dir, remember, remembered
from benchbook.hosts.process.guardian import spawn
from benchbook.hosts.process.logs import HostLog
from benchbook.hosts.process.scratch import scratch_dir
from benchbook.hosts.vllm import causes, command
from benchbook.terms.errors import ExperimentError, HostStartError

LIMIT_S = 600.0
RECIPE = 1  # raise it when something else is counted
_failed: dict[Path, dict[str, Any]] = {}  # what could not be counted by this process, which is not tried at each start
WEIGHTS = ("load_format", "quantization", "dtype", "hf_overrides", "revision")  # by these, others are loaded
_LOADING = (*WEIGHTS, "tokenizer", "trust_remote_code", "tensor_parallel_size", "gpu_memory_utilization",
            "distributed_executor_backend")  # fmt: skip


def known_routing(files: ModelFiles, args: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what was counted before for the model of a launch; None where nothing was, or it has no experts."""
    return remembered(_path(files, args)) if _experts(files, args) else None


def routing_of(
    files: ModelFiles, args: Mapping[str, Any], env: Mapping[str, str], folder: Path
) -> dict[str, Any] | None:
    """Return how many experts of a layer steps of the model read, counted now if need be; None without experts.

    {"decode": {"8": 28.6, ...}, "prefill": {"512": 127.9}, ...}, on average over layers and steps, by tokens in a step;
    {"why_not": ...} where it could not be counted. The log of counting goes into `folder`.
    """
    numbers = _experts(files, args)
    if numbers is None:
        return None
    path = _path(files, args)
    found = remembered(path) or _failed.get(path)
    if found is None:
        with _only_one(path):
            found = remembered(path) or _counted(files, args, env, numbers, folder)
            if "why_not" in found:
                _failed[path] = found
            else:
                remember(path, found)
    return found


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Inside, nobody else counts for `path`: places start a model at once, and those that come second need no start."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # a cache that cannot be written locks nothing
            path.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(alone(path.with_suffix(".lock")))
        yield


def is_countable(config: Mapping[str, Any]) -> bool:
    """Return whether a model of this config.json has experts that can be counted."""
    return _numbers(config) is not None and not _has_groups(config)


def _experts(files: ModelFiles, args: Mapping[str, Any]) -> dict[str, int] | None:
    return _numbers(read_config(files.path, args.get("revision")) or {})


def _numbers(config: Mapping[str, Any]) -> dict[str, int] | None:
    names = {
        "experts": ("num_local_experts", "num_experts", "n_routed_experts"),
        "active": ("num_experts_per_tok", "experts_per_token"),
        "vocabulary": ("vocab_size",),
    }
    numbers = {name: next((config[key] for key in keys if config.get(key)), None) for name, keys in names.items()}
    return numbers if all(isinstance(number, int) for number in numbers.values()) else None


def _has_groups(config: Mapping[str, Any]) -> bool:
    return (config.get("n_group") or 1) > 1


def _path(files: ModelFiles, args: Mapping[str, Any]) -> Path:
    known = [RECIPE, files.content_sha256 or files.name, {name: args.get(name) for name in WEIGHTS}]
    return cache_dir() / "routing" / f"{hashlib.sha256(json.dumps(known, default=str).encode()).hexdigest()[:16]}.json"


def _counted(
    files: ModelFiles, args: Mapping[str, Any], env: Mapping[str, str], numbers: Mapping[str, int], folder: Path
) -> dict[str, Any]:
    if _has_groups(read_config(files.path, args.get("revision")) or {}):
        return {"why_not": "its router chooses among groups of experts, which is not counted"}
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "routing.log"
    with tempfile.TemporaryDirectory(dir=scratch_dir()) as scratch:
        out = Path(scratch, "routing.json")
        try:
            argv = [sys.executable, "-P", "-m", "benchbook.hosts.vllm.routing_probe", "--out", str(out)]
            argv += ["--active", str(numbers["active"]), "--vocabulary", str(numbers["vocabulary"]), "--"]
            argv += ["--model", files.path, *command.flags({name: args[name] for name in _LOADING if name in args})]
            log = HostLog(log_path)
            environment = {**command.private_environment(files.needs_download), **env}
            process = spawn(argv, env=environment, log_path=log_path, name=f"{files.name} routing", kind="engine")
            try:
                exit_code = process.wait(LIMIT_S)
            finally:
                process.stop()
        except (HostStartError, ExperimentError) as error:
            return {"why_not": str(error).partition("\n")[0]}
        if exit_code != 0 or not out.is_file():
            why = "it took too long" if exit_code is None else str(causes.classify(log.text(), exit_code))
            return {"why_not": f"{why}; see {log_path.name}"}
        return {**numbers, **json.loads(out.read_bytes())}
