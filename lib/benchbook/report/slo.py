"""What the experiment's SLO allows, said: on each line the most load that keeps it, and the first load that breaks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbook.judge.slo import Breach, Keeping, keeping, limits_by_metric
from benchbook.report.curves import OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, Line
from benchbook.report.differences import answering_worse
from benchbook.report.run import Run
from benchbook.report.sentences import value_text
from benchbook.terms.metrics import BY_KEY, known_key
from benchbook.terms.wording import number_text

_MAX_SAID = 4  # lines in sentences of their own


def slo_sentences(run: Run, lines: Sequence[Line] | None = None) -> list[str]:
    """Return the most that stays within the SLO and the first load that breaks it, one sentence a line, best first.

    `lines` are all of the run unless they are given. Those of launches that lose answers, by the guard, come last.
    """
    limits = limits_by_metric(run.slo)
    sentences = [
        f"The SLO's {key} cannot be checked: no metric has that name."
        for key in sorted(run.slo)
        if not known_key(key, limits)
    ]
    if not limits:
        return sentences
    said = " and ".join(limit_text(key, limit) for key, limit in limits.items())
    worse = answering_worse(run)
    kept = [
        _kept(line, limits, line.launch in worse)
        for line in (run.lines if lines is None else lines)
        if line.points(REQUEST_THROUGHPUT)
    ]
    if not kept:
        return [*sentences, f"The SLO ({said}) could not be checked: no serve case gave a number."]
    kept.sort(key=lambda one: one.rank, reverse=True)
    first, *others = kept
    if first.best is None:
        least = f"{_least_text(first)} ({first.where})"
        sentences.append(
            f"No load tried keeps the SLO ({said}, in every repeat): {least}. Lower ones would have to be tried."
        )
    else:
        most = f"the most is {_most_text(first)} ({first.where}); {_end_text(first)}"
        sentences.append(f"Within the SLO ({said}, in every repeat) {most}.")
    sentences += [_other_sentence(one) for one in others[: _MAX_SAID - 1]]
    if left := others[_MAX_SAID - 1 :]:
        sentences.append(f"Of {len(left)} more lines the table tells.")
    return sentences


@dataclass(frozen=True)
class _Kept:
    """A line, and how far it keeps the SLO."""

    line: Line
    keeping: Keeping
    is_worse: bool  # its launch loses more answers than the guard allows

    @property
    def best(self) -> float | None:
        """Return the load of most throughput that keeps it."""
        return self.keeping.best

    @property
    def where(self) -> str:
        """Return the line's launch and lengths, and that its answers are worse."""
        return f"{self.line.where}{', whose answers are worse' if self.is_worse else ''}"

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Return what puts the lines that keep most first, and of those none whose answers are worse."""
        is_kept = self.best is not None
        return is_kept and not self.is_worse, is_kept, self.line.means(OUTPUT_THROUGHPUT).get(self.best, 0.0)

    @property
    def why(self) -> str:
        """Return why the first load that breaks it does: 'p99 TTFT 612 ± 9 ms', or '… in 1 of 3 repeats'."""
        load = self.keeping.broken
        if self.keeping.is_behind:
            return f"the server falls behind and answers {value_text(self.line, REQUEST_THROUGHPUT, load)} a second"
        return " and ".join(_breach_text(self.line, load, breach) for breach in self.keeping.breaches)


def _kept(line: Line, limits: Mapping[str, float], is_worse: bool) -> _Kept:
    values = {}
    believed = line.believed[[line.load.key, *limits]]  # to choose rows of all columns takes ten times as long
    for load in line.points(REQUEST_THROUGHPUT):
        rows = believed[believed[line.load.key] == load]
        values[load] = {key: rows[key].astype("float64").tolist() for key in limits}
    unreached = line.unreached if line.load.is_open else None
    return _Kept(line, keeping(values, limits, line.means(OUTPUT_THROUGHPUT), unreached), is_worse)


def _breach_text(line: Line, load: float, breach: Breach) -> str:
    metric = BY_KEY[breach.key]
    if breach.worst is None:
        return f"{metric.label} was not measured"
    if breach.is_mean_beyond:
        return f"{metric.label} {value_text(line, breach.key, load)} {metric.unit}"
    many = f"in {breach.beyond} of {breach.repeats} repeats"
    return f"{metric.label} {number_text(breach.worst)} {metric.unit} {many}"


def _most_text(kept: _Kept) -> str:
    """Return '350 ± 4 tok/s with 4 requests in flight', or '8 req/s, 350 ± 4 tok/s'."""
    load, throughput = kept.line.load, f"{value_text(kept.line, OUTPUT_THROUGHPUT, kept.best)} tok/s"
    return f"{load.text(kept.best)}, {throughput}" if load.is_open else f"{throughput} {load.at(kept.best)}"


def _end_text(kept: _Kept) -> str:
    """Return 'the first rate that breaks it is 12 req/s: p99 TTFT 612 ± 9 ms', or that none does."""
    load = kept.line.load
    if kept.keeping.broken is None:
        return f"no {load.noun} tried breaks it"
    again = ", though a higher one keeps it again" if kept.keeping.is_kept_again else ""
    return f"the first {load.noun} that breaks it is {load.text(kept.keeping.broken)}: {kept.why}{again}"


def _least_text(kept: _Kept) -> str:
    return f"{kept.line.load.at(kept.keeping.broken)}, the least tried, {kept.why}"


def _other_sentence(kept: _Kept) -> str:
    if kept.best is None:
        return f"{kept.where}: no {kept.line.load.noun} keeps it; {_least_text(kept)}."
    return f"{kept.where}: the most is {_most_text(kept)}; {_end_text(kept)}."


def limit_text(key: str, limit: float) -> str:
    """Return 'p99 TTFT at most 500 ms'."""
    return f"{BY_KEY[key].label} at most {limit:g} {BY_KEY[key].unit}"
