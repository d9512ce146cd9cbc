"""The names of the engines that a launch can ask for."""

from __future__ import annotations

import functools

VLLM = "vllm"  # what a launch means that names none
COMMAND = "command"  # of which nothing is known but the command that starts it
# The engines of our own beside vLLM, each with where its face is; a package may add others, or its own of these.
_OURS = {
    "sglang": "benchbook.hosts.others.sglang:SGLANG",
    "transformers": "benchbook.hosts.others.transformers:TRANSFORMERS",
    "llamacpp": "benchbook.hosts.others.llamacpp:LLAMACPP",
    "trtllm": "benchbook.hosts.others.trtllm:TRTLLM",
    COMMAND: "benchbook.hosts.others.command:COMMAND",
}
_GROUP = "benchbook.engines"  # of entry points: an installed package adds an engine by one, name = "module:its Engine"


@functools.cache
def other_engines() -> dict[str, str]:
    """Return the engines beside vLLM, each with where its face is: "module:name"."""
    from importlib.metadata import entry_points  # late: few experiments name an engine

    return {**_OURS, **{point.name: point.value for point in entry_points(group=_GROUP) if point.name != VLLM}}
