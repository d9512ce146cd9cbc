"""Sentences made from one record: what the numbers say, and what they do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbook.judge.loads import load_text, tokens_text
from benchbook.records.record import Record, Verdict
from benchbook.terms.percentiles import samples_needed
from benchbook.terms.wording import percent_text

Raw = Mapping[str, Any]


def serve_reading(record: Record, raw: Raw) -> list[str]:
    """Return how much was answered how soon, and how fast one user reads."""
    values = record.values
    if not values["completed"]:
        return ["No request completed: there is nothing to read here but the errors above."]
    load = f"{'At' if record.load.is_open else 'With'} {load_text(record)}"
    sentences = [
        f"{load}, the server generated {values['output_throughput_tok_s']:.1f} output tokens per second over "
        f"{values['duration_s']:.1f} s; each of {values['completed']} requests saw its first token after "
        f"{values['median_ttft_ms']:.1f} ms (median) and was complete after {values['median_e2el_ms']:.0f} ms (median)."
    ]
    if values["median_tpot_ms"]:
        sentences.append(
            f"While an answer streamed, a token came every {values['median_tpot_ms']:.2f} ms (median TPOT), "
            f"{1000 / values['median_tpot_ms']:.0f} tokens per second for one user."
        )
    sentences += filter(
        None,
        (
            _end_text(record),
            _way_text(record),
            _guesses_text(values),
            _cache_text(values),
            _waits_text(values),
            _turns_text(record),
        ),
    )
    needed = samples_needed(99)
    if values["completed"] < needed:
        sentences.append(
            f"{values['completed']} requests are too few for a tail: a p99 of fewer than {needed} is one or a few requests."
        )
    return sentences


def _end_text(record: Record) -> str:
    """Say whether the clock or the last of its requests has ended a load that was to end by the clock; '' for all others."""
    ends_after_s, most = record.workload.get("ends_after_s"), record.workload.get("num_prompts")
    if not ends_after_s:
        return ""
    if record.values["completed"] + (record.values.get("failed") or 0) < most:
        return f"It ended by the clock: after {ends_after_s:g} s nothing more was sent."
    return (
        f"All of its {most} requests were answered before {ends_after_s:g} s were over: with more num_prompts it lasts."
    )


def _way_text(record: Record) -> str:
    """Say how much of the wait for a first token is the way to a server of somebody else; '' where that is not known."""
    way_ms, ttft_ms = record.conditions.network.round_trip_ms, record.values["median_ttft_ms"]
    if not way_ms or not ttft_ms:
        return ""
    return f"A TCP round trip to the server takes {way_ms:.3g} ms, {percent_text(way_ms / ttft_ms)} of the median TTFT, which holds it."


def _guesses_text(values: Mapping[str, Any]) -> str:
    """Say how much speculative decoding guessed right; '' where nothing was guessed."""
    rate, length = values.get("spec_acceptance_pct"), values.get("spec_acceptance_length_tok")
    if rate is None or length is None:
        return ""
    return f"Of the tokens guessed ahead {rate:.0f} % came true: each sequence got {length:.2f} tokens a step."


def _cache_text(values: Mapping[str, Any]) -> str:
    """Say how much of the prompts was in the prefix cache; '' where nothing was."""
    hits, tokens = values.get("prefix_hit_pct"), values.get("cached_tokens")
    return (
        f"{hits:.1f} % of the prompt tokens came from the prefix cache: {tokens:,} tokens." if hits and tokens else ""
    )


def _waits_text(values: Mapping[str, Any]) -> str:
    """Say how long requests waited before the server's first step, in client and server; '' where neither tells."""
    client_ms, server_ms = values.get("mean_client_queue_ms"), values.get("mean_server_queue_ms")
    waits = [f"{ms:.1f} ms in the {where}" for ms, where in ((client_ms, "client"), (server_ms, "server")) if ms]
    return f"Before its first step a request waited {' and '.join(waits)}, on average." if waits else ""


def _turns_text(record: Record) -> str:
    """Say how long each turn of conversations waited for its first token; '' without any."""
    found = [ms for ms in record.conditions.sent.median_ttft_by_turn_ms or () if ms is not None]
    if len(found) < 2:
        return ""
    return (
        f"By turn of the conversation, the first token came after {', '.join(f'{ms:.1f}' for ms in found)} ms (median)."
    )


def latency_reading(record: Record, raw: Raw) -> list[str]:
    """Return how long a batch takes, how even that was, and whether it is a floor."""
    values, workload = record.values, record.workload
    spread = (values["p90_batch_latency_s"] - values["p10_batch_latency_s"]) / values["p50_batch_latency_s"]
    asked, per_token = record.asked, ""
    if asked.output_tokens_each is not None:
        each_ms = values["avg_batch_latency_s"] * 1000 / asked.output_tokens_each
        per_token = f", {each_ms:.2f} ms a generated token with the prefill shared out"
    return [
        f"A batch of {asked.requests} with {tokens_text(record).replace(', ', ' and ')} took "
        f"{values['avg_batch_latency_s']:.3f} s on average over {workload['num_iters']} iterations{per_token}.",
        f"Eight iterations in ten lay within {spread:.0%} of the median. {_floor_text(record)}",
    ]


def _floor_text(record: Record) -> str:
    """Return what the number is good for: a floor for servers only where it may be believed."""
    codes = ", ".join(why.code for why in record.reasons if why.severity != "note")
    if record.verdict is not Verdict.VALID:
        return f"The measurement is {record.verdict.value} ({codes}): it is no floor to hold a server against."
    return "A server has HTTP, a queue and other requests beside the same work: a request it answers sooner is a contradiction."


def throughput_reading(record: Record, raw: Raw) -> list[str]:
    """Return how much was processed how fast, and of what it is a ceiling."""
    values = record.values
    return [
        f"{record.asked.requests} prompts given at once took {values['duration_s']:.2f} s: {values['output_throughput_tok_s']:.1f} output "
        f"tokens per second, {values['total_throughput_tok_s']:.1f} with the input counted as well.",
        *filter(None, [_cache_text(values)]),
        "This is a ceiling for serving only if the prompts were enough to fill the engine; compare it with the serving curve.",
    ]


def first_request_reading(record: Record, raw: Raw) -> list[str]:
    """Return when the first and the last token came."""
    values = record.values
    if values["ttft_ms"] is None:
        return ["No token arrived, so there is no time to first token."]
    return [
        f"The first token came after {values['ttft_ms']:.0f} ms and the last of {values['total_output_tokens']} after {values['e2el_ms']:.0f} ms. "
        "A first request pays for what later ones find warm: it says that the server works, not how fast it is."
    ]
