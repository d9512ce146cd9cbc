"""`benchbook explain`: what a verdict, a code of one, a metric or another column of the table means, in the tables' own words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Console

from benchbook.judge.catalogue import CODES, Code
from benchbook.judge.columns import COLUMNS, PER_GPU
from benchbook.judge.price import PRICED
from benchbook.listing import aligned
from benchbook.records.record import Verdict
from benchbook.terminal import say
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import alike, did_you_mean
from benchbook.terms.metrics import BY_KEY, Metric
from benchbook.terms.plain import plain

_MOST_NEAR = 7
_SEVERITIES = {
    "invalid": "INVALID",
    "suspect": "SUSPECT",
    "note": "a note, which leaves the verdict alone",
}

_REASONS_ARE_EXPLAINED = (
    "see its reasons: `benchbook explain machine_busy` says of that one from where on it is said, and what to do"
)

# Who asks for 'TTFT' wants to know what is timed, which each of its statistics says.
_MEDIANS = {metric.of: metric.key for metric in BY_KEY.values() if metric.statistic == "median" and metric.of}


@dataclass(frozen=True)
class Entry:
    """What is said of one name: its kind, in a list, the words that reports have for it, and each fact by its heading."""

    kind: str
    label: str
    facts: Mapping[str, str]  # the first is its meaning; those without a text are left out


def print_explained(name: str, console: Console) -> None:
    """Print what `name` means: a verdict, a code of one, a metric or a column; '' prints a line on each there is.

    The words of a report, such as 'p99 TTFT (ms)', will do where one thing alone has them. Any other name is an
    ExperimentError, with those that are near.
    """
    known = entries()
    if not name:
        rows = [(key, entry.kind, entry.facts["meaning"]) for key, entry in known.items()]
        width = console.width if console.is_terminal else None
        print(aligned(("name", "what it is", "meaning"), rows, width, may_cut=2), end="")
        return
    key = _key_of(name, known)
    entry = known[key]
    say(console, f"{key}: {entry.label}" if entry.label else key)
    column = 2 + max(map(len, entry.facts))
    for heading, text in entry.facts.items():
        if text:
            say(console, text, lead=f"  {heading:{column}}")


def entries() -> dict[str, Entry]:
    """Return what there is to say of each name, in the order of the tables."""
    found = {verdict.value: _of_verdict(verdict) for verdict in Verdict}
    found |= {code.code: _of_code(code) for code in CODES}
    found |= {key: Entry("column", "", {"meaning": meaning}) for key, meaning in COLUMNS.items()}
    return found | {metric.key: _of_metric(metric) for metric in (*BY_KEY.values(), PER_GPU, *PRICED.values())}


def _of_verdict(verdict: Verdict) -> Entry:
    what_to_do = "" if verdict is Verdict.VALID else _REASONS_ARE_EXPLAINED
    return Entry("verdict", "", {"meaning": verdict.meaning, "what to do": what_to_do})


def _of_code(code: Code) -> Entry:
    again = "such a repeat is measured again once it is quiet" if code.is_outside else ""
    facts = {
        "meaning": code.meaning,
        "verdict": _SEVERITIES[code.severity],
        "said from": code.threshold,
        "what to do": code.remedy,
        "besides": again,
    }
    return Entry(code.severity, "", facts)


def _of_metric(metric: Metric) -> Entry:
    facts = {
        "meaning": metric.formula,
        "unit": ", ".join(filter(None, (metric.unit or "a count", metric.direction))),
        "benchmark": ", ".join(metric.benchmarks),
        "in raw.json": metric.source_key.replace("|", " or "),
    }
    return Entry("metric", metric.heading, facts)


def _key_of(name: str, known: Mapping[str, Entry]) -> str:
    """Return the key that `name` spells, or the only one with all words of `name` in its label."""
    words = _words(name)
    key = "_".join(words)
    key = _MEDIANS.get(key, key)
    for spelt in (key, key.upper()):  # verdicts are written large
        if spelt in known:
            return spelt
    labelled = [each for each, entry in known.items() if words and set(words) <= set(_words(entry.label))]
    if len(labelled) == 1:
        return labelled[0]
    slips = alike(key, known, most=3)
    near = list(dict.fromkeys((*slips, *labelled)))[:_MOST_NEAR]
    hint = did_you_mean(near) or "`benchbook explain` lists all"
    raise ExperimentError(f"{plain(name)!r} is no code of a verdict, no metric and no column; {hint}")


def _words(text: str) -> list[str]:
    """Return the words of a key or a label: p99, ttft and ms of 'p99_ttft_ms' as of 'p99 TTFT (ms)'."""
    return re.findall(r"[a-z0-9]+", text.lower())
