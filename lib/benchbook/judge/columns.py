"""The columns of the tidy table that are judged from a record and not measured: what each means."""

from __future__ import annotations

from collections.abc import Mapping

from benchbook.terms.metrics import Metric

PER_GPU = Metric(
    "output_throughput_per_gpu_tok_s",
    "Output per GPU",
    "tok/s",
    True,
    "",
    "output throughput / number of GPUs",
    made_of="output_throughput_tok_s",
)

# Columns of the tidy table: what they mean. All but the last are numbers. A floor or a ceiling is sure: of a model with
# experts it is that of steps in which all tokens take the same ones.
COLUMNS: Mapping[str, str] = {
    "step_floor_ms": "the least time of one decode step on this hardware; with experts, if all tokens took the same",
    "step_even_ms": "the same were experts used evenly; empty without experts",
    "step_counted_ms": "the same with the experts that steps of this model were counted to read; empty without a count",
    "step_share_of_limit": "step_floor_ms / median ITL (median TPOT where a chunk holds several tokens)",
    "ttft_floor_ms": "the least time of one prompt's prefill on this hardware, alone on the device",
    "ttft_share_of_limit": "ttft_floor_ms / median TTFT",
    "output_throughput_ceiling_tok_s": "the most output tokens per second that this hardware allows, experts as in "
    "step_floor_ms",
    "output_throughput_even_tok_s": "the same were experts used evenly; empty without experts",
    "output_throughput_counted_tok_s": "the same with the experts that were counted; empty without a count",
    "output_throughput_share_of_limit": "output throughput / output_throughput_ceiling_tok_s",
    "batch_latency_floor_s": "the least time of one offline batch on this hardware, experts as in step_floor_ms",
    "batch_latency_even_s": "the same were experts used evenly; empty without experts",
    "batch_latency_counted_s": "the same with the experts that were counted; empty without a count",
    "batch_latency_share_of_limit": "batch_latency_floor_s / average batch latency",
    PER_GPU.key: "output throughput / number of GPUs",
    "energy_j_per_output_token": "energy of the GPUs between first send and last token / output tokens",
    "limited_by": "what binds: bandwidth, compute, KV capacity, client, launch overhead (or communication of several "
    "devices), or that it lies between some of them; or why that cannot be told",
}
NUMBERS = tuple(key for key in COLUMNS if key != "limited_by")
