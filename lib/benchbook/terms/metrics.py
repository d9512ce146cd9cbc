"""Every results column as a row of facts: name, unit, better direction, formula, and its key in vLLM's own file.

Tables, figures, captions and the metric table of docs/verdicts.md all read from here, so a name or a unit is written once.
The numbers themselves are vLLM's: a value here equals the raw file's to the digit (`values_from_raw`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.derived import DERIVED
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean

LARGEST = 1e30  # beyond lies nothing that was ever counted or timed, and soon no sum is finite
SMALLEST = 1e-30  # nor below, besides 0, and soon no quotient is finite


@dataclass(frozen=True)
class Metric:
    """One results column. `source_key` is a dotted path in vLLM's result file, or in what it printed (`printed.`).

    Without one, its value is made by the function of its key in terms/derived.py.
    """

    key: str
    label: str
    unit: str
    higher_is_better: bool | None  # None: a count or a setting, neither direction is better
    source_key: str
    formula: str
    zero_is_absent: bool = False  # vLLM writes 0.0 where it has no sample of a latency
    of: str = ""  # the latency of single requests that this is a statistic of: 'ttft', 'tpot', 'itl', 'e2el'
    statistic: str = ""  # 'mean', 'median', 'std', 'p99'; '' where there is but one number
    made_of: str = ""  # the metric that this is computed from, where vLLM does not give it

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Return the benchmarks that have it."""
        return tuple(name for name, row in BENCHMARKS.items() if (self.made_of or self.key) in row.metrics)

    @property
    def percentile(self) -> int | None:
        """Return 99 for a p99, 50 for a median, None for what is no percentile."""
        if self.statistic == "median":
            return 50
        return int(self.statistic[1:]) if self.statistic[1:].isdecimal() else None

    @property
    def can_be_wanted(self) -> bool:
        """Return whether one may set it a limit, or ask how well it is known: not of a count or a spread."""
        return self.higher_is_better is not None and self.statistic != "std"

    @property
    def heading(self) -> str:
        """Return the column heading, such as 'p99 TTFT (ms)'; a plain count has no unit."""
        return f"{self.label} ({self.unit})" if self.unit else self.label

    @property
    def direction(self) -> str:
        """Return 'higher is better', 'lower is better' or ''."""
        return {True: "higher is better", False: "lower is better", None: ""}[self.higher_is_better]


_LATENCY_KINDS = {
    "ttft": ("TTFT", "send to first streamed token, seen by the client"),
    "tpot": ("TPOT", "per request, (E2EL - TTFT) / (output tokens - 1)"),
    "itl": ("ITL", "gap between two streamed chunks, pooled over all requests"),
    "e2el": ("E2EL", "send to last token, seen by the client"),
}
_STATISTICS = {
    "mean": "mean",
    "median": "median",
    "std": "standard deviation",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
}


def _serve_latency(kind: str, statistic: str) -> Metric:
    name, formula = _LATENCY_KINDS[kind]
    key = f"{statistic}_{kind}_ms"
    of_what = f"{_STATISTICS[statistic]} of: {formula}"
    label, is_of = f"{statistic} {name}", {"of": kind, "statistic": statistic}
    return Metric(key, label, "ms", False, key, of_what, zero_is_absent=True, **is_of)


def _batch_latency(statistic: str, label: str, source_key: str, formula: str) -> Metric:
    key, name = f"{statistic}_batch_latency_s", f"Batch latency, {label}"
    return Metric(key, name, "s", False, source_key, formula, zero_is_absent=True, statistic=statistic)


METRICS: tuple[Metric, ...] = (
    Metric(
        "request_throughput_rps",
        "Request throughput",
        "req/s",
        True,
        "request_throughput|requests_per_second",
        "completed requests / duration",
    ),
    Metric(
        "output_throughput_tok_s",
        "Output throughput",
        "tok/s",
        True,
        "output_throughput|printed.output_throughput_tok_s",
        "output tokens / duration (throughput: as printed, 2 decimals)",
    ),
    Metric(
        "total_throughput_tok_s",
        "Total throughput",
        "tok/s",
        True,
        "total_token_throughput|tokens_per_second",
        "(input + output tokens) / duration",
    ),
    Metric(
        "request_goodput_rps",
        "Goodput",
        "req/s",
        True,
        "request_goodput",
        "requests meeting every SLO / duration; empty without SLOs",
    ),
    *(_serve_latency(kind, statistic) for kind in _LATENCY_KINDS for statistic in _STATISTICS),
    _batch_latency(
        "avg",
        "average",
        "avg_latency",
        "mean over iterations of one batch, start to last token",
    ),
    *(
        _batch_latency(f"p{p}", f"p{p}", f"percentiles.{p}", f"{p}th percentile over iterations")
        for p in (10, 25, 50, 75, 90, 99)
    ),
    Metric(
        "ttft_ms",
        "TTFT",
        "ms",
        False,
        "ttft_ms",
        "send to first streamed token of the one request",
        zero_is_absent=True,
    ),
    Metric("e2el_ms", "E2EL", "ms", False, "e2el_ms", "send to last token of the one request", zero_is_absent=True),
    Metric(
        "duration_s",
        "Duration",
        "s",
        None,
        "duration|elapsed_time",
        "first send to last answer",
    ),
    Metric(
        "completed",
        "Completed requests",
        "",
        None,
        "completed|num_requests",
        "requests answered",
    ),
    Metric(
        "spec_acceptance_pct",
        "Guesses accepted",
        "%",
        True,
        "spec_decode_acceptance_rate",
        "guessed tokens that came true / guessed tokens, of speculative decoding",
    ),
    Metric(
        "spec_acceptance_length_tok",
        "Tokens a step",
        "tok",
        True,
        "spec_decode_acceptance_length",
        "1 + accepted guesses / drafts: what a sequence gets from one step of speculative decoding",
    ),
    Metric(
        "mean_chunk_tok",
        "Tokens a chunk",
        "tok",
        None,
        "",
        "output tokens / streamed chunks with text",
    ),
    Metric(
        "prefix_hit_pct",
        "Prefix hits",
        "%",
        True,
        "",
        "prompt tokens found in the prefix cache / looked up, as server or engine count them",
    ),
    Metric(
        "cached_tokens",
        "Cached prompt tokens",
        "",
        None,
        "",
        "prompt tokens found in the prefix cache, as server or engine count them",
    ),
    Metric(
        "mean_client_queue_ms",
        "mean wait in the client",
        "ms",
        False,
        "",
        "of an open loop below a cap: from due to sent, which no latency holds",
    ),
    Metric(
        "mean_server_queue_ms",
        "mean wait in the server",
        "ms",
        False,
        "",
        "from the server's receipt to its first step with the request, by the server",
    ),
    Metric(
        "mean_server_prefill_ms",
        "mean prefill in the server",
        "ms",
        False,
        "",
        "from the first step with the request to its first token, by the server's counters",
    ),
    Metric(
        "mean_server_decode_ms",
        "mean decode in the server",
        "ms",
        False,
        "",
        "from the first token to the last, by the server's counters",
    ),
    Metric(
        "mean_server_ttft_ms",
        "mean TTFT in the server",
        "ms",
        False,
        "",
        "from the server's receipt to its first token, as it says of each request",
    ),
    Metric("failed", "Failed requests", "", None, "failed", "requests that vLLM's client counts as failed"),
    Metric(
        "total_input_tokens",
        "Input tokens",
        "",
        None,
        "total_input_tokens|printed.total_input_tokens|usage.prompt_tokens",
        "prompt tokens of completed requests",
    ),
    Metric(
        "total_output_tokens",
        "Output tokens",
        "",
        None,
        "total_output_tokens|printed.total_output_tokens|usage.completion_tokens",
        "generated tokens of completed requests",
    ),
)

BY_KEY: Mapping[str, Metric] = {metric.key: metric for metric in METRICS}


def metrics_for(benchmark: str) -> tuple[Metric, ...]:
    """Return the metrics that `benchmark` can have, in display order."""
    keys = BENCHMARKS[benchmark].metrics
    return tuple(metric for metric in BY_KEY.values() if metric.key in keys)


def known_key(name: str, known: Collection[str]) -> str | None:
    """Return the one of the `known` keys that `name` means, p50 and median being one; None where it means none."""
    spellings = (name, name.replace("p50_", "median_"), name.replace("median_", "p50_"))
    return next((spelling for spelling in spellings if spelling in known), None)


def metrics_named(options: Sequence[str]) -> list[tuple[Metric, str]]:
    """Return the metric of each `--metric NAME` or `NAME=VALUE`, with its value; raise ExperimentError for what is none."""
    found: dict[str, tuple[Metric, str]] = {}
    known = [metric.key for metric in METRICS if metric.can_be_wanted]
    for option in options:
        name, _, value = option.partition("=")
        key = known_key(name, known)
        if key is None:
            hint = did_you_mean(alike(name, known)) or f"such as {known[0]}"
            raise ExperimentError(f"--metric {option}: no metric {name!r} that better or worse is said of; {hint}")
        if key in found:
            raise ExperimentError(f"--metric {option}: {key} is named twice")
        found[key] = BY_KEY[key], value
    return list(found.values())


def values_from_raw(
    benchmark: str, raw: Mapping[str, Any], counters: Mapping[str, float] | None = None
) -> dict[str, float | int | None]:
    """Return our metrics of one raw result, unchanged, and None where vLLM has no sample or no number.

    `counters` is what those of the server grew by meanwhile.

    vLLM writes a latency of 0.0 where nothing was measured (`np.mean(x or 0)` in benchmarks/serve.py); that is absent,
    not fast. A rate of 0 is a measurement and stays.
    """
    values: dict[str, float | int | None] = {}
    known = {**raw, "counters": counters or {}}
    for metric in metrics_for(benchmark):
        value = _first_present(raw, metric.source_key) if metric.source_key else DERIVED[metric.key](known)
        is_absent = metric.zero_is_absent and value == 0
        values[metric.key] = value if is_number(value) and not is_absent else None
    return values


def broken_values(benchmark: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in a raw result in the place of a metric and is no finite number."""
    told = [metric for metric in metrics_for(benchmark) if metric.source_key]
    found = {metric.key: _first_present(raw, metric.source_key) for metric in told}
    return {key: value for key, value in found.items() if value is not None and not is_number(value)}


def is_number(value: Any) -> bool:
    """Return whether `value` is a number that a record can hold: of a size that is possible, and no truth value."""
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and (value == 0 or SMALLEST <= abs(value) <= LARGEST)


def request_latencies_s(raw: Mapping[str, Any]) -> list[float]:
    """Return the E2EL of each request of a detailed `bench serve` file (s), 0.0 for a failed one; [] without details.

    vLLM 0.26 does not write them; they are what they are made of there, TTFT and the gaps after it.
    """
    if raw.get("latencies"):
        return list(raw["latencies"])
    return [ttft_s + sum(gaps_s) for ttft_s, gaps_s in zip(raw.get("ttfts") or [], raw.get("itls") or [])]


def _first_present(raw: Mapping[str, Any], source_key: str) -> float | int | None:
    """Return the value of the first of `a|b.c` that `raw` has; benchmarks name the same thing differently."""
    for path in source_key.split("|"):
        value: Any = raw
        for part in path.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        if value is not None:
            return value
    return None
