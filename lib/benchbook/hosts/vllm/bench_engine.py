"""The engine of vLLM's offline benchmarks, in a process that has one loaded: `vllm.LLM`, where they ask for it, is that one."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn
from unittest import mock

from benchbook.hosts.process.tasks import TaskRefused
from benchbook.terms.benchmarks import LATENCY


@contextlib.contextmanager
def before_tokens(llm: Any, act: Callable[[], object]) -> Iterator[None]:
    """Inside, `act` is called whenever an offline benchmark asks `llm` for tokens.

    A vLLM that has moved that place asks without.
    """
    generate = getattr(llm, "generate", None)
    if generate is None:
        yield
        return

    def acting(*args: Any, **options: Any) -> Any:
        act()
        return generate(*args, **options)

    with mock.patch.object(llm, "generate", acting):
        yield


class _Asked(BaseException):
    """Carries the engine arguments that a command line asked for."""


class _Asking:
    @staticmethod
    def from_engine_args(engine_args: Any) -> NoReturn:
        raise _Asked(engine_args)


def asked_engine_args(engine_argv: Sequence[str]) -> Any:
    """Return the EngineArgs that `vllm bench latency *engine_argv` builds; exits as that does on a bad flag.

    Raises ImportError or AttributeError when vLLM's internals have moved.
    """
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "bench", LATENCY.name, *engine_argv]
    try:
        with engine_from(_Asking):
            main()
    except _Asked as asked:
        return asked.args[0]
    raise AttributeError("vllm bench latency did not ask vllm.LLM for its engine")


@contextlib.contextmanager
def engine_from(stand_in: Any) -> Iterator[None]:
    """Inside, `vllm.LLM` is `stand_in`, and the ways to an engine past it raise TaskRefused."""
    import vllm
    from vllm.benchmarks import throughput

    # patch.object insists that what it replaces is there: AttributeError when vLLM has moved it.
    with (
        mock.patch.object(vllm, "LLM", stand_in),
        mock.patch.object(throughput, "run_vllm_async", _refuse),
        mock.patch.object(throughput, "run_hf", _refuse),
    ):
        yield


def different_fields(loaded: Any, asked: Any) -> list[str]:
    """Return 'name: loaded value, asked value' for each engine argument that differs.

    `seed` is left out: it is also the data set's seed in `bench throughput`, and in an engine it only picks which
    tokens are sampled, not how many. A tokenizer that is not named is the model's.
    """
    ours, theirs = _values(loaded), _values(asked)
    return [f"{name}: {ours[name]!r}, {theirs.get(name)!r}" for name in ours if ours[name] != theirs.get(name)]


def _values(engine_args: Any) -> Mapping[str, Any]:
    named = {field.name: getattr(engine_args, field.name) for field in dataclasses.fields(engine_args)}
    return {**named, "tokenizer": engine_args.tokenizer or engine_args.model, "seed": None}


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise TaskRefused("the loaded engine is a synchronous vLLM engine, the task asks for another kind")
