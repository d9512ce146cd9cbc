"""`search`: the fastest of many launches under one load, screened, and then confirmed against the first one.

    launches: {default: {args: {max_model_len: 8192}}}
    search:
      matrix: {args.max_num_seqs: [64, 256], args.max_num_batched_tokens: {from: 2048, to: 16384}}   # of the first launch
      maximise: output_throughput_tok_s     # or minimise: median_tpot_ms
      budget: 90 min                        # of starts and measurements
      allow_other_outputs: true             # one that changes greedy answers may be recommended; left out: it may not
    slo: {p99_ttft_ms: 500}                 # what it has to keep, where the file has one
    benchmarks: [serve: {max_concurrency: 8, lengths: [[1024, 256]], num_prompts: 10 per concurrency}]
    repeats: 8                              # rounds of the confirmation

The first launch is the default; all others are candidates: those of the matrix (written_out.py), and such as the file
names. Each has one case, that of the file's one benchmark. Which of them are measured follows from what was measured
before (judge/halving.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchbook.plan.case import Case
from benchbook.plan.document import Document, Where
from benchbook.plan.launches import Launch
from benchbook.plan.prompts import seconds_of
from benchbook.plan.repeats import target_keys
from benchbook.plan.strict import StrictModel, unknown
from benchbook.terms.metrics import BY_KEY, METRICS, known_key

SEARCH = "search"
DIRECTIONS = {"maximise": True, "minimise": False}  # by whether more is better
LEAST_CONFIRMATIONS = 4  # rounds; fewer tell only what is larger than launches differ by
WANTED_KEYS = [metric.key for metric in METRICS if metric.can_be_wanted]
_EXAMPLE = "search: {matrix: {args.max_num_seqs: [64, 128, 256]}, maximise: output_throughput_tok_s, budget: 90 min}"


@dataclass(frozen=True)
class Search:
    """What is asked of the launches of a file."""

    metric: str
    budget_s: float | None  # of starts and measurements; None: no limit
    allow_other_outputs: bool
    left_out: Mapping[str, str] = field(default_factory=dict)  # candidates that cannot run, and why

    def text(self) -> str:
        """Return 'the most output_throughput_tok_s'."""
        return f"the {'most' if BY_KEY[self.metric].higher_is_better else 'least'} {self.metric}"


class _SearchKeys(StrictModel):
    matrix: dict[str, Any] = {}
    maximise: str | None = None
    minimise: str | None = None
    budget: str | None = None
    allow_other_outputs: bool = False


def read_search(doc: Document, launches: Sequence[Launch], cases: Sequence[Case]) -> Search | None:
    """Return what the file's `search:` asks; None where it has none. Raises, or notes, what cannot be searched so."""
    if SEARCH not in doc.data:
        return None
    where: Where = (SEARCH,)
    keys = doc.parse(where, _SearchKeys, _EXAMPLE)
    asked = [name for name in DIRECTIONS if getattr(keys, name) is not None]
    if len(asked) != 1:
        raise doc.error(where, f"has one of {' and '.join(DIRECTIONS)}, such as maximise: output_throughput_tok_s")
    metric = _metric(doc, (*where, *asked), cases)
    budget_s = seconds_of(keys.budget) if keys.budget is not None else None
    if budget_s == 0:
        raise doc.error((*where, "budget"), "must be a time, such as 90 min")
    _check_launches(doc, where, launches)
    _check_cases(doc, where, cases)
    return Search(metric, budget_s, keys.allow_other_outputs)


def check_rounds(doc: Document, repeats: int | None, turns: bool) -> None:
    """Note rounds that a search cannot have: it has so many of its confirmation, each with fresh starts."""
    if not turns:
        doc.faults.note(doc.error(("turns",), "is one start each: a search confirms in turns, on fresh starts"))
    if isinstance(doc.data.get("repeats"), dict):
        problem = (
            "is the number of rounds of the confirmation, such as 8: each has fresh starts, and until goes not with it"
        )
        doc.faults.note(doc.error(("repeats",), problem))
    elif repeats is not None and repeats < LEAST_CONFIRMATIONS:
        problem = f"are the rounds of the confirmation, and {LEAST_CONFIRMATIONS} are the least that tell anything"
        doc.faults.note(doc.error(("repeats",), problem))


def _metric(doc: Document, where: Where, cases: Sequence[Case]) -> str:
    """Return the metric that is named at `where`, by 'p50_ttft_ms' or 'median_ttft_ms', which are one."""
    said, direction = str(doc.at(where)), str(where[-1])
    known = target_keys(cases[0].workload.benchmark) if cases else WANTED_KEYS
    if (key := known_key(said, known)) is None:
        raise doc.error(where, unknown(said, known, "metric"))
    if BY_KEY[key].higher_is_better is not DIRECTIONS[direction]:
        other = next(each for each in DIRECTIONS if each != direction)
        raise doc.error(where, f"is a metric of which {BY_KEY[key].direction}: {other} it")
    return key


def _check_launches(doc: Document, where: Where, launches: Sequence[Launch]) -> None:
    if len(launches) < 2 and not doc.faults.has_within(("launches",)):
        raise doc.error(where, "has nothing to search: give it a matrix, or the file more launches than the first")
    for launch in launches:
        if launch.attached:
            doc.faults.note(doc.error(("launches", launch.name), "runs already: a search starts its launches anew"))


def _check_cases(doc: Document, where: Where, cases: Sequence[Case]) -> None:
    per_launch = {case.launch: [one for one in cases if one.launch == case.launch] for case in cases}
    if any(len(mine) != 1 for mine in per_launch.values()):
        raise doc.error(where, "is under one load: give the file one benchmark with one value for each of its settings")
    (case,) = next(iter(per_launch.values()), (None,))
    if case and case.find:
        raise doc.error(where, "does not go with find: search for a launch under one load, then find its most")
    if case and getattr(case.workload, "requests", None):
        raise doc.error(where, "wants lengths: of a set, each round would need requests of its own")
