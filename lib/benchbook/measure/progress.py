"""Progress of a run: a live display in a terminal, plain lines elsewhere. Says what runs, done, failed, left, ETA."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

from benchbook.plan.eta import Estimate
from benchbook.records.record import Record, Verdict


class Listener(Protocol):
    """Who is told what a run does."""

    def begin(self, total: int, already_done: int, left: Estimate) -> None: ...
    def left(self, left: Estimate) -> None: ...
    def say(self, text: str) -> None: ...
    def more(self, number: int, why: str) -> None: ...
    def working_on(self, what: str) -> None: ...
    def recorded(self, record: Record, wall_s: float) -> None: ...
    def end(self) -> None: ...


class ConsoleProgress:
    """The listener of the command line."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total = self._done = self._failed = self._already_done = 0
        self._what = "starting"
        self._what_since_s = self._started_s = time.monotonic()
        self._left: Estimate | None = None
        self._left_since_s = 0.0
        # Last: Live draws while it is made, from what stands above.
        self._live = (
            Live(get_renderable=self._display, console=console, refresh_per_second=2, transient=True)
            if console.is_terminal
            else None
        )

    def begin(self, total: int, already_done: int, left: Estimate) -> None:
        """Tell how many repeats there are, how many of them are measured already, and how long the rest may take."""
        self._total, self._already_done = total, already_done
        self.left(left)
        kept = f" ({already_done} measured earlier are kept)" if already_done else ""
        self.say(f"{total} repeats to hold{kept}; {left} to go ({left.why})")
        if self._live:
            self._live.start()

    def left(self, left: Estimate) -> None:
        """Tell how long the rest may take from now on, as what is worked on next begins."""
        self._left, self._left_since_s = left, time.monotonic()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def more(self, number: int, why: str) -> None:
        """Tell that so many repeats have come to the total, and why."""
        self._total += number
        self.say(f"  {why}")

    def working_on(self, what: str) -> None:
        """Tell what is being done now; plain output prints it, a terminal shows it live."""
        self._what, self._what_since_s = what, time.monotonic()
        if not self._live:
            self.say(f"  … {what}")

    def recorded(self, record: Record, wall_s: float) -> None:
        """Tell of one more record."""
        self._done += 1
        self._failed += record.verdict is Verdict.INVALID
        self.say(
            f"  {self._counts()} {_outcome_text(record)} {record.identity.case_id} repeat {record.identity.repeat} ({wall_s:.1f} s) {_headline(record)}"
        )

    def end(self) -> None:
        """Take the live display down."""
        if self._live:
            self._live.stop()

    def _counts(self) -> str:
        width = len(str(self._total))
        return f"[{self._already_done + self._done:>{width}}/{self._total}]"

    def _left_text(self) -> str:
        return f"{self._left.after(time.monotonic() - self._left_since_s)} to go" if self._left else ""

    def _display(self) -> Table:
        table = Table.grid(padding=(0, 2))
        left = self._total - self._already_done - self._done
        table.add_row(f"▶ {self._what}", f"{time.monotonic() - self._what_since_s:.0f} s")
        table.add_row(
            f"  {self._done} done · {self._failed} failed or invalid · {left} left · {self._left_text()}",
            "",
        )
        return table


def _outcome_text(record: Record) -> str:
    if record.failure:
        return f"{record.outcome.value.upper()} {record.failure.code}: {record.failure.evidence[:120]} |"
    codes = ", ".join(reason.code for reason in record.reasons if reason.severity != "note")
    return record.verdict.value + (f" ({codes})" if codes else "")


def _headline(record: Record) -> str:
    """Return the one figure that a line of progress can carry."""
    values: Mapping[str, float | int | None] = record.values
    for key, text in (
        ("output_throughput_tok_s", "{:.1f} output tok/s"),
        ("avg_batch_latency_s", "{:.3f} s a batch"),
        ("ttft_ms", "TTFT {:.1f} ms"),
    ):
        if values.get(key) is not None:
            return text.format(values[key])
    return ""
