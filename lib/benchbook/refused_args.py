"""Args that no launch may have: those that are benchbook's own to set, and those of a server that cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.ranks import as_number, num_machines, spelt

OURS = {
    "host": "benchbook chooses the address",
    "port": "benchbook chooses a free port",
    "uds": "benchbook chooses the address",
    "api_key": "benchbook makes a key for each launch and passes it by the environment",
    "served_model_name": "benchbook proves by it that the server is its own",
    "api_server_count": "vLLM starts as many API servers as its engines need",
    "config": "a second configuration file would hide what was run: write its args here",
    "model": "set it in model:, beside args:",
}
_TLS = "makes a server that speaks https, and what is started here is asked by http on this machine alone: leave it out"
_ELSEWHERE = "leave it out, and `plan --commands` prints the command of each machine"
_NO_TEXT = "makes a server that answers no completions"
# Whatever their value, unless it switches them off.
_SWITCHES = {
    **dict.fromkeys(
        ("ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_ciphers", "ssl_cert_reqs", "enable_ssl_refresh"), _TLS
    ),
    "headless": f"starts no API server, so nothing here could be asked: {_ELSEWHERE}",
    "grpc": "makes a server that speaks gRPC, and the benchmark asks by HTTP",
    "tokens_only": f"{_NO_TEXT}, only token ids at paths of its own",
    "skip_tokenizer_init": "makes a server that takes no text, since it has no tokenizer: leave it out",
    "mm_encoder_only": "makes a server that encodes pictures for others and answers no text: leave it out",
    "node_rank": f"makes the lesser half of a server on several machines: {_ELSEWHERE}",
    "data_parallel_start_rank": f"makes the lesser half of a server on several machines: {_ELSEWHERE}",
    "data_parallel_multi_port_external_lb": "gives each rank a port of its own, and one alone would be measured",
}
_CHOICES = {
    ("runner", "pooling"): _NO_TEXT,
    ("runner", "draft"): _NO_TEXT,
    ("convert", "embed"): _NO_TEXT,
    ("convert", "classify"): _NO_TEXT,
    (
        "distributed_executor_backend",
        "external_launcher",
    ): "is for ranks that torchrun starts, and benchbook starts one",
}
_HALVES = ("kv_producer", "kv_consumer", "ec_producer", "ec_consumer")


def refused(args: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each arg that no launch may have, and why: 'is not yours to set: ...' or 'makes a server that ...'.

    Their names are vLLM's full ones.
    """
    values = spelt(args)
    ranks = as_number(values.get("data_parallel_size", 1))
    for written, (name, value) in zip(args, values.items(), strict=True):
        if why := _why(name, value, ranks):
            yield written, why


def _why(name: str, value: Any, ranks: int) -> str:
    if name in OURS:
        return f"is not yours to set: {OURS[name]}"
    if name in _SWITCHES and _is_on(value):
        return _SWITCHES[name]
    if ranks > 1 and (name == "data_parallel_rank" or name == "data_parallel_external_lb" and _is_on(value)):
        return f"makes one of {ranks} ranks, which waits for the servers of the others: {_ELSEWHERE}"
    return _CHOICES.get((name, str(value)), "")


def spread_over(args: Mapping[str, Any]) -> str:
    """Return that a server with `args` runs on several machines, and what to do; '' for one on this machine alone."""
    number = num_machines(args)
    return (
        f"is one server on {number} machines, and benchbook starts servers on one: start it by the commands of "
        "`plan --commands`, and measure it there (attach)"
        if number > 1
        else ""
    )


def halves(args: Mapping[str, Any]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield what makes a launch one half of a pair of servers, as the way to it in `args`, and what that means."""
    for name, key in (("kv_transfer_config", "kv_role"), ("ec_transfer_config", "ec_role")):
        config = args.get(name)
        role = config.get(key) if isinstance(config, Mapping) else None
        if role in _HALVES:
            yield (
                (name, key),
                f"{role} is one half of a pair of servers: measured alone, it does without the other's part",
            )


def _is_on(value: Any) -> bool:
    return str(value).lower() not in ("false", "0", "no", "off")
