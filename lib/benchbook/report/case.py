"""One measurement, read: its accounting, its metrics, its verdict and a figure, each a call for a notebook cell."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from benchbook.judge.accounting import accounting_rows
from benchbook.judge.catalogue import BY_CODE
from benchbook.judge.sample import is_earned, percentile_of, sample_count, samples_needed
from benchbook.records.metrics import metrics_for
from benchbook.records.record import Reason, Record
from benchbook.records.store import Saved
from benchbook.records.telemetry import TELEMETRY_FILE, read_telemetry
from benchbook.report import markup
from benchbook.report.case_figures import FIGURES
from benchbook.report.case_readings import READINGS
from benchbook.report.limit_sentences import limit_sentences
from benchbook.report.timeline import absent_text, gpu_text, timeline_figure


def verdict_table(saved: Saved) -> None:
    """Display the verdict with its reasons, and where the record lies."""
    record = saved.record
    rows = [("Verdict", record.verdict.value), ("Record", saved.path.name), ("Run by", record.way)]
    rows += [(f"{reason.severity}: {reason.code}", _reason_html(reason)) for reason in record.reasons]
    markup.show(markup.facts(rows))


def accounting_table(saved: Saved) -> None:
    """Display what was asked beside what was counted; any disagreement makes the record INVALID."""
    rows = accounting_rows(
        saved.record.benchmark, saved.record.workload, {**saved.raw(), "printed": _printed(saved.record)}
    )
    body = [(row["what"], row["asked"], row["counted"], "yes" if row["agrees"] else "NO") for row in rows]
    markup.show(markup.table(["", "asked", "counted", "agrees"], body, numeric=(1, 2)))


def metrics_table(saved: Saved) -> None:
    """Display every metric of the record with its unit and which direction is better.

    What has no sample is left out; a percentile that the samples have not earned says so.
    """
    record, values = saved.record, saved.record.values
    count = sample_count(record.benchmark, values, record.workload)
    rows = [
        (
            metric.heading,
            number_text(values[metric.key]),
            metric.direction,
            metric.formula + _unearned(metric.key, count),
        )
        for metric in metrics_for(record.benchmark)
        if values.get(metric.key) is not None
    ]
    markup.show(markup.table(["Metric", "Value", "", "How it is computed"], rows, numeric=(1,)))


def case_figure(saved: Saved) -> None:
    """Display the one figure of this kind of measurement; its caption names verdict, axes, units and settings."""
    figure, caption = FIGURES[saved.record.benchmark](saved.record, saved.raw())
    codes = ", ".join(reason.code for reason in saved.record.reasons if reason.severity != "note")
    verdict = saved.record.verdict.value + (f" ({codes})" if codes else "")
    weights = " Random weights." if saved.record.host.get("random_weights") else ""
    markup.captioned(figure, f"{verdict}. {caption}{weights}")


def case_timeline(saved: Saved) -> None:
    """Display what server and GPU did while the case was measured, and say what could not be sampled."""
    path, summary = saved.path.with_name(TELEMETRY_FILE), saved.record.host.get("telemetry") or {}
    drawn = timeline_figure(saved.record, read_telemetry(path), saved.raw()) if path.is_file() else None
    if drawn is not None:
        markup.captioned(*drawn)
    markup.show(markup.bullets([*gpu_text(summary), *absent_text(summary)]))


def case_limits(saved: Saved) -> None:
    """Display how far the number is from what the hardware allows, and what binds it."""
    markup.show(markup.bullets(limit_sentences(saved.record)))


def case_reading(saved: Saved) -> None:
    """Display what the numbers say, in sentences made from the record."""
    sentences = READINGS[saved.record.benchmark](saved.record, saved.raw())
    if saved.record.host.get("random_weights"):
        sentences.append("Random weights: this is the speed of the model's shape and not that of a trained model.")
    markup.show(markup.paragraphs(sentences))


def answer_table(saved: Saved) -> None:
    """Display the fields of a first request's answer, each with what it means. The text is escaped."""
    raw = saved.raw()
    rows = [
        ("text", raw["text"], "what the model generated, token by token as streamed"),
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


def server_table(server: Any) -> None:
    """Display who the server is: address, model, version, process, log and, where we started it, the exact command."""
    rows = [
        ("Address", server.base_url),
        ("Served as", ", ".join(str(card["id"]) for card in server.served_models())),
        ("vLLM", server.version),
    ]
    if hasattr(server, "argv"):
        rows += [
            ("Ready after", f"{server.ready_s:.1f} s"),
            ("Process", server.pid),
            ("Log", server.log_path),
            ("Environment", " ".join(f"{name}={value}" for name, value in server.env_overrides.items())),
            ("Command", shlex.join(server.argv)),
        ]
    markup.show(markup.facts(rows))


def startup_table(server: Any) -> None:
    """Display what the log told of a start: seconds by phase, memory, backends; what it does not say is left out."""
    if not hasattr(server, "facts"):
        markup.show(markup.paragraphs(["This server was started elsewhere; its log is not ours to read."]))
        return
    rows = [
        (name.replace("_", " "), number_text(value) if isinstance(value, int | float) else value)
        for name, value in _flattened(dataclasses.asdict(server.facts))
        if value not in (None, "", ())
    ]
    markup.show(markup.facts(rows))


def number_text(value: float | int) -> str:
    """Return a number for reading: counts whole with separators, others with four significant digits or more."""
    if isinstance(value, int) or float(value).is_integer() and abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def _reason_html(reason: Reason) -> markup.Html:
    """Return a reason's evidence, and in small print what its code means and what to do about it."""
    code = BY_CODE.get(reason.code)
    if code is None:
        return markup.text(reason.evidence)
    return markup.join([reason.evidence, " ", markup.element("small", f"({code.meaning}. {code.remedy}.)")])


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


def _flattened(facts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return (name, value) pairs with mappings inside opened up as 'name: inner name'."""
    rows = []
    for name, value in facts.items():
        inner = (
            [(f"{name}: {key}", item) for key, item in value.items()] if isinstance(value, Mapping) else [(name, value)]
        )
        rows += inner
    return rows


def _printed(record: Record) -> dict[str, Any]:
    """Return the counts that vLLM printed and did not save; the record has them under their metric's name."""
    return {key: record.values.get(key) for key in ("total_input_tokens", "total_output_tokens")}
