"""What a server counts, read from its Prometheus page by neutral names, however odd the page is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from benchbook.hosts.face import ENDED, GAUGES, Counters

MAX_SAMPLES = 20_000  # of one page: 64 engines have fewer
MAX_LINE = 2000  # characters
_SHARE = "_ratio"  # of each engine: half full and half full is half full


class _Sample(NamedTuple):
    name: str
    labels: Mapping[str, str]
    value: float  # finite


def parse_counters(text: str, counters: Counters) -> dict[str, float]:
    """Return what the page says of the neutral names, "ended_by_length" and its like among them.

    What is not on the page, is no metric or no finite number, is not there.
    """
    neutral, values = {name: ours for ours, name in {**counters.names, **counters.sums}.items()}, {}
    for sample in _samples(text, (*neutral, counters.ended)):
        reason = sample.labels.get(counters.reason_label)
        key = neutral.get(sample.name) or (f"{ENDED}_by_{reason}" if reason else ENDED)
        before = values.get(key)
        if before is None:
            values[key] = sample.value
        else:
            values[key] = max(before, sample.value) if key.endswith(_SHARE) else before + sample.value
    return values


def engine_tokens(text: str, counters: Counters) -> dict[str, float]:
    """Return how many tokens each engine behind the server has generated, by its own number; empty when none tells."""
    return {
        sample.labels[counters.engine_label]: sample.value
        for sample in _samples(text, (counters.names.get("generation_tokens", ""),))
        if counters.engine_label in sample.labels
    }


def has_prefix_cache(text: str, counters: Counters) -> bool | None:
    """Return whether the server looks prompts up in a prefix cache; None where its page does not say."""
    name, label = counters.caching
    said = next((sample.labels.get(label) for sample in _samples(text, (name,))), None)
    return {"True": True, "False": False}.get(said)


def block_tokens(text: str, counters: Counters) -> int | None:
    """Return how many tokens a block of the prefix cache has, which finds whole blocks; None where nobody says."""
    name, _ = counters.caching
    said = next((sample.labels.get(counters.block_label, "") for sample in _samples(text, (name,))), "")
    return int(said) if said.isdecimal() and int(said) else None


def counter_delta(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each counter grew; one that went back, since its server was restarted, is left out."""
    growth = {name: value - before.get(name, 0.0) for name, value in after.items() if name not in GAUGES}
    return {name: value for name, value in growth.items() if value >= 0}


def went_back(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Return the names of the counters that are lower, or gone, after than before: their server was restarted."""
    counts = {name: value for name, value in before.items() if name not in GAUGES}
    return sorted(name for name, value in counts.items() if value > after.get(name, 0.0))


def _samples(text: str, names: tuple[str, ...]) -> Iterator[_Sample]:
    """Yield the samples of these names on a page; a line that is none costs no other."""
    names = tuple(filter(None, names))  # an engine may lack any
    ours = (line for line in text.splitlines() if line.startswith(names))
    lines = [line for line in ours if len(line) <= MAX_LINE][:MAX_SAMPLES]
    try:
        found = list(_parsed(lines))
    except (ValueError, OverflowError):  # one says that it is a metric, and is not
        found = [sample for line in lines for sample in _parsed_or_none(line)]
    yield from (sample for sample in found if sample.name in names)


def _parsed_or_none(line: str) -> list[_Sample]:
    try:
        return list(_parsed([line]))
    except (ValueError, OverflowError):
        return []


def _parsed(lines: Iterable[str]) -> Iterator[_Sample]:
    from prometheus_client.parser import text_string_to_metric_families

    for family in text_string_to_metric_families("".join(f"{line}\n" for line in lines)):
        for sample in family.samples:
            if math.isfinite(value := float(sample.value)):
                yield _Sample(sample.name, sample.labels, value)
