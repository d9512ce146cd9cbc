"""What the experiment's SLO allows: on each line the most load that keeps it, and the first load that breaks it.

An SLO holds for a load where every believed repeat stays within every limit, and, in an open loop, where the server
keeps up with the rate. What was not measured keeps no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbook.report.held import first_unreached
from benchbook.report.lines import OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT, Line
from benchbook.report.run import Run
from benchbook.report.sentences import value_text
from benchbook.terms.metrics import BY_KEY, known_key
from benchbook.terms.wording import number_text

_MAX_SAID = 4  # lines in sentences of their own


def limits_of(run: Run) -> dict[str, float]:
    """Return the limits of the SLO by metric key."""
    named = {known_key(key, BY_KEY): limit for key, limit in run.slo.items()}
    return {key: limit for key, limit in named.items() if key}


def slo_sentences(run: Run) -> list[str]:
    """Return the most that stays within the SLO and the first load that breaks it, one sentence a line, best first."""
    limits = limits_of(run)
    sentences = [
        f"The SLO's {key} cannot be checked: no metric has that name."
        for key in sorted(run.slo)
        if not known_key(key, limits)
    ]
    if not limits:
        return sentences
    said = " and ".join(_limit_text(key, limit) for key, limit in limits.items())
    kept = [_kept(line, limits) for line in run.lines if line.points(REQUEST_THROUGHPUT)]
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
    """How far a line keeps the SLO."""

    line: Line
    best: float | None  # the load of most throughput below the first that breaks
    broken: float | None  # the first load that breaks the SLO
    why: str  # 'p99 TTFT 612 ± 9 ms'
    is_kept_again: bool  # by a higher load: chance, or few repeats

    @property
    def where(self) -> str:
        """Return the line's launch and lengths."""
        return self.line.where

    @property
    def rank(self) -> tuple[bool, float]:
        """Return what puts the lines that keep most first."""
        return self.best is not None, self.line.means(OUTPUT_THROUGHPUT).get(self.best, 0.0)


def _kept(line: Line, limits: Mapping[str, float]) -> _Kept:
    broken = {load: why for load in line.points(REQUEST_THROUGHPUT) if (why := _broken(line, load, limits))}
    lost = first_unreached(line) if line.load.is_open else None
    if lost is not None and lost not in broken:
        answered = value_text(line, REQUEST_THROUGHPUT, lost)
        broken[lost] = f"the server falls behind and answers {answered} a second"
    first = min(broken, default=None)
    throughputs = line.means(OUTPUT_THROUGHPUT)
    below = [load for load in throughputs if first is None or load < first]
    best = max(below, key=throughputs.__getitem__, default=None)
    is_kept_again = first is not None and any(load > first and load not in broken for load in throughputs)
    return _Kept(line, best, first, broken.get(first, ""), is_kept_again)


def _broken(line: Line, load: float, limits: Mapping[str, float]) -> str:
    """Return what is beyond its limit at `load`: 'p99 TTFT 612 ± 9 ms', or '… in 1 of 3 repeats'; '' for nothing."""
    rows, said = line.believed[line.believed[line.load.key] == load], []
    for key, limit in limits.items():
        metric, values = BY_KEY[key], rows[key].astype("float64")
        if (values <= limit).all():
            continue
        if values.isna().any():
            said.append(f"{metric.label} was not measured")
            continue
        beyond = values[values > limit]
        if values.mean() > limit:
            said.append(f"{metric.label} {value_text(line, key, load)} {metric.unit}")
        else:
            worst = f"{number_text(beyond.max())} {metric.unit} in {len(beyond)} of {len(values)} repeats"
            said.append(f"{metric.label} {worst}")
    return " and ".join(said)


def _most_text(kept: _Kept) -> str:
    """Return '350 ± 4 tok/s with 4 requests in flight', or '8 req/s, 350 ± 4 tok/s'."""
    load, throughput = kept.line.load, f"{value_text(kept.line, OUTPUT_THROUGHPUT, kept.best)} tok/s"
    return f"{load.text(kept.best)}, {throughput}" if load.is_open else f"{throughput} {load.at(kept.best)}"


def _end_text(kept: _Kept) -> str:
    """Return 'the first rate that breaks it is 12 req/s: p99 TTFT 612 ± 9 ms', or that none does."""
    load = kept.line.load
    if kept.broken is None:
        return f"no {load.noun} tried breaks it"
    again = ", though a higher one keeps it again" if kept.is_kept_again else ""
    return f"the first {load.noun} that breaks it is {load.text(kept.broken)}: {kept.why}{again}"


def _least_text(kept: _Kept) -> str:
    return f"{kept.line.load.at(kept.broken)}, the least tried, {kept.why}"


def _other_sentence(kept: _Kept) -> str:
    if kept.best is None:
        return f"{kept.where}: no {kept.line.load.noun} keeps it; {_least_text(kept)}."
    return f"{kept.where}: the most is {_most_text(kept)}; {_end_text(kept)}."


def _limit_text(key: str, limit: float) -> str:
    return f"{BY_KEY[key].label} at most {limit:g} {BY_KEY[key].unit}"
