"""A gate's answer as files: Markdown for a pull request, JUnit and JSON for what runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from benchbook.judge.claims import unit_of
from benchbook.judge.gate import Answer, Gate, Judged
from benchbook.listing import markdown
from benchbook.records.files import write_text
from benchbook.report.gate_text import HEADINGS, HOW, RIGHT, exit_code, sentence, sentences, table_rows, title

GATE_FORMAT = 1
_SYMBOLS = {Answer.NOT_WORSE: "✅", Answer.WORSE: "❌", Answer.OPEN: "❔"}


def write_gate(gate: Gate, notes: list[str], folder: Path) -> list[Path]:
    """Write gate.md, gate.json and gate.junit.xml into `folder`, which is made where it is not there; return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {"gate.md": as_markdown(gate, notes), "gate.json": as_json(gate, notes), "gate.junit.xml": as_junit(gate)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def as_markdown(gate: Gate, notes: list[str]) -> str:
    """Return a comment for a pull request: the answer first, a sentence a metric, the table and the notes folded."""
    symbol = "⛔" if gate.refusals else _SYMBOLS[gate.answer]
    lines = [f"### {symbol} {title(gate)}", "", *(f"- {text}" for text in sentences(gate)), ""]
    rows = table_rows(gate)
    if rows and not gate.refusals:
        lines += ["<details><summary>All that was judged</summary>", "", markdown(HEADINGS, rows, RIGHT), HOW, ""]
        lines += [*(f"- {note}" for note in notes), "", "</details>"]
    else:
        lines += [f"- {note}" for note in notes]
    return "\n".join(lines) + "\n"


def as_json(gate: Gate, notes: list[str]) -> str:
    """Return the answer for programs; shares are shares (0.03: 3 %), null what is not told."""
    told = {
        "format": GATE_FORMAT,
        "answer": "refused" if gate.refusals else gate.answer.value,
        "exit_code": exit_code(gate),
        "title": title(gate),
        "base": gate.comparison.base,
        "new": gate.comparison.other,
        "is_paired": gate.comparison.is_paired,
        "refusals": list(gate.refusals),
        "rounds_wanted": gate.rounds,
        "judged": [_row(one) for one in gate.judged],
        "notes": notes,
    }
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_junit(gate: Gate) -> str:
    """Return a test a metric: failed where it is worse, skipped where it cannot be told, an error where it is refused."""
    suite = ElementTree.Element("testsuite", name="benchbook gate")
    counts = {"tests": 0, "failures": 0, "skipped": 0, "errors": 0}
    named = [(f"{one.row.name}: {one.row.metric.key}", one) for one in gate.judged if one.answer]
    for name, one in named if named and not gate.refusals else [(title(gate), None)]:
        case = ElementTree.SubElement(suite, "testcase", classname="benchbook.gate", name=name)
        counts["tests"] += 1
        said = sentence(one, unit_of(gate.comparison)) if one else " ".join(gate.refusals) or title(gate)
        kind = _kind(one)
        if kind:
            counts[{"failure": "failures", "skipped": "skipped", "error": "errors"}[kind]] += 1
            ElementTree.SubElement(case, kind, message=said)
        else:
            ElementTree.SubElement(case, "system-out").text = said
    suite.attrib |= {key: str(number) for key, number in counts.items()}
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _kind(one: Judged | None) -> str:
    if one is None:
        return "error"
    return {Answer.WORSE: "failure", Answer.OPEN: "skipped"}.get(one.answer, "")


def _row(one: Judged) -> dict[str, Any]:
    low, high = one.limits or (None, None)
    change_low, change_high = one.row.interval or (None, None)
    return {
        "case": one.row.case,
        "metric": one.row.metric.key,
        "unit": one.row.metric.unit,
        "base": one.row.base,
        "new": one.row.other,
        "ratio": one.row.ratio.ratio,
        "ratio_low_95": change_low,
        "ratio_high_95": change_high,
        "loss": one.loss,
        "loss_at_least": low,
        "loss_at_most": high,
        "allowed": one.allowed,
        "answer": one.answer.value if one.answer else None,
        "rounds_wanted": one.rounds,
        "num_base": one.row.num_base,
        "num_new": one.row.num_other,
        "num_suspect": one.row.num_suspect,
    }
