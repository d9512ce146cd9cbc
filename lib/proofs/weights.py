"""Do a shape's random weights behave on this device, and how long do they take to make?

    python lib/proofs/weights.py gpt-oss-120b [--tensor-parallel 2] [--only-make]

1. Makes every tensor of the shape's checkpoint once on the device: GiB and seconds (one rank's work; nothing is kept).
2. Compares the first 65,536 bytes of one tensor of each kind with those that the CPU makes: they must be equal.
3. Loads the shape in an engine of its own and counts experts and answers, as a run would (hosts/vllm/routing.py): within 10 %
   of even routing, at least 20 answers of 32. Takes a start of vLLM, about a minute on a GPU.

Exit code 1 where one of these does not hold.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from benchbook.hosts.model import shapes
from benchbook.hosts.model.checkpoints import BITS, CONSTANT, tensors_of
from benchbook.hosts.model.files import resolve_model
from benchbook.hosts.model.random_weights import made
from benchbook.hosts.vllm import routing

MAX_OFF, MIN_DISTINCT = 0.10, 20 / 32
SAME_BYTES = 65_536


def make_all(name: str, device: str) -> float:
    """Make every tensor of the shape once and return the GiB; print how long it took."""
    config, total_bytes, started_s = shapes.shape_named(name).config, 0, time.perf_counter()
    for tensor in tensors_of(config):
        total_bytes += made(tensor, torch.bfloat16, device).nbytes
    if device == "cuda":
        torch.cuda.synchronize()
    took_s = time.perf_counter() - started_s
    print(
        f"made {total_bytes / 2**30:.2f} GiB on {device} in {took_s:.1f} s ({total_bytes / 2**30 / took_s:.1f} GiB/s)"
    )
    return total_bytes / 2**30


def same_bytes(name: str, device: str) -> bool:
    """Return whether the device makes what the CPU makes, for the smallest tensor of each kind of fill and format."""
    smallest = {}
    for tensor in tensors_of(shapes.shape_named(name).config):
        size = torch.Size(tensor.shape).numel()
        key = (tensor.fill, tensor.format)
        if key not in smallest or size < torch.Size(smallest[key].shape).numel():
            smallest[key] = tensor
    good = True
    for (fill, form), tensor in smallest.items():
        if fill == CONSTANT:
            continue
        if fill == BITS:  # a GiB on the CPU would take a minute: its beginning tells as much
            tensor = type(tensor)(tensor.name, (SAME_BYTES,), fill, tensor.value, form)
        there, here = (
            made(tensor, torch.bfloat16, where).cpu().contiguous().view(torch.uint8) for where in (device, "cpu")
        )
        equal = torch.equal(there, here)
        print(f"{'ok' if equal else 'DIFFERENT'}: {tensor.name} {tuple(tensor.shape)} as on the CPU")
        good &= equal
    return good


def counts_are_even(name: str, tensor_parallel: int) -> bool:
    """Return whether experts and answers are as even routing and random weights have them."""
    args = {"load_format": "benchbook", "tensor_parallel_size": tensor_parallel}
    files, started_s = resolve_model(f"shape:{name}", args), time.perf_counter()
    found = routing.routing_of(files, args, {}, Path("routing-log"))
    if found is None:
        print("no experts in this shape")
        return True
    if "why_not" in found:
        print(f"not counted: {found['why_not']}")
        return False
    good, experts, active = True, found["experts"], found["active"]
    print(f"counted in {time.perf_counter() - started_s:.0f} s")
    for tokens, counted in {**found["decode"], **found["prefill"]}.items():
        even = experts * (1 - (1 - active / experts) ** int(tokens))
        print(f"{tokens:>4} tokens: {counted:6.2f} of {experts} experts, even {even:6.2f} ({counted / even - 1:+.1%})")
        good &= abs(counted / even - 1) <= MAX_OFF
    print(f"{found['distinct_answers']} of {found['answers']} answers differ")
    return good and found["distinct_answers"] >= MIN_DISTINCT * found["answers"]


def main() -> None:
    """Make, compare, count; exit code 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(shapes.SHAPES))
    parser.add_argument("--tensor-parallel", type=int, default=1)
    parser.add_argument("--only-make", action="store_true", help="leave out what starts vLLM")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    make_all(options.shape, device)
    good = same_bytes(options.shape, device)
    if device == "cuda":
        torch.cuda.empty_cache()
    if not options.only_make:
        good &= counts_are_even(options.shape, options.tensor_parallel)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
