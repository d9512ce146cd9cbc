"""What `vllm bench throughput` gives a loaded engine: frozen requests in place of its data set, and what came of them.

Loading the engine, handing all over at once, timing and counting stay vLLM's.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from benchbook.hosts.process.tasks import TaskRefused

_FIELDS = {"prompt", "prompt_len", "expected_output_len"}
TOKEN_IDS = "prompt_token_ids"  # of a prompt that is no text


def given_sha256(requests: Iterable[tuple[Any, int]]) -> str:
    """Return a hash of what an engine was given: of each request its text or token ids, and the tokens asked for."""
    digest = hashlib.sha256()
    for prompt, tokens in requests:
        digest.update(json.dumps([prompt, tokens], sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


@contextlib.contextmanager
def giving(given: Mapping[str, Any], llm: Any, settle: Callable[[], object]) -> Iterator[None]:
    """Inside, `vllm bench throughput` gives `llm` the lots of `given`, one each time it would load its data set.

    `lots` are lists of the fields of vLLM's SampleRequests: the warm-up's first, if it has one, after which `settle` is
    called, so that the measured ones find nothing of it in the cache. What came of the last lot stands in the file
    `notes_path` after. Raises TaskRefused where this vLLM cannot be given any.
    """
    from vllm.benchmarks import throughput

    if why := _why_not_giving(throughput):
        raise TaskRefused(why)
    left, still_to_do = iter(given["lots"]), len(given["lots"])

    def get_requests(args: Any, tokenizer: Any) -> list[Any]:
        lot = next(left)
        if len(lot) != args.num_prompts:
            raise ValueError(f"vLLM asks for {args.num_prompts} requests where {len(lot)} are to be given")
        return [throughput.SampleRequest(**fields) for fields in lot]

    calls: list[tuple[Sequence[Any], Sequence[Any], Sequence[Any]]] = []
    generate = llm.generate

    def noting(prompts: Any, sampling: Any, *args: Any, **options: Any) -> Any:
        nonlocal still_to_do
        outputs = generate(prompts, sampling, *args, **options)
        calls[:] = [(prompts, sampling, outputs)]
        still_to_do -= 1
        if still_to_do:
            settle()  # before vLLM's clock starts
        return outputs

    with (
        mock.patch.object(throughput, "get_requests", get_requests),
        mock.patch.object(llm, "generate", noting),
    ):
        yield
    if calls:  # a benchmark that failed before has given nothing
        Path(given["notes_path"]).write_text(json.dumps(_notes(*calls[0], llm)))


def _why_not_giving(throughput: Any) -> str:
    """Return what of vLLM's benchmark is not where `giving` looks for it; '' where all of it is."""
    try:
        fields = {field.name for field in dataclasses.fields(throughput.SampleRequest)}
    except (AttributeError, TypeError) as error:
        return f"vLLM's internals have moved: {error!r}"
    there = {*fields, *(["get_requests"] if hasattr(throughput, "get_requests") else [])}
    missing = sorted({*_FIELDS, "get_requests"} - there)
    return f"vLLM's internals have moved: no {', '.join(missing)}" if missing else ""


def _notes(prompts: Sequence[Any], sampling: Sequence[Any], outputs: Sequence[Any], llm: Any) -> dict[str, Any]:
    """Return what the engine was given, and of each request its tokens and those of its answer.

    And how many the prefix cache had; None: not told.
    """
    texts = (prompt.get(TOKEN_IDS) or prompt.get("prompt") for prompt in prompts)
    return {
        "sha256": given_sha256((text, asked.max_tokens) for text, asked in zip(texts, sampling, strict=True)),
        "prompts": [list(output.prompt_token_ids or ()) for output in outputs],
        "answered_tokens": [sum(len(one.token_ids) for one in output.outputs) for output in outputs],
        "cached_tokens": [getattr(output, "num_cached_tokens", None) for output in outputs],
        "block_tokens": _block_tokens(llm),
    }


def _block_tokens(llm: Any) -> int | None:
    """Return how many tokens a block of the prefix cache has; None where this vLLM does not tell."""
    config = getattr(getattr(llm, "llm_engine", None), "vllm_config", None)
    return getattr(getattr(config, "cache_config", None), "block_size", None)
