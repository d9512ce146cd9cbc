"""Measure what memory and multipliers do at best: `python -m benchbook.hosts.machine.peaks_probe BYTES THREADS [CORE ...]`.

Prints one JSON object. Bandwidth is the better of reading (a sum) and of copying, both directions counted; FLOP/s are
those of a square matrix product, of the largest side that takes no longer than a try may. The best of several tries
counts, as for any peak. With a GPU it is the GPU's, FP8 included where it has that; a CPU has as many threads as are
asked for (0: as torch has by itself), on the cores that are named.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from benchbook.terms.wording import counted

# A processor without instructions for a 16-bit format emulates it, 100 times slower: 1024 would take it seconds.
MATRIX_SIDES_CPU, MATRIX_SIDES_GPU = (256, 512, 1024), (8192,)
TRY_S = 0.25  # for each quantity
FORMATS = ("bfloat16", "float16", "float32")
FP8 = ("float8_e4m3fn", "float8_e4m3fnuz")  # of most GPUs, and of AMD's before the MI350


def best_rate(step: Callable[[], None], amount: float, settle: Callable[[], None]) -> float:
    """Return `amount` per second of the fastest of as many steps as fit into TRY_S, one at least after a first one."""
    step()
    settle()
    best_s, until_s = float("inf"), time.perf_counter() + TRY_S
    while best_s == float("inf") or time.perf_counter() < until_s:
        began_s = time.perf_counter()
        step()
        settle()
        best_s = min(best_s, time.perf_counter() - began_s)
    return amount / best_s


def product_flops_s(sides: Sequence[int], rate_of: Callable[[int], float]) -> float:
    """Return the best FLOP/s of `rate_of(side)` over growing `sides`, up to the last that should fit into TRY_S."""
    best = 0.0
    for side in sides:
        if best and 2 * side**3 / best > TRY_S:
            break
        best = max(best, rate_of(side))
    return best


def _fp8_flops_s(torch: Any, name: str, settle: Callable[[], None], side: int) -> float:
    """Return the FLOP/s of a product of two FP8 matrices, as a linear layer of such a model multiplies."""
    matrix = torch.ones((side, side), device="cuda").to(getattr(torch, name))
    scale = torch.ones((), device="cuda")

    def multiply() -> None:
        torch._scaled_mm(matrix, matrix.t(), scale, scale, out_dtype=torch.bfloat16, use_fast_accum=True)

    return best_rate(multiply, 2 * side**3, settle)


def _memory_rates(torch: Any, size_bytes: int, device: str, settle: Callable[[], None]) -> tuple[float, float]:
    """Return how many bytes per second the device reads, and copies, counted twice."""
    source = torch.ones(size_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return (
        best_rate(lambda: source.sum(), size_bytes, settle),
        best_rate(lambda: target.copy_(source), 2 * size_bytes, settle),
    )


def main() -> None:
    """Probe and print."""
    size_bytes, threads, *cores = map(int, sys.argv[1:])
    if cores:
        os.sched_setaffinity(0, cores)
    if threads:
        os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    has_gpu = torch.cuda.is_available()
    device = "cuda" if has_gpu else "cpu"
    settle = torch.cuda.synchronize if has_gpu else lambda: None
    rates = _memory_rates(torch, size_bytes, device, settle)

    def rate_of(name: str, side: int) -> float:
        matrix = torch.ones((side, side), dtype=getattr(torch, name), device=device)
        product = torch.empty_like(matrix)
        # Transposed, as a linear layer multiplies: emulated formats are ten times faster that way round.
        return best_rate(lambda: torch.mm(matrix, matrix.t(), out=product), 2 * side**3, settle)

    sides = MATRIX_SIDES_GPU if has_gpu else MATRIX_SIDES_CPU
    tflops = {}
    for name in FORMATS:
        with contextlib.suppress(RuntimeError):  # a format that the device cannot multiply has no peak
            tflops[name] = product_flops_s(sides, functools.partial(rate_of, name)) / 1e12
    for name in FP8 if has_gpu else ():  # a CPU emulates it
        with contextlib.suppress(RuntimeError, AttributeError):
            tflops["fp8"] = product_flops_s(sides, functools.partial(_fp8_flops_s, torch, name, settle)) / 1e12
            break
    name = torch.cuda.get_device_name() if has_gpu else f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    size_text = f"{size_bytes / 2**20:,.0f} MiB"
    facts = {
        "kind": "measured",
        "device": name,
        "bandwidth_gb_s": max(rates) / 1e9,
        "tflops": tflops,
        "source": f"measured {when}: reading and copying {size_text}, and matrix products ({name})",
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
