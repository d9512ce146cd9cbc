"""Every format that is known: whose file it is, how it is recognised, and what reads it. A new one is a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchbook.numbers import aiperf, guidellm, inference_perf, inferencex, llmd, ours, sglang, vllm
from benchbook.numbers.figures import Figures, Told
from benchbook.terms.errors import StoreError


class Format(NamedTuple):
    """One kind of file."""

    name: str
    is_one: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Told], Figures | list[Figures]]


def refusing(problem: str) -> Callable[[Told], Figures]:
    """Return a reader that says why a kind of file is not read."""

    def read(told: Told) -> Figures:
        raise StoreError(f"{told.where} {problem}")

    return read


FORMATS = (
    Format("SGLang bench_serving", sglang.is_line, sglang.line),
    Format("InferenceX", inferencex.is_result, inferencex.result),
    Format("InferenceX, as on its pages", inferencex.is_page_row, inferencex.page_row),
    Format("vllm bench serve", vllm.is_serve, vllm.serve),
    Format("vllm bench latency", vllm.is_latency, vllm.latency),
    Format("vllm bench throughput", vllm.is_throughput, vllm.throughput),
    Format("inference-perf", inference_perf.is_stage, inference_perf.stage),
    Format("GuideLLM", guidellm.is_report, guidellm.report),
    Format("AIPerf", aiperf.is_export, aiperf.export),
    Format("llm-d benchmark report v0.2", llmd.is_report, ours.in_report),
    Format("a record of benchbook", ours.is_record, ours.record),
    Format("published figures", ours.is_publication, ours.publication),
)
# Known, and nothing that a record could be made of.
NOT_READ = (
    Format(
        "EvalScope",
        lambda told: "summary_columns" in told and "basic_info" in told,
        refusing("is EvalScope's page of averages: it has no percentile and no counts; nothing is read"),
    ),
    Format(
        "vllm bench startup",
        lambda told: "avg_cold_startup_time" in told or "avg_warm_startup_time" in told,
        refusing("tells times of starts (vllm bench startup), which no benchmark here measures"),
    ),
    Format(
        "vllm bench sweep, a failure",
        lambda told: "error_type" in told and "error" in told,
        lambda told: refusing(f"tells of a failure: {told.value('error_type')}: {str(told.value('error'))[:200]}")(
            told
        ),
    ),
)


def format_of(content: Mapping[str, Any]) -> Format | None:
    """Return the format of an object, None where nobody knows it."""
    return next((one for one in (*FORMATS, *NOT_READ) if one.is_one(content)), None)


def figures_of(told: Told) -> list[Figures]:
    """Return what an object tells; StoreError where it is of no known format, or holds what cannot be."""
    known = format_of(told.content)
    if known is None:
        names = ", ".join(one.name for one in FORMATS)
        raise StoreError(f"{told.where} is of no format that is known ({names})")
    found = known.read(told)
    return found if isinstance(found, list) else [found]
