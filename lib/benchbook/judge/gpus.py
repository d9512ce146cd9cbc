"""How many GPUs a launch took: a rate is that of all of them, and a comparison of unequal numbers must say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from benchbook.judge.telemetry_summary import used_gpus
from benchbook.records.record import Record
from benchbook.records.settings import settings_of

if TYPE_CHECKING:
    from benchbook.judge.pairs import Arm


def num_gpus(record: Record) -> int | None:
    """Return how many GPUs what was measured ran on; None on a CPU, and where it cannot be known.

    Those that its processes were seen on; where the driver shows none of them, as many as its command has ranks.
    """
    telemetry = record.host.telemetry
    used = used_gpus(telemetry.gpu_processes)
    if used:
        return len(used)
    if telemetry.gpus and telemetry.num_gpus:
        return telemetry.num_gpus
    if not record.host.argv:  # not ours: its machine, or its command, is not known
        return 1 if len(telemetry.gpus or ()) == 1 else None
    provenance = record.provenance
    is_cpu = "+cpu" in (record.host.packages or provenance.packages).get("vllm", "")
    has_gpus = telemetry.gpus or provenance.machine.gpus
    return settings_of(record.host).devices if has_gpus and not is_cpu else None


def output_per_gpu_tok_s(record: Record) -> float | None:
    """Return the output throughput that each GPU contributes; None where either number is not known."""
    output, gpus = record.values.get("output_throughput_tok_s"), num_gpus(record)
    return None if output is None or not gpus else output / gpus


def common_num_gpus(arms: Iterable[Arm]) -> int | None:
    """Return the number of GPUs that all records of `arms` have in common; None where there is no one number."""
    found = {num_gpus(record) for arm in arms for record in arm.believed.values()}
    return found.pop() if len(found) == 1 else None
