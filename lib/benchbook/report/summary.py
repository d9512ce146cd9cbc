"""The summary of a run for a terminal: how far its numbers may be believed, the answer, what failed, where things lie.

`print_summary(load_run(run_dir), console)` prints it; `ending(run)` is the exit code of the run and what it means.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from benchbook.judge.answerable import reasons_text
from benchbook.judge.outside import again_sentence
from benchbook.records.header import RunState
from benchbook.records.record import Record, Verdict
from benchbook.records.store import Store
from benchbook.report.answer import answer, why_not
from benchbook.report.caveats import unseen_sentence
from benchbook.report.run import Run
from benchbook.report.searched import start_sentence
from benchbook.report.starts import one_start_sentence
from benchbook.terminal import badge, say, shown
from benchbook.terms.exit_codes import FAILED, INTERRUPTED, MEANINGS, NO_ANSWER, OK
from benchbook.terms.wording import counted

_LEAD = " " * 9  # as wide as the words in front of the lines
MAX_CAUSES = 5


def ending(run: Run) -> tuple[int, str]:
    """Return the exit code of a run that has ended, and the words for it."""
    if run.header.state is RunState.INTERRUPTED:
        code = INTERRUPTED
    elif _lacks_something(run):
        code = FAILED
    else:
        code = NO_ANSWER if run.no_answer else OK
    return code, MEANINGS[code]


def _lacks_something(run: Run) -> bool:
    """Return whether anything is missing or INVALID that the run cannot do without."""
    needed = {case.case_id for case in run.plan if run.header.is_needed(case.launch)}
    is_short = run.header.state is not RunState.PARTIAL and not needed.isdisjoint(run.missing)
    return is_short or any(
        record.verdict is Verdict.INVALID for record in run.records if run.header.is_needed(record.identity.launch)
    )


def print_summary(run: Run, console: Console) -> None:
    """Print the remark on the run, the verdicts, the answer and whether to believe it, each cause of failure, the paths."""
    if run.remark:
        say(console, Text(f"! {run.remark}", "bold yellow"), "Remark   ")
    say(console, _counts(run), "Verdicts ")
    for sentence in _about_verdicts(run):
        say(console, sentence, _LEAD)
    for lead, line in zip(("Damaged  ", *[_LEAD] * MAX_CAUSES), run.damage[:MAX_CAUSES]):
        say(console, line, lead)
    if further := run.damage[MAX_CAUSES:]:
        say(console, f"{len(further)} further damaged files are in the report", _LEAD)
    reasons, said = why_not(run), answer(run)
    if reasons:
        say(console, Text(f"! {said[0]}", "bold yellow"), "Answer   ")
        for sentence in said[1 : len(reasons) + 1]:  # the last of them is what was seen all the same
            say(console, sentence, _LEAD)
    else:
        say(console, Text(said[0], "bold"), "Answer   ")
    for sentence in filter(None, [start_sentence(run), one_start_sentence(run)]):
        say(console, sentence, _LEAD)
    for records in run.causes[:MAX_CAUSES]:
        _print_cause(run, records, said[0], console)
    if further := run.causes[MAX_CAUSES:]:
        say(console, f"{len(further)} further causes are in the report", _LEAD)
    report = Store(run.run_dir).report_path
    if report.is_file():
        say(console, str(shown(report)), "Report   ")
    say(console, f"launches/ (hosts) and cases/ (repeats) in {shown(run.run_dir)}", "Logs     ")


def _counts(run: Run) -> Text:
    """Return '✓ 11 VALID, ! 13 SUSPECT, ✕ 2 failed, 1 missing, of 27 repeats'."""
    parts = [badge(verdict, f"{number} {verdict}") for verdict, number in run.verdicts.items() if number]
    if run.failures:
        parts.append(badge("failed", f"{len(run.failures)} failed"))
    if missing := sum(run.missing.values()):
        parts.append(Text(f"{missing} missing"))
    return Text(", ").join(parts) + f", of {counted(len(run.records) + missing, 'repeat')}"


def _about_verdicts(run: Run) -> list[str]:
    """Return which codes speak against the repeats, and which repeats only all together put in doubt."""
    doubted = [record for record in run.records if record.is_measured and record.verdict is not Verdict.VALID]
    was_valid = {id(record) for record, alone in zip(run.records, run.alone, strict=True) if alone is Verdict.VALID}
    changed = [record for record in doubted if id(record) in was_valid]
    sentences = [f"Because of {reasons_text(doubted)}."] if doubted else []
    sentences += filter(None, [again_sentence(run.records), unseen_sentence(run)])
    if changed:
        sentences.append(
            f"VALID when measured, and no longer now that all are judged together: {counted(len(changed), 'repeat')} "
            f"({reasons_text(changed)})."
        )
    return sentences


def _print_cause(run: Run, records: Sequence[Record], headline: str, console: Console) -> None:
    """Print what failed and why, the cause itself only where the answer has not told it."""
    first = records[0]
    failure = first.failure
    lines = [
        f"{counted(len(records), 'repeat')} {first.outcome.value}, first {first.identity.case_id} "
        f"repeat {first.identity.repeat}",
        *([f"{failure.code}: {failure.evidence}"] if failure and failure.evidence not in headline else []),
        *([f"What to do: {failure.hint}"] if failure and failure.hint else []),
    ]
    if log := Store(run.run_dir).log_of(first):
        lines.append(f"Log: {shown(log)}")
    for lead, line in zip(("Failed   ", *[_LEAD] * len(lines)), lines, strict=False):
        say(console, line, lead)
