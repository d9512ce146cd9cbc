"""What failed, what is missing, and what is said against the repeats that were measured."""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchbook.judge.catalogue import BY_CODE
from benchbook.records.record import Record
from benchbook.records.store import Store
from benchbook.report.markup import Html, absent, bullets, element, folded, join, table, text, verdict
from benchbook.report.results import MAX_ROWS, TABLE_FILE, cut_note
from benchbook.report.run import Run
from benchbook.terms.wording import counted

MAX_FAILURES = 20
_SEVERITIES = ("invalid", "suspect", "note")  # worst first


def failures_html(run: Run) -> Html:
    """Return every kind of failure once: outcome, cause, hint, how many repeats, and the log of the first."""
    parts = [_failure_html(run, records) for records in run.causes[:MAX_FAILURES]]
    if more := run.causes[MAX_FAILURES:]:
        parts.append(element("p", f"{len(more)} further kinds of failure are in {TABLE_FILE}."))
    if run.missing:
        rows = [(element("code", case_id), number) for case_id, number in list(run.missing.items())[:MAX_ROWS]]
        parts.append(table(("Case without a whole record", "Missing repeats"), rows, numeric=[1]))
        parts.append(cut_note(len(run.missing), "cases with missing repeats"))
    if run.damage:
        parts += [element("p", "These files are damaged, and what they hold is nowhere in this report:")]
        parts += [bullets(run.damage[:MAX_ROWS]), cut_note(len(run.damage), "damages")]
    return join(parts) if parts else absent("Nothing failed and nothing is missing.")


def reasons_html(run: Run) -> Html:
    """Return every reason code of the measured repeats once, worst first: its meaning and threshold from the catalogue,
    how many repeats have it, the evidence of one, and what to do."""
    found: dict[tuple[str, str], list[tuple[Record, str]]] = {}
    for record in run.records:
        for reason in record.reasons:
            found.setdefault((reason.severity, reason.code), []).append((record, reason.evidence))
    if not found:
        return absent("No repeat has anything said against it.")
    rows = [
        (_severity_html(severity), _meaning_html(code, severity), len(items), _evidence_html(*items[0]), _remedy(code))
        for (severity, code), items in sorted(found.items(), key=lambda item: _SEVERITIES.index(item[0][0]))
    ]
    headings = ("Severity", "Reason", "Repeats", "Evidence of the first", "What to do")
    return table(headings, rows, numeric=[2], css_class="wordy")


def with_meanings(run: Run, sentences: Sequence[str]) -> list[Html]:
    """Return `sentences` in which each code that is said of this run says what it means, pointed at, and leads to its row."""
    codes = sorted(code for severity, code in run.told if code in BY_CODE and severity == BY_CODE[code].severity)
    link = {code: f'<a href="#{_anchor(code)}" title="{text(BY_CODE[code].meaning)}">{code}</a>' for code in codes}
    named = re.compile(rf"\b({'|'.join(codes)})\b" if codes else r"(?!)")
    return [Html(named.sub(lambda found: link[found[0]], text(sentence))) for sentence in sentences]


def _anchor(code: str) -> str:
    return f"code-{code}"


def _severity_html(severity: str) -> Html:
    """Return the verdict that a reason of this severity leads to, with its symbol; a note leads to none."""
    return text(severity) if severity == "note" else verdict(severity.upper())


def _meaning_html(code: str, severity: str) -> Html:
    """Return the code with what it means and from where on it is said; of a code no longer known, itself."""
    known = BY_CODE.get(code)
    if known is None:
        return element("code", code)
    # Of a code that was said more mildly as well, one row alone is led to.
    anchor = f' id="{_anchor(code)}"' if severity == known.severity else ""
    named = Html(f"<code{anchor}>{text(code)}</code>")
    return join([named, f" {known.meaning}. ", element("small", f"From: {known.threshold}.")])


def _evidence_html(record: Record, evidence: str) -> Html:
    return join([f"{evidence} (", element("code", f"{record.identity.case_id} repeat {record.identity.repeat}"), ")"])


def _remedy(code: str) -> str:
    return BY_CODE[code].remedy if code in BY_CODE else ""


def _failure_html(run: Run, records: Sequence[Record]) -> Html:
    first = records[0]
    number = counted(len(records), "repeat")
    failure = first.failure
    cause = f"{failure.code}: {failure.evidence}" if failure else "no cause was recorded"
    parts = [
        element(
            "p",
            join(
                [
                    element("strong", f"{number}: {first.outcome.value}"),
                    ", first in ",
                    element("code", first.identity.case_id),
                    f". {cause}",
                ]
            ),
        )
    ]
    if failure and failure.hint:
        parts.append(element("p", f"What to do: {failure.hint}"))
    if failure and failure.log_tail:
        parts.append(folded("The end of its log", element("pre", failure.log_tail)))
    if log := Store(run.run_dir).log_of(first):
        path = element("code", log.relative_to(run.run_dir).as_posix())
        parts.append(element("p", join(["The whole of it, in the run's folder: ", path])))
    return element("div", join(parts), "failure")
