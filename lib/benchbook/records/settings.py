"""What a launch asks of its engine, by neutral names, read from the command and variables that a record holds.

Records hold a command word by word, with vLLM's names for its flags: here alone they are known by what they mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchbook.ranks import num_devices
from benchbook.records.argv import flags_of
from benchbook.terms.load_formats import DUMMY, load_format_of

if TYPE_CHECKING:
    from benchbook.records.host import HostFacts

_RUNNING = ("max_num_seqs", "max_num_active_seqs")  # how many sequences run at once; the least counts
_SPECULATES = ("speculative_", "spec_")  # how the names of such flags begin
# Settings that claim no more than another speed are left out; whatever else differs may change the text.
_OF_TEXT = frozenset(
    ("model", "dtype", "quantization", "kv_cache_dtype", "revision", "hf_overrides", "seed", "speculative_config",
     "tokenizer", "rope_scaling", "rope_theta", "load_format", "generation_config")
)  # fmt: skip
_OF_KV_CACHE = (  # what is asked of its size, flags and variables
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "num_gpu_blocks_override",
    "kv_cache_dtype",
    "dtype",
    "quantization",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "max_num_batched_tokens",
    "max_model_len",
    "VLLM_CPU_KVCACHE_SPACE",
)
_FLAGS_DOWN = {"trust_remote_code": "the model's own code was run"}
_VARIABLES_DOWN = {
    "VLLM_SERVER_DEV_MODE": "developer endpoints were open",
    "VLLM_ALLOW_INSECURE_SERIALIZATION": "pickles were accepted",
}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a launch asks of its engine. None: it is left to the engine, or makes no sense."""

    shards: int  # devices over which each layer is spread; 1 where that makes no sense
    stages: int | None  # one after the other, each with some of the layers
    replicas: int | None  # copies of the model
    devices: int | None  # all of them together
    most_running: int | None  # sequences at once, on each copy
    most_running_name: str  # of the flag that says so
    most_step_tokens: int | None
    prefers_throughput: bool
    dtype: str | None
    quantization: str | None
    kv_dtype: str | None
    speculation: str  # '--speculative-config …': tokens are guessed ahead; '' where they are not
    has_told_blocks: bool  # of the KV cache: their number, and so its size
    keeps_layers_alike: bool  # layers with a sliding window keep as many tokens as the others
    has_dummy_weights: bool  # made up by the engine itself
    of_text: Mapping[str, Any]  # whatever may change what the model says
    of_kv_cache: tuple[Any, ...]  # whatever decides how large the KV cache is to be
    guards_down: Mapping[str, str]  # as it was written, and what that means


def settings_of(host: HostFacts) -> Settings:
    """Return what the command and the variables of a host ask for."""
    return _of_command(tuple(host.argv), tuple(host.env.items()))


def settings_in(args: Mapping[str, Any], env: Mapping[str, str] | None = None) -> Settings:
    """Return what a launch with `args` and `env` asks for."""
    env = env or {}
    most, name = min(((most, name) for name in _RUNNING if (most := _whole(args, name))), default=(None, _RUNNING[0]))
    guess = next((name for name in args if name.startswith(_SPECULATES)), None)
    return Settings(
        shards=_whole(args, "tensor_parallel_size", "tp", default=1) or 1,
        stages=_whole(args, "pipeline_parallel_size", default=1),
        replicas=_whole(args, "data_parallel_size", default=1),
        devices=num_devices(args),
        most_running=most,
        most_running_name=name,
        most_step_tokens=_whole(args, "max_num_batched_tokens"),
        prefers_throughput=args.get("performance_mode") == "throughput",
        dtype=args.get("dtype"),
        quantization=args.get("quantization") or args.get("q"),
        kv_dtype=args.get("kv_cache_dtype"),
        speculation=f"--{guess.replace('_', '-')} {args[guess]}" if guess else "",
        has_told_blocks="num_gpu_blocks_override" in args,
        keeps_layers_alike="disable_hybrid_kv_cache_manager" in args,
        has_dummy_weights=load_format_of(args) == DUMMY,
        of_text={name: args[name] for name in _OF_TEXT if name in args},
        of_kv_cache=tuple(args.get(name, env.get(name)) for name in _OF_KV_CACHE),
        guards_down=_guards_down(args, env),
    )


@lru_cache(maxsize=256)  # all records of a start hold the same command
def _of_command(argv: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> Settings:
    return settings_in(flags_of(argv), dict(env))


def _guards_down(args: Mapping[str, Any], env: Mapping[str, str]) -> Mapping[str, str]:
    down = {f"--{name.replace('_', '-')}": why for name, why in _FLAGS_DOWN.items() if name in args}
    return down | {
        f"{name}={env[name]}": why for name, why in _VARIABLES_DOWN.items() if env.get(name, "0") not in ("0", "")
    }


def _whole(args: Mapping[str, Any], *names: str, default: int | None = None) -> int | None:
    """Return the number that the first of `names` in `args` has, `default` without any; None where it is none, or 0."""
    value = next((args[name] for name in names if args.get(name)), default)
    return int(value) or None if str(value).isdecimal() else None
