"""`benchbook table`: a row a case for people, a row a repeat for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console

from benchbook.judge.loads import LOADS
from benchbook.judge.price import PRICED
from benchbook.listing import ListFormat, aligned, markdown
from benchbook.patterns import fitting
from benchbook.report.case_rows import axes_of, axis_text, metrics_of, value_text_of, why_unearned
from benchbook.report.run import Run
from benchbook.report.settings import LENGTHS, value_text
from benchbook.report.starts import one_start_sentence
from benchbook.report.table import case_table, number_keys, render_table, workload_columns
from benchbook.report.table_choice import check_column, sorted_by, where
from benchbook.terminal import say, tell_damage
from benchbook.terms.benchmarks import BENCHMARKS
from benchbook.terms.errors import ExperimentError
from benchbook.terms.likeness import no_such
from benchbook.terms.metrics import BY_KEY, Metric
from benchbook.terms.wording import counted, plus_minus_text

MAX_COLUMNS = 8
# What people ask for first; the other columns of a report follow.
_FIRST = (
    "output_throughput_tok_s",
    "output_throughput_per_gpu_tok_s",
    "request_goodput_rps",
    "median_ttft_ms",
    "p99_ttft_ms",
    "median_tpot_ms",
    "mean_e2el_ms",
)
_SHORTER = {"Tokens in / out": "In / out (tokens)", "Output throughput": "Output", "Total throughput": "Total"}
_COUNTS = {"valid": "VALID", "suspect": "SUSPECT", "invalid": "INVALID", "not_measured": "failed"}
_REPEATS = "Repeats"
_UNEARNED = "* a percentile of so few samples that it says little"


@dataclass(frozen=True)
class _Section:
    """A table with its title; the columns of `right` hold numbers."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[int]

    def without_last(self) -> _Section:
        return replace(self, headings=self.headings[:-1], rows=[row[:-1] for row in self.rows])

    def text(self) -> str:
        headings = [heading.replace(" (", "\n(") for heading in self.headings]  # units below: more columns fit
        return f"{self.title}\n" * bool(self.title) + aligned(headings, self.rows, None, self.right)

    def markdown(self) -> str:
        return f"**{self.title}**\n\n" * bool(self.title) + markdown(self.headings, self.rows, self.right)


def print_table(
    run: Run,
    table_format: ListFormat,
    console: Console,
    columns: Sequence[str] = (),
    case_pattern: str = "*",
    launch_pattern: str = "*",
    conditions: Sequence[str] = (),
    sort: str = "",
) -> None:
    """Print the results of `run`: rounded means of each case as text or Markdown, or every repeat as CSV or JSON.

    Raises ExperimentError for a column that there is none of, and for patterns and conditions that no case fits.
    """
    if run.num_stale:
        print(f"benchbook: left out: {counted(run.num_stale, 'stale record')} of an older plan", file=sys.stderr)
    tell_damage(run.damage)
    is_for_people = table_format in ("text", "md") and not (columns or conditions or sort)
    table = _chosen(run, run.measured_table if is_for_people else run.table, case_pattern, launch_pattern)
    for column in columns:
        check_column(column, table)
    table = where(table, conditions)
    if sort:
        table = sorted_by(table, sort)
    if table_format in ("csv", "json"):
        print(render_table(table[list(columns)] if columns else table, table_format), end="")
        return
    say(console, f"{run.run_dir.parent.name}/{run.run_dir.name}: {run.question}")
    if table.empty:
        say(console, "There are no records yet.")
        return
    all_sections = [_own_columns(table, columns)] if columns else _sections(run, table, is_sorted=bool(sort))
    may_drop = table_format == "text" and console.is_terminal and not columns
    sections = [_fitting(section, console.width) if may_drop else section for section in all_sections]
    for section in sections:
        print(f"\n{section.markdown() if table_format == 'md' else section.text()}", end="")
    notes = (
        [_UNEARNED] if any(cell.endswith("*") for section in sections for row in section.rows for cell in row) else []
    )
    if sentence := one_start_sentence(run):
        notes.append(sentence)
    if sections != all_sections:
        notes.append("More columns fit a wider terminal; --columns chooses them.")
    for note in notes:
        say(console, "")
        say(console, note if table_format == "text" else note.replace("*", chr(92) + "*"))


def markdown_tables(run: Run) -> str:
    """Return the results of `run` as Markdown, a row a case, and what its stars mean."""
    sections = _sections(run, run.measured_table, is_sorted=False) if len(run.measured_table) else []
    tables = "\n".join(section.markdown() for section in sections)
    return f"{tables}\n\\{_UNEARNED}\n" if " * |" in tables else tables


def _sections(run: Run, table: pd.DataFrame, *, is_sorted: bool) -> list[_Section]:
    """Return a table for each benchmark: what varies, the verdicts, and the metrics that people ask for first."""
    cases = case_table(table) if is_sorted else _by_load(case_table(table))
    parts = [(benchmark, cases[cases["benchmark"] == benchmark]) for benchmark in BENCHMARKS]
    settings = workload_columns(table)
    return [_section(run, part, benchmark, settings) for benchmark, part in parts if len(part)]


def _by_load(cases: pd.DataFrame) -> pd.DataFrame:
    """Return the cases by launch, in the order of the plan, and then by rising lengths and loads."""
    launches = list(dict.fromkeys(cases["launch"]))
    loads = [key for key in (*(load.key for load in LOADS), "batch_size") if key in cases]
    lengths = [key for key in LENGTHS if key in cases]
    order = cases.assign(place=cases["launch"].map(launches.index))
    return order.sort_values(["place", *lengths, *loads], kind="stable").drop(columns="place")


def _section(run: Run, cases: pd.DataFrame, benchmark: str, settings: Sequence[str]) -> _Section:
    axes = axes_of(cases, settings)
    measured = sorted(
        metrics_of(cases, benchmark),
        key=lambda metric: _FIRST.index(metric.key) if metric.key in _FIRST else len(_FIRST),
    )
    metrics = measured[: max(1, MAX_COLUMNS - len(axes) - 1)]
    headings = [*axes, _REPEATS, *(metric.heading for metric in metrics)]
    rows = [
        [
            *(axis_text(case, axis) for axis in axes.values()),
            _counts_text(run, case),
            *(_value_text(case, metric, benchmark) for metric in metrics),
        ]
        for case in cases.to_dict("records")
    ]
    right = [place for place, heading in enumerate(headings) if heading not in ("Launch", _REPEATS)]
    return _Section(BENCHMARKS[benchmark].title, [_shorter(heading) for heading in headings], rows, right)


def _shorter(heading: str) -> str:
    for long, short in _SHORTER.items():
        heading = heading.replace(long, short)
    return heading


def _own_columns(table: pd.DataFrame, columns: Sequence[str]) -> _Section:
    """Return one table of all cases with these columns: numbers as mean ± standard deviation, else all that there is."""
    named = [column for column in columns if column != "case_id"]
    by_case = {case_id: rows for case_id, rows in table.groupby("case_id", sort=False)}  # noqa: C416 (not a mapping)
    rows = [
        [case["case_id"], *(_field(case, by_case[case["case_id"]], column) for column in named)]
        for case in case_table(table).to_dict("records")
    ]
    right = [place for place, column in enumerate(named, start=1) if column in number_keys(PRICED)]
    return _Section("", ["case_id", *named], rows, right)


def _field(case: Mapping[str, Any], repeats: pd.DataFrame, column: str) -> str:
    if column in BY_KEY:
        return value_text_of(case, BY_KEY[column])
    if column in number_keys(PRICED):
        return plus_minus_text(case[f"{column}_mean"], case[f"{column}_stdev"])
    return ", ".join(dict.fromkeys(map(value_text, repeats[column].dropna())))


def _value_text(case: Mapping[str, Any], metric: Metric, benchmark: str) -> str:
    return value_text_of(case, metric) + (" *" if why_unearned(case, metric, benchmark) else "")


def _counts_text(run: Run, case: Mapping[str, Any]) -> str:
    """Return '2 VALID', or '1 VALID, 1 SUSPECT, 1 missing (1 measured again)'."""
    counts = [(case[column], name) for column, name in _COUNTS.items()]
    counts.append((run.missing.get(case["case_id"], 0), "missing"))
    again = f" ({case['measured_again']} measured again)" if case["measured_again"] else ""
    return ", ".join(f"{number} {name}" for number, name in counts if number) + again


def _fitting(section: _Section, width: int) -> _Section:
    """Return the section without as many of its last metrics as make its lines fit `width`; the first metric stays."""
    least = list(section.headings).index(_REPEATS) + 2
    while len(section.headings) > least and max(map(cell_len, section.text().splitlines())) > width:
        section = section.without_last()
    return section


def _chosen(run: Run, table: pd.DataFrame, case_pattern: str, launch_pattern: str) -> pd.DataFrame:
    """Return the rows of `table` that fit both patterns."""
    of_launch = table.loc[[fnmatchcase(launch, launch_pattern) for launch in table["launch"]]]
    if len(table) and not len(of_launch):
        raise ExperimentError(f"{run.name}: {no_such('launch', launch_pattern, list(dict.fromkeys(table['launch'])))}")
    if not len(of_launch):
        return of_launch
    return of_launch.loc[of_launch["case_id"].isin(fitting(case_pattern, of_launch["case_id"], run.name))]
