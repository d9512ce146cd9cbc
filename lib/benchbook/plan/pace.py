"""First guesses: how long a start or a repeat takes, from the experiment's own numbers, before anything was measured.

repeat of serve    fixed + prompts / in flight · one batch of answers, not before its rate has sent the prompts;
                   and the same for the warm-up, unless an earlier repeat on this host has warmed the same load
of latency         fixed + (iterations + those of its warm-up) · one batch of answers
of throughput      fixed + all prompts, then those of its warm-up, as one batch of answers
batch of answers   output tokens · (a step + what each sequence adds) + what each prompt token takes + its roofline
start of a host    fixed + compiling, unless it is eager + reading the weights
"""

from __future__ import annotations

from dataclasses import dataclass

from benchbook.plan.workload import BatchSeconds, Workload

START_S = {"server": 30.0, "engine": 15.0}  # imports and all, of an eager tiny model on two cores
CLIENT_S = 12.0  # a benchmark's client imports vLLM
COMPILE_S = 60.0  # more, unless a launch is eager: torch.compile, CUDA graphs
SLACK = 2.0  # real kernels take so many times what the roofline says
READ_BYTES_S = 2e9  # from a disk
BUS_BYTES_S = 64e9  # PCI Express 5: weights that lie in memory come no faster to a device


@dataclass(frozen=True)
class Overheads:
    """What a device takes (s) besides the work that a roofline knows."""

    is_gpu: bool
    step_s: float
    sequence_s: float  # each in a step
    prompt_token_s: float

    def repeat_s(self, workload: Workload) -> float:
        """Return what a repeat takes (s) beside its work: its notebook, its checks."""
        return workload.row.fixed_s[self.is_gpu]


# Measured with the tiny model on two cores, and a GPU's with gpt-oss-120b on an H200, where they only serve for ratios.
CPU = Overheads(False, 3.5e-3, 0.35e-3, 0.087e-3)
GPU = Overheads(True, 4e-3, 0.05e-3, 0.0)


@dataclass(frozen=True)
class Pace:
    """How fast a launch may be, before anything was measured."""

    overheads: Overheads = CPU
    roofline_s: BatchSeconds = lambda batch, input_tokens, output_tokens: 0.0
    weight_bytes: int = 0  # to be read at a start
    is_eager: bool = True
    is_worth_a_guess: bool = True  # False: all that counts is the least it takes
    is_running: bool = False  # its server runs already: a client is all that starts

    def batch_s(self, batch: int, input_tokens: int, output_tokens: int) -> float:
        """Return a rough duration (s) of one batch, prompts and answers."""
        per_step_s = self.overheads.step_s + batch * self.overheads.sequence_s
        prompts_s = batch * input_tokens * self.overheads.prompt_token_s
        return output_tokens * per_step_s + prompts_s + SLACK * self.roofline_s(batch, input_tokens, output_tokens)

    def least_s(self, workload: Workload, is_warm: bool) -> float:
        """Return the least (s) a repeat can take; 0 where rough guesses are good enough, so that no bound is needed."""
        return 0.0 if self.is_worth_a_guess else workload.work_s(is_warm, self.roofline_s)

    @property
    def least_start_s(self) -> float:
        """Return the least (s) that a start can take."""
        return self.weight_bytes / BUS_BYTES_S

    def start_s(self, host_kind: str) -> float:
        """Return a rough duration (s) of a host's start."""
        if self.is_running:
            return CLIENT_S
        return START_S[host_kind] + (0.0 if self.is_eager else COMPILE_S) + self.weight_bytes / READ_BYTES_S
