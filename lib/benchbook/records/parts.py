"""What records and run.json hold besides their own fields: what of it is read again, and of which type it must be.

A file of ours has more than is read, and later versions add to it: what is not named here is let through. What is named
and ill-typed would break whoever reads it, so a reader refuses it, with file, key and value.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # that of typing has no configuration before 3.12

from benchbook.records.typed import OPEN, Name, Number, Positive, Time, TokensText, Whole


class Workload(TypedDict, total=False):
    """What a benchmark was asked to do; which of these it has depends on the benchmark."""

    __pydantic_config__ = OPEN
    input_len_tokens: Positive
    output_len_tokens: Positive
    max_concurrency: Positive | None
    request_rate_rps: Annotated[float, Field(gt=0, le=1e9)] | None
    num_prompts: Positive
    batch_size: Positive
    num_iters: Positive
    num_iters_warmup: Whole
    max_tokens: Positive


class StartFacts(TypedDict, total=False):
    """What a host's log told of its start."""

    __pydantic_config__ = OPEN
    weights_gib: Number | None
    kv_cache_gib: Number | None
    kv_cache_tokens: Whole | None
    attention_backend: str | None
    moe_backend: str | None
    dtype: str | None
    compile_cache: str | None


class Peaks(TypedDict, total=False):
    """What a device can do at best."""

    __pydantic_config__ = OPEN
    bandwidth_gb_s: Annotated[float, Field(ge=0, le=1e12)] | None
    tflops: dict[str, Annotated[float, Field(gt=0, le=1e12)]]
    source: str


class Routing(TypedDict, total=False):
    """How many experts of a layer steps read, by tokens in a step, as it was counted once; or why it was not."""

    __pydantic_config__ = OPEN
    experts: Whole
    active: Whole
    decode: dict[TokensText, Number]
    prefill: dict[TokensText, Number]
    answers: Whole
    distinct_answers: Whole
    why_not: str


class GpuSummary(TypedDict):
    """What the samples of one GPU come to."""

    __pydantic_config__ = OPEN
    index: int
    name: str | None
    throttled_share: dict[str, Number]
    mean_power_w: Number | None
    mean_sm_clock_mhz: Number | None
    min_sm_clock_mhz: Number | None
    highest_sm_clock_mhz: NotRequired[Number | None]  # of the card
    free_sm_clock_mhz: NotRequired[Number | None]  # the median at work, where nothing throttled it
    clocks_set_share: NotRequired[Number | None]
    strange_memory_gib: NotRequired[Number | None]  # of no process that the driver lists
    max_temperature_c: Number | None
    max_memory_used_gib: Number | None
    mean_utilisation_pct: Number | None


class GpuProcess(TypedDict):
    """Who computed on a GPU."""

    __pydantic_config__ = OPEN
    gpu: int
    kind: str  # ours, foreign, idle (foreign, and it computed nothing), unseen
    pid: int
    name: str | None


class ServerSummary(TypedDict, total=False):
    """What the samples of a server come to."""

    __pydantic_config__ = OPEN
    mean_running: Number | None
    mean_waiting: Number | None
    max_kv_use_ratio: Number | None
    preemptions: Number | None


class TelemetrySummary(TypedDict, total=False):
    """What a record keeps of its samples."""

    __pydantic_config__ = OPEN
    server: ServerSummary | None
    gpus: list[GpuSummary]
    num_gpus: Whole | None  # that the launch takes, the first of those it sees
    gpu_processes: list[GpuProcess]
    energy_j: Number | None
    absent: dict[str, str]


class HostFacts(TypedDict, total=False):
    """What was measured."""

    __pydantic_config__ = OPEN
    kind: str
    engine: str  # as sentences have it
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

    __pydantic_config__ = OPEN
    cpu_cores: Number | None
    chunks_per_s: Number | None
    ceiling_chunks_per_s: Number | None
    loop_lag_median_ms: Number | None
    cut_answers: list[tuple[int, int]] | None  # tokens asked for, tokens that came


class Machine(TypedDict, total=False):
    """Who used the processors."""

    __pydantic_config__ = OPEN
    cpus: Number | None  # a container may have half of one
    other_cpu_share: Number | None
    own_cpu_share: Number
    stolen_cpu_share: Number | None


class Limits(TypedDict, total=False):
    """What the client's process was allowed."""

    __pydantic_config__ = OPEN
    open_files: int | None
    ports: int | None


class Precision(TypedDict, total=False):
    """The half-widths of 95 % intervals as shares of their metrics: those asked for, and those of this very repeat."""

    __pydantic_config__ = OPEN
    asked: dict[str, Number]
    reached: dict[str, Number | None]


class Conditions(TypedDict, total=False):
    """What was watched while measuring."""

    __pydantic_config__ = OPEN
    client: Client | None
    machine: Machine | None
    limits: Limits | None
    counters_went_back: list[str] | None
    compile_lines: list[str] | None
    watching_errors: list[str] | None
    kv_usage_max_pct: Number | None
    warmup_prompts: Whole | None
    earlier_requests: Number | None  # of this server, before this measurement
    precision: Precision | None


class Gpu(TypedDict, total=False):
    """One GPU of a machine."""

    __pydantic_config__ = OPEN
    name: Name


class MachineFacts(TypedDict, total=False):
    """The machine of a run."""

    __pydantic_config__ = OPEN
    cpu: str | None
    cpu_cores: int | None
    memory_gib: Number | None
    gpus: list[Gpu]


class Git(TypedDict, total=False):
    """The commit that measured."""

    __pydantic_config__ = OPEN
    commit: str | None
    dirty: bool | None


class Provenance(TypedDict, total=False):
    """Where a record or a run comes from."""

    __pydantic_config__ = OPEN
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
