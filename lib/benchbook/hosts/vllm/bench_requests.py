"""What `vllm bench serve` sends, in a process that has it imported: looked at, another in its place, or only loaded.

All else stays vLLM's: arrivals, sending, timing, counting, the result.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, Protocol
from unittest import mock

from benchbook.hosts.vllm.bench import run_vllm_bench

# What of vLLM's client frozen requests are sent by.
_SENDING = set(
    "get_samples ASYNC_REQUEST_FUNCS prompt prompt_len expected_output_len request_id timestamp chat_messages "
    "request_overrides max_concurrency self_timed".split()
)

_END = re.compile(r'"usage":\s*\{|"finish_reason":\s*"')
_TEXTS = ("text", "content", "reasoning", "reasoning_content", "tool_calls")  # what a chunk may bring
COUNTED, TEXTLESS = "counts_beside", "textless_ends"


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


@contextlib.contextmanager
def hearing_ends(note: Callable[[str], object]) -> Iterator[None]:
    """Inside, `vllm bench serve` hears counts of tokens that stand beside text too; `note` gets COUNTED or TEXTLESS for each.

    vLLM's client looks for counts in an event without text, as OpenAI has it; told beside the last text, as by LiteLLM and
    llama.cpp, it counts words by the tokenizer, which gives other numbers. So such an event is followed by one of its counts
    alone. Nothing is timed by that one. TEXTLESS is an event that ends an answer and has no text, which vLLM's client takes
    for a chunk. A vLLM that has moved its reader of events counts as it does.
    """
    try:
        from vllm.benchmarks.lib.endpoint_request_func import StreamedResponseHandler

        add_chunk = StreamedResponseHandler.add_chunk
    except (ImportError, AttributeError):
        yield
        return

    def heard(reader: Any, chunk_bytes: bytes) -> list[str]:
        return [one for event in add_chunk(reader, chunk_bytes) for one in (event, *_heard_in(event, note))]

    with mock.patch.object(StreamedResponseHandler, "add_chunk", heard):
        yield


def _heard_in(event: str, note: Callable[[str], object]) -> list[str]:
    """Return an event with the counts of `event` alone, where they stand beside text; [] otherwise."""
    if not _END.search(event):  # vLLM's own say null in all but the last
        return []
    try:
        told = json.loads(event.removeprefix("data: "))
        choice, usage = told["choices"][0], told.get("usage")
        said = {**choice, **(choice.get("delta") or {})}
    except (ValueError, LookupError, TypeError, AttributeError):
        return []
    if not any(said.get(name) for name in _TEXTS):
        note(TEXTLESS)
    if not isinstance(usage, dict) or not usage.get("completion_tokens"):
        return []
    note(COUNTED)
    return [f"data: {json.dumps({'choices': [], 'usage': usage})}"]


@contextlib.contextmanager
def to_each_in_turn(addresses: Sequence[str]) -> Iterator[None]:
    """Inside, `vllm bench serve` sends its requests to `addresses` in turn; the first is the one that its words name.

    All else is vLLM's, as in `sending`. To be called where `why_not_sending` is ''.
    """
    from vllm.benchmarks import serve

    first, turns = addresses[0], itertools.cycle(addresses)

    def around(request_func: Callable[..., Any]) -> Callable[..., Any]:
        async def send(request_func_input: Any, session: Any, pbar: Any = None) -> Any:
            path = request_func_input.api_url.removeprefix(first)
            asked = dataclasses.replace(request_func_input, api_url=next(turns) + path)
            return await request_func(request_func_input=asked, session=session, pbar=pbar)

        return send

    functions = serve.ASYNC_REQUEST_FUNCS
    with mock.patch.dict(functions, {backend: around(function) for backend, function in functions.items()}):
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
