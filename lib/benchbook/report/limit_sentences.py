"""The limits of one record in sentences: what a step must do, how far the number is from it, what binds, who agrees."""

from __future__ import annotations

from benchbook.judge.binding import BELOW_FLOOR, binding_of, energy_per_output_token_j
from benchbook.judge.gpus import num_gpus
from benchbook.judge.limits import Limits, NoLimitError, limits_of
from benchbook.judge.spread import number_text
from benchbook.records.record import Record

_AGREE = (0.5, 2.0)  # our count over vLLM's: two counts of the same work by different rules


def limit_sentences(record: Record) -> list[str]:
    """Return the limits of one record in sentences: what a step must do, how far the number is from it, what binds."""
    try:
        limits = limits_of(record)
    except NoLimitError as error:
        return [f"No limit can be computed: {error}."]
    step = step_sentence(record, limits)
    said = [step[0].upper() + step[1:], counters_sentence(record, limits), energy_sentence(record)]
    return [sentence for sentence in [*said, peaks_sentence(limits)] if sentence]


def step_sentence(record: Record, limits: Limits) -> str:
    """Return what binds one record, with the floor beside what was measured."""
    binding = binding_of(record, limits)
    if binding is None:
        return "nothing was measured to compare with the limit."
    if record.benchmark == "latency":
        measured, floor = record.values["avg_batch_latency_s"], limits.batch_floor_s
        fact = f"the floor of a batch is {number_text(floor)} s, it takes {number_text(measured)} s"
    elif record.benchmark == "serve" and limits.step and record.values.get("median_tpot_ms"):
        floor_ms, measured_ms = limits.step.floor_s * 1000, record.values["median_tpot_ms"]
        fact = (
            f"a step of {limits.batch} must read {amount_text(limits.step.bytes)}B, the floor is "
            f"{number_text(floor_ms)} ms, the step takes {number_text(measured_ms)} ms (median TPOT)"
        )
    else:
        measured = record.values["output_throughput_tok_s"]
        fact = f"the ceiling is {number_text(limits.ceiling_tok_s)} output tok/s, {number_text(measured)} are reached"
    if binding.name == BELOW_FLOOR:
        return f"{fact}. That is below the floor: {binding.why}."
    named = _named(binding.name) if binding.is_told else "not told"
    return f"{fact}. What binds is {named}: {binding.why}.{_routing_remark(record, limits)}"


def peaks_sentence(limits: Limits) -> str:
    """Return what the device can do at best, and who says so."""
    peaks = limits.peaks
    several = f" of {peaks.devices} devices together" if peaks.devices > 1 else ""
    return (
        f"At best{several}: {amount_text(peaks.bandwidth_bytes_s)}B/s of memory bandwidth and "
        f"{amount_text(limits.flops_s)}FLOP/s; {peaks.source}."
    )


def counters_sentence(record: Record, limits: Limits) -> str:
    """Return how vLLM's own count of FLOPs and bytes compares with ours for the same requests; '' without one."""
    counters = record.host.get("counters") or {}
    flops = counters.get("vllm:estimated_flops_per_gpu_total")
    read = counters.get("vllm:estimated_read_bytes_per_gpu_total")
    completed = record.values.get("completed")
    if not flops or not read or not completed:
        return ""
    devices = limits.peaks.devices
    ratios = (completed * limits.request.flops / (flops * devices), completed * limits.request.bytes / (read * devices))
    verdict = (
        "the two agree"
        if all(_AGREE[0] <= ratio <= _AGREE[1] for ratio in ratios)
        else "the two do not agree: believe the limit only once it is known why"
    )
    return (
        f"vLLM's own counters saw {amount_text(flops * devices)}FLOP and {amount_text(read * devices)}B read; the "
        f"limit rests on {ratios[0]:.2f} times these FLOPs and {ratios[1]:.2f} times these bytes, so {verdict}."
    )


def energy_sentence(record: Record) -> str:
    """Return the energy of an output token with its denominator; '' where power was not read around the requests."""
    energy = energy_per_output_token_j(record)
    if energy is None:
        return ""
    summary, gpus = record.host["telemetry"], num_gpus(record) or 1
    is_late = any((gpu.get("energy_source") or "").startswith("the area") for gpu in summary.get("gpus") or ())
    late = " It comes from power samples, which lag by a third of a second: low by what was drawn in it."
    who = "The GPU" if gpus == 1 else f"The {gpus} GPUs together"
    return (
        f"{who} drew {summary['energy_j']:,.0f} J between first send and last token: {number_text(energy)} J for "
        f"each of {record.values['total_output_tokens']:,.0f} output tokens, the reading of all prompts included."
        + (late if is_late else "")
    )


def experts_sentence(record: Record, limits: Limits) -> str:
    """Return how many experts of a layer a step reads, and whether that was counted or is what even routing needs."""
    shape = limits.shape
    if shape.counted:
        tokens, experts = zip(*shape.counted)
        even = (number_text(shape.evenly_read_experts(count)) for count in tokens)
        return (
            f"How many of {shape.experts} experts a layer reads was counted for this model: "
            f"{', '.join(map(number_text, experts))} in steps of {', '.join(map(str, map(int, tokens)))} tokens; evenly "
            f"routed it would be {', '.join(even)}."
        )
    why_not = (record.host.get("routing") or {}).get("why_not")
    return (
        f"How many experts a step reads {f'was not counted ({why_not}): it ' if why_not else ''}is what even routing is "
        "expected to need. A router that sends many tokens to the same experts, as random weights may, needs fewer: a "
        "share above 100% says so."
    )


def amount_text(value: float) -> str:
    """Return '4.80 T', '13.2 M': three digits and a decimal prefix, the unit to follow."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= factor:
            return f"{number_text(value / factor)} {prefix}"
    return f"{number_text(value)} "


def _routing_remark(record: Record, limits: Limits) -> str:
    """Return what it means that a step was faster than even routing lets it be; '' where it was not."""
    measured_ms = record.values.get("median_tpot_ms")
    if not limits.shape.experts or not limits.step or not measured_ms or measured_ms >= limits.step.floor_s * 1000:
        return ""
    what = "the experts that were counted allow" if limits.shape.counted else "even routing allows"
    return (
        f" That is faster than {what}: the router sends tokens to the same experts, or fewer sequences "
        "than asked for are in a step. Were all to take the same experts, the floor would be"
        f" {number_text(limits.surest_step.floor_s * 1000)} ms."
    )


def _named(binding: str) -> str:
    return binding if binding in ("launch overhead", "KV capacity") else f"the {binding}"
