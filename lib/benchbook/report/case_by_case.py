"""Each case of a run by itself, folded: its repeats with what is said of them, and the course of one of them."""

from __future__ import annotations

from collections.abc import Sequence

from benchbook.judge.evidence import answers_of
from benchbook.judge.loads import case_name
from benchbook.judge.spread import spread_of
from benchbook.judge.starts import start_of
from benchbook.records.handover import EXECUTED_FILE
from benchbook.records.record import Record, Verdict
from benchbook.records.telemetry import TELEMETRY_FILE, read_telemetry
from benchbook.report.course import course_html
from benchbook.report.markup import Html, absent, element, join, table, text, verdict
from benchbook.report.run import Run
from benchbook.report.told import case_anchor
from benchbook.terms.errors import StoreError
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import number_text, plus_minus_text

MAX_CASES = 100  # that are shown one by one; all are in the tables
_MAX_METRICS = 6
_KINDS = ("VALID", "SUSPECT", "INVALID")


def cases_html(run: Run) -> Html:
    """Return a fold for each measured case, in the order of the plan."""
    shown = anchors(run)
    if not shown:
        return absent("Nothing was measured.")
    cases: dict[str, list[Record]] = {case_id: [] for case_id in shown}
    for record in run.records:
        if record.is_measured and record.identity.case_id in cases:
            cases[record.identity.case_id].append(record)
    folds = [_case_html(run, shown[case_id], records) for case_id, records in cases.items()]
    is_cut = len(shown) < len(run.cases)
    cut = f"The first {len(shown)} of {len(run.cases):,} cases; the tables above have them all." if is_cut else ""
    return join([*folds, element("p", cut, "note") if cut else ""])


def anchors(run: Run) -> dict[str, str]:
    """Return the id within the page of each case that is shown one by one, by case id."""
    measured = (record.identity.case_id for record in run.records if record.is_measured)
    return {case_id: case_anchor(case_id) for case_id in list(dict.fromkeys(measured))[:MAX_CASES]}


def _case_html(run: Run, anchor: str, records: Sequence[Record]) -> Html:
    summary = element("summary", _summary(records))
    content = join([_repeats_html(run, records), _course_of(run, records)])
    return Html(f'<details class="case" id="{anchor}">{summary}{content}</details>')


def _summary(records: Sequence[Record]) -> Html:
    """Return 'eager, serve, 128 in / 64 out, 8 requests in flight: ✓ 3 VALID, 512 ± 3 tok/s'."""
    first = records[0]
    counts = {kind: sum(record.verdict.value == kind for record in records) for kind in _KINDS}
    badges = [verdict(kind, f"{number} {kind}") for kind, number in counts.items() if number]
    metric = BY_KEY.get(first.row.headline or "")
    values = [(record.values.get(metric.key), start_of(record)) for record in records if record.is_believed and metric]
    spread = spread_of(*zip(*values)) if values else None
    value = [f"{plus_minus_text(spread.mean, spread.stdev)} {metric.unit}"] if spread and metric else []
    return join([f"{first.identity.launch}, {case_name(first)}: ", join([*badges, *value], ", ")])


def _repeats_html(run: Run, records: Sequence[Record]) -> Html:
    """Return a row for each repeat: verdict, the first metrics of its benchmark, what is said of it, its notebook."""
    keys = [key for key in records[0].row.columns if any(record.values.get(key) is not None for record in records)]
    metrics = [BY_KEY[key] for key in keys[:_MAX_METRICS]]
    headings = ("Repeat", "Verdict", *(metric.heading for metric in metrics), "What is said of it", "Notebook")
    rows = [
        (
            record.identity.repeat,
            verdict(record.verdict.value),
            *(number_text(record.values.get(metric.key)) for metric in metrics),
            ", ".join(dict.fromkeys(reason.code for reason in record.reasons)) or "–",
            _notebook_html(run, record),
        )
        for record in records
    ]
    return table(headings, rows, (0, *range(2, 2 + len(metrics))), label=f"Repeats of {records[0].identity.case_id}")


def _notebook_html(run: Run, record: Record) -> Html:
    """Return the path of the repeat's notebook; the page makes a link of it where the file lies beside it."""
    if not run.has_file(record, EXECUTED_FILE):
        return text(None)
    path = run.repeat_path(record, EXECUTED_FILE).as_posix()
    return Html(f'<code data-file="{text(path)}">{text(EXECUTED_FILE)}</code>')


def _course_of(run: Run, records: Sequence[Record]) -> Html:
    """Return the course of the repeat that is in most doubt, else of the first; nothing where its files are not here."""
    doubted = [record for record in records if record.verdict is not Verdict.VALID]
    record = (doubted or records)[0]
    if not (record.raw_file and run.has_file(record, record.raw_file)):
        return Html("")
    try:
        raw = run.raw(record)
        path = run.run_dir / run.repeat_path(record, TELEMETRY_FILE)
        telemetry = read_telemetry(path) if path.is_file() else None
    except StoreError as error:
        return element("p", f"Its course is not drawn: {error}.", "note")
    drawn = course_html(answers_of(raw), telemetry, raw)
    return join([element("p", f"The course of repeat {record.identity.repeat}:", "note"), drawn]) if drawn else drawn
