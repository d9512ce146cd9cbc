"""What output tokens cost: hours of GPUs, and the energy that they drew, for each token that came within the limits.

A price is no measurement: it is what somebody pays for what was measured, so a record knows none and a run's header has it.
What a GPU costs while it stands idle is part of it, and told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from benchbook.judge.gpus import num_gpus
from benchbook.judge.telemetry_summary import used_gpus
from benchbook.records.header import Price
from benchbook.records.record import Record
from benchbook.terms.metrics import Metric

TOKENS = 1_000_000
_LIMITS = ("slo_ttft_ms", "slo_tpot_ms", "slo_e2el_ms")
COST = Metric(
    "cost_per_mtok",
    "Cost",
    "per 1M tok",
    False,
    "",
    "(GPUs · price of a GPU's hour · duration + energy of the GPUs · PUE · price of a kWh) / output tokens within the "
    "limits of a request; without such limits, all",
    made_of="output_throughput_tok_s",
)
ENERGY = Metric(
    "energy_j_per_good_token",
    "Energy",
    "J/tok",
    False,
    "",
    "energy of the GPUs / output tokens within the limits of a request; without such limits, all",
    made_of="output_throughput_tok_s",
)
IDLE = Metric(
    "gpu_idle_share",
    "GPU idle",
    "of 1",
    None,
    "",
    "share of the time in which the GPUs that were used computed nothing, by their driver",
    made_of="output_throughput_tok_s",
)
PRICED: Mapping[str, Metric] = {metric.key: metric for metric in (COST, ENERGY, IDLE)}


def priced_values(record: Record, price: Price) -> dict[str, float | None]:
    """Return a value for each of PRICED; None where the record does not tell it, as without a GPU or a reading of power."""
    tokens = _good_tokens(record) if record.is_measured else None
    if not tokens:
        return dict.fromkeys(PRICED)
    energy_j = record.host.telemetry.energy_j
    total = _cost(record, price, energy_j)
    return {
        COST.key: None if total is None else total / tokens * TOKENS,
        ENERGY.key: None if energy_j is None else energy_j / tokens,
        IDLE.key: _idle_share(record),
    }


def with_price(record: Record, price: Price) -> Record:
    """Return `record` with what its tokens cost among its values, to be compared as its speed is."""
    return record.model_copy(update={"values": {**record.values, **priced_values(record, price)}})


def _cost(record: Record, price: Price, energy_j: float | None) -> float | None:
    """Return what the measured window cost, in the price's currency; None where a part of it is not known."""
    parts: list[float | None] = []
    if price.gpu_hour is not None:
        gpus, duration_s = num_gpus(record), record.values.get("duration_s")
        parts.append(None if gpus is None or duration_s is None else gpus * duration_s / 3600 * price.gpu_hour)
    if price.kwh is not None:
        parts.append(None if energy_j is None else energy_j / 3.6e6 * price.pue * price.kwh)
    return None if None in parts else sum(parts)


def _good_tokens(record: Record) -> float | None:
    """Return the output tokens of requests within their limits, their share being that of the requests."""
    tokens = record.values.get("total_output_tokens")
    if tokens is None or not any(record.workload.get(key) for key in _LIMITS):
        return tokens
    good, answered = (record.values.get(key) for key in ("request_goodput_rps", "request_throughput_rps"))
    return tokens * good / answered if good is not None and answered else None


def _idle_share(record: Record) -> float | None:
    telemetry = record.host.telemetry
    used = used_gpus(telemetry.gpu_processes)
    shares = [gpu.mean_utilisation_pct for gpu in telemetry.gpus or () if not used or gpu.index in used]
    return 1 - fmean(shares) / 100 if shares and None not in shares else None
