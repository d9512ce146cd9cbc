"""Is the new one worse than the baseline? Three answers, each with its error; a fourth is that nothing may be said.

*Worse*: a loss that is more than chance, where the estimate is beyond what is allowed; of one case beside others, a loss that
is beyond what is allowed by more than chance: of many cases some always look worse. All that is judged together calls an
equal launch worse in at most 5 % of gates (families.py, one-sided).
*Not worse*: the upper limit of the loss, one-sided at 95 %, is at most what is allowed; a launch that is worse by more
passes in at most 5 %. All metrics have to show it, so nothing is divided among them (an intersection-union test). It is
asked of each metric over all cases of a benchmark together: a single case may only be found worse.
*Cannot tell*: neither, and how many rounds would likely tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from benchbook.judge.compare import Comparison, Row
from benchbook.judge.families import Decision, Test, decide
from benchbook.judge.stats import CONFIDENCE, MIN_DEGREES, MOST_REPEATS, POWER, quantile

ERROR = 1 - CONFIDENCE  # of each answer, one-sided
FOUND = 0.9  # of gates, that call a loss worse which they are said to find
DEFAULT_ALLOWED = 0.03


class Answer(StrEnum):
    """What a gate says; a closed set."""

    WORSE = "worse"
    NOT_WORSE = "not worse"
    OPEN = "cannot tell"


@dataclass(frozen=True)
class Judged:
    """One metric over all cases of a benchmark, or of a single case, and what is said of it."""

    row: Row
    allowed: float  # share that the metric may be worse by
    answer: Answer | None  # None: a case beside others, which is not worse for sure; all together answer for it
    level: float  # one-sided error at which its loss is more than chance
    rounds: int | None = (
        None  # where the answer is open: how many in all would likely tell, None where none are advised
    )

    @property
    def loss(self) -> float:
        """Return the share of itself by which the metric is worse by the estimate; negative: better."""
        return _share(self.row, _log_loss(self.row))

    @property
    def limits(self) -> tuple[float, float] | None:
        """Return the least and the most that the loss may be, each one-sided at 95 %; None where none is told."""
        interval = self.row.ratio.interval(1 - 2 * ERROR)
        if interval is None:
            return None
        low, high = sorted(_share(self.row, _sign(self.row) * math.log(bound)) for bound in interval)
        return low, high

    @property
    def found_from(self) -> float | None:
        """Return the least loss, as a share, that FOUND of gates of this spread would call worse; None where none is told."""
        error, degrees = self.row.ratio.log_error, self.row.ratio.degrees
        if self.answer is None or error is None:
            return None
        beyond = max(quantile(1 - self.level, degrees) * error, abs(_log_allowed(self.row, self.allowed)))
        return _share(self.row, beyond + quantile(FOUND, degrees) * error)


@dataclass(frozen=True)
class Gate:
    """The answer for a comparison, or why there is none."""

    comparison: Comparison
    judged: tuple[Judged, ...]
    refusals: tuple[str, ...] = ()  # why nothing may be said, a sentence each
    is_broken: bool = False  # what refuses is that something failed or is INVALID

    @property
    def answer(self) -> Answer:
        """Return 'worse' where anything is, 'not worse' where all is shown to be that, else 'cannot tell'."""
        answers = {one.answer for one in self.judged} - {None}
        if self.refusals or not answers:
            return Answer.OPEN
        if Answer.WORSE in answers:
            return Answer.WORSE
        return Answer.OPEN if Answer.OPEN in answers else Answer.NOT_WORSE

    @property
    def rounds(self) -> int | None:
        """Return how many rounds in all would likely tell; None where it is told, or no number is advised."""
        still_open = [one.rounds for one in self.judged if one.answer is Answer.OPEN]
        return max(still_open) if still_open and None not in still_open else None


def gate(
    comparison: Comparison, allowed: float = DEFAULT_ALLOWED, own: Mapping[str, float] = {}, is_foretold: bool = False
) -> list[Judged]:
    """Return what is said of each headline row of `comparison`, where a metric may be worse by `allowed`, or its `own`.

    No number of rounds is advised where the interval is one that foretells a run (kept.py): rounds do not narrow it.
    """
    rows = [row for row in comparison.rows if row.is_headline]
    together = {(row.benchmark, row.metric.key) for row in rows if row.num_cases > 1}
    asked = [row.num_cases > 1 or (row.benchmark, row.metric.key) not in together for row in rows]
    shares = [own.get(row.metric.key, allowed) for row in rows]
    places = [place for place, row in enumerate(rows) if row.ratio.log_error is not None]
    tests = [_test(rows[place], 0.0 if asked[place] else shares[place]) for place in places]
    decisions = dict(zip(places, decide(tests, ERROR), strict=True))
    return [
        _judged(row, share, decisions.get(place), is_asked, is_foretold)
        for place, (row, share, is_asked) in enumerate(zip(rows, shares, asked))
    ]


def _judged(row: Row, allowed: float, decision: Decision | None, is_asked: bool, is_foretold: bool) -> Judged:
    level = decision.level if decision else ERROR
    one = Judged(row, allowed, Answer.OPEN if is_asked else None, level)
    if decision and decision.is_claimed and one.loss > allowed:
        return Judged(row, allowed, Answer.WORSE, level)
    if not is_asked:
        return one
    if one.limits is not None and one.limits[1] <= allowed:
        return Judged(row, allowed, Answer.NOT_WORSE, level)
    return Judged(row, allowed, Answer.OPEN, level, None if is_foretold else _rounds_wanted(row, allowed, level))


def _rounds_wanted(row: Row, allowed: float, level: float) -> int | None:
    """Return how many rounds would likely tell, by the spread of these; None where MOST_REPEATS would not,
    or where rounds are no pairs.

    Likely is POWER, were the loss the one that was seen, or none where the new one looks better.
    """
    number, loss, most = min(row.num_base, row.num_other), max(_log_loss(row), 0.0), abs(_log_allowed(row, allowed))
    if row.ratio.log_error is None:
        return MIN_DEGREES + 1 if 0 < number <= MIN_DEGREES else None
    spread = row.ratio.log_error * math.sqrt(number)
    for more in range(number + 1, MOST_REPEATS + 1):
        error, degrees = spread / math.sqrt(more), more - 1
        likely = quantile(POWER, degrees)
        room, error_of = (loss, level) if loss > most else (most - loss, ERROR)
        if (quantile(1 - error_of, degrees) + likely) * error <= room:
            return more
    return None


def _test(row: Row, allowed: float) -> Test:
    """Return the one-sided hypothesis that the row is worse by `allowed` at most."""
    from scipy.special import stdtr  # late: the command line starts without scipy

    beyond = _log_loss(row) - abs(_log_allowed(row, allowed))
    p_value = float(stdtr(row.ratio.degrees, -beyond / row.ratio.log_error))
    return Test(p_value, (row.benchmark, row.metric.key), is_together=row.num_cases > 1)


def _log_loss(row: Row) -> float:
    """Return the logarithm of how many times worse the metric is; negative: better."""
    return _sign(row) * math.log(row.ratio.ratio)


def _sign(row: Row) -> int:
    return -1 if row.metric.higher_is_better else 1


def _share(row: Row, log_loss: float) -> float:
    """Return the loss as a share of the baseline's value: a throughput 3 % lower, a latency 3 % higher."""
    return _sign(row) * math.expm1(_sign(row) * log_loss)


def _log_allowed(row: Row, allowed: float) -> float:
    return math.log1p(_sign(row) * allowed)
