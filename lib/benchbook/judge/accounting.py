"""Accounting: what was asked, what was sent, what was counted. A number about other work than asked is no number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Check, Measured
from benchbook.records.record import Reason, Record
from benchbook.terms.asked import Asked
from benchbook.terms.benchmarks import FIRST_REQUEST, LATENCY, SERVE, THROUGHPUT
from benchbook.terms.metrics import broken_values
from benchbook.terms.wording import counted

Raw = Mapping[str, Any]
Row = tuple[str, Any, Any]  # what, as asked (None: not fixed), as counted

LENGTH_SLACK = 0.02
STANDARD_ERRORS = 3.0


def accounting_rows(work: Measured | Record, raw: Raw) -> list[dict[str, Any]]:
    """Return rows of {'what', 'asked', 'counted', 'agrees'} for the notebook's accounting table.

    What the workload does not fix beforehand, such as the tokens of drawn lengths, has no row.
    """
    rows = [
        {"what": what, "asked": asked, "counted": counted}
        for what, asked, counted in ROWS[work.benchmark](work, raw)
        if asked is not None
    ]
    return [{**row, "agrees": row["counted"] == row["asked"]} for row in rows]


def requests_failed(measured: Measured) -> Reason | None:
    """Invalid when requests failed; the evidence quotes their errors."""
    asked, failed = measured.asked.requests, _failed(measured)
    if not measured.is_of_requests or not failed:
        return None
    # What vLLM keeps of an error is a traceback, whose last line says what it was.
    errors = sorted({error.strip().splitlines()[-1] for error in measured.raw.get("errors", []) if error.strip()})
    quoted = f": {'; '.join(errors)[:300]}" if errors else ""
    return reason("requests_failed", f"{failed} of {'the' if asked is None else asked} requests failed{quoted}")


def _failed(measured: Measured) -> int | None:
    """Return how many requests failed; None where no count tells."""
    asked, completed = measured.asked.requests, measured.count("completed")
    failed = measured.count("failed")
    return asked - completed if failed is None and asked is not None and completed is not None else failed


def nothing_completed(measured: Measured) -> Reason | None:
    """Invalid when no request completed: then vLLM writes 0.0 for each latency."""
    if not measured.is_of_requests or measured.count("completed") != 0:
        return None
    return reason("nothing_completed", "no request completed, so there is no latency and no throughput")


def value_no_number(measured: Measured) -> Reason | None:
    """Invalid when what stands for a metric in the raw file is no finite number."""
    broken = broken_values(measured.benchmark, measured.raw)
    said = "; ".join(f"{key} is {str(value)[:40]!r}" for key, value in sorted(broken.items()))
    return reason("value_no_number", said) if broken else None


def outputs_short(measured: Measured) -> Reason | None:
    """Invalid when answers are shorter than asked: a cut stream is a success in vLLM's file, only its length tells.

    With a range ratio the lengths asked for are not in the file but in the client's notes; where there are none, short
    is what is below the least that vLLM draws. Where answers may end by themselves, none is short.
    """
    if not measured.is_of_requests or measured.asked.ends_by != "length":
        return None
    asked, least = measured.asked.output_tokens_each, _least_output(measured.asked)
    pairs = zip(measured.raw.get("output_lens", []), measured.raw.get("errors", []))
    short = [length for length, error in pairs if not error and length < least]
    cut = measured.conditions.client.cut_answers or []
    if len(cut) > len(short):
        asked, came = cut[0]
        said = f"{counted(len(cut), 'answer')} ended before the drawn length, the first after {came} of {asked} tokens"
    elif short:
        drawn = f" ({least} at least, by the range ratio)" if measured.asked.is_drawn else ""
        of = "" if measured.asked.varies_by is None else f"of {asked} "
        said = f"{counted(len(short), 'answer')} ended early: {min(short)} to {max(short)} {of}tokens{drawn}"
    else:
        return None
    return reason("outputs_short", f"{said} (cut streams, or an early stop)")


def _least_output(asked: Asked) -> int:
    """Return the fewest tokens that any answer is to have: 1 where nobody knows more."""
    if asked.output_tokens_each is None or asked.varies_by is None:
        return 1
    return max(1, math.floor(asked.output_tokens_each * (1 - asked.varies_by)))


def asked_not_counted(measured: Measured) -> Reason | None:
    """Invalid when a count differs from what was asked for."""
    rows = [row for row in accounting_rows(measured, measured.raw) if not row["agrees"]]
    if not rows:
        return None
    return reason(
        "asked_not_counted",
        "; ".join(f"{row['what']}: asked {row['asked']}, counted {row['counted']}" for row in rows),
    )


def lengths_shifted(measured: Measured) -> Reason | None:
    """Suspect when lengths drawn from a range have another mean than the length asked for, beyond chance."""
    ratio = measured.asked.varies_by
    if not measured.is_of_requests or not ratio:
        return None
    for what, key, asked in (
        ("input", "input_lens", measured.asked.input_tokens_each),
        ("output", "output_lens", measured.asked.output_tokens_each),
    ):
        errors = measured.raw.get("errors") or []
        lengths = [length for length, error in zip(measured.raw.get(key, []), errors) if not error]
        if not lengths or asked is None:
            continue
        # A uniform draw from asked × (1 ± ratio) has a standard deviation of ratio × asked / sqrt(3).
        by_chance = STANDARD_ERRORS * ratio * asked / math.sqrt(3 * len(lengths))
        mean = statistics.fmean(lengths)
        if abs(mean - asked) > LENGTH_SLACK * asked + by_chance:
            return reason(
                "lengths_shifted", f"mean {what} length {mean:.1f} tokens, asked {asked}, range ratio {ratio:g}"
            )
    return None


def _serve_rows(work: Measured | Record, raw: Raw) -> list[Row]:
    rows = [("requests completed", work.asked.requests, raw.get("completed")), *_token_rows(work, raw)]
    if "errors" in raw:  # one entry for each request that the client made, failed ones included
        rows.insert(0, ("requests sent", work.asked.requests, len(raw["errors"])))
    return rows


def _latency_rows(work: Measured | Record, raw: Raw) -> list[Row]:
    return [("iterations", work.workload.get("num_iters"), len(raw.get("latencies", [])))]


def _throughput_rows(work: Measured | Record, raw: Raw) -> list[Row]:
    return [("requests", work.asked.requests, raw.get("num_requests")), *_token_rows(work, raw.get("printed", {}))]


def _token_rows(work: Measured | Record, counts: Raw) -> list[Row]:
    return [
        ("input tokens", work.asked.input_tokens, counts.get("total_input_tokens")),
        ("output tokens", work.asked.output_tokens, counts.get("total_output_tokens")),
    ]


def _first_request_rows(work: Measured | Record, raw: Raw) -> list[Row]:
    counted, asked = (raw.get("usage") or {}).get("completion_tokens"), work.asked.output_tokens_each
    rows = [("answers with text", 1, int(bool(raw.get("text"))))]
    pieces = sum(len(gaps) + 1 for gaps in raw.get("itls") or ())
    if asked is not None and pieces > asked:  # a token makes one piece of text at most
        rows.append((f"pieces of text, at most {asked}", asked, pieces))
    if counted is None or asked is None:
        return rows
    return [*rows, (f"output tokens, at most {asked}", max(1, min(counted, asked)), counted)]


ROWS: dict[str, Callable[[Measured | Record, Raw], list[Row]]] = {
    SERVE.name: _serve_rows,
    LATENCY.name: _latency_rows,
    THROUGHPUT.name: _throughput_rows,
    FIRST_REQUEST.name: _first_request_rows,
}

CHECKS: tuple[Check, ...] = (
    requests_failed,
    nothing_completed,
    value_no_number,
    outputs_short,
    asked_not_counted,
    lengths_shifted,
)
