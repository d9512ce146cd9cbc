"""`benchbook compare RUN_A RUN_B …`: runs side by side, printed, or as a page that opens anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchbook.judge.claims import headlines, tally
from benchbook.listing import aligned
from benchbook.records.store import Store
from benchbook.report.across import Across, across
from benchbook.report.compare_command import TextFormat, print_comparison
from benchbook.report.comparisons import comparison_html
from benchbook.report.html import write_page
from benchbook.report.markup import Html, bullets, element, join, table
from benchbook.report.sides import is_published, sides_of
from benchbook.terminal import say, shown
from benchbook.terms.errors import ExperimentError


def compare_runs(
    names: Sequence[str], results: Path, text_format: TextFormat, page: Path | None, console: Console
) -> None:
    """Print each of the runs against the first; raise ExperimentError for one that there is none of."""
    first, *others = [sides_of(name, results) for name in names]
    found = [one for theirs in others for one in across(first, theirs)]
    for number, one in enumerate(found):
        if text_format == "text":
            if number:
                say(console, "")
            _print_head(one, console)
        if one.comparison.rows:
            print_comparison(one.comparison, text_format, console)
    if page:
        write_page(page, f"{names[0]} and {', '.join(names[1:])}", [_answer_html(found), *map(_html, found)])
        say(console, f"Page: {shown(page)}")
    if not any(one.comparison.rows for one in found):
        why = "" if text_format == "text" else f": {'; '.join(reason for one in found for reason in one.apart)}"
        raise ExperimentError(f"nothing of {' and '.join(names)} can be compared{why}")


def means_runs(run: str, names: Sequence[str], results: Path) -> bool:
    """Return whether `names` are runs to be laid beside `run`, rather than launches of it, of which a name is looked for first."""
    if not names:
        return False
    if ":" in run or is_published(run):
        return True
    launches = Store.open(run, results).header().launches
    return not set(names) & set(launches) and all(is_run_name(name, results) for name in names)


def is_run_name(name: str, results: Path) -> bool:
    """Return whether `name` is that of a publication or of a run there is, perhaps with a launch of it."""
    try:
        return is_published(name) or bool(Store.open(name.partition(":")[0], results))
    except ExperimentError:
        return False


def _print_head(one: Across, console: Console) -> None:
    say(console, f"{one.other.name} against {one.base.name}")
    if one.differences:
        say(console, "What differs between them:")
        rows = [(f"  {what}", there, here) for what, there, here in one.differences]
        print(
            aligned(
                ("", one.base.name, one.other.name), rows, console.width if console.is_terminal else None, may_wrap=2
            ),
            end="",
        )
    for reason in one.apart:
        say(console, f"Cannot be compared: {reason}")


def _answer_html(found: Sequence[Across]) -> Html:
    """Return the sentence to read first of each comparison, or that there is none."""
    said = []
    for one in found:
        first = next(iter(headlines(one.comparison)), "")
        told = tally(one.comparison) if one.comparison.rows else "nothing can be compared."
        said.append(join([element("strong", f"{one.other.name} against {one.base.name}: "), first or told]))
    return element("div", bullets(said), "answer")


def _html(one: Across) -> Html:
    parts = [element("h2", f"{one.other.name} against {one.base.name}")]
    if one.differences:
        parts += [
            element("h3", "What differs between them"),
            table(("", one.base.name, one.other.name), one.differences, css_class="wordy"),
        ]
    if one.apart:
        parts += [element("h3", "What cannot be compared"), bullets(one.apart)]
    return join([*parts, comparison_html(one.comparison)])
