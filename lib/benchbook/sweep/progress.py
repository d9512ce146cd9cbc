"""Progress of a run: a live display in a terminal, plain lines elsewhere. Says what runs, done, failed and why, left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from benchbook.judge.headlines import headline_text
from benchbook.records.record import Failure, Record
from benchbook.sweep.interrupts import is_stopping, told_of_halts
from benchbook.terminal import badge, say, shown
from benchbook.terms.estimate import Estimate
from benchbook.terms.wording import duration_text

_SHOW_CURSOR = "\x1b[?25h"
NOTED_HALT_S = 1.0  # a shell's Ctrl-Z and `fg`; below, nobody has waited


class Listener(Protocol):
    """Who is told what a run does."""

    def begin(self, total: int, already_done: int, left: Estimate) -> None: ...
    def left(self, left: Estimate) -> None: ...
    def say(self, text: str) -> None: ...
    def more(self, number: int, why: str) -> None: ...
    def working_on(self, what: str, at_most_s: float | None = None) -> None: ...
    def recorded(self, record: Record, wall_s: float, log: Path | None) -> None: ...


class ConsoleProgress:
    """The listener of the command line; as a context manager, it shows its live display inside."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._already_done = 0
        # The verdict or 'failed' of each repeat, no whole records; a second attempt takes the place of the first.
        self._latest: dict[tuple[str, int], str] = {}
        self._told: dict[tuple[str, str], set[tuple[str, int]]] = {}  # the causes of failures, and the repeats they hit
        self._same = 0  # repeats hit since the last line by a cause that was told before
        self._what = "getting ready"
        self._what_since_s = time.monotonic()
        self._at_most_s: float | None = None  # for what is worked on
        self._left: Estimate | None = None
        self._left_since_s = 0.0
        self._inside = ExitStack()
        # Last: Live draws while it is made, from what stands above.
        self._live = (
            Live(get_renderable=self._display, console=console, refresh_per_second=2, transient=True)
            if console.is_interactive
            else None
        )

    def __enter__(self) -> ConsoleProgress:
        if self._live:
            self._inside.enter_context(self._live)
        self._inside.enter_context(told_of_halts(self._halt, self._go_on))
        return self

    def __exit__(self, *_: object) -> None:
        self._tell_same()
        self._inside.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Inside, the terminal is somebody else's: to ask a question."""
        if self._live:
            self._live.stop()
        yield
        if self._live:
            self._live.start()

    def begin(self, total: int, already_done: int, left: Estimate) -> None:
        """Tell how many repeats there are, how many of them are measured already, and how long the rest may take."""
        self._total, self._already_done = total, already_done
        self.left(left)
        kept = f" ({already_done} measured earlier are kept)" if already_done else ""
        what = f"{total} repeat{'s'[: total != 1]} in all" if total else "As many repeats as the search takes"
        self.say(f"{what}{kept}; {left} to go ({left.why})")

    def left(self, left: Estimate) -> None:
        """Tell how long the rest may take from now on, as what is worked on next begins."""
        self._left, self._left_since_s = left, time.monotonic()

    def say(self, text: str | Text, lead: str = "") -> None:
        """Print a line that stays."""
        self._tell_same()
        say(self._console, text, lead)

    def more(self, number: int, why: str) -> None:
        """Tell that so many repeats have come to the total, and why."""
        self._total += number
        self.say(f"  {why}")

    def working_on(self, what: str, at_most_s: float | None = None) -> None:
        """Tell what is being done now; a terminal shows it live, plain output prints it once there is a run.

        With `at_most_s`, how long it takes at most, it is counted down; what is told anew of the same wait is live only.
        """
        is_same_wait = at_most_s is not None and self._at_most_s is not None
        self._what, self._what_since_s, self._at_most_s = what, time.monotonic(), at_most_s
        if not self._live and self._total and not is_same_wait:  # what is refused before that is told in one line
            self.say(f"  … {what}")

    def recorded(self, record: Record, wall_s: float, log: Path | None) -> None:
        """Tell of one more record; the cause of a failure once, with the `log` that holds more."""
        identity = record.identity
        repeat = identity.case_id, identity.repeat
        self._latest[repeat] = record.verdict if record.is_measured else "failed"
        cause = record.failure and (record.failure.code, record.failure.evidence)
        hit = self._told.setdefault(cause, set()) if cause else set()
        if hit and repeat not in hit:
            hit.add(repeat)
            self._same += 1
            return
        width = len(str(self._total))
        lead = f"  [{self._already_done + len(self._latest):>{width}}/{self._total}] "
        number = "" if record.failure else f"{headline_text(record)} ({wall_s:.1f} s) ".lstrip()
        where = f" at {record.host.place}" if record.host.place else ""
        self.say(_outcome(record) + f" {number}{identity.case_id} repeat {identity.repeat}{where}", lead)
        if record.failure:
            self._tell_failure(record.failure, log, " " * len(lead), is_known=repeat in hit)
            hit.add(repeat)

    def _tell_failure(self, failure: Failure, log: Path | None, lead: str, is_known: bool) -> None:
        if is_known:
            self.say("by the same cause as before", lead)
            return
        self.say(f"{failure.code}: {failure.evidence}", lead)
        if failure.hint:
            self.say(f"What to do: {failure.hint}", lead)
        if log:
            self.say(f"Log: {shown(log)}", lead)

    def _tell_same(self) -> None:
        same, self._same = self._same, 0
        if same:
            self.say(f"  the same for {same} more repeat{'s'[: same > 1]}")

    def _display(self) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_row("▶", "stopping in order; Ctrl-C again ends at once" if is_stopping() else self._now())
        if self._total:
            table.add_row("", self._counts())
        return table

    def _now(self) -> str:
        spent_s = time.monotonic() - self._what_since_s
        if self._at_most_s is None:
            return f"{duration_text(spent_s)}: {self._what}"
        return f"{duration_text(max(0.0, self._at_most_s - spent_s))} at most: {self._what}"

    def _counts(self) -> Text:
        done = self._already_done + len(self._latest)
        verdicts = Counter(self._latest.values())
        parts = [Text(f"{done} of {self._total}"), *(badge(name, f"{n} {name}") for name, n in verdicts.items())]
        return Text(" · ").join([*parts, Text(self._left_text() if done < self._total else "nothing left to measure")])

    def _left_text(self) -> str:
        return f"{self._left.after(time.monotonic() - self._left_since_s)} to go"

    def _halt(self) -> None:
        """Leave the terminal as it was found, to the shell."""
        if self._live:
            self._live.stop()
            # Past Rich, which holds back what it writes where Ctrl-Z has come in the middle of a line of ours.
            self._console.file.write(_SHOW_CURSOR)
            self._console.file.flush()

    def _go_on(self, halted_s: float) -> None:
        self._what_since_s += halted_s
        self._left_since_s += halted_s
        if halted_s >= NOTED_HALT_S:
            self.say(
                f"Halted for {duration_text(halted_s)}. Servers and the repeat under way have sessions of their own and "
                "went on."
            )
        if self._live:
            self._live.start()


def _outcome(record: Record) -> Text:
    if record.failure:
        return badge("failed", record.outcome.value.upper())
    codes = ", ".join(reason.code for reason in record.reasons if reason.severity != "note")
    return badge(record.verdict, record.verdict.value + (f" ({codes})" if codes else ""))
