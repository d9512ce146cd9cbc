"""`transformers serve`, behind a small front of ours (front.py), without which vLLM's client could not measure it."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchbook.hosts.face import Access, Engine
from benchbook.hosts.others import flags, plain
from benchbook.hosts.others.causes import CAUSES
from benchbook.hosts.others.front import OPEN

FRONT = str(Path(__file__).with_name("front.py"))
_OURS = {
    "force_model": flags.MODEL,
    "enable_cors": "a browser's page need not ask it",
    "non_blocking": "is for transformers' own tests",
    "model_timeout": "the model of a launch stays loaded",
}


def _command(
    model: str, args: Mapping[str, object], port: int, host: str, names: Sequence[str], program: Sequence[str]
) -> list[str]:
    address = ["--host", host, "--port", str(port)]
    return [*program, ",".join(names), "serve", model, *address, *flags.words_of(args)]


TRANSFORMERS = Engine(
    name="transformers",
    title="transformers serve",
    package="transformers",
    needs=("transformers", "accelerate", "fastapi", "uvicorn", "openai"),
    program=(sys.executable, "-P", FRONT),
    command=_command,
    environment=lambda needs_hub, args: {} if needs_hub else {"HF_HUB_OFFLINE": "1"},
    access=Access(users_key="", open_paths=OPEN, why_open="the front that asks for the key was not started"),
    counters=plain.NO_COUNTERS,
    log=plain.log(),
    causes=CAUSES,
    refusals=lambda args, env: flags.refused_of(_OURS, args),
)
