"""One measurement, read: its accounting, its metrics, its verdict and a figure, each a call for a notebook cell."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from benchbook.judge.accounting import accounting_rows
from benchbook.judge.catalogue import BY_CODE
from benchbook.judge.sample import sample_count
from benchbook.judge.unseen import by_reason
from benchbook.parameters import RESULT, refuse_stale
from benchbook.records.record import Reason, Record
from benchbook.records.record_file import Saved
from benchbook.records.telemetry import TELEMETRY_FILE, read_telemetry
from benchbook.report import markup
from benchbook.report.repeat.timeline import absent_text, gpu_text, timeline_figure
from benchbook.report.roofline_sentences import roofline_sentences
from benchbook.report.shown import FIGURES, MORE_FIGURES, READINGS
from benchbook.terms.metrics import known_key, metrics_for
from benchbook.terms.percentiles import is_earned, percentile_of, samples_needed
from benchbook.terms.wording import number_text

_WAYS = {"warm": "vLLM's benchmark code in a process that stays loaded", "command line": "vLLM's command line"}
_SEVERITIES = ("invalid", "suspect", "note")


def _of_now(show: Callable[[Saved], None]) -> Callable[[Saved], None]:
    """Refuse a measurement that the notebook's parameters do not belong to any more, or that did not end."""

    @wraps(show)
    def shown(saved: Saved) -> None:
        refuse_stale(RESULT, saved, saved.parameters)
        show(saved)

    return shown


@_of_now
def verdict_table(saved: Saved) -> None:
    """Display the verdict with its reasons, what could not be looked at, and where the record lies."""
    record = saved.record
    rows = [
        ("Verdict", markup.verdict(record.verdict.value)),
        ("Record", _place(saved.path)),
        ("Run by", _WAYS.get(record.way, record.way)),
    ]
    if tries := record.identity.disturbed:
        rows.append(("Measured again", f"earlier tries were disturbed: {'; '.join(tries)}"))
    worst_first = sorted(record.reasons, key=lambda reason: _SEVERITIES.index(reason.severity))
    rows += [(f"{reason.severity}: {reason.code}", _reason_html(reason)) for reason in worst_first]
    rows += [(f"not looked: {', '.join(codes)}", why) for why, codes in by_reason(record.not_looked or {}).items()]
    markup.show(markup.facts(rows))


@_of_now
def accounting_table(saved: Saved) -> None:
    """Display what was asked beside what was counted; any disagreement makes the record INVALID."""
    rows = accounting_rows(saved.record, {**saved.raw(), "printed": _printed(saved.record)})
    body = [
        (row["what"], *(_count_text(row[key]) for key in ("asked", "counted")), "yes" if row["agrees"] else "NO")
        for row in rows
    ]
    markup.show(markup.table(["", "asked", "counted", "agrees"], body, numeric=(1, 2)))


@_of_now
def metrics_table(saved: Saved) -> None:
    """Display every metric of the record with its unit and which direction is better.

    What has no sample is left out; a percentile that the samples have not earned says so.
    """
    record, values = saved.record, saved.record.values
    count = sample_count(record.benchmark, values, record.workload)
    rows = [
        (
            metric.heading,
            number_text(values[metric.key]) + _known(metric.key, record),
            metric.direction.removesuffix(" is better"),
            metric.formula + _unearned(metric.key, count),
        )
        for metric in metrics_for(record.benchmark)
        if values.get(metric.key) is not None
    ]
    if record.median_itl_by_sixths_ms:
        course = ", ".join("–" if value is None else number_text(value) for value in record.median_itl_by_sixths_ms)
        rows.append(("median ITL by sixths (ms)", course, "", "of the time from the first wave to the last send"))
    markup.show(markup.table(["Metric", "Value", "Better", "How it is computed"], rows, numeric=(1,)))


@_of_now
def repeat_figure(saved: Saved) -> None:
    """Display what there is to draw of this kind of measurement; captions name verdict, axes, units and settings.

    Where requests differ among each other, their lengths follow.
    """
    record, raw = saved.record, saved.raw()
    codes = ", ".join(reason.code for reason in record.reasons if reason.severity != "note")
    verdict = record.verdict.value + (f" ({codes})" if codes else "")
    weights = " Random weights." if record.host.random_weights else ""
    for draw in (FIGURES[record.benchmark], MORE_FIGURES.get(record.benchmark)):
        if draw is not None and (drawn := draw(record, raw)):
            markup.captioned(drawn[0], f"{verdict}. {drawn[1]}{weights}")


@_of_now
def repeat_timeline(saved: Saved) -> None:
    """Display what server and GPU did while the case was measured, and say what could not be sampled."""
    path, summary = saved.path.with_name(TELEMETRY_FILE), saved.record.host.telemetry
    drawn = timeline_figure(saved.record, read_telemetry(path), saved.raw()) if path.is_file() else None
    if drawn is not None:
        markup.captioned(*drawn)
    markup.show(markup.bullets([*gpu_text(summary), *absent_text(summary)]))


@_of_now
def repeat_roofline(saved: Saved) -> None:
    """Display how far the number is from what the hardware allows, and what binds it."""
    markup.show(markup.bullets(roofline_sentences(saved.record)))


@_of_now
def repeat_reading(saved: Saved) -> None:
    """Display what the numbers say, in sentences made from the record."""
    sentences = READINGS[saved.record.benchmark](saved.record, saved.raw())
    if saved.record.host.random_weights:
        sentences.append("Random weights: this is the speed of the model's shape and not that of a trained model.")
    markup.show(markup.paragraphs(sentences))


@_of_now
def answer_table(saved: Saved) -> None:
    """Display the fields of a first request's answer, each with what it means. The text is escaped."""
    raw = saved.raw()
    nonsense = "; the weights are random, so it means nothing" if saved.record.host.random_weights else ""
    rows = [
        ("text", raw["text"], f"what the model generated, token by token as streamed{nonsense}"),
        (
            "finish_reason",
            raw["finish_reason"],
            "'length': max_tokens were generated; 'stop': the model ended by itself",
        ),
        *(
            (f"usage.{key}", value, _USAGE.get(key, ""))
            for key, value in raw["usage"].items()
            if isinstance(value, int)
        ),
    ]
    markup.show(markup.table(["Field", "Value", "Meaning"], rows))


def _count_text(value: Any) -> Any:
    return number_text(value) if isinstance(value, int | float) else value


def _place(path: Path) -> str:
    """Return where a file lies, as seen from the notebook where it is near; a sweep's lies beside it."""
    near = os.path.relpath(path)
    return near if near.count("..") <= 1 else str(path)


def _reason_html(reason: Reason) -> markup.Html:
    """Return a reason's evidence, and in small print what its code means and what to do about it."""
    code = BY_CODE.get(reason.code)
    if code is None:
        return markup.text(reason.evidence)
    return markup.join([reason.evidence, " ", markup.element("small", f"({code.meaning}. {code.remedy}.)")])


def _known(key: str, record: Record) -> str:
    """Return ' (±12 %)' for a metric that `precision` asked for: how well this repeat knows it."""
    reached = record.conditions.precision.reached
    width = reached.get(known_key(key, reached))
    return f" (±{100 * width:.2g} %)" if width is not None else ""


def _unearned(key: str, count: int) -> str:
    """Return ' (not earned: …)' for a percentile of too few samples, else ''."""
    percentile = percentile_of(key)
    if percentile is None or not count or is_earned(count, percentile):
        return ""
    return f" (not earned: {count} samples, {samples_needed(percentile)} needed)"


_USAGE = {
    "prompt_tokens": "tokens of the prompt, as the server's tokenizer counts them",
    "completion_tokens": "generated tokens",
    "total_tokens": "both",
}


def _printed(record: Record) -> dict[str, Any]:
    """Return the counts that vLLM printed and did not save; the record has them under their metric's name."""
    return {key: record.values.get(key) for key in ("total_input_tokens", "total_output_tokens")}
