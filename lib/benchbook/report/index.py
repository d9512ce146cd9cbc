"""results/index.html: every run under a folder of results, the newest first, with its answer and a link to its report."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from benchbook.records.header import RunHeader
from benchbook.records.runs import run_files, run_name
from benchbook.records.store import Store
from benchbook.report.html import write_page
from benchbook.report.markup import Html, element, join, table, text
from benchbook.terms.wording import duration_text, time_text

INDEX_FILE = "index.html"
_HEADINGS = ("Began (UTC)", "Run", "Question and answer", "State", "Measured", "Took")
_HEAD_BYTES = 4096  # of a report; what it says of itself stands at its beginning
_DESCRIPTION = re.compile(r'<meta name="description" content="([^"]*)">')


def write_index(results_dir: Path) -> Path:
    """Write the list of all runs under `results_dir`; return its path."""
    found = [(path.parent, *Store(path.parent).read_header()) for path in run_files(results_dir)]
    found.sort(key=lambda one: one[1].started_utc, reverse=True)
    rows = [_row(*one, results_dir) for one in found]
    path = results_dir / INDEX_FILE
    shown = (
        table(_HEADINGS, rows, (4,), "results runs", label="Runs") if rows else element("p", "There are no runs yet.")
    )
    write_page(path, "Runs", [shown])
    return path


def _row(run_dir: Path, header: RunHeader, damage: Sequence[str], results_dir: Path) -> tuple[object, ...]:
    store, name = Store(run_dir), run_name(run_dir, results_dir)
    planned = "?" if damage else sum(case.repeats for case in header.plan)
    report = store.report_path
    link = Html(f'<a href="{quote(report.relative_to(results_dir).as_posix())}">{text(name)}</a>')
    answer = _answer_of(report)
    question = element("strong", header.question or header.experiment)
    return (
        time_text(header.started_utc),
        link if report.is_file() else name,
        join([question, element("p", answer)]) if answer else question,
        header.state,
        f"{store.count_measured()} of {planned}",
        duration_text(header.wall_s) if header.wall_s is not None else "",
    )


def _answer_of(report: Path) -> str:
    """Return the answer that a report gives at its head; '' where there is none."""
    try:
        with report.open("rb") as file:
            head = file.read(_HEAD_BYTES).decode(errors="replace")
    except OSError:
        return ""
    found = _DESCRIPTION.search(head)
    return html.unescape(found[1]) if found else ""
