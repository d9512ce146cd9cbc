"""llama.cpp's own server, `llama-server`: one GGUF file, whose tokenizer the client finds in the launch's model folder."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchbook.hosts.face import Access, Counters, Engine, StartupFacts
from benchbook.hosts.others import flags, plain
from benchbook.hosts.others.causes import CAUSES
from benchbook.terms.errors import ExperimentError

_OURS = {
    "alias": flags.NAME,
    "api_key": flags.NO_KEY,
    "api_key_file": "benchbook makes a key for each launch and passes it by the environment",
    "metrics": "its counters are always asked for",
    **dict.fromkeys(("ssl_key_file", "ssl_cert_file"), "what is started here is asked by http on this machine alone"),
}
_FILE = "model"  # its own flag for the GGUF file; without it, the one file of the model's folder
_SLOTS = re.compile(r"n_slots = (\d+), n_ctx_slot = (\d+), kv_unified = '(true|false)'")


def _command(
    model: str, args: Mapping[str, object], port: int, host: str, names: Sequence[str], program: Sequence[str]
) -> list[str]:
    file = str(args.get(_FILE) or _only_file(model))
    rest = {name: value for name, value in args.items() if name != _FILE}
    address = ["--host", host, "--port", str(port)]
    named = ["--alias", names[1]] if len(names) > 1 else []  # of several it lists the first by the alphabet
    return [*program, "--model", file, *address, *named, "--metrics", *flags.words_of(rest)]


def _only_file(folder: str) -> Path | str:
    """Return the GGUF file of a folder; raise ExperimentError unless there is one. '' stays, before a model is known."""
    if not folder:
        return ""
    files = sorted(Path(folder).glob("*.gguf"))
    if len(files) != 1:
        found = f"it has {len(files)} of them" if files else "it has none"
        raise ExperimentError(
            f"llama-server loads a GGUF file, and of {folder} {found}: name it in args: {{model: ...}}"
        )
    return files[0]


def _refusals(args: Mapping[str, object], env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from flags.refused_of(_OURS, args)
    file = args.get(_FILE)
    if file is not None and not os.path.isfile(str(file)):
        yield _FILE, "is no file: it is the GGUF file that llama-server loads, named by its whole path"


def _startup(log_text: str, *_: object) -> StartupFacts:
    found = _SLOTS.search(log_text)
    if not found:
        return StartupFacts()
    slots, tokens = int(found[1]), int(found[2])  # each slot has its own part of the cache, unless all share one
    return StartupFacts(kv_cache_tokens=tokens if found[3] == "true" else slots * tokens, max_model_len=tokens)


LLAMACPP = Engine(
    name="llamacpp",
    title="llama.cpp",
    package=None,
    program=("llama-server",),
    command=_command,
    # It reads its key from a variable that is named as that of a user's own.
    access=Access(
        users_key="LLAMA_API_KEY",
        open_paths=("/health", "/v1/health"),
        why_open="this llama-server does not heed LLAMA_API_KEY",
        is_partial=lambda env: True,
    ),
    shares_port=False,  # it shares ports by SO_REUSEPORT, and no other way
    headers={"Connection": "close"},  # it promises to keep a connection, and closes it behind a stream
    version_path="/props",
    version_key="build_info",
    counters=Counters(
        names={
            "running": "llamacpp:requests_processing",
            "waiting": "llamacpp:requests_deferred",
            "prefix_cache_hits": "llamacpp:prompt_tokens_cached_total",  # its count of prompts' tokens is without these
            "generation_tokens": "llamacpp:tokens_predicted_total",
        },
        sums={"prefill_s": "llamacpp:prompt_seconds_total", "decode_s": "llamacpp:tokens_predicted_seconds_total"},
    ),
    log=plain.log(startup_facts=_startup, telling=re.compile(r"^\d+\.\d\d\.\d{3}\.\d{3} [A-Z] |^(?:srv|slot|main) ")),
    causes=CAUSES,
    refusals=_refusals,
)
