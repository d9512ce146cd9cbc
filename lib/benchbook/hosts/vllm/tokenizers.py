"""What a server's own command says of its tokenizer, in the words of a client that must cut prompts by the same one."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from benchbook.hosts.model.hub_cache import hub_folder
from benchbook.terms.errors import ExperimentError

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_FILES = ("tokenizer_config.json", "tokenizer.json", "config.json", "params.json")  # one of them has each tokenizer
_MODE, _TRUST = "tokenizer_mode", "trust_remote_code"


def client_words(args: Mapping[str, Any], model: str, hub_env: Mapping[str, str]) -> list[str]:
    """Return the words for `vllm bench serve` of a server of `model` with engine `args`: which tokenizer, how read.

    A revision of the hub is said by the folder that it lies in, since the client has no word for one.
    """
    tokenizer, revision = tokenizer_of(args, model)
    if revision and not os.path.isdir(tokenizer):
        folders = (hub_folder(tokenizer, name, str(revision), hub_env) for name in _FILES)
        tokenizer = next((str(folder) for folder in folders if folder), tokenizer)
    words = ["--tokenizer", tokenizer]
    if args.get(_MODE):
        words += ["--tokenizer-mode", str(args[_MODE])]
    return [*words, "--trust-remote-code"] if args.get(_TRUST) else words


def tokenizer_of(args: Mapping[str, Any], model: str) -> tuple[str, str | None]:
    """Return which tokenizer a server of `model` has, and of which revision; the model's own holds for no other."""
    tokenizer = str(args.get("tokenizer") or model)
    return tokenizer, args.get("tokenizer_revision") or (args.get("revision") if tokenizer == model else None)


def check_here(tokenizer: str) -> None:
    """Raise ExperimentError unless the client can look for this tokenizer: in a folder, or by an id of the hub.

    A server elsewhere tells where the files lie on its own machine.
    """
    if not os.path.isdir(tokenizer) and not _HUB_ID.fullmatch(tokenizer):
        raise ExperimentError(
            f"the tokenizer of this server lies in {tokenizer!r}, which is not on this machine: set the parameter "
            "`tokenizer` to a folder here, or to a hub id, that has the same one"
        )


def args_of(argv: Sequence[str]) -> dict[str, Any]:
    """Return what the command line of a server says of its tokenizer, under the names of args."""
    found: dict[str, Any] = {_TRUST: True} if "--trust-remote-code" in argv else {}
    for name in ("tokenizer", "tokenizer_mode", "tokenizer_revision", "revision"):
        flag = "--" + name.replace("_", "-")
        if flag in argv[:-1]:
            found[name] = argv[argv.index(flag) + 1]
    return found
