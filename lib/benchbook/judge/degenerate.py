"""A model whose speed is that of no model: every prompt gets one answer, or every token takes the same experts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Finding, counted_experts
from benchbook.judge.model_config import UnknownShapeError, shape_of
from benchbook.records.host import HostFacts
from benchbook.records.record import Record
from benchbook.records.settings import settings_of
from benchbook.terms.wording import counted, number_text

MIN_DISTINCT_SHARE = 0.25  # of the answers to prompts that all differ
MAX_FACTOR = 1.5  # experts that a large step reads, over those of one token
MIN_EVEN_FACTOR = 3.0  # the same under even routing: below it, a large step can hardly read more


def degenerate_model(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect every record of a launch whose model gives one answer to all, or sends all tokens to the same experts."""
    by_launch: dict[str, list[Record]] = {}
    for record in records:
        by_launch.setdefault(record.identity.launch, []).append(record)
    for group in by_launch.values():
        for evidence in (_one_answer, _few_experts, _dummy_experts):
            if told := next((text for record in group if (text := evidence(record.host))), None):
                found = reason("degenerate_model", told)
                yield from ((record, found) for record in group)
                break


def has_dummy_weights(host: HostFacts) -> bool:
    """Return whether the engine made up the weights of a host itself, by its command."""
    return settings_of(host).has_dummy_weights


def _one_answer(host: HostFacts) -> str | None:
    """Say so where nearly all of the fixed prompts got one answer, if they differed for the model's tokenizer."""
    answers, prompts = host.greedy_outputs, host.distinct_prompts
    if prompts is None and not host.random_weights:
        prompts = len(answers)  # plain English, which a tokenizer that is made here reads as one unknown word
    if not answers or not prompts or len(set(answers)) > MIN_DISTINCT_SHARE * min(prompts, len(answers)):
        return None
    return f"{prompts} different prompts got {counted(len(set(answers)), 'answer')}"


def _few_experts(host: HostFacts) -> str | None:
    """Say so where a step of many sequences was counted to read about as many experts as one of a single one."""
    routing = host.routing
    counts = {int(tokens): experts for tokens, experts in routing.decode.items()}
    if len(counts) < 2 or not routing.active:
        return None
    many, active, experts = max(counts), routing.active, routing.experts
    even = experts * (1 - (1 - active / experts) ** many)
    if even < MIN_EVEN_FACTOR * active or counts[many] > MAX_FACTOR * active:
        return None
    return (
        f"a step of {many} sequences reads {number_text(counts[many])} of {experts} experts a layer, and one sequence "
        f"{active}; evenly routed it would be {number_text(even)}"
    )


def _dummy_experts(host: HostFacts) -> str | None:
    """Say so where vLLM's dummy weights stand for gpt-oss, whose router's bias then decides alone, uncounted."""
    config = host.config or {}
    if not has_dummy_weights(host) or counted_experts(host) or config.get("model_type") != "gpt_oss":
        return None
    try:
        shape = shape_of(config)
    except UnknownShapeError:
        return None
    if not shape.experts:
        return None
    zero = ", whose weights are all zero" if shape.weight_format == "mxfp4" else ""
    return (
        f"load_format: dummy makes a router that sends every token to the same {shape.active_experts} of "
        f"{shape.experts} experts of a layer{zero}"
    )


CHECKS = (degenerate_model,)
