"""One set drawn into its file, where vLLM is imported: by the warm client, else by a program of its own.

    python -m benchbook.measure.drawing ORDER.json

An order is a file, and in its place comes the answer: {"sha256": ..., "header": {...}}, or {"refused": "one line"}.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchbook.hosts.model.files import tokenizer_sha256
from benchbook.hosts.vllm import bench_requests
from benchbook.measure.drawing.check import too_few
from benchbook.measure.drawing.corpus import path_of
from benchbook.measure.drawing.datasets import loadable, words_of
from benchbook.measure.drawing.designs import Design, Draft
from benchbook.measure.drawing.order import Order
from benchbook.measure.drawing.samples import drafts_of
from benchbook.measure.drawing.shared import Seen
from benchbook.plan.requests import RequestSet
from benchbook.plan.workloads import ServeWorkload
from benchbook.records.files import write_json
from benchbook.records.frozen import FrozenHeader, FrozenRequest, write_frozen
from benchbook.terms.errors import BenchbookError, ExperimentError

_MOST_CHARS = 300  # of what a loader says
_ADAPTER = 6  # what its random numbers are for, beside those of a design


def run_order(order_path: Path) -> int:
    """Draw what the file says, put the answer in its place, and return the exit code: 2 where it was refused."""
    order = Order(**json.loads(order_path.read_bytes()))
    try:
        answer = draw(order)
    except BenchbookError as error:
        answer = {"refused": str(error)}
    write_json(order_path, answer)
    return 2 if "refused" in answer else 0


def draw(order: Order) -> dict[str, Any]:
    """Write the frozen file of `order` and return its hash and header; ExperimentError where that cannot be."""
    wanted = RequestSet(**order.request_set)
    is_chat = wanted.endpoint == "chat"
    ends = ["--backend", "openai-chat", "--endpoint", "/v1/chat/completions"] if is_chat else ["--backend", "openai"]
    words = [ServeWorkload.benchmark, "--model", order.model, *order.tokenizer_words, *ends, "--seed", str(order.seed)]
    path = path_of(wanted.path) if wanted.path else ""
    with loadable(wanted.dataset or "", path) as file:
        if wanted.dataset:
            words += words_of(wanted.dataset, file, wanted.options, order.requests, is_chat=is_chat)
        try:
            return bench_requests.loaded(words, lambda load, tokenizer: _write(order, wanted, tokenizer, load))
        except bench_requests.WordsRefused as error:
            raise ExperimentError(f"requests.{order.name}: {error}") from error


def _write(order: Order, wanted: RequestSet, tokenizer: Any, load: Callable[[], list[Any]]) -> dict[str, Any]:
    import vllm

    distinct, drafts = _drafts(order, wanted, Design(wanted, tokenizer, order.seed), load)
    words = list(order.tokenizer_words)
    header = FrozenHeader(
        name=order.name,
        requests=order.requests,
        distinct=distinct,
        seed=order.seed,
        spec=order.request_set,
        vllm_version=vllm.__version__,
        tokenizer_sha256=tokenizer_sha256(words[words.index("--tokenizer") + 1]),
    )
    sha256 = write_frozen(Path(order.path), header, _finished(drafts, wanted, order))
    return {"sha256": sha256, "header": header.model_dump()}


def _drafts(
    order: Order, wanted: RequestSet, design: Design, load: Callable[[], list[Any]]
) -> tuple[int, Iterable[Draft]]:
    """Return how many requests are different, and all of them."""
    number, path = order.requests, next(iter(wanted.files.values()), wanted.path or wanted.dataset or "")
    if wanted.kind == "lengths":
        return number, design.of_lengths(number)
    if wanted.kind == "dataset":
        samples = _loaded(order.name, load)
        there, least = len(samples), order.at_once
        drafts = itertools.islice(itertools.cycle(drafts_of(samples, design)), number)
    elif wanted.kind == "trace":
        there, least, drafts = design.num_recorded(number), number, design.of_trace(number)
    else:
        there, least = design.num_told(number, order.stretches), order.at_once
        drafts = design.of_talks(number, order.stretches)
    if there < least:
        raise ExperimentError(too_few(path_of(path), there, least))
    return min(there, number), drafts


def _loaded(name: str, load: Callable[[], list[Any]]) -> list[Any]:
    """Return what vLLM's loader has drawn; whatever it raises is about what it was given."""
    try:
        return load()
    except Exception as error:
        said = " ".join(str(error).split())
        raise ExperimentError(
            f"requests.{name}: vLLM's loader: {type(error).__name__}: {said[:_MOST_CHARS]}"
        ) from error


def _finished(drafts: Iterable[Draft], wanted: RequestSet, order: Order) -> Iterator[FrozenRequest]:
    """Yield the requests with their adapters, and with what each of them shares with those before it."""
    import numpy

    seen: dict[str | None, Seen] = {}  # an adapter's keys and values are of use to no other
    names, ends = [*wanted.adapters, None], list(itertools.accumulate(wanted.adapters.values()))
    shares = numpy.random.default_rng((order.seed, _ADAPTER))
    adapter: str | None = None
    for draft in drafts:
        if not draft.request.turn:  # the turns of a conversation are one user's
            share = shares.random()
            adapter = names[sum(end <= share for end in ends)]
        shared = seen.setdefault(adapter, Seen()).add(draft.tokens or ())
        yield draft.request.model_copy(update={"adapter": adapter, "shared_tokens": shared})
