"""First guesses: how long a start or a repeat takes, from the experiment's own numbers, before anything was measured.

repeat of serve    fixed + prompts / in flight · one batch of answers, not before its rate has sent the prompts;
                   and the same for the warm-up, unless an earlier repeat on this host has warmed the same load
of latency         fixed + (iterations + those of its warm-up) · one batch of answers
of throughput      fixed + all prompts, then those of its warm-up, as one batch of answers
batch of answers   output tokens · (a step + what each sequence adds) + what each prompt token takes + its roofline
start of a host    fixed + compiling, unless it is eager + reading the weights
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchbook.plan.workloads import LatencyWorkload, ServeWorkload, ThroughputWorkload, Workload

START_S = {"server": 30.0, "engine": 15.0}  # imports and all, of an eager tiny model on two cores
COMPILE_S = 60.0  # more, unless a launch is eager: torch.compile, CUDA graphs
SLACK = 2.0  # real kernels take so many times what the roofline says
READ_BYTES_S = 2e9  # from a disk
BUS_BYTES_S = 64e9  # PCI Express 5: weights that lie in memory come no faster to a device
FIRST_PROMPT_TOKENS = 8

BatchSeconds = Callable[[int, int, int], float]  # of a batch: sequences, input and output tokens of each


@dataclass(frozen=True)
class Overheads:
    """What a device takes (s) besides the work that a roofline knows."""

    repeat_s: Mapping[str, float]  # of a repeat: its notebook, its checks
    step_s: float
    sequence_s: float  # each in a step
    prompt_token_s: float


# Measured with the tiny model on two cores, and a GPU's with gpt-oss-120b on an H200, where they only serve for ratios.
CPU = Overheads({"first_request": 2.0, "serve": 2.0, "latency": 1.0, "throughput": 1.0}, 3.5e-3, 0.35e-3, 0.087e-3)
GPU = Overheads({"first_request": 3.0, "serve": 8.0, "latency": 4.0, "throughput": 8.0}, 4e-3, 0.05e-3, 0.0)


@dataclass(frozen=True)
class Pace:
    """How fast a launch may be, before anything was measured."""

    overheads: Overheads = CPU
    roofline_s: BatchSeconds = lambda batch, input_tokens, output_tokens: 0.0
    weight_bytes: int = 0  # to be read at a start
    is_eager: bool = True
    is_worth_a_guess: bool = True  # False: all that counts is the least it takes

    def batch_s(self, batch: int, input_tokens: int, output_tokens: int) -> float:
        """Return a rough duration (s) of one batch, prompts and answers."""
        per_step_s = self.overheads.step_s + batch * self.overheads.sequence_s
        prompts_s = batch * input_tokens * self.overheads.prompt_token_s
        return output_tokens * per_step_s + prompts_s + SLACK * self.roofline_s(batch, input_tokens, output_tokens)

    def least_s(self, workload: Workload, is_warm: bool) -> float:
        """Return the least (s) a repeat can take; 0 where rough guesses are good enough, so that no bound is needed."""
        return 0.0 if self.is_worth_a_guess else work_s(workload, is_warm, self.roofline_s)

    @property
    def least_start_s(self) -> float:
        """Return the least (s) that a start can take."""
        return self.weight_bytes / BUS_BYTES_S

    def start_s(self, host_kind: str) -> float:
        """Return a rough duration (s) of a host's start."""
        return START_S[host_kind] + (0.0 if self.is_eager else COMPILE_S) + self.weight_bytes / READ_BYTES_S


def work_s(workload: Workload, is_warm: bool, batch_s: BatchSeconds) -> float:
    """Return how long (s) the requests of one repeat take, those of its warm-up among them, by `batch_s`."""
    if isinstance(workload, ServeWorkload):
        return _load_s(workload, batch_s) + (0.0 if is_warm else _load_s(workload.warmup(), batch_s))
    if isinstance(workload, LatencyWorkload):
        iterations = workload.num_iters + workload.num_iters_warmup
        return iterations * batch_s(workload.batch_size, workload.input_len_tokens, workload.output_len_tokens)
    if isinstance(workload, ThroughputWorkload):
        numbers = (workload.num_prompts, 0 if is_warm else workload.warmup_prompts)
        return sum(batch_s(n, workload.input_len_tokens, workload.output_len_tokens) for n in numbers if n)
    return batch_s(1, FIRST_PROMPT_TOKENS, workload.max_tokens)


def _load_s(workload: ServeWorkload, batch_s: BatchSeconds) -> float:
    """Return how long (s) a load takes: as long as answering it or as long as sending it, whichever is longer."""
    lengths, number = (workload.input_len_tokens, workload.output_len_tokens), workload.num_prompts
    if not number:
        return 0.0
    batch = min(workload.max_concurrency or number, number)
    answering_s = number / batch * batch_s(batch, *lengths)
    rate_rps = workload.request_rate_rps
    return max(answering_s, (number - 1) / rate_rps + batch_s(1, *lengths)) if rate_rps else answering_s


def sending_s(workload: Workload) -> float:
    """Return how long (s) an open loop sends for, 0 for anything else: no server can be done sooner."""
    rate_rps = workload.request_rate_rps if isinstance(workload, ServeWorkload) else None
    return (workload.num_prompts - 1) / rate_rps if rate_rps else 0.0
