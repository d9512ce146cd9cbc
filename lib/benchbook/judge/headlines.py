"""The metric that a case is compared by first: its benchmark's headline, chosen before any result was seen."""

from __future__ import annotations

from benchbook.records.record import Record
from benchbook.terms.asked import Offered
from benchbook.terms.benchmarks import BENCHMARKS

# An open loop's throughput is the rate it was offered, whatever the launch does; its latency answers.
OPEN_LOOP_HEADLINE = "mean_e2el_ms"
_TEXTS = {
    "output_throughput_tok_s": "{:.1f} output tok/s",
    "avg_batch_latency_s": "{:.3f} s a batch",
    "ttft_ms": "TTFT {:.1f} ms",
}


def headline_of(benchmark: str, load: Offered | None) -> str | None:
    """Return the headline metric of a case; a single first request has none."""
    if load is not None and load.is_open:
        return OPEN_LOOP_HEADLINE
    return BENCHMARKS[benchmark].headline


def headline_text(record: Record) -> str:
    """Return the one figure that a line on a repeat can carry, '811.1 output tok/s'; '' where it has none."""
    known = ((record.values.get(key), text) for key, text in _TEXTS.items())
    return next((text.format(value) for value, text in known if value is not None), "")
