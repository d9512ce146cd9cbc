"""Checks over the repeats of a case and over launches: what no single record can know.

Each check takes the measured records of one group and yields (record, reason). `judged_together` runs them all when a run
is read; records on disk stay as they were written.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from benchbook.judge.catalogue import reason
from benchbook.judge.checks import VALUE_CHECKS, record_reasons, with_reasons
from benchbook.judge.coherence import MODE_CHECKS
from benchbook.judge.evidence import Measured
from benchbook.judge.spread import number_text
from benchbook.records.metrics import BY_KEY
from benchbook.records.record import Reason, Record, Verdict

Finding = tuple[Record, Reason]
GroupCheck = Callable[[Sequence[Record]], Iterator[Finding]]

MAX_RELATIVE_STDEV = 0.30
TREND_REPEATS, TREND_P, MIN_DRIFT = 5, 0.02, 0.10
OUTLIER_REPEATS, OUTLIER_DEVIATIONS, MIN_OUTLIER = 4, 5.0, 0.15
MAD_TO_STDEV = 1.4826  # of a normal distribution
KV_SLACK_REPEATS, KV_SLACK_LAUNCHES = 0.02, 0.10
HEADLINES: Mapping[str, tuple[str, ...]] = {  # what repeats of a benchmark are compared by
    "serve": ("output_throughput_tok_s", "median_e2el_ms"),
    "latency": ("avg_batch_latency_s",),
    "throughput": ("output_throughput_tok_s",),
}
_OF_ONE_START = {"--port", "--host", "--served-model-name", "--socket"}  # flags whose values differ from start to start
_KV_SETTINGS = (
    "gpu_memory_utilization",
    "kv_cache_memory_bytes",
    "num_gpu_blocks_override",
    "kv_cache_dtype",
    "dtype",
    "quantization",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "max_num_batched_tokens",
    "max_model_len",
    "VLLM_CPU_KVCACHE_SPACE",
)


def repeats_disagree(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect every repeat of a case whose headline varies by more than 30 % of its mean."""
    for key, values in _headlines(records):
        if len(values) < 2:
            continue
        mean, stdev = statistics.fmean(values), statistics.stdev(values)
        if stdev > MAX_RELATIVE_STDEV * mean:
            found = reason(
                "repeats_disagree",
                f"{BY_KEY[key].heading}: {_listed(values)}; standard deviation {stdev / mean:.0%} of the mean",
            )
            return (yield from ((record, found) for record in records))
    return None


def repeats_trend(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect every repeat of a case whose headline rises or falls over the rounds (exact Mann-Kendall test)."""
    for key, values in _headlines(records):
        if len(values) < TREND_REPEATS:
            continue
        probability, drift = mann_kendall_p(values), _drift(values)
        if probability < TREND_P and abs(drift) > MIN_DRIFT:
            found = reason(
                "repeats_trend",
                f"{BY_KEY[key].heading} over the rounds: {_listed(values)}; drift {drift:+.0%}, p {probability:.3f}",
            )
            return (yield from ((record, found) for record in records))
    return None


def repeat_outlier(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect a repeat whose headline lies far outside the others of its case."""
    for key, values in _headlines(records):
        if len(values) < OUTLIER_REPEATS:
            continue
        middle = statistics.median(values)
        spread = MAD_TO_STDEV * statistics.median(abs(value - middle) for value in values)
        for record, value in zip(records, values, strict=True):
            if abs(value - middle) > max(OUTLIER_DEVIATIONS * spread, MIN_OUTLIER * middle):
                yield (
                    record,
                    reason(
                        "repeat_outlier",
                        f"{BY_KEY[key].heading} {number_text(value)}, the median of {len(values)} repeats is "
                        f"{number_text(middle)}",
                    ),
                )


def host_restarted(records: Sequence[Record]) -> Iterator[Finding]:
    """Note that a case was measured on several starts of its host."""
    starts = sorted({record.host["ready_utc"] for record in records if record.host.get("ready_utc")})
    if len(starts) > 1:
        found = reason("host_restarted", f"{len(starts)} starts, ready at {' and '.join(starts[:3])}")
        yield from ((record, found) for record in records)


def host_differs(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect a case whose repeats ran on hosts of different version, command, backend, or KV capacity."""
    for what, read in _HOST_FACTS.items():
        seen = {str(value): value for record in records if (value := read(record.host)) is not None}
        if len(seen) > 1 and not _are_near(list(seen.values()), KV_SLACK_REPEATS):
            found = reason("host_differs", f"{what}: {' and '.join(text[:200] for text in list(seen)[:3])}")
            return (yield from ((record, found) for record in records))
    return None


def kv_capacity_differs(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect launches that ask for the same memory and got different KV capacities."""
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        if _kv_tokens(record.host):
            key = (record.host.get("kind"), record.host.get("model"), *_kv_settings(record.host))
            groups.setdefault(key, []).append(record)
    for group in groups.values():
        by_launch = {record.identity.launch: _kv_tokens(record.host) for record in group}
        if len(by_launch) < 2 or _are_near(list(by_launch.values()), KV_SLACK_LAUNCHES):
            continue
        said = ", ".join(f"{launch} {tokens:,}" for launch, tokens in sorted(by_launch.items()))
        found = reason("kv_capacity_differs", f"KV cache in tokens by launch: {said}; the same memory was asked for")
        yield from ((record, found) for record in group)


CASE_CHECKS: tuple[GroupCheck, ...] = (repeats_disagree, repeats_trend, repeat_outlier, host_restarted, host_differs)
RUN_CHECKS: tuple[GroupCheck, ...] = (kv_capacity_differs, *MODE_CHECKS)


def judged_together(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return `records` in their order, each with what its case, its launch and the other modes say against it."""
    everything = tuple(records)
    # What is INVALID already is no evidence against others.
    measured = [record for record in everything if record.is_measured and record.verdict is not Verdict.INVALID]
    found: dict[int, list[Reason]] = {}
    for check, group in [
        *((check, group) for group in _cases(measured) for check in CASE_CHECKS),
        *((check, measured) for check in RUN_CHECKS),
    ]:
        for record, why in check(group):
            reasons = found.setdefault(id(record), [])
            if why.code not in {known.code for known in (*record.reasons, *reasons)}:
                reasons.append(why)
    return tuple(with_reasons(record, found[id(record)]) if id(record) in found else record for record in everything)


def judged_alone_and_together(records: Iterable[Record]) -> tuple[Record, ...]:
    """Return published figures with all that can be said from values alone, first one by one, then together."""
    alone = [with_reasons(record, record_reasons(Measured.of(record), VALUE_CHECKS)) for record in records]
    return judged_together(alone)


def mann_kendall_p(values: Sequence[float]) -> float:
    """Return the two-sided p of the Mann-Kendall test for a trend, exact by counting permutations by inversions."""
    count = len(values)
    rises = sum(values[i] < values[j] for i in range(count) for j in range(i + 1, count))
    falls = sum(values[i] > values[j] for i in range(count) for j in range(i + 1, count))
    ways = [1]  # ways[k]: permutations of the first n values with k inversions
    for size in range(2, count + 1):
        ways = [sum(ways[max(0, k - size + 1) : k + 1]) for k in range(len(ways) + size - 1)]
    rarer = sum(ways[: min(rises, falls) + 1])
    return min(1.0, 2 * rarer / math.factorial(count))


def _cases(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records by case, each in the order of measuring."""
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.started_utc):
        groups.setdefault((record.identity.case_id, record.identity.fingerprint), []).append(record)
    return list(groups.values())


def _headlines(records: Sequence[Record]) -> Iterator[tuple[str, list[float]]]:
    """Yield the headline metrics that all of `records` have, with their values."""
    for key in HEADLINES.get(records[0].benchmark, ()):
        values = [record.values.get(key) for record in records]
        if all(values):
            yield key, [float(value) for value in values]


def _drift(values: Sequence[float]) -> float:
    """Return the change from first to last by the median of all slopes (Theil-Sen), as a share of the median."""
    slopes = [(values[j] - values[i]) / (j - i) for i in range(len(values)) for j in range(i + 1, len(values))]
    return statistics.median(slopes) * (len(values) - 1) / statistics.median(values)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(number_text(value) for value in values[:8]) + (" …" if len(values) > 8 else "")


def _kv_tokens(host: Mapping[str, Any]) -> int | None:
    return (host.get("facts") or {}).get("kv_cache_tokens")


def _kv_settings(host: Mapping[str, Any]) -> list[Any]:
    """Return the values of the flags and variables that decide how large the KV cache is to be."""
    argv, env = list(host.get("argv") or ()), host.get("env") or {}
    flags = {word.lstrip("-").replace("-", "_"): value for word, value in zip(argv, [*argv[1:], ""])}
    return [flags.get(name, env.get(name)) for name in _KV_SETTINGS]


def _command(host: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the host's command without what every start has of its own: port, names, socket."""
    argv = host.get("argv")
    if not argv:
        return None
    kept, flag = [], ""
    for word in argv:
        flag = word if word.startswith("--") else flag
        if flag not in _OF_ONE_START:
            kept.append(word)
    return tuple(kept)


def _are_near(values: Sequence[Any], slack: float) -> bool:
    """Return whether all `values` are numbers within `slack` of the largest."""
    numbers = [value for value in values if isinstance(value, int | float)]
    return len(numbers) == len(values) and max(numbers) - min(numbers) <= slack * max(numbers)


def _fact(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda host: (host.get("facts") or {}).get(name)


_HOST_FACTS: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
    "vLLM": lambda host: host.get("version"),
    "command": _command,
    "attention backend": _fact("attention_backend"),
    "MoE backend": _fact("moe_backend"),
    "dtype": _fact("dtype"),
    "KV cache (tokens)": _kv_tokens,
}
