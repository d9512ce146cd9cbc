"""Is speed bought with answers? The items of a guard as two launches answered them, paired one by one.

What counts are items that one launch has right and the other has not: of all others nothing is learnt. The change in the
share that is right has an exact interval (exact.py). *Kept*: at worst, no more is lost than the margin. *Lost*: a loss for
sure, and by the estimate more than the margin; then no speed is claimed. *Cannot tell*: neither. Where a model answers
no better than who guesses, by random weights or otherwise, there is nothing to lose, and the guard means nothing.

An item that the first launch was not given an answer to is left out; one that only the other leaves unanswered is wrong.
Of an item that either was not asked nothing is known, and it is left out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchbook.judge.catalogue import reason
from benchbook.judge.evidence import Finding
from benchbook.judge.exact import ERROR, change_interval
from benchbook.judge.stats import quantile, stdev
from benchbook.records.answers import NONE, NOT_ASKED, RIGHT, GuardAnswers
from benchbook.records.record import Record
from benchbook.terms.wording import counted


class Kept(StrEnum):
    """What may be said of the answers; a closed set."""

    KEPT = "kept"
    LOST = "lost"
    OPEN = "cannot be told"
    NOTHING = "means nothing"


@dataclass(frozen=True)
class Drift:
    """By how much the log-probability of the right answers changed, a token, with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Accuracy:
    """The answers of launch `other` beside those of launch `base`, to the same items."""

    base: str
    other: str
    margin: float
    number: int = 0  # items that count
    right: tuple[int, int] = (0, 0)  # of them, by base and other
    lost: int = 0  # right by base alone
    gained: int = 0
    drift: Drift | None = None
    why_nothing: str = ""  # why the guard means nothing
    why_open: str = ""  # why nothing could be compared
    not_asked: str = ""  # of whom how many items were not asked, and why; '' where all were

    @property
    def change(self) -> float:
        """Return the change in the share that is right."""
        return (self.gained - self.lost) / self.number if self.number else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return its exact 95 % interval."""
        return change_interval(self.lost, self.gained, self.number) if self.number else (-1.0, 1.0)

    @property
    def kept(self) -> Kept:
        """Return what may be said."""
        if self.why_nothing:
            return Kept.NOTHING
        if self.why_open:
            return Kept.OPEN
        low, high = self.interval
        if high < 0 and self.change < -self.margin:
            return Kept.LOST
        return Kept.KEPT if low >= -self.margin else Kept.OPEN

    @property
    def numbers(self) -> str:
        """Return 'accuracy -0.3 points [-1.1, +0.5]', the change with its interval."""
        low, high = self.interval
        return f"accuracy {points(self.change)} points [{points(low)}, {points(high)}]"

    @property
    def short(self) -> str:
        """Return what a claim of speed carries: the change with its interval, and whether that answers."""
        if self.kept is Kept.NOTHING:
            return f"of its answers the guard tells nothing ({self.why_nothing})"
        if self.why_open:
            return f"whether its answers are as good was not found out ({self.why_open})"
        wide = f", too wide to tell a loss of {margin_text(self.margin)}" if self.kept is Kept.OPEN else ""
        return f"{self.numbers}{wide}"

    @property
    def sentences(self) -> list[str]:
        """Return all that there is to say of it, a sentence each."""
        if self.kept is Kept.NOTHING:
            return [f"Guard: it means nothing here, since {self.why_nothing}."]
        if self.why_open:
            return [f"Guard: nothing could be compared: {self.why_open}."]
        shares = " and ".join(f"{100 * right / self.number:.1f} %" for right in self.right)
        said = {
            Kept.KEPT: f"at worst it loses no more than the {margin_text(self.margin)} that are allowed",
            Kept.LOST: f"it loses answers, and more than the {margin_text(self.margin)} that are allowed",
            Kept.OPEN: f"that is too wide to tell whether it loses {margin_text(self.margin)}",
        }[self.kept]
        found = [
            f"Guard: of {counted(self.number, 'item')} asked under load, {self.base} and {self.other} have {shares} right; "
            f"{self.lost} are lost and {self.gained} gained, {self.numbers}: {said}."
        ]
        if self.not_asked:
            found.append(f"Left out of this: {self.not_asked}.")
        if self.kept is Kept.OPEN:
            found.append(_more_items(self))
        if self.drift:
            found.append(
                f"The log-probability of the right answers changed by {self.drift} a token"
                + (", which comes before answers change." if self.drift.high < 0 else ".")
            )
        return found


def points(share: float) -> str:
    """Return '-0.3', a change in points."""
    text = f"{100 * share:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text


def margin_text(share: float) -> str:
    """Return '1 point' or '2.5 points'."""
    return f"{100 * share:g} point{'' if share == 0.01 else 's'}"


def accuracy_of(base: Sequence[Record], other: Sequence[Record], names: tuple[str, str]) -> Accuracy | None:
    """Return the answers of two launches paired; None where neither was asked."""
    ours, theirs = _answers(base), _answers(other)
    first = ours or theirs
    if first is None:
        return None
    found = Accuracy(*names, margin=first.margin)
    silent = [name for name, told in zip(names, (ours, theirs)) if told is None or not told.answered]
    if silent:
        why = next((told.why_not for told in (ours, theirs) if told and not told.answered and told.why_not), "")
        return _with(found, why_open=f"{' and '.join(silent)} answered no item{f': {why}' if why else ''}")
    if ours.items_sha256 != theirs.items_sha256 or len(ours.marks) != len(theirs.marks):
        return _with(found, why_open="they were asked different items")
    why_nothing = _why_nothing([*base, *other], ours)
    not_asked = "; ".join(filter(None, map(_not_asked, (ours, theirs), names)))
    every = zip(ours.marks, theirs.marks, strict=True)
    pairs = [pair for pair in every if pair[0] != NONE and NOT_ASKED not in pair]
    if not pairs:
        return _with(found, why_open=f"no item that {names[0]} answered was asked of {names[1]}: {not_asked}")
    return _with(
        found,
        not_asked=not_asked,
        number=len(pairs),
        right=tuple(sum(pair[place] == RIGHT for pair in pairs) for place in (0, 1)),
        lost=sum(pair[0] == RIGHT != pair[1] for pair in pairs),
        gained=sum(pair[1] == RIGHT != pair[0] for pair in pairs),
        drift=_drift(ours, theirs),
        why_nothing=why_nothing,
    )


def right_sentence(records: Sequence[Record]) -> str:
    """Return how many of its guard's items a launch has right, to which nothing is compared; '' where it was not asked."""
    told = _answers(records)
    if told is None:
        return ""
    if not told.answered:
        return f"Guard: no item was answered: {told.why_not or 'there are none'}."
    share = f"{told.right} of {counted(told.answered, 'item')} asked under load are answered right"
    left = f"; {text}" if (text := _not_asked(told)) else ""
    return f"Guard: {share}{left}{f'; it means nothing, since {why}' if (why := _why_nothing(records, told)) else ''}."


def answers_worse(records: Sequence[Record]) -> Iterator[Finding]:
    """Suspect where a launch loses more answers than the guard allows; note where that cannot be told, or means nothing."""
    codes = {Kept.LOST: "answers_worse", Kept.OPEN: "guard_too_wide", Kept.NOTHING: "guard_means_nothing"}
    by_launch: dict[str, list[Record]] = {}
    for record in records:
        by_launch.setdefault(record.identity.launch, []).append(record)
    (first, base), *others = by_launch.items() or [("", [])]
    for name, theirs in others:
        if (found := accuracy_of(base, theirs, (first, name))) and (code := codes.get(found.kept)):
            told = reason(code, f"{name!r} against {first!r}: {found.short}")
            yield from ((record, told) for record in theirs if record.guard)
    if not others and (alone := _answers(base)) and (why := _why_nothing(base, alone)):
        yield from ((record, reason("guard_means_nothing", why)) for record in base if record.guard)


CHECKS = (answers_worse,)


def _with(found: Accuracy, **facts: object) -> Accuracy:
    return Accuracy(**{**vars(found), **facts})


def _answers(records: Sequence[Record]) -> GuardAnswers | None:
    """Return what a launch answered: as it was asked last."""
    return next((record.guard for record in reversed(records) if record.guard and record.is_measured), None)


def _not_asked(told: GuardAnswers, name: str = "") -> str:
    """Return '200 items were not asked of new: the server is gone'; '' where all were."""
    if not told.not_asked:
        return ""
    said = f"{counted(told.not_asked, 'item')} {'was' if told.not_asked == 1 else 'were'} not asked"
    return f"{said}{f' of {name}' if name else ''}{f': {told.why_not}' if told.why_not else ''}"


def _why_nothing(records: Sequence[Record], told: GuardAnswers) -> str:
    if any(record.host.random_weights for record in records if record.guard):
        return "the model has random weights, whose answers mean nothing"
    if told.answered and not _knows(told.right, told.answered, told.guess):
        return f"{told.right} of {told.answered} items are right, which is what guessing gives"
    return ""


def _knows(right: int, number: int, guess: float) -> bool:
    """Return whether so many right are more than guessing gives, at ERROR; one at least where no guess is right."""
    from scipy.special import bdtrc  # late: the command line starts without scipy

    return right > 0 and (guess <= 0 or float(bdtrc(right - 1, number, guess)) < ERROR)


def _drift(ours: GuardAnswers, theirs: GuardAnswers) -> Drift | None:
    apart = [
        there - here for here, there in zip(ours.logprobs, theirs.logprobs) if here is not None and there is not None
    ]
    if len(apart) < 3:
        return None
    mean = statistics.fmean(apart)
    half = quantile(1 - ERROR / 2, len(apart) - 1) * stdev(apart) / math.sqrt(len(apart))
    return Drift(mean, mean - half, mean + half)


def _more_items(found: Accuracy) -> str:
    """Return how many items would likely tell, by the share in which these differ; '' where that is no number."""
    if found.change <= -found.margin:
        return "More items would tell whether that is more than chance."
    room, half = found.change + found.margin, found.change - found.interval[0]
    needed = math.ceil(found.number * (half / room) ** 2 / 10) * 10
    return f"About {needed:,} items would tell, were as many of them to differ."
