"""The roofline of one record in sentences: what a step must do, how far the number is from it, what binds, who agrees.

Of a model with experts a bound has two ends, a sure one and a likely one; where both read the same, it is one number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from benchbook.judge.binding import (
    BELOW_FLOOR,
    COMMUNICATION,
    LAUNCH_OVERHEAD,
    Binding,
    binding_of,
    energy_per_output_token_j,
    step_ms,
)
from benchbook.judge.bounds import NoRooflineError, Roofline, roofline_for
from benchbook.judge.gpus import num_gpus
from benchbook.judge.roofline import roofline_of
from benchbook.judge.shape import COUNTED, EVEN
from benchbook.records.record import Record
from benchbook.terms.wording import number_text

_LIKELY = {EVEN: "experts used evenly", COUNTED: "the experts that were counted"}
_WITHOUT_ARTICLE = (LAUNCH_OVERHEAD, COMMUNICATION, "KV capacity")
_AGREE = (0.5, 2.0)  # our count over vLLM's: two counts of the same work by different rules


def roofline_sentences(record: Record) -> list[str]:
    """Return the roofline of one record in sentences: what a step must do, how far the number is from it, what binds."""
    try:
        roofline = roofline_of(record)
    except NoRooflineError as error:
        return [f"No limit can be computed: {error}."]
    step = step_sentence(record, roofline)
    said = [step[0].upper() + step[1:], counters_sentence(record, roofline), energy_sentence(record)]
    return [sentence for sentence in [*said, peaks_sentence(roofline)] if sentence]


def step_sentence(record: Record, roofline: Roofline) -> str:
    """Return what binds one record, with the floor beside what was measured."""
    binding = binding_of(record, roofline)
    if binding is None:
        return "nothing was measured to compare with the limit."
    sure, likely = roofline.sure, roofline.likely
    step, metric = step_ms(record)
    if "batch_latency" in record.row.bounds:
        measured, bounds = record.values["avg_batch_latency_s"], (sure.batch_floor_s, likely.batch_floor_s)
        fact = f"the floor of a batch is {_interval(roofline, *bounds, ' s')}, it takes {number_text(measured)} s"
        is_passed = measured < likely.batch_floor_s
    elif "step" in record.row.bounds and sure.step and step:
        read = range_text(sure.step.bytes, likely.step.bytes, bytes_text)
        floors = sure.step.floor_s * 1000, likely.step.floor_s * 1000
        fact = (
            f"a step of {roofline.batch} must read {read}, the floor is {_interval(roofline, *floors, ' ms')}, "
            f"the step takes {number_text(step)} ms ({metric})"
        )
        is_passed = step < floors[1]
    else:
        measured, bounds = record.values["output_throughput_tok_s"], (sure.ceiling_tok_s, likely.ceiling_tok_s)
        fact = f"the ceiling is {_interval(roofline, *bounds, ' output tok/s')}, {number_text(measured)} are reached"
        is_passed = measured > likely.ceiling_tok_s
    if binding.name == BELOW_FLOOR:
        return f"{fact}. That is below the floor: {binding.why}."
    return f"{fact}. {_told(binding)}: {binding.why}.{_passed_remark(roofline) if is_passed else ''}"


def range_text(first: float, last: float, text_of: Callable[[float], str] = number_text) -> str:
    """Return '1.33 to 3.78', or '3.78' where both ends read the same."""
    return text_of(first) if text_of(first) == text_of(last) else f"{text_of(first)} to {text_of(last)}"


def peaks_sentence(roofline: Roofline) -> str:
    """Return what the device can do at best, who says so, and what of several devices is left out."""
    peaks, shape = roofline.peaks, roofline.shape
    flops = f"{amount_text(peaks.flops_for(shape.dtype))}FLOP/s"
    if roofline.flops_s > peaks.flops_for(shape.dtype):
        flops += f" in {shape.dtype}, {amount_text(roofline.flops_s)}FLOP/s for {shape.weight_format} weights"
    several = f" of {peaks.devices} devices together" if peaks.devices > 1 else ""
    left_out = ""
    if peaks.devices > 1:
        left_out = (
            f" What the {peaks.devices} devices tell each other is left out of every bound here: {2 * shape.layers} "
            "all-reduces a step, which take time that no bound knows of."
        )
    return (
        f"At best{several}: {amount_text(peaks.bandwidth_bytes_s)}B/s of memory bandwidth and {flops}; "
        f"{peaks.source}.{left_out}"
    )


def counters_sentence(record: Record, roofline: Roofline) -> str:
    """Return how the engine's own count of FLOPs and bytes compares with ours for the same requests; '' without one."""
    counters = record.host.counters
    flops = counters.get("estimated_flops_per_gpu")
    read = counters.get("estimated_read_bytes_per_gpu")
    completed = record.values.get("completed")
    if not flops or not read or not completed:
        return ""
    devices, request, engine = roofline.peaks.devices, roofline.likely.request, record.host.engine or "the engine"
    ratios = (completed * request.flops / (flops * devices), completed * request.bytes / (read * devices))
    if all(_AGREE[0] <= ratio <= _AGREE[1] for ratio in ratios):
        verdict = "the two agree"
    elif roofline.shape.experts and flops * devices <= completed * _flops_without_experts(record, roofline):
        verdict = (
            f"the two do not agree, for {engine} does not count this model's experts: no reason to doubt the limit"
        )
    else:
        verdict = "the two do not agree: believe the limit only once it is known why"
    return (
        f"{engine}'s own counters saw {amount_text(flops * devices)}FLOP and {amount_text(read * devices)}B read; the "
        f"limit rests on {ratios[0]:.2f} times these FLOPs and {ratios[1]:.2f} times these bytes, so {verdict}."
    )


def _flops_without_experts(record: Record, roofline: Roofline) -> float:
    """Return the FLOPs of a request but for its experts': what a counter that knows of none may see at most."""
    lengths = record.asked.input_tokens_each, record.asked.output_tokens_each
    rest = replace(roofline.shape, experts=0, active_experts=0)
    return roofline_for(rest, roofline.peaks, roofline.batch, *lengths).sure.request.flops


def energy_sentence(record: Record) -> str:
    """Return the energy of an output token with its denominator; '' where power was not read around the requests."""
    energy = energy_per_output_token_j(record)
    if energy is None:
        return ""
    summary, gpus = record.host.telemetry, num_gpus(record) or 1
    is_late = any((gpu.energy_source or "").startswith("the area") for gpu in summary.gpus or ())
    late = " It comes from power samples, which lag by a third of a second: low by what was drawn in it."
    who = "The GPU" if gpus == 1 else f"The {gpus} GPUs together"
    return (
        f"{who} drew {summary.energy_j:,.0f} J between first send and last token: {number_text(energy)} J for "
        f"each of {record.values['total_output_tokens']:,.0f} output tokens, the reading of all prompts included."
        + (late if is_late else "")
    )


def experts_sentence(record: Record, roofline: Roofline) -> str:
    """Return what the two ends of a bound are for a model with experts, and whether its experts were counted."""
    shape = roofline.shape
    sure = (
        f"Of two numbers for a bound the first is sure: it takes steps to read {shape.active_experts} of "
        f"{shape.experts} experts a layer, the same for all tokens, and nothing is faster. The second is for "
    )
    if shape.counted:
        tokens, experts = zip(*shape.counted)
        even = (number_text(shape.read_experts(count, EVEN)) for count in tokens)
        return (
            f"{sure}the experts that were counted for this model: {', '.join(map(number_text, experts))} in steps of "
            f"{', '.join(map(str, map(int, tokens)))} tokens; evenly routed it would be {', '.join(even)}."
        )
    why_not = record.host.routing.why_not
    reason = f" ({why_not})" if why_not else ""
    return (
        f"{sure}what even routing is expected to need, for experts were not counted{reason}. A router "
        "that sends many tokens to the same experts, as random weights may, needs fewer."
    )


def amount_text(value: float) -> str:
    """Return '4.80 T', '13.2 M': three digits and a decimal prefix, the unit to follow."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{number_text(value / factor)} {prefix}"
    return f"{number_text(value)} "


def bytes_text(value: float) -> str:
    """Return '18.2 GB'."""
    return f"{amount_text(value)}B"


def _interval(roofline: Roofline, sure: float, likely: float, unit: str) -> str:
    """Return '1.33 ms for sure and 3.78 ms with the experts that were counted', or '3.78 ms' where both are that."""
    if number_text(sure) == number_text(likely):
        return f"{number_text(sure)}{unit}"
    return f"{number_text(sure)}{unit} for sure and {number_text(likely)}{unit} with {_LIKELY[roofline.likely.routing]}"


def _told(binding: Binding) -> str:
    """Return which cause binds, between which it lies, or that it is not told."""
    if not binding.causes:
        return "What binds is not told"
    named = [cause if cause in _WITHOUT_ARTICLE else f"the {cause}" for cause in binding.causes]
    if len(named) == 1:
        return f"What binds is {named[0]}"
    return f"What binds lies between {', '.join(named[:-1])} and {named[-1]}"


def _passed_remark(roofline: Roofline) -> str:
    """Return what it means that a number passed the bound that is not sure."""
    what = "the experts that were counted allow" if roofline.counted else "even routing allows"
    return (
        f" That is faster than {what}: the router sends tokens to the same experts, or fewer sequences than asked for "
        "are in a step."
    )
