"""What was measured, as a record keeps it: the host behind a launch, how it started, its model and its device."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from benchbook.records.samples import TelemetrySummary
from benchbook.records.typed import Items, JsonObject, Number, Part, Positive, TokensText, Whole


class StartFacts(Part):
    """What a host's log told of its start."""

    imports_s: Number | None = None
    config_s: Number | None = None
    engine_init_s: Number | None = None
    weights_s: Number | None = None
    warm_up_s: Number | None = None
    compile_s: Number | None = None
    graph_capture_s: Number | None = None
    api_s: Number | None = None
    weights_gib: Number | None = None
    kv_cache_gib: Number | None = None
    kv_cache_tokens: Whole | None = None
    graphs_gib: Number | None = None
    graph_sizes: Items[Whole] | None = None  # tokens in the steps that have a CUDA graph; (): none has
    max_concurrency_at_max_len: Number | None = None
    max_model_len: Whole | None = None
    dtype: str | None = None
    quantization: str | None = None
    attention_backend: str | None = None
    moe_backend: str | None = None
    vllm_version: str | None = None
    compile_cache: str | None = None  # warm, cold, in part, off
    triton_compiled: Whole | None = None
    taken_over: str | None = None  # from an earlier start, 'ipc_cache, startup_plan', in place of made anew
    proven_equal: str | None = None  # what proof there was, on that device, that such starts give the same numbers


class Peaks(Part):
    """What a device can do at best."""

    kind: str | None = None
    device: str | None = None
    bandwidth_gb_s: Annotated[float, Field(ge=0, le=1e12)] | None = None
    tflops: dict[str, Annotated[float, Field(gt=0, le=1e12)]] = {}  # by number format
    source: str | None = None


class Routing(Part):
    """How many experts of a layer steps read, by tokens in a step, as it was counted once; or why it was not."""

    experts: Whole | None = None
    active: Whole | None = None
    decode: dict[TokensText, Number] = {}
    prefill: dict[TokensText, Number] = {}
    answers: Whole | None = None
    distinct_answers: Whole | None = None
    vocabulary: Whole | None = None
    why_not: str | None = None


class AttachedFacts(Part):
    """A server that somebody else runs, as it was reached."""

    address: str
    also: Items[str] = ()  # further addresses of the same service, which got its requests in turn
    is_elsewhere: bool = False  # not by an address of the client's own machine
    headers: Items[str] = ()  # that were sent along, by their names
    behind: Items[str] = ()  # the servers whose counters were read in its place
    asked_by_proxy: bool = False
    unproven: bool = False  # whoever answered by TLS was believed


class Neighbours(Part):
    """What it costs a launch that others run beside it, measured before the run: shares of the metric, above 0 is worse."""

    metric: str | None = None
    case_id: str | None = None
    beside: Whole = 0  # neighbours
    pairs: Whole = 0  # alone and with neighbours, in turns
    cost: Number | None = None
    low: Number | None = None  # of its 95 % interval
    high: Number | None = None
    limit: Number | None = None  # what is allowed
    why_not: str | None = None  # nobody knows

    @property
    def cost_text(self) -> str:
        """Return '0.3 % [-0.2, 0.8] of output_throughput_tok_s'; '' where it is not known."""
        if self.cost is None or self.low is None or self.high is None:
            return ""
        return f"{100 * self.cost:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}] of {self.metric}"


class PlaceFacts(Part):
    """The part of the machine that it ran on, where several may run at once, or the node of a cluster."""

    number: Whole
    node: str = ""  # of a cluster; '': a part of the machine that the run was started on
    at_once: Positive = 1  # places that were in use
    cores: str = ""  # logical processors, '0-3,8'; '': all, shared with the other places
    cards: Items[str] = ()  # by their UUIDs, or where they are on their bus
    neighbours: Neighbours = Neighbours()

    @property
    def is_one_of_several(self) -> bool:
        """Whether others ran at once, beside it or on other nodes."""
        return self.at_once > 1 or bool(self.node)

    def __str__(self) -> str:
        return f"node {self.node}" if self.node else f"place {self.number}"


class HostFacts(Part):
    """What was measured. What is None or empty nobody could know: of an attached server that is much."""

    kind: str | None = None
    engine: str | None = None  # as sentences have it
    model: str | None = None
    model_commit: str | None = None
    adapter: str | None = None
    attached: AttachedFacts | None = None  # None: benchbook started it
    place: PlaceFacts | None = None  # None: it had the whole machine
    version: str | None = None
    python: str | None = None  # its interpreter, where that is of another environment than benchbook's
    packages: dict[str, str] = {}  # versions in that environment, by name; empty: those of the client's
    argv: Items[str] = ()
    env: dict[str, str] = {}  # what it was given beside the shell's, without secrets
    unknown_variables: Items[str] = ()
    untold: dict[str, str] = {}  # what vLLM's own tells or takes and it does not, key, identity or version, and why
    max_model_len: Whole | None = None
    ready_utc: str | None = None
    ready_s: Number | None = None
    counting_s: Number | None = None  # of its start, what went into counting experts, which is done once
    random_weights: bool | None = None
    facts: StartFacts = StartFacts()
    counters: dict[str, Number] = {}  # what they grew by while measuring
    peaks: Peaks = Peaks()
    config: JsonObject | None = Field(None, alias="model_config")  # the model's config.json
    routing: Routing = Routing()
    greedy_outputs: Items[str] = ()
    distinct_prompts: Whole | None = None
    links: dict[str, str] = {}  # between its GPUs, by pair, '0-1': 'NV18', as nvidia-smi has it
    telemetry: TelemetrySummary = TelemetrySummary()

    def with_those_of(self, owner: HostFacts) -> HostFacts:
        """Return these facts, but those that the host's `owner` knows as it knows them: its client knows less."""
        return self.model_copy(update={name: getattr(owner, name) for name in owner.model_fields_set})
