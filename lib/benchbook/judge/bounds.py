"""The roofline: the floor of a step and of TTFT and the ceiling of throughput, from a model's shape and the peaks.

A step of the model can end no sooner than its weights and KV cache were read once and its multiplications were done,
were both perfect and at the same time (the roofline):

    time = max(bytes / bandwidth, FLOPs / peak FLOP/s)

    decode step     bytes  weights(B) + B · KV of the tokens so far         B sequences, one token each
                    FLOPs  B · (2 · weights a token meets + 4 · heads · head_dim · tokens attended to)
    prefill         bytes  weights(T)
                    FLOPs  T · 2 · weights + 4 · heads · head_dim · (token pairs) + the output head once
    step floor      one decode step with all B sequences in flight, the mean length of their contexts
    TTFT floor      the prefill of one prompt that has the device to itself
    ceiling         out / max(bytes, FLOPs) of a request: its prefill and its share, 1/B, of each decode step

Activations, KV writes and what devices tell each other are left out: a floor stays one. FLOPs count at the peak of the
fastest format in which they may be done: weights of 8 bits or less with inputs of 8 bits, those of FP4 with inputs of 4.

How many experts a step reads is known for sure only at its least, so of a model with experts there are several bounds
(shape.py). Only the sure one is a floor; the time that a perfect engine needs lies between it and the one that was
counted, or of even routing where none was. Of a dense model there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchbook.judge.shape import COUNTED, EVEN, SURE, ModelShape

BANDWIDTH, COMPUTE = "bandwidth", "compute"
# The formats in which weights of a stored one may be multiplied, besides that of the activations.
_MULTIPLIED_IN = {"fp8": ("fp8",), "mxfp4": ("fp8", "fp4"), "nvfp4": ("fp8", "fp4"), "awq": ("fp8",), "gptq": ("fp8",)}


class NoRooflineError(ValueError):
    """No limit can be computed for this record; the text says why."""


@dataclass(frozen=True)
class Peaks:
    """What the devices of a launch can do at best, all of them together."""

    bandwidth_bytes_s: float
    flops_s: Mapping[str, float]  # by number format
    source: str
    devices: int = 1

    def flops_for(self, dtype: str, stored: str | None = None) -> float:
        """Return the FLOP/s of the fastest format that activations of `dtype` and weights `stored` so permit."""
        known = [self.flops_s[name] for name in (dtype, *_MULTIPLIED_IN.get(stored, ())) if name in self.flops_s]
        if not known:
            raise NoRooflineError(f"the device's peak for {dtype} is not known")
        return max(known)


@dataclass(frozen=True)
class Work:
    """Bytes to read and FLOPs to do, and how long the hardware needs for them at least."""

    bytes: float
    flops: float
    floor_s: float
    bound: str  # BANDWIDTH or COMPUTE: which of the two takes longer


@dataclass(frozen=True)
class Bounds:
    """What the hardware allows if steps read the experts of one routing. A part that a benchmark lacks is None."""

    routing: str  # SURE, EVEN or COUNTED
    step: Work | None  # one decode step; None for one output token
    prefill: Work  # of one prompt
    request: Work  # one request of many: its prefill and its share of each decode step
    ceiling_tok_s: float  # output tokens per second
    batch_floor_s: float | None  # of `latency`: prefill of the whole batch, then every decode step


@dataclass(frozen=True)
class Roofline:
    """The roofline of one record: its bounds for each routing that is known."""

    shape: ModelShape
    peaks: Peaks
    batch: int  # sequences in a decode step
    kv_sequences: float | None  # how many sequences of this length the KV cache holds
    output_len_tokens: int
    sure: Bounds  # nothing is faster
    even: Bounds | None  # None for a dense model
    counted: Bounds | None  # None where no experts were counted

    @property
    def likely(self) -> Bounds:
        """Return the other end of the interval: by the experts that were counted, else evenly used; if dense, the same."""
        return self.counted or self.even or self.sure

    @property
    def flops_s(self) -> float:
        """Return the FLOP/s of the fastest format in which some of the model's work may be done."""
        return self.peaks.flops_for(self.shape.dtype, self.shape.weight_format)


def roofline_for(
    shape: ModelShape,
    peaks: Peaks,
    batch: int,
    input_tokens: int,
    output_tokens: int,
    kv_sequences: float | None = None,
    cached_share: float = 0.0,
    batch_size: int | None = None,
) -> Roofline:
    """Return the roofline of `batch` sequences at a time; `cached_share` of each prompt needs no prefill.

    `batch_size` is that of an offline batch, None for other work. Where fewer than that fit into a step, its sequences
    need batch_size / batch times as many steps: each of them is in as many as there are tokens.
    """
    plain, pair_flops = peaks.flops_for(shape.dtype), 4 * shape.heads * shape.head_dim
    parts = (  # FLOPs of a token, of one for which the output head is asked, and of a pair of tokens; with the FLOP/s
        (2 * shape.active_attention, 0, 0, peaks.flops_for(shape.dtype, shape.attention_format)),
        (2 * shape.active_mlp, 0, 0, peaks.flops_for(shape.dtype, shape.weight_format)),
        (0, 2 * shape.hidden * shape.vocabulary, 0, plain),
        (0, 0, pair_flops, peaks.flops_for(shape.dtype, "fp8") if shape.kv_bytes < shape.head_bytes else plain),
    )

    def work(read_bytes: float, tokens: float, heads: float, pairs: float) -> Work:
        flops = [(a * tokens + b * heads + c * pairs, flops_s) for a, b, c, flops_s in parts]
        by_bytes, by_flops = read_bytes / peaks.bandwidth_bytes_s, sum(each / flops_s for each, flops_s in flops)
        bound = BANDWIDTH if by_bytes >= by_flops else COMPUTE
        return Work(read_bytes, sum(each for each, _ in flops), max(by_bytes, by_flops), bound)

    cached = min(round(input_tokens * cached_share), input_tokens - 1)
    fresh, pairs = input_tokens - cached, shape.attended(cached + 1, input_tokens)
    steps = output_tokens - 1
    # Over how many tokens a step attends, summed over layers.
    context = shape.attended(input_tokens + 1, input_tokens + steps) / steps if steps else 0.0

    def bounds(routing: str) -> Bounds:
        step_bytes = shape.read_bytes(batch, routing) + batch * context * shape.kv_bytes_per_layer
        step = work(step_bytes, batch, batch, batch * context) if steps else None
        prefill = work(shape.read_bytes(fresh, routing), fresh, 1, pairs)
        # A prefill may share its reading of the weights with a decode step, so its bytes are not counted again.
        request = work(steps * step_bytes / batch, fresh + steps, output_tokens, pairs + steps * context)
        batch_floor_s = None
        if batch_size is not None:
            read_bytes = shape.read_bytes(batch_size * fresh, routing)
            all_prefills = work(read_bytes, batch_size * fresh, batch_size, batch_size * pairs)
            batch_floor_s = all_prefills.floor_s + (batch_size / batch * steps * step.floor_s if step else 0.0)
        first = prefill if not steps else request
        return Bounds(routing, step, prefill, first, output_tokens / first.floor_s, batch_floor_s)

    found = {routing: bounds(routing) for routing in shape.routings}
    return Roofline(
        shape=shape,
        peaks=peaks,
        batch=batch,
        kv_sequences=kv_sequences,
        output_len_tokens=output_tokens,
        sure=found[SURE],
        even=found.get(EVEN),
        counted=found.get(COUNTED),
    )
