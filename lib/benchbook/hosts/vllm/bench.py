"""vLLM's own `vllm bench`, run inside a process that has it imported. All we know of vLLM's internals is here.

The command line's own `main()` is called, so parsers, defaults, checks and output are vLLM's. What offline benchmarks do
differently on a loaded engine is one thing: `vllm.LLM`, where they ask for an engine, is ours for the while.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol
from unittest import mock

from benchbook.hosts.process.tasks import TaskRefused

# What of vLLM's client frozen requests are sent by.
_SENDING = set(
    "get_samples ASYNC_REQUEST_FUNCS prompt prompt_len expected_output_len request_id timestamp chat_messages "
    "request_overrides max_concurrency self_timed".split()
)


def run_vllm_bench(argv: Sequence[str]) -> int:
    """Run `vllm bench *argv` in this process and return its exit code."""
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "bench", *argv]
    try:
        main()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except Exception:  # as the interpreter does at the end of a program: show it, exit code 1
        traceback.print_exc()
        return 1
    return 0


def run_when_told(name: str, told: Callable[[], Sequence[str]]) -> int:
    """Run `vllm bench NAME` to where its words are read, ask `told` for them, and go on; return its exit code.

    `told` returns what follows `vllm bench`. It is not asked by a vLLM that reads its words elsewhere.
    """
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parse_args = FlexibleArgumentParser.parse_args

    def when_told(parser: Any, *args: Any, **options: Any) -> Any:
        reading.stop()
        sys.argv = ["vllm", "bench", *told()]
        return parse_args(parser, *args, **options)

    reading = mock.patch.object(FlexibleArgumentParser, "parse_args", when_told)
    reading.start()
    return run_vllm_bench([name])


def rehearse() -> None:
    """Have vLLM's command line import and build all that `vllm bench` needs. Raises what has moved in this vLLM."""
    from vllm.entrypoints.cli.main import main

    sys.argv = ["vllm", "bench"]  # no benchmark is named, so the parser complains once all of it is there
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere), contextlib.suppress(SystemExit):
        main()
    with contextlib.suppress(ImportError):  # of a vLLM that sets up its loggers once, at its import
        from vllm.logger import configure_logging_from_args

        # A command line that says nothing of logging finds it as it wants it, and needs not go through all loggers.
        configure_logging_from_args(argparse.Namespace())


@contextlib.contextmanager
def before_requests(act: Callable[[Sequence[int] | None], object]) -> Iterator[None]:
    """Inside, `vllm bench serve` calls `act` when its tokenizer and prompts are there, before it sends anything.

    `act` gets how many tokens each request asks for, in the order of the raw file; None where this vLLM does not tell.
    One that has moved that place sends without.
    """
    try:
        from vllm.benchmarks import serve

        benchmark = serve.benchmark
    except (ImportError, AttributeError):
        yield
        return

    async def acting(*args: Any, **options: Any) -> Any:
        act(_asked_tokens(options.get("input_requests")))
        return await benchmark(*args, **options)

    with mock.patch.object(serve, "benchmark", acting):
        yield


class Sender(Protocol):
    """What `vllm bench serve` sends in place of a data set, and how."""

    def samples(self, args: argparse.Namespace, tokenizer: Any) -> list[dict[str, Any]]:
        """Return the fields of each of vLLM's SampleRequests, for these words and their tokenizer."""

    @property
    def options(self) -> Mapping[str, Any]:
        """Options of vLLM's `benchmark` that are others than its words say."""

    def around(self, request_func: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is called in place of `request_func`, which is to send and to time each request."""


@contextlib.contextmanager
def sending(sender: Sender) -> Iterator[None]:
    """Inside, `vllm bench serve` sends the requests of `sender` in place of those that its data set would load.

    All else is vLLM's: arrivals, sending, timing, counting, the result. To be called where `why_not_sending` is ''.
    """
    from vllm.benchmarks import serve

    benchmark, functions = serve.benchmark, serve.ASYNC_REQUEST_FUNCS

    def samples(args: argparse.Namespace, tokenizer: Any) -> list[Any]:
        return [serve.SampleRequest(**fields) for fields in sender.samples(args, tokenizer)]

    async def acting(*args: Any, **options: Any) -> Any:
        return await benchmark(*args, **{**options, **sender.options})

    around = {backend: sender.around(function) for backend, function in functions.items()}
    with (
        mock.patch.object(serve, "get_samples", samples),
        mock.patch.object(serve, "benchmark", acting),
        mock.patch.dict(functions, around),
    ):
        yield


def why_not_sending() -> str:
    """Return what of vLLM's client is not where `sending` looks for it; '' where all of it is."""
    try:
        from vllm.benchmarks import serve

        fields = {field.name for field in dataclasses.fields(serve.SampleRequest)}
        options = set(inspect.signature(serve.benchmark).parameters)
        there = {*fields, *options, *(name for name in ("get_samples", "ASYNC_REQUEST_FUNCS") if hasattr(serve, name))}
    except (ImportError, AttributeError, TypeError) as error:
        return f"vLLM's internals have moved: {error!r}"
    missing = sorted(_SENDING - there)
    return f"vLLM's internals have moved: no {', '.join(missing)}" if missing else ""


class WordsRefused(ValueError):
    """vLLM's command line has refused its words, for which it gave this reason."""


class _Loaded(BaseException):
    """Ends `vllm bench serve` before anything is sent."""


def loaded(argv: Sequence[str], make: Callable[[Callable[[], list[Any]], Any], Any]) -> Any:
    """Return what `make` makes where `vllm bench *argv` would load its data set, and end there: nothing is sent.

    `make` gets what loads vLLM's own SampleRequests, and the tokenizer. Raises what it raises, and
    WordsRefused; ImportError or AttributeError when vLLM's internals have moved.
    """
    from vllm.benchmarks import serve

    get_samples = serve.get_samples

    def load(args: argparse.Namespace, tokenizer: Any) -> NoReturn:
        try:
            found.append(make(lambda: get_samples(args, tokenizer), tokenizer))
        except Exception as error:  # vLLM's command line would print it and go
            found.append(error)
        raise _Loaded

    found: list[Any] = []
    said = io.StringIO()
    with mock.patch.object(serve, "get_samples", load), contextlib.redirect_stderr(said), contextlib.suppress(_Loaded):
        run_vllm_bench(argv)
    if not found:
        lines = said.getvalue().strip().splitlines()
        raise WordsRefused(lines[-1] if lines else "vllm bench ended before it loaded its data set")
    if isinstance(found[0], Exception):
        raise found[0]
    return found[0]


def _asked_tokens(requests: Any) -> list[int] | None:
    asked = [getattr(request, "expected_output_len", None) for request in requests or ()]
    return asked if asked and all(isinstance(tokens, int) for tokens in asked) else None


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

    sys.argv = ["vllm", "bench", "latency", *engine_argv]
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
