"""How far from the hardware's limit a run is: one table a benchmark, and sentences."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchbook.judge.binding import BELOW_FLOOR, Binding, binding_of, doubt_of, limit_values
from benchbook.judge.limits import Limits, NoLimitError, limits_of
from benchbook.judge.loads import LENGTHS, lengths_text
from benchbook.judge.spread import number_text, percent_text
from benchbook.records.record import Record, Verdict
from benchbook.report.limit_sentences import (
    amount_text,
    counters_sentence,
    energy_sentence,
    experts_sentence,
    peaks_sentence,
    step_sentence,
)
from benchbook.report.markup import Html, element, join, table
from benchbook.report.results import MAX_ROWS, cut_note
from benchbook.report.run import Run
from benchbook.report.table import NUMBER_KEYS

MAX_SENTENCES = 6
_ENERGY = "energy_j_per_output_token"


@dataclass(frozen=True)
class LimitedCase:
    """One case with its limits."""

    record: Record  # the repeat that is believed most, its values replaced by all means over the believed ones
    limits: Limits
    binding: Binding | None


def limited_cases(run: Run) -> tuple[list[LimitedCase], list[str]]:
    """Return the cases whose limits are known, those of one launch and lengths together, and why others have none."""
    means = run.cases[[f"{key}_mean" for key in NUMBER_KEYS]].to_numpy().tolist()
    values_of = {
        case_id: {key: mean for key, mean in zip(NUMBER_KEYS, row) if not math.isnan(mean)}
        for case_id, row in zip(run.cases["case_id"], means, strict=True)
    }
    found: list[LimitedCase] = []
    reasons: dict[str, None] = {}
    for case_id, repeats in _believed(run).items():
        record = _believed_most(repeats)
        try:
            limits = limits_of(record)
        except NoLimitError as error:
            reasons[f"{record.identity.launch}, {record.benchmark}: no limit, for {error}."] = None
            continue
        record = record.model_copy(update={"values": values_of[case_id]})
        found.append(LimitedCase(record, limits, binding_of(record, limits)))
    return [case for group in _groups(found) for case in group], list(reasons)


def _believed(run: Run) -> Mapping[str, Sequence[Record]]:
    """Return the repeats that count, by case: those of a benchmark of speed that were measured and are not INVALID."""
    found: dict[str, list[Record]] = defaultdict(list)
    for record in run.records:
        if record.is_measured and record.verdict is not Verdict.INVALID and record.benchmark != "first_request":
            found[record.identity.case_id].append(record)
    return found


def _believed_most(repeats: Sequence[Record]) -> Record:
    """Return the first VALID repeat; where there is none, the first with what is said most often against them."""
    doubts = Counter(map(doubt_of, repeats))
    return max(repeats, key=lambda record: (doubt_of(record) is None, doubts[doubt_of(record)]))


def limits_html(cases: Sequence[LimitedCase]) -> Html:
    """Return one table a benchmark: floor or ceiling, what was measured, the share reached, what binds."""
    several_launches = len({case.record.identity.launch for case in cases}) > 1
    has_energy = any(case.record.values.get(_ENERGY) for case in cases)
    parts = []
    for benchmark, (title, headings, cells) in _TABLES.items():
        chosen = [case for case in cases if case.record.benchmark == benchmark]
        if not chosen:
            continue
        first = [*(["Launch"] if several_launches else []), "Tokens in / out"]
        last = [*(["Energy (J per output token)"] if has_energy else []), "What binds"]
        shown = chosen[:MAX_ROWS]
        rows = [[*_who(case, several_launches), *cells(case), *_ending(case, has_energy)] for case in shown]
        numeric = range(len(first), len(first) + len(headings) + has_energy)
        parts += [element("h3", title), table([*first, *headings, *last], rows, numeric, "results")]
        parts.append(cut_note(len(chosen), "cases"))
    return join(parts)


def limits_reading(cases: Sequence[LimitedCase]) -> list[str]:
    """Return the peaks, one sentence for the fewest and the most in flight of each line, and the cross-checks."""
    sentences = [*dict.fromkeys(peaks_sentence(case.limits) for case in cases)][:2] + steps_reading(cases)
    ends = _ends(cases)
    for sentence_of in (counters_sentence, lambda record, _: energy_sentence(record)):
        found = [(case, sentence_of(case.record, case.limits)) for case in ends]
        sentences += [f"{_where(case)}: {sentence}" for case, sentence in found if sentence][:1]
    of_experts = (experts_sentence(case.record, case.limits) for case in cases if case.limits.shape.experts)
    return sentences + [*dict.fromkeys(of_experts)]


def steps_reading(cases: Sequence[LimitedCase]) -> list[str]:
    """Return one sentence for the fewest and the most in flight of each line: floor, what was measured, what binds."""
    said = (f"{_where(case)}: {step_sentence(case.record, case.limits)}" for case in _ends(cases))
    return [*dict.fromkeys(said)][:MAX_SENTENCES]


def _ends(cases: Sequence[LimitedCase]) -> list[LimitedCase]:
    """Return the cases of least and most load of each line, those that were served first."""
    ends = [end for group in _groups(cases) for end in (group[0], group[-1])]
    return sorted(ends, key=lambda case: case.record.benchmark != "serve")


def _groups(cases: Sequence[LimitedCase]) -> list[list[LimitedCase]]:
    """Return the cases of one launch, benchmark and lengths together, by rising load, in whatever order they were planned."""
    groups: dict[tuple, list[LimitedCase]] = {}
    for case in cases:
        record = case.record
        key = (record.identity.launch, record.benchmark, *(record.workload[name] for name in LENGTHS))
        groups.setdefault(key, []).append(case)
    return [sorted(group, key=_load) for group in groups.values()]


def _load(case: LimitedCase) -> tuple[int, int]:
    """Return what is in flight at most and how much is asked for, 0 where the benchmark has no such setting."""
    workload = case.record.workload
    return workload.get("max_concurrency") or workload.get("batch_size") or 0, workload.get("num_prompts") or 0


def _where(case: LimitedCase) -> str:
    workload, record = case.record.workload, case.record
    lengths = lengths_text((workload[LENGTHS[0]], workload[LENGTHS[1]]))
    load = {
        "serve": f"{workload.get('max_concurrency')} in flight",
        "latency": f"a batch of {workload.get('batch_size')}",
        "throughput": f"{workload.get('num_prompts')} prompts at once",
    }[record.benchmark]
    return f"{record.identity.launch}, {lengths}, {load}"


def _who(case: LimitedCase, several_launches: bool) -> list[str]:
    lengths = " / ".join(str(case.record.workload[key]) for key in LENGTHS)
    return [*([case.record.identity.launch] if several_launches else []), lengths]


def _ending(case: LimitedCase, has_energy: bool) -> list[str | None]:
    energy = [number_text(case.record.values.get(_ENERGY))] if has_energy else []
    return [*energy, case.binding.name if case.binding else None]


def _pair(first: float | None, second: float | None) -> str:
    return f"{number_text(first)} / {number_text(second)}" if first is not None else "–"


def _share(case: LimitedCase, share: float | None) -> str:
    """Return '67%'; of experts, which even routing only expects to be read, more than all is possible."""
    is_possible = share is None or share <= 1 or (case.limits.shape.experts and not _is_impossible(case))
    return percent_text(share) if is_possible else "impossible"


def _is_impossible(case: LimitedCase) -> bool:
    return case.binding is not None and case.binding.name == BELOW_FLOOR


def _serve_cells(case: LimitedCase) -> list[str | int]:
    step, values, shares = case.limits.step, case.record.values, limit_values(case.record)
    return [
        case.record.workload["max_concurrency"],
        f"{amount_text(step.bytes)}B" if step else "–",
        _pair(step.floor_s * 1000 if step else None, values.get("median_tpot_ms")),
        _share(case, shares["tpot_share_of_limit"]),
        _pair(case.limits.prefill.floor_s * 1000, values.get("median_ttft_ms")),
        _share(case, shares["ttft_share_of_limit"]),
        *_throughput_part(case),
    ]


def _latency_cells(case: LimitedCase) -> list[str | int]:
    return [
        case.record.workload["batch_size"],
        _pair(case.limits.batch_floor_s, case.record.values.get("avg_batch_latency_s")),
        _share(case, limit_values(case.record)["batch_latency_share_of_limit"]),
    ]


def _throughput_cells(case: LimitedCase) -> list[str | int]:
    return [case.record.workload["num_prompts"], case.limits.batch, *_throughput_part(case)]


def _throughput_part(case: LimitedCase) -> list[str]:
    return [
        _pair(case.limits.ceiling_tok_s, case.record.values.get("output_throughput_tok_s")),
        _share(case, limit_values(case.record)["output_throughput_share_of_limit"]),
    ]


_CEILING = ("Output ceiling / measured (tok/s)", "Share")
_TABLES = {
    "serve": (
        "Serving against the limit",
        (
            "In flight",
            "A step reads",
            "TPOT floor / median (ms)",
            "Share",
            "TTFT floor / median (ms)",
            "Share",
            *_CEILING,
        ),
        _serve_cells,
    ),
    "latency": (
        "One offline batch against the limit",
        ("Batch size", "Floor / average (s)", "Share"),
        _latency_cells,
    ),
    "throughput": (
        "Throughput mode against the limit",
        ("Prompts", "Sequences a step, at most", *_CEILING),
        _throughput_cells,
    ),
}
