"""A server that is started by a command of the launch's own: any program, a container too, of any engine or of none known."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from benchbook.hosts.face import KEY_PLACE, Engine
from benchbook.hosts.others import plain
from benchbook.hosts.others.causes import CAUSES
from benchbook.hosts.process import containers
from benchbook.terms.containers import runs_container
from benchbook.terms.errors import ExperimentError

_PLACES = re.compile(r"\{(port|host|model|name)\}")

_OPEN = plain.no_key("its command says nothing of {api_key}")
_GUARDED = replace(
    plain.no_key("leave {api_key} out of the command, if its server knows no key"), has_key=True, asked="/v1/models"
)

COMMAND = Engine(
    name="command",
    title="the command's server",
    package=None,
    program=(),
    command=lambda *_: _no_command(),
    access=_OPEN,
    takes_name=False,
    shares_port=False,
    health_path="/v1/models",  # which all servers of OpenAI's requests have
    counters=plain.NO_COUNTERS,
    log=plain.log(),
    causes=CAUSES,
)


def _no_command() -> list[str]:
    raise ExperimentError("engine: command needs a command: [...] that starts its server")


def commanded(engine: Engine, words: Sequence[str]) -> Engine:
    """Return `engine` as it is started by `words`, in which {port}, {host}, {model}, {name} and {api_key} are filled in.

    What it speaks is that of `engine`; that it is ours is shown by the name, where a word has {name}, and otherwise by
    who holds the port. A container is named, so that it can be ended by its name.
    """
    return replace(
        engine,
        package=None,
        python=None,
        needs=(),
        program=tuple(words[:1]),
        command=partial(_filled, tuple(words)),
        added_words=lambda args: (),
        access=_GUARDED if any(KEY_PLACE in word for word in words) else _OPEN,
        takes_name=any("{name}" in word for word in words),
        shares_port=False,
        ready_path="",
        container=words[0] if runs_container(words) else "",
    )


def _filled(
    words: Sequence[str],
    model: str,
    args: Mapping[str, object],
    port: int,
    host: str,
    names: Sequence[str],
    program: Sequence[str],
) -> list[str]:
    name = names[1] if len(names) > 1 else "NAME"
    there = {"port": str(port), "host": host, "model": model, "name": name}
    return containers.named([_PLACES.sub(lambda found: there[found[1]], word) for word in words], name)
