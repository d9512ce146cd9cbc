"""Coherence across modes: serving, latency mode and throughput mode look at one engine and must not contradict.

Offline and online cases are compared where launch and lengths are the same. Outputs are compared between launches.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from benchbook.judge.catalogue import reason
from benchbook.judge.degenerate import has_dummy_weights
from benchbook.judge.evidence import Finding
from benchbook.judge.loads import load_text
from benchbook.judge.stats import stdev
from benchbook.records.host import HostFacts
from benchbook.records.record import Record
from benchbook.records.settings import settings_of
from benchbook.terms.asked import Offered
from benchbook.terms.benchmarks import Role
from benchbook.terms.wording import number_text

TOLERANCE = 0.05  # two numbers this near are not called different
STANDARD_DEVIATIONS = 2.0
MAX_TPOT_FACTOR, MAX_TPOT_APART_MS = 1.5, 1.0  # a token through HTTP costs some 0.4 ms, whatever its step takes
MIN_SAME_OUTPUTS = 0.75


class Cases(NamedTuple):
    """The repeats of one kind at one setting: mean and standard deviation of a value, and the records."""

    mean: float
    stdev: float  # 0.0 for one repeat, where it is unknown
    records: tuple[Record, ...]

    def exceeds(self, other: Cases) -> bool:
        """Return whether this mean lies above the other one by more than 5 % and two standard deviations."""
        slack = max(TOLERANCE * other.mean, STANDARD_DEVIATIONS * math.hypot(self.stdev, other.stdev))
        return self.mean > other.mean + slack


def floor_above_load(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect latency mode and serving where one request alone is slower offline than one among several online."""
    floors = _by_curve(records, "floor", "avg_batch_latency_s", _is_single)
    online = _by_load(records, "curve", "mean_e2el_ms", _is_loaded) if floors else {}
    for key, floor in floors.items():
        loaded = [cases for other, cases in online.items() if other[: len(key)] == key]
        if not loaded:
            continue
        least = min(loaded, key=lambda cases: cases.mean)
        alone = Cases(floor.mean * 1000, floor.stdev * 1000, floor.records)
        if alone.exceeds(least):
            found = reason(
                "floor_above_load",
                f"a batch of one takes {number_text(alone.mean)} ms offline; with {load_text(least.records[0])} a request "
                f"takes {number_text(least.mean)} ms (mean E2EL)",
            )
            yield from ((record, found) for record in (*floor.records, *least.records))


def ceiling_below_serving(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect throughput mode where serving reaches more output tokens per second."""
    metric = "output_throughput_tok_s"
    offline = _by_load(records, "ceiling", metric)
    online = _by_load(records, "curve", metric) if offline else {}
    for key in dict.fromkeys(key[:-1] for key in offline):
        best = max((cases for other, cases in offline.items() if other[:-1] == key), key=lambda cases: cases.mean)
        served = [cases for other, cases in online.items() if other[: len(key)] == key]
        if not served:
            continue
        peak = max(served, key=lambda cases: cases.mean)
        if peak.exceeds(best) and _is_same_work(best.records[0], peak.records[0]):
            found = reason(
                "ceiling_below_serving",
                f"throughput mode reaches {number_text(best.mean)} output tok/s with "
                f"{best.records[0].asked.requests} prompts, serving {number_text(peak.mean)} with {load_text(peak.records[0])}",
            )
            yield from ((record, found) for record in best.records)


def tpot_contradicts_latency(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect serving at concurrency 1 whose pace of tokens is not that of latency mode's batch of one.

    Latency mode has no TPOT; what is left of its batch after serving's TTFT, shared among the other tokens, is one.
    """
    alone = _by_curve(records, "floor", "avg_batch_latency_s", _is_single)
    if not alone:
        return
    paces = _by_curve(records, "curve", "mean_tpot_ms", _is_single)
    waits = _by_curve(records, "curve", "mean_ttft_ms", _is_single)
    for key, pace in paces.items():
        steps = (pace.records[0].asked.output_tokens_each or 1) - 1
        # Answers that came in heaps have no pace of tokens, and say so already.
        is_bunched = any(why.code == "stream_bunched" for record in pace.records for why in record.reasons)
        if key not in alone or key not in waits or steps < 1 or is_bunched:
            continue
        offline_ms = (alone[key].mean * 1000 - waits[key].mean) / steps
        is_near = offline_ms / MAX_TPOT_FACTOR <= pace.mean <= offline_ms * MAX_TPOT_FACTOR
        if offline_ms > 0 and (is_near or 0 <= pace.mean - offline_ms <= MAX_TPOT_APART_MS):
            continue
        found = reason(
            "tpot_contradicts_latency",
            f"mean TPOT of one request served alone is {number_text(pace.mean)} ms; latency mode's "
            f"{number_text(alone[key].mean * 1000)} ms a batch leave {number_text(offline_ms)} ms a token",
        )
        yield from ((record, found) for record in pace.records)


def outputs_differ(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect launches whose greedy answers to 32 fixed prompts differ, though only settings of speed do."""
    by_launch: dict[str, list[Record]] = {}
    for record in records:
        if record.host.greedy_outputs:
            by_launch.setdefault(record.identity.launch, []).append(record)
    launches = list(by_launch)
    for name in launches[1:]:
        first, other = by_launch[launches[0]], by_launch[name]
        if _settings_of_text(first[0].host) != _settings_of_text(other[0].host):
            continue
        if has_dummy_weights(first[0].host) or has_dummy_weights(other[0].host):
            continue  # they are made up anew for each dtype and layout, and answer as they come
        ours, theirs = first[0].host.greedy_outputs, other[0].host.greedy_outputs
        same = sum(a == b for a, b in zip(ours, theirs, strict=False)) / max(len(ours), len(theirs))
        if same < MIN_SAME_OUTPUTS:
            found = reason(
                "outputs_differ",
                f"{same:.0%} of {len(ours)} greedy answers of launch {name!r} are those of {launches[0]!r}",
            )
            yield from ((record, found) for record in other)


CHECKS = (floor_above_load, ceiling_below_serving, tpot_contradicts_latency, outputs_differ)


Key = tuple[Any, ...]


def _by_curve(
    records: Sequence[Record], role: Role, metric: str, is_meant: Callable[[Offered], bool]
) -> Mapping[Key, Cases]:
    """Return the cases of the benchmarks of `role` under a load that `is_meant` by (launch, curve), as far as they have `metric`."""
    return {key[:2]: cases for key, cases in _by_load(records, role, metric, is_meant).items()}


def _by_load(
    records: Sequence[Record], role: Role, metric: str, is_meant: Callable[[Offered], bool] = lambda load: True
) -> Mapping[Key, Cases]:
    """Return the same by (launch, curve, load); without those whose curve is not known, as that of some published figures."""
    groups: dict[Key, list[Record]] = {}
    for record in records:
        is_there = record.row.role == role and record.curve and record.values.get(metric) is not None
        if is_there and record.load is not None and is_meant(record.load):
            groups.setdefault((record.identity.launch, record.curve, record.load), []).append(record)
    found = {}
    for key, group in groups.items():
        values = [float(record.values[metric]) for record in group]
        spread = stdev(values) if len(values) > 1 else 0.0
        found[key] = Cases(statistics.fmean(values), spread, tuple(group))
    return found


def _is_same_work(offline: Record, online: Record) -> bool:
    """Return whether both have the same to do: what a set's prompts share is computed or not, its answers may end early."""
    if offline.requests is None:
        return True
    caches = [record.prefix_cache and record.prefix_cache.is_on for record in (offline, online)]
    return offline.asked.ends_by == online.asked.ends_by and (not offline.asked.shares_prefix or len(set(caches)) == 1)


def _is_loaded(load: Offered) -> bool:
    return not load.is_open and load.value >= 2


def _is_single(load: Offered) -> bool:
    return not load.is_open and load.value == 1


def _settings_of_text(host: HostFacts) -> dict[str, str | None]:
    """Return the host's model and those of its settings that may change what it says."""
    return {"name": str(host.model), **settings_of(host).of_text}
