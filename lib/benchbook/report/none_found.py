"""Why a search over launches recommends none, in one sentence: what became of its candidates, by counts.

What became of one is said in words that fit one candidate and many: '2 did not start and 1 broke the SLO'.
"""

from __future__ import annotations

from collections import Counter

from benchbook.judge.capacity import Decision
from benchbook.judge.claims import label_of
from benchbook.judge.searched import OTHER_ANSWERS, Confirmed, Searched
from benchbook.judge.starts import has_not_started
from benchbook.terms.metrics import BY_KEY
from benchbook.terms.wording import counted, listed

_NO_GAIN, _NO_BETTER = "showed no gain", "looked no better"


def none_sentence(searched: Searched) -> str:
    """Return why none is recommended, and whether to keep the default, of a search that has ended so."""
    default, finalists = searched.search.default, searched.course.finalists
    if searched.halving.is_default_out:
        return f"No candidate can be recommended: the default ({default}) is out itself, {searched.halving.why_lost(default)}."
    if searched.course.screening and finalists:
        which, became = counted(len(finalists), "finalist"), [_finalist(searched, one) for one in searched.confirmed]
    else:
        names = [name for name in searched.search.cases if name != default]
        which, became = counted(len(names), "candidate"), [_candidate(searched, name) for name in names]
    label, counts = label_of(BY_KEY[searched.search.metric]), Counter(became)
    then = f"{default} broke the SLO too" if _breaks(searched) else "keep the default"
    if set(counts) == {_NO_BETTER}:
        return (
            f"None of {which} looked better than {default} in {label} when they were screened, so that none was confirmed: "
            f"{then}."
        )
    if set(counts) == {_NO_GAIN}:
        return f"No candidate is shown to be better than {default} in {label}: {then}."
    if len(became) == 1:
        return f"The one {which.split()[-1]} cannot be recommended, since it {_compared(became[0], default, label)}: {then}."
    said = [f"{number} {_compared(what, default, label)}" for what, number in counts.most_common()]
    return f"None of {which} can be recommended, since {listed(said)}: {then}."


def _compared(what: str, default: str, label: str) -> str:
    """Return what became of candidates, with what it was compared with."""
    return {
        _NO_GAIN: f"{_NO_GAIN} in {label} that is sure",
        _NO_BETTER: f"{_NO_BETTER} than {default} in {label}",
    }.get(what, what)


def _candidate(searched: Searched, name: str) -> str:
    confirmed = next((one for one in searched.confirmed if one.launch == name), None)
    if confirmed:
        return _finalist(searched, confirmed)
    if lost := _lost(searched, name):
        return lost
    rounds = sum(name in names for names in searched.course.screening)
    if not rounds:
        return "had no room in the budget"
    return "broke the SLO" if searched.halving.breaks(name, rounds) else _NO_BETTER


def _finalist(searched: Searched, one: Confirmed) -> str:
    if lost := _lost(searched, one.launch):
        return lost
    if not one.keeps_answers:
        return "answered worse"
    if one.limits and one.limits.decision is Decision.FAILS:
        return "broke the SLO"
    if not one.keeps_limits and (one.is_better or _breaks(searched)):
        return "did not keep the SLO for sure"
    return _NO_GAIN


def _lost(searched: Searched, name: str) -> str:
    """Return what became of a candidate that is out; '' of one that is not."""
    lost = (key for key, trial in sorted(searched.halving.trials.items()) if key[0] == name and trial.lost)
    if (key := next(lost, None)) is None:
        return ""
    if has_not_started(searched.records[key]):
        return "did not start"
    if not searched.records[key].is_measured:
        return "failed"
    is_other = searched.halving.trials[key].lost.startswith(OTHER_ANSWERS)
    return "gave other answers" if is_other else "gave no number to believe"


def _breaks(searched: Searched) -> bool:
    """Return whether the default itself breaks the SLO: for sure, or by the mean of the screening where none was confirmed."""
    if not searched.course.finalists:
        return searched.halving.breaks(searched.search.default, len(searched.course.screening))
    known = searched.default_limits()
    return known is not None and known.decision is Decision.FAILS
