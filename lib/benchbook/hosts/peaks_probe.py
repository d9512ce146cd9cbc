"""Measure what memory and multipliers do at best: `python -m benchbook.hosts.peaks_probe BYTES [CORES]`.

Prints one JSON object. Bandwidth is the better of reading (a sum) and of copying, both directions counted; FLOP/s are
those of a square matrix product, of the largest side that takes no longer than a try may. The best of several tries
counts, as for any peak. With a GPU it is the GPU's.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone

# A processor without instructions for a 16-bit format emulates it, 100 times slower: 1024 would take it seconds.
MATRIX_SIDES_CPU, MATRIX_SIDES_GPU = (256, 512, 1024), (8192,)
TRY_S = 0.25  # for each quantity
FORMATS = ("bfloat16", "float16", "float32")


def core_list(text: str) -> set[int]:
    """Return the cores of '0-3' or '0,2,4-5', those of the first rank of 'A|B'; empty for 'auto' and the like."""
    first = text.partition("|")[0]
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", first):
        return set()
    spans = [part.partition("-") for part in first.split(",")]
    return {core for low, _, high in spans for core in range(int(low), int(high or low) + 1)}


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


def main() -> None:
    """Probe and print."""
    size_bytes, cores = int(sys.argv[1]), core_list(sys.argv[2] if len(sys.argv) > 2 else "")
    if cores:
        os.sched_setaffinity(0, cores)
        os.environ["OMP_NUM_THREADS"] = str(len(cores))
    import torch

    has_gpu = torch.cuda.is_available()
    device = "cuda" if has_gpu else "cpu"
    settle = torch.cuda.synchronize if has_gpu else lambda: None
    source = torch.ones(size_bytes // 4, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    rates = (
        best_rate(lambda: source.sum(), size_bytes, settle),
        best_rate(lambda: target.copy_(source), 2 * size_bytes, settle),
    )
    del source, target

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
    name = torch.cuda.get_device_name() if has_gpu else f"CPU, {torch.get_num_threads()} threads"
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
