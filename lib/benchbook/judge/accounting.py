"""Accounting: what was asked, what was sent, what was counted. A number about other work than asked is no number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.guards import guard_reasons
from benchbook.judge.streams import stream_reasons
from benchbook.judge.telemetry import telemetry_reasons
from benchbook.records.record import Reason

Raw = Mapping[str, Any]
Workload = Mapping[str, Any]


def accounting_reasons(benchmark: str, workload: Workload, raw: Raw, host: Mapping[str, Any]) -> tuple[Reason, ...]:
    """Return why this result is not (fully) to be believed; notes are honest remarks that do not lower the verdict."""
    reasons = [*_CHECKS[benchmark](workload, raw), *guard_reasons(host), *telemetry_reasons(host)]
    if host.get("random_weights"):
        reasons.append(reason("random_weights", f"model {host.get('model')!r}"))
    return tuple(reasons)


def accounting_rows(benchmark: str, workload: Workload, raw: Raw) -> list[dict[str, Any]]:
    """Return rows of {'what', 'asked', 'counted', 'agrees'} for the notebook's accounting table."""
    rows = [
        {"what": what, "asked": asked, "counted": counted} for what, asked, counted in _ROWS[benchmark](workload, raw)
    ]
    return [{**row, "agrees": row["counted"] == row["asked"]} for row in rows]


def _serve_rows(workload: Workload, raw: Raw) -> list[tuple[str, Any, Any]]:
    num_prompts = workload["num_prompts"]
    rows = [("requests completed", num_prompts, raw.get("completed"))]
    if not workload.get("range_ratio"):  # with a range ratio, lengths are drawn: only their mean is asked for
        rows += [
            ("input tokens", num_prompts * workload["input_len_tokens"], raw.get("total_input_tokens")),
            ("output tokens", num_prompts * workload["output_len_tokens"], raw.get("total_output_tokens")),
        ]
    return rows


def _latency_rows(workload: Workload, raw: Raw) -> list[tuple[str, Any, Any]]:
    return [("iterations", workload["num_iters"], len(raw.get("latencies", [])))]


def _throughput_rows(workload: Workload, raw: Raw) -> list[tuple[str, Any, Any]]:
    num_prompts, printed = workload["num_prompts"], raw.get("printed", {})
    return [
        ("requests", num_prompts, raw.get("num_requests")),
        ("input tokens", num_prompts * workload["input_len_tokens"], printed.get("total_input_tokens")),
        ("output tokens", num_prompts * workload["output_len_tokens"], printed.get("total_output_tokens")),
    ]


def _first_request_rows(workload: Workload, raw: Raw) -> list[tuple[str, Any, Any]]:
    return [("answers with text", 1, int(bool(raw.get("text"))))]


def _serve_reasons(workload: Workload, raw: Raw) -> list[Reason]:
    reasons = []
    if raw.get("failed"):
        errors = sorted({error for error in raw.get("errors", []) if error})
        reasons.append(
            reason(
                "requests_failed",
                f"{raw['failed']} of {workload['num_prompts']} requests failed: {'; '.join(errors)[:300]}",
            )
        )
    if not raw.get("completed"):
        reasons.append(reason("nothing_completed", "no request completed, so there is no latency and no throughput"))
    return reasons + _short_outputs(workload, raw) + _disagreements("serve", workload, raw) + stream_reasons(raw)


def _short_outputs(workload: Workload, raw: Raw) -> list[Reason]:
    """A stream cut midway counts as success in vLLM's file: its error is empty and only its length tells."""
    asked = workload["output_len_tokens"]
    if workload.get("range_ratio"):
        return []
    pairs = zip(raw.get("output_lens", []), raw.get("errors", []))
    short = [length for length, error in pairs if not error and length < asked]
    if not short:
        return []
    return [
        reason(
            "outputs_short",
            f"{len(short)} answers ended early: {min(short)} to {max(short)} of {asked} tokens (cut streams, or an early stop)",
        )
    ]


def _disagreements(benchmark: str, workload: Workload, raw: Raw) -> list[Reason]:
    rows = [row for row in accounting_rows(benchmark, workload, raw) if not row["agrees"]]
    if not rows:
        return []
    return [
        reason(
            "asked_not_counted",
            "; ".join(f"{row['what']}: asked {row['asked']}, counted {row['counted']}" for row in rows),
        )
    ]


_ROWS: dict[str, Callable[[Workload, Raw], list[tuple[str, Any, Any]]]] = {
    "serve": _serve_rows,
    "latency": _latency_rows,
    "throughput": _throughput_rows,
    "first_request": _first_request_rows,
}
_CHECKS: dict[str, Callable[[Workload, Raw], list[Reason]]] = {
    "serve": _serve_reasons,
    "latency": lambda workload, raw: _disagreements("latency", workload, raw),
    "throughput": lambda workload, raw: _disagreements("throughput", workload, raw),
    "first_request": lambda workload, raw: _disagreements("first_request", workload, raw),
}
