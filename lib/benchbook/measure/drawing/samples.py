"""What vLLM's own loader has drawn from a data set, as requests that can be frozen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchbook.measure.drawing.designs import Design, Draft
from benchbook.measure.drawing.tokens import Place, encoded
from benchbook.records.frozen import FrozenRequest
from benchbook.terms.errors import ExperimentError


def drafts_of(samples: list[Any], design: Design) -> Iterator[Draft]:
    """Yield a request for each of vLLM's SampleRequests; ExperimentError for one that this endpoint cannot be sent."""
    for number, sample in enumerate(samples):
        try:
            yield _draft(sample, design)
        except ValueError as error:  # pydantic's as well
            raise ExperimentError(f"request {number} of the data set cannot be sent: {error}") from error


def _draft(sample: Any, design: Design) -> Draft:
    how = {"body": sample.request_overrides} if sample.request_overrides else {}
    if sample.timestamp is not None:
        how["due_s"] = float(sample.timestamp)
    output_tokens, prompt = sample.expected_output_len, sample.prompt
    messages = sample.chat_messages or _messages(prompt, sample.multi_modal_data)
    if messages is not None:
        if not design.is_chat:
            raise ValueError("it has messages, or more than text: say endpoint: chat")
        return design.of_messages(messages, output_tokens, **how)
    if isinstance(prompt, str):
        return design.of_text(prompt, encoded(design.tokenizer, prompt, Place.ALONE), output_tokens, **how)
    if not all(type(token) is int for token in prompt):
        raise ValueError("it holds several prompts in one")
    if design.is_chat:
        raise ValueError("it is of token ids: say endpoint: completions")
    request = FrozenRequest(prompt=tuple(prompt), input_tokens=len(prompt), output_tokens=output_tokens, **how)
    return Draft(request, tuple(prompt))


def _messages(prompt: Any, media: Any) -> list[Mapping[str, Any]] | None:
    """Return what vLLM's client would make messages of; None of a plain prompt."""
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], Mapping):
        if all("role" in one for one in prompt):
            return prompt
    elif media:
        prompt = [{"type": "text", "text": prompt}]
    else:
        return None
    parts = [*prompt, *(media if isinstance(media, list) else [media] if media else [])]
    if not all(isinstance(part, Mapping) and "type" in part for part in parts):
        raise ValueError("it has sounds or images in a form that is no JSON")
    return [{"role": "user", "content": parts}]
