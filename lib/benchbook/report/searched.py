"""What a search over launches has found: the launch that is recommended and what it gains, or why none is.

What is claimed is what the confirmation alone tells, with all finalists allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchbook.judge.capacity import Decision, Known
from benchbook.judge.claims import label_of, values_text
from benchbook.judge.compare import Row
from benchbook.judge.searched import OTHER_ANSWERS, Confirmed, Searched
from benchbook.launch_differences import difference_text
from benchbook.records.store import BEST_FILE
from benchbook.report.none_found import none_sentence
from benchbook.report.run import Run
from benchbook.report.slo import limit_text
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import counted, duration_text, listed, percent_number

_MAX_NAMED = 6  # candidates in a sentence


def searched_sentences(run: Run) -> list[str]:
    """Return what the run's search has found, the answer first; [] for a run without one."""
    return list(_Said(run, run.searched).sentences()) if run.searched else []


def start_sentence(run: Run) -> str:
    """Return how to start what the run's search recommends: the file for vLLM, and the command in one line; '' without any."""
    path = run.run_dir / BEST_FILE
    if not (run.searched and run.searched.best and path.is_file()):
        return ""
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    return f"To start it: {BEST_FILE} in the run's folder is for vllm serve --config; in one line: {comments[-1].lstrip('# ')}"


@dataclass(frozen=True)
class _Said:
    """A search, in words."""

    run: Run
    searched: Searched

    @property
    def default(self) -> str:
        return self.searched.search.default

    @property
    def label(self) -> str:
        return label_of(BY_KEY[self.searched.search.metric])

    def sentences(self) -> Iterator[str]:
        yield self._answer()
        if best := self.searched.best:
            names = (self.default, best.launch)
            yield difference_text(*map(self.run.settings, names), names)
            yield from filter(None, [start_sentence(self.run)])
        yield from (self._other(one) for one in self.searched.confirmed if one is not self.searched.best)
        yield from self._default_limits()
        yield from self._lost()
        yield from self._unexplored()
        yield self._bought()

    def _answer(self) -> str:
        best, course = self.searched.best, self.searched.course
        candidates = counted(len(self.searched.search.cases) - 1, "candidate")
        if best:
            which = "" if best.is_better else f" that keeps the SLO, which {self.default} does not"
            return (
                f"{best.launch} is the best of {candidates}{which}: {_gain_text(best.row)} {self.label} against {self.default} "
                f"({values_text(best.row)}), confirmed in {counted(best.row.num_base, 'round')} of turns on fresh starts and "
                f"fresh requests{self._allowed_for()}{self._kept(best)}{_suspect_text(best.row)}{self._guard_text(best)}"
                f"{self._answers_text(best.launch)}."
            )
        if course.next:
            return f"The search has not ended: next is {course.next.launch}. Nothing can be recommended yet."
        return none_sentence(self.searched)

    def _allowed_for(self) -> str:
        number = len(self.searched.course.finalists)
        which = "both" if number == 2 else f"all {number}"
        return f" (95 %, with {which} finalists allowed for)" if number > 1 else " (95 %)"

    def _kept(self, one: Confirmed) -> str:
        limits = [limit_text(key, limit) for key, limit in self.searched.search.limits.items()]
        return f"; it keeps the SLO ({listed(limits)})" if one.limits else ""

    def _guard_text(self, one: Confirmed) -> str:
        return f"; {one.comparison.accuracy.short}" if one.comparison.accuracy else ""

    def _answers_text(self, launch: str) -> str:
        other = self.searched.other_answers(launch)
        return f"; its answers are not those of {self.default}: {other}" if other else ""

    def _other(self, one: Confirmed) -> str:
        """Return what is said of a finalist that is not the one recommended, and why it is not."""
        seen = (
            f"{_gain_text(one.row)} {self.label} ({values_text(one.row)})"
            if one.row
            else "no round of both has a number"
        )
        if why := self.searched.halving.why_lost(one.launch):
            return f"Not recommended: {one.launch}, {seen}, since it is out: {why}."
        if not one.keeps_answers:
            return f"Not recommended: {one.launch}, {seen}, since it answers worse: {one.comparison.accuracy.short}."
        if one.is_better and not one.keeps_limits:
            does = "breaks the SLO" if one.limits.decision is Decision.FAILS else "does not keep the SLO for sure"
            return f"Not recommended: {one.launch}, {seen}, which {does} ({_nearest(one.limits)})."
        if one.is_better:
            return f"Better than {self.default} too: {one.launch}, {seen}."
        hidden = one.row.detectable if one.row else None
        could = f"; a gain below {percent_number(hidden)} % would likely not have been seen" if hidden else ""
        return f"Not confirmed: {one.launch}, {seen}{could}."

    def _default_limits(self) -> Iterator[str]:
        known = self.searched.default_limits()
        if known and known.decision is not Decision.HOLDS:
            does = "breaks the SLO" if known.decision is Decision.FAILS else "does not keep the SLO for sure"
            yield f"The default ({self.default}) {does} ({_nearest(known)})."

    def _lost(self) -> Iterator[str]:
        """Yield which candidates are out, by why."""
        halving, staying = self.searched.halving, (self.default, *self.searched.course.finalists)
        why_lost = {name: halving.why_lost(name) for name in self.searched.search.cases if name not in staying}
        for why, lost in _by_reason(why_lost).items():
            gain = max((halving.gain(name, 1) or 0.0 for name in lost), default=0.0)
            looked = f", which looked {percent_number(math.expm1(gain))} % better at most" if gain > 0 else ""
            meant = "; allow_other_outputs: true would let them stay" if why.startswith(OTHER_ANSWERS) else ""
            yield f"Out of the search: {_named(lost)} ({why}){looked}{meant}."
        for why, left in _by_reason(self.searched.search.left_out).items():
            yield f"Left out before anything was started: {_named(left)} ({why})."

    def _unexplored(self) -> Iterator[str]:
        """Yield what a budget left out."""
        course = self.searched.course
        if not course.is_cut:
            return
        seen = {self.default, *(name for names in course.screening or (course.finalists,) for name in names)}
        unseen = [name for name in self.searched.search.cases if name not in seen]
        budget = f"The budget of {duration_text(self.searched.search.budget_s)}"
        if unseen:
            yield f"{budget} had no room for all: not explored {'is' if len(unseen) == 1 else 'are'} {_named(unseen)}."
        else:
            yield f"{budget} had no room for further rounds of screening, or for further finalists."

    def _bought(self) -> str:
        """Return what the minutes of each stage were spent on."""
        course, searched = self.searched.course, self.searched
        parts = [
            f"round {number + 1} of the screening looked at {counted(len(names), 'candidate')} in "
            f"{duration_text(searched.spent_s([number]))}"
            for number, names in enumerate(course.screening)
        ]
        if course.finalists:
            first = course.first_confirming
            took_s = searched.spent_s(range(first, first + searched.search.confirmations))
            parts.append(
                f"the confirmation of {counted(len(course.finalists), 'finalist')} took {duration_text(took_s)}"
            )
        return f"What the time bought: {'; '.join(parts) or 'nothing yet'}."


def _gain_text(row: Row) -> str:
    """Return '+6.1 % [+3.2, +9.0]', the change of the metric with all finalists allowed for."""
    bounds = f" [{', '.join(_signed(math.log(bound)) for bound in row.bounds)}]" if row.bounds else ""
    return f"{_signed(math.log(row.ratio.ratio))} %{bounds}"


def _signed(log_ratio: float) -> str:
    text = percent_number(math.expm1(log_ratio))
    return text if text.startswith("-") else f"+{text}"


def _suspect_text(row: Row) -> str:
    return (
        f"; {row.num_suspect} of the repeats behind it {'is' if row.num_suspect == 1 else 'are'} SUSPECT"
        if row.num_suspect
        else ""
    )


def _nearest(known: Known) -> str:
    """Return 'p99 TTFT is 12 % above its limit', of the limit that is nearest to being broken, or farthest beyond it."""
    share = math.expm1(known.margin)
    return f"{BY_KEY[known.key].label} is {percent_number(abs(share))} % {'above' if share > 0 else 'below'} its limit"


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the names that have each reason; '' is none."""
    found: dict[str, list[str]] = {}
    for name, why in reasons.items():
        if why:
            found.setdefault(why, []).append(name)
    return found


def _named(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    return listed(list(names)) if more <= 0 else f"{', '.join(names[:_MAX_NAMED])} and {more} more"
