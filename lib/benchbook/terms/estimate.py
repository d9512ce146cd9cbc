"""How long what is left takes, as a run tells it to whoever waits for it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchbook.terms.wording import duration_text

OVERDUE_SHARE = 0.1  # what takes longer than expected is taken to go on for a tenth of what it took
LEAST_LEFT_S = 1.0


@dataclass(frozen=True)
class Estimate:
    """The time left (s), or the least of it."""

    seconds: float
    later_s: float  # of it, what begins when the work under way has ended
    is_known: bool = True
    sources: tuple[str, ...] = ()

    def after(self, spent_s: float) -> Estimate:
        """Return what is left once the work under way has gone on for `spent_s`: more than what comes after it."""
        going_s = self.seconds - self.later_s
        left_s = going_s - spent_s
        if left_s < 0 and self.is_known:
            left_s = OVERDUE_SHARE * spent_s
        return replace(self, seconds=self.later_s + max(left_s, LEAST_LEFT_S))

    def __str__(self) -> str:
        return f"{'about' if self.is_known else 'at least'} {duration_text(self.seconds)}"

    @property
    def why(self) -> str:
        """Return what tells the time, e.g. 'by run quickstart/20261126-140716', or why only a least is known."""
        if not self.is_known:
            return "more is not known before it has run on this machine"
        return " and ".join(self.sources) or "all is measured"
