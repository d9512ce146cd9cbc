"""What records and run.json hold besides their own fields: what of it is read again, and of which type it must be.

A file of ours has more than is read, and later versions add to it: what is not named here is let through. What is named
and ill-typed would break whoever reads it, so a reader refuses it here, with file, key and value.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # that of typing has no configuration before 3.12

_OPEN = ConfigDict(extra="allow", strict=True)
_SHOWN_CHARS = 60

Benchmark = Literal["serve", "latency", "throughput", "first_request"]
LARGEST = 1e30  # beyond lies nothing that was ever counted or timed, and soon no sum is finite
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Numbers = list[Number | None]
Seconds = Annotated[float, Field(ge=0, le=1e9)]
Whole = Annotated[int, Field(ge=0, le=10**15)]
Positive = Annotated[int, Field(ge=1, le=10**9)]
Name = Annotated[str, Field(min_length=1)]
FolderName = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
TokensText = Annotated[str, Field(pattern=r"^[1-9]\d{0,8}$")]  # a number as the key of a JSON object


def _moment(text: str) -> str:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("has no time zone")
    return text


Time = Annotated[str, AfterValidator(_moment)]  # '2026-11-23T20:15:00+00:00'


class Workload(TypedDict, total=False):
    """What a benchmark was asked to do; which of these it has depends on the benchmark."""

    __pydantic_config__ = _OPEN
    input_len_tokens: Positive
    output_len_tokens: Positive
    max_concurrency: Positive | None
    request_rate_rps: Annotated[float, Field(gt=0, le=1e9)] | None
    num_prompts: Positive
    batch_size: Positive
    num_iters: Positive
    num_iters_warmup: Whole
    max_tokens: Positive


NEEDED: dict[str, tuple[str, ...]] = {  # of a workload, by benchmark
    "serve": ("input_len_tokens", "output_len_tokens", "num_prompts"),
    "latency": ("input_len_tokens", "output_len_tokens", "batch_size"),
    "throughput": ("input_len_tokens", "output_len_tokens", "num_prompts"),
    "first_request": (),
}


class StartFacts(TypedDict, total=False):
    """What a host's log told of its start."""

    __pydantic_config__ = _OPEN
    weights_gib: Number | None
    kv_cache_tokens: Whole | None
    attention_backend: str | None
    moe_backend: str | None
    dtype: str | None


class Peaks(TypedDict, total=False):
    """What a device can do at best."""

    __pydantic_config__ = _OPEN
    bandwidth_gb_s: Annotated[float, Field(ge=0, le=1e12)] | None
    tflops: dict[str, Annotated[float, Field(gt=0, le=1e12)]]
    source: str


class Routing(TypedDict, total=False):
    """How many experts of a layer steps read, by tokens in a step, as it was counted once; or why it was not."""

    __pydantic_config__ = _OPEN
    experts: Whole
    active: Whole
    decode: dict[TokensText, Number]
    prefill: dict[TokensText, Number]
    answers: Whole
    distinct_answers: Whole
    why_not: str


class GpuSummary(TypedDict):
    """What the samples of one GPU come to."""

    __pydantic_config__ = _OPEN
    index: int
    name: str | None
    throttled_share: dict[str, Number]
    mean_power_w: Number | None
    mean_sm_clock_mhz: Number | None
    min_sm_clock_mhz: Number | None
    max_temperature_c: Number | None
    max_memory_used_gib: Number | None
    mean_utilisation_pct: Number | None


class GpuProcess(TypedDict):
    """Who computed on a GPU."""

    __pydantic_config__ = _OPEN
    kind: str
    pid: int
    name: str | None


class ServerSummary(TypedDict, total=False):
    """What the samples of a server come to."""

    __pydantic_config__ = _OPEN
    mean_running: Number | None
    mean_waiting: Number | None
    max_kv_use_ratio: Number | None
    preemptions: Number | None


class TelemetrySummary(TypedDict, total=False):
    """What a record keeps of its samples."""

    __pydantic_config__ = _OPEN
    server: ServerSummary | None
    gpus: list[GpuSummary]
    gpu_processes: list[GpuProcess]
    energy_j: Number | None
    absent: dict[str, str]


class HostFacts(TypedDict, total=False):
    """What was measured."""

    __pydantic_config__ = _OPEN
    kind: str
    model: str | None
    version: str | None
    argv: list[str]
    env: dict[str, str]
    ready_utc: str | None
    ready_s: Number | None
    random_weights: bool | None
    facts: StartFacts | None
    counters: dict[str, Number] | None
    peaks: Peaks | None
    model_config: dict[str, Any] | None
    routing: Routing | None
    greedy_outputs: list[str] | None
    distinct_prompts: Whole | None
    telemetry: TelemetrySummary | None


class Client(TypedDict, total=False):
    """What the benchmark's client noted of itself."""

    __pydantic_config__ = _OPEN
    cpu_cores: Number | None
    chunks_per_s: Number | None
    ceiling_chunks_per_s: Number | None
    loop_lag_median_ms: Number | None


class Machine(TypedDict, total=False):
    """Who used the processors."""

    __pydantic_config__ = _OPEN
    cpus: Number | None  # a container may have half of one
    other_cpu_share: Number | None
    own_cpu_share: Number


class Limits(TypedDict, total=False):
    """What the client's process was allowed."""

    __pydantic_config__ = _OPEN
    open_files: int | None
    ports: int | None


class Conditions(TypedDict, total=False):
    """What was watched while measuring."""

    __pydantic_config__ = _OPEN
    client: Client | None
    machine: Machine | None
    limits: Limits | None
    counters_went_back: list[str] | None
    compile_lines: list[str] | None
    watching_errors: list[str] | None
    kv_usage_max_pct: Number | None
    warmup_prompts: Whole | None


class Gpu(TypedDict, total=False):
    """One GPU of a machine."""

    __pydantic_config__ = _OPEN
    name: Name


class MachineFacts(TypedDict, total=False):
    """The machine of a run."""

    __pydantic_config__ = _OPEN
    cpu: str | None
    cpu_cores: int | None
    memory_gib: Number | None
    gpus: list[Gpu]


class Git(TypedDict, total=False):
    """The commit that measured."""

    __pydantic_config__ = _OPEN
    commit: str | None
    dirty: bool | None


class Provenance(TypedDict, total=False):
    """Where a record or a run comes from."""

    __pydantic_config__ = _OPEN
    git: Git | None
    machine: MachineFacts | None
    packages: dict[str, str] | None


class RecordParts(TypedDict):
    """What of a record is open when it is made, and must be so when it is read."""

    workload: Workload
    host: HostFacts
    conditions: Conditions
    provenance: Provenance
    values: dict[str, Number | None]
    started_utc: Time
    ended_utc: Time


class Refused(NamedTuple):
    """One value that is not as it must be."""

    where: tuple[str | int, ...]  # the way to it
    text: str  # 'plan[0].repeats: "x": must be a valid integer'


def refused(error: ValidationError) -> list[Refused]:
    """Return all that pydantic found."""
    found = error.errors(include_url=False, include_context=False)
    return [Refused(tuple(one["loc"]), _text(one["loc"], one["type"], one["input"], one["msg"])) for one in found]


def _text(where: tuple[str | int, ...], kind: str, value: Any, message: str) -> str:
    key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where).lstrip(".")
    if kind == "missing":
        return f"{key} is missing"
    problem = re.sub(r"^\w+ should", "must", message).replace("valid dictionary", "mapping")
    problem = re.sub(r"\b10{9,}\b", lambda found: f"1e{len(found[0]) - 1}", problem)
    shown = type(value).__name__ if isinstance(value, dict | list | bytes) else repr(value)[:_SHOWN_CHARS]
    return f"{key}: {shown}: {problem}" if key else problem
