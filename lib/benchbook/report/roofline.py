"""How far from the hardware's limit a run is: one table a benchmark, and sentences."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchbook.judge.binding import BOUNDED, Binding, binding_of, doubt_of, share_text
from benchbook.judge.bounds import Bounds, NoRooflineError, Roofline
from benchbook.judge.roofline import roofline_of
from benchbook.records.record import Record
from benchbook.report.markup import Html, element, join, table
from benchbook.report.results import MAX_ROWS, cut_note
from benchbook.report.roofline_sentences import (
    bytes_text,
    counters_sentence,
    energy_sentence,
    experts_sentence,
    peaks_sentence,
    range_text,
    step_sentence,
)
from benchbook.report.run import Run
from benchbook.report.table import number_keys
from benchbook.terms.benchmarks import BENCHMARKS, Benchmark, Bound
from benchbook.terms.wording import mean_tokens_text, number_text

MAX_SENTENCES = 6
_ENERGY = "energy_j_per_output_token"


@dataclass(frozen=True)
class BoundedCase:
    """One case with its limits."""

    record: Record  # the repeat that is believed most, its values replaced by all means over the believed ones
    roofline: Roofline
    binding: Binding | None


def bounded_cases(run: Run) -> tuple[list[BoundedCase], list[str]]:
    """Return the cases whose roofline is known, those of one launch and lengths together, and why others have none."""
    keys = number_keys()
    means = run.cases[[f"{key}_mean" for key in keys]].to_numpy().tolist()
    values_of = {
        case_id: {key: mean for key, mean in zip(keys, row) if not math.isnan(mean)}
        for case_id, row in zip(run.cases["case_id"], means, strict=True)
    }
    found: list[BoundedCase] = []
    reasons: dict[str, None] = {}
    for case_id, repeats in _believed(run).items():
        record = _believed_most(repeats)
        try:
            roofline = roofline_of(record)
        except NoRooflineError as error:
            reasons[f"{record.identity.launch}, {record.benchmark}: no limit, for {error}."] = None
            continue
        record = record.model_copy(update={"values": values_of[case_id]})
        found.append(BoundedCase(record, roofline, binding_of(record, roofline)))
    return [case for group in _groups(found) for case in group], list(reasons)


def _believed(run: Run) -> Mapping[str, Sequence[Record]]:
    """Return the repeats that count, by case: those of a benchmark that has a bound, that were measured and are not INVALID."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in run.records:
        if record.is_believed and record.row.bounds:
            found[record.identity.case_id].append(record)
    return found


def _believed_most(repeats: Sequence[Record]) -> Record:
    """Return the first VALID repeat; where there is none, the first with what is said most often against them."""
    doubts = list(map(doubt_of, repeats))
    wanted = None if None in doubts else Counter(doubts).most_common(1)[0][0]
    return repeats[doubts.index(wanted)]


def roofline_html(cases: Sequence[BoundedCase]) -> Html:
    """Return one table a benchmark: floor or ceiling, what was measured, the share reached, what binds."""
    several_launches = len({case.record.identity.launch for case in cases}) > 1
    has_energy = any(case.record.values.get(_ENERGY) for case in cases)
    parts = []
    for benchmark in BENCHMARKS.values():
        chosen = [case for case in cases if case.record.benchmark == benchmark.name]
        if not chosen:
            continue
        headings = [*_load_headings(benchmark), *(heading for key in benchmark.bounds for heading in HEADINGS[key])]
        first = [*(["Launch"] if several_launches else []), "Tokens in / out"]
        last = [*(["Energy (J per output token)"] if has_energy else []), "What binds"]
        shown = chosen[:MAX_ROWS]
        rows = [[*_who(case, several_launches), *_columns(case), *_ending(case, has_energy)] for case in shown]
        numeric = range(len(first), len(first) + len(headings) + has_energy)
        parts += [
            element("h3", f"{benchmark.mode} against the limit"),
            table([*first, *headings, *last], rows, numeric, "results"),
        ]
        parts.append(cut_note(len(chosen), "cases"))
    return join(parts)


def roofline_reading(cases: Sequence[BoundedCase]) -> list[str]:
    """Return the peaks, one sentence for the fewest and the most in flight of each line, and the cross-checks."""
    sentences = _first((peaks_sentence(case.roofline) for case in cases), 2) + steps_reading(cases)
    ends = _extremes(cases)
    for sentence_of in (counters_sentence, lambda record, _: energy_sentence(record)):
        found = ((case, sentence_of(case.record, case.roofline)) for case in ends)
        sentences += _first((f"{_where(case)}: {sentence}" for case, sentence in found if sentence), 1)
    of_experts = (experts_sentence(case.record, case.roofline) for case in cases if case.roofline.shape.experts)
    return sentences + [*dict.fromkeys(of_experts)]


def steps_reading(cases: Sequence[BoundedCase]) -> list[str]:
    """Return one sentence for the fewest and the most in flight of each line: floor, what was measured, what binds."""
    said = (f"{_where(case)}: {step_sentence(case.record, case.roofline)}" for case in _extremes(cases))
    return _first(said, MAX_SENTENCES)


def _first(said: Iterable[str], most: int) -> list[str]:
    """Return the first `most` sentences that differ; those after them are not made."""
    found: dict[str, None] = {}
    for sentence in said:
        found[sentence] = None
        if len(found) == most:
            break
    return list(found)


def _extremes(cases: Sequence[BoundedCase]) -> list[BoundedCase]:
    """Return the cases of least and most load of each line, those that were served first."""
    ends = [end for group in _groups(cases) for end in (group[0], group[-1])]
    return sorted(ends, key=lambda case: case.record.row.role != "curve")


def _groups(cases: Sequence[BoundedCase]) -> list[list[BoundedCase]]:
    """Return the cases of one launch, benchmark and lengths together, by rising load, in whatever order they were planned."""
    groups: dict[tuple[str, str, str], list[BoundedCase]] = {}
    for case in cases:
        record = case.record
        groups.setdefault((record.identity.launch, record.benchmark, record.curve), []).append(case)
    return [sorted(group, key=_load) for group in groups.values()]


def _load(case: BoundedCase) -> tuple[float, int]:
    """Return where on its curve a case lies, and how much is asked for, 0 where that is not known."""
    record = case.record
    return record.load.value if record.load else 0, record.asked.requests or 0


def _where(case: BoundedCase) -> str:
    record = case.record
    return f"{record.identity.launch}, {record.curve}, {record.row.load_text.format(_level(case))}"


def _level(case: BoundedCase) -> float | None:
    return case.record.load.value if case.record.load else None


def _who(case: BoundedCase, several_launches: bool) -> list[str]:
    asked = case.record.asked  # whose lengths are known, or there would be no limit
    lengths = f"{mean_tokens_text(asked.input_tokens_each)} / {mean_tokens_text(asked.output_tokens_each)}"
    return [*([case.record.identity.launch] if several_launches else []), lengths]


def _ending(case: BoundedCase, has_energy: bool) -> list[str | None]:
    energy = [number_text(case.record.values.get(_ENERGY))] if has_energy else []
    return [*energy, case.binding.name if case.binding else None]


def _ends(case: BoundedCase) -> tuple[Bounds, Bounds]:
    return case.roofline.sure, case.roofline.likely


def _share(sure: float | None, likely: float | None) -> str:
    """Return '14% to 40%'; more than all of the sure end is impossible."""
    return "impossible" if sure is not None and sure > 1 else share_text(sure, likely)


def _load_headings(benchmark: Benchmark) -> list[str]:
    return [benchmark.load_heading, *(["Sequences a step, at most"] if benchmark.queues else [])]


def _columns(case: BoundedCase) -> list[str | int]:
    """Return the load, with what of it a step holds, and all that is bounded."""
    row, batch = case.record.row, case.roofline.batch
    asked = _level(case)
    load = [asked, batch] if row.queues else [asked if asked == batch else f"{asked} ({batch} a step)"]
    return [*load, *(text for key in row.bounds for text in _bound_columns(case, key))]


def _bound_columns(case: BoundedCase, key: Bound) -> list[str]:
    """Return 'best / measured' and the share that was reached, each with two ends where they differ."""
    bound, steps = BOUNDED[key], [bounds.step for bounds in _ends(case)]
    first = [range_text(*(step.bytes for step in steps), bytes_text) if None not in steps else "–"]
    best = [bound.best(bounds) for bounds in _ends(case)]
    if None in best:
        texts = ["–", "–"]
    else:
        shares = [bound.share(case.record, bounds) for bounds in _ends(case)]
        texts = [f"{range_text(*best)} / {number_text(bound.measured(case.record))}", _share(*shares)]
    return [*(first if key == "step" else []), *texts]


HEADINGS: Mapping[Bound, tuple[str, ...]] = {
    "step": ("A step reads", "Step: floor / median (ms)", "Share"),
    "ttft": ("TTFT floor / median (ms)", "Share"),
    "output_throughput": ("Output ceiling / measured (tok/s)", "Share"),
    "batch_latency": ("Floor / average (s)", "Share"),
}
