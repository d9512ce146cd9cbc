"""Which share of its limits a record reached, and what it was that bound it.

What of a benchmark the hardware bounds is in its row, by the keys of `BOUNDED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from benchbook.judge.batch import asked_in_flight, is_load_kept, kept_in_flight
from benchbook.judge.bounds import BANDWIDTH, COMPUTE, Bounds, NoRooflineError, Roofline
from benchbook.judge.columns import COLUMNS, PER_GPU
from benchbook.judge.gpus import output_per_gpu_tok_s
from benchbook.judge.roofline import roofline_of
from benchbook.records.record import Record
from benchbook.records.samples import ServerSummary
from benchbook.terms.benchmarks import Bound
from benchbook.terms.wording import listed, percent_text

# A share tells what binds only where it is clear: between the two, as much time goes to the one as to the other, and
# repeats of one launch would fall to either side.
NEAR_SHARE, FAR_SHARE = 0.6, 0.4
FULL_KV_RATIO = 0.95
BELOW_FLOOR = "below the floor"
LAUNCH_OVERHEAD, COMMUNICATION = "launch overhead", "launch overhead or communication"
MEDIAN_ITL, MEDIAN_TPOT = "median ITL", "median TPOT"


@dataclass(frozen=True)
class Binding:
    """What keeps a record from being faster, and the numbers that say so."""

    name: str  # bandwidth, 'between launch overhead and bandwidth'; BELOW_FLOOR; 'not told: machine_busy'
    why: str
    causes: tuple[str, ...] = ()  # the names it lies between, one where it is told; none of a number in doubt


def roofline_values(record: Record) -> dict[str, float | str | None]:
    """Return one value for each of COLUMNS, None where there is none."""
    values = values_without_roofline(record)
    if not record.is_measured:
        return values
    try:
        roofline = roofline_of(record)
    except NoRooflineError:
        return values
    for key in record.row.bounds:
        bound = BOUNDED[key]
        values[f"{key}_share_of_limit"] = bound.share(record, roofline.sure)
        for ends, bounds in ((bound.end, roofline.sure), ("even", roofline.even), ("counted", roofline.counted)):
            if bounds is not None and (column := f"{key}_{ends}_{bound.unit}") in values:
                values[column] = bound.best(bounds)
    binding = binding_of(record, roofline)
    values["limited_by"] = binding.name if binding else None
    return values


def values_without_roofline(record: Record) -> dict[str, float | str | None]:
    """Return the same, with none where it takes a roofline to tell."""
    values: dict[str, float | str | None] = dict.fromkeys(COLUMNS)
    values[PER_GPU.key] = output_per_gpu_tok_s(record) if record.is_measured else None
    values["energy_j_per_output_token"] = energy_per_output_token_j(record)
    return values


def share_of(record: Record, bounds: Bounds) -> float | None:
    """Return the share of the limit that counts for the record's benchmark: of throughput, or of one batch's floor."""
    return _counting(record).share(record, bounds) if record.row.bounds else None


def _counting(record: Record) -> Bounded:
    return BOUNDED[record.row.bounds[-1]]


def share_text(low: float | None, high: float | None) -> str:
    """Return '14% to 40%' of the two ends' shares, '14%' where they are alike, '35% or more' where one was passed."""
    if low is None or high is None:
        return percent_text(low)
    if high > 1:
        return f"{percent_text(low)} or more"
    first, last = percent_text(low), percent_text(high)
    return first if first == last else f"{first} to {last}"


def step_ms(record: Record) -> tuple[float | None, str]:
    """Return how long a decode step of a served record took (ms), and which metric tells it.

    Median ITL; where chunks hold several tokens, ITL is theirs, and it is median TPOT, which holds others' prefills.
    """
    itl_ms = record.values.get("median_itl_ms")
    if itl_ms is None or any(reason.code == "itl_per_chunk" for reason in record.reasons):
        return record.values.get("median_tpot_ms"), MEDIAN_TPOT
    return itl_ms, MEDIAN_ITL


@dataclass(frozen=True)
class Bounded:
    """What the hardware bounds of a record, in the unit of its columns."""

    unit: str  # as columns spell it
    measured: Callable[[Record], float | None]
    best: Callable[[Bounds], float | None]  # of one routing
    end: Literal["floor", "ceiling"] = "floor"  # a time is not shorter, a rate not higher

    def share(self, record: Record, bounds: Bounds) -> float | None:
        """Return the share of the limit that `record` reaches; above 1 cannot be."""
        measured, best = self.measured(record), self.best(bounds)
        return _ratio(best, measured) if self.end == "floor" else _ratio(measured, best)


BOUNDED: Mapping[Bound, Bounded] = {
    "step": Bounded(
        "ms", lambda record: step_ms(record)[0], lambda bounds: bounds.step.floor_s * 1000 if bounds.step else None
    ),
    "ttft": Bounded(
        "ms", lambda record: record.values.get("median_ttft_ms"), lambda bounds: bounds.prefill.floor_s * 1000
    ),
    "output_throughput": Bounded(
        "tok_s",
        lambda record: record.values.get("output_throughput_tok_s"),
        lambda bounds: bounds.ceiling_tok_s,
        "ceiling",
    ),
    "batch_latency": Bounded(
        "s", lambda record: record.values.get("avg_batch_latency_s"), lambda bounds: bounds.batch_floor_s
    ),
}


def is_below_floor(record: Record, roofline: Roofline) -> bool:
    """Return whether `record` says to be faster than its hardware allows, whatever experts its steps read."""
    values, sure = record.values, roofline.sure
    step_floor_ms = sure.step.floor_s * 1000 if sure.step else None
    pairs = [
        (step_floor_ms, step_ms(record)[0]),
        (step_floor_ms, values.get("median_tpot_ms")),
        (sure.prefill.floor_s * 1000, values.get("median_ttft_ms")),
        (sure.batch_floor_s, values.get("avg_batch_latency_s")),
        # A ceiling is the floor of a rate's inverse.
        (values.get("output_throughput_tok_s"), sure.ceiling_tok_s),
    ]
    return any(measured is not None and floor is not None and measured < floor for floor, measured in pairs)


def doubt_of(record: Record) -> str | None:
    """Return the first code that speaks against `record`; None for a VALID one."""
    return next((why.code for why in record.reasons if why.severity != "note"), None)


def binding_of(record: Record, roofline: Roofline) -> Binding | None:
    """Return what binds: the KV cache where it is full, else what both ends of a bound agree on, or that they do not.

    None where nothing was measured that could be compared. What binds a number that is in doubt is not told.
    """
    if not record.row.bounds:
        return None
    ends = [(share_of(record, bounds), _bound(record, bounds)) for bounds in (roofline.sure, roofline.likely)]
    shares = [share for share, _ in ends if share is not None]
    if len(shares) < 2:
        return None
    if is_below_floor(record, roofline):
        return Binding(BELOW_FLOOR, "this cannot be; see its verdict, and whether the peaks are true")
    if doubt := doubt_of(record):
        return Binding(f"not told: {doubt}", f"no repeat is VALID ({doubt})")
    if kv := _kv_capacity(record, roofline, record.host.telemetry.server):
        return kv
    rest, kept = _rest(record, roofline), ""
    if rest == "client":
        kept = f"it kept {kept_in_flight(record):.1f} requests in flight on average (rate × mean E2EL), of "
        kept += f"{asked_in_flight(record)}; "
    found = {bound for share, bound in ends if share >= FAR_SHARE} | ({rest} if min(shares) < NEAR_SHARE else set())
    causes = tuple(cause for cause in (rest, COMPUTE, BANDWIDTH) if cause in found)
    name = f"{'between ' if len(causes) > 1 else ''}{listed(causes)}"
    reached = f"{share_text(*shares)} of the hardware's {_limit_name(record)} is reached"
    return Binding(name, (kept if rest in causes else "") + reached, causes)


def _bound(record: Record, bounds: Bounds) -> str:
    return bounds.request.bound if _counting(record).end == "ceiling" else (bounds.step or bounds.prefill).bound


def _rest(record: Record, roofline: Roofline) -> str:
    """Return what takes the time that is neither reading nor computing."""
    if not is_load_kept(record):
        return "client"
    return COMMUNICATION if roofline.peaks.devices > 1 else LAUNCH_OVERHEAD


def _limit_name(record: Record) -> str:
    return "output throughput" if _counting(record).end == "ceiling" else "speed for one batch"


def energy_per_output_token_j(record: Record) -> float | None:
    """Return joules of the GPUs per output token, prefills included; None unless power was read around the requests."""
    energy_j, tokens = record.host.telemetry.energy_j, record.values.get("total_output_tokens")
    return _ratio(energy_j, tokens)


def _kv_capacity(record: Record, roofline: Roofline, seen: ServerSummary) -> Binding | None:
    asked = None if record.row.queues else asked_in_flight(record)
    if asked and roofline.kv_sequences is not None and roofline.kv_sequences < asked:
        return _capacity(f"the KV cache holds {roofline.kv_sequences:.1f} of {asked} sequences")
    if (seen.preemptions or 0) > 0:
        return _capacity(f"{seen.preemptions:.0f} sequences were preempted")
    is_full = (seen.max_kv_use_ratio or 0.0) >= FULL_KV_RATIO and (seen.mean_waiting or 0.0) >= 1
    if is_full:
        return _capacity(f"the KV cache was full while {seen.mean_waiting:.1f} requests waited")
    return None


def _capacity(why: str) -> Binding:
    return Binding("KV capacity", why, ("KV capacity",))


def _ratio(part: float | int | None, whole: float | int | None) -> float | None:
    return part / whole if part is not None and whole else None
